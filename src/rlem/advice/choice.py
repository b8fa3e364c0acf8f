"""Which recorded actions to encourage and to discourage, and which action to try: by values, or by bounds.

choose="value", the paper's rule:
    encouraged   argmax_a Q(a), if that Q > 0
    discouraged  { a : Q(a) <= 0 }, and the actions clearly worse than the encouraged one
choose="bounds" (L and U are the posterior's bounds, rlem.values.posterior):
    encouraged   argmax_a L(a), if that L > 0
    discouraged  { a : U(a) <= L(encouraged) }; where nothing is encouraged { a : U(a) <= m }, m being what an
                 untried action may be expected to earn: the middle of the range of returns, at least 0
Under both rules only verified targets encourage, and never an action whose value over all targets is 0 or
less.

explore="upper":     the action of highest U, untried ones having the prior's (UCB)
explore="thompson":  the action whose draw from its posterior is highest
Source: Zhang et al. 2023, section 3.2; Auer et al. 2002; Thompson 1933.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from typing import Literal

from rlem.core.errors import UnknownNameError
from rlem.memory.experience import ActionValue
from rlem.memory.ranking import Bounds, posterior_of, verified
from rlem.values import draw, interval, posterior
from rlem.values.config import Compat

Choose = Literal["value", "bounds"]
Discourage = Literal["failing", "failing+worse"]
Explore = Literal["none", "untried", "upper", "thompson"]

CHOICES: tuple[Choose, ...] = ("value", "bounds")
EXPLORATIONS: tuple[Explore, ...] = ("none", "untried", "upper", "thompson")

LEVEL = 0.95
_WORSE = 0.5


def exploration(explore: Explore | bool) -> Explore:
    """The way to explore. True and False are those of older configs: name untried actions, or do not."""
    if isinstance(explore, bool):
        return "untried" if explore else "none"
    if explore not in EXPLORATIONS:
        raise UnknownNameError("way to explore", explore, EXPLORATIONS)
    return explore


def choose_actions(
    actions: Sequence[ActionValue],
    bounds: Bounds,
    *,
    choose: Choose = "value",
    discourage: Discourage = "failing+worse",
    compat: Compat = "default",
) -> tuple[ActionValue | None, list[ActionValue]]:
    """The action to encourage, by its verified targets, and those to discourage.

    ``bounds`` is the range of returns. ``discourage`` and ``compat`` are of the value rule alone.
    UnknownNameError: no such rule.
    """
    if choose not in CHOICES:
        raise UnknownNameError("rule of choice", choose, CHOICES)
    trusted = [verified(a) for a in actions if may_encourage(a)]
    if choose == "bounds":
        return _by_bounds(actions, trusted, bounds)
    best = max(trusted, key=lambda a: (a.q_value, a.visits), default=None)  # the first one on ties
    bad = (_reference_failing if compat == "reference" else _failing)(actions)
    if compat == "default" and discourage == "failing+worse" and best is not None:
        bad += _worse(actions, best, bounds)
    return best, bad


def may_encourage(action: ActionValue) -> bool:
    """Whether its verified targets, and all its targets together, are worth more than 0."""
    return action.q_value > 0 and action.verified_visits > 0 and action.verified_q_value > 0


def suggest(
    actions: Sequence[ActionValue],
    untried: Sequence[str],
    bounds: Bounds,
    explore: Literal["upper", "thompson"],
    rng: random.Random,
) -> str | None:
    """The action to try, of those tried (by their verified targets) and untried; ties by chance."""

    def score(known: ActionValue | None) -> float:
        visits, value, m2 = (known.visits, known.q_value, known.m2) if known else (0, 0.0, 0.0)
        if explore == "thompson":
            return draw(visits, value, m2, bounds=bounds, rng=rng)
        return posterior(visits, value, m2, bounds=bounds, level=LEVEL).upper

    scored = [(score(verified(a)), rng.random(), a.action) for a in actions]
    scored += [(score(None), rng.random(), name) for name in untried]
    return max(scored)[2] if scored else None


def interval_of(action: ActionValue, bounds: Bounds, choose: Choose) -> tuple[float, float] | None:
    """The interval that goes with a rule of choice; None where it is unknown or unbounded.

    The value rule keeps the narrower one: with the posterior's bounds it warned of less, and success in the
    shop fell (docs/log.md).
    """
    if choose == "bounds":
        known = posterior_of(action, bounds)
        ends = known.lower, known.upper
    elif math.isinf(action.m2) or (bounds is None and action.visits < 2):
        return None  # of one target of unknown range, and of mixed sources, nobody knows the spread
    else:
        ends = interval(action.visits, action.q_value, action.m2, bounds=bounds)
    return ends if all(map(math.isfinite, ends)) else None


def _by_bounds(
    actions: Sequence[ActionValue], trusted: Sequence[ActionValue], bounds: Bounds
) -> tuple[ActionValue | None, list[ActionValue]]:
    def lower(action: ActionValue) -> float:
        return posterior_of(action, bounds, level=LEVEL).lower

    best = max(trusted, key=lambda a: (lower(a), a.q_value, a.visits), default=None)
    if best is not None and lower(best) <= 0.0:
        best = None
    floor = lower(best) if best else max(posterior(0, 0.0, 0.0, bounds=bounds).mean, 0.0)
    return best, [a for a in actions if posterior_of(a, bounds, level=LEVEL).upper <= floor]


def _failing(actions: Sequence[ActionValue]) -> list[ActionValue]:
    return [a for a in actions if a.q_value <= 0]


def _reference_failing(actions: Sequence[ActionValue]) -> list[ActionValue]:
    # The reference walks up from the lowest value and stops at the first one that is not exactly 0.
    return [] if any(a.q_value < 0 for a in actions) else [a for a in actions if a.q_value == 0]


def _worse(actions: Sequence[ActionValue], best: ActionValue, bounds: Bounds) -> list[ActionValue]:
    """Actions of positive value, at most half the encouraged one's, or wholly below its interval."""
    known = interval_of(best, bounds, "value")
    found = []
    for action in actions:
        own = interval_of(action, bounds, "value")
        separate = known is not None and own is not None and own[1] < known[0]
        if action.q_value > 0 and (action.q_value <= _WORSE * best.q_value or separate):
            found.append(action)
    return found
