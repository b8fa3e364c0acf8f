"""The one seam between rlem and a language model.

A prompt has two parts: ``system`` is the same for every step of a run (role, grammar, principles) and
comes first so that provider caches hit; ``user`` is what changes (exemplars, new input).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

FinishReason = Literal["stop", "length", "content_filter", "other"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """What a model is asked. ``text`` is both parts joined, for models that take one string."""

    system: str
    user: str

    @property
    def text(self) -> str:
        """System part, blank line, user part."""
        return f"{self.system}\n\n{self.user}" if self.system else self.user


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Tokens and money of one or many calls. ``cost_usd`` is None where the price is unknown."""

    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    calls: int = 0
    cost_usd: float | None = 0.0

    def __add__(self, other: Usage) -> Usage:
        known = self.cost_usd is not None and other.cost_usd is not None
        return Usage(
            prompt_tokens=self.prompt_tokens + other.prompt_tokens,
            cached_tokens=self.cached_tokens + other.cached_tokens,
            completion_tokens=self.completion_tokens + other.completion_tokens,
            calls=self.calls + other.calls,
            cost_usd=(self.cost_usd or 0.0) + (other.cost_usd or 0.0) if known else None,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Completion:
    """A model's answer."""

    text: str
    usage: Usage
    finish_reason: FinishReason = "stop"


@runtime_checkable
class LanguageModel(Protocol):
    """Anything that completes a prompt. Thread-safe: the runner's threads share one."""

    @property
    def name(self) -> str:
        """How reports call it ("embedded-reader", "openai:gpt-4o-mini")."""
        ...

    def complete(
        self,
        prompt: Prompt,
        *,
        max_tokens: int = 200,
        temperature: float = 0.1,
        stop: Sequence[str] = (),
        seed: int | None = None,
    ) -> Completion:
        """One completion, or an error of the ModelError branch."""
        ...

    def count_tokens(self, text: str) -> int:
        """Tokens of a text, or a safe upper estimate."""
        ...

    def close(self) -> None:
        """Frees connections and files. May be called twice."""
        ...
