"""The index: slots, rows, weights, rounding, stored features."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pytest

from rlem.core.errors import UsageError
from rlem.core.types import JSON, Situation
from rlem.similarity import (
    Bank,
    Exact,
    Feature,
    Lexical,
    PageType,
    Similarity,
    SimilarityIndex,
    default,
    webshop,
    weighted,
    wikihow,
)
from rlem.similarity.fields import digest

GOODS = ("click[back to search]", "click[< prev]", "click[buy now]")
OTHER = ("click[back to search]", "click[< prev]")


def situation(task: str, actions: tuple[str, ...] = GOODS, observation: str = "") -> Situation:
    """A shop situation."""
    return Situation(task=task, observation=observation, actions=actions)


@dataclass(frozen=True)
class Counting:
    """A feature that remembers what it was asked to encode."""

    inner: Feature
    asked: list[list[str]] = field(default_factory=list)
    name: str = "counted"
    fingerprint: str = "counting:1"

    def text_of(self, situation: Situation) -> str:
        """The inner feature's text."""
        return self.inner.text_of(situation)

    def encode(self, texts: Sequence[str]) -> list[bytes]:
        """The inner feature's bytes."""
        self.asked.append(list(texts))
        return self.inner.encode(texts)

    def bank(self, *, static: bool = False) -> Bank:
        """The inner feature's bank."""
        return self.inner.bank(static=static)

    def to_config(self) -> dict[str, JSON]:
        """Never asked for."""
        raise AssertionError


def test_weighted_sum() -> None:
    """Weights need not add up to one; task equal and page 0.3 give (3 * 1 + 1 * 0.3) / 4."""
    index = SimilarityIndex(weighted((3, Exact("task")), (1, PageType())))
    index.add(0, situation("tea", OTHER))
    index.add(1, situation("mug", GOODS))
    assert index.scores(situation("tea")).tolist() == [0.825, 0.25]
    assert index.parts(situation("tea"), 0) == {"task": 1.0, "page": 0.3}


def test_free_slots_are_minus_one() -> None:
    """Slots may be filled in any order; free ones say -1, also after a removal."""
    index = SimilarityIndex(webshop())
    assert index.scores(situation("tea")).shape == (0,)
    index.add(4, situation("tea"))
    index.add(2, situation("tea"))
    assert index.scores(situation("tea")).tolist() == [-1, -1, 1, -1, 1]
    assert (index.capacity, len(index)) == (5, 2)
    index.remove(4)
    assert index.scores(situation("tea")).tolist() == [-1, -1, 1, -1, -1]
    index.remove(2)
    assert index.scores(situation("tea")).tolist() == [-1] * 5
    index.add(0, situation("mug", OTHER))
    assert index.scores(situation("mug")).tolist() == [0.65, -1, -1, -1, -1]


def test_self_similarity_is_exactly_one() -> None:
    """A stored situation has exactly 1, whatever else is stored and whatever the IDF."""
    for similarity in (default(), webshop(), wikihow()):
        index = SimilarityIndex(similarity)
        stored = [
            situation(f"red kettle {n} {n * n}", GOODS, f"<p>page {n}</p>\n" * (n + 1)) for n in range(60)
        ]
        index.add_many(range(60), stored)
        assert all(index.scores(query)[slot] == 1.0 for slot, query in enumerate(stored))


def test_scores_have_nine_decimals() -> None:
    """Scores are rounded, so the order of a summation never decides a rank."""
    index = SimilarityIndex(default())
    index.add_many(range(20), [situation(f"kettle {n} of {n + 1}", (), f"page {n}") for n in range(20)])
    scores = index.scores(situation("a kettle 3 4", (), "page"))
    assert scores.tolist() == [round(value, 9) for value in scores.tolist()]
    assert len(set(scores.tolist())) > 3
    assert scores.min() >= 0.0
    assert scores.max() <= 1.0


