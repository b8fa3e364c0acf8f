"""Asks recorded decisions again: as they were, by another chance, and without one experience at a time."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from rlem.advice import Exemplar
from rlem.agents.base import Agent, View
from rlem.agents.prompted import PromptedAgent
from rlem.core.errors import RunError, UsageError
from rlem.core.types import Situation
from rlem.llm.base import LanguageModel, Prompt
from rlem.memory.experience import Recalled
from rlem.memory.memory import ExperienceMemory
from rlem.runner.influence.decisions import Past, Recorded, views_of
from rlem.runner.records import AdviceRecord, RunConfig

Candidates = list[tuple[Exemplar, Recalled | None]]


class Answers:
    """Actions that a model gave, by question, in a file of JSON lines: nothing is asked twice.

    A question is (model's name, prompt, seed, step, turn): another model or memory is another question.
    A line that a kill tore is asked for again.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.new = 0
        self._lock = threading.Lock()
        self._known: dict[str, str | None] = {}
        try:
            data = path.read_bytes() if path.exists() else b""
            whole = data[: data.rfind(b"\n") + 1]
            if len(whole) < len(data):
                with path.open("r+b") as stream:
                    stream.truncate(len(whole))
            for line in whole.splitlines():
                item = json.loads(line)
                self._known[item["question"]] = item["action"]
        except OSError as error:
            raise RunError(f"{path} cannot be used: {error.strerror or error}") from error
        except (ValueError, KeyError, TypeError) as error:
            raise RunError(
                f"{path} is no file of answers ({error}): delete it, and all is asked anew"
            ) from error

    def __len__(self) -> int:
        return len(self._known)

    def get(self, question: str, ask: Callable[[], str | None]) -> str | None:
        """The kept answer, or that of ``ask``, which is then kept."""
        with self._lock:
            if question in self._known:
                return self._known[question]
        action = ask()
        with self._lock:
            self._known[question] = action
            self.new += 1
            with self.path.open("a", encoding="ascii") as stream:
                stream.write(json.dumps({"question": question, "action": action}) + "\n")
        return action


@dataclass(frozen=True, slots=True, kw_only=True)
class Without:
    """What was decided without one experience. ``gain``: by how much the memory valued the action with it
    above the one without it, as the most similar experience recalled that knows both has it; None: none does.
    """

    situation: Situation
    action: str | None
    gain: float | None = None

    @property
    def key(self) -> str:
        """Of the experience."""
        return self.situation.key


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """A decision that was asked again.

    ``same_exemplars``: the memory shows what the record says it showed; if not, nothing was asked. ``again``:
    the action of the same question; if it is not the recorded one, nothing more was asked. ``chance``: the
    action of the same question with another seed.
    """

    decision: Recorded
    same_exemplars: bool
    again: str | None = None
    chance: str | None = None
    without: tuple[Without, ...] = ()

    @property
    def repeated(self) -> bool:
        """Whether the recorded action came again: only then is something compared with it."""
        return self.same_exemplars and self.again == self.decision.step.action


def replay(
    decisions: Sequence[Recorded],
    *,
    model: LanguageModel,
    answers: Answers,
    open_memory: Callable[[int], ExperienceMemory],
    make_agent: Callable[[ExperienceMemory], Agent],
    config: RunConfig,
    workers: int = 1,
    done: Callable[[], None] = lambda: None,
) -> list[Replayed]:
    """Asks all decisions again, in their order. Memories are read only; ``done`` is called for each decision.

    ``config``: of the run; ``open_memory(seed)``: the memory file of a seed, ``make_agent(memory)`` the run's
    agent with it.
    Errors: RunError where a memory as it was cannot be made again, and those of the model.
    """
    replayed: list[Replayed] = []
    with ThreadPoolExecutor(workers, thread_name_prefix="rlem-influence") as pool:
        for seed, of_seed in groupby(decisions, key=lambda decision: decision.record.seed):
            present = open_memory(seed)
            try:
                past = Past(present)
            finally:
                present.close()
            for _, group in groupby(of_seed, key=lambda decision: decision.learned):
                batch = list(group)
                asker = _Asker(_prompted(make_agent(past.at(batch[0]))), model.name, answers)
                views = {item.record.task_id: views_of(item.record, config) for item in batch}
                futures = [
                    pool.submit(asker.ask, item, views[item.record.task_id][item.index]) for item in batch
                ]
                try:
                    for future in futures:
                        replayed.append(future.result())
                        done()
                finally:
                    for future in futures:
                        future.cancel()
    return replayed


def _prompted(agent: Agent) -> PromptedAgent:
    if not isinstance(agent, PromptedAgent):
        raise UsageError(f"agent {agent.name!r} is shown no exemplars one could leave out")
    return agent


class _Asker:
    """Asks the questions of decisions that one memory advised."""

    def __init__(self, agent: PromptedAgent, model: str, answers: Answers) -> None:
        self._agent, self._model, self._answers = agent, model, answers

    def ask(self, decision: Recorded, view: View) -> Replayed:
        """One decision: its control, chance, and each experience left out."""
        step = decision.step
        candidates = self._agent.source(view)
        prompt, shown = _with(self._agent, candidates).prompt(view)
        advice = [AdviceRecord.model_validate(item) for item in shown]
        if [_said(item) for item in advice] != [_said(item) for item in step.advice]:
            return Replayed(decision=decision, same_exemplars=False)
        again = self._answer(prompt, view)
        if again != step.action:
            return Replayed(decision=decision, same_exemplars=True, again=again)
        without = []
        keys = {item.key for item in advice}
        for situation in [pair[0].situation for pair in candidates if pair[0].situation.key in keys]:
            rest = [pair for pair in candidates if pair[0].situation.key != situation.key]
            action = self._answer(_with(self._agent, rest).prompt(view)[0], view)
            without.append(Without(situation=situation, action=action, gain=_gain(candidates, again, action)))
        return Replayed(
            decision=decision,
            same_exemplars=True,
            again=again,
            chance=self._answer(prompt, view, "chance"),
            without=tuple(without),
        )

    def _answer(self, prompt: Prompt, view: View, *turn: str) -> str | None:
        parts = [self._model, prompt.system, prompt.user, view.seed, view.step_index, *turn]
        question = hashlib.sha256(json.dumps(parts).encode("ascii")).hexdigest()[:32]
        return self._answers.get(question, lambda: self._agent.ask(prompt, view, *turn).parsed.action)


def _with(agent: PromptedAgent, candidates: Candidates) -> PromptedAgent:
    return agent.shown(lambda view: candidates)


def _said(item: AdviceRecord) -> tuple[object, ...]:
    """What an exemplar says. Not its similarity: last digits may differ between machines."""
    return item.key, item.encouraged, item.discouraged, item.untried


def _gain(candidates: Candidates, action: str | None, other: str | None) -> float | None:
    for _, recalled in candidates if action != other else ():
        known = {item.action: item.q_value for item in recalled.experience.actions} if recalled else {}
        if action in known and other in known:
            return known[action] - known[other]
    return None
