"""Whatever is added and removed in whatever order: the scores are those of the formula."""

from __future__ import annotations

import math
import random
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from rlem.core.types import Situation
from rlem.similarity import Lexical, SimilarityIndex, TagSequence, default, webshop, wikihow
from rlem.similarity.index import DECIMALS
from rlem.similarity.inverted import InvertedBank, unpack
from rlem.similarity.lexical import words_of

WORDS = ("tea", "red", "kettle", "kettles", "mug", "a", "the", "40.00", "straße", "x")
TEXTS = st.lists(st.sampled_from(WORDS), max_size=9).map(" ".join)
ANY_TEXT = st.text(alphabet=st.characters(exclude_categories=()), max_size=30)


def naive_features(text: str, *, grams: int) -> Counter[str]:
    """Words and framed letter n-grams of a simple text, counted."""
    counts: Counter[str] = Counter()
    for word in unicodedata.normalize("NFKC", text).casefold().split():
        counts["word " + word] += 1
        framed = f"<{word}>"
        if grams and len(framed) > grams:
            for at in range(len(framed) - grams + 1):
                counts["gram " + framed[at : at + grams]] += 1
    return counts


def naive_cosine(query: str, stored: str, bank: Sequence[str], *, grams: int, static: bool) -> float:
    """The formula of the docstring, one pair at a time, on strings."""
    documents = [naive_features(text, grams=grams) for text in bank]
    count = len(documents)

    def vector(text: str) -> dict[str, float]:
        weights = {}
        for name, tf in naive_features(text, grams=grams).items():
            df = sum(name in document for document in documents)
            idf = 1.0 if static else math.log((1 + count) / (1 + df)) + 1
            weights[name] = round(32 * (1 + math.log(tf))) / 32 * idf
        return weights

    a, b = vector(query), vector(stored)
    if not a or not b:
        return float(not a and not b)
    product = sum(weight * b.get(name, 0.0) for name, weight in a.items())
    return product / math.sqrt(sum(w * w for w in a.values())) / math.sqrt(sum(w * w for w in b.values()))


OPERATIONS = st.lists(
    st.tuples(st.sampled_from(["add", "add", "add", "remove", "score"]), st.integers(0, 5), TEXTS),
    max_size=25,
)


@settings(max_examples=150, deadline=None)
@given(
    operations=OPERATIONS,
    query=TEXTS,
    static=st.booleans(),
    tail=st.sampled_from([0, 12, 40, 32_768]),
    grams=st.sampled_from([0, 4]),
)
def test_changing_bank_equals_formula(
    operations: list[tuple[str, int, str]], query: str, static: bool, tail: int, grams: int
) -> None:
    """After any adds, removals, reuse of rows, merges and scores in between: the naive formula, to 1e-9."""
    feature = Lexical("task", grams=grams)
    bank = InvertedBank(static=static, tail_entries=tail)
    stored: dict[int, str] = {}
    (query_features,) = feature.encode([query])
    for kind, row, text in operations:
        if kind == "score":
            bank.scores(query_features)
        elif row in stored:
            bank.remove(row)
            del stored[row]
        elif kind == "add":
            bank.add(row, feature.encode([text])[0])
            stored[row] = text
    scores = bank.scores(query_features)
    texts = list(stored.values())
    for row, text in stored.items():
        expected = naive_cosine(query, text, texts, grams=grams, static=static)
        assert scores[row] == pytest.approx(expected, abs=1e-9)


