"""A local HTTP server that speaks OpenAI's chat completions and misbehaves on request, for tests."""

from __future__ import annotations

import json
import socket
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from socketserver import ThreadingTCPServer
from types import TracebackType
from typing import Any, Self

from rlem.core.errors import UnknownNameError
from rlem.core.types import JSON
from rlem.llm.tokens import EstimatedTokens

Answer = Callable[[list[dict[str, str]]], str]
"""Messages of a request to the text of the answer."""

_TRICKLE_S = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request as it arrived. Header names are in lower case."""

    path: str
    headers: Mapping[str, str]
    body: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Canned:
    """A response to send as it is. A dict body is sent as JSON. ``length`` overrides Content-Length."""

    status: int = 200
    body: bytes | str | dict[str, JSON] | list[JSON] = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    content_type: str = "application/json"
    length: int | None = None

    @property
    def data(self) -> bytes:
        """The body's bytes."""
        if isinstance(self.body, bytes):
            return self.body
        return (self.body if isinstance(self.body, str) else json.dumps(self.body)).encode()


def error(status: int, message: str, *, headers: Mapping[str, str] | None = None, **more: JSON) -> Canned:
    """An error in OpenAI's form; ``more`` are its code, type, param."""
    body: dict[str, JSON] = {"error": {"message": message, **more}}
    return Canned(status=status, body=body, headers=headers or {})


def completion(text: str | None, *, finish_reason: str | None = "stop", **message: JSON) -> Canned:
    """A well-formed completion, by default with 100 prompt tokens, 40 of them cached, and 10 for the text."""
    return Canned(body=_completion_body(text, finish_reason, message, prompt=100, cached=40, answer=10))


def _completion_body(
    text: str | None,
    finish_reason: str | None,
    more: dict[str, JSON],
    *,
    prompt: int,
    cached: int,
    answer: int,
) -> dict[str, JSON]:
    return {
        "id": "chatcmpl-test",
        "object": "chat.completion",
        "created": 0,
        "model": "test",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": text, **more},
                "finish_reason": finish_reason,
            }
        ],
        "usage": {
            "prompt_tokens": prompt,
            "completion_tokens": answer,
            "total_tokens": prompt + answer,
            "prompt_tokens_details": {"cached_tokens": cached},
        },
    }


_TOOL_CALL: list[JSON] = [{"id": "1", "type": "function", "function": {"name": "buy", "arguments": "{}"}}]

FAULTS: dict[str, Canned] = {
    "500": error(500, "internal error"),
    "503": error(503, "overloaded"),
    "429 retry-after 90": error(
        429, "slow down", headers={"Retry-After": "90"}, code="rate_limit_exceeded", type="requests"
    ),
    "429 quota": error(
        429,
        "You exceeded your current quota, please check your plan and billing details.",
        headers={"Retry-After": "1"},
        code="insufficient_quota",
        type="insufficient_quota",
    ),
    "401": error(401, "Incorrect API key provided", code="invalid_api_key"),
    "403": error(403, "this key may not use this model"),
    "404": error(404, "The model `test` does not exist", code="model_not_found"),
    "400": error(400, "This model's maximum context length is 4096 tokens", code="context_length_exceeded"),
    "malformed json": Canned(body='{"choices": [{"message": '),
    "no choices": Canned(body={"object": "chat.completion", "choices": []}),
    "choices null": Canned(body={"object": "chat.completion", "choices": None}),
    "choice null": Canned(body={"choices": [None]}),
    "no message": Canned(body={"choices": [{"finish_reason": "stop"}]}),
    "content null": completion(None),
    "tool call": completion(None, finish_reason="tool_calls", tool_calls=_TOOL_CALL),
    "content filter": completion("", finish_reason="content_filter"),
    "odd finish reason": Canned(body={"choices": [{"message": {"content": "x"}, "finish_reason": 7}]}),
    "error with 200": Canned(body={"error": {"message": "upstream failed", "code": 502}}),
    "list": Canned(body=[]),
    "empty": Canned(),
    "html": Canned(body="<!doctype html><h1>Welcome to the proxy</h1>", content_type="text/html"),
    "html 502": Canned(status=502, body="<h1>Bad Gateway</h1>", content_type="text/html"),
    "not gzip": Canned(body="plain", headers={"Content-Encoding": "gzip"}),
    "cut": Canned(body='{"choices": [{"message": {"content": "Act', length=5000),
}
"""Responses that are told by name. Besides: ``ok``, ``hang`` (no byte ever), ``trickle`` (headers, then a
byte at a time for ever), ``trickle headers``, ``close`` (no response), ``refuses FIELD`` (an error when the
request has that field, else ok)."""

_ACTED = ("ok", "hang", "trickle", "trickle headers", "close", "refuses FIELD")


