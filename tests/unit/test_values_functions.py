"""Targets, estimates and intervals, worked by hand."""

from __future__ import annotations

import math
from dataclasses import fields, replace
from typing import Any

import pytest

from rlem.core.errors import UsageError
from rlem.values import (
    Estimate,
    ValueConfig,
    constant_step,
    interval,
    lambda_return,
    merge_double,
    monte_carlo_returns,
    n_step_target,
    running_mean,
)


def test_monte_carlo_returns_by_hand() -> None:
    """Every step is worth what follows it, discounted; nothing follows the end but the tail."""
    assert monte_carlo_returns([], 0.9) == []
    assert monte_carlo_returns([1.0, 0.0, 2.0], 1.0) == [3.0, 2.0, 2.0]
    assert monte_carlo_returns([1.0, 0.0, 2.0], 0.5) == [1.5, 1.0, 2.0]
    assert monte_carlo_returns([1.0, 0.0, 2.0], 0.0) == [1.0, 0.0, 2.0]
    assert monte_carlo_returns([0.0, 0.0], 0.5, tail=8.0) == [2.0, 4.0]


def test_n_step_target_by_hand() -> None:
    """Given rewards are discounted by their place, the bootstrap by their number."""
    assert n_step_target([], 0.5, bootstrap=4.0) == 4.0
    assert n_step_target([1.0], 0.5, bootstrap=4.0) == 3.0
    assert n_step_target([1.0, 2.0], 0.5, bootstrap=4.0) == 3.0
    assert n_step_target([1.0, 2.0], 0.5) == 2.0
    assert n_step_target([1.0, 2.0], 0.0, bootstrap=4.0) == 1.0


def test_lambda_return_by_hand() -> None:
    """Half of each next value, half of what really followed."""
    # G_2 = 4 + .5*2 = 5; G_1 = 2 + .5*(.5*6 + .5*5) = 4.75; G_0 = 1 + .5*(.5*8 + .5*4.75) = 4.1875
    assert lambda_return([1.0, 2.0, 4.0], [8.0, 6.0], 0.5, 0.5, tail=2.0) == 4.1875
    assert lambda_return([3.0], [], 0.9, 0.5) == 3.0


@pytest.mark.parametrize(("rewards", "values"), [([1.0], [1.0]), ([1.0, 2.0], []), ([], [])])
def test_lambda_return_checks_its_shapes(rewards: list[float], values: list[float]) -> None:
    """One next value for every step but the last: anything else is a mistake of the caller."""
    with pytest.raises(ValueError, match="next values"):
        lambda_return(rewards, values, 1.0, 0.5)


def test_running_mean_by_hand() -> None:
    """The first target replaces the start value; then the mean moves by 1/N, and M2 gathers the spread."""
    estimate = running_mean(Estimate(), 4.0)
    assert estimate == Estimate(1, 4.0, 0.0)
    estimate = running_mean(estimate, 0.0)
    assert estimate == Estimate(2, 2.0, 8.0)
    assert running_mean(estimate, 2.0) == Estimate(3, 2.0, 8.0)


def test_constant_step_by_hand() -> None:
    """From 0, a tenth of the way to each target."""
    estimate = constant_step(Estimate(), 1.0, 0.1)
    assert estimate.visits == 1
    assert estimate.value == pytest.approx(0.1)
    estimate = constant_step(estimate, 1.0, 0.1)
    assert estimate.visits == 2
    assert estimate.value == pytest.approx(0.19)
    assert estimate.m2 == pytest.approx(1.0 * 0.9 + 0.9 * 0.81)
    assert constant_step(Estimate(5, 3.0, 1.0), 7.0, 1.0).value == 7.0


def test_double_tables_merge_by_mean_and_a_missing_entry_does_not_count() -> None:
    """Mean of the values, sum of the visits; a table that never saw the action has no say."""
    seen, unseen = Estimate(2, 4.0, 1.0), Estimate()
    assert merge_double(seen, Estimate(3, 1.0, 0.5)) == Estimate(5, 2.5, 1.5)
    assert merge_double(seen, unseen) == seen
    assert merge_double(unseen, seen) == seen
    assert merge_double(unseen, unseen) == unseen


