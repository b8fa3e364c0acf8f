"""Equal or not: the plainest features."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rlem.core.errors import UsageError
from rlem.core.types import JSON, Situation
from rlem.similarity.base import Bank, Scores
from rlem.similarity.fields import digest, field_text
from rlem.similarity.growing import Growing


class DigestBank:
    """Digests of 8 bytes; equal ones score 1, all others ``other``."""

    def __init__(self, other: float) -> None:
        self._other = other
        self._rows = Growing(np.uint64)

    def add(self, row: int, features: bytes) -> None:
        """Fills a row."""
        self._rows.reach(row + 1)
        self._rows.view[row] = np.frombuffer(features, "<u8")[0]

    def remove(self, row: int) -> None:
        """Frees a row; what stays in it is never looked at."""

    def scores(self, features: bytes) -> Scores:
        """1 where the digests are equal, else ``other``."""
        return self._scores(features, self._rows.view)

    def scores_of(self, features: bytes, rows: NDArray[np.int64]) -> Scores:
        """The same for these rows."""
        return self._scores(features, self._rows.view[rows])

    def best(self, features: bytes, wanted: int) -> NDArray[np.int64] | None:
        """None: comparing all is as quick as anything."""
        return None

    def dump(self) -> dict[str, NDArray[Any]]:
        """The digests."""
        return {"digests": self._rows.view}

    def load(self, parts: Mapping[str, NDArray[Any]]) -> None:
        """Takes the digests over."""
        self._rows.replace(parts["digests"])

    def _scores(self, features: bytes, digests: NDArray[np.uint64]) -> Scores:
        return np.where(digests == np.frombuffer(features, "<u8")[0], 1.0, self._other)


@dataclass(frozen=True, slots=True)
class Exact:
    """1 if the texts are equal, else 0.

        f(q, i) = [q = i]

    ``field``: "task", "observation", "subtask", "actions" or "situation" (all of them).
    Errors: UnknownNameError for another field.

    >>> Exact("task").text_of(Situation(task="buy tea", observation=""))
    'buy tea'
    """

    field: str = "situation"

    def __post_init__(self) -> None:
        field_text(Situation(task="", observation=""), self.field)

    @property
    def name(self) -> str:
        """The field it compares."""
        return self.field

    @property
    def fingerprint(self) -> str:
        """Version and field."""
        return f"exact:1:{self.field}"

    def text_of(self, situation: Situation) -> str:
        """The text of the field."""
        return field_text(situation, self.field)

    def encode(self, texts: Sequence[str]) -> list[bytes]:
        """Digests of 8 bytes."""
        return [digest(text, 8) for text in texts]

    def bank(self, *, static: bool = False) -> Bank:
        """An empty bank; static or not is the same here."""
        return DigestBank(0.0)

    def to_config(self) -> dict[str, JSON]:
        """Name and field."""
        return {"name": "exact", "field": self.field}


@dataclass(frozen=True, slots=True)
class ExactOr:
    """1 if the whole situations are equal, else ``other``, a constant in [0, 1].

        f(q, i) = 1 if q = i else other

    It tells situations apart and says nothing more: for worked examples and as a null similarity.
    Errors: UsageError for ``other`` outside [0, 1].
    """

    other: float = 0.5

    def __post_init__(self) -> None:
        if not 0.0 <= self.other <= 1.0:
            raise UsageError(f"ExactOr: other is {self.other!r}; it must be from 0 to 1")

    @property
    def name(self) -> str:
        """ "situation"."""
        return "situation"

    @property
    def fingerprint(self) -> str:
        """Version; the constant belongs to the bank, not to the features, yet changes the scores."""
        return f"exact-or:1:{self.other!r}"

    def text_of(self, situation: Situation) -> str:
        """The content key."""
        return situation.key

    def encode(self, texts: Sequence[str]) -> list[bytes]:
        """Digests of 8 bytes."""
        return [digest(text, 8) for text in texts]

    def bank(self, *, static: bool = False) -> Bank:
        """An empty bank; static or not is the same here."""
        return DigestBank(self.other)

    def to_config(self) -> dict[str, JSON]:
        """Name and constant."""
        return {"name": "exact-or", "other": self.other}
