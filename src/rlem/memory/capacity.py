"""What an experience takes of a memory's capacity, and which of its actions go first."""

from __future__ import annotations

from collections.abc import Mapping
from heapq import nsmallest

from rlem.core.types import Situation
from rlem.memory.config import MemoryConfig
from rlem.memory.entry import Entry
from rlem.memory.eviction import worth


def prune(entry: Entry, config: MemoryConfig) -> None:
    """Drops the surplus actions of an experience, those of middling value first.

    Best and worst say most: what to do and what not. The value counts by its distance from half-way between
    the two, less for few samples; the best verified action stays. In the reference: the lowest reward goes.
    """
    surplus = len(entry.actions) - (config.max_actions or len(entry.actions))
    if surplus <= 0:
        return
    reference = config.values.compat == "reference"
    merged = {name: stats.merged() for name, stats in entry.actions.items()}
    values = [estimate.value for estimate in merged.values()]
    middle = min(values) / 2.0 + max(values) / 2.0
    best = max(merged, key=lambda name: (worth(entry.actions[name].verified), merged[name].value))

    def use(name: str) -> tuple[bool, float, int, str]:
        known = merged[name]
        if reference:
            return False, entry.actions[name].reward.value, entry.actions[name].visits, ""
        told = abs(known.value - middle) * known.visits / (known.visits + 1)
        return name == best, told, known.visits, name

    for name in nsmallest(surplus, entry.actions, key=use):
        entry.samples -= entry.actions.pop(name).visits


def fixed_bytes(situation: Situation, features: Mapping[str, bytes]) -> int:
    """Of an experience's bytes (see ``MemoryConfig.max_bytes``) those that learning does not change."""
    texts = (situation.task, situation.observation, situation.subtask, *situation.actions)
    return _size(*texts) + sum(map(len, features.values()))


def learned_bytes(entry: Entry) -> int:
    """Of an experience's bytes those that learning does change."""
    size = _size(*entry.history) + 8 * 7
    for stats in entry.actions.values():
        size += _size(stats.action, stats.reason) + 8 * (7 + 3 * len(stats.tables))
    return size


def _size(*texts: str) -> int:
    return sum(len(text.encode("utf-8", "surrogatepass")) for text in texts)
