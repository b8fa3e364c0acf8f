"""Reads what an endpoint sent back. Pure: bytes in, an answer or a Fault out, whatever the bytes are."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any

from rlem.core.errors import ModelRejectedError, ModelResponseError, ModelUnavailableError
from rlem.llm.base import FinishReason, Usage
from rlem.llm.policy import Fault
from rlem.llm.text import MAX_QUOTED, one_line
from rlem.llm.wire import Reply

_FINISH_REASONS: dict[str, FinishReason] = {
    "stop": "stop",
    "length": "length",
    "content_filter": "content_filter",
}
_TRANSIENT_STATUS = frozenset({408, 409, 425, 429})
_SPENT_CODES = frozenset(
    {"insufficient_quota", "billing_hard_limit_reached", "billing_not_active", "insufficient_balance"}
)
_SPENT_TEXT = re.compile(
    r"insufficient[_ ](quota|balance|credit)|billing|credit balance|exceeded your current quota", re.I
)
_REFUSES_FIELD = re.compile(
    r"unsupported|not supported|n.t support|unknown|unrecogni[sz]ed|unexpected|not permitted|not allowed|"
    r"extra (inputs|fields)|only the default",
    re.I,
)
_REFUSAL_CODES = frozenset({"unsupported_parameter", "unsupported_value", "unknown_parameter"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A completion as the endpoint sent it."""

    text: str
    finish_reason: FinishReason


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorBody:
    """What an error says about itself: empty strings where it does not say."""

    message: str = ""
    code: str = ""
    type: str = ""
    param: str = ""


