"""How fast and how well the index searches: python bench/search.py [--full] [--million] [--similarity NAME]

Recall of 10 by the index alone, the query's own features included, for queries whose texts it never saw;
5 pages a task, about 70 words a page. Pages are made by a seeded generator: words by Zipf's law out of
50,000, half of them from one of 2,000 topics, the task on every page, the fixed words of a shop.
Targets: median below 1 ms at 500 experiences, 5 ms at 100,000, 10 ms at 1,000,000; recall@10 >= .99,
where a hit is a result that scores at least the tenth exact score.
"""

from __future__ import annotations

import argparse
import resource
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from time import perf_counter

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
from bench._common import STEPS, facts, p50, quantile, timed

from rlem.core.types import Situation
from rlem.similarity import SimilarityIndex, preset

K = 10
WORDS, TOPICS, TOPIC_WORDS = 50_000, 2_000, 40
BATCH_TASKS = 2_000
OVER_FETCHES = (5, 10, 20, 40, 80)
EXACT_QUERIES = 50
CHANGES = 20
PAGES = (
    ("WebShop [Search]", ("search[<words>]",), 0),
    ("[Back to Search] Page 1 (Total results: 50) [Next >]", ("click[next >]", "click[b000000001]"), 50),
    ("[Back to Search] Page 2 (Total results: 50) [< Prev]", ("click[next >]", "click[b000000001]"), 50),
    ("[Back to Search] [< Prev] Price: Rating: N.A. [Buy Now]", ("click[buy now]",), 30),
    ("[Back to Search] [< Prev] Description", ("click[back to search]", "click[< prev]"), 60),
)


