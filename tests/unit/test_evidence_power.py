"""Power and detectable effects: closed forms, brute force, simulation."""

import itertools
import math

import numpy as np
import pytest

from rlem.core.errors import UsageError
from rlem.evidence import (
    Variation,
    assumed_variation,
    detectable_effect,
    mcnemar_detectable_effect,
    mcnemar_power,
    mcnemar_test,
    observed_variation,
    power_of,
    sign_flip_test,
)


def test_the_detectable_effect_is_2_8_standard_errors() -> None:
    """Variance .1276 on 100 tasks: (1.96 + .8416) .0357 = 10 points; four times the tasks, half of it."""
    variation = Variation(task=0.1276, seed=0, rest=0)
    assert detectable_effect(variation, tasks=100) == pytest.approx(0.1, abs=1e-3)
    assert detectable_effect(variation, tasks=400) == pytest.approx(0.05, abs=5e-4)
    assert power_of(0.1, variation, tasks=100) == pytest.approx(0.8, abs=0.01)
    assert power_of(0.0, variation, tasks=100) == pytest.approx(0.05)


def test_more_seeds_shrink_only_what_is_theirs() -> None:
    """Seeds divide seed and rest; what differs between tasks stays, however many seeds."""
    variation = Variation(task=0.04, seed=0.01, rest=0.2)
    assert variation.standard_error(tasks=4, seeds=5) == pytest.approx(math.sqrt(0.01 + 0.002 + 0.01))
    assert variation.standard_error(tasks=4, seeds=10**9) == pytest.approx(0.1, abs=1e-6)


def test_the_three_variances_are_found_again() -> None:
    """Over 300 simulated tables the analysis of variance gives back what they were made with."""
    rng = np.random.default_rng(0)
    found = []
    for _ in range(300):
        values = rng.normal(0, 2, (20, 1)) + rng.normal(0, 1, (1, 6)) + rng.normal(0, 3, (20, 6))
        variation = observed_variation({(str(t), s): float(values[t, s]) for t, s in np.ndindex(20, 6)})
        found.append((variation.task, variation.seed, variation.rest))
    assert np.mean(found, axis=0) == pytest.approx((4, 1, 9), rel=0.1)


def test_variation_of_a_small_table_by_hand() -> None:
    """Rows 0 1 / 2 3 are additive: no rest; row means vary by 2, column means by 1/2. One seed: all tasks."""
    square = observed_variation({("a", 0): 0.0, ("a", 1): 1.0, ("b", 0): 2.0, ("b", 1): 3.0})
    assert (square.task, square.seed, square.rest) == pytest.approx((2, 0.5, 0))
    column = observed_variation({("a", 0): 0.0, ("b", 0): 1.0})
    assert (column.task, column.seed, column.rest) == pytest.approx((0.5, 0, 0))
    with pytest.raises(UsageError, match="1 tasks"):
        observed_variation({("a", 0): 0.0, ("a", 1): 1.0, ("b", 0): 2.0})


@pytest.mark.parametrize(
    ("effect", "discordance", "tasks"), [(0.2, 0.3, 20), (-0.3, 0.3, 12), (0.0, 0.5, 25)]
)
def test_mcnemars_power_is_the_sum_over_all_outcomes(effect: float, discordance: float, tasks: int) -> None:
    """Brute force over the two discordant counts with the test itself."""
    up, down = (discordance + effect) / 2, (discordance - effect) / 2
    expected = 0.0
    for b, c in itertools.product(range(tasks + 1), repeat=2):
        if b + c <= tasks and mcnemar_test(b, c) <= 0.05 + 1e-12:
            ways = math.comb(tasks, b) * math.comb(tasks - b, c)
            expected += ways * up**b * down**c * (1 - discordance) ** (tasks - b - c)
    assert mcnemar_power(effect, discordance, tasks=tasks) == pytest.approx(expected)


def test_the_exact_detectable_effect_has_the_power_asked_for() -> None:
    """At the effect found the power is reached, a little below it is not; few tasks may never reach it."""
    effect = mcnemar_detectable_effect(0.2, tasks=100)
    assert effect is not None
    assert mcnemar_power(effect, 0.2, tasks=100) >= 0.8 > mcnemar_power(effect - 0.001, 0.2, tasks=100)
    assert effect == pytest.approx(detectable_effect(assumed_variation(0.2), tasks=100), abs=0.02)
    assert mcnemar_detectable_effect(0.1, tasks=20) is None


def test_power_is_what_simulated_experiments_find() -> None:
    """Of 400 experiments with a true effect of 10 points on 100 tasks, 3 seeds, that share is found."""
    rng = np.random.default_rng(4)
    up, down = 0.2, 0.1  # discordance .3, all of it between pairs: task_share 0
    found = 0
    for _ in range(400):
        draw = rng.random((100, 3))
        first = {(str(t), s): float(draw[t, s] < up) for t, s in np.ndindex(100, 3)}
        second = {(str(t), s): float(draw[t, s] > 1 - down) for t, s in np.ndindex(100, 3)}
        found += sign_flip_test(first, second).p_value <= 0.05
    expected = power_of(0.1, assumed_variation(0.3 - 0.01, task_share=0.0), tasks=100, seeds=3)
    assert found / 400 == pytest.approx(expected, abs=0.06)


def test_options_out_of_range_are_refused() -> None:
    """Shares, sizes, levels and effects that cannot be are usage errors."""
    variation = Variation(task=1.0, seed=0.0, rest=0.0)
    for call in (
        lambda: assumed_variation(1.2),
        lambda: assumed_variation(0.5, task_share=0.8, seed_share=0.3),
        lambda: detectable_effect(variation, tasks=0),
        lambda: detectable_effect(variation, tasks=10, power=1.0),
        lambda: power_of(0.1, variation, tasks=10, confidence=0.0),
        lambda: mcnemar_power(0.3, 0.2, tasks=10),
    ):
        with pytest.raises(UsageError):
            call()
