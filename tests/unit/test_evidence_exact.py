"""Exact tests and corrections: closed forms, brute force, other programs' answers, error rates."""

import itertools

import numpy as np
import pytest

from rlem.core.errors import UsageError
from rlem.evidence import benjamini_hochberg, holm, mcnemar_test, sign_flip_test

Table = dict[tuple[str, int], float]


def arms(differences: list[float]) -> tuple[Table, Table]:
    """Two arms whose task differences are these."""
    return {(f"t{i}", 0): d for i, d in enumerate(differences)}, {
        (f"t{i}", 0): 0.0 for i in range(len(differences))
    }


def brute_force(differences: list[float]) -> float:
    """Share of all sign patterns whose sum is as far from zero."""
    sums = [
        abs(sum(s * d for s, d in zip(signs, differences, strict=True)))
        for signs in itertools.product((-1, 1), repeat=len(differences))
    ]
    return sum(one >= abs(sum(differences)) - 1e-9 for one in sums) / len(sums)


@pytest.mark.parametrize(
    "differences",
    [[1.0, 1.0, 1.0], [2.0, -1.0, 0.0, 3.0, 1.0, 1.0], [0.1, 0.2, 0.3], [0.25, -0.5, 0.7, 0.1, 0.9, -0.2]],
)
def test_the_sign_flip_test_is_the_share_of_all_sign_patterns(differences: list[float]) -> None:
    """Convolution (whole numbers) and enumeration (others) both equal brute force, ties kept whole."""
    result = sign_flip_test(*arms(differences))
    assert result.method == "exact"
    assert result.p_value == pytest.approx(brute_force(differences))


def test_with_one_seed_of_zeros_and_ones_it_is_mcnemars_test() -> None:
    """6 better and 1 worse of 40: both tests say 2 (1 + 7) / 2^7."""
    result = sign_flip_test(*arms([1.0] * 6 + [-1.0] + [0.0] * 33))
    assert result.p_value == pytest.approx(mcnemar_test(6, 1)) == pytest.approx(0.125)
    assert (result.units, result.better, result.worse) == (40, 6, 1)


def test_mcnemars_test_is_scipys_binomial_test() -> None:
    """For all counts up to 12 and for large ones."""
    stats = pytest.importorskip("scipy.stats")
    for b, c in [*itertools.product(range(13), repeat=2), (600, 700)]:
        expected = stats.binomtest(b, b + c).pvalue if b + c else 1.0
        assert mcnemar_test(b, c) == pytest.approx(expected), (b, c)


def test_the_sign_flip_test_is_scipys_permutation_test() -> None:
    """The same p-value for samples of one kind, exact and two-sided."""
    stats = pytest.importorskip("scipy.stats")
    differences = np.random.default_rng(5).normal(0.4, 1, size=11)
    found = stats.permutation_test(
        (differences,), np.mean, permutation_type="samples", n_resamples=np.inf, alternative="two-sided"
    )
    assert sign_flip_test(*arms(differences.tolist())).p_value == pytest.approx(found.pvalue)


def test_many_tasks_are_drawn_and_come_close_to_the_exact_answer() -> None:
    """The Monte Carlo p of 60 differences scaled out of the whole numbers equals the exact one to 1 %."""
    whole = [float(d) for d in np.random.default_rng(2).integers(-2, 4, size=60)]
    exact, drawn = sign_flip_test(*arms(whole)), sign_flip_test(*arms([d * 0.3 for d in whole]))
    assert (exact.method, drawn.method) == ("exact", "monte-carlo")
    assert drawn.p_value == pytest.approx(exact.p_value, abs=0.01)
    assert sign_flip_test(*arms([0.3] * 60)).p_value == pytest.approx(1 / 20_001)


def test_seeds_of_one_task_are_flipped_together() -> None:
    """Five seeds that repeat one another give the p of one; by seed there are five units."""
    first = {(f"t{t}", s): float(t < 5) for t in range(10) for s in range(5)}
    second = dict.fromkeys(first, 0.0)
    assert sign_flip_test(first, second).p_value == pytest.approx(2 / 2**5)
    by_seed = sign_flip_test(first, second, unit="seed")
    assert by_seed.units == 5
    assert by_seed.p_value == pytest.approx(2 / 2**5)


def test_no_difference_is_no_evidence() -> None:
    """Equal outcomes give p = 1; nothing to compare is an error, not a p-value."""
    assert sign_flip_test(*arms([0.0, 0.0])).p_value == 1
    assert mcnemar_test(0, 0) == 1
    for first, second in [({}, {}), ({("a", 0): 1.0}, {("a", 1): 1.0}), arms([float("nan")])]:
        with pytest.raises(UsageError):
            sign_flip_test(first, second)
    with pytest.raises(UsageError):
        mcnemar_test(-1, 2)


@pytest.mark.parametrize("seeds", [1, 3])
def test_under_the_null_small_p_values_are_as_rare_as_they_say(seeds: int) -> None:
    """Of 1,000 comparisons of equal arms at most 5 % (and noise) are below .05, about half below .5."""
    rng = np.random.default_rng(seeds)
    found = []
    for _ in range(1000):
        chance = rng.random((25, 1))
        first, second = (rng.random((2, 25, seeds)) < chance).astype(float)
        keys = list(itertools.product(map(str, range(25)), range(seeds)))
        found.append(
            sign_flip_test(
                dict(zip(keys, first.ravel(), strict=True)), dict(zip(keys, second.ravel(), strict=True))
            ).p_value
        )
    p_values = np.array(found)
    assert np.mean(p_values <= 0.05) <= 0.065
    assert 0.25 <= np.mean(p_values <= 0.5) <= 0.55


def test_continuous_differences_give_uniform_p_values() -> None:
    """Without ties the exact test uses its whole level."""
    rng = np.random.default_rng(9)
    found = np.array([sign_flip_test(*arms(rng.normal(size=10).tolist())).p_value for _ in range(1000)])
    for level in (0.05, 0.2, 0.5, 0.8):
        assert np.mean(found <= level) == pytest.approx(level, abs=0.045)


def test_corrections_by_hand() -> None:
    """Four p-values, ties and order kept: Holm multiplies by what is left, the other by m over the rank."""
    p_values = {"d": 0.5, "a": 0.01, "b": 0.02, "c": 0.02}
    assert list(holm(p_values)) == list(p_values)
    assert holm(p_values) == pytest.approx({"a": 0.04, "b": 0.06, "c": 0.06, "d": 0.5})
    assert benjamini_hochberg(p_values) == pytest.approx(
        {"a": 0.08 / 3, "b": 0.08 / 3, "c": 0.08 / 3, "d": 0.5}
    )
    assert holm({}) == benjamini_hochberg({}) == {}
    for correct in (holm, benjamini_hochberg):
        with pytest.raises(UsageError, match="p-value"):
            correct({"a": 1.5})


def test_the_false_discovery_correction_is_scipys() -> None:
    """Adjusted p-values equal scipy's for random ones."""
    stats = pytest.importorskip("scipy.stats")
    p_values = np.random.default_rng(1).random(30) ** 3
    found = benjamini_hochberg({str(i): float(p) for i, p in enumerate(p_values)})
    assert list(found.values()) == pytest.approx(stats.false_discovery_control(p_values))
