"""Reading what endpoints send: pure functions, any bytes."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlem.core.errors import ModelError, ModelRejectedError, ModelResponseError, ModelUnavailableError
from rlem.core.types import JSON
from rlem.llm.base import Usage
from rlem.llm.policy import Fault
from rlem.llm.replies import (
    Answer,
    error_body,
    load,
    read_answer,
    read_fault,
    refused_field,
    reported_usage,
    retry_after_s,
)
from rlem.llm.text import cut_at_stop, one_line
from rlem.llm.wire import Reply

FIELDS = ("max_tokens", "stop", "temperature", "seed")

scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
names = st.sampled_from(
    [
        *("choices", "message", "content", "finish_reason", "stop", "length", "text"),
        *("error", "code", "type", "param", "detail"),
        *("usage", "prompt_tokens", "completion_tokens", "prompt_tokens_details", "cached_tokens"),
    ]
)
trees = st.recursive(
    scalars | names, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=5)
)


def reply(data: object, status: int = 200, **headers: str) -> Reply:
    """A reply with a JSON body."""
    body = data if isinstance(data, bytes) else json.dumps(data).encode()
    return Reply(status=status, headers=headers, body=body)


def chat(content: JSON, reason: JSON = "stop") -> Reply:
    """A completion of that content."""
    return reply({"choices": [{"message": {"content": content}, "finish_reason": reason}]})


@given(st.binary(max_size=200) | trees.map(lambda tree: json.dumps(tree).encode()), st.integers(200, 599))
def test_no_bytes_break_the_reader(body: bytes, status: int) -> None:
    """Any body with any status becomes an answer or a fault of our tree with a one-line message."""
    given_reply = Reply(status=status, headers={}, body=body)
    results: list[Answer | Fault] = [read_answer(given_reply), read_fault(given_reply, has_key=True)]
    for result in results:
        if isinstance(result, Fault):
            assert issubclass(result.error, ModelError)
            assert "\n" not in result.message
        else:
            assert isinstance(result.text, str)
    usage = reported_usage(given_reply)
    assert usage is None or 0 <= usage.cached_tokens <= usage.prompt_tokens
    assert refused_field(given_reply, FIELDS) in (None, *FIELDS)


def test_json_nested_without_end_is_no_crash() -> None:
    """A bracket bomb is a fault like any other."""
    bomb = reply(b"[" * 100_000)
    assert load(bomb.body) is None
    assert isinstance(read_answer(bomb), Fault)
    deep = b'{"error": ' * 900 + b"1" + b"}" * 900
    assert isinstance(read_fault(reply(deep, status=500), has_key=True), Fault)


@pytest.mark.parametrize(
    ("reason", "read"),
    [
        ("stop", "stop"),
        ("length", "length"),
        ("content_filter", "content_filter"),
        ("eos", "other"),
        (None, "other"),
        ("tool_calls", "other"),
    ],
)
def test_a_finish_reason_is_kept_or_called_other(reason: str | None, read: str) -> None:
    """A text with any finish_reason is an answer; unknown reasons are "other"."""
    assert read_answer(chat("text", reason)) == Answer(text="text", finish_reason=read)  # type: ignore[arg-type]


def test_an_empty_text_is_an_answer_unless_a_filter_withheld_it() -> None:
    """The model may say nothing; a filter's silence is a fault that is not tried again."""
    assert read_answer(chat("")) == Answer(text="", finish_reason="stop")
    withheld = read_answer(chat("", "content_filter"))
    assert isinstance(withheld, Fault)
    assert (withheld.kind, withheld.error) == ("final", ModelResponseError)


def test_an_answer_that_never_began_says_to_raise_max_tokens() -> None:
    """A reasoning model that used up its tokens is told so, once."""
    fault = read_answer(chat(None, "length"))
    assert isinstance(fault, Fault)
    assert fault.kind == "final"
    assert "raise max_tokens" in fault.message


def test_text_in_parts_is_joined() -> None:
    """Some servers send the content as a list of parts."""
    parts: JSON = [{"type": "text", "text": "click"}, {"type": "image"}, {"type": "text", "text": "[buy]"}]
    assert read_answer(chat(parts)) == Answer(text="click[buy]", finish_reason="stop")


def test_usage_is_read_with_cached_tokens_in_both_spellings() -> None:
    """OpenAI's and DeepSeek's cached tokens; never more than the prompt's."""
    openai = {"prompt_tokens": 9, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 4}}
    deepseek = {"prompt_tokens": 9, "completion_tokens": 2, "prompt_cache_hit_tokens": 40}
    assert reported_usage(reply({"usage": openai})) == Usage(
        prompt_tokens=9, cached_tokens=4, completion_tokens=2, calls=1, cost_usd=None
    )
    found = reported_usage(reply({"usage": deepseek}))
    assert found is not None
    assert found.cached_tokens == 9


@pytest.mark.parametrize(
    "usage", [None, {}, {"prompt_tokens": "9"}, {"prompt_tokens": True, "completion_tokens": 1}]
)
def test_a_usage_that_makes_no_sense_is_none(usage: JSON) -> None:
    """What cannot be trusted is not counted."""
    assert reported_usage(reply({"usage": usage})) is None


