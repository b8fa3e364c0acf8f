"""Pure Q mathematics: targets, estimates, posteriors. No state, no I/O; standard library only."""

from rlem.values.config import ValueConfig
from rlem.values.estimates import Estimate, constant_step, interval, merge_double, running_mean
from rlem.values.posterior import Posterior, draw, posterior, spread
from rlem.values.targets import lambda_return, monte_carlo_returns, n_step_target

__all__ = [
    "Estimate",
    "Posterior",
    "ValueConfig",
    "constant_step",
    "draw",
    "interval",
    "lambda_return",
    "merge_double",
    "monte_carlo_returns",
    "n_step_target",
    "posterior",
    "running_mean",
    "spread",
]