class OpenAIServer:
    """A threaded server on 127.0.0.1 and a free port; a context manager.

    ``behaviours`` are names (see FAULTS) or Canned responses, used up one a request; after them every
    request is answered well, with ``answer(messages)`` as text. Usage is estimated; the system message
    counts as cached from its second time on. ``requests`` keeps what arrived, ``connections`` counts the
    connections it came by.

    >>> with OpenAIServer(lambda messages: "click[buy]", ["500"]) as server:
    ...     server.base_url.startswith("http://127.0.0.1:")
    True
    """

    def __init__(
        self,
        answer: Answer = lambda messages: "ok",
        behaviours: Sequence[str | Canned] = (),
    ) -> None:
        self.requests: list[Request] = []
        self.connections = 0
        self._answer = answer
        self._script: deque[str | Canned] = deque()
        self._lock = threading.Lock()
        self._cached: set[str] = set()
        self._stopping = threading.Event()
        self._tokens = EstimatedTokens()
        self.then(*behaviours)

    def then(self, *behaviours: str | Canned) -> None:
        """Appends to the script."""
        for behaviour in behaviours:
            known = isinstance(behaviour, Canned) or behaviour in FAULTS or behaviour in _ACTED
            if not known and not str(behaviour).startswith("refuses "):
                raise UnknownNameError("behaviour", str(behaviour), [*FAULTS, *_ACTED])
        with self._lock:
            self._script.extend(behaviours)

    @property
    def base_url(self) -> str:
        """Where it listens, with ``/v1``."""
        return f"http://127.0.0.1:{self._server.server_address[1]}/v1"

    def __enter__(self) -> Self:
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.owner = self
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True
        )
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def receive(self, request: Request) -> str | Canned:
        """Notes a request and says how to treat it."""
        with self._lock:
            self.requests.append(request)
            behaviour = self._script.popleft() if self._script else "ok"
        if isinstance(behaviour, str) and behaviour.startswith("refuses "):
            name = behaviour.removeprefix("refuses ")
            if name in request.body:
                with self._lock:
                    self._script.appendleft(behaviour)  # it goes on refusing until it is left out
                return self._refusal(name)
            behaviour = "ok"
        if behaviour == "ok":
            return self._good(request)
        return behaviour if isinstance(behaviour, Canned) else FAULTS.get(behaviour, behaviour)

    def wait(self, seconds: float) -> bool:
        """Waits; True when the server is stopping."""
        return self._stopping.wait(seconds)

    def _refusal(self, name: str) -> Canned:
        instead = " Use 'max_completion_tokens' instead." if name == "max_tokens" else ""
        return error(
            400,
            f"Unsupported parameter: '{name}' is not supported with this model.{instead}",
            code="unsupported_parameter",
            param=name,
        )

    def _good(self, request: Request) -> Canned:
        messages = request.body.get("messages", [])
        text = self._answer(messages)
        first = str(messages[0]["content"]) if messages else ""
        with self._lock:
            seen = first in self._cached
            self._cached.add(first)
        prompt = sum(self._tokens(str(message["content"])) for message in messages)
        return Canned(
            body=_completion_body(
                text,
                "stop",
                {},
                prompt=prompt,
                cached=self._tokens(first) if seen else 0,
                answer=self._tokens(text),
            )
        )


class _Server(ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False
    request_queue_size = 64
    owner: OpenAIServer

    def process_request(self, request: Any, client_address: Any) -> None:
        """Counts connections; runs in the one accepting thread."""
        self.owner.connections += 1
        super().process_request(request, client_address)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up is what the tests provoke: no traceback."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_POST(self) -> None:
        owner = self.server.owner
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        headers = {name.lower(): value for name, value in self.headers.items()}
        behaviour = owner.receive(Request(path=self.path, headers=headers, body=json.loads(body or b"{}")))
        if isinstance(behaviour, Canned):
            self._send(behaviour)
            return
        self.close_connection = True
        if behaviour == "hang":
            owner.wait(600)
        elif behaviour == "trickle":
            self._trickle(
                b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 99999\r\n\r\n"
            )
        elif behaviour == "trickle headers":
            self._trickle(b"HTTP/1.1 200 OK\r\nX-Slow: ")
        else:
            self.connection.shutdown(socket.SHUT_RDWR)

    def _send(self, canned: Canned) -> None:
        length = len(canned.data) if canned.length is None else canned.length
        headers = {"Content-Type": canned.content_type, "Content-Length": str(length), **canned.headers}
        lines = [f"HTTP/1.1 {canned.status} Test", *(f"{name}: {value}" for name, value in headers.items())]
        # One write: headers and body apart would wait for the client's delayed acknowledgement.
        self.wfile.write("\r\n".join(lines).encode() + b"\r\n\r\n" + canned.data)
        if length != len(canned.data):
            self.close_connection = True

    def _trickle(self, head: bytes) -> None:
        self.wfile.write(head)
        while not self.server.owner.wait(_TRICKLE_S):
            self.wfile.write(b" ")

    def log_message(self, format: str, *args: Any) -> None:
        """Silent."""
