"""The endpoint against a real local HTTP server that does to us what servers do."""

from __future__ import annotations

import random
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from rlem.core.clock import ManualClock
from rlem.core.errors import (
    BudgetExceededError,
    ClosedError,
    ModelError,
    ModelRejectedError,
    ModelResponseError,
    ModelUnavailableError,
    RlemError,
)
from rlem.llm.base import Prompt, Usage
from rlem.llm.budget import Budget
from rlem.llm.endpoint import OpenAIEndpoint
from rlem.llm.policy import RateLimiter, RetryPolicy
from rlem.llm.prices import Price, PriceBook
from rlem.llm.tokens import EstimatedTokens
from rlem.testing.openai_server import FAULTS, Canned, OpenAIServer, completion, error

KEY = "sk-this-is-the-secret-key"
PROMPT = Prompt(system="You choose actions.", user="a page with two buttons")
PRICES = PriceBook(
    {"m": Price(input_usd_per_million=10, cached_input_usd_per_million=1, output_usd_per_million=100)}
)

Connect = Callable[..., OpenAIEndpoint]


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No proxy between us and the local server, no variables of the SDK."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "OPENAI_ORG_ID", "OPENAI_CUSTOM_HEADERS"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def server() -> Iterator[OpenAIServer]:
    """A server that answers "click[buy]" unless told otherwise."""
    with OpenAIServer(lambda messages: "click[buy]") as running:
        yield running


@pytest.fixture
def connect(server: OpenAIServer) -> Iterator[Connect]:
    """Makes endpoints of the server whose waits between tries take no time."""
    made: list[OpenAIEndpoint] = []

    def make(**options: Any) -> OpenAIEndpoint:
        clock = ManualClock()
        defaults: dict[str, Any] = {
            "base_url": server.base_url,
            "api_key": KEY,
            "rng": random.Random(0),
            "clock": clock,
            "sleep": clock.sleep,
        }
        made.append(OpenAIEndpoint("m", **(defaults | options)))
        return made[-1]

    yield make
    for endpoint in made:
        endpoint.close()


def test_a_completion_is_asked_for_with_the_constant_part_first(
    server: OpenAIServer, connect: Connect
) -> None:
    """System before user, all options sent, the key as bearer; the answer's text and reason come back."""
    answer = connect().complete(PROMPT, max_tokens=50, temperature=0.5, stop=["Discouraged"], seed=7)
    assert (answer.text, answer.finish_reason) == ("click[buy]", "stop")
    (request,) = server.requests
    assert request.path == "/v1/chat/completions"
    assert request.headers["authorization"] == f"Bearer {KEY}"
    assert request.body == {
        "model": "m",
        "messages": [
            {"role": "system", "content": "You choose actions."},
            {"role": "user", "content": "a page with two buttons"},
        ],
        "max_tokens": 50,
        "temperature": 0.5,
        "stop": ["Discouraged"],
        "seed": 7,
    }


def test_what_is_not_set_is_not_sent(server: OpenAIServer, connect: Connect) -> None:
    """No system part, stop or seed: the request has none; headers and extra_body go along."""
    endpoint = connect(api_key=None, headers={"X-Team": "kettles"}, extra_body={"top_k": 5})
    endpoint.complete(Prompt(system="", user="hello"))
    (request,) = server.requests
    assert [message["role"] for message in request.body["messages"]] == ["user"]
    assert not {"stop", "seed"} & set(request.body)
    assert request.body["top_k"] == 5
    assert request.headers["x-team"] == "kettles"
    assert request.headers["authorization"] == "Bearer no-key"


EXPECTED: dict[str, tuple[type[ModelError], int]] = {
    "500": (ModelUnavailableError, 6),
    "503": (ModelUnavailableError, 6),
    "429 retry-after 90": (ModelUnavailableError, 6),
    "429 quota": (ModelRejectedError, 1),
    "401": (ModelRejectedError, 1),
    "403": (ModelRejectedError, 1),
    "404": (ModelRejectedError, 1),
    "400": (ModelRejectedError, 1),
    "malformed json": (ModelResponseError, 3),
    "no choices": (ModelResponseError, 3),
    "choices null": (ModelResponseError, 3),
    "choice null": (ModelResponseError, 3),
    "no message": (ModelResponseError, 3),
    "content null": (ModelResponseError, 3),
    "tool call": (ModelResponseError, 3),
    "content filter": (ModelResponseError, 1),
    "odd finish reason": (ModelResponseError, 3),
    "error with 200": (ModelResponseError, 3),
    "list": (ModelResponseError, 3),
    "empty": (ModelResponseError, 3),
    "html": (ModelResponseError, 3),
    "html 502": (ModelUnavailableError, 6),
    "not gzip": (ModelResponseError, 3),
    "cut": (ModelUnavailableError, 6),
    "close": (ModelUnavailableError, 6),
}


