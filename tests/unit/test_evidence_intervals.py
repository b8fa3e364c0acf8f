"""Intervals, probability of improvement, spread: hand-worked cases, other programs' answers, coverage."""

import itertools
import math

import numpy as np
import pytest
from numpy.typing import NDArray

from rlem.core.errors import UsageError
from rlem.evidence import (
    improvement_probability,
    interquartile_mean_interval,
    mean_interval,
    spread_interval,
    stability,
)
from rlem.evidence.intervals import _drawn_once, least_tasks

Table = dict[tuple[str, int], float]


def table(values: NDArray[np.float64]) -> Table:
    """A (tasks, seeds) array as values by task and seed."""
    return {(f"t{t:03}", s): float(values[t, s]) for t, s in itertools.product(*map(range, values.shape))}


def halves(tasks: int) -> Table:
    """Every other task solved, one seed."""
    return {(f"t{index}", 0): float(index % 2) for index in range(tasks)}


def test_the_interval_of_ten_coin_flips_is_the_binomial_one() -> None:
    """With 5 of 10 solved the resampled count is binomial(10, 1/2): 2.5 % and 97.5 % lie at 2 and 8."""
    interval = mean_interval(halves(10))
    assert (interval.estimate, interval.low, interval.high) == (0.5, 0.2, 0.8)


def test_shared_draws_cannot_be_written_over() -> None:
    """Statistics of one size of table share their draws: a slip in one must not change the next."""
    for counts in _drawn_once(3, 2, 10, 0):
        with pytest.raises(ValueError, match="read-only"):
            counts[0, 0] = 1.0


@pytest.mark.parametrize("comparisons", [1, 2, 5, 30, 33])
def test_the_fewest_tasks_that_can_conclude(comparisons: int) -> None:
    """All of them one way, the smallest of so many p-values: this many tasks reach .05, one less does not."""
    tasks = least_tasks(comparisons)
    assert comparisons * 2.0 ** (1 - tasks) <= 0.05 < comparisons * 2.0 ** (2 - tasks)


def test_stratified_resampling_keeps_the_tasks() -> None:
    """Seeds that agree leave nothing to draw within tasks; crossed resampling still draws the tasks."""
    values = {(task, seed): value for (task, _), value in halves(20).items() for seed in range(3)}
    stratified, crossed = mean_interval(values, scheme="stratified"), mean_interval(values)
    assert stratified.low == stratified.high == 0.5
    assert crossed.low < 0.5 < crossed.high


def test_stratified_resampling_draws_each_task_by_itself() -> None:
    """One seed solves all, the other none: within tasks that averages out, as one run's luck it does not."""
    values = {(f"t{t}", s): float(s) for t in range(50) for s in range(2)}
    stratified, crossed = mean_interval(values, scheme="stratified"), mean_interval(values)
    assert 0.3 < stratified.low < stratified.high < 0.7
    assert (crossed.low, crossed.high) == (0.0, 1.0)


def test_stratified_resampling_allows_missing_cells() -> None:
    """A task without a value for a seed is drawn from the seeds that it has."""
    values = {("a", 0): 1.0, ("a", 1): 0.0, ("b", 0): 0.25, ("b", 2): 0.25}
    interval = mean_interval(values, scheme="stratified")
    assert interval.estimate == pytest.approx(0.375)
    assert (interval.low, interval.high) == pytest.approx((0.125, 0.625))


def test_the_interquartile_mean_cuts_ranks_in_part() -> None:
    """Of 1..6 the middle half is ranks 1.5 to 4.5: half of 2, 3, 4, half of 5; outliers do not move it."""
    values = {(f"t{x}", 0): float(x) for x in range(1, 7)}
    assert interquartile_mean_interval(values).estimate == pytest.approx((1 + 3 + 4 + 2.5) / 3)
    assert interquartile_mean_interval(values | {("t6", 0): 1e9}).estimate == pytest.approx(3.5)


def test_the_interquartile_mean_is_scipys_trimmed_mean_where_four_divides() -> None:
    """With 4 n values it is the mean after dropping n at both ends, as rliable computes it."""
    stats = pytest.importorskip("scipy.stats")
    values = np.random.default_rng(0).exponential(size=(12, 5))
    expected = stats.trim_mean(values, 0.25, axis=None)
    assert interquartile_mean_interval(table(values)).estimate == pytest.approx(expected)


def test_improvement_counts_every_pair_of_runs_on_a_task() -> None:
    """By hand: task a 4 pairs of which 3 won and one tied, task b one pair lost."""
    first = {("a", 0): 3.0, ("a", 1): 2.0, ("b", 0): 0.0, ("only", 0): 1.0}
    second = {("a", 0): 2.0, ("a", 1): 1.0, ("b", 7): 1.0}
    interval = improvement_probability(first, second)
    assert interval.estimate == pytest.approx((3.5 / 4 + 0) / 2)
    assert (interval.tasks, interval.values) == (2, 6)


def test_improvement_on_one_task_is_mann_whitneys_u() -> None:
    """With one task it is scipy's U over the number of pairs."""
    stats = pytest.importorskip("scipy.stats")
    rng = np.random.default_rng(3)
    x, y = rng.integers(0, 6, size=(1, 9)).astype(float), rng.integers(0, 6, size=(1, 9)).astype(float)
    expected = stats.mannwhitneyu(x[0], y[0]).statistic / 81
    assert improvement_probability(table(x), table(y)).estimate == pytest.approx(expected)


