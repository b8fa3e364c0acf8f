"""Memories of the reference implementation, recalled on screens of the offline app."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from rlem.core.types import Situation, Step
from rlem.environments.wikihow.env import WikiHow
from rlem.memory.config import MemoryConfig
from rlem.memory.legacy import load_pool
from rlem.memory.memory import ExperienceMemory
from rlem.memory.volatile import InMemoryStore
from rlem.similarity.config import preset
from rlem.similarity.tables import PATTERN_STARTS

POOLS = ("init_pool.q.yaml", "init_pool2.q.yaml", "init_pool3.q.yaml", "annotated_pool-auto.q.yaml")


@cache
def world() -> WikiHow:
    """The default app, made once."""
    return WikiHow.bundled()


@cache
def memory_of(path: Path) -> ExperienceMemory:
    """A pool as a memory."""
    memory = ExperienceMemory(InMemoryStore(), MemoryConfig(similarity=preset("wikihow")))
    memory.record_many(load_pool(path, trust="verified").episodes)
    return memory


def pattern(subtask: str) -> str:
    """The kind of an instruction."""
    return next(
        (kind for start, kind in PATTERN_STARTS.items() if subtask.lower().startswith(start)), "search"
    )


def situations() -> list[tuple[Situation, Step]]:
    """What the oracle sees on its way through one task of each kind."""
    found = []
    for kind in ("plain", "about", "author", "category", "reference"):
        task = next(task for task in world().tasks("test") if task.kind == kind)
        env = world().spawn()
        step = env.reset(task)
        for action in world().oracle(task):
            situation = Situation(
                task=task.instruction,
                observation=step.observation,
                actions=step.actions,
                subtask=step.subtask,
            )
            found.append((situation, step))
            step = env.step(action)
    return found


@pytest.mark.parametrize("name", POOLS)
def test_pools_load_and_are_recalled_on_offline_screens(name: str, golden: Callable[[str], Path]) -> None:
    """Each situation recalls two exemplars; at the start, where nothing is due and the app is at home, the
    nearest one is the same screen with an encouraged search."""
    memory = memory_of(golden(f"pools/{name}"))
    for situation, step in situations():
        found = memory.recall(situation, 2)
        assert len(found) == 2
        assert found[0].similarity >= found[1].similarity
        if not step.subtask:
            assert found[0].similarity == pytest.approx(1.0)
            assert found[0].experience.best.action.startswith("INPUT(2, ")


def test_the_annotated_pool_gives_sensible_exemplars(golden: Callable[[str], Path]) -> None:
    """With 38 annotated situations the nearest one is due the same kind of step, on a screen that is laid out
    alike, wherever the pool has such a step; and it encourages what the oracle's verb is in most cases."""
    memory = memory_of(golden("pools/annotated_pool-auto.q.yaml"))
    kinds = {pattern(experience.situation.subtask) for experience in memory.experiences()}
    assert kinds >= {"search", "article", "author", "category", "about"}
    checked = 0
    for situation, _ in situations():
        best = memory.recall(situation, 1)[0]
        if pattern(situation.subtask) in kinds:
            assert pattern(best.experience.situation.subtask) == pattern(situation.subtask)
            assert best.similarity > 0.75
            checked += 1
    assert checked >= 10
