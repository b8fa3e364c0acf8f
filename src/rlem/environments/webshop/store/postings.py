"""The search index of an imported shop: BM25 over postings that stay on disk.

The ranking is that of :class:`~rlem.environments.webshop.search.SearchIndex` to the last bit; only where
the numbers lie is another matter. A posting is a document and a code, which stands for how often the term
occurs in it and how long it is: all that its share of a score depends on. Why so: docs/adr/0007.
"""

from __future__ import annotations

import threading
from array import array
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rlem.environments.lazy import LazySequence
from rlem.environments.webshop.analysis import terms
from rlem.environments.webshop.search import idf, length_factors, rounded_length
from rlem.environments.webshop.store.array_file import Array, ArrayFile, ArrayWriter, damaged

_RUN = 1 << 22
"""Postings in memory while an index is built (3 numbers each)."""

_PIECE = 1 << 16
"""Postings scored at once: what is computed of them stays in the processor's cache."""

_ROWS = 256
_DTYPE = np.dtype([("term", "<i4"), ("place", "<i4"), ("code", "<i4")])


class PostingsBuilder:
    """Collects documents in any order; sorts them by term and id on disk.

    Memory: the distinct terms, a fixed number of postings, and 8 bytes a document. ``folder`` holds runs
    of postings, 12 bytes each, until the index is written.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._rows: dict[str, int] = {}
        self._frequencies = array("q")
        self._codes: dict[tuple[int, int], int] = {}
        self._pending = array("i")
        self._runs: list[Path] = []
        self.documents = self.length = self.postings = 0

    @property
    def distinct_terms(self) -> int:
        """How many different terms were found."""
        return len(self._rows)

    def add(self, text: str) -> None:
        """Adds a document; its place is the number of documents before it."""
        found = terms(text)
        length = rounded_length(len(found))
        for word, count in Counter(found).items():
            row = self._rows.setdefault(word, len(self._rows))
            if row == len(self._frequencies):
                self._frequencies.append(0)
            self._frequencies[row] += 1
            code = self._codes.setdefault((count, length), len(self._codes))
            self._pending.extend((row, self.documents, code))
        self.documents += 1
        self.length += len(found)
        if len(self._pending) >= 3 * _RUN:
            self._spill()

    def write(self, writer: ArrayWriter, ranks: NDArray[np.int32]) -> None:
        """Writes the index. ``ranks``: place of each document among the sorted ids."""
        self._spill()
        words = sorted(self._rows)
        writer.add_texts("terms", words)
        writer.add("term_rows", np.fromiter((self._rows[word] for word in words), np.int32, len(words)))
        starts = np.concatenate(([0], np.cumsum(np.array(self._frequencies, dtype=np.int64))))
        writer.add("posting_starts", starts.astype(np.int64))
        pairs = np.array(list(self._codes), dtype=np.int64).reshape(-1, 2)
        writer.add("code_counts", pairs[:, 0])
        writer.add("code_lengths", pairs[:, 1])
        writer.add("index_size", np.array([self.documents, self.length], dtype=np.int64))
        kind = np.dtype("<u2" if len(pairs) <= 1 << 16 else "<u4")
        spare = self._folder / "codes"  # two arrays come of one pass, but a file is written in one line
        with spare.open("wb") as codes:

            def documents() -> Iterator[Array]:
                for numbers, found in self._merged(ranks, starts):
                    codes.write(found.astype(kind).tobytes())
                    yield numbers

            writer.add_parts("posting_documents", "<i4", documents())
        with spare.open("rb") as merged:
            writer.add_parts("posting_codes", kind.str, iter(lambda: merged.read(1 << 20), b""))

    def _spill(self) -> None:
        """Sorts what is in memory by term and writes it to a run."""
        if not self._pending:
            return
        rows = np.frombuffer(self._pending, dtype=np.int32).reshape(-1, 3)
        run = self._folder / f"run-{len(self._runs)}"
        run.write_bytes(rows[np.argsort(rows[:, 0], kind="stable")].astype("<i4").tobytes())
        self._runs.append(run)
        self.postings += len(rows)
        del rows
        self._pending = array("i")

    def _merged(self, ranks: NDArray[np.int32], starts: NDArray[np.int64]) -> Iterator[tuple[Array, Array]]:
        """Documents (by rank) and codes, by term and rank, some terms at a time."""
        first, count = 0, len(starts) - 1
        while first < count:
            last = max(first + 1, int(np.searchsorted(starts, starts[first] + _RUN, side="right")) - 1)
            parts = []
            for path in self._runs:
                run = np.memmap(path, dtype=_DTYPE, mode="r")  # mapped for this moment: it counts as memory
                low, high = np.searchsorted(run["term"], (first, last))
                parts.append(np.array(run[low:high]))
            part = np.concatenate(parts)
            documents = ranks[part["place"]]
            order = np.lexsort((documents, part["term"]))
            yield documents[order], part["code"][order]
            first = last


class StoredRanking:
    """Ranked search in an imported shop; threads share one.

    Every posting of the query's terms is added up, some nanoseconds each; no pruning was quicker.
    Memory: 8 bytes a document in each thread that searches; postings are shared by all processes.
    """

    def __init__(self, file: ArrayFile) -> None:
        self._path = file.path
        self._ids = file.texts("asins")
        self._terms = file.texts("terms")
        self._rows: NDArray[np.int32] = file.array("term_rows")
        self._starts: NDArray[np.int64] = file.array("posting_starts")
        self._documents: NDArray[np.int32] = file.array("posting_documents")
        self._codes = file.array("posting_codes")
        self._size, length = (int(number) for number in file.array("index_size"))
        lengths = file.array("code_lengths").astype(np.float32)
        counts = file.array("code_counts").astype(np.float32)
        self._denominators = np.float32(1) + counts * length_factors(lengths, length, self._size)
        self._mine = threading.local()

    @property
    def ids(self) -> Sequence[str]:
        """Ids of the documents, sorted: a document's number is its place here."""
        return LazySequence(len(self._ids), self._ids.__getitem__)

    def scores(self, query: str) -> NDArray[np.float32]:
        """Score of every document (by number) for a query; 0 where no term occurs."""
        total, _ = self._total(query)
        return total[: self._size].astype(np.float32)

    def search(self, query: str, limit: int = 50) -> tuple[str, ...]:
        """Ids of the best ``limit`` documents that share a term with the query, best first."""
        return tuple([self._ids[number] for number in self._best(query, limit).tolist()])

    def _best(self, query: str, limit: int) -> NDArray[np.intp]:
        total, matching = self._total(query)
        if not matching or limit < 1:
            return np.zeros(0, dtype=np.intp)
        return _best(total, limit)

    def _total(self, query: str) -> tuple[NDArray[np.float64], bool]:
        """Every document's score, in this thread's own array, and whether any term is known."""
        total = self._scratch()
        matching = False
        for word, repeats in Counter(terms(query)).items():
            place = self._terms.find(word)
            if place is not None:
                matching = True
                self._add(total, int(self._rows[place]), repeats)
        return total, matching

    def _scratch(self) -> NDArray[np.float64]:
        """A score of 0 for every document, in this thread's own array; some more, to fill all rows."""
        total: NDArray[np.float64] | None = getattr(self._mine, "total", None)
        if total is None:
            total = self._mine.total = np.zeros(-(-self._size // _ROWS) * _ROWS, dtype=np.float64)
        else:
            total.fill(0)
        return total

    def _add(self, total: NDArray[np.float64], row: int, repeats: int) -> None:
        """Adds a term's share to the scores: float32 shares, summed in float64."""
        start, end = int(self._starts[row]), int(self._starts[row + 1])
        weight = np.float32(repeats) * idf(self._size, np.array([end - start]))[0]
        shares = (weight - weight / self._denominators).astype(np.float64)
        for at in range(start, end, _PIECE):
            part = slice(at, min(at + _PIECE, end))
            try:
                np.add.at(total, self._documents[part].astype(np.intp), shares.take(self._codes[part]))
            except IndexError as error:
                raise damaged(self._path, error) from None


def _best(total: NDArray[np.float64], limit: int) -> NDArray[np.intp]:
    """Numbers of the best documents by score (as float32), then by number; none with a score of 0.

    The best of each of many parts are found first: the ``limit``-th best of them is a score that the
    ``limit``-th best document has at least.
    """
    tops = total.reshape(_ROWS, -1).max(axis=0)
    least = np.float32(0)
    if tops.size > limit:
        least = np.float32(np.partition(tops, tops.size - limit)[tops.size - limit])
    candidates = np.flatnonzero(total >= np.nextafter(least, np.float32(0)) if least > 0 else total)
    scores = total[candidates].astype(np.float32)
    above = scores > least
    chosen, marks = candidates[above], scores[above]
    if least > 0 and chosen.size < limit:  # ties at the end of the list: the first of them by number
        equal = candidates[scores == least][: limit - chosen.size]
        chosen = np.concatenate((chosen, equal))
        marks = np.concatenate((marks, np.full(equal.size, least)))
    return chosen[np.argsort(-marks, kind="stable")[:limit]]
