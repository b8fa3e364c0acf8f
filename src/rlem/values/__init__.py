"""Pure Q mathematics: targets, estimates, intervals. No state, no I/O; standard library only."""

from rlem.values.config import ValueConfig
from rlem.values.estimates import Estimate, constant_step, interval, merge_double, running_mean
from rlem.values.targets import lambda_return, monte_carlo_returns, n_step_target

__all__ = [
    "Estimate",
    "ValueConfig",
    "constant_step",
    "interval",
    "lambda_return",
    "merge_double",
    "monte_carlo_returns",
    "n_step_target",
    "running_mean",
]
