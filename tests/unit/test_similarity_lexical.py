"""Lexical similarity by hand-worked numbers."""

from __future__ import annotations

import math

import pytest

from rlem.core.errors import UnknownNameError, UsageError
from rlem.core.types import Situation
from rlem.similarity import Lexical, inverted
from rlem.similarity.inverted import InvertedBank, unpack
from rlem.similarity.lexical import words_of

NASTY = [
    "",
    " \n\t",
    "\ud800 lone \udfff surrogates",
    "nul \0 byte \0",
    "\U0001f600\U0001f389",
    "e\u0301" * 3000,
    "\u0315\u0300" * 20_000,
    "word " * 200_000,
    "x" * 1_000_000,
    "買い物かごに入れる",
]


def scores(feature: Lexical, stored: list[str], query: str, *, static: bool = False) -> list[float]:
    """Scores of a query against a bank of texts."""
    bank = feature.bank(static=static)
    for row, blob in enumerate(feature.encode(stored)):
        bank.add(row, blob)
    return [float(value) for value in bank.scores(feature.encode([query])[0])[: len(stored)]]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Red KETTLE, $40.00!", ["red", "kettle", "40.00"]),
        ("3-ounce (pack_of 2).", ["3", "ounce", "pack", "of", "2"]),
        ("Ｆｕｌｌ ﬁt Straße", ["full", "fit", "strasse"]),
        ("東京 tower", ["東", "京", "tower"]),
        ("?! ...", ["?!", "..."]),
        ("", []),
    ],
)
def test_words(text: str, expected: list[str]) -> None:
    """Words are normalised and folded, numbers keep decimals, wordless texts fall back to their pieces."""
    assert words_of(text) == expected


def test_static_cosine_by_hand() -> None:
    """Without IDF: {a,b,c} and {a,b,d} share two of three words."""
    feature = Lexical("observation")
    assert scores(feature, ["aa bb cc"], "aa bb dd", static=True) == pytest.approx([2 / 3], abs=1e-12)


def test_idf_cosine_by_hand() -> None:
    """With IDF over the two texts in the bank; the query's own words do not count as a text."""
    rare, common = math.log(3 / 2) + 1, math.log(3 / 3) + 1
    unseen = math.log(3 / 1) + 1
    expected = common**2 / math.sqrt(common**2 + rare**2) / math.sqrt(common**2 + unseen**2)
    got = scores(Lexical("observation"), ["tea red", "tea blue"], "tea green")
    assert got == pytest.approx([expected, expected], abs=1e-12)


def test_sublinear_counts() -> None:
    """A word that occurs e^k times weighs 1 + k, in steps of 1/32, up to 255 times."""
    for count in (1, 2, 3, 5, 8, 50, 255, 256, 100_000):
        _, codes = unpack(Lexical("observation").encode(["tea " * count])[0])
        assert codes.tolist() == [round(32 * (1 + math.log(min(count, 255))))]


def test_letter_ngrams_see_word_forms() -> None:
    """For tasks "kettles" is a little like "kettle"; for pages, words only, it is not."""
    assert 0.2 < scores(Lexical("task"), ["kettles"], "kettle")[0] < 1.0
    assert scores(Lexical("observation"), ["kettles"], "kettle") == [0.0]
    assert Lexical("task").grams == 4
    assert Lexical("observation").grams == 0


def test_ngrams_by_hand() -> None:
    """kettle: itself and <ket kett ettl ttle tle>; the last is not in <kettles>, nor is the word."""
    assert len(unpack(Lexical("task").encode(["kettle"])[0])[0]) == 6
    expected = 4 / math.sqrt(6 * 7)
    assert scores(Lexical("task"), ["kettles"], "kettle", static=True) == pytest.approx([expected])


def test_bigrams_see_order() -> None:
    """With pairs of words "dog bites man" is no longer "man bites dog"."""
    plain, pairs = Lexical("observation"), Lexical("observation", bigrams=True)
    assert scores(plain, ["dog bites man"], "man bites dog") == pytest.approx([1.0])
    assert scores(pairs, ["dog bites man"], "man bites dog", static=True) == pytest.approx([3 / 5])


