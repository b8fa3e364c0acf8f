"""Small worlds and runs for the tests of the runner: a scripted stage, a corridor with outages."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rlem.agents.base import Decision, View
from rlem.core.types import Step, Task
from rlem.environments.toy import Corridor
from rlem.llm.base import LanguageModel
from rlem.llm.embedded import EmbeddedReader
from rlem.memory.memory import ExperienceMemory
from rlem.memory.sqlite import SQLiteStore
from rlem.runner.folder import RunFolder
from rlem.runner.play import Job
from rlem.runner.records import EpisodeRecord, RunConfig
from rlem.runner.setup import make_agent, make_run, open_memory
from rlem.runner.training import Run

ACTIONS = ("go left", "go right")
TASK = Task(id="stage:1", instruction="Find the exit.", kind="maze")


def job(**changes: Any) -> Job:
    """A training job of the stage's task."""
    fields: dict[str, Any] = {"phase": "train", "epoch": 1, "arm": "memory", "seed": 0, "task": TASK}
    return Job(**({"index": 0} | fields | changes))


class Stage:
    """An environment that answers each action with the next step (or error) of a list.

    ``sent`` keeps the actions that arrived. After the list it repeats a plain page.
    """

    name = "stage"
    reward_range = (0.0, 1.0)
    max_steps = 10

    def __init__(
        self, steps: Sequence[Step | Exception] = (), *, first: Step | Exception | None = None
    ) -> None:
        self._steps = list(steps)
        self._first = first or Step(observation="page 0", actions=ACTIONS)
        self.sent: list[str] = []

    def task_sets(self) -> Mapping[str, str]:
        """None."""
        return {}

    def tasks(self, spec: str) -> Sequence[Task]:
        """The one task, whatever is asked for."""
        return [TASK]

    def reset(self, task: Task | str, *, seed: int = 0) -> Step:
        """The first step."""
        return _given(self._first)

    def step(self, action: str) -> Step:
        """The next step of the list."""
        self.sent.append(action)
        at = len(self.sent)
        if at <= len(self._steps):
            return _given(self._steps[at - 1])
        return Step(observation=f"page {at}", actions=ACTIONS)

    def succeeded(self, total_reward: float, last: Step) -> bool:
        """Whether all of the reward was earned."""
        return total_reward == 1.0

    def spawn(self) -> Stage:
        """Another one with the same script."""
        return Stage(self._steps, first=self._first)

    def close(self) -> None:
        """Nothing to free."""


def _given(item: Step | Exception) -> Step:
    if isinstance(item, Exception):
        raise item
    return item


class Watcher:
    """An agent that keeps the views it was given and decides by a list (None: no usable answer)."""

    name = "watcher"

    def __init__(self, decisions: Sequence[str | None]) -> None:
        self._decisions = list(decisions)
        self.views: list[View] = []

    def act(self, view: View) -> Decision:
        """The next decision."""
        action = self._decisions[len(self.views) % len(self._decisions)]
        self.views.append(view)
        return Decision(
            action=action, reason="a reason" if action else "", failure="" if action else "no-action: x"
        )


class FaultyCorridor(Corridor):
    """A corridor in which doors of the tasks in ``faulty`` fall off their hinges."""

    def __init__(self, faulty: set[str] | None = None, *, rooms: int = 2, seed: int = 0) -> None:
        super().__init__(rooms=rooms, seed=seed)
        self.faulty: set[str] = set() if faulty is None else faulty
        self._name = ""

    def reset(self, task: Task | str, *, seed: int = 0) -> Step:
        """As the corridor's."""
        self._name = task if isinstance(task, str) else task.id
        return super().reset(task, seed=seed)

    def step(self, action: str) -> Step:
        """As the corridor's, or an error that no contract knows."""
        if self._name in self.faulty:
            raise ZeroDivisionError("the door fell off its hinges")
        return super().step(action)

    def spawn(self) -> FaultyCorridor:
        """Another messenger; faults are shared."""
        return FaultyCorridor(self.faulty, rooms=self.rooms, seed=self.seed)


def corridor_config(**changes: Any) -> RunConfig:
    """A run of the corridor that takes a fraction of a second."""
    fields: dict[str, Any] = {
        "environment": "corridor",
        "train_tasks": "0:4",
        "test_tasks": "10:13",
        "epochs": 2,
        "max_steps": 5,
    }
    return RunConfig.model_validate(fields | changes)


def execute(
    config: RunConfig, path: Path, *, workers: int = 1, model: LanguageModel | None = None
) -> RunFolder:
    """Plays a run (or what is missing of it) in a folder."""
    folder = RunFolder(path)
    make_run(config, folder, model or EmbeddedReader(), workers=workers).execute()
    return folder


def faulty_run(
    config: RunConfig,
    folder: RunFolder,
    environment: FaultyCorridor,
    *,
    workers: int = 1,
    opened: Callable[[ExperienceMemory], ExperienceMemory] = lambda memory: memory,
) -> Run:
    """A run over a corridor of the caller's."""
    model = EmbeddedReader()
    return Run(
        config,
        folder,
        environment,
        open_memory=lambda seed: opened(open_memory(config, folder.memory_path(seed))),
        make_agent=lambda memory: make_agent(config, environment, model, memory),
        model_name=model.name,
        workers=workers,
    )


def outcome(folder: RunFolder, seeds: Sequence[int] = (0,)) -> tuple[bytes, list[str]]:
    """What a run leaves: the bytes of its records, and the hash of each seed's memory."""
    return folder.episodes_path.read_bytes(), [memory_hash(folder, seed) for seed in seeds]


def memory_hash(folder: RunFolder, seed: int = 0) -> str:
    """The hash of one seed's memory."""
    memory = ExperienceMemory(SQLiteStore(folder.memory_path(seed)))
    try:
        return memory.hash()
    finally:
        memory.close()


def records_of(folder: RunFolder) -> list[EpisodeRecord]:
    """The records of a run, in file order."""
    lines = folder.episodes_path.read_bytes().splitlines()
    return [EpisodeRecord.model_validate_json(line) for line in lines]
