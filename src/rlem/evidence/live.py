"""The effect of memory while it is in use: an interval that may be looked at after every episode.

Each episode a coin that knows nothing of the episode withholds memory with chance ``control``. Then

    y_t = f1 - f0 + (x_t - f1) / (1 - control)     shown
    y_t = f1 - f0 - (x_t - f0) / control           withheld

has the expectation "outcome with memory minus outcome without" for *this* episode, whatever the forecasts
f1, f0 made before it (here: both arms' means so far, each with half a success in one episode added). Let
e_t = y_t - (f1 - f0), F = sum (f1 - f0), p = min(control, 1 - control); |e_t| <= 1 / p and 0 < r < p, so that

    W+ = prod (1 + r e_t) exp(-r (sum of effects - F)),      W- = prod (1 - r e_t) exp(r (sum of effects - F))

stay positive and never grow in expectation (1 + x <= exp x), so the chance that one ever reaches 1 / a is at
most a. With ten rates r = 0.9 p / 2^k, each with a tenth of the error, always at once, chance >= 1 - a:

    F + max_r (sum ln(1 + r e_t) - ln(20 / a)) / r <= sum of effects
                                                   <= F - max_r (sum ln(1 - r e_t) - ln(20 / a)) / r

Source: Howard, Ramdas, McAuliffe & Sekhon 2021, section 4.2 (treatment effects under randomisation);
Waudby-Smith & Ramdas 2024 (betting); Ville 1939. Differs: they bound prod (1 + r e_t) by
exp(r sum e_t - psi(r) sum e_t^2), which needs one sum in place of twenty; for the same rates ours is
never wider. Effects may differ from episode to episode.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import lru_cache

from rlem.core.errors import UsageError
from rlem.evidence.intervals import CONFIDENCE

_RATES = tuple(0.9 * 0.5**k for k in range(10))  # in units of p


@lru_cache
def _rates(control: float) -> tuple[float, ...]:
    return tuple(rate * min(control, 1 - control) for rate in _RATES)


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveInterval:
    """Mean effect over the episodes so far, its interval, and how many episodes each arm has."""

    estimate: float
    low: float
    high: float
    shown: int
    withheld: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveEffect:
    """What is known so far of memory's effect on an outcome in low..high; its size is fixed.

    A new one is empty. ``control`` is the chance with which memory was withheld; it must not change, and
    must not depend on the episode. ``dataclasses.asdict`` gives what JSON needs,
    ``LiveEffect(**it)`` goes on from there.

    >>> effect = LiveEffect(control=0.5)
    >>> for number in range(200):
    ...     effect = effect.after(float(number % 2), withheld=number % 2 == 0)
    >>> round(effect.interval().low, 2), effect.interval().high
    (0.93, 1.0)

    Raises: UsageError for a control outside 0..1 or a range without width.
    """

    control: float
    low: float = 0.0
    high: float = 1.0
    shown: int = 0
    withheld: int = 0
    shown_sum: float = 0.0
    withheld_sum: float = 0.0
    score_sum: float = 0.0
    forecast_sum: float = 0.0
    upward: tuple[float, ...] = (0.0,) * len(_RATES)
    downward: tuple[float, ...] = (0.0,) * len(_RATES)

    def __post_init__(self) -> None:
        if not 0 < self.control < 1 or not -math.inf < self.low < self.high < math.inf:
            raise UsageError(
                f"control={self.control}, outcomes {self.low} to {self.high}: allowed are "
                "0 < control < 1 and a finite range, low below high"
            )
        for name in ("upward", "downward"):  # JSON has lists only
            object.__setattr__(self, name, tuple(getattr(self, name)))

    def after(self, outcome: float, *, withheld: bool) -> LiveEffect:
        """With one more finished episode. Raises: UsageError for an outcome outside of low..high."""
        if not self.low <= outcome <= self.high:
            raise UsageError(f"outcome {outcome}: allowed is {self.low} to {self.high}")
        x = (outcome - self.low) / (self.high - self.low)
        with_memory = (self.shown_sum + 0.5) / (self.shown + 1)
        without = (self.withheld_sum + 0.5) / (self.withheld + 1)
        surprise = -(x - without) / self.control if withheld else (x - with_memory) / (1 - self.control)
        return replace(
            self,
            shown=self.shown + (not withheld),
            withheld=self.withheld + withheld,
            shown_sum=self.shown_sum + x * (not withheld),
            withheld_sum=self.withheld_sum + x * withheld,
            score_sum=self.score_sum + with_memory - without + surprise,
            forecast_sum=self.forecast_sum + with_memory - without,
            upward=tuple(
                total + math.log1p(rate * surprise)
                for total, rate in zip(self.upward, _rates(self.control), strict=True)
            ),
            downward=tuple(
                total + math.log1p(-rate * surprise)
                for total, rate in zip(self.downward, _rates(self.control), strict=True)
            ),
        )

    def interval(self, *, confidence: float = CONFIDENCE) -> LiveInterval:
        """Effect averaged over the episodes so far: holds at every time at once with chance ``confidence``.

        In -(high - low) .. high - low. Outcomes need not be alike, independent or stationary: the memory may
        learn meanwhile. It is no interval for episodes to come.

        Raises: UsageError for a confidence outside 0..1.
        """
        if not 0 < confidence < 1:
            raise UsageError(f"confidence={confidence}: allowed is more than 0 and less than 1")
        scale, episodes = self.high - self.low, self.shown + self.withheld
        needed = math.log(2 * len(_RATES) / (1 - confidence))
        above, below = (
            max((total - needed) / rate for total, rate in zip(totals, _rates(self.control), strict=True))
            for totals in (self.upward, self.downward)
        )
        low, estimate, high = (
            scale * min(1.0, max(-1.0, total / max(1, episodes)))
            for total in (self.forecast_sum + above, self.score_sum, self.forecast_sum - below)
        )
        return LiveInterval(estimate=estimate, low=low, high=high, shown=self.shown, withheld=self.withheld)

    @property
    def harm(self) -> float:
        """ln of the evidence (an e-value) that memory has done harm on average over the episodes so far.

            ln( 1/10 sum_r prod (1 - r e_t) exp(-r F) )

        Where memory has not harmed on average, the chance that it ever reaches ln(1 / a) is at most a,
        however often one looks. Source: as the module; Ville 1939.
        """
        logs = [
            total - rate * self.forecast_sum
            for total, rate in zip(self.downward, _rates(self.control), strict=True)
        ]
        most = max(logs)
        return most + math.log(math.fsum(math.exp(one - most) for one in logs) / len(logs))
