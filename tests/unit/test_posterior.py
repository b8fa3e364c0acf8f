"""The posterior of an action's return: what its bounds cover, worked by hand and measured by simulation."""

from __future__ import annotations

import math
import random
import statistics
from collections.abc import Callable

import pytest

from rlem.core.errors import UsageError
from rlem.values import Posterior, draw, posterior
from rlem.values.posterior import t_quantile

UNIT = (0.0, 1.0)
Bounds = Callable[[int, float, float], tuple[float, float]]
Sampler = Callable[[random.Random], float]


def ours(visits: int, mean: float, m2: float) -> tuple[float, float]:
    """The bounds for returns in [0, 1]."""
    known = posterior(visits, mean, m2, bounds=UNIT)
    return known.lower, known.upper


def naive(visits: int, mean: float, m2: float) -> tuple[float, float]:
    """The textbook interval of a normal mean, which is not good enough."""
    half = 1.96 * math.sqrt(m2 / max(visits - 1, 1) / visits)
    return mean - half, mean + half


def coverage_of_coins(chance: float, visits: int, bounds: Bounds) -> float:
    """How often the bounds hold the chance of a coin: exact, over all numbers of heads."""
    covered = 0.0
    for heads in range(visits + 1):
        mean = heads / visits
        low, high = bounds(visits, mean, visits * mean * (1 - mean))
        if low <= chance <= high:
            covered += math.comb(visits, heads) * chance**heads * (1 - chance) ** (visits - heads)
    return covered


@pytest.mark.parametrize("chance", [0.02, 0.1, 0.5, 0.9])
def test_bounds_cover_coins_at_every_number_of_visits(chance: float) -> None:
    """At least 95 %, for 1 to 50 visits; a normal interval fails for all of these coins."""
    for visits in range(1, 51):
        assert coverage_of_coins(chance, visits, ours) >= 0.95
    assert min(coverage_of_coins(chance, visits, naive) for visits in range(2, 51)) < 0.8


def coverage(sample: Sampler, mean: float, visits: int, bounds: tuple[float, float] | None) -> float:
    """How often the bounds hold the mean of a distribution: 400 seeded tries."""
    rng = random.Random(visits)
    covered = 0
    for _ in range(400):
        targets = [sample(rng) for _ in range(visits)]
        middle = statistics.fmean(targets)
        known = posterior(visits, middle, sum((x - middle) ** 2 for x in targets), bounds=bounds)
        covered += known.lower <= mean <= known.upper
    return covered / 400


@pytest.mark.parametrize(
    ("sample", "mean"),
    [
        (lambda rng: rng.betavariate(2, 5), 2 / 7),
        (lambda rng: rng.betavariate(0.5, 0.5), 0.5),
        (lambda rng: rng.betavariate(1, 20), 1 / 21),
        (lambda rng: 0.0 if rng.random() < 0.1 else 0.6, 0.54),
        (lambda rng: 0.0 if rng.random() < 0.01 else 0.99, 0.9801),
        (lambda rng: 1.0 if rng.random() < 0.02 else 0.1, 0.118),
        (lambda rng: rng.choice([0.0, 0.1, 0.1, 0.59, 0.73]), 0.304),
    ],
    ids=["beta(2,5)", "beta(.5,.5)", "beta(1,20)", "rare zero", "rarer zero", "rare one", "partial pay"],
)
def test_bounds_cover_other_returns_of_known_range(sample: Sampler, mean: float) -> None:
    """Skewed, two-sided, and with a rare outcome that few visits do not show: at least 93 % in 400 tries,
    which a coverage of 95 % misses by chance once in 30 times."""
    for visits in (1, 2, 3, 5, 8, 13, 20, 30, 50):
        assert coverage(sample, mean, visits, UNIT) >= 0.93


@pytest.mark.parametrize(
    ("sample", "mean", "least"),
    [
        (lambda rng: rng.gauss(1, 1), 1.0, 0.92),
        (lambda rng: rng.gauss(1, 100), 1.0, 0.92),
        (lambda rng: rng.gauss(0, 1) / math.sqrt(rng.gammavariate(1.5, 2 / 3)), 0.0, 0.92),
        (lambda rng: rng.expovariate(1), 1.0, 0.85),
    ],
    ids=["normal", "wide normal", "heavy tails", "skewed"],
)
def test_bounds_of_unknown_range_cover_symmetric_returns(sample: Sampler, mean: float, least: float) -> None:
    """Student's t at any scale, heavy tails too; skewed returns are covered less, as it is documented."""
    for visits in (2, 3, 5, 8, 13, 20, 30, 50):
        assert coverage(sample, mean, visits, None) >= least


