"""Recordings of an original program, replayed row by row: ``rlem env check`` of whatever environment.

An environment says how the rows of a file are read and what differs in one; the rest is here. What cannot be
replayed or read differs, and what stands beside it is replayed all the same. Errors name the file, the line
and the field.
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

from rlem.core.errors import DataError, EnvironmentFaultError, RlemError

Found: TypeAlias = tuple[str, object, object]
"""What differs: the field, ours, the recorded one."""
Progress: TypeAlias = Callable[[str, int, int, int], None]
"""Told the file's name, its number, the number of files, and the rows tried in it so far."""


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


def json_list(path: Path) -> Iterator[tuple[str, Any]]:
    """Rows of a JSON file that holds a list. Errors: DataError for any other file."""
    content = json_content(path)
    if not isinstance(content, list):
        raise DataError(f"{path}: holds a {type(content).__name__}; expected a list")
    for number, entry in enumerate(content):
        yield f"entry {number}", entry


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One row that differs: where it stands, and each field with our value and the recorded one."""

    row: str
    fields: tuple[Found, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class FileResult:
    """What replaying one file gave; ``first`` are the first rows that differ.

    A row that cannot be replayed was tried and differs. ``error`` says where the file itself could not be
    read, which is one more difference.
    """

    name: str
    tried: int
    different: int
    first: tuple[Difference, ...] = ()
    error: str = ""

    def as_json(self) -> dict[str, Any]:
        """Its counts, and its error if there is one."""
        counts: dict[str, Any] = {"tried": self.tried, "different": self.different}
        return {**counts, "error": self.error} if self.error else counts


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What replaying a folder gave: every known recording is among the ``files``. ``inputs`` and ``unknown``
    are the names of files that are none."""

    files: tuple[FileResult, ...]
    inputs: tuple[str, ...]
    unknown: tuple[str, ...]

    @property
    def different(self) -> int:
        """Rows that differ, of all files."""
        return sum(file.different for file in self.files)

    @property
    def errors(self) -> tuple[str, ...]:
        """What could not be read, one a file."""
        return tuple(file.error for file in self.files if file.error)

    def as_json(self) -> dict[str, Any]:
        """Counts by file."""
        return {"files": {file.name: file.as_json() for file in self.files}}


@dataclass(frozen=True, slots=True)
class Kind:
    """How the files of one name are read, and how a row of theirs is replayed."""

    rows: Callable[[Path], Iterable[tuple[str, Any]]]
    replay: Callable[[Any], list[Found]]


def check_files(
    root: Path,
    names: Sequence[str],
    kind: Callable[[Path], Kind],
    *,
    show: int = 3,
    progress: Progress | None = None,
) -> tuple[FileResult, ...]:
    """Replays the files ``names`` of the folder ``root``. ``kind`` may raise DataError for a file that it
    cannot read. The first ``show`` differing rows of each file are kept in full."""
    results: list[FileResult] = []
    for number, name in enumerate(names):
        tell = partial(progress, name, number, len(names)) if progress else _nobody
        results.append(_check_file(root, name, kind, show, tell))
    return tuple(results)


def _nobody(_: int) -> None:
    """Hears no progress."""


def _check_file(
    root: Path, name: str, kind_of: Callable[[Path], Kind], show: int, tell: Callable[[int], None]
) -> FileResult:
    path = root / name
    tried = different = 0
    first: list[Difference] = []
    faults: list[str] = []
    try:
        kind = kind_of(path)
        for place, row in kind.rows(path):
            tried += 1
            if isinstance(row, Unreadable):
                faults.append(f"{path}: {place}: {row.why}")
            if found := _replayed(kind, row):
                different += 1
                if len(first) < show:
                    first.append(Difference(row=_label(place, row), fields=tuple(found)))
            tell(tried)
        if not tried:
            raise DataError(f"{path}: holds no rows; expected at least one")
    except DataError as fault:  # the file's own: those of rows are differences
        different += 1
        faults.append(str(fault))
    more = f" (and {len(faults) - 1} more faults)" if len(faults) > 1 else ""
    error = faults[0] + more if faults else ""
    return FileResult(name=name, tried=tried, different=different, first=tuple(first), error=error)


def _replayed(kind: Kind, row: Any) -> list[Found]:
    """What differs in a row; of one that cannot be replayed, why."""
    if isinstance(row, Unreadable):
        return _cannot(row.why)
    try:
        return kind.replay(row)
    except EnvironmentFaultError as error:
        return [("exception", str(error), None)]
    except RlemError as error:
        return _cannot(str(error))
    except Exception as error:  # whatever it is: one broken row must not keep the others from being replayed
        return _cannot(f"a field is of the wrong kind ({type(error).__name__}: {error!s:.200})")


def _cannot(why: str) -> list[Found]:
    return [(f"cannot be replayed: {why}", None, None)]


def _label(place: str, row: Any) -> str:
    """Where a row stands, and its own name if it has one."""
    content = row[1] if isinstance(row, tuple) else row
    if isinstance(content, Record):
        for field in ("id", "i", "name", "index", "asin", "query"):
            if field in content:
                return f"{place} ({field} {content[field]!r:.80})"
    return place
