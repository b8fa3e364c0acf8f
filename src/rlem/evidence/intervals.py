"""Means with bootstrap intervals, and differences paired by task and seed.

An evaluation is a table: one value per (task, seed); cells may be missing. Tasks are a sample of the tasks
one could have asked, seeds a sample of the runs one could have made; both are resampled ("crossed"):

    theta* = theta(u, v),    u, v: how often each task and each seed was drawn,
             tasks and seeds each drawn with replacement, independently of one another
    interval = [quantile(theta*, a/2), quantile(theta*, 1 - a/2)]        (percentile method)

A seed is one training run, whose memory serves all tasks: its luck is shared by them, so a drawn seed
counts for every task alike. With one seed the interval covers tasks and says nothing about training runs.

``scheme="stratified"`` keeps the tasks and draws seeds within each task: an interval about *these* tasks,
for figures to be set beside those of papers that use it. Seeds whose luck is shared make it too narrow.

Source: Owen 2007, "The pigeonhole bootstrap" (crossed resampling of rows and columns; never too narrow on
average); Efron & Tibshirani 1993, chapter 13 (percentile interval); Agarwal et al. 2021, section 4.1
(stratified).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from rlem.core.errors import UsageError

Values: TypeAlias = Mapping[tuple[str, int], float]
"""One value per (task id, seed)."""

Scheme: TypeAlias = Literal["crossed", "stratified"]
Array: TypeAlias = NDArray[np.float64]
Statistic: TypeAlias = Callable[[Array, Array, Array], Array]
"""(values[arm, task, seed], drawn[draw, task], weights[draw, arm, task, seed]) to one number (or row) a draw.

