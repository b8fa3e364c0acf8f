"""What a small memory keeps of a large one's success: python bench/capacity.py [--seeds 5] [--speed]

A long stream: hundreds of tasks of the bundled shop, each played once and learned. Then the memory is
frozen and plays held-out tasks. Arms that differ in nothing but the memory: unbounded; bounded by rlem's
eviction; bounded by giving up at random, or the oldest (made here for comparison); and frozen when full,
as the reference code does. Target: bounded success at least .90 of unbounded success.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from time import perf_counter

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench._common import STEPS, Walker, facts

import rlem.memory.table as engine
from rlem.core.types import Situation
from rlem.environments.registry import make
from rlem.evidence.intervals import Interval, Values, mean_interval, paired_difference
from rlem.llm.embedded import EmbeddedReader
from rlem.memory.config import MemoryConfig
from rlem.memory.eviction import Eviction, Lesson
from rlem.memory.memory import ExperienceMemory
from rlem.memory.volatile import InMemoryStore
from rlem.runner.folder import RunFolder
from rlem.runner.records import EpisodeRecord, RunConfig
from rlem.runner.setup import make_agent, memory_config
from rlem.runner.training import Run, SilentObserver
from rlem.similarity.base import Similarity
from rlem.values.config import Compat

GOAL = 0.9


class AtRandom(Eviction):
    """Gives up any experience; seeded by nothing, the same in every run."""

    def __init__(self, similarity: Similarity) -> None:
        super().__init__(similarity)
        self._random = random.Random(0)

    def choose(self) -> int:
        """A random slot."""
        return self._random.choice(sorted(self._situations))


class OldestFirst(Eviction):
    """Gives up what came first."""

    def __init__(self, similarity: Similarity) -> None:
        super().__init__(similarity)
        self._arrivals: dict[int, int] = {}
        self._count = 0

    def add(self, slot: int, situation: Situation, features: Mapping[str, bytes] | None, new: Lesson) -> None:
        """Notes the arrival."""
        super().add(slot, situation, features, new)
        self._count += 1
        self._arrivals[slot] = self._count

    def choose(self) -> int:
        """The slot filled first."""
        return min(self._situations, key=self._arrivals.__getitem__)


ARMS: Mapping[str, tuple[bool, type[Eviction], Compat]] = {
    "unbounded": (False, Eviction, "default"),
    "rlem": (True, Eviction, "default"),
    "at random": (True, AtRandom, "default"),
    "oldest first": (True, OldestFirst, "default"),
    "frozen when full": (True, Eviction, "reference"),
}


class _Scores(SilentObserver):
    """Success of the evaluations, and how many different situations the training met."""

    def __init__(self) -> None:
        self.before: dict[tuple[str, int], float] = {}
        self.after: dict[tuple[str, int], float] = {}
        self.training: list[bool] = []
        self.met: set[str] = set()

    def episode(self, record: EpisodeRecord, *, replayed: bool) -> None:
        """Takes a record's success."""
        if record.phase == "eval":
            scores = self.after if record.epoch else self.before
            scores[record.task_id, record.seed] = float(record.success)
            return
        self.training.append(record.success)
        for step in record.steps:
            actions = tuple(step.actions)
            self.met.add(
                Situation(task=record.instruction, observation=step.observation, actions=actions).key
            )


def play(arm: str, options: argparse.Namespace) -> _Scores:
    """Trains and evaluates one arm on all seeds; each seed has training tasks of its own."""
    bounded, kind, compat = ARMS[arm]
    engine.Eviction = kind  # type: ignore[attr-defined]
    world, reader, scores = make("webshop"), EmbeddedReader(), _Scores()
    for seed in range(options.first_seed, options.first_seed + options.seeds):
        start = options.start + seed * options.tasks
        config = RunConfig(
            environment="webshop",
            agent_options={"k": 3},
            memory_options={"discount": 0.9},
            train_tasks=f"{start}:{start + options.tasks}",
            test_tasks=options.test,
            epochs=1,
            seeds=[seed],
            control=False,
        )
        settings = memory_config(config)
        if bounded:
            values = replace(settings.values, compat=compat)
            settings = replace(settings, max_experiences=options.capacity, values=values)
        with tempfile.TemporaryDirectory() as folder:
            Run(
                config,
                RunFolder(Path(folder)),
                world,
                open_memory=lambda _, made=settings: ExperienceMemory(InMemoryStore(), made),  # type: ignore[misc]
                make_agent=lambda memory, asked=config: make_agent(asked, world, reader, memory),  # type: ignore[misc]
                model_name=reader.name,
                observer=scores,
            ).execute()
    return scores


