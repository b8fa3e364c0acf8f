"""Vectors by row: exact scores, candidates, and the graph that is never trusted over the vectors."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from rlem.core.errors import MissingExtraError
from rlem.similarity.base import Bank
from rlem.similarity.dense import DenseBank
from rlem.similarity.nearest import Columns

WIDTH = 70
"""No multiple of 64: the last word of the signs is not full."""

Vectors = NDArray[np.int16]


def vectors(count: int, *, seed: int = 0) -> Vectors:
    """Vectors of length 1 in steps of 1/4000, ten around each of some centres."""
    rng = np.random.default_rng(seed)
    centres = np.repeat(rng.normal(size=(count // 10 + 1, WIDTH)), 10, axis=0)[:count]
    values = centres + 0.6 * rng.normal(size=centres.shape)
    scaled: Vectors = np.rint(4000 * values / np.linalg.norm(values, axis=1, keepdims=True)).astype("<i2")
    return scaled


def filled(data: Vectors, **settings: Any) -> DenseBank:
    """A bank with these vectors in its rows."""
    bank = DenseBank(**settings)
    for row, vector in enumerate(data):
        bank.add(row, vector.tobytes())
    return bank


def recall(bank: DenseBank, queries: Vectors, wanted: int) -> float:
    """Share of found rows that score at least the wanted-th exact score."""
    hits = 0
    for query in queries:
        found = bank.best(query.tobytes(), wanted)
        assert found is not None
        tenth = np.sort(bank.scores(query.tobytes()))[-wanted]
        hits += min(wanted, int((bank.scores_of(query.tobytes(), found) >= tenth).sum()))
    return hits / wanted / len(queries)


def test_scores_are_cosines() -> None:
    """Scores are the cosines of the vectors, negative ones 0, over all blocks of a large bank."""
    data = vectors(9000)
    bank = filled(data)
    query = data[4321].astype(float)
    norms = np.linalg.norm(data.astype(float), axis=1)
    expected = np.maximum(data.astype(float) @ query / norms / norms[4321], 0.0)
    np.testing.assert_allclose(bank.scores(data[4321].tobytes()), expected, rtol=0, atol=1e-12)
    assert expected.min() == 0.0


ROWS = st.lists(st.integers(0, 39), min_size=1, max_size=30)


@given(rows=ROWS, query=st.integers(0, 39))
def test_scores_of_some_rows(rows: list[int], query: int) -> None:
    """The scores of some rows are those of all rows there, bit for bit."""
    data = vectors(40)
    bank, chosen = filled(data), np.array(rows)
    assert np.array_equal(
        bank.scores_of(data[query].tobytes(), chosen), bank.scores(data[query].tobytes())[chosen]
    )


CHANGES = st.lists(st.tuples(st.integers(0, 11), st.integers(0, 199)), max_size=25)


def change(bank: Bank, held: dict[int, int], data: Vectors, changes: list[tuple[int, int]]) -> None:
    """Frees a row that is filled and fills one that is free."""
    for row, number in changes:
        if row in held:
            bank.remove(row)
            del held[row]
        else:
            bank.add(row, data[number].tobytes())
            held[row] = number


@pytest.mark.parametrize("graph", [False, True])
@given(before=CHANGES, after=CHANGES)
def test_loaded_bank_goes_on_like_the_original(
    graph: bool, before: list[tuple[int, int]], after: list[tuple[int, int]]
) -> None:
    """A dump, read only, makes a bank that scores and changes like the one it was taken of."""
    if graph:
        pytest.importorskip("usearch", reason="the extra 'ann' is not installed")
    data = vectors(200)
    original, held = DenseBank(best_from=1), dict[int, int]()
    change(original, held, data, before)
    if graph:
        original.build_graph(threads=1)
    parts = original.dump()
    parts = {
        name: np.frombuffer(part.tobytes(), part.dtype).reshape(part.shape) for name, part in parts.items()
    }
    loaded = DenseBank(best_from=1)
    loaded.load(parts)
    assert loaded.method == original.method
    change(original, dict(held), data, after)
    change(loaded, held, data, after)
    query, rows = data[7].tobytes(), np.array(sorted(held), np.int64)
    assert np.array_equal(original.scores_of(query, rows), loaded.scores_of(query, rows))
    if held:
        best = loaded.best(query, 3)
        assert best is not None
        assert set(best.tolist()) <= set(held)
        top = np.sort(original.scores_of(query, rows))[-3:]
        assert np.array_equal(np.sort(loaded.scores_of(query, best))[-3:], top)


def test_few_rows_are_all_scored() -> None:
    """Below the threshold best answers None, from it on with the rows whose scores reach the wanted-th."""
    data = vectors(50)
    assert filled(data, best_from=51).best(data[0].tobytes(), 5) is None
    assert filled(data, best_from=51).method == "exact"
    bank = filled(data, best_from=50)
    assert bank.method == "sign bits"
    found = bank.best(data[0].tobytes(), 5)
    assert found is not None
    scores = bank.scores(data[0].tobytes())
    assert sorted(found.tolist()) == np.flatnonzero(scores >= np.sort(scores)[-5]).tolist()
    assert DenseBank(best_from=0).best(data[0].tobytes(), 5) is None


def test_ties_at_the_boundary_are_found() -> None:
    """Rows with the score of the last wanted one belong to the best, too."""
    data = np.repeat(vectors(10), 30, axis=0)
    found = filled(data, best_from=1).best(data[0].tobytes(), 5)
    assert found is not None
    assert set(range(30)) <= set(found.tolist())


@pytest.mark.parametrize("graph", [False, True])
def test_recall(graph: bool) -> None:
    """Both methods find at least 99 of 100 of the true best among vectors in clusters, also after changes."""
    if graph:
        pytest.importorskip("usearch", reason="the extra 'ann' is not installed")
    data = vectors(6000)
    bank = filled(data[:4000], best_from=1)
    if graph:
        bank.build_graph()
    for row in range(0, 4000, 3):
        bank.remove(row)
        bank.add(row, data[4000 + row // 3].tobytes())
    assert bank.method == ("graph" if graph else "sign bits")
    assert recall(bank, data[5400:5460], 10) >= 0.99


def test_freed_rows_do_not_crowd_out_others() -> None:
    """Rows that are free are never candidates, however near their former vectors were."""
    data = np.repeat(vectors(1), 3000, axis=0)
    far = vectors(3, seed=1)
    bank = filled(np.concatenate([data, far]), best_from=1)
    for row in range(3000):
        bank.remove(row)
    found = bank.best(data[0].tobytes(), 3)
    assert found is not None
    assert sorted(found.tolist()) == [3000, 3001, 3002]


def test_a_bank_that_is_to_use_a_graph_builds_it_when_it_is_needed() -> None:
    """The first question beyond its limit builds the graph, and what is near is found."""
    pytest.importorskip("usearch")
    data = vectors(600)
    bank = filled(data, best_from=300, graph=True)
    assert bank.method == "sign bits"
    assert recall(bank, data[:20], 10) >= 0.99
    assert bank.method == "graph"


def saved_with_graph(data: Vectors) -> dict[str, NDArray[Any]]:
    """The dump of a bank with a graph."""
    pytest.importorskip("usearch", reason="the extra 'ann' is not installed")
    bank = filled(data, best_from=1)
    bank.build_graph(threads=1)
    return bank.dump()


def test_graph_is_saved() -> None:
    """A bank loaded with its graph uses it."""
    data = vectors(300)
    bank = DenseBank(best_from=1)
    bank.load(saved_with_graph(data))
    assert bank.method == "graph"
    assert recall(bank, data[:20], 10) == 1.0


@pytest.mark.parametrize("place", [0, 40, 3000, -100, -1])
def test_damaged_graph_is_thrown_away(place: int) -> None:
    """A wrong byte anywhere in the graph, and the vectors serve without it."""
    data = vectors(300)
    parts = saved_with_graph(data)
    damaged = parts["graph"].copy()
    damaged[place] ^= 255
    for graph in (damaged, parts["graph"][: len(damaged) // 2], parts["graph"][:0]):
        bank = DenseBank(best_from=1)
        bank.load(parts | {"graph": graph})
        assert bank.method == "sign bits"
        assert recall(bank, data[:5], 10) == 1.0


def test_graph_of_other_vectors_is_thrown_away() -> None:
    """A graph whose rows or vectors are not the bank's own is not used."""
    data = vectors(300)
    graph = saved_with_graph(data)["graph"]
    swapped = data.copy()
    swapped[[0, 200]] = swapped[[200, 0]]
    fewer = filled(data)
    fewer.remove(5)
    moved = filled(data)
    moved.remove(5)
    moved.add(300, data[5].tobytes())
    for other in (filled(swapped), fewer, moved, filled(data[:, :64])):
        bank = DenseBank(best_from=1)
        bank.load(other.dump() | {"graph": graph})
        assert bank.method == "sign bits"


