"""How long a durable commit takes: python bench/record.py [--full] [--n 100,1000,...]

One episode of 5 steps a commit on SQLite, against what the machine itself needs to make the same number of
bytes durable (write and fdatasync), taken in turns. Target: within 1.5 times that floor.
"""

from __future__ import annotations

import argparse
import os
import sqlite3
import sys
import tempfile
from pathlib import Path
from time import perf_counter

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench._common import STEPS, Walker, facts, p50, quantile, timed

from rlem.memory.config import MemoryConfig
from rlem.memory.memory import ExperienceMemory
from rlem.memory.sqlite import SQLiteStore
from rlem.memory.table import ExperienceTable
from rlem.similarity.config import preset

BATCH = 2000


class Floor:
    """The machine's own pace: bytes appended to a file and made durable; the same by plain SQLite."""

    def __init__(self, folder: Path, size: int) -> None:
        self._data = b"x" * size
        self._file = os.open(folder / "floor", os.O_CREAT | os.O_WRONLY | os.O_APPEND)
        self._database = sqlite3.connect(folder / "floor.sqlite", isolation_level=None)
        self._database.execute("PRAGMA journal_mode = WAL")
        self._database.execute("PRAGMA synchronous = FULL")
        self._database.execute("CREATE TABLE t (x)")

    def bare(self) -> float:
        """Milliseconds of a write with fdatasync (fsync where there is none)."""
        sync = getattr(os, "fdatasync", os.fsync)

        def work() -> None:
            os.write(self._file, self._data)
            sync(self._file)

        return timed(work)

    def plain(self) -> float:
        """Milliseconds of one row in a transaction of its own."""
        return timed(lambda: self._database.execute("INSERT INTO t VALUES (?)", (self._data[:2000],)))

    def close(self) -> None:
        """Closes both files."""
        os.close(self._file)
        self._database.close()


def measure(size: int, commits: int, place: str | None) -> str:
    """One row of the table."""
    tasks = size // STEPS
    walker = Walker(tasks + 2 * commits + 10)
    config = MemoryConfig(similarity=preset("webshop"))
    with tempfile.TemporaryDirectory(dir=place) as name:
        folder = Path(name)
        path = folder / "memory.rlem"
        memory = ExperienceMemory(SQLiteStore(path), config)
        for start in range(0, tasks, BATCH):
            memory.record_many(walker.episodes(min(BATCH, tasks - start)))
        held = len(memory)
        memory.close()
        begin = perf_counter()
        memory = ExperienceMemory(SQLiteStore(path))
        open_s = perf_counter() - begin
        for episode in walker.episodes(5):
            memory.record(episode)
        wal = path.with_name(path.name + "-wal")
        before = wal.stat().st_size
        for episode in walker.episodes(5):
            memory.record(episode)
        written = max((wal.stat().st_size - before) // 5, 4096)  # the WAL starts anew at 4 MB: the floor then
        floor = Floor(folder, written)
        ours, bare, plain = [], [], []
        for episode in walker.episodes(commits):
            bare.append(floor.bare())
            plain.append(floor.plain())
            ours.append(timed(lambda episode=episode: memory.record(episode)))  # type: ignore[misc]
        floor.close()
        memory.close()
        table = ExperienceTable(config)
        learn = [
            timed(lambda episode=episode: table.learn(episode))  # type: ignore[misc]
            for episode in walker.episodes(commits)
        ]
    ratios = f"{p50(ours) / p50(bare):7.2f} {p50(ours) / p50(plain):8.2f}"
    return (
        f"{held:8,} {open_s:7.2f} {written // 1024:7} {p50(bare):8.3f} {p50(plain):8.3f} {p50(ours):8.3f} "
        f"{quantile(ours, 0.95):8.3f} {p50(learn):8.3f} {ratios}"
    )


def main() -> None:
    """Measures commits at all sizes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--n", default="", help="numbers of experiences, with commas between")
    parser.add_argument("--full", action="store_true", help="100,000 experiences, too")
    parser.add_argument("--commits", type=int, default=300)
    parser.add_argument("--dir", help="where the files go; a RAM disk shows what is no waiting for the disk")
    options = parser.parse_args()
    sizes = [100, 1000, 10_000] + ([100_000] if options.full else [])
    sizes = [int(part) for part in options.n.split(",") if part] or sizes
    print(f"{facts()}; {options.commits} commits of one episode of {STEPS} steps; ms are medians")
    print(
        "bare: write+fdatasync of as many KiB as a commit adds to the WAL; plain: one row of 2 kB by SQLite"
    )
    print("       N  open s     KiB  bare ms plain ms    ours  ours p95  learn   x bare  x plain")
    for size in sizes:
        print(measure(size, options.commits, options.dir), flush=True)


if __name__ == "__main__":
    main()
