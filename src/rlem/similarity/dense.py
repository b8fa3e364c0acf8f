"""Vectors of unique texts, scored by cosine; from some number of rows on found through candidates."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rlem.core.errors import MissingExtraError
from rlem.similarity.base import Scores
from rlem.similarity.growing import Growing
from rlem.similarity.nearest import Graph, Rows, Signs, among_best

BEST_FROM = 100_000
"""Rows from which ``best`` answers."""

SIGNS_FETCHED, SIGNS_SHARE, GRAPH_FETCHED = 2000, 100, 40
"""How many candidates are scored for ten wanted rows: of sign bits 2000 or one row in 100, of a graph 40. Ten
times the wanted rows need five times the candidates. Measured: docs/adr/0010-approximate-search.md."""

_BLOCK = 1 << 18
"""Numbers multiplied at once. They stay in the cache, and BLAS starts no threads for so few: on a busy
machine waiting for the second one costs a hundred times what it saves."""

_FREE = -1.0

_log = logging.getLogger(__name__)


class DenseBank:
    """Vectors of 16-bit whole numbers by row, at most about 4000 long, scored by cosine.

        f(q, i) = max(0, q . i / (|q| |i|))

    A product is a sum of whole numbers below 2**24, which float32 adds without any rounding: the same score
    in whatever order, row or machine. ``scores`` is exact at any size. ``best`` looks at candidates from
    ``best_from`` rows on and scores those exactly; ``over_fetch`` texts are enough for a situation that is
    wanted. ``graph``: they come from a graph, built when it is first
    needed, not from sign bits.
    """

    over_fetch = 4

    def __init__(self, *, best_from: int = BEST_FROM, graph: bool = False) -> None:
        self.best_from = best_from
        self._wants_graph = graph
        self._rows: Growing | None = None
        self._lengths = Growing(np.float64, fill=int(_FREE))
        self._signs: Signs | None = None
        self._graph: Graph | None = None

    @property
    def method(self) -> str:
        """What ``best`` finds candidates with: "exact" (all are scored), "sign bits" or "graph"."""
        if self._lengths.size < self.best_from:
            return "exact"
        return "sign bits" if self._graph is None else "graph"

    def add(self, row: int, features: bytes) -> None:
        """Fills a row."""
        vector = np.frombuffer(features, "<i2")
        if self._rows is None:
            self._rows = Growing(np.int16, width=len(vector))
        self._rows.reach(row + 1)
        self._rows.view[row] = vector
        self._lengths.reach(row + 1)
        self._lengths.view[row] = _length(vector)
        for index in (self._signs, self._graph):
            if index is not None:
                index.put(row, vector)

    def remove(self, row: int) -> None:
        """Frees a row."""
        self._lengths.view[row] = _FREE
        for index in (self._signs, self._graph):
            if index is not None:
                index.drop(row)

    def scores(self, features: bytes) -> Scores:
        """Cosines, those below 0 as 0."""
        return self._scores(features, None)

    def scores_of(self, features: bytes, rows: Rows) -> Scores:
        """Cosines of these rows."""
        return self._scores(features, rows)

    def best(self, features: bytes, wanted: int) -> Rows | None:
        """The best of the candidates, ties at the boundary included; None below ``best_from`` rows."""
        if self._rows is None or self._lengths.size < self.best_from:
            return None
        if self._wants_graph and self._graph is None:
            self.build_graph()
        vector, times = np.frombuffer(features, "<i2"), (max(wanted, 10) / 10) ** 0.7
        if self._graph is not None:
            near = self._graph.nearest(vector, int(times * GRAPH_FETCHED))
        else:
            if self._signs is None:
                self._signs = Signs(self._rows.view, self._lengths.view >= 0.0)
            fetched = max(SIGNS_FETCHED, self._lengths.size // SIGNS_SHARE)
            near = self._signs.nearest(vector, int(times * fetched))
        return near[among_best(self._scores(features, near), wanted)]

    def build_graph(self, *, threads: int = 0) -> None:
        """Builds a graph for ``best`` to use instead of sign bits; 0 threads: one for each core.

        It takes minutes for a million rows, is kept up to date and dumped with the bank. Built by more than
        one thread it differs a little from time to time, and with it, rarely, what is found.
        Errors: MissingExtraError if the extra "ann" is not installed.
        """
        if self._rows is not None:
            filled = np.flatnonzero(self._lengths.view >= 0.0)
            graph = Graph(self._rows.view.shape[1])
            graph.put_many(filled, self._rows.view, threads=threads)
            self._graph, self._signs = graph, None

    def dump(self) -> dict[str, NDArray[Any]]:
        """Vectors, lengths (-1 in free rows) and the graph, if there is one."""
        parts: dict[str, NDArray[Any]] = {"lengths": self._lengths.view}
        if self._rows is not None:
            parts["vectors"] = self._rows.view
        if self._graph is not None:
            parts["graph"] = self._graph.dump()
        return parts

    def load(self, parts: Mapping[str, NDArray[Any]]) -> None:
        """A graph that does not fit the vectors, or cannot be read here, is left out."""
        self._lengths.replace(parts["lengths"])
        if "vectors" not in parts:
            return
        vectors = parts["vectors"]
        self._rows = Growing(np.int16, width=vectors.shape[1])
        self._rows.replace(vectors)
        if "graph" in parts:
            try:
                saved = parts["graph"].tobytes()
                self._graph = Graph.loaded(saved, vectors, np.flatnonzero(parts["lengths"] >= 0.0))
            except MissingExtraError as error:
                _log.info("sign bits are used instead of the saved graph: %s", error)

    def _scores(self, features: bytes, rows: Rows | None) -> Scores:
        if self._rows is None:
            return np.zeros(0)
        vector = np.frombuffer(features, "<i2").astype(np.float32)
        held, lengths = self._rows.view, self._lengths.view
        cosines = np.empty(len(held) if rows is None else len(rows))
        step = max(1, _BLOCK // max(1, len(vector)))
        for start in range(0, len(cosines), step):
            part = slice(start, start + step)
            block = held[part] if rows is None else held[rows[part]]
            cosines[part] = block.astype(np.float32) @ vector
        cosines /= np.maximum((lengths if rows is None else lengths[rows]) * _length(vector), 1.0)
        return np.clip(cosines, 0.0, 1.0, out=cosines)


def _length(vector: NDArray[Any]) -> float:
    return float(np.sqrt((vector.astype(np.float64) ** 2).sum()))
