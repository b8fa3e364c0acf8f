"""How long recall takes: python bench/recall.py [--full] [--n 100,500,...]

A memory of shop pages, 5 experiences a task; queries are pages of tasks it has never seen, k = 2.
Targets: median below 1 ms at 500 experiences, below 10 ms at 100,000.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from time import perf_counter

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench._common import STEPS, Walker, facts, p50, quantile, timed

from rlem.memory.config import MemoryConfig
from rlem.memory.memory import ExperienceMemory
from rlem.memory.volatile import InMemoryStore
from rlem.similarity.config import preset

BATCH = 2000
COMMITS = 20


def measure(similarity: str, size: int, queries: int) -> str:
    """One row of the table."""
    tasks = size // STEPS
    walker = Walker(tasks + queries + 2 * COMMITS + 1)
    episodes = walker.episodes(tasks)
    memory = ExperienceMemory(InMemoryStore(), MemoryConfig(similarity=preset(similarity)))
    begin = perf_counter()
    for start in range(0, tasks, BATCH):
        memory.record_many(episodes[start : start + BATCH])
    build_s = perf_counter() - begin
    held = len(memory)
    first = walker.query(0)
    first_ms = timed(lambda: memory.recall(first))
    unseen = [walker.query(place) for place in range(queries)]
    warm = [timed(lambda query=query: memory.recall(query)) for query in unseen]  # type: ignore[misc]
    after = []
    for place in range(COMMITS):
        memory.record(walker.episode())
        query = walker.query(place)
        after.append(timed(lambda query=query: memory.recall(query)))  # type: ignore[misc]
    return (
        f"{similarity:8} {held:8,} {build_s:8.2f} {first_ms:11.2f} {p50(warm):8.3f} "
        f"{quantile(warm, 0.99):8.3f} {p50(after):14.3f} {max(after):11.3f}"
    )


def main() -> None:
    """Measures both similarities at all sizes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--n", default="", help="numbers of experiences, with commas between")
    parser.add_argument("--full", action="store_true", help="100,000 experiences, too")
    parser.add_argument("--queries", type=int, default=300)
    options = parser.parse_args()
    sizes = [100, 500, 1000, 10_000] + ([100_000] if options.full else [])
    sizes = [int(part) for part in options.n.split(",") if part] or sizes
    print(f"{facts()}; {STEPS} experiences a task, {options.queries} unseen queries, {COMMITS} commits, k=2")
    print("preset          N  build s  first ever   p50 ms   p99 ms  after a commit   its worst")
    for similarity in ("webshop", "default"):
        for size in sizes:
            print(measure(similarity, size, options.queries), flush=True)


if __name__ == "__main__":
    main()