@pytest.mark.parametrize(
    ("status", "kind", "error"),
    [
        (400, "final", ModelRejectedError),
        (401, "final", ModelRejectedError),
        (402, "final", ModelRejectedError),
        (403, "final", ModelRejectedError),
        (404, "final", ModelRejectedError),
        (408, "transient", ModelUnavailableError),
        (409, "transient", ModelUnavailableError),
        (418, "final", ModelRejectedError),
        (422, "final", ModelRejectedError),
        (429, "transient", ModelUnavailableError),
        (500, "transient", ModelUnavailableError),
        (529, "transient", ModelUnavailableError),
        (302, "strange", ModelResponseError),
    ],
)
def test_a_status_says_whether_to_try_again(status: int, kind: str, error: type[ModelError]) -> None:
    """The table of the documentation."""
    fault = read_fault(reply({"error": {"message": "no"}}, status), has_key=True)
    assert (fault.kind, fault.error) == (kind, error)
    assert str(status) in fault.message


@pytest.mark.parametrize(
    ("body", "spent"),
    [
        ({"message": "x", "code": "insufficient_quota"}, True),
        ({"message": "x", "type": "insufficient_quota"}, True),
        ({"message": "Your credit balance is too low"}, True),
        ({"message": "check your plan and billing details", "code": 429}, True),
        ({"message": "rate limit; see billing", "code": "rate_limit_exceeded"}, False),
        ({"message": "too many requests"}, False),
    ],
)
def test_a_spent_quota_is_told_from_a_busy_server(body: dict[str, JSON], spent: bool) -> None:
    """Both come as 429; only the busy one is worth waiting for."""
    fault = read_fault(reply({"error": body}, 429), has_key=True)
    assert (fault.kind == "final") is spent


def test_a_missing_key_is_told_from_a_wrong_one() -> None:
    """401 without a key says that none was given."""
    denied = reply({"error": {"message": "no"}}, 401)
    assert "was refused" in read_fault(denied, has_key=True).message
    assert "no api_key was given" in read_fault(denied, has_key=False).message


@pytest.mark.parametrize(
    ("message", "more", "field"),
    [
        (
            "Unsupported parameter: 'max_tokens' is not supported with this model. "
            "Use 'max_completion_tokens' instead.",
            {"param": "max_tokens", "code": "unsupported_parameter"},
            "max_tokens",
        ),
        ("Unsupported value: 'temperature' does not support 0.1", {}, "temperature"),
        ("Unrecognized request argument supplied: seed", {}, "seed"),
        ("'max_tokens' is too large: 99999", {"param": "max_tokens", "code": "invalid_value"}, None),
        ("'max_completion_tokens' is not supported", {}, None),
        ("unknown error", {}, None),
    ],
)
def test_a_refused_field_is_found(message: str, more: dict[str, JSON], field: str | None) -> None:
    """By param or by name in the message, only if it is refused as such and not for its value."""
    assert refused_field(reply({"error": {"message": message, **more}}, 400), FIELDS) == field
    assert refused_field(reply({"error": {"message": message, **more}}, 500), FIELDS) is None


def test_a_refused_field_is_found_in_a_validation_list() -> None:
    """The form of servers built on FastAPI."""
    detail = [{"type": "extra_forbidden", "loc": ["body", "seed"], "msg": "Extra inputs are not permitted"}]
    assert refused_field(reply({"detail": detail}, 422), FIELDS) == "seed"


@pytest.mark.parametrize(
    "data",
    [
        {"error": {"message": "m"}},
        {"error": "m"},
        {"message": "m"},
        [{"error": {"message": "m"}}],
        {"detail": "m"},
        "m",
        {"error": {"error": {"message": "m"}}},
    ],
)
def test_error_messages_are_found_in_all_forms(data: JSON) -> None:
    """OpenAI's form, bare strings, lists and nestings."""
    assert error_body(data).message == "m"


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "90"}, 90.0),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after": "-3"}, 0.0),
        ({"retry-after-ms": "1500", "retry-after": "9"}, 1.5),
        ({"retry-after": "Thu, 01 Jan 2026 00:00:30 GMT", "date": "Thu, 01 Jan 2026 00:00:10 GMT"}, 20.0),
        ({"retry-after": "Thu, 01 Jan 2026 00:00:30 GMT"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "inf"}, None),
        ({}, None),
    ],
)
def test_retry_after_is_read_in_all_forms(headers: dict[str, str], seconds: float | None) -> None:
    """Seconds, milliseconds, a date against the server's own; nonsense is no wish."""
    assert retry_after_s(headers) == seconds


@given(st.text(), st.lists(st.text(min_size=1), max_size=3))
def test_text_is_cut_before_every_stop_string(text: str, stop: list[str]) -> None:
    """The result is a beginning of the text, and no stop string is whole within it."""
    cut = cut_at_stop(text, stop)
    assert text.startswith(cut)
    assert not any(word in cut for word in stop)


@given(st.text(), st.integers(5, 50))
def test_foreign_text_becomes_one_printable_short_line(text: str, limit: int) -> None:
    """No control character of a server reaches a terminal or a log."""
    line = one_line(text, limit)
    assert len(line) <= limit
    assert line.isprintable()
