"""What the parts of bench/memory.py share: what was asked for, tables, memories to measure on, processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from bench._common import STEPS
from bench._memory_made import Source, Sources, similarity

from rlem.api.stores import open_store
from rlem.core.types import Episode
from rlem.memory.codec import episode_to_json
from rlem.memory.config import MemoryConfig
from rlem.memory.memory import ExperienceMemory, new_episode_id

BATCH = 2000
FRESH = Path(__file__).resolve().parent / "_memory_fresh.py"

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """What one part found. All rows have the same columns; numbers as measured."""

    title: str
    note: str
    rows: Sequence[Row]

    def text(self) -> str:
        """The table as Markdown, readable as it is."""
        if not self.rows:
            return f"\n### {self.title}\n\n{self.note}"
        cells = [list(self.rows[0]), *([cell(value) for value in row.values()] for row in self.rows)]
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        lines = [" | ".join(map(str.rjust, line, widths)) for line in cells]
        lines.insert(1, " | ".join("-" * (width - 1) + ":" for width in widths))
        return "\n".join([f"\n### {self.title}\n", self.note, "", *(f"| {line} |" for line in lines)])


def cell(value: object) -> str:
    """A value in a table: three digits that count."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return "-" if value is None else str(value)
    if isinstance(value, int) or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:#.3g}"


def verdict(value: float, limit: float | None, *, least: bool = False) -> str:
    """The target beside a figure, and whether it is met; "least": the figure is to be that or more."""
    if limit is None:
        return "-"
    met = value >= limit if least else value <= limit
    return f"{'>=' if least else '<='} {limit:g}: {'met' if met else 'MISSED'}"


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What was asked for: sizes of memories, how often, where."""

    sizes: Sequence[int]
    queries: int
    rounds: int
    commits: int
    threads: Sequence[int] = (1, 4, 16)
    processes: Sequence[int] = (1, 4, 8)
    kinds: Sequence[str]
    opened: Sequence[str] = ("webshop", "default")
    folder: Path
    postgres: str | None = None
    reference: Path | None = None
    reference_python: str = sys.executable
    reference_sizes: Sequence[int] = (100, 500)
    sources: Sources = field(default_factory=Sources)

    @property
    def engines(self) -> list[str]:
        """What memories are kept in."""
        return ["SQLite"] + (["PostgreSQL"] if self.postgres else [])

    def place(self, engine: str, name: str) -> str:
        """Where a new memory of that engine goes."""
        if engine == "PostgreSQL":
            assert self.postgres is not None
            mark = "&" if "?" in self.postgres else "?"
            return f"{self.postgres}{mark}schema=bench{uuid.uuid4().hex[:12]}"
        return str(self.folder / f"{name}-{uuid.uuid4().hex[:6]}.rlem")

    def filled(self, engine: str, kind: str, size: int) -> tuple[str, int]:
        """Place of a memory of about so many experiences, closed; and the number of its episodes."""
        print(f"(making {kind}, {size:,}, {engine})", file=sys.stderr, flush=True)
        place, tasks = self.place(engine, f"{kind.replace(' ', '-')}-{size}"), size // STEPS
        fill(place, kind, self.sources.of(kind), tasks)
        return place, tasks

    def unseen(self, kind: str, after: int, count: int) -> list[Episode]:
        """Episodes behind those of a memory, under ids of their own."""
        found = self.sources.of(kind).episodes(after, after + count)
        return [replace(episode, id=new_episode_id()) for episode in found]


def fill(place: str, kind: str, source: Source, tasks: int) -> None:
    """Records so many episodes, many a commit."""
    memory = ExperienceMemory(open_store(place), MemoryConfig(similarity=similarity(kind)))
    for start in range(0, tasks, BATCH):
        memory.record_many(list(source.episodes(start, min(tasks, start + BATCH))))
    memory.close()


def remove(place: str) -> None:
    """Takes a memory file away; a schema of a server stays."""
    for suffix in ("", "-wal", "-shm"):
        Path(place + suffix).unlink(missing_ok=True)


def start(what: str, place: str, episodes: Iterable[Episode], folder: Path) -> subprocess.Popen[str]:
    """A process of its own over a memory; see bench/_memory_fresh.py."""
    path = folder / f"episodes-{uuid.uuid4().hex[:6]}.jsonl"
    path.write_text("".join(json.dumps(episode_to_json(e)) + "\n" for e in episodes), encoding="utf-8")
    command = [sys.executable, str(FRESH), what, place, str(path)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def said(process: subprocess.Popen[str]) -> Any:
    """The next line that a process says."""
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        raise SystemExit(f"bench/_memory_fresh.py ended with status {process.wait()}; its words are above")
    return json.loads(line)


def tell(process: subprocess.Popen[str]) -> None:
    """Gives a process the word that it waits for."""
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


def fresh(what: str, place: str, episodes: Iterable[Episode], folder: Path) -> dict[str, Any]:
    """What a process of its own found; nothing if it was to die."""
    with start(what, place, episodes, folder) as process:
        answer: dict[str, Any] = {} if what == "die" else said(process)
    return answer


class Floor:
    """The machine's own pace: bytes appended to a file and made durable."""

    def __init__(self, folder: Path, size: int) -> None:
        self.path = folder / f"floor-{uuid.uuid4().hex[:6]}"
        self._data = b"x" * size
        self._file = os.open(self.path, os.O_CREAT | os.O_WRONLY | os.O_APPEND)
        self._sync = getattr(os, "fdatasync", os.fsync)

    def write(self) -> None:
        """A write with fdatasync (fsync where there is none)."""
        os.write(self._file, self._data)
        self._sync(self._file)

    def close(self) -> None:
        """Closes and removes the file."""
        os.close(self._file)
        self.path.unlink()
