"""Budgets and prices."""

from __future__ import annotations

import json
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlem.core.errors import BudgetExceededError, DataError, UsageError
from rlem.llm.base import Usage
from rlem.llm.budget import Budget
from rlem.llm.prices import Price, PriceBook

USED = Usage(prompt_tokens=80, cached_tokens=30, completion_tokens=20, calls=1, cost_usd=0.5)


def test_a_call_that_may_pass_the_token_limit_is_not_made() -> None:
    """100 used of 150: 50 more may be held, 51 not; the message has limit, use and need."""
    budget = Budget(max_tokens=150)
    budget.add(USED)
    with budget.hold(50, None):
        pass
    with (
        pytest.raises(BudgetExceededError, match=r"max_tokens is 150, used 100, .*may need 51"),
        budget.hold(51, None),
    ):
        pass


def test_a_call_that_may_pass_the_money_limit_is_not_made() -> None:
    """0.5 of 0.8 dollars are paid: 0.3 may be held, 0.31 not."""
    budget = Budget(max_cost_usd=0.8)
    budget.add(USED)
    with budget.hold(1, 0.3):
        pass
    with (
        pytest.raises(BudgetExceededError, match=r"max_cost_usd is 0.8, paid 0.500000, .*may cost 0.310000"),
        budget.hold(1, 0.31),
    ):
        pass


def test_calls_in_flight_count_until_they_end() -> None:
    """While one call holds the rest no other is let in; after it, even by an error, one is."""
    budget = Budget(max_tokens=100)

    def fails() -> None:
        with budget.hold(100, None):
            with pytest.raises(BudgetExceededError, match="flight 100"), budget.hold(1, None):
                pass
            raise RuntimeError("the call broke")

    with pytest.raises(RuntimeError):
        fails()
    with budget.hold(100, None):
        pass
    assert budget.spent == Usage()