def ratio(ours: Values, theirs: Values) -> tuple[float, float, float]:
    """Ratio of two means with its 95 % interval: the c for which that of ours - c * theirs holds 0."""

    def bounds(c: float) -> tuple[float, float]:
        found = paired_difference(ours, {key: c * value for key, value in theirs.items()}, resamples=4000)
        assert found.interval is not None
        return found.interval.low, found.interval.high

    ends = []
    for side in (0, 1):
        low, high = 0.0, 4.0
        for _ in range(14):
            middle = (low + high) / 2.0
            low, high = (middle, high) if bounds(middle)[side] > 0.0 else (low, middle)
        ends.append((low + high) / 2.0)
    return sum(ours.values()) / max(sum(theirs.values()), 1e-9), ends[0], ends[1]


def success(options: argparse.Namespace) -> None:
    """Prints the table of arms."""
    print(
        f"bundled shop, {options.tasks} training tasks once, seeds {options.first_seed} to "
        f"{options.first_seed + options.seeds - 1}, test tasks {options.test}, capacity {options.capacity}"
    )
    print("arm               success (95 %)          of unbounded (95 %)    training  situations met")
    unbounded: Values = {}
    for arm in options.arms.split(",") if options.arms else ARMS:
        scores = play(arm, options)
        if arm == "unbounded":
            unbounded = scores.after
            _row("no memory", mean_interval(scores.before), ratio(scores.before, unbounded), "")
        rest = f"{sum(scores.training) / len(scores.training):8.1%} {len(scores.met) / options.seeds:12,.0f}"
        _row(arm, mean_interval(scores.after), ratio(scores.after, unbounded), rest)


def _row(name: str, found: Interval, share: tuple[float, float, float], rest: str) -> None:
    mean = f"{found.estimate:6.1%} ({found.low:.1%} to {found.high:.1%})"
    print(f"{name:17} {mean:25} {share[0]:5.2f} ({share[1]:.2f} to {share[2]:.2f}) {rest}", flush=True)


def speed(options: argparse.Namespace) -> None:
    """Prints what learning costs a full memory, beside one that has no bound."""
    print("capacity   ms per new experience, full   without bound   ratio")
    for capacity in (50, 500, 5000):
        episodes = Walker(2 * capacity // STEPS).episodes(2 * capacity // STEPS)
        half, found = len(episodes) // 2 + 1, []
        for limit in (capacity, None):
            table = engine.ExperienceTable(replace(_settings(), max_experiences=limit))
            for item in episodes[:half]:
                table.learn(item)
            begin = perf_counter()
            for item in episodes[half:]:
                table.learn(item)
            found.append(1000 * (perf_counter() - begin) / (STEPS * (len(episodes) - half)))
        print(f"{capacity:8,} {found[0]:29.2f} {found[1]:15.2f} {found[0] / found[1]:7.1f}", flush=True)


def _settings() -> MemoryConfig:
    return memory_config(RunConfig(environment="webshop"))


def main() -> None:
    """Success of all arms, or with --speed the cost of eviction."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", type=int, default=500, help="training tasks of a seed")
    parser.add_argument("--start", type=int, default=1000, help="first training task of seed 0")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--test", default="0:100", help="held-out tasks")
    parser.add_argument("--capacity", type=int, default=50)
    parser.add_argument("--arms", default="", help=f"of {', '.join(ARMS)}; unbounded comes first")
    parser.add_argument("--speed", action="store_true", help="the cost of eviction in place of success")
    options = parser.parse_args()
    print(facts())
    (speed if options.speed else success)(options)


if __name__ == "__main__":
    main()