def test_equal_texts_share_features() -> None:
    """One encode call per batch, each text once, none for texts seen lately: one a query's episode."""
    counting = Counting(Lexical("task"))
    index = SimilarityIndex(weighted((1, counting)))
    index.add_many(range(4), [situation(task) for task in ("tea", "mug", "tea", "tea")])
    index.add(9, situation("mug"))
    assert counting.asked == [["tea", "mug"]]
    for _ in range(3):
        index.scores(situation("pot"))
        index.scores(situation("pot", OTHER))
    assert counting.asked == [["tea", "mug"], ["pot"]]
    for slot in (0, 2):
        index.remove(slot)
    assert index.scores(situation("tea")).tolist() == [-1, 0, -1, 1, -1, -1, -1, -1, -1, 0]


def test_stored_features_are_not_made_again() -> None:
    """What features_of gave and a store kept is used as it is; what is missing is made."""
    counting = Counting(Lexical("task"))
    similarity = weighted((1, counting), (1, PageType()))
    stored = SimilarityIndex(similarity).features_of(situation("tea"))
    assert set(stored) == {"counting:1", "page-type:1:default"}
    counting.asked.clear()
    index = SimilarityIndex(similarity)
    index.add(0, situation("tea"), stored)
    index.add(1, situation("mug"), {"another:1": b"x"})
    assert counting.asked == [["mug"]]
    assert index.scores(situation("tea")).tolist() == [1.0, 0.5]


def test_idf_counts_unique_texts() -> None:
    """Twenty experiences of one task are one text: they do not make its words common."""
    few, many = SimilarityIndex(default(task_weight=1)), SimilarityIndex(default(task_weight=1))
    few.add_many(range(2), [situation("red tea"), situation("blue mug")])
    many.add_many(range(21), [situation("red tea")] * 20 + [situation("blue mug")])
    query = situation("red mug")
    assert few.scores(query).tolist() == many.scores(query)[[0, 20]].tolist()


def test_static_is_independent_of_the_rest() -> None:
    """With static=True the score of two situations stays the same as others come and go."""
    query, stored = situation("a red kettle", (), "words of a page"), situation("a blue kettle", (), "a page")
    dynamic, static = SimilarityIndex(default()), SimilarityIndex(default(), static=True)
    before = []
    for index in (dynamic, static):
        index.add(0, stored)
        before.append(index.scores(query)[0])
        index.add_many(range(1, 30), [situation(f"a kettle {n}", (), f"a page {n}") for n in range(29)])
    assert dynamic.scores(query)[0] != before[0]
    assert static.scores(query)[0] == before[1]


def test_parts_explain_the_score() -> None:
    """Parts weighted give the score; two terms of one name are both named."""
    similarity = weighted((2, Lexical("task")), (1, Lexical("task", grams=0)), (1, PageType()))
    index = SimilarityIndex(similarity)
    index.add_many(range(3), [situation("red kettles"), situation("red tea", OTHER), situation("pot")])
    query = situation("a red kettle")
    for slot, score in enumerate(index.scores(query)):
        parts = index.parts(query, slot)
        assert list(parts) == ["task", "task 2", "page"]
        total = (2 * parts["task"] + parts["task 2"] + parts["page"]) / 4
        assert score == pytest.approx(total, abs=2e-9)
    assert index.parts(situation("pot"), 2)["task"] == 1.0


def test_parts_see_changes() -> None:
    """What is kept from the last query is dropped when the index changes."""
    index = SimilarityIndex(webshop())
    index.add(0, situation("tea"))
    assert index.parts(situation("tea"), 0)["task"] == 1.0
    index.remove(0)
    index.add(0, situation("mug"))
    assert index.parts(situation("tea"), 0)["task"] == 0.0


def test_misuse() -> None:
    """Slots in use, free, negative or named twice are errors that leave the index as it was."""
    index = SimilarityIndex(webshop())
    index.add(0, situation("tea"))
    with pytest.raises(UsageError, match="slot 0 is in use"):
        index.add(0, situation("mug"))
    with pytest.raises(UsageError, match="negative"):
        index.add(-1, situation("mug"))
    with pytest.raises(UsageError, match="once"):
        index.add_many([1, 1], [situation("mug"), situation("pot")])
    with pytest.raises(UsageError, match="as many"):
        index.add_many([1], [])
    with pytest.raises(UsageError, match="slot 0 is in use"):
        index.add_many([1, 0], [situation("mug"), situation("pot")])
    for slot in (1, -1, 99):
        with pytest.raises(UsageError, match="free"):
            index.remove(slot)
        with pytest.raises(UsageError, match="free"):
            index.parts(situation("tea"), slot)
    assert index.scores(situation("tea")).tolist() == [1.0]


