"""Retries, deadline and rate limit, on a clock that stands still."""

from __future__ import annotations

import random
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlem.core.clock import ManualClock
from rlem.core.errors import ModelRejectedError, ModelResponseError, ModelUnavailableError, UsageError
from rlem.llm.policy import Fault, RateLimiter, RetryPolicy

BUSY = Fault(kind="transient", error=ModelUnavailableError, message="busy")
STRANGE = Fault(kind="strange", error=ModelResponseError, message="gibberish")
FINAL = Fault(kind="final", error=ModelRejectedError, message="no key")


class Script:
    """Attempts that give what a list says, and note how many seconds they were given."""

    def __init__(self, *results: str | Fault, takes_s: float = 0.0) -> None:
        self.clock, self.results, self.takes_s = ManualClock(), list(results), takes_s
        self.given: list[float] = []
        self.slept: list[float] = []

    def attempt(self, seconds_left: float) -> str | Fault:
        self.given.append(seconds_left)
        self.clock.sleep(self.takes_s)
        return self.results.pop(0)

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.clock.sleep(seconds)

    def run(self, policy: RetryPolicy) -> str:
        return policy.run(
            self.attempt, where="here", rng=random.Random(0), clock=self.clock, sleep=self.sleep
        )


def test_transient_faults_are_tried_again_until_an_answer_comes() -> None:
    """Two faults and an answer: three tries, two waits."""
    script = Script(BUSY, BUSY, "answer")
    assert script.run(RetryPolicy()) == "answer"
    assert len(script.given) == 3
    assert len(script.slept) == 2


def test_tries_are_limited_and_the_message_has_the_figures() -> None:
    """After max_attempts the last fault's error is raised, with place, tries and limits."""
    script = Script(*[BUSY] * 9)
    with pytest.raises(ModelUnavailableError, match=r"^here: busy; gave up after 4 tries .* at most 4 tries"):
        script.run(RetryPolicy(max_attempts=4))
    assert len(script.given) == 4


def test_final_faults_are_not_tried_again() -> None:
    """A refusal is raised at once, without a wait."""
    script = Script(FINAL, "never")
    with pytest.raises(ModelRejectedError, match=r"^here: no key$"):
        script.run(RetryPolicy())
    assert script.slept == []


def test_strange_answers_are_tried_again_twice_only() -> None:
    """Malformed answers get two more tries, though the policy would allow five, for they are paid for."""
    script = Script(*[STRANGE] * 9)
    with pytest.raises(ModelResponseError):
        script.run(RetryPolicy())
    assert len(script.given) == 3
    assert Script(STRANGE, BUSY, STRANGE, "answer").run(RetryPolicy()) == "answer"


def test_retry_after_is_obeyed_up_to_its_cap() -> None:
    """Retry-After: 90 is waited for 20 s, one of 3 s for 3 s."""
    long, short = (
        Fault(kind="transient", error=ModelUnavailableError, message="slow down", retry_after_s=seconds)
        for seconds in (90.0, 3.0)
    )
    script = Script(long, short, "answer")
    script.run(RetryPolicy())
    assert script.slept == [20.0, 3.0]


def test_a_wait_that_would_pass_the_deadline_is_not_begun() -> None:
    """With 5 s in all and a wait of 20 s asked for, the call fails at once."""
    slow = Fault(kind="transient", error=ModelUnavailableError, message="slow down", retry_after_s=90.0)
    script = Script(slow, "never")
    with pytest.raises(ModelUnavailableError, match="deadline 5 s"):
        script.run(RetryPolicy(deadline_s=5))
    assert script.slept == []


def test_each_try_gets_what_is_left_of_the_deadline() -> None:
    """The seconds given to tries fall by the time used, and the sum of all never passes the deadline."""
    script = Script(*[BUSY] * 9, takes_s=3.0)
    with pytest.raises(ModelUnavailableError):
        script.run(RetryPolicy(deadline_s=10, base_delay_s=0))
    assert script.given == [10.0, 7.0, 4.0, 1.0]


