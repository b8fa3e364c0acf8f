"""One HTTP exchange with an OpenAI-compatible endpoint, through the ``openai`` SDK, within a hard deadline.

The SDK's retries are off and its parsing of answers is not used: measured, it sleeps 90 s on
``Retry-After: 90`` and leaks IndexError, TypeError and JSONDecodeError on malformed answers with status
200. Here whatever the endpoint does ends as a ``Reply`` (any status, raw bytes) or as a ``Fault``.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from rlem.core.errors import ClosedError, ModelRejectedError, ModelResponseError, ModelUnavailableError
from rlem.core.types import JSON
from rlem.llm.policy import Fault
from rlem.llm.text import one_line

_MAX_BODY_BYTES = 16 * 1024 * 1024  # a completion is kilobytes; more would only fill the memory

_SHORTEST_SECRET = 8

_TIMEOUTS = {"APITimeoutError", "TimeoutException"}
_NETWORK_ERRORS = {"APIConnectionError", "TransportError", "OSError"}
"""Classes by name: the SDK's HTTP library is called httpx before SDK 3 and httpx2 since."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What came back over the wire. Header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Wire:
    """Sends chat requests. Thread-safe.

    A timeout of the HTTP library counts from byte to byte, so a server that trickles, or a name server
    that hangs, would outlive any deadline. So each exchange runs in a thread of its own which is left
    behind at the deadline; its client is used by no one else and closed, which ends the thread too.
    """

    def __init__(self, *, base_url: str, api_key: str, headers: Mapping[str, str] | None = None) -> None:
        self._options: dict[str, Any] = {
            "base_url": base_url,
            "api_key": api_key,
            "default_headers": dict(headers or {}),
            "max_retries": 0,
        }
        # A key of a few letters is a dummy ("none"), and would be found in the middle of words.
        self._secret = api_key if len(api_key) >= _SHORTEST_SECRET else ""
        self._idle: list[Any] = []
        self._closed = False
        self._lock = threading.Lock()
        # The SDK is imported and set up here, lest the first call's deadline pays for it.
        self._idle.append(self._client())

    def post(self, body: Mapping[str, JSON], timeout_s: float) -> Reply | Fault:
        """Sends one chat request and waits for the whole answer, at most ``timeout_s`` in all.

        Where the endpoint repeats the key, what comes back has ``[api_key]`` instead.
        """
        if timeout_s <= 0:
            return _late(0.0)
        client = self._take()
        outcome: queue.SimpleQueue[Reply | Fault] = queue.SimpleQueue()
        threading.Thread(
            target=lambda: outcome.put(_exchange(client, body, timeout_s)), name="rlem-endpoint", daemon=True
        ).start()
        try:
            result = outcome.get(timeout=timeout_s)
        except queue.Empty:
            _close(client)
            return _late(timeout_s)
        except BaseException:  # Ctrl-C while waiting
            _close(client)
            raise
        self._give(client)
        return self._without_key(result)

    def close(self) -> None:
        """Closes all connections; those in use close when their call ends."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
        for client in idle:
            _close(client)

    def _take(self) -> Any:
        with self._lock:
            if self._closed:
                raise ClosedError("this model was closed; make a new one")
            if self._idle:
                return self._idle.pop()
        return self._client()

    def _give(self, client: Any) -> None:
        with self._lock:
            if not self._closed:
                self._idle.append(client)
                return
        _close(client)

    def _without_key(self, result: Reply | Fault) -> Reply | Fault:
        if not self._secret:
            return result
        if isinstance(result, Fault):
            return replace(result, message=result.message.replace(self._secret, "[api_key]"))
        return replace(result, body=result.body.replace(self._secret.encode("ascii"), b"[api_key]"))

    def _client(self) -> Any:
        import openai

        try:
            client = openai.OpenAI(**self._options)
            _ = client.chat.completions.with_streaming_response  # the SDK imports this part on first use
            return client
        except Exception as error:
            raise ModelRejectedError(
                f"the openai SDK refuses these settings for {self._options['base_url']}: "
                f"{type(error).__name__}; check base_url, api_key, headers and the OPENAI_* variables"
            ) from None  # the SDK's own text may hold the key


def _exchange(client: Any, body: Mapping[str, JSON], timeout_s: float) -> Reply | Fault:
    """The part that runs in the thread: never raises."""
    try:
        request = client.chat.completions.with_streaming_response
        with request.create(**body, timeout=timeout_s) as response:
            chunks: list[bytes] = []
            size = 0
            for chunk in response.iter_bytes():
                chunks.append(chunk)
                size += len(chunk)
                if size > _MAX_BODY_BYTES:
                    return _strange(f"an answer of more than {_MAX_BODY_BYTES} bytes")
            return Reply(status=response.status_code, headers=_lower(response.headers), body=b"".join(chunks))
    except BaseException as error:
        return _fault_of(error, timeout_s)


def _fault_of(error: BaseException, timeout_s: float) -> Reply | Fault:
    response = getattr(error, "response", None)
    if response is not None:  # the SDK's error for a status of 400 and above, its body already read
        try:
            return Reply(status=response.status_code, headers=_lower(response.headers), body=response.content)
        except Exception as unread:
            error = unread
    names = {base.__name__ for base in type(error).__mro__}
    if _TIMEOUTS & names:
        return _late(timeout_s)
    # The SDK says "Connection error." and keeps what happened in the cause.
    inner = error.__cause__ or error
    text = f"{type(inner).__name__}: {inner}" if str(inner) else type(inner).__name__
    if _NETWORK_ERRORS & names:
        message = f"the connection failed ({one_line(text, 200)})"
        return Fault(kind="transient", error=ModelUnavailableError, message=message)
    return _strange(f"an answer that cannot be read ({one_line(text, 200)})")


def _late(timeout_s: float) -> Fault:
    message = f"no complete answer within {timeout_s:.1f} s"
    return Fault(kind="transient", error=ModelUnavailableError, message=message)


def _strange(what: str) -> Fault:
    return Fault(kind="strange", error=ModelResponseError, message=f"the endpoint sent {what}")


def _lower(headers: Any) -> dict[str, str]:
    return {str(name).lower(): str(value) for name, value in headers.items()}


def _close(client: Any) -> None:
    # A connection that is closed while another thread reads from it may complain in any way it likes.
    try:
        client.close()
    except Exception:
        return
