"""Any endpoint that speaks OpenAI's chat completions: OpenAI itself, vLLM, llama.cpp, Ollama, gateways."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

from rlem.core.clock import Clock, Sleep
from rlem.core.errors import ModelRejectedError, ModelUnavailableError, UsageError
from rlem.core.types import JSON
from rlem.llm.base import Completion, Prompt, Usage
from rlem.llm.budget import Budget
from rlem.llm.policy import Fault, RateLimiter, RetryPolicy
from rlem.llm.prices import PriceBook
from rlem.llm.replies import (
    Answer,
    read_answer,
    read_fault,
    refused_field,
    reported_usage,
)
from rlem.llm.text import cut_at_stop, one_line
from rlem.llm.tokens import EstimatedTokens, TokenCounter
from rlem.llm.wire import Reply, Wire

OPENAI_BASE_URL = "https://api.openai.com/v1"

_OPTIONAL_FIELDS = ("max_tokens", "stop", "temperature", "seed")
_TEMPLATE_TOKENS = 16  # what a chat template adds to two messages, at most


class OpenAIEndpoint:
    """A model behind an OpenAI-compatible endpoint. Thread-safe.

    ``policy`` is the deadline and the tries of a call, ``limiter`` its pace, ``budget`` what may be spent,
    ``prices`` what tokens cost, ``tokens`` how they are counted before they are sent. ``headers`` go with
    every request, ``extra_body`` into every request's body. ``rng`` makes the jitter of the waits.

    Fields a server refuses (max_tokens, stop, temperature, seed) are left out from then on; ``max_tokens``
    becomes ``max_completion_tokens``. Where the server reports no usage, the counter's estimate stands in.

    The deadline counts from the first request on; waiting for the limiter's turn before that is not
    counted, for a slow pace is the user's own wish.

    Errors: UsageError (base_url, money limit without a price) and ModelRejectedError (no key for OpenAI)
    on construction, later only the ModelError branch. A message never holds the key.
    """

    def __init__(
        self,
        model: str,
        *,
        base_url: str | None = None,
        api_key: str | None = None,
        policy: RetryPolicy | None = None,
        limiter: RateLimiter | None = None,
        budget: Budget | None = None,
        prices: PriceBook | None = None,
        tokens: TokenCounter | None = None,
        headers: Mapping[str, str] | None = None,
        extra_body: Mapping[str, JSON] | None = None,
        rng: random.Random | None = None,
        clock: Clock = time.monotonic,
        sleep: Sleep = time.sleep,
    ) -> None:
        if not model:
            raise UsageError("the model's name is empty; give the name the endpoint knows it by")
        if not api_key and base_url is None:
            raise ModelRejectedError(
                f"model {model!r} at {OPENAI_BASE_URL} needs an API key and none was given; pass api_key "
                "(the command line takes it from OPENAI_API_KEY), or base_url of a server that needs none"
            )
        self._model = model
        self._base_url = _checked_url(base_url or OPENAI_BASE_URL)
        self._key = _checked_header("api_key", (api_key or "").strip())
        headers = {name: _checked_header(name, value) for name, value in (headers or {}).items()}
        self._where = f"model {model!r} at {_without_credentials(self._base_url)}"
        self._policy = policy or RetryPolicy()
        self._limiter = limiter or RateLimiter()
        self._budget = budget or Budget()
        self._prices = prices or PriceBook()
        self._tokens = tokens or EstimatedTokens()
        self._extra_body = dict(extra_body or {})
        # Unseeded on purpose: jitter must differ between processes, and no content depends on it.
        self._rng = rng or random.Random()
        self._clock, self._sleep = clock, sleep
        self._refused: frozenset[str] = frozenset()
        self._usage = Usage()
        self._lock = threading.Lock()
        self._budget.require_price(model, self._cost(Usage(prompt_tokens=1, completion_tokens=1)))
        self._wire = Wire(base_url=self._base_url, api_key=self._key or "no-key", headers=headers)

    @property
    def name(self) -> str:
        """``openai:MODEL``."""
        return f"openai:{self._model}"

    @property
    def usage(self) -> Usage:
        """All that was used since construction, answers that were of no use included."""
        with self._lock:
            return self._usage

    def count_tokens(self, text: str) -> int:
        """Tokens of a text by the counter given, else an upper estimate."""
        return self._tokens(text)

    def close(self) -> None:
        """Closes the connections. May be called twice."""
        self._wire.close()

    def complete(
        self,
        prompt: Prompt,
        *,
        max_tokens: int = 200,
        temperature: float = 0.1,
        stop: Sequence[str] = (),
        seed: int | None = None,
    ) -> Completion:
        """One completion. ``usage`` includes tries that were paid for and thrown away."""
        options: dict[str, JSON] = {"max_tokens": max_tokens, "temperature": temperature}
        if stop:
            options["stop"] = list(stop)
        if seed is not None:
            options["seed"] = seed
        estimate = self._tokens(prompt.text) + _TEMPLATE_TOKENS
        most = Usage(prompt_tokens=estimate, completion_tokens=max_tokens)
        paid = [Usage()]
        with self._budget.hold(estimate + max_tokens, self._cost(most)):
            self._limiter.acquire(estimate + max_tokens)
            first = True

            def attempt(seconds_left: float) -> Answer | Fault:
                nonlocal first
                if not first:  # the first turn was waited for above, outside the deadline
                    try:
                        seconds_left -= self._limiter.acquire(estimate + max_tokens, max_wait_s=seconds_left)
                    except ModelUnavailableError as error:
                        return Fault(kind="final", error=ModelUnavailableError, message=str(error))
                first = False
                answer, usage = self._try(prompt, options, seconds_left)
                if usage is not None:
                    self._account(usage)
                    paid.append(usage)
                return answer

            answer = self._policy.run(
                attempt, where=self._where, rng=self._rng, clock=self._clock, sleep=self._sleep
            )
        # A server that was not sent the stop strings, or ignores them, talks on after them.
        text = cut_at_stop(answer.text, stop)
        return Completion(text=text, usage=sum(paid[1:], paid[0]), finish_reason=answer.finish_reason)

    def _try(
        self, prompt: Prompt, options: Mapping[str, JSON], seconds_left: float
    ) -> tuple[Answer | Fault, Usage | None]:
        begin = self._clock()
        while True:
            body = self._body(prompt, options)
            reply = self._wire.post(body, seconds_left - (self._clock() - begin))
            if isinstance(reply, Fault):
                return reply, None
            field = refused_field(reply, [name for name in _OPTIONAL_FIELDS if name in body])
            if field is None:
                break
            with self._lock:  # the next body lacks the field, so this loop ends
                self._refused |= {field}
        if reply.status != 200:
            return read_fault(reply, has_key=bool(self._key)), None
        answer = read_answer(reply)
        return answer, self._used(prompt, reply, answer)

    def _body(self, prompt: Prompt, options: Mapping[str, JSON]) -> dict[str, Any]:
        # What is constant comes first, so that provider caches of prompt beginnings hit.
        messages = [{"role": "system", "content": _encodable(prompt.system)}] if prompt.system else []
        messages.append({"role": "user", "content": _encodable(prompt.user)})
        refused = self._refused
        fields = {name: value for name, value in options.items() if name not in refused}
        if "max_tokens" in refused:
            fields["max_completion_tokens"] = options["max_tokens"]
        body: dict[str, Any] = {"model": self._model, "messages": messages, **fields}
        if self._extra_body:
            body["extra_body"] = self._extra_body
        return body

    def _used(self, prompt: Prompt, reply: Reply, answer: Answer | Fault) -> Usage | None:
        usage = reported_usage(reply)
        if usage is not None:
            if isinstance(self._tokens, EstimatedTokens):
                self._tokens.observe(prompt.text, usage.prompt_tokens)
        elif isinstance(answer, Answer):
            usage = Usage(
                prompt_tokens=self._tokens(prompt.text), completion_tokens=self._tokens(answer.text), calls=1
            )
        return None if usage is None else replace(usage, cost_usd=self._cost(usage))

    def _cost(self, usage: Usage) -> float | None:
        return self._prices.cost_usd(self._model, usage, base_url=self._base_url)

    def _account(self, usage: Usage) -> None:
        self._budget.add(usage)
        with self._lock:
            self._usage += usage


def _checked_url(base_url: str) -> str:
    try:
        parts = urlsplit(base_url)
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is no number, half an IPv6 address
        valid = False
    if not valid or not base_url.isprintable() or " " in base_url:
        raise UsageError(
            f"base_url {one_line(base_url)!r} is no address of an endpoint; it must look like "
            "http://localhost:8000/v1"
        )
    return base_url


def _without_credentials(base_url: str) -> str:
    parts = urlsplit(base_url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="").geturl()


def _checked_header(name: str, value: str) -> str:
    # The HTTP library would refuse it with a message that quotes the value, which may be the key.
    if not (value.isascii() and value.isprintable()):
        raise ModelRejectedError(f"{name} holds characters that no HTTP header may hold; copy it again")
    return value


def _encodable(text: str) -> str:
    # Lone surrogates from broken pages cannot be sent; one bad character must not break an episode.
    return text.encode("utf-8", "replace").decode("utf-8")
