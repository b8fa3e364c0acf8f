"""Screens as sequences of HTML tags, compared by their longest common subsequence."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rapidfuzz import process
from rapidfuzz.distance import LCSseq

from rlem.core.types import JSON, Situation
from rlem.similarity.base import Bank, Scores
from rlem.similarity.growing import Growing
from rlem.similarity.nearest import Columns, among_best

TEXT = "#text"
"""What stands for a line that is no tag."""

_TAG = re.compile(r"\s*<([A-Za-z][^\s/>]*)")
_LAST_CHARACTER = 0x10FFFF

BEST_FROM = 4000
"""Rows from which bounding all and scoring some is quicker than scoring all."""

_KINDS = 32
_MOST_COUNTED = 0xFFFF
_PROBED = 240
_FREE = -1


def tags_of(observation: str) -> list[str]:
    """Tag names of the lines of a screen, lower case.

    Blank lines, closing tags and comments are skipped; any other line that is no tag counts as ``#text``.

    >>> tags_of('<button id="0">Go</button>\\n<img id="1">\\nhello')
    ['button', 'img', '#text']
    """
    tags = []
    for line in observation.split("\n"):
        if match := _TAG.match(line):
            tags.append(match[1].lower())
        elif line.strip() and not line.lstrip().startswith(("</", "<!")):
            tags.append(TEXT)
    return tags


class TagBank:
    """Tag sequences of unique screens, one character a tag.

    A common subsequence has no tag more often than either screen has it. So, with c_t the counts of tags,

        LCS(q, i) <= sum_t min(c_t(q), c_t(i))

    which takes a twentieth of the time. ``best`` scores only rows whose bound reaches the wanted best, from
    ``best_from`` rows on; what it leaves out is certainly not among them.
    """

    def __init__(self, *, best_from: int = BEST_FROM, probed: int = _PROBED) -> None:
        self.best_from, self._probed = best_from, probed
        self._character: dict[str, str] = {}
        self._rows: list[str] = []
        self._lengths = Growing(np.int64, fill=_FREE)
        self._counts: Columns | None = None

    def add(self, row: int, features: bytes) -> None:
        """Fills a row."""
        known = self._character
        tags = _tags(features)
        for tag in tags:
            known.setdefault(tag, chr(min(len(known) + 1, _LAST_CHARACTER)))
        self._rows.extend([""] * (row + 1 - len(self._rows)))
        self._rows[row] = "".join(known[tag] for tag in tags)
        self._lengths.reach(row + 1)
        self._lengths.view[row] = len(tags)
        if self._counts is not None:
            self._counts.put(row, _counts([self._rows[row]])[0])

    def remove(self, row: int) -> None:
        """Frees a row."""
        self._rows[row] = ""
        self._lengths.view[row] = _FREE

    def scores(self, features: bytes) -> Scores:
        """LCS length over the length of the longer sequence; two empty sequences are alike."""
        return self._scores(self._word(features), self._rows, self._lengths.view)

    def scores_of(self, features: bytes, rows: NDArray[np.int64]) -> Scores:
        """The same for these rows."""
        held = [self._rows[row] for row in rows.tolist()]
        return self._scores(self._word(features), held, self._lengths.view[rows])

    def best(self, features: bytes, wanted: int) -> NDArray[np.int64] | None:
        """The best rows, ties at the boundary included. Exact; None for few rows and odd queries."""
        word, lengths = self._word(features), self._lengths.view
        probe = wanted + self._probed
        filled = np.count_nonzero(lengths >= 0)
        if filled < max(self.best_from, probe + 1) or not 0 < len(word) <= _MOST_COUNTED:
            return None
        if self._counts is None:
            self._counts = Columns(self._rows, _counts)
        bounds = np.where(lengths < 0, -1.0, self._bounds(word))
        # The wanted best of some rows is a score that the wanted best of all reach: no bound below it counts.
        first = np.argpartition(bounds, -probe)[-probe:]
        floor = np.partition(self.scores_of(features, first), -wanted)[-wanted]
        rows = np.flatnonzero((bounds >= floor) & (lengths >= 0))
        return rows[among_best(self.scores_of(features, rows), wanted)]

    def dump(self) -> dict[str, NDArray[Any]]:
        """Names of the tags, and all rows in one text with their lengths (-1 in free rows)."""
        names, text = " ".join(self._character), "".join(self._rows)
        return {
            "names": np.frombuffer(names.encode("utf-8", "surrogatepass"), np.uint8),
            "text": np.frombuffer(text.encode("utf-8", "surrogatepass"), np.uint8),
            "lengths": self._lengths.view,
        }

    def load(self, parts: Mapping[str, NDArray[Any]]) -> None:
        """Cuts the text into rows."""
        names = _tags(parts["names"].tobytes())
        self._character = {
            name: chr(min(place, _LAST_CHARACTER)) for place, name in enumerate(names, start=1)
        }
        text = parts["text"].tobytes().decode("utf-8", "surrogatepass")
        self._lengths.replace(parts["lengths"])
        ends = np.cumsum(np.maximum(parts["lengths"], 0)).tolist()
        self._rows = [text[start:end] for start, end in zip([0, *ends], ends, strict=False)]

    def _word(self, features: bytes) -> str:
        """A query's characters; what no row ever had is a NUL, which no row has."""
        return "".join(self._character.get(tag, "\0") for tag in _tags(features))

    def _bounds(self, word: str) -> Scores:
        counts = _counts([word])[0]
        common = np.zeros(len(self._rows), np.uint16)
        assert self._counts is not None
        for place in np.flatnonzero(counts):
            common += np.minimum(self._counts.view[place], counts[place])
        bounds: Scores = common / np.maximum(self._lengths.view, len(word))
        return bounds

    def _scores(self, word: str, rows: Sequence[str], lengths: NDArray[np.int64]) -> Scores:
        if not word:
            alike: Scores = (lengths == 0).astype(np.float64)
            return alike
        if not rows:
            return np.zeros(0)
        common = process.cdist([word], rows, scorer=LCSseq.similarity, dtype=np.int32)[0]
        shares: Scores = common / np.maximum(lengths, len(word))
        return shares


