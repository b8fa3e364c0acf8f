"""Commits to a memory on a PostgreSQL server, and its look-ups with pgvector.

python bench/postgres.py [URL] [--seconds 2] [--rounds 3] [--hands 1,4] [--vectors 20000]

Processes record episodes of five steps into one memory, in turns with as many that only raise one number in
one row: the least that an atomic durable update can cost there. Without a URL it starts the servers that the
tests use. ``--vectors``: clustered vectors of 384 dimensions, recall@10 of the server's candidates against
exact search, and its time.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from time import perf_counter

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
import psycopg
from bench._common import facts, p50
from tests.support.postgres import cluster, debian_programs, pgserver_programs
from tests.support.vectors import FINGERPRINT, clustered, exact, stored

from rlem.core.types import Episode, Situation, Transition
from rlem.memory import postgres_vectors
from rlem.memory.memory import ExperienceMemory
from rlem.memory.postgres import PostgresStore

PAGES = [Situation(task="walk", observation=f"page {i} " * 60, actions=("go", "stay")) for i in range(50)]


def work(kind: str, url: str, name: str, seconds: float) -> None:
    """One process: waits for the word, works for some seconds, prints how often."""
    plain, _, schema = url.rpartition("schema=")
    connection = psycopg.connect(plain.rstrip("?&"), autocommit=True)
    memory = ExperienceMemory(PostgresStore(url))

    def once(number: int) -> None:
        if kind == "update":
            connection.execute(f"UPDATE {schema}.rlem_memory SET revision = revision + 1".encode())
            return
        pages = [PAGES[(number + step) % len(PAGES)] for step in range(5)]
        steps = tuple(Transition(situation=page, action="go", reward=1.0) for page in pages)
        memory.record(Episode(id=f"{name}-{number}", task="walk", transitions=steps))

    print("ready", flush=True)
    sys.stdin.readline()
    number, end = 0, perf_counter() + seconds
    while perf_counter() < end:
        once(number)
        number += 1
    print(number)
    connection.close()
    memory.close()


def rate(kind: str, url: str, hands: int, seconds: float) -> float:
    """Commits per second of so many processes together."""
    ExperienceMemory(PostgresStore(url)).close()
    processes = [
        subprocess.Popen(
            [sys.executable, __file__, url, "--work", kind, "--name", str(hand), "--seconds", str(seconds)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for hand in range(hands)
    ]
    for process in processes:
        assert process.stdout is not None
        process.stdout.readline()
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    return sum(int(process.communicate()[0]) for process in processes) / seconds


def measure(server: str, urls: Iterator[str], options: argparse.Namespace) -> None:
    """All figures of one server."""
    for hands in (int(number) for number in options.hands.split(",")):
        found: dict[str, list[float]] = {"update": [], "record": []}
        for _ in range(options.rounds):
            for kind, rates in found.items():
                rates.append(rate(kind, next(urls), hands, options.seconds))
        update, record = p50(found["update"]), p50(found["record"])
        print(
            f"{server}, processes: {hands}; record {record:.0f}/s, one-row UPDATE {update:.0f}/s "
            f"({record / update:.2f} of it)",
            flush=True,
        )
    if options.vectors:
        look_up(server, next(urls), options.vectors)


def look_up(server: str, url: str, count: int) -> None:
    """Recall and time of the server's candidates."""
    postgres_vectors.FROM = min(postgres_vectors.FROM, count)
    vectors, queries = clustered(count, 200)
    store = PostgresStore(url)
    begin = perf_counter()
    names = stored(store, vectors)
    made = perf_counter() - begin
    if store.nearest(FINGERPRINT, queries[0].tobytes(), 10) is None:
        print(f"{server}: no pgvector")
        store.close()
        return
    for wanted in (10, 40, 100, 250):
        hits, times = [], []
        for query in queries:
            begin = perf_counter()
            near = store.nearest(FINGERPRINT, query.tobytes(), wanted) or []
            times.append(1000 * (perf_counter() - begin))
            scores = exact(vectors, query)
            tenth = np.sort(scores)[-10]
            hits.append(min(10, sum(scores[names[name]] >= tenth for name in near)) / 10)
        print(
            f"{server}, {count} vectors (stored and indexed in {made:.0f} s), {wanted} candidates: recall@10 "
            f"{np.mean(hits):.4f}, {p50(times):.2f} ms"
        )
    store.close()


def schemas(url: str) -> Iterator[str]:
    """Places for memories on a server."""
    while True:
        yield f"{url}{'&' if '?' in url else '?'}schema=bench{uuid.uuid4().hex[:12]}"


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("url", nargs="?", help="of a database; schemas bench... are made in it, and stay")
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--hands", default="1,4")
    parser.add_argument("--vectors", type=int, default=0)
    parser.add_argument("--work", help=argparse.SUPPRESS)
    parser.add_argument("--name", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        work(options.work, options.url, options.name, options.seconds)
        return
    print(facts())
    if options.url:
        measure("server", schemas(options.url), options)
        return
    for server, programs in {"postgresql": debian_programs(), "pgserver": pgserver_programs()}.items():
        if programs is not None:
            with cluster(programs) as running:
                measure(server, iter(running.url, ""), options)


if __name__ == "__main__":
    main()
