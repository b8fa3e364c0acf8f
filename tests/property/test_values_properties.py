"""Laws of targets, estimates and intervals."""

from __future__ import annotations

import itertools
import math
import random
import statistics
from functools import reduce

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlem.core.types import Episode
from rlem.memory.config import MemoryConfig
from rlem.testing.memory_cases import episode, situation, taught
from rlem.values import (
    Estimate,
    Posterior,
    ValueConfig,
    constant_step,
    draw,
    interval,
    lambda_return,
    merge_double,
    monte_carlo_returns,
    n_step_target,
    posterior,
    running_mean,
)

rewards = st.floats(-10, 10).map(lambda x: round(x, 3))
returns = st.lists(rewards, min_size=1, max_size=12)
shares = st.floats(0, 1)


@given(returns, shares, rewards, st.integers(0, 5))
def test_n_steps_to_the_end_are_the_monte_carlo_return(
    earned: list[float], discount: float, tail: float, more: int
) -> None:
    """n at least the length: nothing is bootstrapped but the tail."""
    n = len(earned) + more
    for t, expected in enumerate(monte_carlo_returns(earned, discount, tail)):
        assert n_step_target(earned[t : t + n], discount, tail) == pytest.approx(expected)


@given(returns, shares, rewards, st.data())
def test_the_ends_of_lambda(earned: list[float], discount: float, tail: float, data: st.DataObject) -> None:
    """lambda = 1 is the Monte-Carlo return whatever the values; lambda = 0 is the one-step target."""
    size = len(earned) - 1
    values = data.draw(st.lists(rewards, min_size=size, max_size=size))
    full = lambda_return(earned, values, discount, 1.0, tail)
    assert full == pytest.approx(monte_carlo_returns(earned, discount, tail)[0])
    one = lambda_return(earned, values, discount, 0.0, tail)
    assert one == pytest.approx(earned[0] + discount * ([*values, tail][0]))


@given(returns, shares, shares, st.data())
def test_the_lambda_return_is_the_weighted_sum_of_n_step_targets(
    earned: list[float], discount: float, decay: float, data: st.DataObject
) -> None:
    """G^lambda = (1 - lambda) sum_n lambda^(n-1) G^(n), the rest of the weight on the full return."""
    size = len(earned) - 1
    values = data.draw(st.lists(rewards, min_size=size, max_size=size))
    parts = [n_step_target(earned[:n], discount, values[n - 1]) for n in range(1, len(earned))]
    expected = sum((1 - decay) * decay ** (n - 1) * part for n, part in enumerate(parts, 1))
    expected += decay**size * n_step_target(earned, discount)
    assert lambda_return(earned, values, discount, decay) == pytest.approx(expected, abs=1e-9)


@given(returns)
def test_the_running_mean_is_mean_and_sample_variance(targets: list[float]) -> None:
    """Under alpha = 1/N, Q is the mean of all targets and M2 / (n - 1) their sample variance."""
    estimate = reduce(running_mean, targets, Estimate())
    assert estimate.visits == len(targets)
    assert estimate.value == pytest.approx(statistics.fmean(targets), abs=1e-9)
    if len(targets) > 1:
        assert estimate.m2 / (estimate.visits - 1) == pytest.approx(statistics.variance(targets), abs=1e-7)


@given(returns, st.floats(0.01, 1))
def test_the_constant_step_is_an_exponential_average_from_zero(targets: list[float], rate: float) -> None:
    """Q = sum_i lr (1 - lr)^(N-i) G_i."""
    estimate = reduce(lambda old, target: constant_step(old, target, rate), targets, Estimate())
    size = len(targets)
    expected = sum(rate * (1 - rate) ** (size - 1 - i) * target for i, target in enumerate(targets))
    assert estimate.visits == size
    assert estimate.value == pytest.approx(expected, abs=1e-9)


@given(returns, st.lists(rewards, max_size=6))
def test_merging_double_tables(first: list[float], second: list[float]) -> None:
    """Visits add up, the value is the plain mean of the tables that have the entry, order is no matter."""
    a, b = (reduce(running_mean, targets, Estimate()) for targets in (first, second))
    merged = merge_double(a, b)
    assert merged == merge_double(b, a)
    assert merged.visits == len(first) + len(second)
    assert merged.value == pytest.approx(statistics.fmean([a.value, *([b.value] if second else [])]))


@given(st.integers(0, 500), shares, st.floats(0, 50), st.floats(-5, 5), st.floats(0.1, 10))
def test_an_interval_holds_its_value_within_the_bounds(
    visits: int, place: float, m2: float, low: float, width: float
) -> None:
    """low <= left <= value <= right <= high."""
    bounds = (low, low + width)
    value = min(max(low + place * width, bounds[0]), bounds[1])
    left, right = interval(visits, value, m2, bounds=bounds)
    assert bounds[0] <= left <= value <= right <= bounds[1]