def _tags(features: bytes) -> list[str]:
    return features.decode("utf-8", "surrogatepass").split()


def _counts(words: Sequence[str]) -> NDArray[np.uint16]:
    """How often each word has each character, shape (words, _KINDS).

    Characters beyond the first kinds share columns, which can only raise a bound.
    """
    codes = np.frombuffer("".join(words).encode("utf-32-le", "surrogatepass"), np.uint32) % _KINDS
    places = np.repeat(np.arange(len(words)), [len(word) for word in words]) * _KINDS + codes
    counts = np.bincount(places, minlength=len(words) * _KINDS)
    return np.minimum(counts, _MOST_COUNTED).astype(np.uint16).reshape(len(words), _KINDS)


@dataclass(frozen=True, slots=True)
class TagSequence:
    """Alikeness of two screens given as HTML lines (``<button alt="Menu" id="0">``) by their tags.

        f(q, i) = LCS(tags(q), tags(i)) / max(|tags(q)|, |tags(i)|)

    (button, img, p) and (p, img) have 1/3. Two screens without any line have 1.
    Source: Zhang et al. 2023, section 4.1 (screen similarity of WikiHow).
    """

    @property
    def name(self) -> str:
        """ "observation"."""
        return "observation"

    @property
    def fingerprint(self) -> str:
        """Version."""
        return "tag-sequence:1"

    def text_of(self, situation: Situation) -> str:
        """The tags, joined by blanks."""
        return " ".join(tags_of(situation.observation))

    def encode(self, texts: Sequence[str]) -> list[bytes]:
        """The tags as they are."""
        return [text.encode("utf-8", "surrogatepass") for text in texts]

    def bank(self, *, static: bool = False) -> Bank:
        """An empty bank; static or not is the same here."""
        return TagBank()

    def to_config(self) -> dict[str, JSON]:
        """Name."""
        return {"name": "tag-sequence"}
