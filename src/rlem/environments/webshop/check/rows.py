"""Recorded files as rows, with errors that name the file, the line and the field."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rlem.core.errors import DataError

Found = tuple[str, object, object]
"""What differs: the field, ours, the recorded one."""


class MissingFieldError(DataError):
    """A record lacks a field that every record of its kind has."""


class Record(dict[str, Any]):
    """A recorded object; asking for a field that it lacks says which."""

    def __missing__(self, key: str) -> Any:
        raise MissingFieldError(f"field {key!r} is missing")


def differences(pairs: Iterable[Found]) -> list[Found]:
    """The pairs of ours and theirs that are not equal."""
    return [(field, ours, theirs) for field, ours, theirs in pairs if ours != theirs]


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A row that holds nothing that can be replayed, and why; the rows after it may."""

    why: str


def json_lines(path: Path) -> Iterator[tuple[str, Any]]:
    """Rows of a JSON lines file, compressed or not: (where it stands, what it holds).

    A line that is not JSON is an :class:`Unreadable`. Errors: DataError where the file itself breaks off.
    """
    for number, line in enumerate(_lines(path), 1):
        if isinstance(line, Unreadable) or line.strip():
            yield f"line {number}", line if isinstance(line, Unreadable) else _parsed(line.rstrip())


def json_content(path: Path) -> Any:
    """The content of a JSON file, compressed or not. Errors: DataError for a file that is not JSON."""
    lines: list[str] = []
    for number, line in enumerate(_lines(path), 1):
        if isinstance(line, Unreadable):
            raise DataError(f"{path}: line {number}: {line.why}")
        lines.append(line)
    content = _parsed("".join(lines))
    if isinstance(content, Unreadable):
        raise DataError(f"{path}: {content.why}")
    return content


def _lines(path: Path) -> Iterator[str | Unreadable]:
    """Lines as they come, so that a file that breaks off is told after the rows before it were read."""
    number = 0
    try:
        with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as file:
            for data in file:
                number += 1
                try:
                    line: str | Unreadable = data.decode("utf-8")
                except UnicodeDecodeError as error:
                    line = Unreadable(f"not UTF-8 at byte {error.start} of the line")
                yield line
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path}: line {number + 1}: cannot be read ({error})") from None


def _parsed(text: str) -> Any:
    try:
        return json.loads(text, object_hook=Record)
    except json.JSONDecodeError as error:
        line = f"line {error.lineno}, " if error.lineno > 1 else ""
        return Unreadable(f"not JSON at {line}column {error.colno} ({error.msg})")
    except RecursionError:
        return Unreadable("JSON is nested too deep")
    except ValueError as error:  # a number with thousands of digits
        return Unreadable(f"JSON with a value that cannot be read ({error})")
