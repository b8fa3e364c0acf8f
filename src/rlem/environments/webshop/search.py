"""Ranked search over the products' texts: BM25 with the original's numbers, in its order.

    score(q, d) = sum_t n_t(q) idf(t) (1 - 1 / (1 + f_t(d) / (k1 (1 - b + b |d| / avg))))
    idf(t)      = ln(1 + (N - df + 1/2) / (df + 1/2))              k1 = 0.9, b = 0.4
    Source: Robertson & Zaragoza 2009, eq. 3.16; in Lucene's form (no factor k1 + 1)

The length |d| is kept in one byte (4 significant bits), arithmetic is float32, and ties go to the
lower product id: rankings equal Lucene's.
"""

from __future__ import annotations

import math
from array import array
from collections import Counter
from collections.abc import Iterable
from itertools import chain
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from rlem.environments.webshop.analysis import terms

K1 = 0.9
B = 0.4
_EXACT_LENGTHS = 24
"""Lengths below this are stored as they are."""


def rounded_length(length: int) -> int:
    """A document length after its trip through one byte.

    >>> [rounded_length(n) for n in (0, 23, 41, 152, 1000)]
    [0, 23, 40, 152, 984]
    """
    if length < _EXACT_LENGTHS:
        return length
    rest = length - _EXACT_LENGTHS
    shift = max(rest.bit_length() - 4, 0)
    return _EXACT_LENGTHS + ((rest >> shift) << shift)


class Ranking(Protocol):
    """What a shop asks of a search engine."""

    def search(self, query: str, limit: int = 50) -> tuple[str, ...]:
        """Ids of the best ``limit`` documents that share a term with the query, best first."""
        ...


class SearchIndex:
    """Postings over documents; immutable once built, so threads share one.

    ``documents`` are (id, text) pairs; ids are unique. Memory: 8 bytes a posting besides the terms.
    """

    def __init__(self, documents: Iterable[tuple[str, str]]) -> None:
        ordered = sorted(documents)  # a document's number is its rank among the ids: ties need no key
        self.ids: tuple[str, ...] = tuple(name for name, _ in ordered)
        occurrences: dict[str, array[int]] = {}  # arrays: a large shop has a hundred million postings
        counts: dict[str, array[int]] = {}
        lengths = np.zeros(len(ordered), dtype=np.int64)
        for number, (_, text) in enumerate(ordered):
            found = terms(text)
            lengths[number] = len(found)
            for word, count in Counter(found).items():
                if word not in occurrences:
                    occurrences[word], counts[word] = array("i"), array("i")
                occurrences[word].append(number)
                counts[word].append(count)
        self._rows = {word: row for row, word in enumerate(occurrences)}
        sizes = np.array([len(documents) for documents in occurrences.values()], dtype=np.int64)
        self._starts = np.concatenate(([0], np.cumsum(sizes)))
        self._documents = np.fromiter(chain.from_iterable(occurrences.values()), dtype=np.int32)
        frequency = np.fromiter(chain.from_iterable(counts.values()), dtype=np.float32)
        rounded = np.array([rounded_length(int(n)) for n in lengths], dtype=np.float32)
        factors = length_factors(rounded, int(lengths.sum()), len(ordered))
        self._denominators = np.float32(1) + frequency * factors[self._documents]
        self._idf = idf(len(ordered), sizes)

    def scores(self, query: str) -> NDArray[np.float32]:
        """Score of every document (by number) for a query; 0 where no term occurs."""
        total = np.zeros(len(self.ids), dtype=np.float64)
        for word, repeats in Counter(terms(query)).items():
            row = self._rows.get(word)
            if row is None:
                continue
            part = slice(self._starts[row], self._starts[row + 1])
            weight = np.float32(repeats) * self._idf[row]
            total[self._documents[part]] += weight - weight / self._denominators[part]
        return total.astype(np.float32)

    def search(self, query: str, limit: int = 50) -> tuple[str, ...]:
        """Ids of the best ``limit`` documents that share a term with the query, best first."""
        scores = self.scores(query)
        matching = np.flatnonzero(scores)
        if matching.size > limit:
            threshold = np.partition(scores[matching], matching.size - limit)[matching.size - limit]
            matching = matching[scores[matching] >= threshold]
        best = matching[np.argsort(-scores[matching], kind="stable")[:limit]]
        return tuple([self.ids[number] for number in best.tolist()])


def length_factors(rounded: NDArray[np.float32], total: int, count: int) -> NDArray[np.float32]:
    """1 / (k1 (1 - b + b |d| / avg)) of rounded lengths, in float32 as the original computes it.

    ``total``: sum of the exact lengths of all ``count`` documents.
    """
    average = np.float32(max(total, 1) / max(count, 1))
    k1, b, one = np.float32(K1), np.float32(B), np.float32(1)
    factors: NDArray[np.float32] = one / (k1 * ((one - b) + b * rounded / average))
    return factors


def idf(size: int, frequencies: NDArray[np.int64]) -> NDArray[np.float32]:
    """Inverse document frequency of each term, among ``size`` documents."""
    values = [math.log(1 + (size - int(n) + 0.5) / (int(n) + 0.5)) for n in frequencies]
    return np.array(values, dtype=np.float32)