@given(st.lists(st.integers(min_value=1, max_value=40), max_size=40), st.integers(0, 300))
def test_with_upper_estimates_no_budget_is_ever_passed(calls: list[int], limit: int) -> None:
    """If calls use at most what was held, the sum spent stays within the limit."""
    budget = Budget(max_tokens=limit)
    for tokens in calls:
        try:
            with budget.hold(tokens, None):
                budget.add(Usage(prompt_tokens=tokens - tokens // 3, calls=1))
        except BudgetExceededError:
            continue
    assert budget.spent.prompt_tokens <= limit


def test_threads_cannot_pass_the_limit_together() -> None:
    """Eight threads ask for 10 of 35 at once, at most three get it."""
    budget = Budget(max_tokens=35)
    let_in: list[int] = []
    barrier = threading.Barrier(8)

    def work() -> None:
        barrier.wait()
        try:
            with budget.hold(10, None):
                budget.add(Usage(prompt_tokens=10))
                let_in.append(1)
                barrier.wait(timeout=5)
        except BudgetExceededError:
            barrier.wait(timeout=5)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert 1 <= len(let_in) <= 3
    assert budget.spent.prompt_tokens == 10 * len(let_in) <= 35


def test_what_was_spent_before_counts() -> None:
    """A resumed run goes on with what it had spent."""
    budget = Budget(max_tokens=100, spent=USED)
    with pytest.raises(BudgetExceededError), budget.hold(1, None):
        pass
    with pytest.raises(UsageError, match="unknown"):
        Budget(max_cost_usd=1.0, spent=Usage(cost_usd=None))


def test_a_money_limit_needs_a_known_price() -> None:
    """The message says how to give prices; without a money limit an unknown price is fine."""
    with pytest.raises(UsageError, match=r"(?s)price of model 'x' is unknown.*prices_file.*rlem\[prices\]"):
        Budget(max_cost_usd=1.0).require_price("x", None)
    Budget(max_cost_usd=1.0).require_price("x", 0.0)
    Budget(max_tokens=5).require_price("x", None)


@pytest.mark.parametrize("wrong", [{"max_tokens": -1}, {"max_cost_usd": float("nan")}])
def test_limits_that_make_no_sense_are_refused(wrong: dict[str, float]) -> None:
    """The message names the limit."""
    with pytest.raises(UsageError, match=next(iter(wrong))):
        Budget(**wrong)  # type: ignore[arg-type]


def test_cached_tokens_cost_their_own_price() -> None:
    """50 fresh, 30 cached and 20 answered tokens at 10, 1 and 100 dollars a million: worked by hand."""
    price = Price(input_usd_per_million=10, cached_input_usd_per_million=1, output_usd_per_million=100)
    assert price.cost_usd(USED) == pytest.approx((50 * 10 + 30 * 1 + 20 * 100) / 1e6)
    dear = Price(input_usd_per_million=10, output_usd_per_million=100)
    assert dear.cost_usd(USED) == pytest.approx((80 * 10 + 20 * 100) / 1e6)


TOML = """
["llama3.2:3b"]
input_usd_per_million = 0
output_usd_per_million = 0
["gpt-4.1"]
input_usd_per_million = 2.0
cached_input_usd_per_million = 0.5
output_usd_per_million = 8.0
"""


@pytest.mark.parametrize("suffix", ["toml", "json"])
def test_prices_come_from_a_file(tmp_path: Path, suffix: str) -> None:
    """TOML and JSON say the same; a price of zero is known and not unknown."""
    import tomllib

    path = tmp_path / f"prices.{suffix}"
    path.write_text(TOML if suffix == "toml" else json.dumps(tomllib.loads(TOML)))
    book = PriceBook.from_file(path)
    assert book.cost_usd("llama3.2:3b", USED) == 0.0
    assert book.cost_usd("gpt-4.1", USED) == pytest.approx((50 * 2 + 30 * 0.5 + 20 * 8) / 1e6)
    assert book.cost_usd("no-such-model", USED) is None


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[x]\ninput_usd_per_million = 1", "output_usd_per_million is missing"),
        ("[x]\nprice = 1", "allowed are input_usd_per_million"),
        ("[gpt-4.1]\ninput_usd_per_million = 1\noutput_usd_per_million = 1", "in quotes"),
        ('[x]\ninput_usd_per_million = "1"\noutput_usd_per_million = 1', "'1'"),
        ("[x]\ninput_usd_per_million = -1\noutput_usd_per_million = 1", "-1"),
        ("[x]\ninput_usd_per_million = inf\noutput_usd_per_million = 1", "inf"),
        ("not toml", "neither TOML nor JSON"),
    ],
)
def test_a_broken_price_file_says_what_is_wrong(tmp_path: Path, text: str, says: str) -> None:
    """Every fault in the file is a DataError that names the file."""
    path = tmp_path / "prices.toml"
    path.write_text(text)
    with pytest.raises(DataError, match=f"prices.toml.*{says}"):
        PriceBook.from_file(path)
    with pytest.raises(DataError, match=r"absent\.toml"):
        PriceBook.from_file(tmp_path / "absent.toml")


def test_known_models_are_priced_by_the_tables_offline() -> None:
    """genai-prices knows gpt-4o-mini at OpenAI, cached tokens cheaper; not on one's own server."""
    pytest.importorskip("genai_prices")
    book = PriceBook(clock=lambda: 1_760_000_000.0)
    fresh = Usage(prompt_tokens=1_000_000, completion_tokens=1_000_000)
    cached = Usage(prompt_tokens=1_000_000, cached_tokens=1_000_000, completion_tokens=1_000_000)
    openai = "https://api.openai.com/v1"
    assert book.cost_usd("gpt-4o-mini", fresh, base_url=openai) == pytest.approx(0.15 + 0.60)
    assert book.cost_usd("gpt-4o-mini", cached, base_url=openai) == pytest.approx(0.075 + 0.60)
    assert book.cost_usd("gpt-4o-mini", fresh, base_url="http://127.0.0.1:8000/v1") is None
    assert book.cost_usd("nonsense", fresh, base_url=openai) is None
    assert book.cost_usd("nonsense", fresh) is None


def test_without_the_tables_a_price_is_unknown_and_not_zero(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where genai-prices is not installed the cost is None."""
    monkeypatch.setitem(sys.modules, "genai_prices", None)
    assert PriceBook().cost_usd("gpt-4o-mini", USED) is None
