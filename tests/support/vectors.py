"""Clustered vectors, as sentence embeddings of alike tasks are: to search with and without an index."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from rlem.similarity.fields import digest

if TYPE_CHECKING:
    from rlem.memory.postgres import PostgresStore

FINGERPRINT = "embedding:1:task:test"

Vectors = NDArray[np.int16]


def clustered(count: int, queries: int, *, width: int = 384, seed: int = 1) -> tuple[Vectors, Vectors]:
    """Vectors of length 4000 around a centre for each thirty of them, and queries around the same centres."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(count // 30 + 1, width))

    def around(number: int) -> Vectors:
        found = centres[rng.integers(len(centres), size=number)] + 0.6 * rng.normal(size=(number, width))
        found *= 4000 / np.linalg.norm(found, axis=1, keepdims=True)
        return np.rint(found).astype("<i2")

    return around(count), around(queries)


def exact(vectors: Vectors, query: Vectors) -> NDArray[np.float64]:
    """Cosines of a query with all vectors."""
    rows = vectors.astype(np.float64)
    found: NDArray[np.float64] = rows @ query.astype(np.float64)
    found /= np.linalg.norm(rows, axis=1)
    return found


def stored(store: PostgresStore, vectors: Vectors, *, batch: int = 5000) -> dict[bytes, int]:
    """Stores vectors as features; returns the row of each by its text's digest."""
    names = {digest(f"text {row}"): row for row in range(len(vectors))}
    items = [((FINGERPRINT, name), vectors[row].tobytes()) for name, row in names.items()]
    for begin in range(0, len(items), batch):
        with store.write():
            store.put_features(dict(items[begin : begin + batch]))
    return names
