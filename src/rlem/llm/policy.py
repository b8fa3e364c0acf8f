"""What is done when an endpoint does not answer as it should: one deadline, some tries, one pace."""

from __future__ import annotations

import random
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeVar

from rlem.core.clock import Clock, Sleep
from rlem.core.errors import ModelError, ModelUnavailableError, UsageError

T = TypeVar("T")

_MAX_STRANGE_RETRIES = 2
_WINDOW_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One try that gave no completion. ``error`` is raised with ``message`` if no further try helps.

    kind: ``transient`` (network, overload) is tried again as the policy allows; ``strange`` (an answer that
    is no completion) at most twice, for it may be the same for ever and each answer is paid for; ``final``
    never. ``retry_after_s`` is what the server asked for.
    """

    kind: Literal["transient", "strange", "final"]
    error: type[ModelError]
    message: str
    retry_after_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """How long and how often one completion is tried.

        delay before try n+1 = uniform(0, min(max_delay_s, base_delay_s * 2^(n-1)))        (full jitter)

    A server's ``Retry-After`` is waited for instead, but never longer than ``max_retry_after_s``. When the
    wait would pass the deadline, the call fails at once instead of waiting for nothing.
    Source: Brooker 2015, "Exponential backoff and jitter" (full jitter).
    """

    deadline_s: float = 120.0
    max_attempts: int = 6
    base_delay_s: float = 0.5
    max_delay_s: float = 20.0
    max_retry_after_s: float = 20.0

    def __post_init__(self) -> None:
        if not self.deadline_s > 0:
            raise UsageError(f"deadline_s is {self.deadline_s}; it must be greater than 0 seconds")
        if self.max_attempts < 1:
            raise UsageError(f"max_attempts is {self.max_attempts}; it must be 1 or more")
        for name in ("base_delay_s", "max_delay_s", "max_retry_after_s"):
            if not getattr(self, name) >= 0:
                raise UsageError(f"{name} is {getattr(self, name)}; it must be 0 seconds or more")

    def delay_s(self, failed: int, rng: random.Random, retry_after_s: float | None = None) -> float:
        """Seconds to wait after ``failed`` (1, 2, ...) tries without success."""
        if retry_after_s is not None:
            return min(max(retry_after_s, 0.0), self.max_retry_after_s)
        exponent = min(failed - 1, 60)  # 2.0 ** 1100 would overflow
        return rng.uniform(0.0, min(self.max_delay_s, self.base_delay_s * 2.0**exponent))

    def run(
        self,
        attempt: Callable[[float], T | Fault],
        *,
        where: str,
        rng: random.Random,
        clock: Clock = time.monotonic,
        sleep: Sleep = time.sleep,
    ) -> T:
        """Calls ``attempt(seconds left)`` until it gives something that is no Fault, or gives up.

        Raises the last fault's error; its message begins with ``where`` and ends with the figures.
        """
        begin = clock()
        tries = strange = 0
        while True:
            result = attempt(max(self.deadline_s - (clock() - begin), 0.0))
            if not isinstance(result, Fault):
                return result
            tries += 1
            strange += result.kind == "strange"
            elapsed = clock() - begin
            delay = self.delay_s(tries, rng, result.retry_after_s)
            if result.kind == "final":
                raise result.error(f"{where}: {result.message}")
            if (
                strange > _MAX_STRANGE_RETRIES
                or tries >= self.max_attempts
                or elapsed + delay >= self.deadline_s
            ):
                raise result.error(
                    f"{where}: {result.message}; gave up after {tries} {'try' if tries == 1 else 'tries'} in "
                    f"{elapsed:.1f} s (deadline {self.deadline_s:g} s, at most {self.max_attempts} tries)"
                )
            sleep(delay)


class RateLimiter:
    """Keeps calls under a number of requests and of tokens a minute. Thread-safe, first come first served.

    In any window of 60 s at most ``requests_per_minute`` calls are let through, and their tokens sum up to
    at most ``tokens_per_minute``; a single call above that is let through alone. None: no limit.
    """

    def __init__(
        self,
        requests_per_minute: int | None = None,
        tokens_per_minute: int | None = None,
        *,
        clock: Clock = time.monotonic,
        sleep: Sleep = time.sleep,
    ) -> None:
        for name, value in (
            ("requests_per_minute", requests_per_minute),
            ("tokens_per_minute", tokens_per_minute),
        ):
            if value is not None and value < 1:
                raise UsageError(f"{name} is {value}; it must be 1 or more, or None for no limit")
        self._requests = requests_per_minute
        self._tokens = tokens_per_minute
        self._clock, self._sleep = clock, sleep
        self._granted: deque[tuple[float, int]] = deque()  # (when, tokens), of the last 60 s and ahead
        self._lock = threading.Lock()

    def acquire(self, tokens: int = 0, *, max_wait_s: float | None = None) -> float:
        """Waits for its turn and returns the seconds waited.

        A turn later than ``max_wait_s`` from now raises ModelUnavailableError at once and takes no place.
        """
        wait_s = self._reserve(tokens, max_wait_s)
        if wait_s > 0:
            self._sleep(wait_s)
        return wait_s

    def _reserve(self, tokens: int, max_wait_s: float | None) -> float:
        if self._requests is None and self._tokens is None:
            return 0.0
        if self._tokens is not None:
            tokens = min(tokens, self._tokens)
        with self._lock:
            now = self._clock()
            turn = max(now, self._granted[-1][0]) if self._granted else now
            while self._granted and self._granted[0][0] + _WINDOW_S <= now:
                self._granted.popleft()
            count, total = len(self._granted), sum(size for _, size in self._granted)
            for when, size in self._granted:
                crowded = self._requests is not None and count >= self._requests
                heavy = self._tokens is not None and total + tokens > self._tokens
                if not (crowded or heavy):
                    break
                turn = max(turn, when + _WINDOW_S)
                count, total = count - 1, total - size
            if max_wait_s is not None and turn - now > max_wait_s:
                raise ModelUnavailableError(
                    f"the rate limit (requests {self._requests}, tokens {self._tokens} a minute) has no room "
                    f"for {turn - now:.1f} s, and {max_wait_s:.1f} s are left; use fewer threads or raise it"
                )
            self._granted.append((turn, tokens))
            return turn - now
