"""What is lost when things go wrong: python bench/faults.py [--kills 500] [--megabytes 1000] [--only GROUPS]

Every fault of docs/faults.md, tried many times; prints that page's table. The tests in tests/faults do a few
of each. PostgreSQL and the small disk are left out, and named, where there is no server or no right to mount.
"""

from __future__ import annotations

import argparse
import itertools
import random
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, nullcontext
from pathlib import Path
from time import perf_counter

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench._common import facts
from tests.support import damage, oddities
from tests.support.faults import KINDS, Child, Place, Say, Trial, big, kill_many, kill_server, opened
from tests.support.postgres import Cluster, cluster, debian_programs

from rlem.api.stores import open_store
from rlem.testing.memory_cases import walks


class Bench:
    """All trials; each yields its rows when they are done."""

    def __init__(self, folder: Path, server: Cluster | None, options: argparse.Namespace) -> None:
        self._folder, self._server, self._seed = folder, server, options.seed
        self._kills, self._megabytes = options.kills, options.megabytes
        self._numbers = itertools.count()
        self.notes: list[str] = []

    def _file(self) -> Path:
        """A path in a new folder."""
        folder = self._folder / f"{next(self._numbers)}"
        folder.mkdir()
        return folder / "memory.rlem"

    def kill(self) -> Iterator[Trial]:
        """kill -9 of writers, of clients of a server, of a server."""
        for kind in KINDS:
            trial = Trial(f"kill -9 of a writer: {kind}")
            acts = kill_many(trial, self._file, kind, -(-self._kills // len(KINDS)), self._seed)
            self.notes.append(f"{trial.fault}: {acts} acknowledged acts")
            yield trial
        if self._server is None:
            return
        for kind in ("one by one", "threads", "two processes"):
            trial = Trial(f"kill -9 of a PostgreSQL client: {kind}")
            acts = kill_many(trial, self._server.url, kind, 10, self._seed)
            self.notes.append(f"{trial.fault}: {acts} acknowledged acts")
            yield trial
        trial = Trial("kill -9 of the PostgreSQL server, all processes, two clients writing")
        acts = kill_server(trial, self._server, 3, self._seed)
        self.notes.append(f"{trial.fault}: {acts} acknowledged acts")
        yield trial

    def power(self) -> Iterator[Trial]:
        """Power cuts: the WAL cut or torn anywhere, the main file cut."""
        rng = random.Random(self._seed)
        for rewound, name in ((False, "new WAL"), (True, "WAL that began anew, old frames behind")):
            crash = damage.crash(self._file(), rewound=rewound)
            trial = Trial(f"power cut: {name}, cut at every frame boundary and 3 places in each")
            damage.power_cut(trial, self._file(), crash, damage.cuts(crash, 3, rng))
            yield trial
            trial = Trial(f"power cut: {name}, one frame with a flipped bit or all zeros")
            damage.power_cut(trial, self._file(), crash, damage.scars(crash, rng))
            yield trial

    def main(self) -> Iterator[Trial]:
        """The main file cut, with and without a WAL."""
        crash = damage.crash(self._file(), checkpointed=0)
        trial = Trial("main file cut, the WAL holds all of it")
        lengths = damage.page_cuts(crash.main) + damage.tail_cuts(crash.main)
        damage.truncate(trial, self._file(), crash.main, crash.wal, crash.hashes[-1], lengths)
        yield trial
        trial = Trial("main file gone, empty or one byte, the WAL is there")
        partly = damage.crash(self._file())
        for found in (crash, partly):
            damage.truncate(trial, self._file(), found.main, found.wal, found.hashes[-1], (None, 0, 1))
        yield trial
        trial = Trial("main file cut, the WAL holds a part of it")
        lengths = damage.page_cuts(partly.main) + damage.tail_cuts(partly.main)
        damage.truncate(trial, self._file(), partly.main, partly.wal, partly.hashes[-1], lengths)
        yield trial
        trial = Trial("closed file cut at every half page and within the last one")
        for size in (2000, 20_000, 100_000):
            path = self._file()
            with closing(opened(path)) as memory:
                memory.record_many([*walks(8), big("page", size)])
                digest = memory.hash()
            content = path.read_bytes()
            lengths = [1, *damage.page_cuts(content), *damage.tail_cuts(content)]
            damage.truncate(trial, self._file(), content, None, digest, lengths)
        yield trial

    def disk(self) -> Iterator[Trial]:
        """A full disk, a file that may not be written."""
        with damage.small_disk() as disk:
            if disk is None:
                self.notes.append("full disk: left out, no disk can be mounted here")
            else:
                trial = Trial("disk of 1 MB full")
                damage.full_disk(trial, disk, 40, self._seed)
                yield trial
        trial = Trial("limit on the size of a file reached")
        damage.full_quota(trial, self._file().parent, 40, self._seed)
        yield trial
        trial = Trial("file or folder not writable, another user")
        for _ in range(5):
            damage.read_only(trial)
        yield trial

    def odd(self) -> Iterator[Trial]:
        """Other versions, a clock that goes back, odd texts, many actions: on every store."""
        trial = Trial("file of a newer rlem")
        oddities.newer_file(trial, self._file())
        yield trial
        trial = Trial("file of the first rlem")
        for _ in range(5):
            oddities.older_file(trial, self._file().parent)
        yield trial
        clock, texts, actions = (
            Trial("clock going back an hour a commit"),
            Trial("NUL, lone surrogates, 1 MB of them, in every field"),
            Trial("10,000 actions in one situation"),
        )
        places: list[Callable[[], Place]] = [self._file, lambda: ":memory:"]
        if self._server is not None:
            places.append(self._server.url)
        for place in places:
            oddities.clock_goes_back(clock, place())
            for text in oddities.TEXTS.values():
                oddities.odd_texts(texts, open_store(place()), text)
            oddities.many_actions(actions, open_store(place()))
        yield from (clock, texts, actions)

    def large(self) -> Iterator[Trial]:
        """A large memory, in a process of its own."""
        trial = Trial(f"memory of {self._megabytes:,} pages of 1 MB")
        path = self._file()

        def work(say: Say) -> None:
            figures = oddities.large(trial, path, self._megabytes)
            say(", ".join(f"{name} {value:,.1f}" for name, value in figures.items()))
            for problem in trial.lost:
                say(problem)

        figures, *lost = Child(work).end()
        trial.add(lost)
        self.notes.append(f"{trial.fault}: {figures}")
        yield trial


def report(bench: Bench, groups: list[str]) -> int:
    """Prints the table row by row, then the notes and what was lost; returns how much that is."""
    print(
        f"{facts()}\n\n| fault | tries | lost or wrong | what the user sees |\n|---|---|---|---|", flush=True
    )
    lost: list[str] = []
    for group in groups:
        begin = perf_counter()
        for trial in getattr(bench, group)():
            print(trial.row(), flush=True)
            lost += [f"{trial.fault}: {problem}" for problem in trial.lost]
        bench.notes.append(f"{group}: {perf_counter() - begin:.0f} s")
    print("", *bench.notes, *lost, sep="\n")
    return len(lost)


GROUPS = ("kill", "power", "main", "disk", "odd", "large")


def main() -> None:
    """Tries all faults; the exit status is 1 if anything was lost."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", default=",".join(GROUPS), help="groups of faults, with commas between")
    parser.add_argument("--kills", type=int, default=500)
    parser.add_argument("--megabytes", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--dir", help="where the files go")
    options = parser.parse_args()
    groups = options.only.split(",")
    if unknown := set(groups) - set(GROUPS):
        parser.error(f"unknown group {', '.join(unknown)}; known: {', '.join(GROUPS)}")
    programs = debian_programs() if {"kill", "odd"} & set(groups) else None
    with (
        tempfile.TemporaryDirectory(dir=options.dir) as name,
        cluster(programs) if programs else nullcontext() as server,
    ):
        bench = Bench(Path(name), server, options)
        if server is None:
            bench.notes.append("PostgreSQL: left out")
        sys.exit(1 if report(bench, groups) else 0)


if __name__ == "__main__":
    main()
