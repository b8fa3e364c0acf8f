"""Screens as sequences of HTML tags, compared by their longest common subsequence."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from rapidfuzz import process
from rapidfuzz.distance import LCSseq

from rlem.core.types import JSON, Situation
from rlem.similarity.base import Bank, Scores
from rlem.similarity.growing import Growing

TEXT = "#text"
"""What stands for a line that is no tag."""

_TAG = re.compile(r"\s*<([A-Za-z][^\s/>]*)")
_LAST_CHARACTER = 0x10FFFF


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
    """Tag sequences of unique screens, one character a tag."""

    def __init__(self) -> None:
        self._character: dict[str, str] = {}
        self._rows: list[str] = []
        self._lengths = Growing(np.int64)

    def add(self, row: int, features: bytes) -> None:
        """Fills a row."""
        word = self._word(features)
        self._rows.extend([""] * (row + 1 - len(self._rows)))
        self._lengths.reach(row + 1)
        self._rows[row] = word
        self._lengths.view[row] = len(word)

    def remove(self, row: int) -> None:
        """Frees a row."""
        self._rows[row] = ""
        self._lengths.view[row] = 0

    def scores(self, features: bytes) -> Scores:
        """LCS length over the length of the longer sequence; two empty sequences are alike."""
        word = self._word(features)
        if not self._rows:
            return np.zeros(0)
        if not word:
            alike: Scores = (self._lengths.view == 0).astype(np.float64)
            return alike
        common = process.cdist([word], self._rows, scorer=LCSseq.similarity, dtype=np.int32)[0]
        shares: Scores = common / np.maximum(self._lengths.view, len(word))
        return shares

    def _word(self, features: bytes) -> str:
        known = self._character
        tags = features.decode("utf-8", "surrogatepass").split()
        return "".join(
            known.get(tag) or known.setdefault(tag, chr(min(len(known) + 1, _LAST_CHARACTER))) for tag in tags
        )


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