``weights`` says how often each seed counts within its task, 0 where a cell is missing; ``drawn`` how often
the task counts. What a draw leaves undefined is nan and passed over."""

CONFIDENCE = 0.95
RESAMPLES = 10_000


def least_tasks(comparisons: int = 1) -> int:
    """The fewest tasks with which a sign test, corrected for so many comparisons m, can reach the 5 % level.

        m 2^(1 - tasks) <= .05:   all tasks one way, the smallest p-value of the m (Bonferroni, Holm)

    >>> least_tasks(), least_tasks(30)
    (6, 11)
    """
    return math.ceil(1 + math.log2(comparisons / (1 - CONFIDENCE)))


LEAST_TASKS = least_tasks()
"""With fewer tasks even a sign test cannot reach the 5 % level (2 / 2^5 > .05): nothing is concluded."""

METHOD = (
    f"95 % percentile bootstrap intervals, {RESAMPLES:,} resamples of tasks and, across them, of seeds "
    "(Owen 2007; Efron & Tibshirani 1993); differences are paired by task and seed"
)

FEW_TASKS = 20
"""With fewer tasks the percentile interval is too narrow: 84 % measured with 10 tasks where 95 % is asked."""

_DRAWS_AT_ONCE = 1 << 20  # drawn task counts
_CELLS_AT_ONCE = 1 << 21  # weights: 16 MiB


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """An estimate with its interval. ``note`` says why the interval means less than it seems, else ""."""

    estimate: float
    low: float
    high: float
    tasks: int
    seeds: int
    values: int
    note: str = ""

    @property
    def excludes_zero(self) -> bool:
        """Whether zero lies outside, judged only from ``LEAST_TASKS`` tasks on."""
        return self.tasks >= LEAST_TASKS and (self.low > 0 or self.high < 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class PairedDifference:
    """A statistic of first minus second over the (task, seed) pairs that both have.

    ``interval`` is None where there is no such pair. ``only_first`` and ``only_second`` count the values
    that found no partner and were left out.
    """

    interval: Interval | None
    only_first: int
    only_second: int


def mean_interval(
    values: Values,
    *,
    confidence: float = CONFIDENCE,
    resamples: int = RESAMPLES,
    seed: int = 0,
    scheme: Scheme = "crossed",
) -> Interval:
    """Mean over all (task, seed) values with its bootstrap interval.

    The same values and seed give the same interval, in whatever order the values come. One task, or
    values that are all equal, cannot show how uncertain they are: the interval then collapses (or
    covers the seeds only) and ``note`` says so.

    >>> interval = mean_interval({("a", 0): 1.0, ("b", 0): 0.0, ("c", 0): 1.0, ("d", 0): 0.0})
    >>> interval.estimate, interval.low, interval.high
    (0.5, 0.0, 1.0)

    Raises: UsageError for no values, values that are not finite, or options out of range.
    """
    point, draws = bootstrap([values], _mean, resamples=resamples, seed=seed, scheme=scheme)
    return summary([values], float(point), draws, confidence=confidence)


def interquartile_mean_interval(
    values: Values,
    *,
    confidence: float = CONFIDENCE,
    resamples: int = RESAMPLES,
    seed: int = 0,
    scheme: Scheme = "crossed",
) -> Interval:
    """Mean of the middle half of all values: outliers at both ends do not move it.

        mean of x_(i) over the ranks between n/4 and 3n/4, a rank cut by either end counting in part

    For values of 0 and 1 it exaggerates: at most a quarter of ones gives 0, at least three quarters give 1.
    Use it for scores with a tail. Source: Agarwal et al. 2021, section 4.3. Differs: theirs drops whole
    values, floor(n/4) at each end; the two agree where 4 divides n.

    >>> interquartile_mean_interval({(t, 0): x for t, x in zip("abcd", [0.0, 1.0, 3.0, 99.0])}).estimate
    2.0

    Raises: as :func:`mean_interval`.
    """
    point, draws = bootstrap([values], _interquartile_mean, resamples=resamples, seed=seed, scheme=scheme)
    return summary([values], float(point), draws, confidence=confidence)


def paired_difference(
    first: Values,
    second: Values,
    *,
    confidence: float = CONFIDENCE,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> PairedDifference:
    """First minus second on the same tasks and seeds.

        mean of first[task, seed] - second[task, seed] over the pairs that both have

    Pairing removes what makes a task easy or hard for both, so the interval is narrower than that of two
    separate means (Efron & Tibshirani 1993, section 8.3).

    >>> paired_difference({("a", 0): 1.0, ("b", 0): 1.0}, {("a", 0): 0.0, ("c", 0): 0.0}).interval.estimate
    1.0
    """
    differences = paired(first, second)
    interval = None
    if differences:
        interval = mean_interval(differences, confidence=confidence, resamples=resamples, seed=seed)
    return PairedDifference(
        interval=interval,
        only_first=len(first) - len(differences),
        only_second=len(second) - len(differences),
    )


def paired(first: Values, second: Values) -> dict[tuple[str, int], float]:
    """First minus second for every (task, seed) that both have, in order of task and seed."""
    return {key: first[key] - second[key] for key in sorted(first.keys() & second.keys())}


def bootstrap(
    arms: Sequence[Values], statistic: Statistic, *, resamples: int, seed: int, scheme: Scheme = "crossed"
) -> tuple[Array, Array]:
    """The statistic of the arms as they are, and of each resample; draws are shared by the arms.

    Raises: UsageError for an arm without values, values that are not finite, or options out of range.
    """
    if resamples < 1:
        raise UsageError(f"resamples={resamples}: allowed is 1 or more")
    if scheme not in ("crossed", "stratified"):
        raise UsageError(f"scheme={scheme!r}: allowed are 'crossed' and 'stratified'")
    table, present = _tables(arms)
    point = statistic(table, np.ones((1, table.shape[1])), present[None])[0]
    if _equal(arms):  # the last bit of a sum must not look like spread
        return point, point[None]
    return point, _resampled(table, present, statistic, resamples, seed, scheme)


def summary(arms: Sequence[Values], estimate: float, draws: Array, *, confidence: float) -> Interval:
    """The percentile interval of the draws, made to hold the estimate. Raises: UsageError."""
    if not 0 < confidence < 1:
        raise UsageError(f"confidence={confidence}: allowed is more than 0 and less than 1")
    tail = (1 - confidence) / 2
    low, high = (float(end) for end in np.quantile(draws[~np.isnan(draws)], [tail, 1 - tail]))
    keys = {key for arm in arms for key in arm}
    tasks, values = len({task for task, _ in keys}), sum(len(arm) for arm in arms)
    return Interval(
        estimate=estimate,
        low=min(low, estimate),
        high=max(high, estimate),
        tasks=tasks,
        seeds=len({seed for _, seed in keys}),
        values=values,
        note=_note(tasks, values, equal=_equal(arms)),
    )


def means(table: Array, drawn: Array, weights: Array) -> Array:
    """The mean of each arm, shape (draws, arms); nan where a draw left an arm nothing."""
    totals = np.einsum("bt,bats,ats->ba", drawn, weights, table)
    with np.errstate(invalid="ignore"):
        result: Array = totals / np.einsum("bt,bats->ba", drawn, weights)
    return result


def _mean(table: Array, drawn: Array, weights: Array) -> Array:
    return means(table, drawn, weights)[:, 0]


def _interquartile_mean(table: Array, drawn: Array, weights: Array) -> Array:
    order = np.argsort(table[0], axis=None, kind="stable")
    flat = (weights[:, 0] * drawn[:, :, None]).reshape(len(drawn), -1)[:, order]
    upper = flat.cumsum(axis=1)  # the share of the ranks that each value holds, cut at both quarters
    total = upper[:, -1:]
    kept = upper.clip(total / 4, 3 * total / 4) - (upper - flat).clip(total / 4, 3 * total / 4)
    with np.errstate(invalid="ignore"):
        result: Array = (kept @ table[0].ravel()[order]) / kept.sum(axis=1)
    return result


def _tables(arms: Sequence[Values]) -> tuple[Array, Array]:
    """Values as (arms, tasks, seeds), 0 where there is none, and where there is one (1 or 0)."""
    for arm in arms:
        if not arm:
            raise UsageError("no values to take a mean of: pass at least one (task, seed) value")
        for key, value in arm.items():
            if not math.isfinite(value):
                raise UsageError(f"value {value} of {key} is not finite: drop the pair or repair the record")
    rows = {task: row for row, task in enumerate(sorted({task for arm in arms for task, _ in arm}))}
    columns = {seed: column for column, seed in enumerate(sorted({seed for arm in arms for _, seed in arm}))}
    table, present = np.zeros((2, len(arms), len(rows), len(columns)))
    for index, arm in enumerate(arms):
        for (task, seed), value in arm.items():
            table[index, rows[task], columns[seed]] = value
            present[index, rows[task], columns[seed]] = 1.0
    return table, present


def _resampled(
    table: Array,
    present: Array,
    statistic: Statistic,
    resamples: int,
    seed: int,
    scheme: Scheme,
) -> Array:
    """The statistic of each resample. Works in blocks so that memory stays small."""
    _, tasks, seeds = table.shape
    results: list[Array] = []
    block = max(1, _DRAWS_AT_ONCE // tasks)
    step = max(1, _CELLS_AT_ONCE // table.size)
    rng = np.random.default_rng(seed)
    for start in range(0, resamples, block):
        size = min(block, resamples - start)
        if scheme == "crossed":
            once = size == resamples  # what fits in one block is kept: tables of one experiment share it
            drawn, columns = (
                _drawn_once(tasks, seeds, size, seed) if once else _drawn(rng, tasks, seeds, size)
            )
        for low in range(0, size, step):
            chunk = slice(low, min(low + step, size))
            if scheme == "crossed":
                results.append(statistic(table, drawn[chunk], columns[chunk, None, None, :] * present))
            else:
                count = present.sum(axis=2)
                share = present / np.maximum(count, 1)[:, :, None]
                share[count == 0, 0] = 1.0  # nothing is drawn there, but shares must add up to one
                weights = rng.multinomial(
                    count.astype(np.int64), share, size=(chunk.stop - low, *count.shape)
                ).astype(np.float64)
                results.append(statistic(table, np.ones((len(weights), tasks)), weights))
    return np.concatenate(results)


def _drawn(rng: np.random.Generator, tasks: int, seeds: int, size: int) -> tuple[Array, Array]:
    """How often each task, and each seed, comes up in each resample."""
    drawn = rng.multinomial(tasks, np.full(tasks, 1 / tasks), size=size)
    return drawn.astype(np.float64), rng.multinomial(seeds, np.full(seeds, 1 / seeds), size=size).astype(
        np.float64
    )


@lru_cache(maxsize=4)
def _drawn_once(tasks: int, seeds: int, size: int, seed: int) -> tuple[Array, Array]:
    found = _drawn(np.random.default_rng(seed), tasks, seeds, size)
    for counts in found:
        counts.setflags(write=False)  # many statistics share them
    return found


def _equal(arms: Sequence[Values]) -> bool:
    return all(len(set(arm.values())) == 1 for arm in arms)


def _note(tasks: int, values: int, *, equal: bool) -> str:
    if values == 1:
        return "one value only: there is no interval"
    if equal:
        return f"all {values} values are equal: resampling cannot show how uncertain this is"
    if tasks == 1:
        return "one task only: the interval covers seeds, not tasks"
    if tasks < LEAST_TASKS:
        return f"{tasks} tasks only: too few for the interval to decide anything"
    if tasks < FEW_TASKS:
        return f"{tasks} tasks only: the interval is somewhat too narrow"
    return ""
