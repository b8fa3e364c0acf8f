"""Texts as bags of hashed words and letter n-grams: the similarity that needs no model."""

from __future__ import annotations

import itertools
import math
import re
import unicodedata
import zlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from functools import lru_cache

import numpy as np

from rlem.core.errors import UsageError
from rlem.core.types import JSON, Situation
from rlem.similarity.base import Bank
from rlem.similarity.fields import field_text
from rlem.similarity.inverted import InvertedBank, pack

STEPS = 32
"""Weights are kept as whole multiples of 1/32, so they fit a byte and add up without rounding."""

_MOST = 255
_CODES = np.array([0, *(round(STEPS * (1.0 + math.log(count))) for count in range(1, _MOST + 1))], np.uint8)

# Chinese and Japanese are written without blanks: there every character is a word of its own.
_IDEOGRAPHS = "\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"
_WORD = re.compile(rf"[{_IDEOGRAPHS}]|[^\W_{_IDEOGRAPHS}]+(?:\.[0-9]+)*")

_NORMALIZED_AT_ONCE = 1000
"""Normalising a long run of combining marks takes quadratic time, so it is done piece by piece."""

_LONGEST_CUT = 64
"""Letter n-grams are taken from so many characters of a word."""

_WORDS_KEPT = 32_768
"""Words whose hashes are remembered."""


def words_of(text: str) -> list[str]:
    """Words in order, compatibility-normalised (NFKC) and case-folded; numbers keep their decimals.

    A text without any letter or digit is split at its blanks instead.

    >>> words_of("A red Kettle, price lower than 40.00 dollars")
    ['a', 'red', 'kettle', 'price', 'lower', 'than', '40.00', 'dollars']
    """
    if not text.isascii():
        pieces = range(0, len(text), _NORMALIZED_AT_ONCE)
        text = "".join(unicodedata.normalize("NFKC", text[at : at + _NORMALIZED_AT_ONCE]) for at in pieces)
    text = text.casefold()
    return _WORD.findall(text) or text.split()


@dataclass(frozen=True, slots=True)
class Lexical:
    """Cosine of two texts as bags of words and letter n-grams, weighted by rarity.

        f(q, i) = sum_t a_t(q) a_t(i) / (|a(q)| |a(i)|),   a_t(d) = (1 + ln tf_t(d)) idf_t
        idf_t = ln((1 + N) / (1 + df_t)) + 1      over the N unique texts in the bank; static: idf_t = 1

    Source: Salton & Buckley 1988, with sublinear tf and smooth idf. ``1 + ln tf`` is rounded to steps of
    1/32 (tf above 255 counts as 255). Two texts without features have 1, one without has 0.

    ``field``: which text (see ``FIELDS``). ``grams``: length of the letter n-grams within words, 0 for
    none; by default 4 for short texts (task, subtask), none for pages. ``bigrams``: pairs of words too.
    Errors: UsageError for n-grams outside 0 or 2..8, UnknownNameError for another field.
    """

    field: str = "task"
    _: KW_ONLY
    bigrams: bool = False
    grams: int | None = None

    def __post_init__(self) -> None:
        field_text(Situation(task="", observation=""), self.field)
        if self.grams is None:
            object.__setattr__(self, "grams", 4 if self.field in ("task", "subtask") else 0)
        elif self.grams != 0 and not 2 <= self.grams <= 8:
            raise UsageError(f"Lexical: grams is {self.grams}; it must be 0 (none) or from 2 to 8")

    @property
    def name(self) -> str:
        """The field it looks at."""
        return self.field

    @property
    def fingerprint(self) -> str:
        """Version and settings."""
        return f"lexical:1:{self.field}:bigrams{int(self.bigrams)}:grams{self.grams}"

    def text_of(self, situation: Situation) -> str:
        """The text of the field."""
        return field_text(situation, self.field)

    def encode(self, texts: Sequence[str]) -> list[bytes]:
        """Hashes (CRC-32) in ascending order, then one byte of weight for each."""
        return [self._encode(text) for text in texts]

    def bank(self, *, static: bool = False) -> Bank:
        """An empty bank of inverted lists."""
        return InvertedBank(static=static)

    def to_config(self) -> dict[str, JSON]:
        """Name and settings."""
        return {"name": "lexical", "field": self.field, "bigrams": self.bigrams, "grams": self.grams}

    def _encode(self, text: str) -> bytes:
        words = words_of(text)
        hashes_of = map(_hashes, words, itertools.repeat(self.grams or 0))
        counts = Counter(itertools.chain.from_iterable(hashes_of))
        if self.bigrams:
            counts.update(_crc32(f"{first} {second}") for first, second in itertools.pairwise(words))
        hashes = np.fromiter(counts, np.uint32, len(counts))
        codes = _CODES[np.minimum(np.fromiter(counts.values(), np.int64, len(counts)), _MOST)]
        order = np.argsort(hashes)
        return pack(hashes[order], codes[order])


@lru_cache(maxsize=_WORDS_KEPT)
def _hashes(word: str, grams: int) -> tuple[int, ...]:
    """Hashes of a word and of its letter n-grams. N-grams follow a NUL, pairs of words hold a blank: no two
    of the three kinds are ever the same text."""
    features = [word]
    framed = f"<{word[:_LONGEST_CUT]}>"
    # A word that is one n-gram by itself would only be counted twice.
    if grams and len(framed) > grams:
        features += ["\0" + framed[at : at + grams] for at in range(len(framed) - grams + 1)]
    return tuple(map(_crc32, features))


def _crc32(feature: str) -> int:
    return zlib.crc32(feature.encode("utf-8", "surrogatepass"))
