"""Bags of hashed features in numpy: exact cosines of a query with the texts of a bank, under changing IDF.

New texts form the *tail*. When it is long, it becomes a run of sorted postings (postings.py), and with it the
youngest runs that are not much longer; so there are few runs, and a text is sorted anew only a few times.

With A = ln(1 + N) + 1 and B_t = ln(1 + df_t) the IDF is A - B_t, and the squared length of a text is

    sum_t w_t^2 (A - B_t)^2 = A^2 S0 - 2 A S1 + S2,   S0 = sum w_t^2, S1 = sum w_t^2 B_t, S2 = sum w_t^2 B_t^2

so a changed N costs nothing and a changed df only the postings of that feature. A - B_t is at least 1:
nothing cancels, and what rounding adds up over a million changes stays far below the ninth decimal.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rlem.similarity.base import Scores
from rlem.similarity.growing import Growing
from rlem.similarity.postings import Codes, Ints, Postings, count, ragged

TAIL_ENTRIES = 16_384
"""The tail becomes a run of postings when it has more entries than this. And when more texts were removed
than are left (and than a 16th of this number), everything is sorted anew without them."""

_RUN_RATIO = 4
"""A run that is not so many times longer than what comes after it is merged with it."""

SEARCH_FROM = 20_000
"""Fewer texts than this are all scored."""

_LISTED_AT_MOST = 300_000
"""Postings that a search for the best rows follows, those of the weightiest features first."""

_SAMPLE = 32_768
"""Values that tell how high the best rows lie."""

_ARRAYS = ("doc_of_row", "row_of_doc", "alive", "s0", "s1", "s2", "hash", "df", "b")
"""What ``dump`` keeps beside the runs."""


def pack(hashes: NDArray[np.uint32], codes: Codes) -> bytes:
    """Features as bytes: the hashes (ascending, little-endian), then a byte of weight for each."""
    return hashes.astype("<u4").tobytes() + codes.tobytes()


def unpack(features: bytes) -> tuple[NDArray[np.uint32], Codes]:
    """The hashes and weights that :func:`pack` packed."""
    size = len(features) // 5
    return np.frombuffer(features, "<u4", size), np.frombuffer(features, np.uint8, size, 4 * size)


@dataclass(frozen=True, slots=True)
class _Query:
    """The known features by ascending number, the factor of each, and the length of the whole."""

    numbers: Ints
    factors: Scores
    length: float


class InvertedBank:
    """Bags of hashed features by row, scored by cosine. ``static``: without IDF.

    A text in a row is a *doc* inside, numbered in order of arrival, so that a row used again is not
    confused with the entries of its former text; these go when their run is merged.
    """

    def __init__(self, *, static: bool = False, tail_entries: int = TAIL_ENTRIES) -> None:
        self.best_from = SEARCH_FROM
        self._static = static
        self._tail_entries = tail_entries
        self._doc_of_row = Growing(np.int64, fill=-1)
        self._row_of_doc = Growing(np.int64)
        self._alive = Growing(np.bool_)
        self._s0, self._s1, self._s2 = (Growing(np.float64) for _ in range(3))
        self._hash, self._df = Growing(np.uint32), Growing(np.int64)
        self._b = Growing(np.float64)  # the B_t that S1 and S2 contain
        self._moved = Growing(np.bool_)  # its df may have moved since S1 and S2 were summed
        self._factor = Growing(np.float64)  # of the present query; all 0 between two
        self._number: dict[int, int] = {}
        self._runs: list[Postings] = []
        self._start_over()

    def _start_over(self) -> None:
        """What follows from the rest when all docs are in runs."""
        self._in_order = bool(np.array_equal(self._doc_of_row.view, self._row_of_doc.view))
        self._dead = int(np.count_nonzero(~self._alive.view))
        self._inverse: Scores | None = None
        self._rough: Scores | None = None
        self._empty_tail()

    def _empty_tail(self) -> None:
        """New arrays, not cleared ones: after a bulk load the old ones are long."""
        self._tail_docs, self._tail_numbers = Growing(np.int32), Growing(np.int32)
        self._tail_codes = Growing(np.uint8)

    def __len__(self) -> int:
        """Filled rows."""
        return self._alive.size - self._dead

    @property
    def postings(self) -> int:
        """Entries that are kept, those of removed texts that no merge has swept out yet included."""
        return self._tail_docs.size + sum(len(run.numbers) + run.patterns.size for run in self._runs)

    def add(self, row: int, features: bytes) -> None:
        """Fills a row."""
        hashes, codes = unpack(features)
        numbers = self._numbers_of(hashes.tolist())
        order = np.argsort(numbers)
        numbers, codes = numbers[order], codes[order]
        doc = self._alive.size
        self._in_order = self._in_order and row == doc
        self._doc_of_row.reach(row + 1)
        self._doc_of_row.view[row] = doc
        squares = codes.astype(np.float64) ** 2
        b = self._b.view[numbers]
        self._row_of_doc.append(row)
        self._alive.append(True)
        self._s0.append(squares.sum())
        self._s1.append((squares * b).sum())
        self._s2.append((squares * b * b).sum())
        self._tail_docs.extend(np.full(len(numbers), doc, np.int32))
        self._tail_numbers.extend(numbers)
        self._tail_codes.extend(codes)
        self._change(numbers, 1)

    def remove(self, row: int) -> None:
        """Frees a row."""
        doc = int(self._doc_of_row.view[row])
        self._alive.view[doc] = False
        self._dead += 1
        self._change(self._features_of(doc), -1)

    def scores(self, features: bytes) -> Scores:
        """Cosines with every row."""
        if not len(self):
            return np.zeros(self._doc_of_row.size)
        query = self._query(features)
        if self._inverse is None:
            self._inverse = self._inverse_lengths(slice(None))
        if not query.length:
            cosines: Scores = (self._s0.view == 0.0).astype(np.float64)
        else:
            cosines = self._cosines(query, self._sums(query.numbers, query.factors), self._inverse)
        return cosines if self._in_order else cosines[self._doc_of_row.view]

    def scores_of(self, features: bytes, rows: Ints) -> Scores:
        """Cosines with these rows only."""
        query = self._query(features)
        docs = self._doc_of_row.view[rows]
        if not query.length:
            empty: Scores = (self._s0.view[docs] == 0.0).astype(np.float64)
            return empty
        return self._cosines(query, self._sums_of(docs, query), self._inverse_lengths(docs))

    def best(self, features: bytes, wanted: int) -> Ints | None:
        """Rows that are best by their weightiest listed features, and all rows in the tail.

        None also if too few rows have any of these features.
        """
        if len(self) < self.best_from:
            return None
        query = self._query(features)
        order = np.argsort(-query.factors)
        total = self._rough_sums(query.numbers[order], query.factors[order])
        if self._rough is None:
            self._rough = self._inverse_lengths(slice(0, len(total)))
        total *= self._rough
        if self._dead:
            total *= self._alive.view[: len(total)]
        docs = np.flatnonzero(total > _bar(total, wanted))
        if 2 * len(docs) < wanted:
            return None
        docs = np.concatenate([docs, np.arange(len(total), self._alive.size)])
        rows: Ints = self._row_of_doc.view[docs[self._alive.view[docs]]]
        return rows

    def dump(self) -> dict[str, NDArray[Any]]:
        """Everything, the tail as a run of its own."""
        self._settle(flush=True)
        parts = {name: getattr(self, f"_{name}").view for name in _ARRAYS}
        for place, run in enumerate(self._runs):
            parts |= {f"run{place}.{name}": array for name, array in run.dump().items()}
        return parts

    def load(self, parts: Mapping[str, NDArray[Any]]) -> None:
        """Takes over what ``dump`` gave; the runs without copying."""
        for name in _ARRAYS:
            getattr(self, f"_{name}").replace(parts[name])
        for array in (self._moved, self._factor):
            array.reach(self._hash.size)
        self._number = dict(zip(self._hash.view.tolist(), range(self._hash.size), strict=True))
        while f"run{len(self._runs)}.starts" in parts:
            self._runs.append(Postings.load(parts, f"run{len(self._runs)}."))
        self._start_over()

    # -- a query -------------------------------------------------------------------------------------

    def _query(self, features: bytes) -> _Query:
        """The query's features under the present IDF."""
        self._settle()
        hashes, codes = unpack(features)
        found = map(self._number.get, hashes.tolist(), itertools.repeat(-1))
        numbers = np.fromiter(found, np.int64, len(hashes))
        known = numbers >= 0
        weights, idf = codes.astype(np.float64), np.ones(len(codes))
        if not self._static:
            idf *= self._a
            idf[known] -= self._b.view[numbers[known]]
        length = float(np.sqrt(((weights * idf) ** 2).sum()))
        numbers, factors = numbers[known], (weights * idf * idf)[known]
        order = np.argsort(numbers)
        return _Query(numbers[order], factors[order], length)

    @property
    def _a(self) -> float:
        return float(np.log1p(len(self))) + 1.0

    def _inverse_lengths(self, docs: Ints | slice) -> Scores:
        """One over the lengths of docs under the present IDF; a large number for a text without features."""
        squares = self._s0.view[docs]
        if not self._static:
            a = self._a
            squares = a * a * squares - 2.0 * a * self._s1.view[docs] + self._s2.view[docs]
        # A dead doc's sums may be stale, even below zero.
        inverse: Scores = 1.0 / np.sqrt(np.maximum(squares, 1e-300))
        return inverse

    @staticmethod
    def _cosines(query: _Query, products: Scores, inverse_lengths: Scores) -> Scores:
        """A text without features has product 0."""
        products *= inverse_lengths
        products *= 1.0 / query.length
        return np.minimum(products, 1.0, out=products)

    def _sums(self, numbers: Ints, factors: Scores, *, squared: bool = False) -> Scores:
        """For each doc the sum of its codes (or squared codes) of these features, times the factors."""
        parts = [run.sums(numbers, factors, squared=squared) for run in self._runs]
        done = sum(map(len, parts))
        if done < self._alive.size:
            self._factor.view[numbers] = factors
            weights = self._tail_codes.view * self._factor.view[self._tail_numbers.view]
            self._factor.view[numbers] = 0.0
            if squared:
                weights *= self._tail_codes.view
            parts.append(count(self._tail_docs.view - done, weights, self._alive.size - done))
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def _sums_of(self, docs: Ints, query: _Query) -> Scores:
        """``_sums(numbers, factors)[docs]``, bit for bit."""
        total = np.zeros(len(docs))
        self._factor.view[query.numbers] = query.factors
        start = 0
        for run in self._runs:
            inside = (docs >= start) & (docs < start + len(run))
            total[inside] = run.sums_of(docs[inside] - start, query.numbers, query.factors, self._factor.view)
            start += len(run)
        inside = docs >= start
        places, counts = ragged(*self._tail_spans(docs[inside]))
        weights = self._tail_codes.view[places] * self._factor.view[self._tail_numbers.view[places]]
        total[inside] = count(np.repeat(np.arange(len(counts)), counts), weights, len(counts))
        self._factor.view[query.numbers] = 0.0
        return total

    def _tail_spans(self, docs: Any) -> tuple[Any, Any]:
        """Where the entries of docs begin and end in the tail."""
        tail = self._tail_docs.view
        return np.searchsorted(tail, docs), np.searchsorted(tail, docs, side="right")

    def _rough_sums(self, numbers: Ints, factors: Scores) -> Scores:
        """For each doc in a run the sum over features in the order given, as many as may be followed."""
        parts = []
        share = _LISTED_AT_MOST / max(sum(map(len, self._runs)), 1)
        for run in self._runs:
            inside = numbers < len(run.column)
            parts.append(run.rough_sums(numbers[inside], factors[inside], int(share * len(run))))
        return np.concatenate([np.zeros(0), *parts])

    # -- changes -------------------------------------------------------------------------------------

    def _numbers_of(self, hashes: list[int]) -> Ints:
        """The feature numbers of hashes, new ones if need be."""
        known = self._number
        numbers = np.array([known.setdefault(value, len(known)) for value in hashes], np.int64)
        if len(known) > self._hash.size:
            for array in (self._hash, self._df, self._b, self._moved, self._factor):
                array.reach(len(known))
            self._hash.view[numbers] = hashes
        return numbers

    def _features_of(self, doc: int) -> Ints:
        for run in self._runs:
            if doc < len(run):
                return run.features_of(doc)
            doc -= len(run)
        start, end = self._tail_spans(doc + sum(map(len, self._runs)))
        return self._tail_numbers.view[start:end].astype(np.int64)

    def _change(self, numbers: Ints, difference: int) -> None:
        self._df.view[numbers] += difference
        self._moved.view[numbers] = True
        self._inverse = None

    def _settle(self, *, flush: bool = False) -> None:
        """Sorts a long tail into runs and brings S1 and S2 to the present df."""
        if self._dead > len(self) + self._tail_entries // 16:
            self._rebuild()
        elif self._tail_docs.size > (0 if flush else self._tail_entries):
            self._flush()
        numbers = np.flatnonzero(self._moved.view)
        self._moved.view[numbers] = False
        if self._static or not len(numbers):
            return
        new, old = np.log1p(self._df.view[numbers]), self._b.view[numbers]
        moved = new != old
        numbers, new, old = numbers[moved], new[moved], old[moved]
        self._s1.view[:] += self._sums(numbers, new - old, squared=True)
        self._s2.view[:] += self._sums(numbers, new * new - old * old, squared=True)
        self._b.view[numbers] = new

    def _flush(self) -> None:
        """Makes a run of the tail and of the youngest runs that are not much longer."""
        first, start = len(self._runs), sum(map(len, self._runs))
        while first and len(self._runs[first - 1]) < _RUN_RATIO * (self._alive.size - start):
            first -= 1
            start -= len(self._runs[first])
        docs, numbers, codes = self._take_entries(first, start)
        shape = (self._alive.size - start, self._df.size)
        self._runs.append(Postings.build(docs - start, numbers, codes, shape))

    def _rebuild(self) -> None:
        """Drops removed texts and unused features for good. A doc gets the number of its row."""
        docs, numbers, codes = self._take_entries(0, 0)
        rows, used = self._row_of_doc.view, self._df.view > 0
        filled, s0 = np.zeros(self._doc_of_row.size, bool), np.zeros(self._doc_of_row.size)
        alive = self._alive.view
        filled[rows[alive]] = True
        s0[rows[alive]] = self._s0.view[alive]
        docs, numbers = rows[docs], (np.cumsum(used) - 1)[numbers]
        for array in (self._doc_of_row, self._row_of_doc):
            array.replace(np.arange(len(filled)))
        self._alive.replace(filled)
        for array, values in ((self._s0, s0), (self._s1, 0.0 * s0), (self._s2, 0.0 * s0)):
            array.replace(values)
        self._hash.replace(self._hash.view[used])
        self._df.replace(self._df.view[used])
        for array in (self._b, self._factor):
            array.replace(np.zeros(self._df.size))
        self._moved.replace(np.ones(self._df.size, bool))
        self._number = dict(zip(self._hash.view.tolist(), range(self._df.size), strict=True))
        self._runs = [Postings.build(docs, numbers, codes, (len(filled), self._df.size))]
        self._start_over()

    def _take_entries(self, first: int, start: int) -> tuple[NDArray[Any], NDArray[Any], Codes]:
        """Takes the entries of living docs out of the tail and of the runs from ``first`` on."""
        parts = []
        for run in self._runs[first:]:
            docs, numbers, codes = run.entries()
            parts.append((docs + start, numbers, codes))
            start += len(run)
        parts.append((self._tail_docs.view, self._tail_numbers.view, self._tail_codes.view))
        docs, numbers, codes = (np.concatenate(part) for part in zip(*parts, strict=True))
        alive = self._alive.view[docs]
        del self._runs[first:]
        self._empty_tail()
        self._rough = None
        return docs[alive], numbers[alive], codes[alive]


def _bar(values: Scores, wanted: int) -> float:
    """About the value above which so many lie, told from a sample; at least 0."""
    step = max(1, len(values) // _SAMPLE)
    sample = values[::step]
    sample = np.sort(sample[sample > 0.0])
    place = wanted // step + 1
    return float(sample[-place]) if place <= len(sample) else 0.0
