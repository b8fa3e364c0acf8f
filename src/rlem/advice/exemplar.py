"""From an experience to advice: the exemplar that a prompt shows of it.

Which actions it encourages, discourages and names to be tried: rlem.advice.choice. Source: Zhang et al. 2023,
section 3.2. Differences are numbered in docs/advice.md.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from rlem.advice.actions import fill_template, is_template, match_template
from rlem.advice.choice import (
    Choose,
    Discourage,
    Explore,
    choose_actions,
    exploration,
    interval_of,
    may_encourage,
    suggest,
)
from rlem.core.types import JSON, Situation
from rlem.memory.experience import ActionValue, Recalled
from rlem.memory.ranking import Bounds, verified
from rlem.values import spread

Mode = Literal["recorded", "reference"]
Compat = Literal["default", "reference"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Advice:
    """One action with its value. ``visits`` 0: the value is invented (random completion), not recorded.

    ``interval`` is that of the value, nominally 95 %, ``spread`` the standard deviation of the returns; None
    where they are unknown or unbounded.
    """

    action: str
    value: float
    visits: int = 0
    interval: tuple[float, float] | None = None
    spread: float | None = None
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
    bounds: Bounds = None,
    use_discouraged: bool = True,
    discourage: Discourage = "failing+worse",
    choose: Choose = "value",
    max_discouraged: int = 5,
    untried: int = 1,
    explore: Explore | bool = "none",
    compat: Compat = "default",
) -> Exemplar:
    """The exemplar made of one recalled experience.

    ``choose`` is the rule of encouraged and discouraged (rlem.advice.choice): what is not verified informs,
    it never encourages. ``bounds`` is the range of returns. ``mode="reference"`` fills a missing side with a
    random available action and an invented value (U[0, .5) encouraged, 0.0 discouraged). ``explore``:
    "untried" names untried actions even where one is encouraged; "upper" and "thompson" pick one action to
    try, which is named if untried, encouraged in place of the best if its evidence allows, and never
    discouraged. ``compat="reference"``: the failing rule of the reference code, in which one negative value
    empties the discouraged side. ``rng`` is used only for exploring, untried and random actions.
    """
    experience = recalled.experience
    best, bad = choose_actions(
        experience.actions, bounds, choose=choose, discourage=discourage, compat=compat
    )
    explore = exploration(explore)
    tried = [a.action for a in experience.actions]
    names: tuple[str, ...] = ()
    if mode == "recorded" and explore in ("upper", "thompson"):
        pool = _untried(experience.situation, tried)
        chosen = suggest(experience.actions, pool, bounds, explore, rng)
        names = tuple(name for name in pool if name == chosen)
        allowed = (verified(a) for a in experience.actions if a.action == chosen and may_encourage(a))
        best = next(allowed, best)
        bad = [a for a in bad if a.action != chosen]
    taken = best.action if best else None
    bad = sorted((a for a in bad if a.action != taken), key=lambda a: (a.q_value, -a.visits))
    encouraged: tuple[Advice, ...] = (_recorded(best, bounds, choose),) if best else ()
    shown = bad[:max_discouraged] if use_discouraged else []
    discouraged = tuple(_recorded(a, bounds, choose) for a in shown)
    if mode == "reference":
        if not encouraged:
            encouraged = _random_advice(experience.situation, tried, rng, encourage=True)
        if use_discouraged and not discouraged:
            other = [advice.action for advice in encouraged]
            discouraged = _random_advice(experience.situation, other, rng, encourage=False)
    elif not names and (explore == "untried" or not encouraged):
        pool = _untried(experience.situation, tried)
        names = tuple(rng.sample(pool, min(untried, len(pool))))
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


def _recorded(action: ActionValue, bounds: Bounds, choose: Choose) -> Advice:
    return Advice(
        action=action.action,
        value=action.q_value,
        visits=action.visits,
        interval=interval_of(action, bounds, choose),
        spread=spread(action.visits, action.m2),
        reason=action.reason,
    )


def _untried(situation: Situation, tried: Sequence[str]) -> list[str]:
    pool = [a for a in situation.actions if not is_template(a) or not _any_filling(a, tried)]
    names = [name for name in _filled(pool, situation.task) if name not in tried]
    # A page with nothing but a search: other words are then the only thing left to try.
    return names or [name for name in _filled(situation.actions, situation.task) if name not in tried]


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
