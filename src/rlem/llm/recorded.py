"""A model that keeps every answer in a file, and plays the file back without a key or a network.

One JSON object a line: a header, then one line an answer. A line is found by the hash of its request and by
how many times that request was made before, so the order of the lines says nothing and threads may mix.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import threading
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from rlem.core.errors import (
    BudgetExceededError,
    ClosedError,
    DataError,
    ModelError,
    ModelRejectedError,
    ModelResponseError,
    ModelUnavailableError,
    UsageError,
)
from rlem.llm.base import Completion, LanguageModel, Prompt, Usage
from rlem.llm.tokens import EstimatedTokens, TokenCounter

_FORMAT, _VERSION = "rlem-recording", 1
_FAILURES: dict[str, type[ModelError]] = {
    kind.__name__: kind
    for kind in (BudgetExceededError, ModelRejectedError, ModelResponseError, ModelUnavailableError)
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """All that the answer may depend on."""

    prompt: Prompt
    max_tokens: int
    temperature: float
    stop: tuple[str, ...]
    seed: int | None

    @property
    def key(self) -> str:
        """32 hex digits of a SHA-256 over all parts."""
        text = json.dumps(asdict(self), sort_keys=True)
        return hashlib.sha256(text.encode("ascii")).hexdigest()[:32]


class RecordedModel:
    """Records another model's answers to a file, or replays them bit for bit. Thread-safe.

    ``record``: what the file already holds is answered from it (so a resumed run pays nothing twice, and
    replays as it went), the rest is asked of ``inner`` and appended durably; a failure is kept too, and
    asked again by the next recording. ``replay``: nothing is asked; a request that was never recorded is a
    ModelUnavailableError. The n-th request of one kind gets the n-th recorded answer; give each decision its
    own seed where threads may ask the same thing at once.

    Token counts come from ``tokens``, by default the uncorrected estimate, in both modes: were they corrected
    by reported usage, a replay would build other prompts than the recording.
    """

    def __init__(
        self,
        path: str | Path,
        inner: LanguageModel | None = None,
        mode: Literal["replay", "record"] = "replay",
        *,
        tokens: TokenCounter | None = None,
    ) -> None:
        if mode not in ("replay", "record"):
            raise UsageError(f"mode is {mode!r}; it must be 'replay' or 'record'")
        if (mode == "record") != (inner is not None):
            raise UsageError("mode 'record' needs an inner model to record, mode 'replay' takes none")
        self._path, self._inner = Path(path), inner
        self._tokens = tokens or EstimatedTokens()
        self._answers: dict[tuple[str, int], dict[str, Any]] = {}
        self._asked: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._file: int | None = None
        self._closed = False
        self._name = self._open_record(inner) if inner is not None else self._open_replay()

    @property
    def name(self) -> str:
        """``recorded:`` and the name of the model that answered; the same in both modes."""
        return f"recorded:{self._name}"

    def count_tokens(self, text: str) -> int:
        """Tokens by the counter given, else an upper estimate."""
        return self._tokens(text)

    def close(self) -> None:
        """Closes the file, and the inner model. May be called twice."""
        with self._lock:
            self._closed = True
            file, self._file = self._file, None
        if file is not None:
            os.close(file)
        if self._inner is not None:
            self._inner.close()

    def complete(
        self,
        prompt: Prompt,
        *,
        max_tokens: int = 200,
        temperature: float = 0.1,
        stop: Sequence[str] = (),
        seed: int | None = None,
    ) -> Completion:
        """The recorded answer, or in record mode the inner model's."""
        request = Request(
            prompt=prompt,
            max_tokens=max_tokens,
            temperature=float(temperature),
            stop=tuple(stop),
            seed=seed,
        )
        key = request.key
        with self._lock:
            if self._closed:
                raise ClosedError(f"the recording {str(self._path)!r} was closed; open it again")
            occurrence = self._asked[key]
            self._asked[key] += 1
            entry = self._answers.get((key, occurrence))
        if self._inner is None:
            if entry is None:
                raise ModelUnavailableError(self._missing(request, occurrence))
            return _completion(entry)
        if entry is not None and "error" not in entry:
            return _completion(entry)
        return self._ask(self._inner, request, occurrence)

    def _ask(self, inner: LanguageModel, request: Request, occurrence: int) -> Completion:
        entry: dict[str, Any] = {"key": request.key, "occurrence": occurrence, "request": asdict(request)}
        try:
            completion = inner.complete(
                request.prompt,
                max_tokens=request.max_tokens,
                temperature=request.temperature,
                stop=request.stop,
                seed=request.seed,
            )
        except ModelError as error:
            self._append(entry | {"error": type(error).__name__, "message": str(error)})
            raise
        self._append(
            entry
            | {
                "text": completion.text,
                "finish_reason": completion.finish_reason,
                "usage": asdict(completion.usage),
            }
        )
        return completion

    def _open_replay(self) -> str:
        name, _ = self._read()
        return name

    def _open_record(self, inner: LanguageModel) -> str:
        head = {"format": _FORMAT, "version": _VERSION, "model": inner.name}
        fresh = self._is_fresh(_line(head))
        name, end = (inner.name, 0) if fresh else self._read()
        if name != inner.name:
            raise DataError(
                f"recording {str(self._path)!r} holds answers of {name!r}, not of {inner.name!r}; record to "
                "another file"
            )
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0)
            self._file = os.open(self._path, flags, 0o644)
            os.ftruncate(self._file, end)  # a line torn by a crash goes; its request is asked again
        except OSError as error:
            raise DataError(f"recording {str(self._path)!r} cannot be written: {error}") from error
        if fresh:
            self._append(head)
        return name

    def _is_fresh(self, head: bytes) -> bool:
        """No file, an empty one, or one that a crash left with part of its first line."""
        try:
            data = self._path.read_bytes()
        except FileNotFoundError:
            return True
        except OSError as error:
            raise DataError(f"recording {str(self._path)!r} cannot be read: {error}") from error
        return len(data) < len(head) and head.startswith(data)

    def _append(self, entry: dict[str, Any]) -> None:
        line = _line(entry)
        with self._lock:
            if self._file is None:
                raise ClosedError(f"the recording {str(self._path)!r} was closed while a call was under way")
            begin = os.fstat(self._file).st_size
            try:
                while line:
                    line = line[os.write(self._file, line) :]
                os.fsync(self._file)
            except OSError as error:
                with contextlib.suppress(OSError):
                    os.ftruncate(self._file, begin)  # half a line would break the next one too
                raise DataError(f"recording {str(self._path)!r} cannot be written: {error}") from error

    def _read(self) -> tuple[str, int]:
        """Fills the answers; gives the model's name and the length of the file up to a torn last line."""
        try:
            data = self._path.read_bytes()
        except OSError as error:
            raise DataError(f"recording {str(self._path)!r} cannot be read: {error}") from error
        end = data.rfind(b"\n") + 1
        entries = [self._entry(line, number) for number, line in enumerate(data[:end].splitlines(), 1)]
        head = entries[0] if entries else {}
        if head.get("format") != _FORMAT or head.get("version") != _VERSION:
            raise DataError(
                f"{str(self._path)!r} is no rlem recording of version {_VERSION} (its first line says format "
                f"{head.get('format')!r}, version {head.get('version')!r}); give a file made by recording"
            )
        for number, entry in enumerate(entries[1:], 2):
            try:
                self._answers[str(entry["key"]), int(entry["occurrence"])] = _checked(entry)
            except (KeyError, TypeError, ValueError) as error:
                raise self._broken(number, error) from error
        return str(head.get("model", "")), end

    def _entry(self, line: bytes, number: int) -> dict[str, Any]:
        try:
            entry = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise self._broken(number, error) from error
        if not isinstance(entry, dict):
            raise self._broken(number, TypeError("not an object"))
        return entry

    def _broken(self, number: int, error: Exception) -> DataError:
        return DataError(
            f"recording {str(self._path)!r}, line {number} is broken ({type(error).__name__}: {error}); "
            "delete the line to have its answer missed or recorded again"
        )

    def _missing(self, request: Request, occurrence: int) -> str:
        where = f"recording {str(self._path)!r}"
        if occurrence:
            return (
                f"{where} holds {occurrence} answer(s) to this request and it was made once more; the run "
                "asks more often than the recorded one did"
            )
        return f"{where} never recorded this prompt; {_nearest(self._recorded_requests(), request)}"

    def _recorded_requests(self) -> list[dict[str, Any]]:
        # Read again rather than kept: prompts are most of the file and only this message needs them.
        requests = []
        with contextlib.suppress(OSError):
            for line in self._path.read_bytes().splitlines()[1:]:
                with contextlib.suppress(ValueError, KeyError, TypeError):
                    request = json.loads(line)["request"]
                    _text(request)
                    requests.append(request)
        return requests


