"""How well and how fast the nearest of many vectors are found: python bench/ann.py [--n 100000] [--graph]

Vectors like sentence embeddings: 384 numbers, in groups of very different size within topics, each group
looser or tighter. Queries are further ones of the same kind. recall@10: share of the ten returned rows that
score at least the tenth exact score. Each method's candidates are scored exactly; the time holds that.

The lines "mixture" are a memory of tasks with five pages each: half the task's cosine, half the page type's
table, candidates are all pages of so many best tasks, taken as DenseBank.best gives them.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench._common import STEPS, facts, p50

from rlem.similarity.dense import DenseBank
from rlem.similarity.nearest import Graph, Rows, Signs
from rlem.similarity.tables import PAGE_TABLE

WIDTH = 384
TOPICS, GROUP = 200, 15
BATCH = 50_000
SIGNS = (500, 1000, 2000, 5000, 10_000)
GRAPH = (10, 20, 40, 100)
TASKS = (10, 20, 30, 60)

Vectors = NDArray[np.int16]


def vectors(count: int, seed: int) -> Vectors:
    """Vectors of length 1 in steps of 1/4000: topic, group, and what is their own."""
    rng = np.random.default_rng(seed)

    def draw(rows: int) -> NDArray[np.float32]:
        return rng.standard_normal((rows, WIDTH), dtype=np.float32)

    groups = max(1, count // GROUP)
    topic = np.minimum((3 * rng.pareto(1.0, groups)).astype(int), TOPICS - 1)
    centres = 0.5 * draw(1) + 0.7 * draw(TOPICS)[topic] + 0.7 * draw(groups)
    member = np.minimum((rng.random(count) ** 1.5 * groups).astype(int), groups - 1)
    made = np.empty((count, WIDTH), np.int16)
    for start in range(0, count, BATCH):
        part = centres[member[start : start + BATCH]]
        part += rng.uniform(0.3, 1.0, (len(part), 1)).astype(np.float32) * draw(len(part))
        made[start : start + BATCH] = np.rint(4000 * part / np.linalg.norm(part, axis=1, keepdims=True))
    return made


class Bench:
    """A bank, queries, and what an exact search finds."""

    def __init__(self, count: int, queries: int, wanted: int) -> None:
        # The queries come from the same draw, else they would belong to other groups.
        made = vectors(count + queries, seed=0)
        self.count, self.wanted = count, wanted
        self.held, self.queries = made[queries:], made[:queries]
        lengths = np.linalg.norm(self.held[:, :1], axis=1)
        for start in range(0, count, BATCH):
            part = slice(start, start + BATCH)
            lengths[part] = np.linalg.norm(self.held[part].astype(np.float64), axis=1)
        self.bank = DenseBank(best_from=0)
        self.bank.load({"vectors": self.held, "lengths": lengths})
        self.floors: list[float] = []

    def row(
        self,
        name: str,
        fetched: int,
        build_s: float,
        size_mb: float,
        near: Callable[[Vectors, int], Rows] | None,
    ) -> str:
        """One line of the table. ``near`` gives the candidates of a query; without it all rows are scored."""
        times, hits = [], 0
        for place, query in enumerate(self.queries):
            begin, features = perf_counter(), query.tobytes()
            if near is None:
                scores = self.bank.scores(features)
            else:
                scores = self.bank.scores_of(features, near(query, fetched))
            found = np.partition(scores, -self.wanted)[-self.wanted :]
            times.append(1000 * (perf_counter() - begin))
            if near is None:
                self.floors.append(float(found.min()))
            hits += int((found >= self.floors[place]).sum())
        share = hits / self.wanted / len(self.queries)
        what = f"{self.count:10,} {name:10} {fetched:10,} {build_s:8.1f} {size_mb:6.0f}"
        return f"{what} {p50(times):8.2f} {share:10.4f}"

    def mixture(self, tasks: int) -> str:
        """One line: the pages of so many best tasks against the pages of all."""
        rng = np.random.default_rng(1)
        table = np.array(PAGE_TABLE)
        pages = rng.integers(0, len(table), (self.count, STEPS))
        times, hits = [], 0
        for query in self.queries:
            features, of_page = query.tobytes(), table[rng.integers(0, len(table))]
            exact = (self.bank.scores(features)[:, None] + of_page[pages]).ravel()
            floor = np.partition(exact, -self.wanted)[-self.wanted]
            begin = perf_counter()
            rows = self.bank.best(features, tasks)
            assert rows is not None
            found = (self.bank.scores_of(features, rows)[:, None] + of_page[pages[rows]]).ravel()
            times.append(1000 * (perf_counter() - begin))
            hits += min(self.wanted, int((found >= floor).sum()))
        share = hits / self.wanted / len(self.queries)
        return f"{self.count:10,} {'mixture':10} {tasks:10,} {'':8} {'':6} {p50(times):8.2f} {share:10.4f}"


def main() -> None:
    """Prints a line for each method and over-fetch."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--n", default="100000", help="numbers of vectors, with commas between")
    parser.add_argument("--queries", type=int, default=200)
    parser.add_argument("--wanted", type=int, default=10)
    parser.add_argument("--graph", action="store_true", help="usearch, too (extra 'ann'; minutes to build)")
    parser.add_argument("--threads", type=int, default=0, help="threads that build the graph; 0: one a core")
    options = parser.parse_args()
    print(f"{facts()}; {WIDTH} numbers a vector, {options.queries} queries, medians")
    print(f"         N method     candidates  build s     MB   p50 ms  recall@{options.wanted}")
    for count in (int(part) for part in options.n.split(",")):
        bench = Bench(count, options.queries, options.wanted)
        print(bench.row("exact", count, 0.0, bench.held.nbytes / 1e6, None), flush=True)
        begin = perf_counter()
        signs = Signs(bench.held, np.ones(count, np.bool_))
        build_s = perf_counter() - begin
        for fetched in SIGNS:
            print(bench.row("sign bits", fetched, build_s, count * WIDTH / 8e6, signs.nearest), flush=True)
        for tasks in TASKS:
            print(bench.mixture(tasks), flush=True)
        if options.graph:
            graph = Graph(WIDTH)
            begin = perf_counter()
            graph.put_many(np.arange(count), bench.held, threads=options.threads)
            build_s = perf_counter() - begin
            size_mb = len(graph.dump()) / 1e6
            for fetched in GRAPH:
                print(bench.row("graph", fetched, build_s, size_mb, graph.nearest), flush=True)


if __name__ == "__main__":
    main()