def test_the_table_of_faults_is_complete() -> None:
    """Every fault the server knows has a row here."""
    assert set(FAULTS) <= set(EXPECTED)


@pytest.mark.parametrize("fault", EXPECTED)
def test_a_lasting_fault_ends_in_our_error(server: OpenAIServer, connect: Connect, fault: str) -> None:
    """Each fault, repeated, gives its class after its number of tries, in one line with model and address
    and without the key."""
    kind, tries = EXPECTED[fault]
    server.then(*[fault] * 10)
    with pytest.raises(RlemError) as caught:
        connect(policy=RetryPolicy(deadline_s=1000)).complete(PROMPT)
    assert type(caught.value) is kind
    assert len(server.requests) == tries
    message = str(caught.value)
    assert "'m'" in message
    assert server.base_url in message
    assert "\n" not in message
    assert KEY not in message


@pytest.mark.parametrize("fault", [name for name, (_, tries) in EXPECTED.items() if tries > 1])
def test_a_passing_fault_is_survived(server: OpenAIServer, connect: Connect, fault: str) -> None:
    """A fault that is worth another try costs one, and then the answer comes."""
    server.then(fault)
    assert connect().complete(PROMPT).text == "click[buy]"
    assert len(server.requests) == 2


@pytest.mark.parametrize("fault", ["hang", "trickle", "trickle headers"])
def test_the_deadline_holds_against_servers_that_never_finish(
    server: OpenAIServer, connect: Connect, fault: str
) -> None:
    """Silence, a body or a header byte by byte: the call ends at its deadline, and so does its thread."""
    server.then(fault)
    endpoint = connect(policy=RetryPolicy(deadline_s=0.3), clock=time.monotonic, sleep=time.sleep)
    begin = time.monotonic()
    with pytest.raises(ModelUnavailableError, match="no complete answer"):
        endpoint.complete(PROMPT)
    assert time.monotonic() - begin < 2
    assert _wait_until(lambda: not _endpoint_threads()), "the thread left behind ends soon after"
    assert endpoint.complete(PROMPT).text == "click[buy]", "the endpoint is usable afterwards"


def _endpoint_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "rlem-endpoint"]


def _wait_until(holds: Callable[[], bool], seconds: float = 3) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end and not holds():
        time.sleep(0.01)
    return holds()


def test_the_deadline_is_over_all_tries(server: OpenAIServer, connect: Connect) -> None:
    """A server that is busy for ever with short waits is left at the deadline, not after six of them."""
    server.then(*["500"] * 50)
    policy = RetryPolicy(deadline_s=0.4, max_attempts=50, base_delay_s=0.1, max_delay_s=0.1)
    endpoint = connect(policy=policy, clock=time.monotonic, sleep=time.sleep)
    begin = time.monotonic()
    with pytest.raises(ModelUnavailableError, match=r"deadline 0\.4 s"):
        endpoint.complete(PROMPT)
    assert time.monotonic() - begin < 2
    assert 2 <= len(server.requests) < 50


def test_retry_after_90_is_not_slept(server: OpenAIServer, connect: Connect) -> None:
    """The wait is capped at max_retry_after_s, where the SDK by itself would sleep 90 s."""
    server.then("429 retry-after 90")
    slept: list[float] = []
    connect(policy=RetryPolicy(max_retry_after_s=2), sleep=slept.append).complete(PROMPT)
    assert slept == [2.0]


