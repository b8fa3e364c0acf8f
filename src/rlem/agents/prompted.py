"""Agents that ask a language model: with recalled exemplars (Rememberer), fixed ones, or none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, cast

from rlem.advice import (
    Exemplar,
    ParsedAnswer,
    PromptInput,
    PromptStyle,
    advise,
    build_prompt,
    parse_answer,
    prompt_style,
    retry_message,
)
from rlem.advice.choice import CHOICES, EXPLORATIONS, Choose, Explore, exploration
from rlem.agents.base import Decision, View
from rlem.core.errors import UnknownNameError, UsageError
from rlem.core.seeds import derive_seed, generator
from rlem.core.types import JSON
from rlem.llm.base import Completion, LanguageModel, Prompt, Usage
from rlem.memory.experience import Recalled
from rlem.memory.memory import ExperienceMemory
from rlem.memory.ranking import RANKS, Rank

_CHOICES = {
    "advice": ("recorded", "reference"),
    "discourage": ("failing", "failing+worse"),
    "rank": RANKS,
    "choose": CHOICES,
    "explore": EXPLORATIONS,
    "compat": ("default", "reference"),
}

RECALL_FACTOR = 8
"""Experiences recalled per exemplar wanted: those that do not fit the token budget are skipped."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptOptions:
    """Settings of a prompted agent. Defaults are the paper's where it has them.

    k                 exemplars in a prompt
    max_input_tokens  budget of new input and exemplars together
    max_tokens        length of an answer
    temperature       of the model
    advice            "recorded": only what was experienced; "reference": fills a missing side at random
    discourage        "failing": Q <= 0; "failing+worse": also what is clearly worse than the best
    discouraged       whether exemplars show discouraged actions at all (the paper's ablation)
    rank              "similarity+value": experiences that know something for sure come before their like
    choose            "value": encouraged and discouraged by values (paper); "bounds": by their bounds
    explore           "untried": name untried actions even where one is encouraged (True in older configs);
                      "upper", "thompson": in training, suggest the action to try by upper bound or by a draw
    compat            "reference": the reference code's forms and quirks
    retries           how often an unusable answer is asked for again
    """

    k: int = 2
    max_input_tokens: int = 3700
    max_tokens: int = 200
    temperature: float = 0.1
    advice: Literal["recorded", "reference"] = "recorded"
    discourage: Literal["failing", "failing+worse"] = "failing+worse"
    discouraged: bool = True
    rank: Rank = "similarity"
    choose: Choose = "value"
    explore: Explore | bool = "none"
    compat: Literal["default", "reference"] = "default"
    retries: int = 1

    def __post_init__(self) -> None:
        for name in ("k", "max_input_tokens", "max_tokens"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name}={getattr(self, name)} is not possible: it must be at least 1")
        if self.retries < 0:
            raise UsageError(f"retries={self.retries} is not possible: it must be at least 0")
        if isinstance(self.explore, bool):
            object.__setattr__(self, "explore", exploration(self.explore))
        for name, known in _CHOICES.items():
            if getattr(self, name) not in known:
                raise UnknownNameError(f"value of agent option {name!r}:", getattr(self, name), known)


class ExemplarSource(Protocol):
    """Where exemplars come from: candidates for a view, the most similar first."""

    def __call__(self, view: View) -> list[tuple[Exemplar, Recalled | None]]: ...


class PromptedAgent:
    """Builds a prompt, asks the model, parses the answer; an unusable one is asked for once again."""

    def __init__(
        self,
        name: str,
        model: LanguageModel,
        style: PromptStyle | str,
        source: ExemplarSource,
        options: PromptOptions | None = None,
    ) -> None:
        self._name = name
        self._model = model
        self._style = prompt_style(style) if isinstance(style, str) else style
        self._source = source
        self._options = options or PromptOptions()

    @property
    def name(self) -> str:
        """How reports call it."""
        return self._name

    def act(self, view: View) -> Decision:
        """One decision. Raises only ModelError."""
        options = self._options
        candidates = self._source(view)
        built = build_prompt(
            self._style,
            PromptInput(
                task=view.task.instruction,
                observation=view.step.observation,
                actions=view.step.actions,
                history=view.history,
                reasons=view.reasons,
                last_reward=view.last_reward,
                total_reward=view.total_reward,
                subtask=view.step.subtask,
            ),
            [exemplar for exemplar, _ in candidates],
            count_tokens=self._model.count_tokens,
            max_input_tokens=options.max_input_tokens,
            k=options.k,
            compat=options.compat,
        )
        prompt = Prompt(system=built.prompt.system, user=built.prompt.user)
        used = {id(exemplar) for exemplar in built.used}
        advice = tuple(_advice_json(e, r, self._style) for e, r in candidates if id(e) in used)
        completion, parsed, usage, repairs = self._ask(prompt, view)
        return Decision(
            action=parsed.action,
            reason=self._style.note(parsed.action or "", view.step.observation) or parsed.reason,
            failure=parsed.failure,
            usage=usage,
            repairs=repairs,
            advice=advice,
            answer=completion.text,
        )

    def _ask(self, prompt: Prompt, view: View) -> tuple[Completion, ParsedAnswer, Usage, dict[str, int]]:
        usage, repairs = Usage(), dict[str, int]()
        for attempt in range(self._options.retries + 1):
            completion = self._model.complete(
                prompt,
                max_tokens=self._options.max_tokens,
                temperature=self._options.temperature,
                stop=("Discouraged",),
                seed=derive_seed(view.seed, view.step_index, attempt) % 2**31,
            )
            usage += completion.usage
            parsed = parse_answer(completion.text, known=view.step.actions, grammar=self._style.grammar)
            for kind, count in parsed.repairs.items():
                repairs[kind] = repairs.get(kind, 0) + count
            if parsed.action is not None:
                break
            if attempt < self._options.retries:
                repairs["asked-again"] = repairs.get("asked-again", 0) + 1
                again = retry_message(parsed, grammar=self._style.grammar)
                prompt = Prompt(system=prompt.system, user=f"{prompt.user}\n\n{again}")
        return completion, parsed, usage, repairs


