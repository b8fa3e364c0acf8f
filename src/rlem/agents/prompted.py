"""Agents that ask a language model: with recalled exemplars (Rememberer), fixed ones, or none.

What agents that think, plan or criticise share with them is here too: how a prompt is built under its budget,
asked, asked again, and read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field
from typing import Literal, Protocol, cast

from rlem.advice import (
    Exemplar,
    Grammar,
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
from rlem.advice.prompts import CLOSING
from rlem.agents.base import Decision, View
from rlem.core.errors import UnknownNameError, UsageError
from rlem.core.seeds import derive_seed, generator
from rlem.core.types import JSON
from rlem.llm.base import Completion, LanguageModel, Prompt, Usage
from rlem.llm.embedded import EmbeddedReader
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


def no_exemplars(view: View) -> list[tuple[Exemplar, Recalled | None]]:
    """The source of agents that are shown none."""
    return []


def _read(text: str, known: Sequence[str], grammar: Grammar) -> ParsedAnswer:
    return parse_answer(text, known=known, grammar=grammar)


def _again(parsed: ParsedAnswer, grammar: Grammar) -> str:
    return retry_message(parsed, grammar=grammar)


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerForm:
    """How an agent has its answers written, and how they are read.

    text             packaged text on the form of the answer, the end of the system part
    closing          last lines of a prompt
    stop             where an answer is cut
    thinking_tokens  what an answer may take beyond ``max_tokens``
    thoughts         reasons are thoughts: kept whole, and shown between the actions of the episode
    read             (answer, available actions, grammar) -> what it says to do
    again            (unusable answer, grammar) -> what is added to the prompt when it is asked again
    """

    text: str = "answer"
    closing: str = CLOSING
    stop: tuple[str, ...] = ("Discouraged",)
    thinking_tokens: int = 0
    thoughts: bool = False
    read: Callable[[str, Sequence[str], Grammar], ParsedAnswer] = _read
    again: Callable[[ParsedAnswer, Grammar], str] = _again


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A model's last answer to one question, with what it took to get it."""

    text: str
    parsed: ParsedAnswer
    usage: Usage
    repairs: Mapping[str, int] = field(default_factory=dict)


