"""How well approximate recall finds what exact recall finds, measured on a memory's own situations."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from rlem.core.errors import UsageError
from rlem.core.types import Situation

WANTED = 10


class Searched(Protocol):
    """What is measured: a ``SimilarityIndex``."""

    best_from: int
    """Rows of a bank, or slots, from which candidates are looked for instead of scoring all."""

    def __len__(self) -> int:
        """Situations held."""
        ...

    def scores(self, query: Situation) -> NDArray[np.float64]:
        """Score of every slot; below 0 in free ones."""
        ...

    def candidates(self, query: Situation, wanted: int) -> NDArray[np.int64] | None:
        """Slots that very likely hold the ``wanted`` best; None where all are to be scored."""
        ...

    def scores_of(self, query: Situation, slots: NDArray[np.int64]) -> NDArray[np.float64]:
        """Scores of these slots only, equal to those of ``scores``."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """Recall and times in milliseconds: scoring all, and scoring candidates (their search included).

        recall@10 = mean over queries of |{i found : s_i >= s_(10)}| / 10,   s_(10) the tenth exact score

    A result that ties with the tenth is a hit. ``candidates_mean``: scored experiences a query; it equals
    ``experiences`` and recall is 1 where no candidates were looked for. The query's features are made
    beforehand, for both alike.
    """

    experiences: int
    queries: int
    recall_at_10: float
    exact_p50_ms: float
    exact_p99_ms: float
    approximate_p50_ms: float
    approximate_p99_ms: float
    candidates_mean: float


def perturbed(situations: Sequence[Situation], count: int, *, seed: int) -> list[Situation]:
    """Queries alike to what is stored, yet new: half the task and half the page are another situation's.

    Actions and subtask stay. Errors: UsageError without situations.

    >>> a = Situation(task="buy a red kettle", observation="one\\ntwo")
    >>> b = Situation(task="find some green tea", observation="three\\nfour")
    >>> perturbed([a, b], 1, seed=4)[0].task
    'buy a green tea'
    """
    if not situations:
        raise UsageError("a memory without experiences has nothing to make queries of; record some first")
    rng = random.Random(seed)
    made = []
    for _ in range(count):
        one, other = rng.choice(situations), rng.choice(situations)
        made.append(
            Situation(
                task=_halves(one.task, other.task, " "),
                observation=_halves(one.observation, other.observation, "\n"),
                actions=one.actions,
                subtask=one.subtask,
            )
        )
    return made


def _halves(one: str, other: str, separator: str) -> str:
    """The first half of one text's pieces and the second half of the other's."""
    first, second = one.split(separator), other.split(separator)
    return separator.join(first[: (len(first) + 1) // 2] + second[(len(second) + 1) // 2 :])


def measure(
    index: Searched,
    queries: Sequence[Situation],
    *,
    best_from: int | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> Measured:
    """Recall@10 of candidates against exact scores, and what both take.

    ``best_from``: look for candidates from so many rows on, as in a larger memory; by default as the index
    does. Errors: UsageError without queries or for an empty index.
    """
    if not queries or not len(index):
        raise UsageError(
            f"{len(queries)} queries on {len(index)} experiences: at least one of each is needed to measure"
        )
    usual = index.best_from
    if best_from is not None:
        index.best_from = best_from
    try:
        return _measured(index, queries, clock)
    finally:
        index.best_from = usual


def _measured(index: Searched, queries: Sequence[Situation], clock: Callable[[], float]) -> Measured:
    wanted = min(WANTED, len(index))
    floors, exact_s, hits, scored, approximate_s = [], [], 0, 0, []
    for query in queries:  # a pass of its own: features and derived indexes are no part of the times
        slots = index.candidates(query, wanted)
        index.scores_of(query, np.zeros(0, np.int64) if slots is None else slots)
    for query in queries:
        begin = clock()
        floor = np.partition(index.scores(query), -wanted)[-wanted]
        exact_s.append(clock() - begin)
        floors.append(floor)
    for query, floor in zip(queries, floors, strict=True):
        begin = clock()
        slots = index.candidates(query, wanted)
        scores = index.scores(query) if slots is None else index.scores_of(query, slots)
        found = scores if len(scores) <= wanted else np.partition(scores, -wanted)[-wanted:]
        approximate_s.append(clock() - begin)
        hits += int((found >= floor).sum())
        scored += len(index) if slots is None else len(slots)
    exact_ms, approximate_ms = 1000 * np.array(exact_s), 1000 * np.array(approximate_s)
    return Measured(
        experiences=len(index),
        queries=len(queries),
        recall_at_10=hits / wanted / len(queries),
        exact_p50_ms=float(np.median(exact_ms)),
        exact_p99_ms=float(np.quantile(exact_ms, 0.99)),
        approximate_p50_ms=float(np.median(approximate_ms)),
        approximate_p99_ms=float(np.quantile(approximate_ms, 0.99)),
        candidates_mean=scored / len(queries),
    )
