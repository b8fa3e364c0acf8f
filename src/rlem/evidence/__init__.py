"""What results say and how surely: intervals, exact tests, power, live effects, a guard. Pure; numpy only."""

from rlem.evidence.comparison import Stability, improvement_probability, spread_interval, stability
from rlem.evidence.exact import SignFlipTest, benjamini_hochberg, holm, mcnemar_test, sign_flip_test
from rlem.evidence.guard import MEMORY, Guard
from rlem.evidence.intervals import (
    Interval,
    PairedDifference,
    Values,
    interquartile_mean_interval,
    mean_interval,
    paired,
    paired_difference,
)
from rlem.evidence.live import LiveEffect, LiveInterval
from rlem.evidence.power import (
    Variation,
    assumed_variation,
    detectable_effect,
    mcnemar_detectable_effect,
    mcnemar_power,
    observed_variation,
    power_of,
)
from rlem.evidence.proportion import share_interval

__all__ = [
    "MEMORY",
    "Guard",
    "Interval",
    "LiveEffect",
    "LiveInterval",
    "PairedDifference",
    "SignFlipTest",
    "Stability",
    "Values",
    "Variation",
    "assumed_variation",
    "benjamini_hochberg",
    "detectable_effect",
    "holm",
    "improvement_probability",
    "interquartile_mean_interval",
    "mcnemar_detectable_effect",
    "mcnemar_power",
    "mcnemar_test",
    "mean_interval",
    "observed_variation",
    "paired",
    "paired_difference",
    "power_of",
    "share_interval",
    "sign_flip_test",
    "spread_interval",
    "stability",
]