class PromptedAgent:
    """Builds a prompt, asks the model, reads the answer; an unusable one is asked for once again.

    ``notes`` gives what the agent tells itself at a view; it stands behind the new input. ``style`` by name
    goes with the ``form``; a style of one's own has to describe the form in its system text.
    """

    def __init__(
        self,
        name: str,
        model: LanguageModel,
        style: PromptStyle | str,
        source: ExemplarSource = no_exemplars,
        options: PromptOptions | None = None,
        *,
        form: AnswerForm | None = None,
        notes: Callable[[View], str] = lambda view: "",
    ) -> None:
        self._name = name
        self._model = model
        self._form = form or AnswerForm()
        self._style = prompt_style(style, self._form.text) if isinstance(style, str) else style
        self._source = source
        self._options = options or PromptOptions()
        self._notes = notes

    @property
    def name(self) -> str:
        """How reports call it."""
        return self._name

    @property
    def source(self) -> ExemplarSource:
        """Where its exemplars come from."""
        return self._source

    def shown(self, source: ExemplarSource) -> PromptedAgent:
        """The same agent with exemplars from elsewhere."""
        other = copy(self)
        other._source = source
        return other

    def act(self, view: View) -> Decision:
        """One decision. Raises only ModelError."""
        prompt, advice = self.prompt(view, self._notes(view))
        return self.decision(view, self.ask(prompt, view), advice)

    def prompt(self, view: View, notes: str = "", *, closing: str = "") -> tuple[Prompt, tuple[JSON, ...]]:
        """The prompt of a view, and the JSON form of its exemplars. ``closing`` in place of the form's.

        Notes take a quarter of the budget at most; their end is cut.
        """
        options, count = self._options, self._model.count_tokens
        while notes and count(notes) > options.max_input_tokens // 4:
            notes = notes[: len(notes) * 3 // 4]
        end = "\n\n".join(part for part in (notes, closing or self._form.closing) if part)

        def ended(text: str) -> str:
            return text.removesuffix(CLOSING) + end

        candidates = self._source(view)
        while True:
            built = build_prompt(
                self._style,
                _input_of(view, thoughts=self._form.thoughts),
                [exemplar for exemplar, _ in candidates],
                count_tokens=lambda text: count(ended(text)),
                max_input_tokens=options.max_input_tokens,
                k=options.k,
                compat=options.compat,
            )
            used = {id(exemplar) for exemplar in built.used}
            shown = [(e, r) for e, r in candidates if id(e) in used]
            hidden = {id(e) for e, r in shown if r is not None and view.hides(r.experience.key)}
            if not hidden:
                break  # else others stand in for what must not be shown
            candidates = [(e, r) for e, r in candidates if id(e) not in hidden]
        advice = tuple(_advice_json(e, r, self._style) for e, r in shown)
        return Prompt(system=built.prompt.system, user=ended(built.prompt.user)), advice

    def ask(self, prompt: Prompt, view: View, *turn: str) -> Answer:
        """Asks for an action, and again with the error while the answer cannot be used.

        ``turn`` names the question where a decision takes several: each draws its own chance.
        """
        form, grammar = self._form, self._style.grammar
        usage, repairs = Usage(), dict[str, int]()
        for attempt in range(self._options.retries + 1):
            completion = self.say(
                prompt, view, attempt, *turn, stop=form.stop, more_tokens=form.thinking_tokens
            )
            usage += completion.usage
            parsed = form.read(completion.text, view.step.actions, grammar)
            for kind, count in parsed.repairs.items():
                repairs[kind] = repairs.get(kind, 0) + count
            if parsed.action is not None:
                break
            if attempt < self._options.retries:
                repairs["asked-again"] = repairs.get("asked-again", 0) + 1
                prompt = Prompt(system=prompt.system, user=f"{prompt.user}\n\n{form.again(parsed, grammar)}")
        return Answer(text=completion.text, parsed=parsed, usage=usage, repairs=repairs)

    def say(
        self, prompt: Prompt, view: View, *turn: object, stop: tuple[str, ...] = (), more_tokens: int = 0
    ) -> Completion:
        """One call of the model; without ``stop`` its text is free."""
        return self._model.complete(
            prompt,
            max_tokens=self._options.max_tokens + more_tokens,
            temperature=self._options.temperature,
            stop=stop,
            seed=derive_seed(view.seed, view.step_index, *turn) % 2**31,
        )

    def decision(self, view: View, answer: Answer, advice: tuple[JSON, ...]) -> Decision:
        """What an answer decides."""
        parsed = answer.parsed
        note = self._style.note(parsed.action or "", view.step.observation)
        reason = f"{parsed.reason} {note}".strip() if self._form.thoughts else note or parsed.reason
        return Decision(
            action=parsed.action,
            reason=reason,
            failure=parsed.failure,
            usage=answer.usage,
            repairs=answer.repairs,
            advice=advice,
            answer=answer.text,
        )


def _input_of(view: View, *, thoughts: bool) -> PromptInput:
    return PromptInput(
        task=view.task.instruction,
        observation=view.step.observation,
        actions=view.step.actions,
        history=view.history,
        reasons=view.reasons,
        last_reward=view.last_reward,
        total_reward=view.total_reward,
        subtask=view.step.subtask,
        thoughts=thoughts,
    )


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
    return PromptedAgent(name, model, style, recalled_exemplars(memory, options, reward_range), options)


def recalled_exemplars(
    memory: ExperienceMemory,
    options: PromptOptions | None = None,
    reward_range: tuple[float, float] | None = None,
) -> ExemplarSource:
    """Exemplars of the most similar experiences; what says nothing about any action is left out."""
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

    return recalled


def llm_only(
    model: LanguageModel, style: str, options: PromptOptions | None = None, *, name: str = "llm-only"
) -> PromptedAgent:
    """The model alone: the same prompt without any exemplar."""
    return PromptedAgent(name, model, style, options=options)


def static_exemplars(
    exemplars: Sequence[Exemplar],
    model: LanguageModel,
    style: str,
    options: PromptOptions | None = None,
    *,
    name: str = "static",
) -> PromptedAgent:
    """The same exemplars at every step, whatever the situation."""
    return PromptedAgent(name, model, style, fixed_exemplars(exemplars), options)


def fixed_exemplars(exemplars: Sequence[Exemplar]) -> ExemplarSource:
    """The same exemplars for every view. Errors: UsageError without any."""
    if not exemplars:
        raise UsageError("static exemplars need at least one exemplar")
    fixed: list[tuple[Exemplar, Recalled | None]] = [(exemplar, None) for exemplar in exemplars]
    return lambda view: fixed


def exemplars_of(memory: ExperienceMemory, options: PromptOptions | None = None) -> list[Exemplar]:
    """Fixed exemplars from a memory: its experiences of highest value, at most k, the best first.

    Each observation kind is shown once: experiences of the same actions and instruction are not repeated.
    """
    chosen = options or PromptOptions()
    ranked = sorted(memory.experiences(), key=lambda e: (-e.best.q_value, -e.samples, e.key))
    picked, seen = [], set[tuple[str, tuple[str, ...]]]()
    for experience in ranked:
        kind = (experience.situation.subtask, experience.situation.actions)
        if kind not in seen:
            seen.add(kind)
            item = Recalled(experience=experience, similarity=1.0)
            picked.append(advise(item, rng=generator(experience.key), discourage=chosen.discourage))
    return picked[: chosen.k]


def need_reasoner(agent: str, model: LanguageModel) -> None:
    """Refuses the embedded reader: it answers by rules, and has no words of its own to think in."""
    if model.name.endswith(EmbeddedReader.name):
        raise UsageError(
            f"agent {agent!r} needs a language model: the embedded reader answers rlem's prompt by rules; it "
            "cannot think, plan, criticise or reflect. Name a model, as --model openai:NAME"
        )


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
