"""What tokens cost: from the user's price file, else from the tables of genai-prices, else unknown."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rlem.core.clock import Clock, system_clock
from rlem.core.errors import DataError
from rlem.llm.base import Usage

HOW_TO_GIVE_PRICES = (
    'give prices in a file (prices_file, TOML: ["MODEL"] input_usd_per_million = 0.15, '
    "cached_input_usd_per_million = 0.075, output_usd_per_million = 0.6) or install the price tables "
    "with: pip install 'rlem[prices]'"
)

_FIELDS = ("input_usd_per_million", "cached_input_usd_per_million", "output_usd_per_million")


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """US dollars for a million tokens. ``cached_input_usd_per_million=None``: as dear as uncached input.

    >>> Price(input_usd_per_million=1.0, output_usd_per_million=4.0).cost_usd(
    ...     Usage(prompt_tokens=500_000, completion_tokens=250_000))
    1.5
    """

    input_usd_per_million: float
    output_usd_per_million: float
    cached_input_usd_per_million: float | None = None

    def cost_usd(self, usage: Usage) -> float:
        """cost = ((prompt - cached) * input + cached * cached_input + completion * output) / 1e6."""
        cached = self.cached_input_usd_per_million
        cached = self.input_usd_per_million if cached is None else cached
        fresh_tokens = usage.prompt_tokens - usage.cached_tokens
        return (
            fresh_tokens * self.input_usd_per_million
            + usage.cached_tokens * cached
            + usage.completion_tokens * self.output_usd_per_million
        ) / 1e6


class PriceBook:
    """Prices by model name. What is in ``prices`` comes first, then genai-prices where it is installed.

    genai-prices is asked offline and by the endpoint's address too: a model of a known name on a server
    of one's own has no known price. An unknown price is None, never 0. Thread-safe.
    """

    def __init__(self, prices: Mapping[str, Price] | None = None, *, clock: Clock = system_clock) -> None:
        self._prices = dict(prices or {})
        self._clock = clock

    @classmethod
    def from_file(cls, path: str | Path, *, clock: Clock = system_clock) -> PriceBook:
        """Reads ``{model: {input_usd_per_million, cached_input_..., output_...}}`` from TOML or JSON.

        Raises DataError on a missing or broken file, an unknown field or a price that is no number >= 0.
        """
        data = _load(Path(path))
        return cls({model: _price(entry, model, path) for model, entry in data.items()}, clock=clock)

    def cost_usd(self, model: str, usage: Usage, *, base_url: str | None = None) -> float | None:
        """US dollars for that usage, or None where the price is unknown."""
        if model in self._prices:
            return self._prices[model].cost_usd(usage)
        return self._table_cost(model, usage, base_url)

    def _table_cost(self, model: str, usage: Usage, base_url: str | None) -> float | None:
        try:
            import genai_prices
        except ImportError:
            return None
        where: dict[str, Any] = {"provider_api_url": base_url} if base_url else {}
        tokens = genai_prices.Usage(
            input_tokens=usage.prompt_tokens,
            cache_read_tokens=usage.cached_tokens,
            output_tokens=usage.completion_tokens,
        )
        when = datetime.fromtimestamp(self._clock(), UTC)  # prices change over the years and hours
        try:
            price = genai_prices.calc_price(tokens, model, genai_request_timestamp=when, **where)
        except (LookupError, ValueError):  # no such model or provider; usage the tables cannot price
            return None
        return float(price.total_price)


def _load(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"price file {str(path)!r} cannot be read: {error}") from error
    try:
        data = json.loads(text) if path.suffix.lower() == ".json" else tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # both decoders' errors are ValueErrors
        raise DataError(f"price file {str(path)!r} is neither TOML nor JSON (.json): {error}") from error
    if not isinstance(data, dict):
        raise DataError(f"price file {str(path)!r} must hold a table of models, not {type(data).__name__}")
    return data


def _price(entry: Any, model: str, path: str | Path) -> Price:
    where = f"price file {str(path)!r}, model {model!r}"
    if not isinstance(entry, dict) or not set(entry) <= set(_FIELDS):
        raise DataError(
            f"{where}: allowed are {', '.join(_FIELDS)}. A model name with a dot must stand in quotes in "
            'TOML: ["gpt-4.1"]'
        )
    for field, value in entry.items():
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < float("inf"):
            raise DataError(f"{where}: {field} is {value!r}; it must be a number of US dollars, 0 or more")
    if missing := {"input_usd_per_million", "output_usd_per_million"} - set(entry):
        raise DataError(f"{where}: {', '.join(sorted(missing))} is missing")
    return Price(**entry)
