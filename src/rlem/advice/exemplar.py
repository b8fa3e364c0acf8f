"""From an experience to advice: which recorded actions a prompt encourages, and which it discourages.

encouraged   argmax_a Q(g,o,a), if that Q > 0
discouraged  { a : Q(g,o,a) <= 0 }, and the actions clearly worse than the encouraged one
Source: Zhang et al. 2023, section 3.2. Differences are numbered in docs/advice.md.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from rlem.advice.actions import fill_template, is_template, match_template
from rlem.core.types import JSON, Situation
from rlem.memory.experience import ActionValue, Recalled
from rlem.values import interval

Mode = Literal["recorded", "reference"]
Discourage = Literal["failing", "failing+worse"]
Compat = Literal["default", "reference"]

_WORSE = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Advice:
    """One action with its value. ``visits`` 0: the value is invented (random completion), not recorded.

    ``interval`` is the 95 % interval of the value; None where it is unknown or unbounded.
    """

    action: str
    value: float
    visits: int = 0
    interval: tuple[float, float] | None = None
    reason: str = ""

    def to_json(self) -> dict[str, JSON]:
        """JSON form for run records."""
        return {
            "action": self.action,
            "value": self.value,
            "visits": self.visits,
            "interval": list(self.interval) if self.interval else None,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Exemplar:
    """An experience as a prompt shows it: the stored situation, and the advice on its actions."""

    situation: Situation
    encouraged: tuple[Advice, ...] = ()
    discouraged: tuple[Advice, ...] = ()
    untried: tuple[str, ...] = ()
    similarity: float = 1.0
    history: tuple[str, ...] = ()
    last_reward: float = 0.0
    total_reward: float = 0.0

    def to_json(self) -> dict[str, JSON]:
        """JSON form for run records: the situation by its key, the advice in full."""
        return {
            "situation": self.situation.key,
            "similarity": self.similarity,
            "encouraged": [advice.to_json() for advice in self.encouraged],
            "discouraged": [advice.to_json() for advice in self.discouraged],
            "untried": list(self.untried),
        }


def advise(
    recalled: Recalled,
    *,
    rng: random.Random,
    mode: Mode = "recorded",
    bounds: tuple[float, float] | None = None,
    use_discouraged: bool = True,
    discourage: Discourage = "failing+worse",
    max_discouraged: int = 5,
    untried: int = 1,
    explore: bool = False,
    compat: Compat = "default",
) -> Exemplar:
    """The exemplar made of one recalled experience.

    Encouraged is the action of highest verified value, if that value and the value over all sources are
    both above 0: what is not verified informs, it never encourages. ``bounds`` is the range of returns
    (for the intervals). ``mode="reference"`` fills a missing side with a random available action and an
    invented value (U[0, .5) encouraged, 0.0 discouraged). ``explore`` names untried actions even where
    one is encouraged. ``compat="reference"``: the failing rule of the reference code, in which one
    negative value empties the discouraged side. ``rng`` is used only for untried and random actions.
    """
    experience = recalled.experience
    best = _encouraged(experience.actions, bounds)
    failing = _reference_failing if compat == "reference" else _failing
    bad = failing(experience.actions)
    if compat == "default" and discourage == "failing+worse" and best is not None:
        bad += _worse(experience.actions, best, bounds)
    taken = best.action if best else None
    bad = sorted((a for a in bad if a.action != taken), key=lambda a: (a.q_value, -a.visits))
    encouraged: tuple[Advice, ...] = (best,) if best else ()
    discouraged = tuple(_recorded(a, bounds) for a in bad[:max_discouraged]) if use_discouraged else ()
    names: tuple[str, ...] = ()
    tried = [a.action for a in experience.actions]
    if mode == "reference":
        if not encouraged:
            encouraged = _random_advice(experience.situation, tried, rng, encourage=True)
        if use_discouraged and not discouraged:
            shown = [advice.action for advice in encouraged]
            discouraged = _random_advice(experience.situation, shown, rng, encourage=False)
    elif explore or not encouraged:
        names = _untried(experience.situation, tried, untried, rng)
    return Exemplar(
        situation=experience.situation,
        encouraged=encouraged,
        discouraged=discouraged,
        untried=names,
        similarity=recalled.similarity,
        history=experience.history,
        last_reward=experience.last_reward,
        total_reward=experience.total_reward,
    )


def _encouraged(actions: Iterable[ActionValue], bounds: tuple[float, float] | None) -> Advice | None:
    trusted = [a for a in actions if a.q_value > 0 and a.verified_visits > 0 and a.verified_q_value > 0]
    if not trusted:
        return None
    best = max(trusted, key=lambda a: (a.verified_q_value, a.verified_visits))  # the first one on ties
    if best.verified_visits == best.visits:
        return _recorded(best, bounds)
    # Unverified targets are mixed into q_value and m2: an encouraging line rests on verified ones alone.
    return Advice(
        action=best.action, value=best.verified_q_value, visits=best.verified_visits, reason=best.reason
    )


def _recorded(action: ActionValue, bounds: tuple[float, float] | None) -> Advice:
    return Advice(
        action=action.action,
        value=action.q_value,
        visits=action.visits,
        interval=_interval(action, bounds),
        reason=action.reason,
    )


def _interval(action: ActionValue, bounds: tuple[float, float] | None) -> tuple[float, float] | None:
    if bounds is None and action.visits < 2:
        return None  # one target of unknown range says nothing about its spread
    low, high = interval(action.visits, action.q_value, action.m2, bounds=bounds)
    return (low, high) if math.isfinite(low) and math.isfinite(high) else None


def _failing(actions: Iterable[ActionValue]) -> list[ActionValue]:
    return [a for a in actions if a.q_value <= 0]


def _reference_failing(actions: Iterable[ActionValue]) -> list[ActionValue]:
    # The reference walks up from the lowest value and stops at the first one that is not exactly 0.
    recorded = list(actions)
    return [] if any(a.q_value < 0 for a in recorded) else [a for a in recorded if a.q_value == 0]


def _worse(
    actions: Iterable[ActionValue], best: Advice, bounds: tuple[float, float] | None
) -> list[ActionValue]:
    """Actions of positive value, at most half the encouraged one's, or wholly below its interval."""
    floor = best.interval[0] if best.interval else math.inf
    found = []
    for action in actions:
        own = _interval(action, bounds)
        separate = best.interval is not None and own is not None and own[1] < floor
        if action.q_value > 0 and (action.q_value <= _WORSE * best.value or separate):
            found.append(action)
    return found


def _untried(situation: Situation, tried: list[str], count: int, rng: random.Random) -> tuple[str, ...]:
    pool = [a for a in situation.actions if not is_template(a) or not _any_filling(a, tried)]
    names = [name for name in _filled(pool, situation.task) if name not in tried]
    # A page with nothing but a search: other words are then the only thing left to try.
    names = names or [name for name in _filled(situation.actions, situation.task) if name not in tried]
    return tuple(rng.sample(names, min(count, len(names))))


def _random_advice(
    situation: Situation, excluded: list[str], rng: random.Random, *, encourage: bool
) -> tuple[Advice, ...]:
    names = [name for name in _filled(situation.actions, situation.task) if name not in excluded]
    if not names:
        return ()
    action = rng.choice(names)
    return (Advice(action=action, value=rng.random() / 2 if encourage else 0.0),)


def _any_filling(template: str, tried: Iterable[str]) -> bool:
    return any(match_template(template, action) for action in tried)


def _filled(actions: Iterable[str], words: str) -> list[str]:
    """Actions as they can be sent: templates filled with the task's words, or left out; no repeats."""
    texts = (fill_template(a, words) if is_template(a) else a for a in actions)
    return list(dict.fromkeys(text for text in texts if text))
