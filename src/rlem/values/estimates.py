"""Estimates: what many targets of one action add up to, and how sure that is."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Estimate:
    """Value of one action in one situation: number of targets, estimate, sum of squared deviations.

    ``m2 / (visits - 1)`` is the sample variance of the targets when the estimate is the running mean.
    """

    visits: int = 0
    value: float = 0.0
    m2: float = 0.0


def running_mean(old: Estimate, target: float) -> Estimate:
    """One more target under alpha = 1/N: the mean of all targets, with its spread.

        Q <- Q + (G - Q) / N,    M2 <- M2 + (G - Q_old)(G - Q_new)

    Source: Zhang et al. 2023, eq. 2 (alpha = 1/N); Welford 1962 for M2.

    >>> running_mean(running_mean(Estimate(), 1.0), 0.0)
    Estimate(visits=2, value=0.5, m2=0.5)
    """
    visits = old.visits + 1
    delta = target - old.value
    value = old.value + delta / visits
    return Estimate(visits, value, old.m2 + delta * (target - value))


def constant_step(old: Estimate, target: float, learning_rate: float) -> Estimate:
    """One more target under a fixed learning rate, from a start at 0.

        Q <- Q + lr (G - Q)

    Source: the reference code's mode "const"; Sutton & Barto 2018, eq. 2.5. M2 then gathers squared
    prediction errors in the same form as for the mean.

    >>> constant_step(Estimate(), 1.0, 0.1).value
    0.1
    """
    delta = target - old.value
    value = old.value + learning_rate * delta
    return Estimate(old.visits + 1, value, old.m2 + delta * (target - value))


def merge_double(first: Estimate, second: Estimate) -> Estimate:
    """The two tables of double Q as one estimate for retrieval: mean of values, sum of visits.

    A table without the entry does not count. Source: Zhang et al. 2023, section 3.3; van Hasselt 2010.

    >>> merge_double(Estimate(2, 1.0, 0.0), Estimate(1, 0.0, 0.0))
    Estimate(visits=3, value=0.5, m2=0.0)
    """
    if not first.visits or not second.visits:
        return first if first.visits else second
    return Estimate(first.visits + second.visits, (first.value + second.value) / 2.0, first.m2 + second.m2)


# Two-sided 95 % quantiles of Student's t for 1 .. 30 degrees of freedom, then a few, then the normal.
_T95 = (
    *(12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228),
    *(2.201, 2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086),
    *(2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042),
)


def _t95(degrees: int) -> float:
    """Quantile .975 of Student's t: tabled to 30, then 1.96 + 2.4/df (within .002 of the exact value)."""
    return _T95[degrees - 1] if degrees <= len(_T95) else 1.96 + 2.4 / degrees


def interval(
    visits: int, value: float, m2: float, *, bounds: tuple[float, float] | None = None
) -> tuple[float, float]:
    """Interval of an action's value, 95 % for normal targets: unknown variance, one prior degree of freedom.

        s^2 = (s0^2 + M2) / visits,   value +- t_.975(visits) * sqrt(s^2 / visits)

    Source: Gelman et al. 2013, section 3.3, with prior nu0 = 1 and s0 = half the range of returns; the
    prior keeps a few equal targets from claiming certainty. ``bounds`` is the range of returns: it sets
    s0 and clips the interval; None: s0 = 0.5 and no clipping. No visits: the whole range. For all-or-nothing
    targets it is too narrow (72 % at worst, docs/algorithm.md): ``posterior`` has bounds that hold.

    >>> interval(1, 1.0, 0.0, bounds=(0.0, 1.0))
    (0.0, 1.0)
    """
    low, high = bounds if bounds is not None else (-math.inf, math.inf)
    if visits <= 0:
        return low, high
    finite = math.isfinite(high - low)
    prior = (high - low) / 2.0 if finite else 0.5
    half = _t95(visits) * math.sqrt((prior * prior + max(m2, 0.0)) / visits / visits)
    return max(low, value - half), min(high, value + half)
