"""How values are learned: the settings of a view over the log."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from rlem.core.errors import UsageError

Compat = Literal["default", "reference"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ValueConfig:
    """Settings of Q-learning over the episode log.

    discount     gamma in [0, 1]. Paper: 1.
    n            steps before bootstrapping; None is the Monte-Carlo return (what the released code ran).
    trace_decay  TD's lambda in [0, 1]; replaces ``n`` when given. 1 is Monte-Carlo, 0 is n=1.
    estimate     "mean": alpha = 1/N, the running mean of all targets. "constant": fixed learning_rate
                 from a start at 0.
    double       two tables, one learned with the other's values (matters only when bootstrapping).
    truncation   "terminal": the step limit ends the return (paper). "bootstrap": add the value of the
                 situation reached.
    compat       "reference" keeps the reference code's quirks (numbered in docs/algorithm.md).
    seed         for double Q's coin.
    """

    discount: float = 1.0
    n: int | None = None
    trace_decay: float | None = None
    estimate: Literal["mean", "constant"] = "mean"
    learning_rate: float = 0.1
    double: bool = False
    truncation: Literal["terminal", "bootstrap"] = "terminal"
    compat: Compat = "default"
    seed: int = 0

    def __post_init__(self) -> None:
        checks: list[tuple[bool, str, object, str]] = [
            (0.0 <= self.discount <= 1.0, "discount", self.discount, "between 0 and 1"),
            (self.n is None or self.n >= 1, "n", self.n, "None (Monte-Carlo) or at least 1"),
            (
                self.trace_decay is None or 0.0 <= self.trace_decay <= 1.0,
                "trace_decay",
                self.trace_decay,
                "None or between 0 and 1",
            ),
            (self.estimate in ("mean", "constant"), "estimate", self.estimate, "'mean' or 'constant'"),
            (0.0 < self.learning_rate <= 1.0, "learning_rate", self.learning_rate, "above 0, at most 1"),
            (
                self.truncation in ("terminal", "bootstrap"),
                "truncation",
                self.truncation,
                "'terminal' or 'bootstrap'",
            ),
            (self.compat in ("default", "reference"), "compat", self.compat, "'default' or 'reference'"),
        ]
        for fine, name, value, allowed in checks:
            if not fine:
                raise UsageError(f"{name}={value!r} is not possible: it must be {allowed}")
        if self.trace_decay is not None and self.n is not None:
            raise UsageError("n and trace_decay exclude each other: give one of them")