def test_one_sided_evidence_by_hand() -> None:
    """N visits that all earned everything: u^N = (1 - level) / 2."""
    assert posterior(3, 1.0, 0.0, bounds=UNIT).lower == pytest.approx(0.025 ** (1 / 3))
    assert posterior(3, 1.0, 0.0, bounds=UNIT).upper == 1.0
    assert posterior(2, -1.0, 0.0, bounds=(-1.0, 3.0)).upper == pytest.approx(3 - 4 * 0.025**0.5)
    assert posterior(1, 1.0, 0.0, bounds=UNIT, level=0.5).lower == pytest.approx(0.25)


def test_equal_targets_count_for_more_than_a_coin_of_their_mean() -> None:
    """40 times .5: size = 40^2 / 4 / (L / 2), and kl(.5, u) = L / size at the end."""
    limit = math.log(40)
    known = posterior(40, 0.5, 0.0, bounds=UNIT)
    size = 40 * 40 * 0.25 / (limit / 2)
    assert -0.5 * math.log(4 * known.lower * (1 - known.lower)) == pytest.approx(limit / size)
    assert known.upper - known.lower < 0.6 * (ours(40, 0.5, 10.0)[1] - ours(40, 0.5, 10.0)[0])


def test_unknown_range_by_hand() -> None:
    """t(.95, 3) sqrt((s0^2 + M2) / 3 / 4); one visit bounds nothing; a known end clips."""
    known = posterior(4, 2.0, 0.5)
    assert known.upper - 2.0 == pytest.approx(3.182446 * math.sqrt(0.75 / 12))
    assert 2.0 - known.lower == pytest.approx(known.upper - 2.0)
    assert known.spread == pytest.approx(math.sqrt(0.5 / 3))
    assert posterior(1, 2.0, 0.0).upper == math.inf
    assert posterior(2, 0.1, 0.0, bounds=(0.0, math.inf)).lower == 0.0


def test_without_visits_all_is_possible() -> None:
    """The whole range around its middle; nothing at all where there is no range."""
    assert posterior(0, 9.0, 9.0, bounds=(-1.0, 3.0)) == Posterior(
        visits=0, mean=1.0, spread=None, lower=-1.0, upper=3.0
    )
    assert posterior(0, 0.0, 0.0) == Posterior(
        visits=0, mean=0.0, spread=None, lower=-math.inf, upper=math.inf
    )


def test_an_unknown_spread_is_the_worst_there_can_be() -> None:
    """m2 = inf: the bounds of a coin where the range is known, none where it is not."""
    assert ours(40, 0.5, math.inf) == ours(40, 0.5, 10.0)
    assert posterior(40, 0.5, math.inf, bounds=UNIT).spread is None
    assert posterior(40, 0.5, math.inf).lower == -math.inf


@pytest.mark.parametrize("level", [0.0, 1.0, 2.0, math.nan])
def test_levels_are_checked(level: float) -> None:
    """A level is a probability between 0 and 1."""
    with pytest.raises(UsageError, match="level="):
        posterior(1, 0.0, 0.0, level=level)


@pytest.mark.parametrize(
    ("degrees", "level", "quantile"),
    [(1, 0.95, 12.7062), (2, 0.95, 4.3027), (3, 0.99, 5.8409), (10, 0.9, 1.8125), (1000, 0.95, 1.9623)],
)
def test_quantiles_are_those_of_the_tables(degrees: int, level: float, quantile: float) -> None:
    """Student's t, as printed in every textbook."""
    assert t_quantile(degrees, level) == pytest.approx(quantile, abs=1e-4)


def test_draws_follow_what_is_known() -> None:
    """Their mean is the estimate's, drawn to the middle by the prior; their spread falls with visits."""

    def draws(visits: int, value: float, bounds: tuple[float, float] | None = UNIT) -> list[float]:
        rng = random.Random(3)
        return [draw(visits, value, 0.0, bounds=bounds, rng=rng) for _ in range(2000)]

    assert statistics.fmean(draws(0, 0.0)) == pytest.approx(0.5, abs=0.02)
    assert statistics.fmean(draws(3, 1.0)) == pytest.approx(4 / 5, abs=0.02)
    assert statistics.fmean(draws(20, 10.0, None)) == pytest.approx(10.0, abs=0.02)
    assert statistics.median(draws(0, 10.0, None)) == pytest.approx(0.0, abs=0.05)
    for bounds in (UNIT, None):
        few, many = (statistics.stdev(draws(n, 0.5, bounds)) for n in (4, 40))
        assert many < few / 2
    assert all(-1.0 <= x <= 3.0 for x in draws(1, 3.0, (-1.0, 3.0)))


def test_draws_are_seeded_and_stand_an_unknown_spread() -> None:
    """The same generator state gives the same draw."""
    first, second = (draw(3, 0.5, math.inf, rng=random.Random(7)) for _ in range(2))
    assert first == second
    assert math.isfinite(first)
