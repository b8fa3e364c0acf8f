"""Text to search terms, the way the original's Lucene analyser does it.

Words by the word-break rules of Unicode (UAX #29), possessive 's removed, lower case, 33 stop words,
Porter stems. Every character is first mapped to the letter of its break class, so that one regular
expression over class letters finds the words in any script.
Source: Unicode Standard Annex #29; Porter 1980; Lucene 8.11 StandardTokenizer.
"""

from __future__ import annotations

import re
import threading
import unicodedata
from functools import lru_cache

import snowballstemmer  # type: ignore[import-untyped]

MAX_WORD = 255
"""Longer words are cut into pieces of this many characters."""

_STOP_WORD_LIST = (
    "a an and are as at be but by for if in into is it no not of on or such that the their then there "
    "these they this to was will with"
)
STOP_WORDS = frozenset(_STOP_WORD_LIST.split())

_PICTOGRAPHS = (
    (0xA9, 0xA9), (0xAE, 0xAE), (0x203C, 0x203C), (0x2049, 0x2049), (0x2122, 0x2122), (0x2139, 0x2139),
    (0x2194, 0x2199), (0x21A9, 0x21AA), (0x231A, 0x231B), (0x2328, 0x2328), (0x2388, 0x2388),
    (0x23CF, 0x23CF), (0x23E9, 0x23F3), (0x23F8, 0x23FA), (0x24C2, 0x24C2), (0x25AA, 0x25AB),
    (0x25B6, 0x25B6), (0x25C0, 0x25C0), (0x25FB, 0x25FE), (0x2600, 0x2605), (0x2607, 0x2612),
    (0x2614, 0x2685), (0x2690, 0x2705), (0x2708, 0x2712), (0x2714, 0x2714), (0x2716, 0x2716),
    (0x271D, 0x271D), (0x2721, 0x2721), (0x2728, 0x2728), (0x2733, 0x2734), (0x2744, 0x2744),
    (0x2747, 0x2747), (0x274C, 0x274C), (0x274E, 0x274E), (0x2753, 0x2755), (0x2757, 0x2757),
    (0x2763, 0x2767), (0x2795, 0x2797), (0x27A1, 0x27A1), (0x27B0, 0x27B0), (0x27BF, 0x27BF),
    (0x2934, 0x2935), (0x2B05, 0x2B07), (0x2B1B, 0x2B1C), (0x2B50, 0x2B50), (0x2B55, 0x2B55),
    (0x3030, 0x3030), (0x303D, 0x303D), (0x3297, 0x3297), (0x3299, 0x3299), (0x1F000, 0x1F0FF),
    (0x1F10D, 0x1F10F), (0x1F12F, 0x1F12F), (0x1F16C, 0x1F171), (0x1F17E, 0x1F17F), (0x1F18E, 0x1F18E),
    (0x1F191, 0x1F19A), (0x1F1AD, 0x1F1E5), (0x1F201, 0x1F20F), (0x1F21A, 0x1F21A), (0x1F22F, 0x1F22F),
    (0x1F232, 0x1F23A), (0x1F23C, 0x1F23F), (0x1F249, 0x1F3FA), (0x1F400, 0x1F53D), (0x1F546, 0x1F64F),
    (0x1F680, 0x1F6FF), (0x1F774, 0x1F77F), (0x1F7D5, 0x1F7FF), (0x1F80C, 0x1F80F), (0x1F848, 0x1F84F),
    (0x1F85A, 0x1F85F), (0x1F888, 0x1F88F), (0x1F8AE, 0x1F8FF), (0x1F90C, 0x1F93A), (0x1F93C, 0x1F945),
    (0x1F947, 0x1FAFF), (0x1FC00, 0x1FFFD),
)  # fmt: skip

_SOUTH_EAST_ASIAN = ("THAI ", "LAO ", "MYANMAR ", "KHMER ", "TAI LE ", "NEW TAI LUE ", "TAI THAM ")


_LISTED = (
    (".'‘’․﹒＇．", "Q"),
    (":··՟״‧︓﹕：", "L"),
    (",;;։،؍٬߸⁄︐︔﹐﹔，；", "M"),
    ("\u200d", "Z"),
    ("\u200b\u202f", "O"),
)
"""Characters whose break class is listed one by one."""