def frozen(parts: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Parts of a dump as they come from a file: copies that cannot be written."""
    return {
        name: np.frombuffer(array.tobytes(), array.dtype).reshape(array.shape)
        for name, array in parts.items()
    }


def random_text(rng: random.Random) -> str:
    """A few of 60 words, some far more common than others; sometimes none."""
    return " ".join(f"w{min(int(rng.paretovariate(0.7)), 59)}" for _ in range(rng.randrange(12)))


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32), tail=st.sampled_from([0, 200, 32_768]), static=st.booleans())
def test_changed_bank_equals_new_bank(seed: int, tail: int, static: bool) -> None:
    """Hundreds of random changes and some reloads later a bank scores as one built from its contents.

    Asked for some rows only, it gives the very same bits.
    """
    rng = random.Random(seed)
    feature = Lexical("observation")
    bank, stored = InvertedBank(tail_entries=tail, static=static), dict[int, bytes]()
    for _ in range(250):
        row = rng.randrange(40)
        if row in stored:
            bank.remove(row)
            del stored[row]
        else:
            (stored[row],) = feature.encode([random_text(rng)])
            bank.add(row, stored[row])
        if rng.random() < 0.2 and stored:
            bank.scores(rng.choice(list(stored.values())))
        if rng.random() < 0.02:
            parts = frozen(bank.dump())
            bank = InvertedBank(tail_entries=tail, static=static)
            bank.load(parts)
    fresh = InvertedBank(static=static)
    for row, features in stored.items():
        fresh.add(row, features)
    rows = np.array(rng.choices(list(stored), k=len(stored)), np.int64) if stored else np.zeros(0, np.int64)
    for query in [*list(stored.values())[:5], *feature.encode(["w1 w2 w3", "unheard of", ""])]:
        scores = bank.scores(query)
        np.testing.assert_allclose(scores[rows], fresh.scores(query)[rows], rtol=0, atol=1e-9)
        assert bank.scores_of(query, rows).tobytes() == scores[rows].tobytes()


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_reloaded_index_equals_kept_index(seed: int) -> None:
    """An index that was written and read in between goes on as one that stayed: scores, parts, sharing."""
    rng = random.Random(seed)
    tasks, pages = ([random_text(rng) for _ in range(size)] for size in (6, 15))
    kept, reloaded = SimilarityIndex(default()), SimilarityIndex(default())
    stored: dict[int, Situation] = {}
    for _ in range(80):
        slot = rng.randrange(25)
        if slot in stored:
            del stored[slot]
            kept.remove(slot)
            reloaded.remove(slot)
        else:
            stored[slot] = Situation(task=rng.choice(tasks), observation=rng.choice(pages))
            kept.add(slot, stored[slot])
            reloaded.add(slot, stored[slot])
        if rng.random() < 0.1:
            parts = frozen(reloaded.dump())
            reloaded = SimilarityIndex(default())
            reloaded.load(parts)
    assert (len(reloaded), reloaded.capacity) == (len(kept), kept.capacity)
    slots = np.array(rng.choices(list(stored), k=9), np.int64) if stored else np.zeros(0, np.int64)
    for query in (*stored.values(), Situation(task="w1 w2", observation="w3")):
        scores = reloaded.scores(query)
        np.testing.assert_allclose(scores, kept.scores(query), rtol=0, atol=2 * 10.0**-DECIMALS)
        fresh = SimilarityIndex(default())
        fresh.load(reloaded.dump())
        assert fresh.scores_of(query, slots).tobytes() == scores[slots].tobytes()
        for slot in slots[:2].tolist():
            assert fresh.parts(query, slot) == reloaded.parts(query, slot)


@settings(max_examples=60, deadline=None)
@given(texts=st.lists(TEXTS, min_size=1, max_size=8), pages=st.lists(TEXTS, min_size=8, max_size=8))
def test_scores_are_a_similarity(texts: list[str], pages: list[str]) -> None:
    """In [0, 1], symmetric, and exactly 1 for a situation with itself."""
    situations = [Situation(task=task, observation=page) for task, page in zip(texts, pages, strict=False)]
    for similarity in (default(), wikihow()):
        index = SimilarityIndex(similarity)
        index.add_many(range(len(situations)), situations)
        matrix = np.array([index.scores(situation) for situation in situations])
        assert matrix.min() >= 0.0
        assert matrix.max() <= 1.0
        assert matrix.tolist() == matrix.T.tolist()
        assert matrix.diagonal().tolist() == [1.0] * len(situations)


@settings(max_examples=60, deadline=None)
@given(texts=st.lists(TEXTS, min_size=1, max_size=10, unique=True), query=TEXTS, seed=st.integers(0, 999))
def test_insertion_order_does_not_matter(texts: list[str], query: str, seed: int) -> None:
    """The same situations inserted in another order, or over detours, have the very same scores."""
    asked = Situation(task=query, observation="", actions=("search[<words>]",))
    situations = {
        slot: Situation(task=text, observation="", actions=asked.actions) for slot, text in enumerate(texts)
    }
    first, second = SimilarityIndex(webshop()), SimilarityIndex(webshop())
    first.add_many(list(situations), list(situations.values()))
    shuffled = list(situations)
    random.Random(seed).shuffle(shuffled)
    for slot in shuffled:
        second.add(slot, asked)
        second.scores(asked)
        second.remove(slot)
        second.add(slot, situations[slot])
    assert first.scores(asked).tolist() == second.scores(asked).tolist()


@settings(max_examples=60, deadline=None)
@given(first=TEXTS, second=TEXTS, others=st.lists(TEXTS, max_size=6))
def test_static_bank_knows_only_the_pair(first: str, second: str, others: list[str]) -> None:
    """A static score is the same in any company."""
    feature = Lexical()
    blobs = feature.encode([first, second, *others])
    alone, crowd = feature.bank(static=True), feature.bank(static=True)
    alone.add(0, blobs[1])
    for row, blob in enumerate(blobs[1:]):
        crowd.add(row, blob)
    assert round(float(alone.scores(blobs[0])[0]), 9) == round(float(crowd.scores(blobs[0])[0]), 9)


@settings(max_examples=200, deadline=None)
@given(text=ANY_TEXT, other=ANY_TEXT)
def test_any_text_goes(text: str, other: str) -> None:
    """Any text, lone surrogates and NUL included, is indexed and alike to itself."""
    situation = Situation(task=text, observation=other, actions=(text, other), subtask=other)
    for similarity in (default(), webshop(), wikihow()):
        index = SimilarityIndex(similarity)
        index.add(0, situation)
        score = index.scores(situation)[0]
        assert 0.0 <= score <= 1.0
    assert SimilarityIndex(default()).features_of(situation) == SimilarityIndex(default()).features_of(
        situation
    )


@given(text=st.text(max_size=60), grams=st.sampled_from([0, 3, 4]))
def test_features_are_sorted_and_weighted(text: str, grams: int) -> None:
    """Hashes ascend without repeats; weights are at least one whole step of 32; empty only without words."""
    hashes, codes = unpack(Lexical("task", grams=grams).encode([text])[0])
    assert hashes.tolist() == sorted(set(hashes.tolist()))
    assert all(code >= 32 for code in codes.tolist())
    assert bool(len(hashes)) == bool(words_of(text))


def naive_lcs(a: Sequence[str], b: Sequence[str]) -> int:
    """The textbook's table."""
    table = [[0] * (len(b) + 1) for _ in range(len(a) + 1)]
    for i, x in enumerate(a):
        for j, y in enumerate(b):
            table[i + 1][j + 1] = table[i][j] + 1 if x == y else max(table[i][j + 1], table[i + 1][j])
    return table[-1][-1]


TAGS = st.lists(st.sampled_from(["p", "img", "div", "button", "svg:path", "é"]), max_size=12)


@settings(max_examples=150, deadline=None)
@given(rows=st.lists(TAGS, min_size=1, max_size=5), query=TAGS)
def test_tag_sequences_equal_textbook(rows: list[list[str]], query: list[str]) -> None:
    """LCS over the longer length, for every row."""
    feature = TagSequence()
    bank = feature.bank()
    for row, tags in enumerate(rows):
        bank.add(row, feature.encode([" ".join(tags)])[0])
    scores = bank.scores(feature.encode([" ".join(query)])[0])
    for row, tags in enumerate(rows):
        longest = max(len(tags), len(query))
        expected = naive_lcs(query, tags) / longest if longest else 1.0
        assert scores[row] == pytest.approx(expected, abs=1e-12)
