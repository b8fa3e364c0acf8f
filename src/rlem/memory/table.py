"""The derived state of a memory: experiences and their values, as replaying the log gives them.

``ExperienceTable`` is pure: it is fed episodes in canonical order and never reads a store. Two tables
fed the same episodes under the same config are equal, whatever was fed and taken back before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rlem.core.seeds import derive_seed
from rlem.core.types import Episode, Situation, Transition
from rlem.memory.config import MemoryConfig
from rlem.memory.eviction import Redundancy
from rlem.memory.experience import ActionValue, Experience
from rlem.similarity.index import SimilarityIndex
from rlem.values import (
    Estimate,
    constant_step,
    lambda_return,
    merge_double,
    monte_carlo_returns,
    n_step_target,
    running_mean,
)

FeatureSource = Callable[[Situation], Mapping[str, bytes] | None]

_Returns = dict[int | None, list[float]]


@dataclass(slots=True)
class _Stats:
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
class _Entry:
    """One experience while it learns."""

    situation: Situation
    slot: int
    actions: dict[str, _Stats] = field(default_factory=dict)
    history: tuple[str, ...] = ()
    last_reward: Estimate = field(default_factory=Estimate)
    total_reward: Estimate = field(default_factory=Estimate)
    visits: int = 0

    def value(self, table: int | None, inserted: _Stats | None = None) -> float | None:
        """max_a Q in one table (see ``_Stats.of``); None where it has nothing of this situation.

        ``inserted``: an action that counts with its value of 0 before its first target.
        """
        known = (s.of(table).value for s in self.actions.values() if s.of(table).visits or s is inserted)
        return max(known, default=None)


class ExperienceTable:
    """Experiences by key, their similarity index, and the learning that fills them. Not thread-safe."""

    def __init__(self, config: MemoryConfig, features: FeatureSource = lambda situation: None) -> None:
        self.config = config
        self.index = SimilarityIndex(config.similarity)
        self._features = features
        self._entries: dict[str, _Entry] = {}
        self._by_slot: list[_Entry | None] = []
        self._free: list[int] = []
        self._redundancy: Redundancy | None = None  # made when the table first overflows
        self._inserted: _Stats | None = None
        self._samples: NDArray[np.int64] = np.zeros(16, dtype=np.int64)
        self._key_rank: NDArray[np.uint64] = np.zeros(16, dtype=np.uint64)
        self._age = 0
        self._ages: NDArray[np.int64] = np.zeros(16, dtype=np.int64)

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, key: str) -> bool:
        return key in self._entries

    # -- reading -------------------------------------------------------------------------------------

    def get(self, key: str) -> Experience | None:
        """The experience of a key, as a frozen snapshot."""
        entry = self._entries.get(key)
        return _snapshot(entry) if entry else None

    def keys(self) -> Iterable[str]:
        """Keys of all experiences."""
        return self._entries.keys()

    def situation(self, key: str) -> Situation:
        """The situation of a key that is in the table."""
        return self._entries[key].situation

    def experiences(self) -> Iterable[Experience]:
        """All experiences in order of their keys."""
        return (_snapshot(self._entries[key]) for key in sorted(self._entries))

    def ranked(self, query: Situation, k: int) -> list[tuple[Experience, float, int]]:
        """The k most similar experiences with their scores and slots.

        Order: similarity, then samples, then content key (insertion order under compat="reference").
        """
        if not self._entries or k < 1:
            return []
        scores = self.index.scores(query)
        return [
            (_snapshot(entry), float(scores[slot]), slot)
            for slot in self._order(scores, k)
            if (entry := self._by_slot[slot]) is not None
        ]

    def _order(self, scores: NDArray[np.float64], k: int) -> list[int]:
        used = len(self._by_slot)
        scores = scores[:used]
        k = min(k, len(self._entries))
        bar = np.partition(scores, used - k)[used - k]
        candidates = np.flatnonzero(scores >= max(bar, 0.0))
        last = self._ages if self.config.values.compat == "reference" else self._key_rank
        order = np.lexsort((last[candidates], -self._samples[candidates], -scores[candidates]))
        return [int(slot) for slot in candidates[order[:k]]]

    # -- learning ------------------------------------------------------------------------------------

    def learn(self, episode: Episode) -> set[str]:
        """Learns one episode: its transitions in step order, each update visible to the next.

        Returns the keys whose experience changed, appeared or was evicted. Broken and quarantined
        episodes teach nothing, and format failures are as if they had not been.
        """
        if episode.status == "broken" or episode.trust == "quarantined":
            return set()
        steps = [t for t in episode.transitions if t.action is not None]
        if not steps:
            return set()
        touched: set[str] = set()
        returns = self._complete_returns(episode, steps)
        history = list(episode.history)
        last_reward, total_reward = episode.last_reward, episode.total_reward
        for t, step in enumerate(steps):
            entry = self._visit(step.situation, tuple(history), last_reward, total_reward)
            if entry is not None:
                self._update(episode, steps, t, entry, returns, last_reward)
                touched.add(step.situation.key)
            history.append(step.action or "")
            last_reward = step.reward
            total_reward += step.reward
        return touched | self._evict()

    def _complete_returns(self, episode: Episode, steps: list[Transition]) -> _Returns | None:
        """Monte-Carlo returns where no bootstrapping inside the episode is needed, else None.

        By the table whose values stand for what a cut episode missed; all equal where nothing does.
        """
        values = self.config.values
        if values.n is not None and values.n < len(steps):
            return None
        if values.trace_decay is not None and values.trace_decay < 1.0:
            return None
        rewards = [s.reward for s in steps]
        self._inserted = None
        return {
            table: monte_carlo_returns(rewards, values.discount, self._tail(episode, table))
            for table in ((0, 1, None) if values.double else (0, None))
        }

    def _tail(self, episode: Episode, table: int | None) -> float:
        """Value of what follows the last transition: 0, or V(final) of a cut episode if asked for."""
        if self.config.values.truncation == "bootstrap" and episode.status == "truncated" and episode.final:
            return self._value(episode.final, table)
        return 0.0

    def _update(
        self,
        episode: Episode,
        steps: list[Transition],
        t: int,
        entry: _Entry,
        returns: _Returns | None,
        reward_before: float,
    ) -> None:
        """One Q-learning update of the action taken at step t.

        The verified estimate has targets of its own: what others claim must not come in by bootstrapping.
        """
        values = self.config.values
        step = steps[t]
        reference = values.compat == "reference"
        table = derive_seed(values.seed, episode.id, t) & 1 if values.double else 0
        other = 1 - table if values.double else 0
        stats = self._stats(entry, step, reference)
        stats.visits += 1
        self._samples[entry.slot] += 1
        verified = episode.trust == "verified"
        self._inserted = stats
        targets = {
            source: returns[source][t] if returns is not None else self._target(episode, steps, t, source)
            for source in ((other, None) if verified else (other,))
        }
        at_the_end = values.n is None or t + values.n >= len(steps)
        reward = reward_before if reference and at_the_end else step.reward
        stats.tables[table] = self._absorb(stats.tables[table], targets[other])
        stats.reward = self._absorb(stats.reward, reward)
        if verified:
            stats.verified = self._absorb(stats.verified, targets[None])
        stats.reason = step.reason or stats.reason
        self._prune(entry, reference)

    def _absorb(self, old: Estimate, target: float) -> Estimate:
        values = self.config.values
        if values.estimate == "constant":
            return constant_step(old, target, values.learning_rate)
        return running_mean(old, target)

    def _target(self, episode: Episode, steps: list[Transition], t: int, source: int | None) -> float:
        """The target of step t, bootstrapped from one table (n-step or lambda-return)."""
        values = self.config.values
        rest = [s.reward for s in steps[t:]]
        if values.trace_decay is not None:
            ahead = [self._value(s.situation, source) for s in steps[t + 1 :]]
            tail = self._tail(episode, source)
            return lambda_return(rest, ahead, values.discount, values.trace_decay, tail)
        n = values.n or len(rest)
        if n >= len(rest):
            return n_step_target(rest, values.discount, self._tail(episode, source))
        return n_step_target(rest[:n], values.discount, self._value(steps[t + n].situation, source))

    def _value(self, situation: Situation, table: int | None) -> float:
        """V(o): best recorded action of o; where the table has nothing of o, that of the most similar
        experience it has something of (F4); 0 if there is none."""
        # Under double Q an action is inserted into the table that learns it, not into the other one.
        inserted = None if self.config.values.double and table is not None else self._inserted
        entry = self._entries.get(situation.key)
        known = entry.value(table, inserted) if entry else None
        if known is not None:
            return known
        if not self._entries:
            return 0.0
        scores = self.index.scores(situation)
        looked = 0
        while looked < len(self._entries):
            slots = self._order(scores, 8 * looked + 1)
            for slot in slots[looked:]:
                candidate = self._by_slot[slot]
                known = candidate.value(table, inserted) if candidate else None
                if known is not None:
                    return known
            looked = len(slots)
        return 0.0

    def _stats(self, entry: _Entry, step: Transition, reference: bool) -> _Stats:
        action = step.action or ""
        name = f"{action}\x00{step.reason}" if reference else action
        stats = entry.actions.get(name)
        if stats is None:
            stats = _Stats(action, [Estimate()] * (2 if self.config.values.double else 1))
            entry.actions[name] = stats
        return stats

    def _visit(
        self, situation: Situation, history: tuple[str, ...], last_reward: float, total_reward: float
    ) -> _Entry | None:
        """The entry of a situation, made if new; None where the reference's full memory refuses it."""
        entry = self._entries.get(situation.key)
        if entry is None:
            limit = self.config.max_experiences
            if self.config.values.compat == "reference" and limit is not None and len(self) >= limit:
                return None
            entry = self._insert(situation)
            entry.history = history
        elif len(history) <= len(entry.history):
            entry.history = history
        entry.visits += 1
        entry.last_reward = self._absorb(entry.last_reward, last_reward)
        entry.total_reward = self._absorb(entry.total_reward, total_reward)
        return entry

    # -- capacity ------------------------------------------------------------------------------------

    def _prune(self, entry: _Entry, reference: bool) -> None:
        """Drops the worst action of an overfull experience: by value (by reward in the reference)."""
        limit = self.config.max_actions
        if limit is None or len(entry.actions) <= limit:
            return

        def worth(name: str) -> tuple[float, int]:
            stats = entry.actions[name]
            return (stats.reward.value if reference else stats.merged().value), stats.visits

        worst = min(entry.actions, key=worth)
        self._samples[entry.slot] -= entry.actions.pop(worst).visits

    def _evict(self) -> set[str]:
        """Brings the table back to its capacity; returns the keys that went."""
        gone: set[str] = set()
        limit = self.config.max_experiences
        if limit is None or self.config.values.compat == "reference":
            return gone
        while len(self._entries) > limit:
            if self._redundancy is None:
                self._redundancy = Redundancy(self.config.similarity)
                for entry in self._entries.values():
                    self._redundancy.add(entry.slot, entry.situation, None)
            slot = self._redundancy.choose(self._samples, self._key_rank, self._best_value)
            evicted = self._by_slot[slot]
            assert evicted is not None
            gone.add(evicted.situation.key)
            self._remove(evicted)
        return gone

    def _best_value(self, slot: int) -> float:
        entry = self._by_slot[slot]
        assert entry is not None
        return max(stats.merged().value for stats in entry.actions.values())

    # -- slots ---------------------------------------------------------------------------------------

    def _insert(self, situation: Situation, entry: _Entry | None = None) -> _Entry:
        slot = self._free.pop() if self._free else len(self._by_slot)
        if slot == len(self._by_slot):
            self._by_slot.append(None)
        if slot >= len(self._samples):
            self._samples, self._key_rank, self._ages = (
                np.concatenate([array, np.zeros_like(array)])
                for array in (self._samples, self._key_rank, self._ages)
            )
        entry = entry or _Entry(situation, slot)
        entry.slot = slot
        self._entries[situation.key] = entry
        self._by_slot[slot] = entry
        self._samples[slot] = sum(stats.visits for stats in entry.actions.values())
        self._key_rank[slot] = int(situation.key[:16], 16)
        self._ages[slot] = self._age
        self._age += 1
        features = self._features(situation)
        self.index.add(slot, situation, features)
        if self._redundancy is not None:
            self._redundancy.add(slot, situation, features)
        return entry

    def _remove(self, entry: _Entry) -> None:
        del self._entries[entry.situation.key]
        self._by_slot[entry.slot] = None
        self.index.remove(entry.slot)
        self._free.append(entry.slot)
        if self._redundancy is not None:
            self._redundancy.remove(entry.slot)

    # -- persistence ---------------------------------------------------------------------------------

    def state(self, key: str) -> list[Any] | None:
        """The full state of one experience as JSON-able lists, for ``restore``; None if it is gone."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        return [
            int(self._ages[entry.slot]),
            list(entry.history),
            _pack(entry.last_reward),
            _pack(entry.total_reward),
            entry.visits,
            [
                [name, s.action, s.reason, s.visits, *map(_pack, (s.reward, s.verified, *s.tables))]
                for name, s in entry.actions.items()
            ],
        ]

    def restore(self, items: Iterable[tuple[Situation, list[Any]]]) -> None:
        """Fills an empty table with states in place of replaying the log."""
        for situation, state in sorted(items, key=lambda item: item[1][0]):
            age, history, last_reward, total_reward, visits, actions = state
            entry = _Entry(situation, -1, history=tuple(history), visits=visits)
            entry.last_reward, entry.total_reward = _unpack(last_reward), _unpack(total_reward)
            for name, action, reason, count, reward, verified, *tables in actions:
                entry.actions[name] = _Stats(
                    action,
                    [_unpack(table) for table in tables],
                    _unpack(reward),
                    _unpack(verified),
                    count,
                    reason,
                )
            self._age = age
            self._insert(situation, entry)


def _pack(estimate: Estimate) -> list[float]:
    return [estimate.visits, estimate.value, estimate.m2]


def _unpack(data: list[float]) -> Estimate:
    return Estimate(int(data[0]), float(data[1]), float(data[2]))


def _snapshot(entry: _Entry) -> Experience:
    return Experience(
        situation=entry.situation,
        actions=tuple(_action_value(stats) for stats in entry.actions.values()),
        history=entry.history,
        last_reward=entry.last_reward.value,
        total_reward=entry.total_reward.value,
        visits=entry.visits,
    )


def _action_value(stats: _Stats) -> ActionValue:
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
