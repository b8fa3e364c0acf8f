"""One experience while it learns, and as it is kept: running statistics of the actions of one situation."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from rlem.core.types import Situation
from rlem.memory.experience import ActionValue, Experience
from rlem.values import Estimate, merge_double


@dataclass(slots=True)
class Stats:
    """Running statistics of one action; ``tables`` holds one estimate, or two under double Q."""

    action: str
    tables: list[Estimate]
    reward: Estimate = field(default_factory=Estimate)
    verified: Estimate = field(default_factory=Estimate)
    visits: int = 0
    reason: str = ""

    def of(self, table: int | None) -> Estimate:
        """The estimate in one table; None: over verified targets alone."""
        return self.verified if table is None else self.tables[table]

    def merged(self) -> Estimate:
        """The estimate that is shown: the only table, or both of double Q."""
        return self.tables[0] if len(self.tables) == 1 else merge_double(*self.tables)


@dataclass(slots=True)
class Entry:
    """One experience. ``samples``: visits of the actions it has, together; ``last_visit``: sequence
    number of the episode that was here last; ``sources``: how many of its visits came from which source."""

    situation: Situation
    actions: dict[str, Stats] = field(default_factory=dict)
    history: tuple[str, ...] = ()
    last_reward: Estimate = field(default_factory=Estimate)
    total_reward: Estimate = field(default_factory=Estimate)
    visits: int = 0
    samples: int = 0
    last_visit: int = 0
    sources: dict[str, int] = field(default_factory=dict)
    snapshot: Experience | None = None

    def value(self, table: int | None, inserted: Stats | None = None) -> float | None:
        """max_a Q in one table (see ``Stats.of``); None where it has nothing of this situation.

        ``inserted``: an action that counts with its value of 0 before its first target.
        """
        known = (s.of(table).value for s in self.actions.values() if s.of(table).visits or s is inserted)
        return max(known, default=None)

    def experience(self) -> Experience:
        """A frozen snapshot; the same one until something is learned."""
        if self.snapshot is None:
            self.snapshot = Experience(
                situation=self.situation,
                actions=tuple(_action_value(stats) for stats in self.actions.values()),
                history=self.history,
                last_reward=self.last_reward.value,
                total_reward=self.total_reward.value,
                visits=self.visits,
                sources=dict(self.sources),
            )
        return self.snapshot


def pack(entry: Entry, age: int) -> list[Any]:
    """An entry as JSON-able lists; ``age``: its place in the order of first visits."""
    return [
        age,
        list(entry.history),
        _numbers(entry.last_reward),
        _numbers(entry.total_reward),
        entry.visits,
        entry.last_visit,
        entry.sources,
        [
            [name, s.action, s.reason, s.visits, *map(_numbers, (s.reward, s.verified, *s.tables))]
            for name, s in entry.actions.items()
        ],
    ]


def unpack(situation: Situation, state: list[Any]) -> tuple[Entry, int]:
    """The entry and the age that ``pack`` packed. ValueError, TypeError or LookupError if it is damaged."""
    age, history, last_reward, total_reward, visits, last_visit, sources, actions = state
    entry = Entry(
        situation,
        history=tuple(history),
        last_reward=_estimate(last_reward),
        total_reward=_estimate(total_reward),
        visits=visits,
        last_visit=last_visit,
        sources=dict(sources),
    )
    for name, action, reason, count, reward, verified, *tables in actions:
        entry.actions[name] = Stats(
            action=action,
            tables=[_estimate(table) for table in tables],
            reward=_estimate(reward),
            verified=_estimate(verified),
            visits=count,
            reason=reason,
        )
        entry.samples += count
    return entry, int(age)


def _numbers(estimate: Estimate) -> list[float]:
    return [estimate.visits, estimate.value, estimate.m2]


def _estimate(data: list[float]) -> Estimate:
    return Estimate(int(data[0]), float(data[1]), float(data[2]))


def _action_value(stats: Stats) -> ActionValue:
    merged = stats.merged()
    return ActionValue(
        action=stats.action,
        visits=merged.visits,
        q_value=merged.value,
        m2=merged.m2,
        reward_mean=stats.reward.value,
        verified_visits=stats.verified.visits,
        verified_q_value=stats.verified.value,
        reason=stats.reason,
    )
