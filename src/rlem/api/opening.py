"""``rlem.open``: a memory with its settings, and how this handle of it advises."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from rlem.advice.choice import Choose, Explore
from rlem.api.memory import Memory
from rlem.api.stores import open_store
from rlem.core.errors import UsageError
from rlem.core.types import Trust
from rlem.memory.config import MemoryConfig
from rlem.memory.memory import ExperienceMemory, Progress
from rlem.memory.ranking import Rank
from rlem.memory.store import MAIN, Store
from rlem.similarity.base import Similarity
from rlem.similarity.config import preset
from rlem.values import ValueConfig


def open(
    location: str | Path,
    *,
    similarity: Similarity | str | None = None,
    values: ValueConfig | None = None,
    max_experiences: int | None = None,
    max_actions: int | None = None,
    max_bytes: int | None = None,
    sources: Mapping[str, Trust] | None = None,
    max_influence: float | None = None,
    view: str = MAIN,
    style: str = "generic",
    k: int = 2,
    reward_range: tuple[float, float] | None = None,
    seed: int = 0,
    rank: Rank = "similarity",
    choose: Choose = "value",
    explore: Explore = "none",
    control: float = 0.0,
    guard: bool = False,
    read_only: bool = False,
    progress: Progress | None = None,
) -> Memory:
    """Opens a memory, and makes it if it is not there.

    ``location`` is a file path, a ``postgresql://`` URL (docs/postgres.md) or ":memory:". ``similarity``
    (an object or the name of a preset: "default", "webshop", "wikihow"), ``values``, the capacities, and the
    trust in ``sources`` with ``max_influence`` (docs/memory.md) are settings of the memory itself: given for
    an existing one they must match it, left out it keeps its own.
    ``view`` names one of several ways to learn from the same log, each with settings of its own; one that is
    not there yet is made with the settings given.
    ``style``, ``k``, ``reward_range`` and ``seed`` shape the advice of this handle: prompt form, number of
    exemplars, range of an episode's return (for intervals), and every draw. ``rank`` ("similarity",
    "similarity+value"), ``choose`` ("value", "bounds") and ``explore`` ("none", "untried", "upper",
    "thompson"; open for tests with "none") say which experiences and actions it takes: docs/advice.md.
    ``control`` is the share of episodes that get no advice, so that ``effect()`` tells what memory does;
    ``guard`` mutes what does harm: docs/control.md. Outcomes are rewards cut to ``reward_range`` (0 to 1).
    """
    store = open_store(location, read_only=read_only)
    try:
        if not isinstance(similarity, str | Similarity | None):
            raise UsageError(
                f"similarity={similarity!r} is not possible: give the name of a preset, or one made"
            )
        given = {
            "values": values,
            "similarity": preset(similarity) if isinstance(similarity, str) else similarity,
            "max_experiences": max_experiences,
            "max_actions": max_actions,
            "max_bytes": max_bytes,
            "sources": sources,
            "max_influence": max_influence,
        }
        memory = ExperienceMemory(store, _config(store, view, given), view=view, progress=progress)
        return Memory(
            memory,
            style=style,
            k=k,
            reward_range=reward_range,
            seed=seed,
            rank=rank,
            choose=choose,
            explore=explore,
            control=control,
            guard=guard,
        )
    except BaseException:
        store.close()
        raise


def _config(store: Store, view: str, given: Mapping[str, Any]) -> MemoryConfig | None:
    """The settings asked for; those left out are the store's own, or the defaults of a new one."""
    asked = {name: value for name, value in given.items() if value is not None}
    if not asked:
        return None
    stored = store.settings(view) or store.settings(MAIN)
    return replace(MemoryConfig.from_json(stored) if stored else MemoryConfig(), **asked)
