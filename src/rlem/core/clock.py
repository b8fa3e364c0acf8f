"""Time is passed in, never read in the middle of a computation."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

Clock = Callable[[], float]
"""Seconds since the epoch."""

Sleep = Callable[[float], None]
"""Waits that many seconds."""


def system_clock() -> float:
    """The machine's clock."""
    return time.time()


@dataclass(slots=True)
class ManualClock:
    """A clock that stands still until told; its ``sleep`` moves it on. For tests and replays."""

    now_s: float = 0.0

    def __call__(self) -> float:
        return self.now_s

    def sleep(self, seconds: float) -> None:
        """Moves the clock on instead of waiting."""
        self.now_s += seconds
