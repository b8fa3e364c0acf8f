"""Faults made on purpose: writers that are killed at any moment, and what must hold of the memory afterwards.

`bench/faults.py` does many tries and prints a table, `tests/faults` do a few of each.
"""

from __future__ import annotations

import itertools
import os
import random
import select
import shutil
import signal
import sqlite3
import threading
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NoReturn

from tests.support.postgres import Cluster

from rlem.api.stores import open_store
from rlem.core.clock import Clock, system_clock
from rlem.core.types import Episode, Situation, Transition
from rlem.memory.config import MemoryConfig
from rlem.memory.memory import ExperienceMemory
from rlem.testing.memory_cases import taught
from rlem.values import ValueConfig

Place = str | Path
State = dict[str, Episode]
"""Episodes by id, in the order of the log."""
Say = Callable[[str], None]

KINDS = ("one by one", "batches", "threads", "forget and rebuild", "two processes")
"""What the writers do."""


@dataclass
class Trial:
    """A fault, how often it was tried, what was lost or wrong, and what a user saw."""

    fault: str
    tries: int = 0
    lost: list[str] = field(default_factory=list)
    seen: Counter[str] = field(default_factory=Counter)

    def add(self, lost: Sequence[str] = (), seen: str = "nothing") -> None:
        """Counts one try."""
        self.tries += 1
        self.lost += lost
        self.seen[seen] += 1

    def row(self) -> str:
        """A line of the table."""
        seen = ", ".join(what if len(self.seen) == 1 else f"{what} ({n})" for what, n in self.seen.items())
        return f"| {self.fault} | {self.tries:,} | {len(self.lost)} | {seen} |"


def opened(
    place: Place, config: MemoryConfig | None = None, *, clock: Clock = system_clock, read_only: bool = False
) -> ExperienceMemory:
    """A memory in a file, on a server, or (":memory:") in this process."""
    return ExperienceMemory(open_store(place, read_only=read_only), config, clock=clock)


def outcome(act: Callable[[], Any]) -> str:
    """What somebody sees who does that: "nothing", or the kind of the error and its message."""
    try:
        act()
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return "nothing"


def content(memory: ExperienceMemory) -> State:
    """The log, without places and times."""
    return {e.id: replace(e, sequence=0, recorded_s=0.0) for e in memory.episodes()}