def _break_class(code: int) -> str:
    """Class letter of a character: (A)letter, (N)umeric, (K)atakana, (H)an and hiragana, (S)outh-east
    Asian, (U)nderscore-like, (E)xtending, mid-(L)etter, (Q)uote or stop in both, mid-nu(M)ber,
    (P)ictograph, (R)egional indicator, (Z) joiner, (O)ther."""
    char = chr(code)
    for chars, letter in _LISTED:
        if char in chars:
            return letter
    if any(low <= code <= high for low, high in _PICTOGRAPHS):
        return "P"
    if 0x1F1E6 <= code <= 0x1F1FF:
        return "R"
    category = unicodedata.category(char)
    if category == "Nd":
        return "N"
    if category == "Pc":
        return "U"
    name = unicodedata.name(char, "")
    if name.startswith(_SOUTH_EAST_ASIAN):
        return "S"
    if category in ("Mn", "Me", "Mc", "Cf") or 0xFF9E <= code <= 0xFF9F or 0x1F3FB <= code <= 0x1F3FF:
        return "E"
    if name.startswith(("KATAKANA ", "HALFWIDTH KATAKANA ")) or 0x3031 <= code <= 0x3035:
        return "K"
    if name.startswith(("CJK UNIFIED", "CJK COMPATIBILITY IDEOGRAPH", "HIRAGANA ", "IDEOGRAPHIC ITERATION")):
        return "H"
    if category[0] == "L" or category == "Nl" or 0x24B6 <= code <= 0x24E9:
        return "A"
    return "O"


class _Classes(dict[int, str]):
    """Break classes by code point, filled on first use (a table of all characters costs half a second)."""

    def __missing__(self, code: int) -> str:
        letter = self[code] = _break_class(code)
        return letter


_CLASSES = _Classes()
_ALPHA = r"(?:A[EZ]*+)++(?:[LQ][EZ]*+(?:A[EZ]*+)++)*+"
_DIGITS = r"(?:N[EZ]*+)++(?:[MQ][EZ]*+(?:N[EZ]*+)++)*+"
_KATAKANA = r"(?:K[EZ]*+)++"
_UNDERSCORES = r"(?:U[EZ]*+)"
_CORE = rf"(?:{_KATAKANA}|(?:{_ALPHA}|{_DIGITS})++)"
_WORD = re.compile(
    rf"{_UNDERSCORES}*+{_CORE}(?:{_UNDERSCORES}++{_CORE})*+{_UNDERSCORES}*+"
    r"|(?:S[EZ]*+)++|H[EZ]*+|RR[EZ]*+|PE*+(?:ZPE*+)*+"
)
_POSSESSIVES = ("'s", "’s", "＇s")
_STEMMER = snowballstemmer.stemmer("porter")
_STEMMER_LOCK = threading.Lock()  # the stemmer keeps its word in itself
_HAS_MEASURE = re.compile(r"(?:[aeiou]|(?<=[^aeiou])y)(?:[^aeiouy]|(?<=[aeiou])y)")
"""A vowel and then a consonant: Porter's m > 0."""


def words(text: str) -> list[str]:
    """Words of a text by the word-break rules, in order; punctuation and blanks are left out.

    >>> words("Finish:solid, 3.5 oz (men's) ★")
    ['Finish:solid', '3.5', 'oz', "men's", '★']
    """
    found = [text[match.start() : match.end()] for match in _WORD.finditer(text.translate(_CLASSES))]
    if len(text) <= MAX_WORD:
        return found
    return [word[i : i + MAX_WORD] for word in found for i in range(0, len(word), MAX_WORD)]


@lru_cache(maxsize=1 << 16)
def term(word: str) -> str:
    """Search term of one word, or "" for a stop word.

    >>> term("Tables'"), term("men's"), term("the")
    ("tables'", 'men', '')
    """
    lowered = word.lower()
    if lowered.endswith(_POSSESSIVES):
        lowered = lowered[:-2]
    if lowered in STOP_WORDS:
        return ""
    if len(lowered) < 3:
        return lowered
    return _stem(lowered)


def _stem(word: str) -> str:
    """Porter's stem, with the two departures of his own program that Lucene kept: bli -> ble, logi -> log."""
    with _STEMMER_LOCK:
        stem = str(_STEMMER.stemWord(word))
        if stem.endswith("bli") and _HAS_MEASURE.search(stem[:-3]):
            return str(_STEMMER.stemWord(stem[:-1] + "e"))
        if stem.endswith("logi") and _HAS_MEASURE.search(stem[:-4]):
            return str(_STEMMER.stemWord(stem[:-1]))
    return stem


def terms(text: str) -> list[str]:
    """Search terms of a text in order, repeats kept.

    >>> terms("The tables, and a women's console")
    ['tabl', 'women', 'consol']
    """
    return [found for word in words(text) if (found := term(word))]