def test_a_server_that_is_not_there_is_unavailable(connect: Connect) -> None:
    """A refused connection is tried again and then told with its cause."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(ModelUnavailableError, match=r"(?i)refused.*gave up after 3 tries"):
        connect(base_url=f"http://127.0.0.1:{port}/v1", policy=RetryPolicy(max_attempts=3)).complete(PROMPT)


@pytest.mark.parametrize("field", ["stop", "temperature", "seed"])
def test_a_field_the_server_refuses_is_left_out_from_then_on(
    server: OpenAIServer, connect: Connect, field: str
) -> None:
    """One refusal, then the request without the field; the next call does not send it at all."""
    server.then(f"refuses {field}")
    endpoint = connect()
    for _ in range(2):
        endpoint.complete(PROMPT, stop=["x"], seed=1)
    sent = [field in request.body for request in server.requests]
    assert sent == [True, False, False]


def test_max_tokens_becomes_max_completion_tokens(server: OpenAIServer, connect: Connect) -> None:
    """Where max_tokens is refused, the limit goes under its new name, remembered."""
    server.then("refuses max_tokens")
    endpoint = connect()
    for _ in range(2):
        endpoint.complete(PROMPT, max_tokens=33)
    limits = [(r.body.get("max_tokens"), r.body.get("max_completion_tokens")) for r in server.requests]
    assert limits == [(33, None), (None, 33), (None, 33)]


def test_stop_strings_hold_even_if_the_server_ignores_them(server: OpenAIServer, connect: Connect) -> None:
    """The text is cut where it should have stopped."""
    server.then(completion("buy Discouraged: back"))
    assert connect().complete(PROMPT, stop=["Discouraged"]).text == "buy "


def test_an_answer_of_full_length_is_given_as_such(server: OpenAIServer, connect: Connect) -> None:
    """finish_reason length is an answer."""
    server.then(completion("a long", finish_reason="length"))
    answer = connect().complete(PROMPT)
    assert (answer.text, answer.finish_reason) == ("a long", "length")


def test_usage_has_cached_tokens_and_cost(server: OpenAIServer, connect: Connect) -> None:
    """100 prompt tokens, 40 of them cached, 10 answered, at 10, 1 and 100 dollars a million."""
    server.then(completion("a"), completion("b"))
    endpoint = connect(prices=PRICES)
    answer = endpoint.complete(PROMPT)
    endpoint.complete(PROMPT)
    cost = (60 * 10 + 40 * 1 + 10 * 100) / 1e6
    assert answer.usage.cost_usd == pytest.approx(cost)
    assert replace(answer.usage, cost_usd=None) == Usage(
        prompt_tokens=100, cached_tokens=40, completion_tokens=10, calls=1, cost_usd=None
    )
    assert endpoint.usage.calls == 2
    assert endpoint.usage.cost_usd == pytest.approx(2 * cost)


def test_an_unknown_price_is_unknown(server: OpenAIServer, connect: Connect) -> None:
    """Cost None, not 0, and it stays None in sums."""
    endpoint = connect()
    assert endpoint.complete(PROMPT).usage.cost_usd is None
    assert endpoint.usage.cost_usd is None


def test_answers_thrown_away_are_paid_for(server: OpenAIServer, connect: Connect) -> None:
    """A malformed answer that reports its tokens counts in the completion's usage and in the budget."""
    server.then("content null", completion("b"))
    budget = Budget()
    answer = connect(prices=PRICES, budget=budget).complete(PROMPT)
    assert (answer.usage.calls, answer.usage.prompt_tokens) == (2, 200)
    assert budget.spent == answer.usage
    server.then(*["content null"] * 3)
    with pytest.raises(ModelResponseError):
        connect(prices=PRICES, budget=budget).complete(PROMPT)
    assert budget.spent.calls == 5


def test_without_reported_usage_the_estimate_stands_in(server: OpenAIServer, connect: Connect) -> None:
    """A server that reports nothing does not make the budget blind."""
    server.then(Canned(body={"choices": [{"message": {"content": "buy"}, "finish_reason": "stop"}]}))
    usage = connect().complete(PROMPT).usage
    count = EstimatedTokens()
    assert (usage.prompt_tokens, usage.completion_tokens) == (count(PROMPT.text), count("buy"))


def test_reported_usage_corrects_the_token_count(server: OpenAIServer, connect: Connect) -> None:
    """A server that counts twice as many tokens raises the estimate of the next prompt."""
    long = Prompt(system="rules " * 100, user="page " * 100)
    endpoint = connect()
    before = endpoint.count_tokens(long.text)
    body: Any = completion("a").body
    body["usage"]["prompt_tokens"] = before * 2
    server.then(Canned(body=body))
    endpoint.complete(long)
    assert endpoint.count_tokens(long.text) >= before * 2


