"""Recorded decisions as they were: which ones, the view of each, and the memory that advised them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from rlem.agents.base import Decision, View
from rlem.core.errors import RunError, UsageError
from rlem.core.types import Episode, Step, Task
from rlem.memory.memory import ExperienceMemory
from rlem.memory.volatile import InMemoryStore
from rlem.runner.control import chance_of
from rlem.runner.play import Job, play
from rlem.runner.records import EpisodeRecord, Phase, RunConfig, StepRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """Which decisions are asked again. None: the last epoch there is, all seeds, all decisions.

    ``limit`` decisions are spread evenly over all of them, seed after seed in the order they were taken.
    """

    phase: Phase = "eval"
    epoch: int | None = None
    seed: int | None = None
    limit: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """A recorded decision that exemplars were shown for. ``learned``: (epoch, task id) of the training
    episodes that its memory had learned by then, in their order."""

    record: EpisodeRecord
    index: int
    learned: Sequence[tuple[int, str]]

    @property
    def step(self) -> StepRecord:
        """What was seen, shown and answered."""
        return self.record.steps[self.index]


@dataclass(slots=True)
class _Training:
    """The training episodes of one seed and epoch in file order: task id, broken, taught something."""

    episodes: list[tuple[str, bool, bool]] = field(default_factory=list)

    def learned(self, before: int, batch: int) -> list[str]:
        """Tasks learned when the episode of that number was played."""
        start = before - before % batch
        while 0 < start < len(self.episodes) and self.episodes[start - 1][1]:
            start -= batch  # a batch with a broken end is learned with the next one
        return [task for task, _, steps in self.episodes[:start] if steps]


def choose(records: Iterable[EpisodeRecord], choice: Choice, config: RunConfig) -> tuple[int, list[Recorded]]:
    """The epoch, and the decisions of a run that were shown exemplars there, as ``choice`` says.

    ``records`` in file order. Broken episodes are passed over.
    Errors: UsageError where there is no such epoch, seed or decision.
    """
    training: dict[int, dict[int, _Training]] = {}
    there: dict[int, set[int]] = {}
    found: list[tuple[EpisodeRecord, int]] = []
    for record in records:
        if record.arm != "memory" and record.phase == "eval":
            continue
        number = 0
        if record.phase == "train":
            epochs = training.setdefault(record.seed, {})
            played = epochs.setdefault(record.epoch, _Training()).episodes
            number = len(played)
            played.append((record.task_id, record.status == "broken", record.teaches(config.learn)))
        if record.phase != choice.phase:
            continue
        latest = max(there, default=record.epoch)
        there.setdefault(record.epoch, set()).add(record.seed)
        wanted = latest if choice.epoch is None else choice.epoch
        if record.epoch > wanted and choice.epoch is None:
            found.clear()
        elif record.epoch != wanted:
            continue
        if record.status != "broken" and choice.seed in (None, record.seed):
            found.append((record, number))
    epoch = _checked(choice, there)
    decisions = []
    for record, number in found:
        learned = _learned(training.get(record.seed, {}), record, number, config.batch_size)
        decisions += [
            Recorded(record=record, index=index, learned=learned)
            for index, step in enumerate(record.steps)
            if step.advice
        ]
    if not decisions:
        raise UsageError(
            f"no exemplar was shown in epoch {epoch} ({choice.phase}): there is nothing to leave out"
        )
    count = min(choice.limit or len(decisions), len(decisions))
    return epoch, [decisions[place * len(decisions) // count] for place in range(count)]


def _checked(choice: Choice, there: dict[int, set[int]]) -> int:
    what = "evaluation" if choice.phase == "eval" else "training"
    if not there:
        raise UsageError(f"the run has no {what} episode with memory: there is nothing to ask again")
    epoch = max(there) if choice.epoch is None else choice.epoch
    if epoch not in there:
        raise UsageError(f"the run has no {what} epoch {epoch}; it has {_listed(there)}")
    if choice.seed is not None and choice.seed not in there[epoch]:
        raise UsageError(f"{what} epoch {epoch} has no seed {choice.seed}; it has {_listed(there[epoch])}")
    return epoch


def _listed(numbers: Iterable[int]) -> str:
    return ", ".join(map(str, sorted(numbers)))


def _learned(
    training: dict[int, _Training], record: EpisodeRecord, number: int, batch_size: int
) -> list[tuple[int, str]]:
    """What the seed's memory had learned when the record's episode began."""
    learned: list[tuple[int, str]] = []
    for epoch, played in training.items():
        if epoch < record.epoch or (epoch == record.epoch and record.phase == "eval"):
            learned += [(epoch, task) for task, _, steps in played.episodes if steps]
        elif epoch == record.epoch:
            learned += [(epoch, task) for task in played.learned(number, batch_size)]
    return learned


class Past:
    """The memory of one seed as it was, in this process: the log of its file up to some episode.

    The file itself is only read. ``at`` goes forward in time; asked for an earlier time, it begins anew.
    """

    def __init__(self, present: ExperienceMemory) -> None:
        self._where = present.location
        self._config = present.config
        self._log: list[Episode] = list(present.episodes())
        self._places = {_name(episode): place for place, episode in enumerate(self._log)}
        self._places.pop(None, None)
        self._first = min(self._places.values(), default=len(self._log))
        self._taken, self._memory = 0, ExperienceMemory(InMemoryStore(), self._config)

    def at(self, decision: Recorded) -> ExperienceMemory:
        """The memory that advised a decision.

        Errors: RunError where the log has not what was learned then, or other experiences come of it.
        """
        learned, record = decision.learned, decision.record
        missing = [name for name in learned if name not in self._places]
        end = self._first if missing or not learned else self._places[learned[-1]] + 1
        if not missing:
            if end < self._taken:
                self._taken, self._memory = 0, ExperienceMemory(InMemoryStore(), self._config)
            if end > self._taken:
                self._memory.insert(self._log[self._taken : end])
                self._taken = end
        if missing or len(self._memory) != record.memory_size:
            has = (
                f"its log lacks {len(missing)} of {len(learned)} training episodes"
                if missing
                else f"it held {record.memory_size} experiences, its log makes {len(self._memory)}"
            )
            raise RunError(
                f"{self._where} as it was in epoch {record.epoch} ({record.phase}) cannot be made again: "
                f"{has}; something was forgotten or set otherwise since"
            )
        return self._memory


def _name(episode: Episode) -> tuple[int, str] | None:
    """Epoch and task of a training episode, as ``rlem.runner.play.episode_of`` names it."""
    found = re.match(r"train-(\d+)-\d+-", episode.id)
    return (int(found[1]), episode.task_id) if found and episode.source.startswith("run/") else None


# -- views -------------------------------------------------------------------------------------------


def views_of(record: EpisodeRecord, config: RunConfig) -> list[View]:
    """What the agent looked at, decision by decision: the record is played again by the runner's own loop.

    A guard's coins fall as they did, also for experiences that did not come up then.
    """
    job = Job(
        phase=record.phase,
        epoch=record.epoch,
        arm=record.arm,
        seed=record.seed,
        task=Task(id=record.task_id, instruction=record.instruction, kind=record.kind),
        index=0,
        muted=record.muted,
        chance=chance_of(config, record.phase),
    )
    player = _Player(record)
    play(_Stage(record), player, job, max_steps=max(len(record.steps), 1), clock=lambda: 0.0)
    return player.views


class _Player:
    """Takes the recorded decisions again, and keeps the views it was given."""

    def __init__(self, record: EpisodeRecord) -> None:
        self.name = record.agent
        self.views: list[View] = []
        self._steps = record.steps

    def act(self, view: View) -> Decision:
        """The recorded decision."""
        step = self._steps[len(self.views)]
        self.views.append(view)
        return Decision(action=step.action, reason=step.reason, failure=step.failure)


class _Stage:
    """An environment that gives the recorded steps again, whatever is sent."""

    name = "recorded"
    reward_range = (0.0, 1.0)
    max_steps = 1

    def __init__(self, record: EpisodeRecord) -> None:
        self._steps = self._play(record.steps)

    @staticmethod
    def _play(steps: Sequence[StepRecord]) -> Iterator[Step]:
        shown = [
            Step(observation=step.observation, actions=tuple(step.actions), subtask=step.subtask)
            for step in steps
        ]
        yield from shown[:1]
        for step, following in zip(steps, [*shown[1:], Step(observation="")], strict=False):
            if step.action is not None:  # what could not be used was not sent
                yield replace(following, reward=step.reward)

    def task_sets(self) -> dict[str, str]:
        """None."""
        return {}

    def tasks(self, spec: str) -> list[Task]:
        """None."""
        return []

    def reset(self, task: Task | str, *, seed: int = 0) -> Step:
        """The first step."""
        return next(self._steps)

    def step(self, action: str) -> Step:
        """The next step."""
        return next(self._steps)

    def succeeded(self, total_reward: float, last: Step) -> bool:
        """Nobody asks."""
        return False

    def spawn(self) -> _Stage:
        """Never played by several."""
        return self

    def close(self) -> None:
        """Nothing to free."""
