"""Text analysis and ranking on small cases worked by hand."""

from __future__ import annotations

import math

import pytest

from rlem.environments.webshop.analysis import term, terms, words
from rlem.environments.webshop.search import SearchIndex, rounded_length


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("can't U.S.A. 3.14 1,000 a_b", ["can't", "U.S.A", "3.14", "1,000", "a_b"]),
        ("x:y z: 5oz 5:3", ["x:y", "z", "5oz", "5", "3"]),
        ("你好 ひら カタカナ", ["你", "好", "ひ", "ら", "カタカナ"]),
        ("★ 👕👖 👨\u200d👩 🇫🇷🇩🇪", ["★", "👕", "👖", "👨\u200d👩", "🇫🇷", "🇩🇪"]),
        ("café e\u0301t", ["café", "e\u0301t"]),
        ("... -- ' ._.", []),
        ("", []),
    ],
)
def test_words(text: str, expected: list[str]) -> None:
    """Words follow Unicode's word breaks."""
    assert words(text) == expected


def test_long_words_are_cut() -> None:
    """A word longer than 255 characters comes in pieces."""
    assert [len(word) for word in words("a" * 600)] == [255, 255, 90]


@pytest.mark.parametrize(
    ("word", "stem"),
    [
        ("Shoes", "shoe"),
        ("women's", "women"),
        ("men’s", "men"),
        ("the", ""),
        ("is", ""),
        ("as", ""),
        ("us", "us"),
        ("technology", "technolog"),
        ("technologies", "technolog"),
        ("biology", "biologi"),
        ("assembly", "assembl"),
        ("possibly", "possibl"),
        ("compatibly", "compat"),
        ("ably", "abli"),
    ],
)
def test_terms(word: str, stem: str) -> None:
    """Terms are lower case, without possessive, stop words empty, stems Porter's with his two departures."""
    assert term(word) == stem


def test_lengths_keep_four_bits() -> None:
    """A rounded length is never longer than the length, exact below 40, off by less than an eighth."""
    for length in range(3000):
        rounded = rounded_length(length)
        assert rounded <= length
        assert rounded == length if length < 40 else length - rounded <= length / 8


def test_scores_by_hand() -> None:
    """The score of a one-term query is BM25's formula with k1 = 0.9 and b = 0.4."""
    index = SearchIndex([("a", "red shoe"), ("b", "blue shoe hat hat"), ("c", "coat")])
    length = 7 / 3
    idf = math.log(1 + (3 - 1 + 0.5) / 1.5)
    expected = idf * (1 - 1 / (1 + 2 / (0.9 * (0.6 + 0.4 * 4 / length))))
    assert index.scores("hat").tolist() == pytest.approx([0, expected, 0], rel=1e-6)
    assert index.scores("hat hats")[1] == pytest.approx(2 * expected, rel=1e-6)


def test_ranking_ties_and_limit() -> None:
    """Equal scores go by id; only documents with a common term are listed, the best ``limit`` of them."""
    index = SearchIndex([(name, "red shoe") for name in "dbca"] + [("e", "green hat"), ("f", "shoe shoe")])
    assert index.search("red") == ("a", "b", "c", "d")
    assert index.search("shoe", limit=3) == ("f", "a", "b")
    assert index.search("the unknown") == ()
    assert index.search("") == ()


def test_empty_index() -> None:
    """An index of nothing finds nothing."""
    assert SearchIndex([]).search("shoe") == ()
    assert terms("The, a") == []
