"""Which of the similar experiences to recall: the most similar, or those that also know something for sure.

    score  = similarity * (1 - w + w * known),    w = VALUE_WEIGHT
    known  = max(lower(best), 1 - upper(worst)), both on the range of returns as [0, 1]
    best   = the action of highest lower bound, worst = the one of lowest upper bound

An action that surely pays and one that surely fails are both worth showing; one that was tried once tells
little either way. Without similarity nothing counts. Only verified targets do: what others claim must not buy
itself a place. Where the range of returns is unknown, bounds are measured in widths of their own interval:
lower(best) is l / (l + width) if l > 0, else 0; likewise -u / (-u + width) for a failure.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from rlem.core.errors import UnknownNameError
from rlem.memory.experience import ActionValue, Experience, Recalled
from rlem.values import Posterior, posterior

Rank = Literal["similarity", "similarity+value"]
Bounds = tuple[float, float] | None

RANKS: tuple[Rank, ...] = ("similarity", "similarity+value")

OVER_FETCH = 4
"""Candidates by similarity for each experience wanted, where the rank is more than similarity."""

VALUE_WEIGHT = 0.1
"""Share of an experience's score that it must earn by knowing something."""


def candidates(k: int, rank: Rank) -> int:
    """How many experiences :func:`rerank` needs, taken by similarity. UnknownNameError: no such rank."""
    if rank not in RANKS:
        raise UnknownNameError("rank", rank, RANKS)
    return k if rank == "similarity" else k * OVER_FETCH


def rerank(
    found: Sequence[Recalled], k: int, rank: Rank = "similarity", bounds: Bounds = None
) -> tuple[Recalled, ...]:
    """The k best of experiences found by similarity (best first), in the order of ``rank``.

    ``bounds`` is the range of returns. Ties: samples, then content key. The similarity that a ``Recalled``
    carries stays what it was. Equation: the module's docstring.
    """
    if candidates(k, rank) == k:
        return tuple(found[:k])

    def order(item: Recalled) -> tuple[float, int, str]:
        known = knowledge(item.experience, bounds)
        score = item.similarity * (1.0 - VALUE_WEIGHT + VALUE_WEIGHT * known)
        return -score, -item.experience.samples, item.experience.key

    return tuple(sorted(found, key=order)[:k])


def knowledge(experience: Experience, bounds: Bounds) -> float:
    """How surely an experience knows an action that pays or one that fails, in [0, 1]."""
    known = [posterior_of(a, bounds) for a in map(verified, experience.actions) if a.visits]
    if not known:
        return 0.0
    best, worst = max(known, key=lambda p: p.lower), min(known, key=lambda p: p.upper)
    if bounds is not None and math.isfinite(bounds[1] - bounds[0]):
        low, width = bounds[0], bounds[1] - bounds[0]
        return max((best.lower - low) / width, 1.0 - (worst.upper - low) / width)
    return max(_in_widths(best.lower, best), _in_widths(-worst.upper, worst))


def _in_widths(margin: float, of: Posterior) -> float:
    return margin / (margin + of.upper - of.lower) if margin > 0.0 else 0.0


def verified(action: ActionValue) -> ActionValue:
    """The action by its verified targets alone. Beside others their own spread is not known: m2 is inf."""
    if action.verified_visits == action.visits:
        return action
    return replace(action, visits=action.verified_visits, q_value=action.verified_q_value, m2=math.inf)


def posterior_of(action: ActionValue, bounds: Bounds, *, level: float = 0.95) -> Posterior:
    """The posterior of a tried action."""
    return posterior(action.visits, action.q_value, action.m2, bounds=bounds, level=level)