@given(
    failed=st.integers(min_value=1, max_value=2000),
    seed=st.integers(),
    base=st.floats(min_value=0, max_value=10),
    most=st.floats(min_value=0, max_value=100),
    asked=st.none() | st.floats(min_value=-10, max_value=1e9),
)
def test_no_wait_is_negative_or_above_its_cap(
    failed: int, seed: int, base: float, most: float, asked: float | None
) -> None:
    """Waits lie within [0, cap] for any number of failures and any Retry-After."""
    policy = RetryPolicy(base_delay_s=base, max_delay_s=most, max_retry_after_s=7)
    delay = policy.delay_s(failed, random.Random(seed), asked)
    assert 0 <= delay <= (7 if asked is not None else min(most, base * 2.0 ** min(failed - 1, 60)))


def test_jitter_comes_from_the_generator_that_was_passed() -> None:
    """The same seed gives the same waits, another seed others."""
    policy = RetryPolicy()
    waits = [[policy.delay_s(n, random.Random(seed)) for n in (1, 2, 3)] for seed in (1, 1, 2)]
    assert waits[0] == waits[1] != waits[2]


@pytest.mark.parametrize(
    "wrong", [{"deadline_s": 0}, {"max_attempts": 0}, {"base_delay_s": -1}, {"max_delay_s": float("nan")}]
)
def test_a_policy_that_makes_no_sense_is_refused(wrong: dict[str, float]) -> None:
    """The message names the option."""
    with pytest.raises(UsageError, match=next(iter(wrong))):
        RetryPolicy(**wrong)  # type: ignore[arg-type]


@given(
    rpm=st.none() | st.integers(min_value=1, max_value=5),
    tpm=st.none() | st.integers(min_value=1, max_value=50),
    calls=st.lists(st.tuples(st.integers(0, 40), st.floats(min_value=0, max_value=50)), max_size=30),
)
def test_no_minute_holds_more_than_the_limits(
    rpm: int | None, tpm: int | None, calls: list[tuple[int, float]]
) -> None:
    """In every window of 60 s the calls let through stay within both limits; a huge call goes alone."""
    clock = ManualClock()
    limiter = RateLimiter(rpm, tpm, clock=clock, sleep=clock.sleep)
    granted: list[tuple[float, int]] = []
    for tokens, pause in calls:
        clock.sleep(pause)
        limiter.acquire(tokens)
        granted.append((clock(), tokens))
    for start, _ in granted:
        window = [tokens for when, tokens in granted if start <= when < start + 60 - 1e-6]
        assert rpm is None or len(window) <= rpm
        assert tpm is None or sum(min(tokens, tpm) for tokens in window) <= tpm


def test_a_limiter_lets_a_burst_through_and_then_waits_for_the_minute() -> None:
    """Two of two go at once, the third after 60 s."""
    clock = ManualClock()
    limiter = RateLimiter(2, clock=clock, sleep=clock.sleep)
    assert [limiter.acquire() for _ in range(3)] == [0.0, 0.0, 60.0]


def test_a_turn_that_comes_too_late_takes_no_place() -> None:
    """Being refused for max_wait_s does not delay those who come after."""
    clock = ManualClock()
    limiter = RateLimiter(1, clock=clock, sleep=clock.sleep)
    limiter.acquire()
    for _ in range(3):
        with pytest.raises(ModelUnavailableError, match="rate limit"):
            limiter.acquire(max_wait_s=5)
    assert limiter.acquire() == 60.0


def test_threads_share_the_limit() -> None:
    """Twelve threads at three a minute get turns at 0, 60, 120 and 180 s, three each."""
    waits: list[float] = []
    limiter = RateLimiter(3, clock=lambda: 0.0, sleep=waits.append)
    threads = [threading.Thread(target=limiter.acquire) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(waits) == [60.0] * 3 + [120.0] * 3 + [180.0] * 3


def test_a_limit_below_one_is_refused() -> None:
    """A limit of zero would wait for ever."""
    with pytest.raises(UsageError, match="requests_per_minute is 0"):
        RateLimiter(0)