def test_similarity_without_terms() -> None:
    """A hand-made similarity without terms or with a weight of 0 is refused."""
    for terms in ((), ((0.0, Exact()),)):
        with pytest.raises(UsageError, match="positive weight"):
            SimilarityIndex(Similarity(terms))


def test_failed_encoding_changes_nothing() -> None:
    """If a feature cannot be made, no slot of the batch is filled."""

    class Broken(Counting):
        def encode(self, texts: Sequence[str]) -> list[bytes]:
            raise UsageError("no model")

    index = SimilarityIndex(weighted((1, Exact("task")), (1, Broken(Exact("task")))))
    with pytest.raises(UsageError, match="no model"):
        index.add(0, situation("tea"))
    assert (index.capacity, len(index)) == (0, 0)


def test_large_index_is_exact() -> None:
    """Over merges, dense columns and a tail, scores equal those of a small index with the same texts."""
    rng = np.random.default_rng(0)
    words = [f"w{n}" for n in range(400)]
    texts = [" ".join(words[int(i)] for i in rng.zipf(1.3, 60) % 400) + " page of goods" for _ in range(1500)]
    stored = [situation("t", (), text) for text in texts]
    index = SimilarityIndex(default(task_weight=0))
    for start in range(0, 1500, 500):
        index.add_many(range(start, start + 500), stored[start : start + 500])
        index.scores(stored[0])
    for slot in range(0, 1500, 3):
        index.remove(slot)
    index.add_many(range(0, 300, 3), stored[1400:1500])
    rebuilt = SimilarityIndex(default(task_weight=0))
    kept = {slot: stored[slot] for slot in range(1500) if slot % 3}
    kept |= dict(zip(range(0, 300, 3), stored[1400:1500], strict=True))
    rebuilt.add_many(list(kept), list(kept.values()))
    for query in (stored[0], stored[7], situation("t", (), "w1 w1 w2 goods unheard")):
        np.testing.assert_allclose(index.scores(query)[:1499], rebuilt.scores(query)[:1499], atol=2e-9)


