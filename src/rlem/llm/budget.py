"""How much a run may spend. One budget is shared by all threads and models of a run."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from rlem.core.errors import BudgetExceededError, UsageError
from rlem.llm.base import Usage
from rlem.llm.prices import HOW_TO_GIVE_PRICES


class Budget:
    """A limit on tokens (prompt and completion, cached ones too) and on US dollars. Thread-safe.

        spent + held by calls in flight + upper estimate of this call <= limit           else no call is made

    So the limit is kept as long as the estimates are upper bounds, for any number of threads. None: no limit.
    ``spent`` is what was spent before (a resumed run).
    """

    def __init__(
        self,
        max_tokens: int | None = None,
        max_cost_usd: float | None = None,
        *,
        spent: Usage | None = None,
    ) -> None:
        for name, value in (("max_tokens", max_tokens), ("max_cost_usd", max_cost_usd)):
            if value is not None and not value >= 0:
                raise UsageError(f"{name} is {value}; it must be 0 or more, or None for no limit")
        self.max_tokens, self.max_cost_usd = max_tokens, max_cost_usd
        self._spent = spent or Usage()
        self._held_tokens, self._held_usd = 0, 0.0
        self._lock = threading.Lock()
        if max_cost_usd is not None and self._spent.cost_usd is None:
            raise UsageError("max_cost_usd is set, but the cost of what was spent before is unknown")

    @property
    def spent(self) -> Usage:
        """What was spent so far."""
        with self._lock:
            return self._spent

    def require_price(self, model: str, cost_usd: float | None) -> None:
        """Raises UsageError when money is limited and the price of ``model`` is unknown (None)."""
        if self.max_cost_usd is not None and cost_usd is None:
            raise UsageError(
                f"max_cost_usd is {self.max_cost_usd:g}, but the price of model {model!r} is unknown; "
                f"{HOW_TO_GIVE_PRICES}; or limit tokens (max_tokens) instead"
            )

    @contextmanager
    def hold(self, tokens: int, cost_usd: float | None) -> Iterator[None]:
        """Sets aside an upper estimate of one call while it runs. Raises BudgetExceededError.

        What the call really used is told with ``add``.
        """
        held_usd = cost_usd or 0.0
        with self._lock:
            self._check(tokens, held_usd)
            self._held_tokens += tokens
            self._held_usd += held_usd
        try:
            yield
        finally:
            with self._lock:
                self._held_tokens -= tokens
                self._held_usd -= held_usd

    def add(self, usage: Usage) -> None:
        """Adds what a call used."""
        with self._lock:
            self._spent += usage

    def _check(self, tokens: int, cost_usd: float) -> None:
        used = self._spent.prompt_tokens + self._spent.completion_tokens
        if self.max_tokens is not None and used + self._held_tokens + tokens > self.max_tokens:
            raise BudgetExceededError(
                f"the token budget is spent: max_tokens is {self.max_tokens}, used {used}, held by calls in "
                f"flight {self._held_tokens}, this call may need {tokens}; raise max_tokens to go on"
            )
        paid = self._spent.cost_usd or 0.0
        # The held sum goes up and down by the same floats; a billionth forgives what rounding leaves over.
        if (
            self.max_cost_usd is not None
            and paid + self._held_usd + cost_usd > self.max_cost_usd * (1 + 1e-9) + 1e-12
        ):
            raise BudgetExceededError(
                f"the money budget is spent: max_cost_usd is {self.max_cost_usd:g}, paid {paid:.6f}, held by "
                f"calls in flight {max(self._held_usd, 0.0):.6f}, this call may cost {cost_usd:.6f}; raise "
                "max_cost_usd to go on"
            )