def rememberer(
    memory: ExperienceMemory,
    model: LanguageModel,
    style: str,
    options: PromptOptions | None = None,
    *,
    reward_range: tuple[float, float] | None = None,
    name: str = "rememberer",
) -> PromptedAgent:
    """Rememberer: the most similar experiences become exemplars that encourage and discourage actions.

    Source: Zhang et al. 2023, section 3.
    """
    chosen = options or PromptOptions()

    def recalled(view: View) -> list[tuple[Exemplar, Recalled | None]]:
        wanted = chosen.k * RECALL_FACTOR
        found = memory.recall(
            view.situation, wanted, rank=chosen.rank, bounds=reward_range, exemplars=chosen.k
        )
        # Tests must not explore. Naming untried actions is no exploration: it does so by itself at times.
        explore = chosen.explore if view.training or chosen.explore == "untried" else "none"
        pairs: list[tuple[Exemplar, Recalled | None]] = []
        for item in found:
            exemplar = advise(
                item,
                rng=generator(view.seed, view.step_index, item.experience.key),
                mode=chosen.advice,
                bounds=reward_range,
                use_discouraged=chosen.discouraged,
                discourage=chosen.discourage,
                choose=chosen.choose,
                explore=explore,
                compat=chosen.compat,
            )
            if exemplar.encouraged or exemplar.discouraged or exemplar.untried:
                pairs.append((exemplar, item))
        return pairs

    return PromptedAgent(name, model, style, recalled, chosen)


def llm_only(
    model: LanguageModel, style: str, options: PromptOptions | None = None, *, name: str = "llm-only"
) -> PromptedAgent:
    """The model alone: the same prompt without any exemplar."""
    return PromptedAgent(name, model, style, lambda view: [], options)


def static_exemplars(
    exemplars: Sequence[Exemplar],
    model: LanguageModel,
    style: str,
    options: PromptOptions | None = None,
    *,
    name: str = "static",
) -> PromptedAgent:
    """The same exemplars at every step, whatever the situation."""
    if not exemplars:
        raise UsageError("static exemplars need at least one exemplar")
    fixed: list[tuple[Exemplar, Recalled | None]] = [(exemplar, None) for exemplar in exemplars]
    return PromptedAgent(name, model, style, lambda view: fixed, options)


def exemplars_of(memory: ExperienceMemory, options: PromptOptions | None = None) -> list[Exemplar]:
    """Fixed exemplars from a memory: its experiences of highest value, at most k, the best first.

    Each observation kind is shown once if it can be: experiences of the same actions are not repeated.
    """
    chosen = options or PromptOptions()
    ranked = sorted(memory.experiences(), key=lambda e: (-e.best.q_value, -e.samples, e.key))
    picked, seen = [], set[tuple[str, ...]]()
    for experience in ranked:
        if experience.situation.actions not in seen:
            seen.add(experience.situation.actions)
            item = Recalled(experience=experience, similarity=1.0)
            picked.append(advise(item, rng=generator(experience.key), discourage=chosen.discourage))
    return picked[: chosen.k]


def _advice_json(exemplar: Exemplar, recalled: Recalled | None, style: PromptStyle) -> JSON:
    """An exemplar as run records keep it (``AdviceRecord``)."""
    named = [a.action for a in (*exemplar.encouraged, *exemplar.discouraged)] + list(exemplar.untried)
    notes = {action: style.note(action, exemplar.situation.observation) for action in named}
    return cast(
        JSON,
        {
            "key": exemplar.situation.key,
            "similarity": exemplar.similarity,
            "parts": dict(recalled.parts) if recalled else {},
            "task": exemplar.situation.task,
            "encouraged": [[a.action, a.value, a.visits] for a in exemplar.encouraged],
            "discouraged": [[a.action, a.value, a.visits] for a in exemplar.discouraged],
            "untried": list(exemplar.untried),
            "reasons": {action: note for action, note in notes.items() if note},
        },
    )
