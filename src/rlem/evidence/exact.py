"""Exact tests of paired differences, and corrections for many comparisons."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from rlem.core.errors import UsageError
from rlem.evidence.intervals import Array, Values, paired

DRAWS = 20_000
_ENUMERATED = 20  # units that differ; 2^19 sums are 4 MiB
_LATTICE = 100_000  # longest table of an integer sum's distribution
_BLOCK = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class SignFlipTest:
    """Two-sided p-value; ``units`` tasks (or seeds) compared, of which ``better`` and ``worse`` differ.

    ``method`` is "exact", or "monte-carlo": seeded draws, p at least 1 / (draws + 1).
    """

    p_value: float
    method: Literal["exact", "monte-carlo"]
    units: int
    better: int
    worse: int


Unit: TypeAlias = Literal["task", "seed"]


def sign_flip_test(
    first: Values, second: Values, *, unit: Unit = "task", draws: int = DRAWS, seed: int = 0
) -> SignFlipTest:
    """Whether first and second differ by more than swapping their names, unit by unit, would make.

        p = P( |sum_t e_t d_t| >= |sum_t d_t| ),   e_t = +1 or -1, fair and independent
        d_t = sum over seeds of first - second on task t

    Exact where every d_t is a whole number (0/1 outcomes, by convolution: with one seed this is McNemar's
    exact test) or at most 20 of them differ from 0 (by enumeration); else Monte Carlo over ``draws`` with
    one added to both counts, which keeps the error rate. The null: on each task both orders of the two
    outcomes are equally likely. With ``unit="task"`` it speaks about these training runs; ``unit="seed"``
    flips whole runs, and with S seeds p cannot be below 2^(1 - S).
    Source: Fisher 1935, section 21; Phipson & Smyth 2010 (Monte Carlo).

    >>> before, after = {(t, 0): 0.0 for t in "abcdef"}, {(t, 0): 1.0 for t in "abcdef"}
    >>> sign_flip_test(after, before).p_value
    0.03125

    Raises: UsageError where no (task, seed) pair is shared, values are not finite, or draws < 1.
    """
    sums: dict[str | int, float] = {}
    for (task, run), difference in paired(first, second).items():
        key = task if unit == "task" else run
        sums[key] = sums.get(key, 0.0) + difference
    if not sums or not all(map(math.isfinite, sums.values())) or draws < 1:
        raise UsageError(
            f"{len(sums)} units to compare, draws={draws}: needed are a shared (task, seed) pair, "
            "finite values and draws >= 1"
        )
    units = np.array([value for value in sums.values() if value])
    exact = True
    if not len(units):
        p_value = 1.0
    elif np.all(units == np.rint(units)) and np.abs(units).sum() <= _LATTICE:
        p_value = _by_convolution(np.abs(units).astype(np.int64).tolist(), round(abs(units.sum())))
    elif len(units) <= _ENUMERATED:
        p_value = _by_enumeration(units)
    else:
        exact, p_value = False, _by_draws(units, draws, np.random.default_rng(seed))
    return SignFlipTest(
        p_value=p_value,
        method="exact" if exact else "monte-carlo",
        units=len(sums),
        better=int((units > 0).sum()),
        worse=int((units < 0).sum()),
    )


def mcnemar_test(only_first: int, only_second: int) -> float:
    """Two-sided exact p-value of McNemar's test from the two discordant counts.

        p = min(1, 2 P(X <= min(b, c))),   X ~ binomial(b + c, 1/2)

    For independent pairs of 0/1 outcomes: one seed, or one majority vote a task. Several seeds of one task
    are not independent; :func:`sign_flip_test` keeps them together. Source: McNemar 1947.

    >>> mcnemar_test(1, 7)
    0.0703125

    Raises: UsageError for negative counts.
    """
    if only_first < 0 or only_second < 0:
        raise UsageError(f"discordant counts {only_first}, {only_second}: allowed are 0 and more")
    pairs = only_first + only_second
    tail = sum(math.comb(pairs, count) for count in range(min(only_first, only_second) + 1))
    return min(1.0, 2 * tail / (1 << pairs))  # integers until here: no rounding however many pairs


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """P-values adjusted so that the chance of even one false claim among them stays below the level.

        p~_(i) = max_{j <= i} min(1, (m - j + 1) p_(j))

    Holds whatever the dependence. Compare with the level itself. Source: Holm 1979.

    >>> holm({"a": 0.01, "b": 0.04})
    {'a': 0.02, 'b': 0.04}

    Raises: UsageError for what is no probability.
    """
    adjusted, least = {}, 0.0
    for rank, (name, p_value) in enumerate(_ascending(p_values)):
        least = max(least, min(1.0, (len(p_values) - rank) * p_value))
        adjusted[name] = least
    return {name: adjusted[name] for name in p_values}


def benjamini_hochberg(p_values: Mapping[str, float]) -> dict[str, float]:
    """P-values adjusted so that the expected share of false ones among the claims stays below the level.

        p~_(i) = min_{j >= i} min(1, m p_(j) / j)

    For screening many ablations; the tests independent or positively dependent.
    Source: Benjamini & Hochberg 1995.

    >>> benjamini_hochberg({"a": 0.01, "b": 0.04})
    {'a': 0.02, 'b': 0.04}

    Raises: UsageError for what is no probability.
    """
    adjusted, most = {}, 1.0
    for rank, (name, p_value) in reversed(list(enumerate(_ascending(p_values), start=1))):
        most = min(most, len(p_values) * p_value / rank)
        adjusted[name] = most
    return {name: adjusted[name] for name in p_values}


def _ascending(p_values: Mapping[str, float]) -> list[tuple[str, float]]:
    for name, p_value in p_values.items():
        if not 0 <= p_value <= 1:
            raise UsageError(f"p-value {p_value} of {name!r}: allowed is 0 to 1")
    return sorted(p_values.items(), key=lambda item: item[1])


def _by_convolution(sizes: list[int], observed: int) -> float:
    """P(|sum| >= observed) from the whole distribution of the sum, one fair sign at a time."""
    total = sum(sizes)
    chance = np.zeros(2 * total + 1)
    chance[total] = 1.0
    for size in sizes:
        chance = (np.roll(chance, size) + np.roll(chance, -size)) / 2  # never wraps: |sum| <= total
    far = np.abs(np.arange(-total, total + 1)) >= observed
    return min(1.0, float(chance[far].sum()))


def _by_enumeration(units: Array) -> float:
    sums = units[:1]  # the first sign stays: the other half mirrors it
    for unit in units[1:]:
        sums = np.concatenate([sums + unit, sums - unit])
    return float(_as_far(sums, units).mean())


def _by_draws(units: Array, draws: int, rng: np.random.Generator) -> float:
    block, hits = max(1, _BLOCK // len(units)), 0
    for start in range(0, draws, block):
        signs = 2.0 * rng.integers(0, 2, size=(min(block, draws - start), len(units))) - 1
        hits += int(_as_far(signs @ units, units).sum())
    return (hits + 1) / (draws + 1)


def _as_far(sums: Array, units: Array) -> NDArray[np.bool_]:
    # Sums that are equal but for rounding are ties, and ties count.
    result: NDArray[np.bool_] = np.abs(sums) >= abs(units.sum()) - 1e-9 * np.abs(units).sum()
    return result