def _t_probability(quantile: float, degrees: int) -> float:
    """P(|T| <= quantile) of Student's t, by Simpson's rule over the density after t = sqrt(df) tan x."""
    # With that substitution the density becomes c cos(x)^(df-1): smooth, on a finite range.
    top = math.atan(quantile / math.sqrt(degrees))
    scale = math.exp(math.lgamma((degrees + 1) / 2) - math.lgamma(degrees / 2)) / math.sqrt(math.pi)
    pieces = 2000
    width = top / pieces
    total = sum(
        (1 if i in (0, pieces) else 4 if i % 2 else 2) * math.cos(i * width) ** (degrees - 1)
        for i in range(pieces + 1)
    )
    return 2.0 * scale * total * width / 3.0


@pytest.mark.parametrize("degrees", [*range(1, 41), 60, 120, 1000, 100_000])
def test_the_quantiles_are_those_of_students_t(degrees: int) -> None:
    """The interval reaches the 97.5 % quantile: exact to the table's three decimals, .002 beyond it."""
    # With s0 = 0.5 (no bounds) and M2 = 0 the half width is t * 0.5 / visits.
    low, high = interval(degrees, 0.0, 0.0)
    quantile = high * degrees / 0.5
    assert low == -high
    slack = 0.0006 if degrees <= 30 else 0.0025
    assert _t_probability(quantile - slack, degrees) < 0.95 < _t_probability(quantile + slack, degrees)


def test_interval_by_hand() -> None:
    """Half the range is the prior deviation; variance and mean's variance both divide by the visits."""
    # s^2 = (0.5^2 + 0.11) / 4 = 0.09; t(4) = 2.776; half = 2.776 * sqrt(0.09 / 4) = 0.4164
    low, high = interval(4, 0.5, 0.11, bounds=(0.0, 1.0))
    assert [low, high] == pytest.approx([0.0836, 0.9164], abs=1e-4)


def test_interval_stays_within_the_bounds() -> None:
    """A return cannot lie outside of its range, and without visits it may lie anywhere in it."""
    assert interval(0, 0.0, 0.0, bounds=(-1.0, 3.0)) == (-1.0, 3.0)
    assert interval(0, 0.0, 0.0) == (-math.inf, math.inf)
    assert interval(1, 3.0, 0.0, bounds=(-1.0, 3.0)) == (-1.0, 3.0)
    low, high = interval(20, 3.0, 0.0, bounds=(-1.0, 3.0))
    assert -1.0 < low < high == 3.0
    low, high = interval(50, 0.5, 1.0, bounds=(-math.inf, math.inf))
    assert math.isfinite(low)
    assert math.isfinite(high)


def test_a_slightly_negative_spread_is_rounding_not_an_error() -> None:
    """M2 just below zero counts as zero."""
    assert interval(3, 1.0, -1e-18) == interval(3, 1.0, 0.0)


@pytest.mark.parametrize(
    "wrong",
    [
        {"discount": -0.1},
        {"discount": 1.1},
        {"discount": math.nan},
        {"n": 0},
        {"n": -1},
        {"trace_decay": 1.5},
        {"trace_decay": math.nan},
        {"learning_rate": 0.0},
        {"learning_rate": 2.0},
        {"estimate": "median"},
        {"truncation": "never"},
        {"compat": "original"},
        {"n": 1, "trace_decay": 0.5},
    ],
    ids=str,
)
def test_impossible_settings_are_refused(wrong: dict[str, Any]) -> None:
    """The message names the setting, its value and what is allowed."""
    with pytest.raises(UsageError) as caught:
        ValueConfig(**wrong)
    assert next(iter(wrong)) in str(caught.value)


def test_settings_know_their_defaults() -> None:
    """The paper's: gamma 1, Monte-Carlo, running mean, cut episodes end where they are cut."""
    config = ValueConfig()
    assert (config.discount, config.n, config.estimate, config.truncation) == (1.0, None, "mean", "terminal")
    assert {f.name for f in fields(config)} == {
        *(
            "discount",
            "n",
            "trace_decay",
            "estimate",
            "learning_rate",
            "double",
            "truncation",
            "compat",
            "seed",
        )
    }
    assert replace(config, n=3).n == 3