@given(st.integers(1, 300), st.floats(0, 20), st.floats(0, 20))
def test_an_interval_shrinks_with_visits_and_grows_with_spread(visits: int, m2: float, more: float) -> None:
    """More visits of no more spread: surer. More spread: less sure."""

    def width(n: int, spread: float) -> float:
        left, right = interval(n, 0.0, spread)
        return right - left

    assert width(visits + 1, m2) < width(visits, m2)
    assert width(visits, m2 + more) >= width(visits, m2)
    assert math.isclose(width(1, 0.0), 2 * 12.706 * 0.5)


ranges = st.one_of(st.none(), st.tuples(st.floats(-5, 5), st.floats(0.1, 10)).map(lambda r: (r[0], sum(r))))


@given(st.integers(1, 200), shares, st.floats(0, 1), st.floats(0.01, 0.5), ranges)
def test_posterior_bounds_hold_the_mean_and_narrow_with_visits(
    visits: int, place: float, spread: float, more: float, bounds: tuple[float, float] | None
) -> None:
    """lower <= mean <= upper within the range. More visits of the same spread never widen, more spread never
    narrows, and a higher level holds all of a lower one."""
    low, high = bounds or (0.0, 1.0)
    value = min(max(low + place * (high - low), low), high)

    def known(n: int, spread: float, level: float = 0.95) -> Posterior:
        return posterior(n, value, n * (spread * (high - low)) ** 2, bounds=bounds, level=level)

    def width(of: Posterior) -> float:
        return of.upper - of.lower

    one = known(visits, spread)
    assert one.lower <= one.mean <= one.upper
    assert bounds is None or low - 1e-9 <= one.lower <= one.upper <= high + 1e-9
    assert width(known(visits + 1, spread)) <= width(one) + 1e-6
    assert width(known(visits, spread + more)) >= width(one) - 1e-6
    wider = known(visits, spread, 0.99)
    assert wider.lower <= one.lower + 1e-6
    assert wider.upper >= one.upper - 1e-6


@given(st.integers(0, 50), shares, st.floats(0, 50), st.integers(0, 99), ranges)
def test_draws_lie_within_the_range(
    visits: int, place: float, m2: float, seed: int, bounds: tuple[float, float] | None
) -> None:
    """Finite, and no return that cannot be."""
    low, high = bounds or (0.0, 1.0)
    value = low + place * (high - low)
    drawn = draw(visits, value, m2, bounds=bounds, rng=random.Random(seed))
    assert math.isfinite(drawn)
    assert bounds is None or low <= drawn <= high + 1e-9


logs = st.lists(
    st.lists(st.tuples(st.sampled_from("pqr"), st.sampled_from("ab"), rewards), min_size=1, max_size=5),
    min_size=1,
    max_size=5,
)


def _episodes(log: list[list[tuple[str, str, float]]]) -> list[Episode]:
    return [episode(f"e{i}", steps) for i, steps in enumerate(log)]


@given(logs, shares)
def test_through_the_memory_n_and_lambda_meet_monte_carlo(
    log: list[list[tuple[str, str, float]]], discount: float
) -> None:
    """n at least the longest episode and lambda = 1 give the Monte-Carlo memory; lambda = 0 gives n = 1."""

    def hash_under(**values: float | None) -> list[tuple[float, float]]:
        memory = taught(MemoryConfig(values=ValueConfig(discount=discount, **values)), _episodes(log))  # type: ignore[arg-type]
        return [(a.q_value, a.m2) for e in memory.experiences() for a in e.actions]

    plain = hash_under()
    assert hash_under(n=5) == hash_under(n=50) == hash_under(trace_decay=1.0) == plain
    one, zero = hash_under(n=1), hash_under(trace_decay=0.0)
    assert list(itertools.chain(*one)) == pytest.approx(list(itertools.chain(*zero)), abs=1e-9)


@given(logs, st.randoms(use_true_random=False))
def test_monte_carlo_does_not_depend_on_the_order_of_episodes(
    log: list[list[tuple[str, str, float]]], rng: object
) -> None:
    """Q is the mean of the targets: in whatever order episodes and actions came."""
    items = _episodes(log)
    shuffled = list(items)
    rng.shuffle(shuffled)  # type: ignore[attr-defined]

    def values(order: list[Episode]) -> list[tuple[str, int, float]]:
        known = [taught(None, order).get(situation(page).key) for page in "pqr"]
        rows = [
            (a.action, a.visits, a.q_value)
            for e in known
            if e
            for a in sorted(e.actions, key=lambda a: a.action)
        ]
        return [(action, visits, round(value, 8)) for action, visits, value in rows]

    assert values(items) == values(shuffled)


@given(
    logs, st.sampled_from([ValueConfig(n=1), ValueConfig(n=2), ValueConfig(trace_decay=0.5), ValueConfig()])
)
def test_verified_values_are_the_values_where_all_is_verified(
    log: list[list[tuple[str, str, float]]], values: ValueConfig
) -> None:
    """Targets of their own make no difference as long as nothing unverified is there."""
    for experience in taught(MemoryConfig(values=values), _episodes(log)).experiences():
        for action in experience.actions:
            assert (action.verified_visits, action.verified_q_value) == (action.visits, action.q_value)