def test_empty_texts() -> None:
    """Two empty texts are alike; an empty and a full one are not."""
    for static in (False, True):
        assert scores(Lexical(), ["", "tea"], "", static=static) == [1.0, 0.0]
        assert scores(Lexical(), ["", "tea"], "tea", static=static) == pytest.approx([0.0, 1.0])


def test_empty_bank() -> None:
    """A bank without texts has no scores and no failure, also after everything was removed."""
    feature = Lexical()
    bank = feature.bank()
    blob = feature.encode(["tea"])[0]
    assert bank.scores(blob).shape == (0,)
    bank.add(0, blob)
    bank.remove(0)
    assert len(bank.scores(blob)) >= 1


@pytest.mark.parametrize("text", NASTY, ids=range(len(NASTY)))
@pytest.mark.parametrize("field", ["task", "observation"])
def test_nasty_texts(field: str, text: str) -> None:
    """Whatever a page holds is encoded in reasonable time and is alike to itself."""
    feature = Lexical(field)
    assert scores(feature, [text, "tea"], text)[0] == pytest.approx(1.0, abs=1e-12)
    assert feature.encode([text]) == feature.encode([text])


def test_bytes_are_stable() -> None:
    """The stored form is fixed: whoever changes it must change the version in the fingerprint."""
    assert Lexical("observation").encode(["red tea red"])[0].hex() == "b2d7868e8f5f61fa2036"
    assert Lexical("task").fingerprint == "lexical:1:task:bigrams0:grams4"


def test_fingerprint_tells_settings_apart() -> None:
    """Two features whose bytes differ never share a fingerprint."""
    features = [Lexical(), Lexical("observation"), Lexical(bigrams=True), Lexical(grams=0), Lexical(grams=3)]
    assert len({feature.fingerprint for feature in features}) == len(features)


def test_wrong_settings() -> None:
    """Settings out of range are errors at once."""
    with pytest.raises(UsageError, match="grams is 1"):
        Lexical(grams=1)
    with pytest.raises(UnknownNameError):
        Lexical("title")


def test_text_of() -> None:
    """It reads the field it was made for."""
    situation = Situation(task="t", observation="o", actions=("a", "b"), subtask="s")
    texts = [Lexical(field).text_of(situation) for field in ("task", "observation", "subtask", "actions")]
    assert texts == ["t", "o", "s", "a\nb"]


def test_replaced_texts_take_no_lasting_room() -> None:
    """A row that changes its text thousands of times leaves no trail: old postings are swept out."""
    bank = InvertedBank()
    for number in range(4000):
        (features,) = Lexical("observation").encode([f"page {number}"])
        bank.add(0, features)
        if number % 50 == 0:
            bank.scores(features)
        bank.remove(0)
    assert len(bank) == 0
    assert bank.postings < 3000


def test_best_needs_rare_words(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows are found by rare words; where too few have any, all must be scored. New rows are always there."""
    monkeypatch.setattr(inverted, "SEARCH_FROM", 100)
    feature = Lexical("observation")
    bank = InvertedBank(tail_entries=100)
    for row, features in enumerate(feature.encode([f"page word{row} pair{row // 2}" for row in range(200)])):
        bank.add(row, features)
    common, rare = feature.encode(["page", "page word7 pair3"])
    assert bank.best(common, 1) is None
    assert bank.best(rare, 10) is None
    found = bank.best(rare, 1)
    assert found is not None
    assert 7 in found
    assert set(found.tolist()) <= {6, 7}
    bank.add(200, common)
    found = bank.best(rare, 1)
    assert found is not None
    assert {7, 200} <= set(found.tolist())
    bank.remove(7)
    found = bank.best(rare, 1)
    assert found is not None
    assert 7 not in found
    assert 6 in found