def big(name: str, size: int) -> Episode:
    """An episode with a page that long."""
    page = Situation(task="read", observation=f"{name} " * (size // (len(name) + 1)))
    return Episode(id=name, task="read", transitions=(Transition(situation=page, action="go", reward=1.0),))


# -- processes ---------------------------------------------------------------------------------------


class Child:
    """A process forked from this warm one, which says lines over a pipe until it is done or killed."""

    def __init__(self, work: Callable[[Say], object]) -> None:
        self.pipe, end = os.pipe()
        with warnings.catch_warnings():  # numpy's idle threads are no reason not to fork
            warnings.simplefilter("ignore", DeprecationWarning)
            self.pid = os.fork()
        if self.pid == 0:
            _live(work, end)
        os.close(end)
        self._heard = b""

    def wait(self, timeout_s: float = 60.0) -> None:
        """Waits until it says something more."""
        wait_for_any([self], timeout_s)
        self._heard += os.read(self.pipe, 1 << 20)

    def end(self) -> list[str]:
        """Waits for its end; all whole lines that it said."""
        while piece := os.read(self.pipe, 1 << 20):
            self._heard += piece
        os.close(self.pipe)
        os.waitpid(self.pid, 0)
        return self._heard.decode().split("\n")[:-1]

    def kill(self) -> list[str]:
        """Kills it at once; all whole lines that it said."""
        os.kill(self.pid, signal.SIGKILL)
        return self.end()


def wait_for_any(children: Sequence[Child], timeout_s: float = 60.0) -> None:
    """Waits until one of them has something to say."""
    ready, _, _ = select.select([child.pipe for child in children], [], [], timeout_s)
    assert ready, f"nobody said anything within {timeout_s:g} s"


def _live(work: Callable[[Say], object], pipe: int) -> NoReturn:
    def say(line: str) -> None:
        os.write(pipe, (line + "\n").encode("utf-8", "backslashreplace"))

    try:
        work(say)
    except BaseException as error:
        say(f"failed: {error!r}")
    finally:
        os._exit(0)


# -- what a writer does ------------------------------------------------------------------------------


def _episode(rng: random.Random, name: str) -> Episode:
    """One to six steps; pages of 20 bytes to 30 KB, of which some are known to all writers."""
    steps = []
    for _ in range(rng.randint(1, 6)):
        size = rng.choice((20, 20, 20, 200, 200, 3000, 30_000))
        new = f"{name} w{rng.randrange(500)} "
        page = f"page {rng.randrange(7)} of the town" if rng.random() < 0.5 else new * (size // len(new) + 1)
        situation = Situation(task="walk", observation=page, actions=("go", "stay"))
        action = rng.choice(("go", "stay", "go", None))
        steps.append(Transition(situation=situation, action=action, reward=rng.randrange(5) / 2 - 1))
    return Episode(id=name, task="walk", transitions=tuple(steps))


def acts(name: str, kind: str) -> Iterator[tuple[Callable[[ExperienceMemory], object], State]]:
    """What one writer does, act after act, without end; and what of its own is stored after each."""
    rng = random.Random(name)
    state: State = {}
    for number in itertools.count():
        size = rng.randint(2, 6) if kind == "batches" else 1
        fresh = [_episode(rng, f"{name}-{number:04}-{part}") for part in range(size)]
        state = state | {episode.id: episode for episode in fresh}
        yield partial(ExperienceMemory.record_many, episodes=fresh), state
        if kind == "forget and rebuild" and number % 3 == 2:
            gone = rng.choice(list(state))
            state = {name: episode for name, episode in state.items() if name != gone}
            yield partial(ExperienceMemory.forget, episode=gone), state
            settings = MemoryConfig(values=ValueConfig(n=1 + number % 2), max_experiences=12)
            yield partial(ExperienceMemory.rebuild, config=settings), state


def write(place: Place, lanes: Sequence[str], kind: str, say: Say) -> None:
    """Does the acts of each lane in a thread of its own and acknowledges each act by the lane's name."""
    memory = opened(place)

    def work(lane: str) -> None:
        try:
            for act, _ in acts(lane, kind):
                act(memory)
                say(lane)
        except BaseException as error:
            say(f"failed: {error!r}")
            raise

    threads = [threading.Thread(target=work, args=(lane,)) for lane in lanes[1:]]
    for thread in threads:
        thread.start()
    work(lanes[0])


# -- what must hold ----------------------------------------------------------------------------------


def unsound(place: Place) -> list[str]:
    """What is wrong with a memory in itself: it must open, its hash must be that of its log learned anew (of
    the file as it lies there, WAL and all), and SQLite must find the file in order."""
    with TemporaryDirectory() as folder:
        twin = Path(folder) / "twin.rlem"
        if isinstance(place, Path):
            for end in ("", "-wal"):
                if Path(f"{place}{end}").exists():
                    shutil.copyfile(f"{place}{end}", f"{twin}{end}")
        with closing(opened(place)) as memory:
            found = memory.hash()
            log = [] if isinstance(place, Path) else list(memory.episodes())
            with closing(opened(twin) if isinstance(place, Path) else taught(memory.config, log)) as other:
                other.rebuild()
                expected = other.hash()
    if isinstance(place, Path):
        with closing(sqlite3.connect(place)) as connection:
            if (verdict := connection.execute("PRAGMA integrity_check").fetchone()[0]) != "ok":
                return [f"SQLite says: {verdict}"]
    return [] if found == expected else ["the values are not those of the log"]


def wrong_with(kind: str, found: State, known: State, heard: dict[str, int]) -> list[str]:
    """What is lost, torn or half done: of each lane there must be what its acknowledged acts leave, or what
    one act more leaves."""
    problems = [f"{name} is lost or torn" for name, episode in known.items() if found.get(name) != episode]
    rest = {name: episode for name, episode in found.items() if name not in known}
    for lane, done in heard.items():
        own = {name: rest.pop(name) for name in list(rest) if name.startswith(f"{lane}-")}
        states = [{}, *(state for _, state in itertools.islice(acts(lane, kind), done + 1))]
        if not any(own == state and list(own) == list(state) for state in states[done:]):
            problems.append(f"{lane}: {list(own)} after {done} acts, not {list(states[done])}")
    return problems + [f"{name} was never recorded" for name in rest]


def traces(place: Path, kind: str, heard: dict[str, int]) -> list[str]:
    """Forgotten episodes, the forgetting acknowledged, whose names are still in the file or its WAL."""
    files = [Path(f"{place}{end}") for end in ("", "-wal")]
    held = b"".join(path.read_bytes() for path in files if path.exists())
    problems = []
    for lane, done in heard.items():
        states = [state for _, state in itertools.islice(acts(lane, kind), done)]
        gone = {name for state in states for name in state} - (states[-1].keys() if states else set())
        problems += [f"{name} was forgotten, its bytes are there" for name in gone if name.encode() in held]
    return problems


# -- the loop ----------------------------------------------------------------------------------------


def kill_one(place: Place, kind: str, name: str, rng: random.Random) -> tuple[dict[str, int], list[str]]:
    """Lets writers work and kills them at a random moment, one in ten before the first acknowledgement;
    returns how many acts of each lane were acknowledged, and what failed."""
    hands = 2 if kind == "two processes" else 1
    parts = [
        [f"{name}.{hand}{lane}" for lane in range(4 if kind == "threads" else 1)] for hand in range(hands)
    ]
    children = [Child(partial(write, place, part, kind)) for part in parts]
    lines: list[str] = []
    if rng.random() < 0.9:
        wait_for_any(children)
    while children:
        time.sleep(rng.random() * 0.03)
        lines += children.pop().kill()
        for child in children:  # whoever outlives another one must go on
            child.wait()
            child.wait()
    count = Counter(lines)
    heard = {lane: count.pop(lane, 0) for part in parts for lane in part}
    return heard, list(count)


def kill_many(
    trial: Trial, place: Callable[[], Place], kind: str, count: int, seed: int, lives: int = 10
) -> int:
    """Kills writers so often, ``lives`` times on each memory; returns how many acts were acknowledged."""
    rng = random.Random(f"{seed} {kind}")
    acknowledged = 0
    known: State = {}
    for number in range(count):
        if number % lives == 0:
            where, known = place(), {}
        heard, problems = kill_one(where, kind, f"{kind[:3]}{seed}.{number}", rng)
        acknowledged += sum(heard.values())
        if isinstance(where, Path):
            problems += traces(where, kind, heard)
        problems += unsound(where)
        with closing(opened(where)) as memory:
            found = content(memory)
        problems += wrong_with(kind, found, known, heard)
        known = found
        trial.add(problems)
    return acknowledged


def _kill_all(server: Cluster) -> None:
    """Kills the server's first process and all of its children, as kill -9 does: nobody can tidy up."""
    first = (server.data / "postmaster.pid").read_text().split()[0]
    parents = {path.parent.name: path for path in Path("/proc").glob("[0-9]*/stat")}
    children = []
    for pid, path in parents.items():
        with suppress(OSError):  # one that ended meanwhile
            if path.read_text().rpartition(")")[2].split()[1] == first:
                children.append(pid)
    for pid in [first, *children]:
        with suppress(ProcessLookupError):
            os.kill(int(pid), signal.SIGKILL)
    end = time.monotonic() + 30
    while any(_runs(pid) for pid in [first, *children]) and time.monotonic() < end:
        time.sleep(0.01)
    # Where nobody clears away dead orphans, the number in these files looks as if it were still running.
    for path in (server.data / "postmaster.pid", *server.folder.glob(".s.PGSQL.*.lock")):
        path.unlink()


def _runs(pid: str) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def kill_server(trial: Trial, server: Cluster, count: int, seed: int) -> int:
    """Kills the server's processes while two clients write, and starts it again: they must go on. In the end
    they are killed, too. Returns how many acts were acknowledged."""
    rng = random.Random(seed)
    acknowledged = 0
    for number in range(count):
        url, kind = server.url(), "one by one"
        opened(url).close()
        lanes = [f"srv{seed}.{number}.{hand}" for hand in range(2)]
        children = [Child(partial(write, url, [lane], kind)) for lane in lanes]
        for child in children:
            child.wait()
        time.sleep(rng.random() * 0.1)
        _kill_all(server)
        server.start()
        for child in children:
            child.wait()  # what was on the way
            child.wait()
        count_of = Counter(line for child in children for line in child.kill())
        heard = {lane: count_of.pop(lane, 0) for lane in lanes}
        acknowledged += sum(heard.values())
        problems = list(count_of) + unsound(url)
        with closing(opened(url)) as memory:
            problems += wrong_with(kind, content(memory), {}, heard)
        trial.add(problems, "a pause")
    return acknowledged
