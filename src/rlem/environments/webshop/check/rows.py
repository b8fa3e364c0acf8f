"""Recorded files as rows, with errors that name the file, the line and the field."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterable, Iterator
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


def json_lines(path: Path) -> Iterator[tuple[str, Any]]:
    """Rows of a JSON lines file, compressed or not: (where it stands, what it holds)."""
    for number, line in enumerate(_lines(path), 1):
        if line.strip():
            yield f"line {number}", _parsed(path, line, f"line {number}")


def json_content(path: Path) -> Any:
    """The content of a JSON file, compressed or not."""
    return _parsed(path, "".join(_lines(path)), "")


def text_lines(path: Path) -> Iterator[tuple[str, str]]:
    """Lines of a text file, compressed or not."""
    for number, line in enumerate(_lines(path), 1):
        if line.strip():
            yield f"line {number}", line.strip()


def _lines(path: Path) -> Iterator[str]:
    """Lines as they come, so that a file that breaks off is told after the rows before it were read."""
    number = 0
    try:
        with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as file:
            for data in file:
                number += 1
                yield data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: line {number}: not UTF-8 at byte {error.start} of the line") from None
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path}: line {number + 1}: cannot be read ({error})") from None


def _parsed(path: Path, text: str, place: str) -> Any:
    try:
        return json.loads(text, object_hook=Record)
    except json.JSONDecodeError as error:
        where = place or f"line {error.lineno}"
        raise DataError(f"{path}: {where}: not JSON at column {error.colno} ({error.msg})") from None
    except RecursionError:
        raise DataError(f"{path}: {place or 'the file'}: JSON is nested too deep") from None
