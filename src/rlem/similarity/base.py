"""What a similarity is: a weighted sum of features, each scored for one query against many at once.

    s(q, i) = sum_j w_j f_j(q, i) / sum_j w_j                                  each f_j in [0, 1]
    Source: Zhang et al. 2023, eq. 4 (task and observation similarity, weight lambda; ``task_weight`` here)

Three small pieces:

- a ``Feature`` looks at one *text* of a situation (its task, its page ...), turns it into bytes once, and
  opens a ``Bank``. It is immutable and described by its ``fingerprint``; features are stored under that
  fingerprint and never mixed across fingerprints;
- a ``Bank`` keeps the features of unique texts in rows and scores a query against all of them;
- a ``Similarity`` is a weighted sum of features. Its ``SimilarityIndex`` (index.py) keeps the situations
  of a memory in slots. Equal texts share one row, so a memory of N experiences scores far fewer rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from rlem.core.types import JSON, Situation

Scores: TypeAlias = NDArray[np.float64]


class Bank(Protocol):
    """Features of unique texts, by row number. Not thread-safe; its owner locks."""

    def add(self, row: int, features: bytes) -> None:
        """Fills a free row (a small non-negative int; freed rows are used again)."""
        ...

    def remove(self, row: int) -> None:
        """Frees a row."""
        ...

    def scores(self, features: bytes) -> Scores:
        """Similarity of the query's features to every row, shape (rows,), in [0, 1].

        The value of a free row is arbitrary; ``rows`` is at least the highest filled row plus one.
        """
        ...

    def scores_of(self, features: bytes, rows: NDArray[np.int64]) -> Scores:
        """Similarity to these rows only: bit for bit ``scores(features)[rows]``."""
        ...

    def best(self, features: bytes, wanted: int) -> NDArray[np.int64] | None:
        """Rows that very likely hold the ``wanted`` best, and others, in any order, without scoring all.

        None: scoring all rows is the way (they are few, or there is no quicker one).
        """
        ...

    def dump(self) -> dict[str, NDArray[Any]]:
        """The whole state as named arrays; they may share memory with the bank."""
        ...

    def load(self, parts: Mapping[str, NDArray[Any]]) -> None:
        """Fills an empty bank with what ``dump`` gave. The arrays may be read-only and are never written."""
        ...


@runtime_checkable
class Feature(Protocol):
    """What is looked at in a situation, and how two of them compare."""

    @property
    def name(self) -> str:
        """Name of this part in explanations ("task", "observation", "page")."""
        ...

    @property
    def fingerprint(self) -> str:
        """Name, version and settings of what makes the features; changes when the bytes would."""
        ...

    def text_of(self, situation: Situation) -> str:
        """The text it looks at. Situations with equal texts share their features."""
        ...

    def encode(self, texts: Sequence[str]) -> list[bytes]:
        """Features of texts. Same text, same bytes, in every process."""
        ...

    def bank(self, *, static: bool = False) -> Bank:
        """A new empty bank. ``static``: the score of two texts must not depend on what else is stored
        (no IDF); eviction needs that."""
        ...

    def to_config(self) -> dict[str, JSON]:
        """JSON-able description; ``similarity_from_config`` makes an equal feature of it."""
        ...


@dataclass(frozen=True, slots=True)
class Similarity:
    """A weighted sum of features. Weights are positive and need not add up to one."""

    terms: tuple[tuple[float, Feature], ...]

    @property
    def fingerprint(self) -> str:
        """Fingerprints and weights of all terms."""
        return " + ".join(f"{weight:g}*{feature.fingerprint}" for weight, feature in self.terms)
