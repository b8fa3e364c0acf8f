"""What a sample could have seen: power and minimum detectable effect of paired differences.

The difference d on (task t, run s) is taken as  effect + task_t + seed_s + rest_ts , so that with T tasks
and S seeds

    SE^2 = task / T + seed / S + rest / (T S)                  (variances of the three parts)
    power(effect) = P(|Z + effect / SE| > z),   z = quantile(1 - a/2)
    detectable = (z + quantile(power)) SE

More seeds do not shrink the first term, more tasks not the second. Source: Searle, Casella & McCulloch 1992
(variance components); Cohen 1988 (power). The normal quantile is a little short with few seeds.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from rlem.core.errors import UsageError
from rlem.evidence.intervals import CONFIDENCE, Array, Values, least_tasks

POWER = 0.8
_NORMAL = NormalDist()


@dataclass(frozen=True, slots=True, kw_only=True)
class Variation:
    """Variances of a paired difference: between tasks, between seeds, and the rest."""

    task: float
    seed: float
    rest: float

    def standard_error(self, *, tasks: int, seeds: int = 1) -> float:
        """Of the mean difference over ``tasks`` x ``seeds`` pairs. Raises: UsageError for fewer than one."""
        if tasks < 1 or seeds < 1:
            raise UsageError(f"tasks={tasks}, seeds={seeds}: allowed are 1 and more")
        return math.sqrt(self.task / tasks + self.seed / seeds + self.rest / (tasks * seeds))


def observed_variation(differences: Values) -> Variation:
    """The three variances by analysis of variance of the differences seen (negative estimates become 0).

    Only tasks that every seed has are used. With one seed, what differs between runs cannot be seen: all
    variance goes to tasks, and the result must not be used to plan for more seeds.

    Raises: UsageError where fewer than two tasks are complete.
    """
    seeds = sorted({seed for _, seed in differences})
    whole = [
        t for t in sorted({t for t, _ in differences}) if all((t, seed) in differences for seed in seeds)
    ]
    if len(whole) < 2:
        raise UsageError(f"{len(whole)} tasks with a value for each seed: variation needs two or more")
    table = np.array([[differences[task, seed] for seed in seeds] for task in whole])
    if len(seeds) == 1:
        return Variation(task=float(table.var(ddof=1)), seed=0.0, rest=0.0)
    by_task, by_seed = table.mean(axis=1), table.mean(axis=0)
    left = table - by_task[:, None] - by_seed[None, :] + table.mean()
    rest = float((left**2).sum()) / ((len(whole) - 1) * (len(seeds) - 1))
    return Variation(
        task=max(0.0, float(by_task.var(ddof=1)) - rest / len(seeds)),
        seed=max(0.0, float(by_seed.var(ddof=1)) - rest / len(whole)),
        rest=rest,
    )


def assumed_variation(discordance: float, *, task_share: float = 1.0, seed_share: float = 0.0) -> Variation:
    """Variances of 0/1 outcomes of which a share ``discordance`` differs between the two arms.

        variance of d = discordance - effect^2 <= discordance

    ``task_share`` of it is between tasks (1: repeating a task with another seed teaches nothing, the
    cautious assumption), ``seed_share`` between runs; the rest averages out over both.

    >>> variation = assumed_variation(0.125, task_share=0.8)
    >>> round(detectable_effect(variation, tasks=100, seeds=5), 2)  # "100 tasks, 5 seeds: 9 points"
    0.09

    Raises: UsageError for shares outside 0..1 or adding up to more than 1.
    """
    if not 0 <= discordance <= 1 or min(task_share, seed_share) < 0 or task_share + seed_share > 1:
        raise UsageError(
            f"discordance={discordance}, task_share={task_share}, seed_share={seed_share}: "
            "allowed is 0 to 1, the two shares together at most 1"
        )
    return Variation(
        task=discordance * task_share,
        seed=discordance * seed_share,
        rest=discordance * (1 - task_share - seed_share),
    )


def detectable_effect(
    variation: Variation, *, tasks: int, seeds: int = 1, confidence: float = CONFIDENCE, power: float = POWER
) -> float:
    """The smallest true difference that an experiment of this size finds with chance ``power``.

    In the unit of the differences. A result that is not significant speaks against effects above this one,
    not against smaller ones. Raises: UsageError for options out of range.
    """
    return (_quantile(confidence, two_sided=True) + _quantile(power)) * variation.standard_error(
        tasks=tasks, seeds=seeds
    )


def corrected_effect(effect: float, *, comparisons: int, tasks: int) -> float | None:
    """What becomes of a :func:`detectable_effect` that is looked for by one of m corrected comparisons.

        effect (quantile(1 - a / 2m) + quantile(power)) / (quantile(1 - a / 2) + quantile(power)),   a = .05

    By the strictest step of Holm's correction, level a / m. None where even so many tasks that all point
    one way cannot reach that level. Where few tasks differ the sign test needs more than this.

    >>> round(corrected_effect(0.1, comparisons=30, tasks=70), 3)
    0.142
    """
    if tasks < least_tasks(comparisons):
        return None
    alone, corrected = (_quantile(1 - (1 - CONFIDENCE) / m, two_sided=True) for m in (1, comparisons))
    return effect * (corrected + _quantile(POWER)) / (alone + _quantile(POWER))


def power_of(
    effect: float, variation: Variation, *, tasks: int, seeds: int = 1, confidence: float = CONFIDENCE
) -> float:
    """The chance that an experiment of this size finds a true difference ``effect``, two-sided.

    Raises: UsageError for options out of range.
    """
    needed = _quantile(confidence, two_sided=True)
    error = variation.standard_error(tasks=tasks, seeds=seeds)
    if not error:
        return float(effect != 0)
    return _NORMAL.cdf(effect / error - needed) + _NORMAL.cdf(-effect / error - needed)


def mcnemar_power(effect: float, discordance: float, *, tasks: int, confidence: float = CONFIDENCE) -> float:
    """The exact power of McNemar's exact test with one pair of 0/1 outcomes a task.

        sum_n P(n discordant) P(test rejects | n),   n ~ binomial(tasks, discordance),
        of n the first arm wins  binomial(n, (1 + effect / discordance) / 2)

    ``effect`` is the difference of the two shares, at most ``discordance`` in size. A little below the
    normal formula, since an exact test uses less than its level. Source: Duffy 1984.

    >>> round(mcnemar_power(0.1, 0.125, tasks=100), 2)
    0.8

    Raises: UsageError for options out of range.
    """
    if not abs(effect) <= discordance <= 1 or discordance == 0 or tasks < 1 or not 0 < confidence < 1:
        raise UsageError(
            f"effect={effect}, discordance={discordance}, tasks={tasks}, confidence={confidence}: allowed "
            "are |effect| <= discordance <= 1, discordance > 0, tasks >= 1, 0 < confidence < 1"
        )
    chance = (1 + effect / discordance) / 2
    discordant, found = _binomial(tasks, discordance), 0.0
    for pairs in range(1, tasks + 1):
        fair = np.cumsum(_binomial(pairs, 0.5))
        rejected = int(
            np.searchsorted(2 * fair, 1 - confidence + 1e-12, side="right")
        )  # counts 0..rejected-1
        if rejected:
            wins = _binomial(pairs, chance)
            tails = wins[:rejected].sum() + wins[pairs + 1 - rejected :].sum()
            found += float(discordant[pairs] * tails)
    return min(1.0, found)


def mcnemar_detectable_effect(
    discordance: float, *, tasks: int, confidence: float = CONFIDENCE, power: float = POWER
) -> float | None:
    """The smallest difference that McNemar's exact test finds with chance ``power``, to 1e-4.

    None where even an effect as large as the discordance is found less often. Raises: UsageError.
    """
    if mcnemar_power(discordance, discordance, tasks=tasks, confidence=confidence) < power:
        return None
    low, high = 0.0, discordance
    while high - low > 1e-4:
        middle = (low + high) / 2
        if mcnemar_power(middle, discordance, tasks=tasks, confidence=confidence) < power:
            low = middle
        else:
            high = middle
    return high


def _quantile(chance: float, *, two_sided: bool = False) -> float:
    if not 0 < chance < 1:
        raise UsageError(f"a confidence or power of {chance}: allowed is more than 0 and less than 1")
    return _NORMAL.inv_cdf((1 + chance) / 2 if two_sided else chance)


def _binomial(number: int, chance: float) -> Array:
    """Probabilities of 0..number successes, by logarithms: 1,000 tasks must not overflow."""
    if chance in (0.0, 1.0):
        certain: Array = np.eye(number + 1)[round(chance) * number]
        return certain
    count = np.arange(number + 1)
    factorial: Array = np.concatenate([[0.0], np.cumsum(np.log(count[1:]))])
    ways = factorial[number] - factorial - factorial[::-1]
    logs = ways + count * math.log(chance) + count[::-1] * math.log1p(-chance)
    result: Array = np.exp(logs)
    return result
