"""Parts of bench/memory.py: durable commits, many writers, readers beside them, changing the past."""

from __future__ import annotations

import random
import sqlite3
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from functools import partial
from pathlib import Path
from time import perf_counter

from bench._common import STEPS, p50, quantile, timed
from bench._memory_fresh import read
from bench._memory_made import queries
from bench._memory_tables import Asked, Floor, Row, Table, remove, said, start, tell, verdict

from rlem.api.stores import open_store
from rlem.core.types import Episode
from rlem.memory.config import MemoryConfig
from rlem.memory.memory import ExperienceMemory
from rlem.memory.table import ExperienceTable
from rlem.similarity.config import preset

KIND = "webshop"


def opened(place: str) -> ExperienceMemory:
    """The memory there."""
    return ExperienceMemory(open_store(place))


def commit_bytes(memory: ExperienceMemory, episodes: Sequence[Episode]) -> int:
    """What a commit of one of these adds to SQLite's log."""
    wal = Path(memory.location + "-wal")
    before = wal.stat().st_size
    for episode in episodes:
        memory.record(episode)
    return max((wal.stat().st_size - before) // len(episodes), 4096)


def plain_writer(asked: Asked, engine: str) -> Callable[[], None]:
    """One row in a durable transaction of its own, without us: the least that the engine needs."""
    if engine == "PostgreSQL":
        import psycopg

        server = psycopg.connect(asked.postgres or "", autocommit=True)
        server.execute("CREATE TABLE IF NOT EXISTS rlem_bench_floor (n int)")
        server.execute("DELETE FROM rlem_bench_floor")
        server.execute("INSERT INTO rlem_bench_floor VALUES (0)")
        return lambda: void(server.execute("UPDATE rlem_bench_floor SET n = n + 1"))
    database = sqlite3.connect(asked.folder / "plain.sqlite", isolation_level=None)
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("PRAGMA synchronous = FULL")
    database.execute("CREATE TABLE IF NOT EXISTS t (x)")
    return lambda: void(database.execute("INSERT INTO t VALUES (?)", (b"x" * 2000,)))


def void(_: object) -> None:
    """Nothing."""


def recording(asked: Asked) -> Iterator[Table]:
    """One commit after the other, against what the machine needs for as many bytes."""
    rows = []
    for engine in asked.engines:
        for size in asked.sizes:
            place, tasks = asked.filled(engine, KIND, size)
            memory = opened(place)
            episodes = asked.unseen(KIND, tasks, asked.commits + 10)
            written = commit_bytes(memory, episodes[:10]) if engine == "SQLite" else 100_000
            floor, plain = Floor(asked.folder, written), plain_writer(asked, engine)
            table = ExperienceTable(MemoryConfig(similarity=preset(KIND)))
            times: dict[str, list[float]] = {"floor": [], "plain": [], "ours": [], "learn": []}
            for episode in episodes[10:]:
                times["floor"].append(timed(floor.write))
                times["plain"].append(timed(plain))
                times["ours"].append(timed(partial(memory.record, episode)))
                times["learn"].append(timed(partial(table.learn, episode)))
            rows.append(_commits(engine, len(memory), written, times))
            floor.close()
            memory.close()
            remove(place)
    yield Table(
        title="Recording",
        note=f"{asked.commits} durable commits of one episode of {STEPS} steps; ms. Floor: write + fdatasync "
        "of as many bytes as a commit adds to the WAL; plain: one durable row without rlem; in turns with "
        "ours. Learn: the part without any store.",
        rows=rows,
    )


def _commits(engine: str, held: int, written: int, times: dict[str, list[float]]) -> Row:
    middle = {name: p50(values) for name, values in times.items()}
    ratio = middle["ours"] / middle["floor"]
    return {
        "engine": engine,
        "N": held,
        "KiB": written // 1024,
        "ours": middle["ours"],
        "p95": quantile(times["ours"], 0.95),
        "floor": middle["floor"],
        "x floor": ratio,
        "target": verdict(ratio, 1.5 if engine == "SQLite" else None),
        "plain": middle["plain"],
        "x plain": middle["ours"] / middle["plain"],
        "learn": middle["learn"],
    }


def together(asked: Asked) -> Iterator[Table]:
    """Commits a second of many threads and of many processes; none may be lost."""
    rows = []
    for engine in asked.engines:
        jobs = [("threads", n) for n in asked.threads] + [("processes", n) for n in asked.processes]
        for who, hands in jobs:
            place, tasks = asked.filled(engine, KIND, asked.sizes[0])
            episodes = asked.unseen(KIND, tasks, asked.commits)
            shares = [episodes[hand::hands] for hand in range(hands)]
            floor = Floor(asked.folder, 100_000)
            pace = [timed(floor.write) for _ in range(100)]
            seconds = (_threads if who == "threads" else _processes)(place, shares, asked)
            pace += [timed(floor.write) for _ in range(100)]
            floor.close()
            with closing(opened(place)) as memory:
                lost = tasks + len(episodes) - memory.episode_count()
            remove(place)
            rate, bare = len(episodes) / seconds, 1000 / p50(pace)
            rows.append(
                {
                    "engine": engine,
                    "writers": f"{hands} {who}",
                    "commits/s": rate,
                    "floor/s": bare,
                    "x floor": rate / bare,
                    "lost": lost,
                    "target": verdict(lost, 0),
                }
            )
    yield Table(
        title="Many writers",
        note=f"{asked.commits} episodes of {STEPS} steps in all, each acknowledged when it is durable; "
        "threads share commits. Floor: write + fdatasync of 100 kB, before and after. Lost: episodes that "
        "are not in the log.",
        rows=rows,
    )


def _threads(place: str, shares: Sequence[Sequence[Episode]], asked: Asked) -> float:
    with closing(opened(place)) as memory, ThreadPoolExecutor(len(shares)) as pool:
        begin = perf_counter()
        list(pool.map(lambda share: [memory.record(episode) for episode in share], shares))
        return perf_counter() - begin


def _processes(place: str, shares: Sequence[Sequence[Episode]], asked: Asked) -> float:
    running = [start("write", place, share, asked.folder) for share in shares]
    for process in running:
        said(process)
    begin = perf_counter()
    for process in running:
        tell(process)
    for process in running:
        said(process)
    seconds = perf_counter() - begin
    for process in running:
        process.communicate()
    return seconds


def readers(asked: Asked) -> Iterator[Table]:
    """Recalls while four threads write: in the same process, and in another one."""
    rows = []
    for engine in asked.engines:
        place, tasks = asked.filled(engine, KIND, asked.sizes[min(1, len(asked.sizes) - 1)])
        episodes = asked.unseen(KIND, tasks, 2 * asked.commits)
        unseen = asked.unseen(KIND, tasks + len(episodes), 100)
        memory = opened(place)
        for who in ("a thread beside", "another process"):
            found = {}
            for state in ("alone", "writing"):
                batch = [episodes.pop() for _ in range(asked.commits)] if state == "writing" else []
                found[state] = _reading(memory, who, batch, unseen, asked)
            alone, busy = (quantile(found[state], 0.99) for state in ("alone", "writing"))
            rows.append(
                {
                    "engine": engine,
                    "reader": who,
                    "N": len(memory),
                    "p50 alone": p50(found["alone"]),
                    "p50": p50(found["writing"]),
                    "p99 alone": alone,
                    "p99": busy,
                    "x alone": busy / alone,
                }
            )
        memory.close()
        remove(place)
    yield Table(
        title="Readers beside writers",
        note=f"Recalls one after the other while 4 threads commit {asked.commits} episodes, and without; "
        "ms. The reader learns what was written, and shares the cores (or one interpreter) with the writers.",
        rows=rows,
    )


def _reading(
    memory: ExperienceMemory, who: str, batch: Sequence[Episode], unseen: Sequence[Episode], asked: Asked
) -> list[float]:
    """Milliseconds of recalls while these are recorded; of a second of them if there are none."""
    done = threading.Event()

    def work() -> None:
        if batch:
            with ThreadPoolExecutor(4) as pool:
                list(pool.map(memory.record, batch))
        else:
            done.wait(0.5)
        done.set()

    writer = threading.Thread(target=work)
    if who == "a thread beside":
        writer.start()
        times = read(memory, queries(unseen), done.is_set)
        writer.join()
        return times
    with start("read", memory.location, unseen, asked.folder) as process:
        said(process)
        tell(process)
        writer.start()
        writer.join()
        with suppress(BrokenPipeError):
            tell(process)
        found: list[float] = said(process)["times_ms"]
    return found


def changing(asked: Asked) -> Iterator[Table]:
    """Forgetting an episode, correcting a reward, deriving everything anew."""
    rows = []
    for size in asked.sizes[1:]:
        place, tasks = asked.filled("SQLite", KIND, size)
        memory = opened(place)
        names = [episode.id for episode in memory.episodes()]
        random.Random(0).shuffle(names)
        megabytes = Path(place).stat().st_size
        floors: dict[str, list[float]] = {"commit": [], "read": []}
        times: dict[str, list[float]] = {"correct": [], "forget": [], "rebuild": []}
        floor = Floor(asked.folder, 100_000)
        for _ in range(5 * asked.rounds):
            floors["commit"].append(timed(floor.write))
            times["correct"].append(timed(partial(memory.correct, names.pop(), {STEPS - 1: 0.5})))
        for _ in range(asked.rounds):
            times["forget"].append(timed(partial(memory.forget, episode=names.pop())))
            floors["read"].append(timed(partial(deque, memory.episodes(), maxlen=0)))
        for _ in range(min(2, asked.rounds)):
            times["rebuild"].append(timed(memory.rebuild))
        floor.close()
        held = len(memory)
        memory.close()
        remove(place)
        for what, bare in (("correct", "commit"), ("forget", "commit"), ("rebuild", "read")):
            middle, least = p50(times[what]), p50(floors[bare])
            rows.append(
                {
                    "what": what,
                    "N": held,
                    "ms": middle,
                    "p95": quantile(times[what], 0.95),
                    "floor": f"{bare} {least:.3g}",
                    "x floor": middle / least,
                    "episodes/s": tasks / middle * 1000 if what == "rebuild" else None,
                    "MB on disk": megabytes / 1e6,
                }
            )
    yield Table(
        title="Changing the past",
        note="One episode forgotten (its bytes wiped, the index's image written anew), one reward corrected, "
        "all derived anew; ms. Floors: write + fdatasync of 100 kB (commit); reading the whole log (read).",
        rows=rows,
    )
