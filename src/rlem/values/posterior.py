"""What is known of an action's expected return: mean, spread, bounds, and draws from that belief.

Returns of a known range [a, b] (x = (mean - a) / (b - a) is the mean on [0, 1], M2 scaled likewise):

    lower, upper = the ends of { u : size * kl(x, u) <= L },   L = ln(2 / (1 - level))
    size         = max(N, N^2 x (1 - x) / (L / 2 + M2))
    kl(x, u)     = x ln(x / u) + (1 - x) ln((1 - x) / (1 - u))

With size = N that is Chernoff's bound, which holds for every distribution on [0, 1] and every N. Returns that
spread less than a coin of their mean (M2 < N x (1 - x)) count as more visits; the L / 2 beside M2 is what N
visits may have missed: something of chance L / N. Coins keep size = N. Source: Hoeffding 1963, theorem 1;
Garivier & Cappe 2011 (KL-UCB); the variance term after Maurer & Pontil 2009. Differs: the size is ours, its
coverage is shown by simulation (tests/unit/test_posterior.py), not by proof.

Returns of unknown range: Student's t; a prior deviation s0 keeps equal targets from claiming certainty.

    lower, upper = mean -+ t(level, N - 1) * sqrt((s0^2 + M2) / (N - 1) / N),   s0 = 0.5

Source: Student 1908. One visit of unknown range bounds nothing. Targets are taken as independent draws of one
distribution; docs/algorithm.md says what the bounds mean where they are not.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from functools import lru_cache

from rlem.core.errors import UsageError

LEVEL = 0.95
_PRIOR_DEVIATION = 0.5
_MAX_DEGREES = 1000  # beyond it t differs from the normal by less than .003


@dataclass(frozen=True, slots=True, kw_only=True)
class Posterior:
    """What ``visits`` targets say of an action's expected return.

    ``mean`` is the estimate (without visits: the middle of the range, 0 where it has none), ``spread`` the
    targets' standard deviation (None where it is unknown), ``lower`` and ``upper`` the bounds at the level
    asked for, within the range of returns; infinite where nothing bounds them.
    """

    visits: int
    mean: float
    spread: float | None
    lower: float
    upper: float


@lru_cache(maxsize=1 << 16)
def posterior(
    visits: int, value: float, m2: float, *, bounds: tuple[float, float] | None = None, level: float = LEVEL
) -> Posterior:
    """The posterior of an action with ``visits`` targets of mean ``value`` and squared deviations ``m2``.

    ``bounds`` is the range of returns; None or an infinite end: unknown. ``m2=math.inf``: the spread is not
    known. ``level`` in (0, 1). Formulas and sources: the module's docstring.

    >>> posterior(2, 1.0, 0.0, bounds=(0.0, 1.0)).lower > posterior(1, 1.0, 0.0, bounds=(0.0, 1.0)).lower
    True
    """
    if not 0.0 < level < 1.0:
        raise UsageError(f"level={level} is not possible: it must be between 0 and 1")
    low, high = bounds or (-math.inf, math.inf)
    if visits <= 0:
        return Posterior(visits=0, mean=_middle(bounds), spread=None, lower=low, upper=high)
    if _finite(bounds):
        width = high - low
        mean, size = _scaled(visits, value, m2, low, width, level)
        limit = math.log(2.0 / (1.0 - level)) / size
        lower, upper = (low + width * _end(mean, edge, limit) for edge in (0.0, 1.0))
    else:
        half = math.inf
        if visits > 1:
            variance = (_PRIOR_DEVIATION**2 + max(m2, 0.0)) / (visits - 1)
            half = t_quantile(min(visits - 1, _MAX_DEGREES), level) * math.sqrt(variance / visits)
        lower, upper = max(low, value - half), min(high, value + half)
    return Posterior(visits=visits, mean=value, spread=spread(visits, m2), lower=lower, upper=upper)


def draw(
    visits: int, value: float, m2: float, *, bounds: tuple[float, float] | None = None, rng: random.Random
) -> float:
    """One draw from the belief about an action's expected return, for Thompson sampling.

    Known range: a + (b - a) Beta(1 + size x, 1 + size (1 - x)); without visits uniform over the range.
    Unknown: mean + t(N) sqrt((s0^2 + M2) / N / N). Source: Agrawal & Goyal 2012; Thompson 1933.
    """
    if _finite(bounds):
        assert bounds is not None
        low, width = bounds[0], bounds[1] - bounds[0]
        mean, size = _scaled(visits, value, m2, low, width, LEVEL) if visits > 0 else (0.5, 0.0)
        return low + width * rng.betavariate(1.0 + size * mean, 1.0 + size * (1.0 - mean))
    count = max(visits, 1)
    scale = math.sqrt(_PRIOR_DEVIATION**2 + (max(m2, 0.0) if math.isfinite(m2) else 0.0)) / count
    student = rng.gauss(0.0, 1.0) / math.sqrt(rng.gammavariate(count / 2.0, 2.0 / count))
    return (value if visits > 0 else 0.0) + scale * student


def spread(visits: int, m2: float) -> float | None:
    """Standard deviation of the targets: sqrt(M2 / (N - 1)); None for fewer than two, or an unknown M2."""
    return math.sqrt(max(m2, 0.0) / (visits - 1)) if visits > 1 and math.isfinite(m2) else None


@lru_cache
def t_quantile(degrees: int, level: float) -> float:
    """Half width of the central ``level`` of Student's t, by bisection over its distribution function.

    With theta = atan(t / sqrt(df)), P(|T| <= t) is a finite sum in sin(theta), cos(theta).
    Source: Abramowitz & Stegun 1964, 26.7.3 and 26.7.4.

    >>> round(t_quantile(1, 0.95), 2), round(t_quantile(30, 0.95), 3)
    (12.71, 2.042)
    """
    low, high = 0.0, math.pi / 2.0
    for _ in range(60):
        theta = (low + high) / 2.0
        odd = degrees % 2
        cosine = math.cos(theta)
        term, total = (cosine if odd else 1.0), 0.0
        for k in range(1 + odd, degrees, 2):
            total += term
            term *= cosine * cosine * k / (k + 1)
        probability = math.sin(theta) * total
        if odd:
            probability = 2.0 / math.pi * (theta + probability)
        low, high = (theta, high) if probability < level else (low, theta)
    return math.tan(high) * math.sqrt(degrees)


def _finite(bounds: tuple[float, float] | None) -> bool:
    return bounds is not None and math.isfinite(bounds[1] - bounds[0])


def _middle(bounds: tuple[float, float] | None) -> float:
    return (bounds[0] + bounds[1]) / 2.0 if bounds is not None and _finite(bounds) else 0.0


def _scaled(
    visits: int, value: float, m2: float, low: float, width: float, level: float
) -> tuple[float, float]:
    """Mean on [0, 1], and how many visits of a coin of that mean say as much."""
    mean = min(max((value - low) / width, 0.0), 1.0)
    missed = math.log(2.0 / (1.0 - level)) / 2.0
    size = visits * visits * mean * (1.0 - mean) / (missed + max(m2, 0.0) / width**2)
    return mean, max(float(visits), size)


def _end(mean: float, edge: float, limit: float) -> float:
    """The furthest u from the mean towards the edge with kl(mean, u) <= limit."""
    near, far = mean, edge
    for _ in range(40):
        middle = (near + far) / 2.0
        near, far = (middle, far) if _divergence(mean, middle) <= limit else (near, middle)
    return far


def _divergence(x: float, u: float) -> float:
    """kl(x, u) of two coins; 0 ln 0 is 0."""
    if not 0.0 < u < 1.0:
        return 0.0 if x == u else math.inf
    heads = x * math.log(x / u) if x > 0.0 else 0.0
    return heads + ((1.0 - x) * math.log((1.0 - x) / (1.0 - u)) if x < 1.0 else 0.0)
