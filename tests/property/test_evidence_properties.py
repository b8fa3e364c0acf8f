"""Properties of the statistics: ranges, order, symmetry, monotonicity, pairing."""

import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlem.evidence import (
    LiveEffect,
    assumed_variation,
    benjamini_hochberg,
    detectable_effect,
    holm,
    improvement_probability,
    interquartile_mean_interval,
    mcnemar_test,
    mean_interval,
    paired_difference,
    power_of,
    sign_flip_test,
    spread_interval,
)

Table = dict[tuple[str, int], float]

VALUES = st.floats(-10, 10, allow_nan=False, allow_subnormal=False)
TABLES = st.dictionaries(st.tuples(st.sampled_from("abcdefgh"), st.integers(0, 2)), VALUES, min_size=1)
GRIDS = st.lists(st.tuples(VALUES, VALUES), min_size=2, max_size=6).map(
    lambda rows: {(f"t{t}", s): value for t, row in enumerate(rows) for s, value in enumerate(row)}
)
EPISODES = st.lists(st.tuples(st.booleans(), st.floats(0, 1)), max_size=60)
P_VALUES = st.dictionaries(st.sampled_from("abcdefghijkl"), st.floats(0, 1), max_size=12)
SCHEMES = st.sampled_from(["crossed", "stratified"])


@given(TABLES, SCHEMES)
def test_means_and_their_intervals_stay_within_the_values(values: Table, scheme: str) -> None:
    """low <= estimate <= high, inside what was seen, for both means and both schemes."""
    for interval_of in (mean_interval, interquartile_mean_interval):
        interval = interval_of(values, resamples=100, scheme=scheme)  # type: ignore[arg-type]
        assert interval.low <= interval.estimate <= interval.high
        assert interval.low >= min(values.values()) - 1e-9
        assert interval.high <= max(values.values()) + 1e-9


@given(TABLES, st.randoms(use_true_random=False))
def test_the_order_of_values_does_not_matter(values: Table, rng: random.Random) -> None:
    """Whatever order a run was read in, every number is the same to the last bit."""
    keys = list(values)
    rng.shuffle(keys)
    shuffled = {key: values[key] for key in keys}
    for interval_of in (mean_interval, interquartile_mean_interval):
        assert interval_of(values, resamples=50) == interval_of(shuffled, resamples=50)
    other = {key: -value for key, value in values.items()}
    assert sign_flip_test(values, other) == sign_flip_test(shuffled, other)
    assert improvement_probability(values, other, resamples=50) == improvement_probability(
        shuffled, other, resamples=50
    )


@given(TABLES, st.floats(0.5, 0.98), st.floats(0.5, 0.98))
def test_more_confidence_is_never_narrower(values: Table, one: float, other: float) -> None:
    """Intervals of one sample lie inside one another in the order of their confidence."""
    less, more = sorted((one, other))
    for interval_of in (mean_interval, interquartile_mean_interval):
        inner = interval_of(values, resamples=60, confidence=less)
        outer = interval_of(values, resamples=60, confidence=more)
        assert outer.low <= inner.low + 1e-12
        assert outer.high >= inner.high - 1e-12


@given(TABLES, TABLES)
def test_probability_of_improvement_is_a_probability_and_its_complement(first: Table, second: Table) -> None:
    """In 0..1, and what one wins the other loses; against itself it is one half."""
    assert improvement_probability(first, first, resamples=20).estimate == pytest.approx(0.5)
    if {task for task, _ in first} & {task for task, _ in second}:
        there = improvement_probability(first, second, resamples=50)
        back = improvement_probability(second, first, resamples=50)
        assert 0 <= there.low <= there.estimate <= there.high <= 1
        assert there.estimate == pytest.approx(1 - back.estimate)


@given(GRIDS, st.lists(st.floats(-3, 3), min_size=2, max_size=4), st.floats(-5, 5))
def test_a_spread_does_not_know_the_level(grid: Table, offsets: list[float], shift: float) -> None:
    """Arms that differ by constants have their deviation as spread; shifting all changes nothing."""
    arms = [{key: value + offset for key, value in grid.items()} for offset in offsets]
    shifted = [{key: value + shift for key, value in arm.items()} for arm in arms]
    middle = math.fsum(offsets) / len(offsets)
    expected = math.sqrt(math.fsum((o - middle) ** 2 for o in offsets) / (len(offsets) - 1))
    for group in (arms, shifted):
        assert spread_interval(group, resamples=20).estimate == pytest.approx(expected, abs=1e-6)


@given(GRIDS)
def test_pairing_takes_out_what_both_arms_share(grid: Table) -> None:
    """However different tasks and runs are, an equal gain on each leaves no doubt about it."""
    gained = {key: value + 1 for key, value in grid.items()}
    interval = paired_difference(gained, grid, resamples=50).interval
    assert interval is not None
    assert (interval.low, interval.high) == pytest.approx((1, 1))
    alone = mean_interval(grid, resamples=50)
    assert interval.high - interval.low <= alone.high - alone.low + 1e-9