def _line(entry: dict[str, Any]) -> bytes:
    return json.dumps(entry).encode("ascii") + b"\n"


def _nearest(recorded: list[dict[str, Any]], request: Request) -> str:
    """Says what differs from the recorded request with the longest common beginning."""
    if not recorded:
        return "it holds no answers at all"
    asked = json.loads(json.dumps(asdict(request)))
    text = request.prompt.text

    def alike(other: dict[str, Any]) -> tuple[int, int]:
        same = sum(other.get(name) == asked[name] for name in asked)
        return _common_length(_text(other), text), same

    best = max(recorded, key=alike)
    if best["prompt"] == asked["prompt"]:
        changed = [name for name in asked if best.get(name) != asked[name]]
        return "the same prompt was recorded with " + ", ".join(
            f"{name}={best.get(name)!r} (asked: {asked[name]!r})" for name in changed
        )
    at, _ = alike(best)
    return (
        f"the nearest recorded prompt differs from character {at} on: recorded "
        f"{_text(best)[at : at + 40]!r}, asked {text[at : at + 40]!r}"
    )


def _text(request: dict[str, Any]) -> str:
    return Prompt(**request["prompt"]).text


def _common_length(one: str, other: str) -> int:
    low, high = 0, min(len(one), len(other))
    while low < high:  # slices compare a thousand times faster than a loop over characters
        middle = (low + high + 1) // 2
        low, high = (middle, high) if one[:middle] == other[:middle] else (low, middle - 1)
    return low


def _checked(entry: dict[str, Any]) -> dict[str, Any]:
    if "error" not in entry and not isinstance(_completion(entry).text, str):
        raise TypeError("the text is no string")
    return {name: entry[name] for name in entry if name != "request"}


def _completion(entry: dict[str, Any]) -> Completion:
    """The recorded answer; raises the recorded failure."""
    if "error" in entry:
        raise _FAILURES.get(str(entry["error"]), ModelError)(str(entry.get("message", "")))
    return Completion(text=entry["text"], usage=Usage(**entry["usage"]), finish_reason=entry["finish_reason"])
