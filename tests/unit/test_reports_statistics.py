"""Means with bootstrap intervals: hand-worked cases, degenerate cases, coverage."""

import numpy as np
import pytest

from rlem.core.errors import UsageError
from rlem.evidence.intervals import LEAST_TASKS, mean_interval, paired_difference


def halves(tasks: int) -> dict[tuple[str, int], float]:
    """Every other task solved, one seed."""
    return {(f"t{index}", 0): float(index % 2) for index in range(tasks)}


def test_the_interval_of_ten_coin_flips_is_the_binomial_one() -> None:
    """With 5 of 10 solved the resampled count is binomial(10, 1/2): 2.5 % and 97.5 % lie at 2 and 8."""
    interval = mean_interval(halves(10))
    assert (interval.estimate, interval.low, interval.high) == (0.5, 0.2, 0.8)
    assert (interval.tasks, interval.seeds, interval.values) == (10, 1, 10)


def test_the_same_seed_gives_the_same_interval_in_any_order_of_values() -> None:
    """An interval depends on values and seed only; another seed draws other resamples."""
    values = {(f"t{i}", s): ((7 * i + s) % 11) / 11 for i in range(25) for s in range(3)}
    backwards = dict(reversed(values.items()))
    assert mean_interval(values, seed=4) == mean_interval(backwards, seed=4)
    assert mean_interval(values, seed=4) != mean_interval(values, seed=5)


def test_seeds_that_agree_add_tasks_no_certainty() -> None:
    """Resampling is by task: three equal seeds of each task leave the interval as wide as one seed."""
    one = halves(20)
    three = {(task, seed): value for (task, _), value in one.items() for seed in range(3)}
    tripled, single = mean_interval(three), mean_interval(one)
    assert tripled.high - tripled.low == pytest.approx(single.high - single.low, abs=0.051)
    assert tripled.seeds == 3


def test_tasks_may_have_different_numbers_of_seeds() -> None:
    """The mean is over all values; a task with fewer seeds neither fails nor counts empty places as zero."""
    values = {("a", 0): 1.0, ("a", 1): 1.0, ("a", 2): 1.0, ("b", 0): 1.0, ("c", 1): 0.5}
    interval = mean_interval(values)
    assert interval.estimate == pytest.approx(0.9)
    assert interval.low >= 0.5
    assert interval.high == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({("a", 0): 0.7}, "one value only"),
        ({("a", 0): 1.0, ("b", 0): 1.0}, "all 2 values are equal"),
        ({("a", 0): 1.0, ("a", 1): 0.0}, "one task only"),
        (halves(4), "too few"),
        (halves(12), "somewhat too narrow"),
        (halves(40), ""),
    ],
)
def test_an_interval_says_when_it_means_less_than_it_seems(
    values: dict[tuple[str, int], float], said: str
) -> None:
    """Degenerate samples give a note and no error; a sound sample gives none."""
    interval = mean_interval(values)
    assert said in interval.note
    assert bool(interval.note) == bool(said)
    assert interval.low <= interval.estimate <= interval.high


def test_few_tasks_never_exclude_zero() -> None:
    """Five tasks that all improved are not enough to conclude; six that all improved are."""
    few = {(f"t{index}", 0): 1.0 for index in range(LEAST_TASKS - 1)}
    assert not mean_interval(few).excludes_zero
    assert mean_interval(few | {("more", 0): 1.0}).excludes_zero


@pytest.mark.parametrize(
    ("values", "options"),
    [
        ({}, {}),
        ({("a", 0): float("nan")}, {}),
        ({("a", 0): 1.0}, {"confidence": 1.0}),
        ({("a", 0): 1.0}, {"resamples": 0}),
    ],
)
def test_what_has_no_mean_is_refused(values: dict[tuple[str, int], float], options: dict[str, float]) -> None:
    """No values, values that are not finite, and senseless options are usage errors."""
    with pytest.raises(UsageError):
        mean_interval(values, **options)  # type: ignore[arg-type]


def test_a_difference_uses_shared_pairs_only_and_counts_the_rest() -> None:
    """Pairs are matched by task and seed; what has no partner is left out and counted."""
    first = {("a", 0): 1.0, ("b", 0): 1.0, ("c", 0): 0.0, ("c", 1): 1.0}
    second = {("a", 0): 0.0, ("b", 0): 1.0, ("c", 0): 0.0, ("d", 0): 1.0}
    paired = paired_difference(first, second)
    assert paired.interval is not None
    assert paired.interval.estimate == pytest.approx(1 / 3)
    assert (paired.interval.tasks, paired.interval.values) == (3, 3)
    assert (paired.only_first, paired.only_second) == (1, 1)


def test_without_a_shared_pair_there_is_no_difference() -> None:
    """Nothing in common gives no interval instead of an invented zero."""
    paired = paired_difference({("a", 0): 1.0}, {("a", 1): 1.0})
    assert paired.interval is None
    assert (paired.only_first, paired.only_second) == (1, 1)


def test_pairing_is_sharper_than_two_separate_means() -> None:
    """Where hard tasks are hard for both, the paired interval is narrower than either mean's."""
    rng = np.random.default_rng(0)
    control = {(f"t{index}", 0): float(value) for index, value in enumerate(rng.random(60))}
    memory = {key: value + 0.1 + 0.02 * float(rng.standard_normal()) for key, value in control.items()}
    paired = paired_difference(memory, control).interval
    alone = mean_interval(memory)
    assert paired is not None
    assert paired.excludes_zero
    assert paired.high - paired.low < 0.25 * (alone.high - alone.low)


@pytest.mark.parametrize(("tasks", "seeds"), [(40, 1), (30, 3)])
def test_intervals_cover_the_truth_about_as_often_as_they_say(tasks: int, seeds: int) -> None:
    """Over 300 simulated evaluations (tasks of different difficulty) 95 % intervals cover in 90 to 99 %."""
    rng = np.random.default_rng(2023)
    truth, hits = 1 / 3, 0
    for number in range(300):
        difficulty = rng.beta(1, 2, size=(tasks, 1))  # mean 1/3
        solved = rng.random((tasks, seeds)) < difficulty
        values = {(f"t{t}", s): float(solved[t, s]) for t in range(tasks) for s in range(seeds)}
        interval = mean_interval(values, resamples=1000, seed=number)
        hits += interval.low - 1e-9 <= truth <= interval.high + 1e-9
    assert 0.90 <= hits / 300 <= 0.99
