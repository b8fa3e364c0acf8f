"""Rows that are probably the nearest, found without scoring all: what ``Bank.best`` is made of."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rlem.core.errors import MissingExtraError
from rlem.similarity.base import Scores
from rlem.similarity.growing import Growing

Rows = NDArray[np.int64]

CONNECTIVITY, EXPANSION_ADD, EXPANSION_SEARCH = 32, 200, 128
"""Edges a node of the graph, and how many nodes are looked at to add and to find one (ADR 0010)."""

_AT_ONCE = 1 << 15
"""Rows that are derived at once: more would only take memory."""

_CHECKED = 64
"""Vectors of a saved graph that are compared with those of the rows."""


def among_best(scores: Scores, wanted: int) -> NDArray[np.bool_]:
    """Which scores are at least the ``wanted``-th best: all of its ties belong to them."""
    if wanted >= len(scores):
        return np.ones(len(scores), np.bool_)
    best: NDArray[np.bool_] = scores >= np.partition(scores, -wanted)[-wanted]
    return best


class Columns:
    """Rows of one width that are read column by column: each column lies in one piece.

    ``make`` turns a slice of ``items`` into rows; it is called for some at a time, to save memory.
    """

    def __init__(self, items: Any, make: Callable[[Any], NDArray[Any]]) -> None:
        starts = range(0, max(1, len(items)), _AT_ONCE)
        rows = np.concatenate([make(items[at : at + _AT_ONCE]) for at in starts])
        self._data = np.ascontiguousarray(rows.T)
        self._size = len(items)

    @property
    def view(self) -> NDArray[Any]:
        """Shape (width, rows)."""
        return self._data[:, : self._size]

    def put(self, row: int, values: NDArray[Any]) -> None:
        """Writes a row; rows between the last one and it hold zeros."""
        if row >= self._data.shape[1]:
            longer = np.zeros((len(self._data), max(row + 1, 2 * self._size)), self._data.dtype)
            longer[:, : self._size] = self.view
            self._data = longer
        self._size = max(self._size, row + 1)
        self._data[:, row] = values


class Signs:
    """The sign of each number of a vector, one bit; near is what differs in few bits.

        P[bits differ] = angle(q, i) / pi     for random directions, so the order is roughly the cosine's

    Source: Charikar 2002, section 3 (with the axes as the directions). What is found depends on the vectors
    alone, not on the order in which they came.
    """

    def __init__(self, vectors: NDArray[np.int16], filled: NDArray[np.bool_]) -> None:
        self._columns = Columns(vectors, _signs)
        self._far = 64 * len(self._columns.view) + 1
        self._start = Growing(np.uint16, fill=self._far)
        self._start.extend(np.where(filled, 0, self._far))

    def put(self, row: int, vector: NDArray[np.int16]) -> None:
        """Fills a row."""
        self._columns.put(row, _signs(vector[None])[0])
        self._start.reach(row + 1)
        self._start.view[row] = 0

    def drop(self, row: int) -> None:
        """Frees a row: from now on it is farther than all others."""
        self._start.view[row] = self._far

    def nearest(self, vector: NDArray[np.int16], count: int) -> Rows:
        """The ``count`` nearest rows and all that are as near as the last of them."""
        differing = self._start.view.copy()
        for column, word in zip(self._columns.view, _signs(vector[None])[0], strict=True):
            differing += np.bitwise_count(column ^ word)
        within = np.cumsum(np.bincount(differing))
        return np.flatnonzero(differing <= min(int(np.searchsorted(within, count)), self._far - 1))


def _signs(vectors: NDArray[np.int16]) -> NDArray[np.uint64]:
    """Which numbers are positive, 64 in a word."""
    bits = np.packbits(vectors > 0, axis=1)
    words = np.zeros((len(vectors), -(-vectors.shape[1] // 64)), np.uint64)
    words.view(np.uint8)[:, : bits.shape[1]] = bits
    return words


class Graph:
    """A graph of near neighbours (usearch) over vectors of bytes.

    Source: Malkov & Yashunin 2018 (HNSW).
    Errors: MissingExtraError if the extra "ann" is not installed.
    """

    def __init__(self, width: int) -> None:
        try:
            from usearch.index import Index
        except ImportError:
            raise MissingExtraError("a graph of near neighbours", "ann") from None
        self._index = Index(
            ndim=width,
            metric="cos",
            dtype="i8",
            connectivity=CONNECTIVITY,
            expansion_add=EXPANSION_ADD,
            expansion_search=EXPANSION_SEARCH,
        )

    @classmethod
    def loaded(cls, saved: bytes, vectors: NDArray[np.int16], rows: Rows) -> Graph | None:
        """The graph that ``dump`` saved, or None if it is broken or not the one of these filled rows."""
        # A wrong byte in a graph is no exception but a crash, so nothing is loaded whose checksum differs.
        data, checksum = memoryview(saved)[:-4], saved[-4:]
        if zlib.crc32(data) != int.from_bytes(checksum, "little"):
            return None
        graph = cls(vectors.shape[1])
        index = graph._index
        try:
            index.load(data)
        except RuntimeError:
            return None
        fits = (len(index), index.ndim) == (len(rows), vectors.shape[1])
        some = rows[:: max(1, len(rows) // _CHECKED)]
        if not fits or not np.all(index.contains(rows.astype(np.uint64))):
            return None
        same = np.array_equal(np.array([index.get(row) for row in some.tolist()]), _bytes(vectors[some]))
        return graph if same or not len(some) else None

    def dump(self) -> NDArray[np.uint8]:
        """The graph as bytes with their checksum."""
        data = bytes(self._index.save() or b"")
        return np.frombuffer(data + zlib.crc32(data).to_bytes(4, "little"), np.uint8)

    def put_many(self, rows: Rows, vectors: NDArray[np.int16], *, threads: int) -> None:
        """Fills these free rows with their vectors out of all; 0 threads: one for each core."""
        for at in range(0, len(rows), _AT_ONCE):
            some = rows[at : at + _AT_ONCE]
            self._index.add(some.astype(np.uint64), _bytes(vectors[some]), threads=threads)

    def put(self, row: int, vector: NDArray[np.int16]) -> None:
        """Fills a free row."""
        self._index.add(row, _bytes(vector))

    def drop(self, row: int) -> None:
        """Frees a row."""
        self._index.remove(row)

    def nearest(self, vector: NDArray[np.int16], count: int) -> Rows:
        """About the ``count`` nearest rows."""
        return self._index.search(_bytes(vector), count).keys.astype(np.int64)


def _bytes(vectors: NDArray[np.int16]) -> NDArray[np.int8]:
    """Each vector stretched so that its largest number is 127: the angle stays, the steps get finest."""
    largest = np.abs(vectors.astype(np.float32)).max(axis=-1, keepdims=True, initial=1.0)
    stretched: NDArray[np.int8] = np.rint(vectors * (127.0 / largest)).astype(np.int8)
    return stretched
