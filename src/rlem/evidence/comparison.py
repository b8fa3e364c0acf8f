"""Probability of improvement, and how much the starting point matters.

Both resample as :mod:`rlem.evidence.intervals` does; a drawn task or seed counts for all arms alike, so what
the arms share (easy tasks, lucky runs) cancels where it cancels in truth.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise

import numpy as np

from rlem.core.errors import UsageError
from rlem.evidence.intervals import (
    CONFIDENCE,
    RESAMPLES,
    Array,
    Interval,
    Scheme,
    Values,
    bootstrap,
    means,
    paired,
    summary,
)
from rlem.evidence.power import observed_variation


@dataclass(frozen=True, slots=True, kw_only=True)
class Stability:
    """Spreads of two methods over their initialisations, and first minus second (negative: more stable)."""

    first: Interval
    second: Interval
    difference: Interval

    @property
    def ratio(self) -> float:
        """First spread over second: below 1 the first is more stable; inf, nan where the second is 0."""
        if self.second.estimate:
            return self.first.estimate / self.second.estimate
        return math.inf if self.first.estimate else math.nan


def improvement_probability(
    first: Values,
    second: Values,
    *,
    confidence: float = CONFIDENCE,
    resamples: int = RESAMPLES,
    seed: int = 0,
    scheme: Scheme = "crossed",
) -> Interval:
    """Chance that a run of ``first`` beats a run of ``second`` on a task drawn at random.

        mean over tasks t of  1 / (K L) sum_{i,j} [ x_ti > y_tj ] + [ x_ti = y_tj ] / 2

    In 0..1, 1/2: neither. It counts how often, not by how much. Runs are compared with all runs of the other
    on the same task (Mann-Whitney's U over K L), not by seed; tasks that only one arm has are left out.
    Source: Agarwal et al. 2021, section 4.3; Mann & Whitney 1947.

    >>> improvement_probability({("a", 0): 1.0, ("b", 0): 1.0}, {("a", 0): 0.0, ("b", 0): 1.0}).estimate
    0.75

    Raises: UsageError where no task is shared, values are not finite, or options are out of range.
    """
    shared = {task for task, _ in first} & {task for task, _ in second}
    if not shared:
        raise UsageError("no task that both arms have: compare runs of the same task set")
    arms = [{key: arm[key] for key in arm if key[0] in shared} for arm in (first, second)]
    point, draws = bootstrap(arms, _improvement, resamples=resamples, seed=seed, scheme=scheme)
    return summary(arms, float(point), draws, confidence=confidence)


def spread_interval(
    arms: Sequence[Values], *, confidence: float = CONFIDENCE, resamples: int = RESAMPLES, seed: int = 0
) -> Interval:
    """Standard deviation of the means of two or more initialisations, freed of sampling noise.

        spread = sqrt(max(0, s^2 - noise)),   s^2 = sum_a (m_a - m)^2 / (A - 1)
        noise = mean over pairs of arms of SE^2(m_a - m_b) / 2
        interval: quantiles of sqrt(max(0, s*^2 - mean(s*^2) + s^2 - noise)),   s*: the same of a resample

    Few tasks and seeds alone make means differ; ``noise`` is how much of s^2 that is (SE by
    :func:`~rlem.evidence.power.observed_variation`). The interval is about *these* initialisations: three of
    them do not say how a fourth would do. Arms are one method's (initialisation, training set) combinations
    on the same tasks. Source: Searle, Casella & McCulloch 1992 (an unbiased estimate, cut at 0).

    >>> low, high = {("a", 0): 0.0, ("b", 0): 0.0}, {("a", 0): 1.0, ("b", 0): 1.0}
    >>> round(spread_interval([low, high]).estimate, 3)
    0.707

    Raises: UsageError for fewer than two arms, fewer than two tasks that all seeds have, and as
    :func:`~rlem.evidence.intervals.mean_interval`.
    """
    estimate, draws = _spreads([arms], resamples, seed)
    return summary(arms, estimate[0], draws[:, 0], confidence=confidence)


def stability(
    first: Sequence[Values],
    second: Sequence[Values],
    *,
    confidence: float = CONFIDENCE,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Stability:
    """ "More stable than" as a number: the spread of ``first`` minus that of ``second``, with interval.

    Both as in :func:`spread_interval`, on the same resampled tasks and seeds. The claim holds where the
    difference's interval lies below 0. The ratio has no interval, since a spread may be 0.

    Raises: UsageError as :func:`spread_interval`.
    """
    estimate, draws = _spreads([first, second], resamples, seed)
    return Stability(
        first=summary(first, estimate[0], draws[:, 0], confidence=confidence),
        second=summary(second, estimate[1], draws[:, 1], confidence=confidence),
        difference=summary(
            [*first, *second], estimate[0] - estimate[1], draws[:, 0] - draws[:, 1], confidence=confidence
        ),
    )


def _spreads(groups: Sequence[Sequence[Values]], resamples: int, seed: int) -> tuple[list[float], Array]:
    """The spread of each group, and of each group in every resample: shape (draws, groups)."""
    if any(len(group) < 2 for group in groups):
        raise UsageError("a spread needs two initialisations or more: pass one table of values for each")
    ends = np.cumsum([0, *(len(group) for group in groups)])

    def variances(table: Array, drawn: Array, weights: Array) -> Array:
        found = means(table, drawn, weights)
        return np.stack([found[:, a:b].var(axis=1, ddof=1) for a, b in pairwise(ends)], 1)

    point, draws = bootstrap(
        [arm for group in groups for arm in group], variances, resamples=resamples, seed=seed
    )
    noise = np.array([_noise(group) for group in groups])
    centred = draws - np.nanmean(draws, axis=0) + point
    estimate, resampled = (np.sqrt(np.maximum(0, found - noise)) for found in (point, centred))
    return estimate.tolist(), resampled


def _noise(group: Sequence[Values]) -> float:
    """What tasks and seeds alone add to the variance of the arms' means."""
    errors = []
    for one, other in combinations(group, 2):
        differences = paired(one, other)
        tasks, seeds = ({key[part] for key in differences} for part in (0, 1))
        variation = observed_variation(differences)
        errors.append(variation.standard_error(tasks=len(tasks), seeds=len(seeds)) ** 2 / 2)
    return math.fsum(errors) / len(errors)


def _improvement(table: Array, drawn: Array, weights: Array) -> Array:
    """Weighted over the tasks on which both arms still have a run."""
    x, y = table[0][:, :, None], table[1][:, None, :]
    better = (x > y) + (x == y) / 2
    won = np.einsum("bti,tij,btj->bt", weights[:, 0], better, weights[:, 1], optimize=True)
    compared = weights[:, 0].sum(axis=2) * weights[:, 1].sum(axis=2)
    counts = drawn * (compared > 0)
    with np.errstate(invalid="ignore"):
        result: Array = (counts * won / np.maximum(compared, 1)).sum(axis=1) / counts.sum(axis=1)
    return result
