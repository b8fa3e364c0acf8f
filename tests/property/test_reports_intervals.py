"""Properties of bootstrap intervals and of the summary made from them."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.runs import config, episode

from rlem.evidence.intervals import mean_interval, paired_difference
from rlem.reports import summarise

KEYS = st.tuples(st.sampled_from("abcdefgh"), st.integers(0, 2))
TABLES = st.dictionaries(KEYS, st.floats(-10, 10, allow_nan=False), min_size=1, max_size=24)


@given(TABLES)
def test_an_interval_holds_its_mean_and_stays_within_the_values(values: dict[tuple[str, int], float]) -> None:
    """low <= mean <= high, and no resample can leave the range of the values."""
    interval = mean_interval(values, resamples=200)
    assert interval.low <= interval.estimate <= interval.high
    assert interval.low >= min(values.values()) - 1e-9
    assert interval.high <= max(values.values()) + 1e-9
    assert interval.estimate == pytest.approx(math.fsum(values.values()) / len(values))


@given(TABLES, st.floats(-5, 5), st.sampled_from([0.5, 2.0, 3.0]))
def test_shifting_and_scaling_values_shifts_and_scales_the_interval(
    values: dict[tuple[str, int], float], shift: float, scale: float
) -> None:
    """The percentile interval moves with the unit: no unit makes a result more certain."""
    before = mean_interval(values, resamples=200)
    after = mean_interval({key: scale * value + shift for key, value in values.items()}, resamples=200)
    assert after.low == pytest.approx(scale * before.low + shift, abs=1e-6)
    assert after.high == pytest.approx(scale * before.high + shift, abs=1e-6)


@given(TABLES, TABLES)
def test_swapping_the_arms_turns_the_sign(
    first: dict[tuple[str, int], float], second: dict[tuple[str, int], float]
) -> None:
    """The mean difference is antisymmetric, and no value is lost: paired plus left out is all."""
    there, back = (paired_difference(*pair, resamples=50) for pair in [(first, second), (second, first)])
    assert (there.interval is None) == (back.interval is None)
    if there.interval and back.interval:
        assert there.interval.estimate == pytest.approx(-back.interval.estimate, abs=1e-9)
    paired = there.interval.values if there.interval else 0
    assert (paired + there.only_first, paired + there.only_second) == (len(first), len(second))


@settings(max_examples=25)
@given(
    st.lists(st.tuples(st.booleans(), st.booleans(), st.booleans(), st.booleans()), min_size=1, max_size=12)
)
def test_counts_and_shares_of_a_summary_agree(plays: list[tuple[bool, bool, bool, bool]]) -> None:
    """Whatever succeeds or breaks, outcomes add up to the pairs and rows follow from the outcomes."""
    records = []
    for index, (memory, control, memory_broken, control_broken) in enumerate(plays):
        for arm, success, broken in [
            ("memory", memory, memory_broken),
            ("no-memory", control, control_broken),
        ]:
            status = "broken" if broken else "terminated"
            records.append(episode(arm=arm, task=f"t{index}", success=success, status=status))
    summary = summarise(records, config())
    outcomes, difference = summary.outcomes, summary.paired_difference
    pairs = outcomes.both + outcomes.memory_only + outcomes.without_only + outcomes.neither
    assert pairs == difference.pairs == len(plays)
    assert difference.mean == pytest.approx((outcomes.memory_only - outcomes.without_only) / pairs)
    assert summary.rows[0].success == pytest.approx((outcomes.both + outcomes.memory_only) / pairs)
    assert summary.broken_episodes == sum(one[2] + one[3] for one in plays)