def shopping(rng: np.random.Generator, pages: int) -> list[Situation]:
    """Pages of one task; words are some common, some rare, and a page repeats its task."""

    def words(size: int) -> str:
        common, rare = rng.zipf(1.5, size) % 4000, rng.integers(0, 4000, size // 2)
        return " ".join(f"w{number}" for number in (*common, *rare))

    task = words(6)
    return [situation(task, (), f"a page of {task} {words(20)}") for _ in range(pages)]


def queries(count: int) -> list[Situation]:
    """Situations that no index knows."""
    rng = np.random.default_rng(2)
    return [shopping(rng, 1)[0] for _ in range(count)]


@pytest.fixture
def searched() -> SimilarityIndex:
    """An index of 2,000 tasks with 3 pages each that is large enough to be searched by candidates."""
    rng = np.random.default_rng(1)
    index = SimilarityIndex(default())
    index.best_from = 1000
    index.add_many(range(6000), [page for _ in range(2000) for page in shopping(rng, 3)])
    return index


def test_candidates_hold_the_best(searched: SimilarityIndex) -> None:
    """Of the ten best of all slots at least 99 in 100 are among the candidates, which are far from all."""
    found = []
    for query in queries(50):
        slots = searched.candidates(query, 10)
        assert slots is not None
        assert len(slots) < 3000
        scores = searched.scores(query)
        assert searched.scores_of(query, slots).tobytes() == scores[slots].tobytes()
        found.append(min(10, int(np.count_nonzero(scores[slots] >= np.sort(scores)[-10]))))
    assert np.mean(found) >= 9.9


def test_candidates_follow_changes(searched: SimilarityIndex) -> None:
    """A removed slot is no candidate any more; a new one is at once, also after a reload."""
    query = queries(1)[0]
    searched.add(6000, query)
    for index in (searched, reloaded(searched)):
        index.best_from = 1000
        slots = index.candidates(query, 1)
        assert slots is not None
        assert 6000 in slots
        index.remove(6000)
        slots = index.candidates(query, 1)
        assert slots is not None
        assert 6000 not in slots
        assert len(set(slots.tolist())) == len(slots)


def test_a_text_of_all_slots_proposes_few(searched: SimilarityIndex) -> None:
    """A start page that thousands of slots share does not make all of them candidates."""
    start = "welcome to the shop"
    searched.add_many(range(6000, 9000), [situation(f"w{n} w{n + 1}", (), start) for n in range(3000)])
    query = situation("w17 w18", (), start)
    slots = searched.candidates(query, 1)
    assert slots is not None
    assert 6017 in slots
    assert len(slots) < 3000


def test_candidates_may_come_from_elsewhere(searched: SimilarityIndex) -> None:
    """What is proposed for a feature goes before the bank's own candidates; names nobody knows are left out,
    and where nothing is proposed the bank's own are taken."""
    (query,) = queries(1)
    own = searched.candidates(query, 1)
    asked: list[tuple[str, int]] = []

    def propose(fingerprint: str, features: bytes, wanted: int) -> list[bytes] | None:
        asked.append((fingerprint, wanted))
        if "task" not in fingerprint:
            return None
        return [digest("nobody knows this"), digest(query.task)]

    stranger = replace(query, observation="never seen before")
    searched.add(6000, stranger)
    found = searched.candidates(query, 1, propose)
    assert found is not None
    assert own is not None
    assert 6000 in found
    assert len(found) < len(own)
    assert {fingerprint for fingerprint, _ in asked} == {t.fingerprint for t in searched._terms}


def test_a_rare_page_type_is_found() -> None:
    """Pages of a type that one task in fifty has are found, however many better tasks are without one."""
    index = SimilarityIndex(webshop())
    index._best_from = 1000  # the banks score all of so few
    tasks = [shopping(np.random.default_rng(n), 1)[0].task for n in range(5000)]
    rare = range(0, 5000, 50)
    index.add_many(range(5000), [situation(task) for task in tasks])
    index.add_many(range(5000, 5100), [situation(tasks[n], OTHER) for n in rare])
    query = situation(queries(1)[0].task, OTHER)
    slots, scores = index.candidates(query, 10), index.scores(query)
    assert slots is not None
    assert np.count_nonzero(scores[slots] >= np.sort(scores)[-10]) >= 10


def test_small_indexes_have_no_candidates() -> None:
    """Up to the limit everything is scored."""
    index = SimilarityIndex(default())
    index.add(0, situation("tea"))
    assert index.candidates(situation("tea"), 1) is None


def reloaded(index: SimilarityIndex) -> SimilarityIndex:
    """An index of what another one dumped."""
    other = SimilarityIndex(index.similarity)
    other.load({name: array.copy() for name, array in index.dump().items()})
    return other


def test_only_an_empty_index_is_loaded() -> None:
    """Loading over something is an error that leaves it as it was."""
    index = SimilarityIndex(default())
    index.add(0, situation("tea"))
    with pytest.raises(UsageError, match="empty"):
        index.load(index.dump())
    assert index.scores(situation("tea")).tolist() == [1.0]


def test_loading_encodes_nothing() -> None:
    """What was dumped needs no features anew, and a text that comes back shares its row."""
    counting = Counting(Lexical("task"))
    index = SimilarityIndex(weighted((1, counting)))
    index.add_many(range(2), [situation("tea"), situation("mug")])
    counting.asked.clear()
    other = reloaded(index)
    assert counting.asked == []
    other.add(2, situation("tea"))
    assert other.scores(situation("tea")).tolist() == [1, 0, 1]


def test_stored_features_answer_queries() -> None:
    """A query whose text came with stored features is not encoded."""
    counting = Counting(Lexical("task"))
    similarity = weighted((1, counting))
    stored = SimilarityIndex(similarity).features_of(situation("tea"))
    counting.asked.clear()
    index = SimilarityIndex(similarity)
    index.add(0, situation("tea"), stored)
    assert index.scores(situation("tea")).tolist() == [1.0]
    assert counting.asked == []
