"""Candidates that a PostgreSQL server with pgvector selects, and what it does without."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pytest
from tests.support.postgres import Cluster, debian_cluster, opened, pgserver_cluster, server, sql
from tests.support.vectors import FINGERPRINT, Vectors, clustered, exact, stored

from rlem.memory.candidates import CandidateStore
from rlem.memory.store import Store
from rlem.memory.volatile import InMemoryStore

__all__ = ["debian_cluster", "pgserver_cluster", "server"]  # fixtures

ROWS = 3000


@dataclass
class Filled:
    """A memory with vectors, and the row of each by its digest."""

    url: str
    vectors: Vectors
    queries: Vectors
    names: dict[bytes, int]

    def best(self, query: Vectors, rows: list[int], k: int = 10) -> list[int]:
        """The k of these rows with the greatest cosine, the first one where they are equal."""
        scores = exact(self.vectors, query)
        return sorted(rows, key=lambda row: (-scores[row], row))[:k]


@pytest.fixture(scope="module")
def filled(pgserver_cluster: Cluster) -> Iterator[Filled]:
    """Three thousand vectors on the server of the package pgserver, which has pgvector."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("rlem.memory.postgres_vectors.FROM", 1000)
        vectors, queries = clustered(ROWS, 60, width=96)
        store = opened(pgserver_cluster.url())
        names = stored(store, vectors, batch=700)
        store.close()
        yield Filled(store.location, vectors, queries, names)


def test_the_vector_extension_is_found_where_it_is(pgserver_cluster: Cluster) -> None:
    """The server of the package pgserver offers pgvector."""
    store = opened(pgserver_cluster.url())
    version = store.vector_extension()
    assert version is not None
    assert version[0].isdigit()
    store.close()


def test_candidates_scored_exactly_are_what_exact_search_finds(filled: Filled) -> None:
    """Recall@10 is at least .99 with forty candidates, which come best first; the ten best of them are those
    of a search through all vectors wherever nothing was missed, and the index is what was searched."""
    store = opened(filled.url, read_only=True)
    everything, hits, equal = list(range(ROWS)), 0, 0
    for query in filled.queries:
        near = store.nearest(FINGERPRINT, query.tobytes(), 40)
        assert near is not None
        rows = [filled.names[name] for name in near]
        assert len(set(rows)) == 40
        scores = exact(filled.vectors, query)[rows]
        assert np.all(np.diff(scores) <= 1e-6)
        tenth = np.sort(exact(filled.vectors, query))[-10]
        hits += min(10, int((scores >= tenth).sum()))
        equal += filled.best(query, rows) == filled.best(query, everything)
    assert hits / (10 * len(filled.queries)) >= 0.99
    assert equal >= len(filled.queries) - 2
    store.close()
    from rlem.memory.postgres_vectors import _query

    plan = sql(filled.url, f"EXPLAIN {_query('public', FINGERPRINT, filled.queries[0].tobytes(), 40)}")
    assert any("Index Scan using vectors_" in line for (line,) in plan)


def test_what_is_stored_later_is_found_and_what_is_dropped_is_not(filled: Filled) -> None:
    """A vector is found as soon as its feature is stored, by itself, and never after it was dropped, not
    even after the files were wiped and the index made anew."""
    store = opened(filled.url)
    late = -filled.queries[0]
    for _ in range(2):
        with store.write():
            store.put_features({(FINGERPRINT, b"late"): late.tobytes()})
        assert (store.nearest(FINGERPRINT, late.tobytes(), 1) or [])[:1] == [b"late"]
        with store.write():
            store.drop_features([(FINGERPRINT, b"late")])
        found = store.nearest(FINGERPRINT, late.tobytes(), 10)
        assert found is not None
        assert b"late" not in found
        store.erase()
    assert len(store.nearest(FINGERPRINT, filled.queries[1].tobytes(), 20) or []) == 20
    store.close()


def test_an_index_that_was_not_finished_is_made_anew(filled: Filled) -> None:
    """Until then the store says that it cannot tell."""
    mark_invalid = (
        "UPDATE pg_index SET indisvalid = {} FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE c.oid = indexrelid AND relname ~ '^vectors_' AND nspname = current_schema()"
    )
    sql(filled.url, mark_invalid.format("false"))
    store, query = opened(filled.url), filled.queries[0].tobytes()
    assert store.nearest(FINGERPRINT, query, 5) is None
    with store.write():
        store.put_features({(FINGERPRINT, digest): b"" for digest in list(filled.names)[:1]})
    assert len(store.nearest(FINGERPRINT, query, 5) or []) == 5
    store.close()


def test_few_vectors_and_other_features_have_no_index(pgserver_cluster: Cluster) -> None:
    """Below the number from which it pays, and for features that are no vectors, nothing is selected."""
    store = opened(pgserver_cluster.url())
    with store.write():
        store.put_features({(FINGERPRINT, bytes([i])): bytes(8) for i in range(50)})
        store.put_features({("lexical:1", bytes([i])): b"x" for i in range(50)})
    assert store.nearest(FINGERPRINT, bytes(8), 5) is None
    assert store.nearest("lexical:1", b"x", 5) is None
    store.close()


def test_without_pgvector_nothing_is_selected(server: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a plain server the same writes work, and the store says that it cannot tell."""
    monkeypatch.setattr("rlem.memory.postgres_vectors.FROM", 20)
    store = opened(server.url())
    if store.vector_extension() is not None:
        pytest.skip("this server has pgvector")
    vectors, queries = clustered(60, 1, width=8)
    names = stored(store, vectors)
    assert store.nearest(FINGERPRINT, queries[0].tobytes(), 5) is None
    assert len(store.features(FINGERPRINT, list(names))) == 60
    assert store.revision() == 1
    store.close()


def test_the_ability_can_be_asked_for(server: Cluster) -> None:
    """A store on PostgreSQL has it, one in this process has not."""
    store: Store = opened(server.url())
    assert isinstance(store, CandidateStore)
    assert not isinstance(InMemoryStore(), CandidateStore)
    store.close()