class Shop:
    """Endless tasks with one page of each of five kinds; the same for the same seed."""

    def __init__(self, seed: int) -> None:
        vocabulary = np.random.default_rng(0)  # the same words and topics whatever the seed
        self._rng = np.random.default_rng(seed)
        syllables = [first + second for first in "bdfgklmnprstvz" for second in "aeiou"]
        parts = vocabulary.choice(syllables, (WORDS, 3))
        self._words = ["".join(line) + str(number % 7 or "") for number, line in enumerate(parts.tolist())]
        share = 1.0 / np.arange(1, WORDS + 1) ** 1.05
        self._share = np.cumsum(share / share.sum())
        self._topics = self._draw(vocabulary, TOPICS * TOPIC_WORDS).reshape(TOPICS, TOPIC_WORDS)

    def task(self) -> list[Situation]:
        """The next task's pages."""
        topic = self._topics[self._rng.integers(TOPICS)]
        price = 10 * int(self._rng.integers(2, 20))
        task = f"i am looking for {self._text(topic, 8)}, and price lower than {price}.00 dollars"
        return [
            Situation(
                task=task, observation=f"Instruction: {task} {fixed} {self._text(topic, size)}", actions=names
            )
            for fixed, names, size in PAGES[:STEPS]
        ]

    def _text(self, topic: np.ndarray[tuple[int], np.dtype[np.int64]], size: int) -> str:
        own = topic[self._rng.integers(0, TOPIC_WORDS, size // 2)]
        drawn = np.concatenate([own, self._draw(self._rng, size - size // 2)])
        return " ".join(self._words[number] for number in drawn.tolist())

    def _draw(self, rng: np.random.Generator, size: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        return np.minimum(np.searchsorted(self._share, rng.random(size)), WORDS - 1)


def batches(shop: Shop, tasks: int) -> Iterator[list[Situation]]:
    """Situations of so many tasks, some thousand at once."""
    for start in range(0, tasks, BATCH_TASKS):
        yield [page for _ in range(min(BATCH_TASKS, tasks - start)) for page in shop.task()]


def recall(index: SimilarityIndex, query: Situation) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """The scores of the K best, in descending order, as a memory would find them."""
    slots = index.candidates(query, K)
    scores = index.scores(query) if slots is None else index.scores_of(query, slots)
    return -np.sort(-np.partition(scores, len(scores) - K)[len(scores) - K :])


def hits(index: SimilarityIndex, queries: list[Situation]) -> float:
    """Recall@K against exact scoring."""
    shares = []
    for query in queries:
        bar = np.sort(np.partition(scores := index.scores(query), len(scores) - K)[len(scores) - K :])[0]
        shares.append(np.mean(recall(index, query) >= bar))
    return float(np.mean(shares))


def memory_gb() -> float:
    """Memory of this process now (where the system tells it), else its peak, in GB."""
    status = Path("/proc/self/statm")
    if status.exists():
        return int(status.read_text().split()[1]) * resource.getpagesize() / 1e9
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def measure(similarity: str, size: int, count: int) -> None:
    """One row of the table, and recall by over-fetch where there are candidates."""
    index = SimilarityIndex(preset(similarity))
    begin = perf_counter()
    for batch in batches(Shop(1), size // STEPS):
        index.add_many(range(index.capacity, index.capacity + len(batch)), batch)
    build_s = perf_counter() - begin
    strangers = Shop(2)
    queries = [strangers.task()[place % STEPS] for place in range(count + CHANGES)]
    first_ms = timed(lambda: recall(index, strangers.task()[1]))
    warm = [timed(lambda query=query: recall(index, query)) for query in queries[:count]]  # type: ignore[misc]
    changed = []
    for slot, query in enumerate(queries[count:]):
        page = strangers.task()[1]
        index.remove(slot)
        index.add(slot, page)
        changed.append(timed(lambda query=query: recall(index, query)))  # type: ignore[misc]
    grown = memory_gb()
    loaded, load_ms, size_mb = reload(index)
    after_ms = timed(lambda: recall(loaded, queries[0]))
    print(
        f"{similarity:13} {size:9,} {build_s:7.1f} {first_ms:9.1f} {p50(warm):8.2f} "
        f"{quantile(warm, 0.99):8.2f} {p50(changed):8.2f} {size_mb:8.1f} {load_ms:8.0f} "
        f"{after_ms:7.1f} {grown:6.2f}",
        flush=True,
    )
    if index.candidates(queries[0], K) is not None:
        over_fetch(index, queries[:EXACT_QUERIES])


def over_fetch(index: SimilarityIndex, queries: list[Situation]) -> None:
    """Recall and time by over-fetch; the index is left as it was."""
    kept = [term.over_fetch for term in index._terms]
    for number in OVER_FETCHES:
        for term in index._terms:
            term.over_fetch = number
        share = hits(index, queries)
        times = [timed(lambda query=query: recall(index, query)) for query in queries]  # type: ignore[misc]
        mark = "*" if number in kept else " "
        print(f"    over-fetch {number:3}{mark} recall@{K} {share:.4f}, {p50(times):.2f} ms", flush=True)
    for term, number in zip(index._terms, kept, strict=True):
        term.over_fetch = number


def reload(index: SimilarityIndex) -> tuple[SimilarityIndex, float, float]:
    """The index from its dump on disk, the milliseconds that loading took, and the size in MB."""
    with tempfile.TemporaryDirectory() as folder:
        paths = {}
        for place, (name, array) in enumerate(index.dump().items()):
            paths[name] = Path(folder) / f"{place}.npy"
            np.save(paths[name], array)
        other = SimilarityIndex(index.similarity)
        load_ms = timed(lambda: other.load({name: np.load(path) for name, path in paths.items()}))
        return other, load_ms, sum(path.stat().st_size for path in paths.values()) / 1e6


def main() -> None:
    """Measures each similarity at each size."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--full", action="store_true", help="100,000 experiences, too")
    parser.add_argument("--million", action="store_true", help="1,000,000 experiences only (minutes)")
    parser.add_argument(
        "--similarity", default="default,webshop,webshop-text", help="presets, with commas between"
    )
    parser.add_argument("--queries", type=int, default=200)
    options = parser.parse_args()
    sizes = [1_000_000] if options.million else [500, 10_000] + ([100_000] if options.full else [])
    print(
        f"{facts()}; {STEPS} pages a task, {options.queries} unseen queries, {K} results, {CHANGES} changes"
    )
    print(
        "preset                N build s  first ms   p50 ms   p99 ms  changed  dump MB  load ms  first mem GB"
    )
    for similarity in options.similarity.split(","):
        for size in sizes:
            measure(similarity, size, options.queries)


if __name__ == "__main__":
    main()
