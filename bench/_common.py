"""What the benchmarks share: texts of the bundled shop, quantiles, and the facts a figure needs."""

from __future__ import annotations

import platform
import random
import sqlite3
import statistics
from collections.abc import Callable, Sequence
from time import perf_counter

import numpy as np

import rlem
from rlem.core.types import Episode, Situation, Step, Task, Transition
from rlem.environments.registry import make
from rlem.environments.webshop.env import WebShop

STEPS = 5
"""Situations of one task in a memory."""


def facts() -> str:
    """What a figure depends on and no machine decides."""
    return (
        f"rlem {rlem.__version__}, Python {platform.python_version()}, numpy {np.__version__}, "
        f"SQLite {sqlite3.sqlite_version}"
    )


def choose(step: Step, task: Task, rng: random.Random) -> str:
    """A random action that is valid on the page; searches take words of the task."""
    action = rng.choice(step.actions)
    if action.startswith("search["):
        words = task.instruction.split()
        return f"search[{' '.join(rng.sample(words, min(4, len(words))))}]"
    return action


class Walker:
    """Random walks in a shop that is large enough for so many tasks; no task is walked twice."""

    def __init__(self, tasks: int) -> None:
        products = 1000
        while True:
            shop = make("webshop", n_products=products)
            assert isinstance(shop, WebShop)
            if len(shop.catalogue.goals) >= tasks:
                break
            products *= 2
        self._shop = shop
        self._tasks = iter(shop.tasks(f"0:{tasks}"))

    def episode(self) -> Episode:
        """The next task: STEPS different situations, reward on the last step."""
        task = next(self._tasks)
        rng = random.Random(task.id)
        step = self._shop.reset(task)
        found: dict[str, Transition] = {}
        for _ in range(20 * STEPS):
            situation = Situation(task=task.instruction, observation=step.observation, actions=step.actions)
            action = choose(step, task, rng)
            if action == "click[buy now]":
                action = "click[back to search]"
            reward = float(rng.random() < 0.4) if len(found) == STEPS - 1 else 0.0
            found.setdefault(situation.key, Transition(situation=situation, action=action, reward=reward))
            if len(found) == STEPS:
                break
            step = self._shop.step(action)
        return Episode(id=task.id, task=task.instruction, transitions=tuple(found.values()), source="bench")

    def episodes(self, count: int) -> list[Episode]:
        """The next episodes."""
        return [self.episode() for _ in range(count)]

    def query(self, place: int) -> Situation:
        """A situation of a task that no memory has seen, at one of the steps of a walk."""
        transitions = self.episode().transitions
        return transitions[place % len(transitions)].situation


def timed(work: Callable[[], object]) -> float:
    """Milliseconds that some work takes."""
    begin = perf_counter()
    work()
    return 1000 * (perf_counter() - begin)


def p50(values: Sequence[float]) -> float:
    """The median."""
    return statistics.median(values)


def quantile(values: Sequence[float], share: float) -> float:
    """The value that this share of all values does not pass."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