def test_without_the_extra(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """Without usearch a graph cannot be built, and a saved one is left out with a word in the log."""
    data = vectors(60)
    parts = saved_with_graph(data)
    monkeypatch.setitem(sys.modules, "usearch.index", None)
    bank = DenseBank(best_from=1)
    with caplog.at_level("INFO", logger="rlem.similarity.dense"):
        bank.load(parts)
    assert bank.method == "sign bits"
    assert "rlem[ann]" in caplog.text
    with pytest.raises(MissingExtraError, match=r"rlem\[ann\]"):
        bank.build_graph()
    assert bank.best(data[0].tobytes(), 3) is not None


def test_empty_bank() -> None:
    """An empty bank can be dumped, loaded, and given a graph."""
    bank = DenseBank()
    bank.build_graph()
    bank.load(DenseBank().dump())
    assert bank.scores(vectors(1)[0].tobytes()).shape == (0,)


def test_columns_grow_with_gaps() -> None:
    """A row far beyond the last one leaves zeros between, and keeps what was there, column by column."""
    columns = Columns([[1, 2], [3, 4]], np.array)
    assert columns.view[1].flags.c_contiguous
    columns.put(5, np.array([5, 6]))
    assert columns.view[1].flags.c_contiguous
    assert columns.view.tolist() == [[1, 3, 0, 0, 0, 5], [2, 4, 0, 0, 0, 6]]