def load(body: bytes) -> Any:
    """The JSON value of a body, or None if it is none."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):  # UnicodeDecodeError is a ValueError
        return None


def read_answer(reply: Reply) -> Answer | Fault:
    """The completion in an answer of status 200, after checks of its shape and finish_reason."""
    data = load(reply.body)
    if not isinstance(data, dict):
        return _strange(f"a body that is no JSON object ({_quote(reply.body)})")
    if data.get("error"):
        return _strange(f"an error with status {reply.status} ({error_body(data).message or 'no message'})")
    choices = data.get("choices")
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        return _strange("no choices")
    message, reason = choices[0].get("message"), choices[0].get("finish_reason")
    if not isinstance(message, dict):
        return _strange("a choice without a message")
    if not isinstance(reason, str | None):
        return _strange(f"a finish_reason of type {type(reason).__name__}")
    text = _content(message.get("content"))
    if reason == "content_filter" and not text:
        return Fault(
            kind="final",
            error=ModelResponseError,
            message="the endpoint's content filter withheld the answer (finish_reason content_filter)",
        )
    if text is None:
        if reason == "length":
            return Fault(
                kind="final",
                error=ModelResponseError,
                message="the model used up max_tokens before its answer began (content is null, "
                "finish_reason length); raise max_tokens",
            )
        calls = "tool_calls" in message or "function_call" in message
        return _strange(f"no text ({'a tool call' if calls else 'no content'}, finish_reason {reason!r})")
    return Answer(text=text, finish_reason=_finish_reason(reason))


def reported_usage(reply: Reply) -> Usage | None:
    """Tokens of one call as the endpoint counts them, cost unknown; None if it does not say."""
    data = load(reply.body)
    usage = data.get("usage") if isinstance(data, dict) else None
    if not isinstance(usage, dict):
        return None
    prompt, completion = _count(usage.get("prompt_tokens")), _count(usage.get("completion_tokens"))
    if prompt is None or completion is None:
        return None
    details = usage.get("prompt_tokens_details")
    cached = _count(details.get("cached_tokens")) if isinstance(details, dict) else None
    if cached is None:  # DeepSeek's name for it
        cached = _count(usage.get("prompt_cache_hit_tokens")) or 0
    return Usage(
        prompt_tokens=prompt,
        cached_tokens=min(cached, prompt),
        completion_tokens=completion,
        calls=1,
        cost_usd=None,
    )


def read_fault(reply: Reply, *, has_key: bool) -> Fault:
    """What an answer of another status than 200 means, and whether another try is worth it."""
    said = error_body(load(reply.body))
    message = f"HTTP {reply.status}: {said.message or _quote(reply.body) or 'no message'}"
    status = reply.status
    if status == 402 or (status == 429 and _is_spent(said)):
        return _rejected(f"quota or credit is used up ({message}); see to the account's billing")
    if status in _TRANSIENT_STATUS or status >= 500:
        return Fault(
            kind="transient",
            error=ModelUnavailableError,
            message=message,
            retry_after_s=retry_after_s(reply.headers),
        )
    if status in (401, 403):
        cause = "the api_key was refused" if has_key else "no api_key was given and the endpoint wants one"
        return _rejected(f"{cause} ({message}); give a key that is valid there")
    if status == 404:
        return _rejected(f"no such model, or base_url is wrong ({message}); it usually ends in /v1")
    if status < 400:
        return _strange(f"status {status} instead of an answer; check base_url")
    return _rejected(message)


def refused_field(reply: Reply, fields: Collection[str]) -> str | None:
    """Which of the request's optional fields the endpoint does not know, if that is why it refused."""
    if reply.status not in (400, 422):
        return None
    said = error_body(load(reply.body))
    text = said.message or reply.body.decode("utf-8", "replace")
    if said.code not in _REFUSAL_CODES and not _REFUSES_FIELD.search(text):
        return None
    if said.param in fields:
        return said.param
    named = [(match.start(), field) for field in fields if (match := re.search(rf"\b{field}\b", text))]
    return min(named)[1] if named else None


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Seconds the server asks to wait: ``retry-after-ms``, or ``retry-after`` in seconds or as a date.

    A date is compared with the server's own ``date`` header, so that its clock need not agree with ours.
    """
    milliseconds = _seconds(headers.get("retry-after-ms", ""))
    if milliseconds is not None:
        return milliseconds / 1000
    text = headers.get("retry-after", "")
    seconds = _seconds(text)
    if seconds is not None or not text:
        return seconds
    try:
        wait = parsedate_to_datetime(text) - parsedate_to_datetime(headers.get("date", ""))
    except (ValueError, TypeError, OverflowError):  # no date at all; one with a zone and one without
        return None
    return max(wait.total_seconds(), 0.0)


def error_body(data: Any) -> ErrorBody:
    """Reads the error forms in use: OpenAI's, a list around it, FastAPI's ``detail``, a bare string."""
    for _ in range(4):  # the forms nest, malicious ones without end
        if isinstance(data, list) and data:
            data = data[0]
        elif isinstance(data, dict) and data.get("error"):
            data = data["error"]
        elif isinstance(data, dict) and "message" not in data and data.get("detail"):
            data = {"message": data["detail"]}
        else:
            break
    if isinstance(data, str):
        return ErrorBody(message=one_line(data))
    if not isinstance(data, dict):
        return ErrorBody()
    message, code, kind, param = (
        one_line(_text(data[name])) if data.get(name) else "" for name in ("message", "code", "type", "param")
    )
    return ErrorBody(message=message, code=code, type=kind, param=param)


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    try:
        return json.dumps(value)
    except (ValueError, RecursionError):  # nested as deep as the decoder just allowed
        return ""


def _content(content: Any) -> str | None:
    if isinstance(content, list):  # some servers send parts
        texts = [part.get("text") for part in content if isinstance(part, dict)]
        return "".join(text for text in texts if isinstance(text, str)) or None
    return content if isinstance(content, str) else None


def _finish_reason(reason: str | None) -> FinishReason:
    return _FINISH_REASONS.get(reason or "", "other")


def _is_spent(said: ErrorBody) -> bool:
    if _SPENT_CODES & {said.code, said.type}:
        return True
    # A server that names another code means that one, even if its text speaks of billing plans.
    return not said.code.strip("0123456789") and bool(_SPENT_TEXT.search(said.message))


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _seconds(text: str) -> float | None:
    try:
        seconds = float(text)
    except ValueError:
        return None
    return max(seconds, 0.0) if seconds < float("inf") else None  # NaN fails the comparison


def _quote(body: bytes) -> str:
    return one_line(body[: 4 * MAX_QUOTED].decode("utf-8", "replace"), 80)


def _strange(what: str) -> Fault:
    return Fault(kind="strange", error=ModelResponseError, message=f"the endpoint sent {what}")


def _rejected(message: str) -> Fault:
    return Fault(kind="final", error=ModelRejectedError, message=message)
