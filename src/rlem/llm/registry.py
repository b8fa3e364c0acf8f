"""Models by name, as the command line and config files write them."""

from __future__ import annotations

import random
from collections.abc import Mapping
from pathlib import Path

from rlem.core.errors import UnknownNameError, UsageError
from rlem.core.types import JSON
from rlem.llm.base import LanguageModel
from rlem.llm.budget import Budget
from rlem.llm.policy import RateLimiter, RetryPolicy
from rlem.llm.prices import PriceBook
from rlem.llm.tokens import TokenCounter

MODEL_SPECS = ("embedded", "human", "openai:NAME", "recorded:FILE")
"""What ``make_model`` understands."""


def make_model(
    spec: str,
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
    record_to: str | Path | None = None,
) -> LanguageModel:
    """The model of that name.

    ``embedded`` (reads the prompt by rules, needs nothing), ``openai:NAME`` (any OpenAI-compatible endpoint;
    the other options are for it, see OpenAIEndpoint), ``recorded:FILE`` (replays), ``human`` (asks at the
    terminal). ``record_to`` records all answers to a file for ``recorded:FILE``.
    Raises UnknownNameError, UsageError, and what the model's construction raises.
    """
    kind, _, rest = spec.partition(":")
    model: LanguageModel
    if kind in ("embedded", "human") and rest:
        raise UsageError(f"model {spec!r}: {kind!r} takes nothing after it")
    if kind in ("openai", "recorded") and not rest:
        raise UsageError(f"model {spec!r} is not complete; write one of: {', '.join(MODEL_SPECS)}")
    if kind == "embedded":
        from rlem.llm.embedded import EmbeddedReader

        model = EmbeddedReader()
    elif kind == "human":
        from rlem.llm.human import HumanModel

        model = HumanModel()
    elif kind == "recorded":
        from rlem.llm.recorded import RecordedModel

        if record_to is not None:
            raise UsageError(f"model {spec!r} replays a recording; it takes no record_to")
        model = RecordedModel(rest, tokens=tokens)
    elif kind == "openai":
        from rlem.llm.endpoint import OpenAIEndpoint

        model = OpenAIEndpoint(
            rest,
            base_url=base_url,
            api_key=api_key,
            policy=policy,
            limiter=limiter,
            budget=budget,
            prices=prices,
            tokens=tokens,
            headers=headers,
            extra_body=extra_body,
            rng=rng,
        )
    else:
        raise UnknownNameError("model", spec, MODEL_SPECS)
    if record_to is not None:
        from rlem.llm.recorded import RecordedModel

        try:
            model = RecordedModel(record_to, model, mode="record", tokens=tokens)
        except BaseException:
            model.close()
            raise
    return model
