"""Features that sort a situation into one of a few classes and look the score up in a table.

Their ``text_of`` is the class itself, so a memory of any size scores at most a handful of rows.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rlem.core.errors import UnknownNameError
from rlem.core.types import JSON, Situation
from rlem.similarity.base import Bank, Scores
from rlem.similarity.growing import Growing

UNKNOWN = "unknown"
"""The class of what fits no class: similarity 0 to everything, itself included."""

COMPATS = ("default", "reference")

PAGES = ("search", "results", "goods", "other")
PAGE_TABLE = (
    (1.0, 0.0, 0.0, 0.0),
    (0.0, 1.0, 0.0, 0.0),
    (0.0, 0.0, 1.0, 0.3),
    (0.0, 0.0, 0.3, 1.0),
)

PATTERNS = ("search", "article", "author", "category", "reference", "about")
PATTERN_TABLE = (
    (1.0, 0.1, 0.0, 0.0, 0.0, 0.0),
    (0.1, 1.0, 0.3, 0.3, 0.0, 0.0),
    (0.0, 0.3, 1.0, 0.8, 0.3, 0.3),
    (0.0, 0.3, 0.8, 1.0, 0.3, 0.3),
    (0.0, 0.0, 0.3, 0.3, 1.0, 0.8),
    (0.0, 0.0, 0.3, 0.3, 0.8, 1.0),
)
PATTERN_STARTS = {
    "access the article": "article",
    "check the author page": "author",
    "access the page of category": "category",
    "check the reference list": "reference",
    "access the about page": "about",
}

_CALL = re.compile(r"(search|click)\[(.*)\]", re.DOTALL | re.IGNORECASE)
_PRODUCT_ID = re.compile(r"(?=.*[0-9])[a-z0-9]{10}")
_REFERENCE_PRODUCT_ID = re.compile(r"b0[0-9].*", re.DOTALL)
_PAGING = frozenset({"back to search", "< prev", "next >"})


class TableBank:
    """Classes of unique texts, one byte each."""

    def __init__(self, table: Sequence[Sequence[float]]) -> None:
        size = len(table)
        self._table: NDArray[np.float64] = np.zeros((size + 1, size + 1))
        self._table[:size, :size] = table
        self._rows = Growing(np.uint8)

    def add(self, row: int, features: bytes) -> None:
        """Fills a row."""
        self._rows.reach(row + 1)
        self._rows.view[row] = features[0]

    def remove(self, row: int) -> None:
        """Frees a row; what stays in it is never looked at."""

    def scores(self, features: bytes) -> Scores:
        """The table's line of the query's class, read at every row's class."""
        scores: Scores = self._table[features[0]][self._rows.view]
        return scores

    def scores_of(self, features: bytes, rows: NDArray[np.int64]) -> Scores:
        """The same for these rows."""
        scores: Scores = self._table[features[0]][self._rows.view[rows]]
        return scores

    def best(self, features: bytes, wanted: int) -> NDArray[np.int64] | None:
        """None: there are only as many rows as classes."""
        return None

    def dump(self) -> dict[str, NDArray[Any]]:
        """The classes."""
        return {"classes": self._rows.view}

    def load(self, parts: Mapping[str, NDArray[Any]]) -> None:
        """Takes the classes over."""
        self._rows.replace(parts["classes"])


def _encode(classes: tuple[str, ...], texts: Sequence[str]) -> list[bytes]:
    """One byte a class; the byte after the last class is ``UNKNOWN``."""
    return [bytes([classes.index(text) if text in classes else len(classes)]) for text in texts]


def _check_compat(feature: str, compat: str) -> None:
    if compat not in COMPATS:
        raise UnknownNameError(f"compat of {feature}", compat, COMPATS)


