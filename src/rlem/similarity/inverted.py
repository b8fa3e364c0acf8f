"""Inverted lists in numpy: exact cosines of a query with all texts of a bank, under changing IDF.

Postings lie in three places. Entries of new texts form the *tail*, unsorted. When the tail is long it is
merged into the *main* lists, sorted by feature; features that more than a quarter of all texts have are
kept there as *dense* columns, because adding a column is faster than following a list.

With A = ln(1 + N) + 1 and B_t = ln(1 + df_t) the IDF is A - B_t, and the squared length of a text is

    sum_t w_t^2 (A - B_t)^2 = A^2 S0 - 2 A S1 + S2,   S0 = sum w_t^2, S1 = sum w_t^2 B_t, S2 = sum w_t^2 B_t^2

so a changed N costs nothing and a changed df only the postings of that feature. A - B_t is at least 1:
nothing cancels, and what rounding adds up between two merges stays far below the ninth decimal.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from rlem.similarity.base import Scores
from rlem.similarity.growing import Growing

Ints = NDArray[np.int64]

TAIL_ENTRIES = 32_768
"""The tail is merged when it has more entries than this and than a 32nd of the main lists."""

_DENSE_SHARE = 4
"""A feature of more than one text in so many becomes a column."""


def pack(hashes: NDArray[np.uint32], codes: NDArray[np.uint8]) -> bytes:
    """Features as bytes: the hashes (ascending, little-endian), then a byte of weight for each."""
    return hashes.astype("<u4").tobytes() + codes.tobytes()


def unpack(features: bytes) -> tuple[NDArray[np.uint32], NDArray[np.uint8]]:
    """The hashes and weights that :func:`pack` packed."""
    count = len(features) // 5
    return np.frombuffer(features, "<u4", count), np.frombuffer(features, np.uint8, count, 4 * count)


class InvertedBank:
    """Bags of hashed features by row, scored by cosine. ``static``: without IDF.

    A text in a row is a *doc* inside, numbered in order of arrival, so that a row used again is not
    confused with the entries of its former text; these go at the next merge.
    """

    def __init__(self, *, static: bool = False, tail_entries: int = TAIL_ENTRIES) -> None:
        self._static = static
        self._tail_entries = tail_entries
        self._doc_of_row = Growing(np.int64, fill=-1)
        self._features_of_row: dict[int, Ints] = {}
        self._dead = 0
        # by feature number
        self._number: dict[int, int] = {}
        self._hash = Growing(np.uint32)
        self._free: list[int] = []
        self._df = Growing(np.int64)
        self._b = Growing(np.float64)  # the B_t that S1 and S2 contain
        self._changed: list[Ints] = []
        # by doc
        self._alive = Growing(np.bool_)
        self._s0 = Growing(np.float64)
        self._s1 = Growing(np.float64)
        self._s2 = Growing(np.float64)
        self._lengths: Scores | None = None
        # postings
        self._empty_tail()
        self._set_main(*_no_entries(), docs=0)

    def __len__(self) -> int:
        """Filled rows."""
        return len(self._features_of_row)

    @property
    def postings(self) -> int:
        """Entries that are kept, those of removed texts that no merge has swept out yet included."""
        return self._tail_docs.size + len(self._main_docs) + int(np.count_nonzero(self._dense))

    def add(self, row: int, features: bytes) -> None:
        """Fills a row."""
        hashes, codes = unpack(features)
        numbers = np.array([self._number_of(value) for value in hashes.tolist()], np.int64)
        doc = self._alive.size
        self._doc_of_row.reach(row + 1)
        self._doc_of_row.view[row] = doc
        self._features_of_row[row] = numbers.astype(np.int32)
        self._df.view[numbers] += 1
        self._changed.append(numbers)
        squares = codes.astype(np.float64) ** 2
        b = self._b.view[numbers]
        self._alive.extend(np.array([True]))
        for sums, value in ((self._s0, squares), (self._s1, squares * b), (self._s2, squares * b * b)):
            sums.extend(np.array([value.sum()]))
        self._tail_docs.extend(np.full(len(numbers), doc, np.int32))
        self._tail_features.extend(numbers)
        self._tail_codes.extend(codes)
        self._lengths = None

    def remove(self, row: int) -> None:
        """Frees a row."""
        numbers = self._features_of_row.pop(row)
        self._alive.view[self._doc_of_row.view[row]] = False
        self._doc_of_row.view[row] = -1
        self._dead += 1
        self._df.view[numbers] -= 1
        self._changed.append(numbers)
        self._lengths = None

    def scores(self, features: bytes) -> Scores:
        """Cosines with every row."""
        if not self._features_of_row:
            return np.zeros(self._doc_of_row.size)
        lengths = self._settle()
        hashes, codes = unpack(features)
        find = self._number.get
        numbers = np.array([find(value, -1) for value in hashes.tolist()], np.int64)
        known = numbers >= 0
        weights = codes.astype(np.float64)
        idf = np.ones(len(weights))
        if not self._static:
            idf *= self._a
            idf[known] -= self._b.view[numbers[known]]
        length = np.sqrt(((weights * idf) ** 2).sum())
        if length == 0.0:
            cosines = (lengths == 0.0).astype(np.float64)
        else:
            products = self._sum_postings(numbers[known], (weights * idf * idf)[known])
            # A text without features has length 0 and product 0.
            cosines = products / np.maximum(lengths * length, 1e-300)
            np.minimum(cosines, 1.0, out=cosines)
        taken: Scores = cosines[self._doc_of_row.view]
        return taken

    @property
    def _a(self) -> float:
        return float(np.log1p(len(self))) + 1.0

    def _number_of(self, value: int) -> int:
        """The feature number of a hash; a new one if need be."""
        known = self._number.get(value)
        if known is not None:
            return known
        number = self._free.pop() if self._free else self._hash.size
        self._number[value] = number
        for array in (self._hash, self._df, self._b):
            array.reach(number + 1)
        self._hash.view[number] = value
        return number

    def _settle(self) -> Scores:
        """Lengths of all docs under the present IDF; merges the tail first if it has grown long."""
        if self._lengths is not None:
            return self._lengths
        long_tail = self._tail_docs.size > max(self._tail_entries, len(self._main_docs) // 32)
        if long_tail or self._dead > len(self) + 1024:
            self._merge()
        else:
            self._apply_changes()
        squares = self._s0.view.copy()
        if not self._static:
            a = self._a
            squares = a * a * squares - 2.0 * a * self._s1.view + self._s2.view
        # A dead doc's sums may be stale, even below zero.
        self._lengths = np.sqrt(np.maximum(squares, 0.0))
        return self._lengths

    def _apply_changes(self) -> None:
        """Brings S1 and S2 to the present B of the features whose df changed."""
        if self._static or not self._changed:
            self._changed.clear()
            return
        numbers = np.unique(np.concatenate(self._changed))
        self._changed.clear()
        new, old = np.log1p(self._df.view[numbers]), self._b.view[numbers]
        moved = new != old
        numbers, new, old = numbers[moved], new[moved], old[moved]
        self._s1.view[:] += self._sum_postings(numbers, new - old, squared=True)
        self._s2.view[:] += self._sum_postings(numbers, new * new - old * old, squared=True)
        self._b.view[numbers] = new

    def _sum_postings(self, numbers: Ints, factors: Scores, *, squared: bool = False) -> Scores:
        """For each doc the sum of its weights (or squared weights) of these features, times the factors."""
        by_number = np.zeros(self._df.size)
        by_number[numbers] = factors
        tail_factors = by_number[self._tail_features.view]
        total = _weighted_count(
            self._tail_docs.view, self._tail_codes.view, tail_factors, squared, self._alive.size
        )
        inside = numbers < len(self._main_starts) - 1
        numbers, factors = numbers[inside], factors[inside]
        starts, ends = self._main_starts[numbers], self._main_starts[numbers + 1]
        spans = [slice(*span) for span in zip(starts.tolist(), ends.tolist(), strict=True)]
        if spans:
            docs = np.concatenate([self._main_docs[span] for span in spans])
            codes = np.concatenate([self._main_codes[span] for span in spans])
            total += _weighted_count(docs, codes, np.repeat(factors, ends - starts), squared, len(total))
        dense = self._dense_of[numbers]
        size = self._dense.shape[1]
        product = np.empty(size)
        for column, factor in zip(dense[dense >= 0].tolist(), factors[dense >= 0].tolist(), strict=True):
            codes = self._dense[column]
            np.multiply(codes, factor, out=product)
            if squared:
                np.multiply(product, codes, out=product)
            total[:size] += product
        return total

    def _merge(self) -> None:
        """Sorts everything alive into the main lists, renumbers the docs and computes S1 and S2 anew."""
        columns, column_docs = np.nonzero(self._dense)
        counts = np.diff(self._main_starts)
        dense_numbers = np.flatnonzero(self._dense_of >= 0)
        dense_numbers = dense_numbers[np.argsort(self._dense_of[dense_numbers])]
        parts = (
            (dense_numbers[columns], column_docs, self._dense[columns, column_docs]),
            (np.repeat(np.arange(len(counts)), counts), self._main_docs, self._main_codes),
            (self._tail_features.view, self._tail_docs.view, self._tail_codes.view),
        )
        numbers: Ints = np.concatenate([part[0] for part in parts])
        docs: Ints = np.concatenate([part[1] for part in parts])
        codes: NDArray[np.uint8] = np.concatenate([part[2] for part in parts])
        alive = self._alive.view
        new_number = np.cumsum(alive) - 1
        keep = alive[docs]
        numbers, docs, codes = numbers[keep], new_number[docs[keep]], codes[keep]
        rows = self._doc_of_row.view
        rows[rows >= 0] = new_number[rows[rows >= 0]]
        self._s0.replace(self._s0.view[alive])
        self._alive.replace(alive[alive])
        self._dead = 0
        self._empty_tail()
        self._drop_unused_features()
        self._set_main(numbers, docs, codes, docs=self._alive.size)

    def _empty_tail(self) -> None:
        """New arrays, not cleared ones: after a bulk load the old ones are as long as the main lists."""
        self._tail_docs, self._tail_features = Growing(np.int32), Growing(np.int32)
        self._tail_codes = Growing(np.uint8)

    def _drop_unused_features(self) -> None:
        """Gives the numbers of features that no text has any more to those to come."""
        unused = np.zeros(self._df.size, bool)
        unused[self._free] = True
        for number in np.flatnonzero((self._df.view == 0) & ~unused).tolist():
            del self._number[int(self._hash.view[number])]
            self._free.append(number)

    def _set_main(self, numbers: Ints, docs_of: Ints, codes: NDArray[np.uint8], *, docs: int) -> None:
        """Makes main lists, dense columns and sums of these entries, each in one of the two."""
        size = self._df.size
        self._changed.clear()
        b = np.log1p(self._df.view)
        self._b.replace(b)
        squares = codes.astype(np.float64) ** 2
        for power, sums in ((1, self._s1), (2, self._s2)):
            weights = squares * (b**power)[numbers]
            sums.replace(np.bincount(docs_of, weights=weights, minlength=docs).astype(np.float64))
        common = np.flatnonzero(self._df.view * _DENSE_SHARE > max(docs, 1))
        self._dense_of: Ints = np.full(size, -1)
        self._dense_of[common] = np.arange(len(common))
        self._dense: NDArray[np.uint8] = np.zeros((len(common), docs), np.uint8)
        column = self._dense_of[numbers]
        is_dense = column >= 0
        self._dense[column[is_dense], docs_of[is_dense]] = codes[is_dense]
        numbers, docs_of, codes = numbers[~is_dense], docs_of[~is_dense], codes[~is_dense]
        order = np.argsort(numbers, kind="stable")
        self._main_docs: NDArray[np.int32] = docs_of[order].astype(np.int32)
        self._main_codes: NDArray[np.uint8] = codes[order]
        self._main_starts: Ints = np.zeros(size + 1, np.int64)
        np.cumsum(np.bincount(numbers, minlength=size), out=self._main_starts[1:])


def _weighted_count(
    docs: NDArray[Any], codes: NDArray[np.uint8], factors: Scores, squared: bool, size: int
) -> Scores:
    """The sum of code (or its square) times factor for each doc."""
    weights = codes * factors
    if squared:
        weights *= codes
    return np.bincount(docs, weights=weights, minlength=size).astype(np.float64, copy=False)


def _no_entries() -> tuple[Ints, Ints, NDArray[np.uint8]]:
    return np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.uint8)