def test_improvement_needs_a_shared_task() -> None:
    """Runs of different tasks are not compared."""
    with pytest.raises(UsageError, match="no task"):
        improvement_probability({("a", 0): 1.0}, {("b", 0): 0.0})


def test_the_spread_of_means_that_differ_for_sure_is_their_deviation() -> None:
    """Where tasks and seeds agree there is no noise to take off, and no interval."""
    arms = [{(t, 0): mean for t in "abcdefgh"} for mean in (0.2, 0.4, 0.6)]
    interval = spread_interval(arms)
    assert (interval.estimate, interval.low, interval.high) == pytest.approx((0.2, 0.2, 0.2))


def test_noise_alone_is_hardly_any_spread() -> None:
    """Six equal methods on 60 tasks: the deviation of their means is noise, and is mostly taken off."""
    plain, freed = [], []
    for number in range(40):
        rng = np.random.default_rng(number)
        chance = rng.beta(2, 2, size=(60, 1))
        arms = [(rng.random((60, 2)) < chance).astype(float) for _ in range(6)]
        plain.append(np.std([arm.mean() for arm in arms], ddof=1))
        interval = spread_interval([table(arm) for arm in arms], resamples=200)
        freed.append(interval.estimate)
        assert interval.low == 0.0
    assert np.mean(freed) < 0.4 * np.mean(plain)


def initialisations(rng: np.random.Generator, offsets: list[float]) -> list[Table]:
    """0/1 outcomes of methods that differ in chance, on the same 60 tasks of different difficulty."""
    chance = rng.beta(4, 4, size=(60, 1))
    return [table((rng.random((60, 2)) < np.clip(chance + o, 0, 1)).astype(float)) for o in offsets]


def test_more_stable_than_is_seen_where_it_is_true_and_not_claimed_where_it_is_not() -> None:
    """Of 40 comparisons most find a real difference of spreads, hardly one finds one that is none."""
    wide, narrow = [-0.2, -0.1, 0.0, 0.1, 0.2], [-0.01, 0.0, 0.0, 0.0, 0.01]
    found = claimed = 0
    for number in range(40):
        rng = np.random.default_rng(number)
        groups = initialisations(rng, narrow + wide + wide)
        different = stability(groups[:5], groups[5:10], resamples=200)
        found += different.difference.high < 0
        claimed += not (
            (same := stability(groups[5:10], groups[10:], resamples=200).difference).low <= 0 <= same.high
        )
    assert found >= 32
    assert claimed <= 4


def test_stability_without_spread_has_no_ratio() -> None:
    """0 over 0 is no number, something over 0 is infinite; the difference says it."""
    flat = [{(t, 0): 0.5 for t in "abcdef"}] * 2
    steps = [{(t, 0): mean for t in "abcdef"} for mean in (0.0, 1.0)]
    assert math.isnan(stability(flat, flat).ratio)
    assert stability(steps, flat).ratio == math.inf
    assert stability(flat, steps).ratio == 0
    assert stability(flat, steps).difference.estimate == pytest.approx(-math.sqrt(0.5))


@pytest.mark.parametrize("arms", [[], [{("a", 0): 1.0, ("b", 0): 0.0}], [{("a", 0): 1.0}, {("a", 0): 0.0}]])
def test_a_spread_needs_two_arms_and_two_tasks(arms: list[Table]) -> None:
    """One arm has no spread, one task no noise estimate."""
    with pytest.raises(UsageError):
        spread_interval(arms)


@pytest.mark.parametrize(
    ("values", "options"),
    [
        ({}, {}),
        ({("a", 0): float("nan")}, {}),
        ({("a", 0): 1.0}, {"confidence": 1.0}),
        ({("a", 0): 1.0}, {"resamples": 0}),
        ({("a", 0): 1.0}, {"scheme": "rows"}),
    ],
)
def test_what_has_no_mean_is_refused(values: Table, options: dict[str, object]) -> None:
    """No values, values that are not finite, and senseless options are usage errors."""
    with pytest.raises(UsageError):
        mean_interval(values, **options)  # type: ignore[arg-type]
    with pytest.raises(UsageError):
        interquartile_mean_interval(values, **options)  # type: ignore[arg-type]


def test_intervals_cover_the_truth_about_as_often_as_they_say() -> None:
    """Over 150 simulated evaluations 95 % intervals cover at least 90 %: mean, middle half, improvement."""
    rng = np.random.default_rng(0)

    def scores(tasks: int, shift: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        hard = rng.normal(size=(tasks, 1))
        return hard + shift + rng.normal(size=(tasks, 3)), hard + rng.normal(size=(tasks, 3))

    improved = 0.5 * (1 + math.erf(0.5 / 2))  # P(N(0.5, 2) > 0)
    hits = np.zeros(3)
    for number in range(150):
        first, second = map(table, scores(40, 0.5))
        options = {"resamples": 400, "seed": number}
        mean = mean_interval(first, **options)  # type: ignore[arg-type]
        middle = interquartile_mean_interval(first, **options)  # type: ignore[arg-type]
        better = improvement_probability(first, second, **options)  # type: ignore[arg-type]
        hits += [
            mean.low <= 0.5 <= mean.high,
            middle.low <= 0.5 <= middle.high,
            better.low <= improved <= better.high,
        ]
    assert all(hits / 150 >= 0.9), hits