def test_a_spent_budget_stops_the_next_call_before_it_is_made(server: OpenAIServer, connect: Connect) -> None:
    """The call that may pass the limit is not sent."""
    server.then(completion("a"))
    endpoint = connect(budget=Budget(max_tokens=200))
    endpoint.complete(PROMPT, max_tokens=20)
    with pytest.raises(BudgetExceededError, match="used 110"):
        endpoint.complete(PROMPT, max_tokens=80)
    assert len(server.requests) == 1
    money = connect(budget=Budget(max_cost_usd=0.001), prices=PRICES)
    with pytest.raises(BudgetExceededError, match="max_cost_usd"):
        money.complete(PROMPT, max_tokens=20)
    assert len(server.requests) == 1


def test_the_rate_limit_is_kept_over_tries_too(server: OpenAIServer, connect: Connect) -> None:
    """At one call a minute the second try waits its minute; without room before the deadline it fails."""
    clock = ManualClock()
    limiter = RateLimiter(1, clock=clock, sleep=clock.sleep)
    server.then("500")
    endpoint = connect(limiter=limiter, clock=clock, sleep=clock.sleep)
    endpoint.complete(PROMPT)
    assert clock() >= 60
    server.then("500")
    short = connect(limiter=limiter, clock=clock, sleep=clock.sleep, policy=RetryPolicy(deadline_s=30))
    with pytest.raises(ModelUnavailableError, match="rate limit"):
        short.complete(PROMPT)


def test_the_key_is_never_shown_even_if_the_server_shows_it(server: OpenAIServer, connect: Connect) -> None:
    """Errors that repeat the key, and addresses that hold a password, are told without them."""
    server.then(error(401, "x" * 280 + f" wrong key {KEY}"), error(400, f"bad {KEY}"))
    address = server.base_url.replace("http://", "http://user:password@") + "?token=abc"
    for endpoint in (connect(), connect(base_url=address)):
        with pytest.raises(ModelRejectedError) as caught:
            endpoint.complete(PROMPT)
        shown = f"{caught.value!r} {caught.value.__cause__!r} {caught.value.__context__!r}"
        assert KEY[:12] not in shown
        assert "password" not in shown
        assert "abc" not in shown


def test_odd_characters_in_a_page_break_nothing(server: OpenAIServer, connect: Connect) -> None:
    """Lone surrogates, which no JSON in UTF-8 can hold, are replaced."""
    connect().complete(Prompt(system="s", user="a \ud800 b \x00 红"))
    assert server.requests[0].body["messages"][1]["content"] == "a ? b \x00 红"


def test_an_answer_without_end_does_not_fill_the_memory(server: OpenAIServer, connect: Connect) -> None:
    """A body above 16 MiB is refused."""
    server.then(Canned(body=b" " * (17 * 1024 * 1024)))
    with pytest.raises(ModelResponseError, match="more than 16777216 bytes"):
        connect(policy=RetryPolicy(max_attempts=1)).complete(PROMPT)


def test_threads_share_one_endpoint(server: OpenAIServer, connect: Connect) -> None:
    """Eight threads, five calls each, some of them faulty: every call gets its answer and is counted."""
    server.then(*["500", "close", "malformed json", "refuses seed"])
    endpoint = connect()
    texts: list[str] = []

    def work() -> None:
        for seed in range(5):
            texts.append(endpoint.complete(PROMPT, seed=seed).text)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert texts == ["click[buy]"] * 40
    assert endpoint.usage.calls == 40


def test_connections_are_used_again(server: OpenAIServer, connect: Connect) -> None:
    """Calls one after the other share one connection."""
    endpoint = connect()
    for _ in range(3):
        endpoint.complete(PROMPT)
    assert server.connections == 1


def test_a_closed_endpoint_is_not_used(connect: Connect) -> None:
    """close may be called twice; a call after it is a ClosedError."""
    endpoint = connect()
    endpoint.close()
    endpoint.close()
    with pytest.raises(ClosedError):
        endpoint.complete(PROMPT)
