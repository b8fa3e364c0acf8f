"""Recall of candidates against exact scores, on an index whose answers are known."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import asdict

import numpy as np
import pytest
from numpy.typing import NDArray

from rlem.core.errors import UsageError
from rlem.core.types import Situation
from rlem.memory.measure import Measured, measure, perturbed


class Scripted:
    """An index with given scores that proposes given slots, and makes its clock run as it works."""

    def __init__(
        self, scores: Mapping[str, list[float]], slots: Mapping[str, list[int]], *, best_from: int = 1
    ) -> None:
        self.best_from = best_from
        self.now_s = 0.0
        self._scores, self._slots = scores, slots

    def __len__(self) -> int:
        return int((np.array(next(iter(self._scores.values()))) >= 0).sum())

    def scores(self, query: Situation) -> NDArray[np.float64]:
        self.now_s += 0.008
        return np.array(self._scores[query.task])

    def candidates(self, query: Situation, wanted: int) -> NDArray[np.int64] | None:
        self.now_s += 0.001
        return np.array(self._slots[query.task], np.int64) if len(self) >= self.best_from else None

    def scores_of(self, query: Situation, slots: NDArray[np.int64]) -> NDArray[np.float64]:
        self.now_s += 0.001
        return np.array(self._scores[query.task])[slots]


def ask(*tasks: str) -> list[Situation]:
    """A query for each task."""
    return [Situation(task=task, observation="") for task in tasks]


def test_recall_and_times() -> None:
    """One query finds all ten, one misses two and finds a tie of the tenth instead of another."""
    exact = [0.9] * 9 + [0.5, 0.5, 0.4, -1.0]
    index = Scripted(
        {"all": exact, "some": exact}, {"all": list(range(12)), "some": [0, 1, 2, 3, 4, 5, 6, 10, 11]}
    )
    measured = measure(index, ask("all", "some"), clock=lambda: index.now_s)
    expected = Measured(
        experiences=12,
        queries=2,
        recall_at_10=(10 + 8) / 20,
        exact_p50_ms=8.0,
        exact_p99_ms=8.0,
        approximate_p50_ms=2.0,
        approximate_p99_ms=2.0,
        candidates_mean=10.5,
    )
    assert asdict(measured) == pytest.approx(asdict(expected))


def test_candidates_can_be_forced() -> None:
    """A small memory is scored in full unless it is told to act like a large one; then it is as before."""
    index = Scripted({"q": [0.5, 0.4, 0.3]}, {"q": [0, 2]}, best_from=100)
    clock = itertools.count().__next__
    usual, forced = (measure(index, ask("q"), best_from=size, clock=clock) for size in (None, 0))
    assert (usual.recall_at_10, usual.candidates_mean) == (1.0, 3.0)
    assert forced.recall_at_10 == pytest.approx(2 / 3)
    assert forced.candidates_mean == 2.0
    assert index.best_from == 100


def test_no_candidate_at_all() -> None:
    """An index that proposes nothing has found nothing."""
    assert measure(Scripted({"q": [0.5]}, {"q": []}), ask("q")).recall_at_10 == 0.0


def test_nothing_to_measure() -> None:
    """Without queries or experiences there is no recall to speak of."""
    with pytest.raises(UsageError, match="0 queries on 1"):
        measure(Scripted({"q": [0.5]}, {}), [])
    with pytest.raises(UsageError, match="1 queries on 0"):
        measure(Scripted({"q": []}, {}), ask("q"))
    with pytest.raises(UsageError, match="without experiences"):
        perturbed([], 3, seed=0)


def test_perturbed_queries() -> None:
    """Half of task and page are those of another situation; the seed decides; the rest stays."""
    stored = [
        Situation(task=f"a{n} b{n} c{n}", observation=f"x{n}\ny{n}", actions=(f"go{n}",), subtask=f"s{n}")
        for n in range(9)
    ]
    queries = perturbed(stored, 40, seed=5)
    assert queries == perturbed(stored, 40, seed=5) != perturbed(stored, 40, seed=6)
    mixed = 0
    for query in queries:
        one, other = query.task[1], query.task[-1]
        assert query.task == f"a{one} b{one} c{other}"
        assert query.observation == f"x{one}\ny{other}"
        assert (query.actions, query.subtask) == ((f"go{one}",), f"s{one}")
        mixed += one != other
    assert mixed > 20