@dataclass(frozen=True, slots=True, kw_only=True)
class PageType:
    """Alikeness of two WebShop pages by their types, told from the available actions.

        f(q, i) = 1 for equal types, 0.3 for goods and other, else 0

    Types: search, results, goods (a product's page), other (its sub-pages). Actions may be sendable
    (``click[buy now]``) or bare names (``buy now``). A situation of another kind has no type: 0.
    Source: Zhang et al. 2023, section 4.1 and code.
    Differs: the code knows a page of results only by ids of the form ``b0<digit>`` from the third
    action on, so pages 2 and later have no type; ``compat="reference"`` does the same.
    """

    compat: str = "default"

    def __post_init__(self) -> None:
        _check_compat("PageType", self.compat)

    @property
    def name(self) -> str:
        """ "page"."""
        return "page"

    @property
    def fingerprint(self) -> str:
        """Version and compat."""
        return f"page-type:1:{self.compat}"

    def text_of(self, situation: Situation) -> str:
        """The page's type, or "unknown"."""
        names = [_bare(action) for action in situation.actions]
        return _reference_page(names) if self.compat == "reference" else _page(names)

    def encode(self, texts: Sequence[str]) -> list[bytes]:
        """One byte a type."""
        return _encode(PAGES, texts)

    def bank(self, *, static: bool = False) -> Bank:
        """An empty bank; static or not is the same here."""
        return TableBank(PAGE_TABLE)

    def to_config(self) -> dict[str, JSON]:
        """Name and compat."""
        return {"name": "page-type", "compat": self.compat}


def _bare(action: str) -> str:
    """``click[x]`` is x, ``search[...]`` is search, everything else itself; lower case."""
    call = _CALL.fullmatch(action.strip())
    if call is None:
        return action.strip().lower()
    return "search" if call[1].lower() == "search" else call[2].strip().lower()


def _page(names: list[str]) -> str:
    if names and set(names) == {"search"}:
        return "search"
    if "buy now" in names:
        return "goods"
    if set(names) == {"back to search", "< prev"}:
        return "other"
    rest = [name for name in names if name not in _PAGING]
    if ("next >" in names or rest) and all(_PRODUCT_ID.fullmatch(name) for name in rest):
        return "results"
    return UNKNOWN


def _reference_page(names: list[str]) -> str:
    if names == ["search"]:
        return "search"
    if names == ["back to search", "< prev"]:
        return "other"
    if len(names) >= 3 and all(_REFERENCE_PRODUCT_ID.fullmatch(name) for name in names[2:]):
        return "results"
    return "goods" if len(names) >= 3 and "buy now" in names else UNKNOWN


@dataclass(frozen=True, slots=True, kw_only=True)
class InstructionPattern:
    """Alikeness of two WikiHow step instructions (``Situation.subtask``) by their patterns.

        f(q, i) = PATTERN_TABLE[pattern(q), pattern(i)]

    Patterns: search (no instruction yet), article, author, category, reference, about.
    Source: Zhang et al. 2023, section 4.1 and code.
    Differs: the code never recognises "Check the reference list"; ``compat="reference"`` neither.
    """

    compat: str = "default"

    def __post_init__(self) -> None:
        _check_compat("InstructionPattern", self.compat)

    @property
    def name(self) -> str:
        """ "subtask"."""
        return "subtask"

    @property
    def fingerprint(self) -> str:
        """Version and compat."""
        return f"instruction-pattern:1:{self.compat}"

    def text_of(self, situation: Situation) -> str:
        """The pattern, or "unknown"."""
        text = situation.subtask.strip().lower()
        if not text:
            return "search"
        found = next((name for start, name in PATTERN_STARTS.items() if text.startswith(start)), UNKNOWN)
        return UNKNOWN if self.compat == "reference" and found == "reference" else found

    def encode(self, texts: Sequence[str]) -> list[bytes]:
        """One byte a pattern."""
        return _encode(PATTERNS, texts)

    def bank(self, *, static: bool = False) -> Bank:
        """An empty bank; static or not is the same here."""
        return TableBank(PATTERN_TABLE)

    def to_config(self) -> dict[str, JSON]:
        """Name and compat."""
        return {"name": "instruction-pattern", "compat": self.compat}
