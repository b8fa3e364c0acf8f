"""Q-learning over episodes: what one episode changes in the experiences of a memory.

The learner is pure: it is fed episodes in canonical order and never reads a store. Source: Zhang et al. 2023,
section 3.3; see docs/algorithm.md for equations and options.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Protocol

from rlem.core.seeds import derive_seed
from rlem.core.types import Episode, Situation, Transition
from rlem.memory.capacity import prune
from rlem.memory.config import MemoryConfig
from rlem.memory.entry import Entry, Stats
from rlem.values import (
    Estimate,
    constant_step,
    lambda_return,
    monte_carlo_returns,
    n_step_target,
    running_mean,
)

_Returns = dict[int | None, list[float]]

Observer = Callable[[Episode, int, float], None]
"""Is told of each update: the episode, the step of its transitions, the target."""


class Entries(Protocol):
    """The experiences that a learner works on."""

    def __len__(self) -> int:
        """How many there are."""
        ...

    def entry(self, key: str) -> Entry | None:
        """The experience of a key."""
        ...

    def insert(self, situation: Situation) -> Entry:
        """A new, empty one."""
        ...

    def touch(self, entry: Entry) -> None:
        """Says that it was changed."""
        ...

    def nearest(self, situation: Situation, wanted: Callable[[Entry], float | None]) -> float | None:
        """What ``wanted`` says of the most similar experience of which it says anything."""
        ...


class Learner:
    """The learning of one configuration. Not thread-safe."""

    def __init__(self, config: MemoryConfig, entries: Entries) -> None:
        self._config = config
        self._values = config.values
        self._reference = config.values.compat == "reference"
        self._entries = entries
        self._inserted: Stats | None = None
        self.observe: Observer | None = None

    def learn(self, episode: Episode, only: Collection[str] | None = None) -> None:
        """Learns one episode: its transitions in step order, each update visible to the next.

        Broken and quarantined episodes teach nothing, and format failures are as if they had not been.
        ``only``: experiences of other keys stay as they are.
        """
        trust = self._config.trust_of(episode)
        if episode.status == "broken" or trust == "quarantined":
            return
        numbers = [number for number, t in enumerate(episode.transitions) if t.action is not None]
        steps = [episode.transitions[number] for number in numbers]
        if not steps:
            return
        returns = self._complete_returns(episode, steps)
        history = list(episode.history)
        last_reward, total_reward = episode.last_reward, episode.total_reward
        for t, step in enumerate(steps):
            if only is None or step.situation.key in only:
                entry = self._visit(step.situation, tuple(history), last_reward, total_reward)
                if entry is not None:
                    entry.last_visit = episode.sequence
                    entry.sources[episode.source] = entry.sources.get(episode.source, 0) + 1
                    target = self._update(episode, steps, t, entry, returns, last_reward, trust == "verified")
                    self._entries.touch(entry)
                    if self.observe is not None:
                        self.observe(episode, numbers[t], target)
            history.append(step.action or "")
            last_reward = step.reward
            total_reward += step.reward

    @property
    def local(self) -> bool:
        """Whether what an episode does to an experience depends on that episode and experience alone.

        So it is with Monte-Carlo returns: nothing is bootstrapped from other experiences.
        """
        values = self._values
        whole = values.n is None and (values.trace_decay is None or values.trace_decay == 1.0)
        return whole and values.truncation == "terminal" and not self._reference

    def _complete_returns(self, episode: Episode, steps: list[Transition]) -> _Returns | None:
        """Monte-Carlo returns where no bootstrapping inside the episode is needed, else None.

        By the table whose values stand for what a cut episode missed; all equal where nothing does.
        """
        values = self._values
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
        if self._values.truncation == "bootstrap" and episode.status == "truncated" and episode.final:
            return self._value(episode.final, table)
        return 0.0

    def _update(
        self,
        episode: Episode,
        steps: list[Transition],
        t: int,
        entry: Entry,
        returns: _Returns | None,
        reward_before: float,
        verified: bool,
    ) -> float:
        """One Q-learning update of the action taken at step t; returns its target.

        The verified estimate has targets of its own: what others claim must not come in by bootstrapping.
        """
        values = self._values
        step = steps[t]
        table = derive_seed(values.seed, episode.id, t) & 1 if values.double else 0
        other = 1 - table if values.double else 0
        stats = self._stats(entry, step)
        stats.visits += 1
        entry.samples += 1
        self._inserted = stats
        targets = {
            source: returns[source][t] if returns is not None else self._target(episode, steps, t, source)
            for source in ((other, None) if verified else (other,))
        }
        at_the_end = values.n is None or t + values.n >= len(steps)
        reward = reward_before if self._reference and at_the_end else step.reward
        stats.tables[table] = self._absorb(stats.tables[table], targets[other])
        stats.reward = self._absorb(stats.reward, reward)
        if verified:
            stats.verified = self._absorb(stats.verified, targets[None])
        stats.reason = step.reason or stats.reason
        if self._reference:
            prune(entry, self._config)
        return targets[other]

    def _absorb(self, old: Estimate, target: float) -> Estimate:
        if self._values.estimate == "constant":
            return constant_step(old, target, self._values.learning_rate)
        return running_mean(old, target)

    def _target(self, episode: Episode, steps: list[Transition], t: int, source: int | None) -> float:
        """The target of step t, bootstrapped from one table (n-step or lambda-return)."""
        values = self._values
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
        inserted = None if self._values.double and table is not None else self._inserted
        entry = self._entries.entry(situation.key)
        known = entry.value(table, inserted) if entry else None
        if known is None:
            known = self._entries.nearest(situation, lambda candidate: candidate.value(table, inserted))
        return 0.0 if known is None else known

    def _stats(self, entry: Entry, step: Transition) -> Stats:
        action = step.action or ""
        name = f"{action}\x00{step.reason}" if self._reference else action
        stats = entry.actions.get(name)
        if stats is None:
            stats = Stats(action, [Estimate()] * (2 if self._values.double else 1))
            entry.actions[name] = stats
        return stats

    def _visit(
        self, situation: Situation, history: tuple[str, ...], last_reward: float, total_reward: float
    ) -> Entry | None:
        """The entry of a situation, made if new; None where the reference's full memory refuses it."""
        entry = self._entries.entry(situation.key)
        if entry is None:
            limit = self._config.max_experiences
            if self._reference and limit is not None and len(self._entries) >= limit:
                return None
            entry = self._entries.insert(situation)
        if not entry.visits or len(history) <= len(entry.history):
            entry.history = history
        entry.visits += 1
        entry.last_reward = self._absorb(entry.last_reward, last_reward)
        entry.total_reward = self._absorb(entry.total_reward, total_reward)
        return entry
