"""What a memory knows about one situation, as frozen snapshots for readers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from rlem.core.types import Situation


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionValue:
    """Statistics of one action tried in one situation.

    ``q_value`` is the estimate over ``visits`` targets, ``m2`` their sum of squared deviations,
    ``reward_mean`` the mean immediate reward. ``verified_*`` are the same over targets from verified
    sources alone. ``reason`` is the latest free text a model gave beside the action.
    """

    action: str
    visits: int
    q_value: float
    m2: float
    reward_mean: float
    verified_visits: int
    verified_q_value: float
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Experience:
    """One memory entry: a situation and the statistics of every action tried there.

    ``history``: actions that led here (of the shortest way seen); ``last_reward`` and ``total_reward``:
    mean reward just before and since the episode's start; ``visits``: how often it was left by an action;
    ``sources``: how many of the visits came from which source.
    """

    situation: Situation
    actions: tuple[ActionValue, ...]
    history: tuple[str, ...] = ()
    last_reward: float = 0.0
    total_reward: float = 0.0
    visits: int = 0
    sources: Mapping[str, int] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """Content key of the situation."""
        return self.situation.key

    @property
    def samples(self) -> int:
        """Visits of all its actions together."""
        return sum(action.visits for action in self.actions)

    @property
    def best(self) -> ActionValue:
        """The action of highest value; the first recorded one on ties."""
        return max(self.actions, key=lambda action: action.q_value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recalled:
    """An experience with its similarity to the query, in [0, 1], whole and by part."""

    experience: Experience
    similarity: float
    parts: Mapping[str, float] = field(default_factory=dict)

    @property
    def best(self) -> ActionValue:
        """The experience's action of highest value."""
        return self.experience.best