@given(TABLES, TABLES)
def test_a_p_value_does_not_know_which_arm_is_first(first: Table, second: Table) -> None:
    """Two-sided, in (0, 1], never below one in two to the number of tasks that differ."""
    if first.keys() & second.keys():
        there, back = sign_flip_test(first, second), sign_flip_test(second, first)
        assert there.p_value == pytest.approx(back.p_value)
        assert (there.better, there.worse) == (back.worse, back.better)
        assert min(1.0, 2.0 ** (1 - there.better - there.worse)) - 1e-12 <= there.p_value <= 1


@given(st.integers(0, 40), st.integers(0, 40))
def test_a_more_lopsided_count_is_stronger_evidence(b: int, c: int) -> None:
    """McNemar's p is symmetric and falls as one discordant pair changes sides to the larger."""
    assert mcnemar_test(b, c) == mcnemar_test(c, b)
    if b >= c > 0:
        assert mcnemar_test(b + 1, c - 1) <= mcnemar_test(b, c)


@given(P_VALUES)
def test_corrections_raise_p_values_and_keep_their_order(p_values: dict[str, float]) -> None:
    """p <= false-discovery-adjusted <= Holm-adjusted <= 1, in the order of the p-values."""
    family, discovery = holm(p_values), benjamini_hochberg(p_values)
    ranked = sorted(p_values, key=lambda name: p_values[name])
    for name in p_values:
        assert p_values[name] <= discovery[name] + 1e-12
        assert discovery[name] <= family[name] + 1e-12
        assert family[name] <= 1
    for adjusted in (family, discovery):
        assert [adjusted[name] for name in ranked] == sorted(adjusted.values())


@given(st.floats(0.01, 1), st.floats(0, 1), st.integers(1, 200), st.integers(1, 20), st.floats(0.5, 0.99))
def test_the_detectable_effect_has_its_power(
    discordance: float, share: float, tasks: int, seeds: int, power: float
) -> None:
    """The two formulas invert one another, and a larger experiment never sees less."""
    variation = assumed_variation(discordance, task_share=share)
    effect = detectable_effect(variation, tasks=tasks, seeds=seeds, power=power)
    assert power_of(effect, variation, tasks=tasks, seeds=seeds) == pytest.approx(power, abs=1e-3)
    for more in (
        detectable_effect(variation, tasks=tasks + 1, seeds=seeds, power=power),
        detectable_effect(variation, tasks=tasks, seeds=seeds + 1, power=power),
    ):
        assert more <= effect + 1e-12


@settings(max_examples=50)
@given(EPISODES, st.floats(0.05, 0.95), st.floats(0.5, 0.99), st.floats(0.5, 0.99))
def test_a_live_interval_stays_in_range_and_widens_with_confidence(
    episodes: list[tuple[bool, float]], control: float, one: float, other: float
) -> None:
    """Within -1..1 at every moment, never empty at 50 % and more, wider for more confidence."""
    effect = LiveEffect(control=control)
    less, more = sorted((one, other))
    for withheld, outcome in episodes:
        effect = effect.after(outcome, withheld=withheld)
        inner, outer = effect.interval(confidence=less), effect.interval(confidence=more)
        assert -1 <= outer.low <= inner.low <= inner.high <= outer.high <= 1
        assert inner.low <= inner.estimate <= inner.high
    assert effect.shown + effect.withheld == len(episodes)


@settings(max_examples=50)
@given(EPISODES, st.floats(0.05, 0.95))
def test_swapping_shown_and_withheld_turns_a_live_interval_round(
    episodes: list[tuple[bool, float]], control: float
) -> None:
    """The same coins read the other way give the same interval with the sign changed."""
    there, back = LiveEffect(control=control), LiveEffect(control=1 - control)
    for withheld, outcome in episodes:
        there = there.after(outcome, withheld=withheld)
        back = back.after(outcome, withheld=not withheld)
    assert there.interval().low == pytest.approx(-back.interval().high, abs=1e-9)
    assert there.interval().estimate == pytest.approx(-back.interval().estimate, abs=1e-9)


@settings(max_examples=50)
@given(EPISODES, st.floats(0.05, 0.95), st.floats(0.001, 0.4))
def test_evidence_of_harm_and_the_interval_agree(
    episodes: list[tuple[bool, float]], control: float, error: float
) -> None:
    """Where the interval lies below zero with error ``error``, the e-value is at least 2 / error."""
    effect = LiveEffect(control=control)
    for withheld, outcome in episodes:
        effect = effect.after(outcome, withheld=withheld)
    if effect.interval(confidence=1 - error).high < 0:
        assert effect.harm >= math.log(2 / error) - 1e-6
