"""Tag sequences and plain equality."""

from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlem.core.errors import UnknownNameError, UsageError
from rlem.core.types import Situation
from rlem.similarity import Bank, Exact, ExactOr, Feature, TagSequence
from rlem.similarity.tags import TagBank, tags_of


def screen(*tags: str) -> str:
    """HTML lines with these tags."""
    return "\n".join(f'<{tag} class="c" id="{number}">text</{tag}>' for number, tag in enumerate(tags))


def score(feature: Feature, query: Situation, stored: Situation) -> float:
    """Score of two situations in a bank of one row."""
    bank = feature.bank()
    bank.add(0, feature.encode([feature.text_of(stored)])[0])
    return float(bank.scores(feature.encode([feature.text_of(query)])[0])[0])


def alike(first: str, second: str) -> float:
    """Score of two screens."""
    situations = [Situation(task="t", observation=text) for text in (first, second)]
    return score(TagSequence(), *situations)


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        (("button", "img", "p"), ("p", "img"), 1 / 3),
        (("button", "img", "p"), ("button", "img", "p"), 1.0),
        (("button", "img", "p"), ("img", "p"), 2 / 3),
        (("p", "p", "div", "p"), ("div", "p", "p"), 2 / 4),
        (("p",), ("div",), 0.0),
        (("p",), (), 0.0),
        ((), ("p",), 0.0),
        ((), (), 1.0),
    ],
)
def test_worked_examples(first: tuple[str, ...], second: tuple[str, ...], expected: float) -> None:
    """LCS over the longer length, the same both ways round."""
    assert alike(screen(*first), screen(*second)) == pytest.approx(expected, abs=1e-12)
    assert alike(screen(*second), screen(*first)) == pytest.approx(expected, abs=1e-12)


def test_lines_that_are_no_tags() -> None:
    """Blank lines, closing tags and comments are skipped; other text counts as one kind of line."""
    text = "\n<DIV>\n  <p>x</p>\r\n\n</div>\n<!-- note -->\nplain words\n< 5 dollars\n<br/>"
    assert tags_of(text) == ["div", "p", "#text", "#text", "br"]


def test_plain_pages_compare_by_their_lines() -> None:
    """Two texts without tags are not simply equal."""
    assert alike("one\ntwo", "three") == 0.5


def test_attributes_do_not_matter() -> None:
    """Only the tag names count."""
    assert alike('<img alt="Search" id="2">', "<img>") == 1.0


def test_many_rows_at_once() -> None:
    """One query is scored against every row, also after rows were freed and used again."""
    feature = TagSequence()
    bank = feature.bank()
    encode = feature.encode
    for row, tags in enumerate(("p img", "button img p", "table")):
        bank.add(row, encode([tags])[0])
    assert bank.scores(encode(["button img p"])[0]).tolist() == pytest.approx([1 / 3, 1.0, 0.0])
    bank.remove(2)
    bank.add(2, encode(["button img"])[0])
    assert bank.scores(encode(["button img p"])[0]).tolist() == pytest.approx([1 / 3, 1.0, 2 / 3])


def test_unseen_tags_of_a_query_match_nothing() -> None:
    """A tag that no stored screen has is a tag like any other."""
    feature = TagSequence()
    bank = feature.bank()
    bank.add(0, feature.encode(["p"])[0])
    assert bank.scores(feature.encode(["custom-element p"])[0]).tolist() == [0.5]
    assert bank.scores(feature.encode(["another custom-element"])[0]).tolist() == [0.0]


NAMES = ("p", "img", "div", "button", "x\ud800", *(f"t{number}" for number in range(40)))
SCREENS = st.lists(st.sampled_from(NAMES), max_size=12).map(
    lambda tags: " ".join(tags).encode("utf-8", "surrogatepass")
)
CHANGES = st.lists(st.tuples(st.integers(0, 9), SCREENS), max_size=25)


def change(bank: Bank, held: dict[int, bytes], changes: Sequence[tuple[int, bytes]]) -> None:
    """Frees a row that is filled and fills one that is free."""
    for row, features in changes:
        if row in held:
            bank.remove(row)
            del held[row]
        else:
            bank.add(row, features)
            held[row] = features


@pytest.mark.parametrize("feature", [TagSequence(), Exact("task")], ids=lambda feature: feature.name)
@given(before=CHANGES, after=CHANGES, query=SCREENS)
def test_loaded_bank_goes_on_like_the_original(
    feature: Feature, before: list[tuple[int, bytes]], after: list[tuple[int, bytes]], query: bytes
) -> None:
    """A dump, read only, makes a bank that goes on like its original; some rows score as all do."""
    if isinstance(feature, Exact):
        digested = {
            text: feature.encode([text.decode("utf-8", "surrogatepass")])[0] for _, text in before + after
        }
        before = [(row, digested[text]) for row, text in before]
        after = [(row, digested[text]) for row, text in after]
        (query,) = feature.encode([query.decode("utf-8", "surrogatepass")])
    original, held = feature.bank(), dict[int, bytes]()
    change(original, held, before)
    parts = {name: np.frombuffer(part.tobytes(), part.dtype) for name, part in original.dump().items()}
    loaded, twin = feature.bank(), dict(held)
    loaded.load(parts)
    change(original, held, after)
    change(loaded, twin, after)
    rows = np.array(sorted(held), np.int64)
    expected = original.scores(query)[rows] if held else np.zeros(0)
    for bank in (original, loaded):
        assert np.array_equal(bank.scores_of(query, rows), expected)
        assert bank.best(query, 3) is None


@given(changes=CHANGES, more=CHANGES, query=SCREENS, wanted=st.integers(1, 4), probed=st.integers(0, 3))
def test_best_by_bound_is_exact(
    changes: list[tuple[int, bytes]], more: list[tuple[int, bytes]], query: bytes, wanted: int, probed: int
) -> None:
    """Best finds exactly the rows that score at least the wanted-th best, and no free row."""
    bank, held = TagBank(best_from=0, probed=probed), dict[int, bytes]()
    for part in (changes, more):  # the first call of best counts tags, later changes keep the counts
        change(bank, held, part)
        found = bank.best(query, wanted)
        if found is None:
            assert not query.split() or len(held) <= wanted + probed
            continue
        scores = bank.scores(query)
        exact = {row: float(scores[row]) for row in held}
        floor = sorted(exact.values())[-wanted]
        assert set(found.tolist()) == {row for row in held if exact[row] >= floor}


def test_best_among_many_screens() -> None:
    """Among thousands of alike screens the bound leaves few to score, and none of the best out."""
    rng = random.Random(0)
    tags = [" ".join(rng.choices(NAMES[:4], k=rng.randint(5, 40))).encode() for _ in range(5000)]
    bank = TagBank()
    for row, features in enumerate(tags):
        bank.add(row, features)
    for query in tags[:5]:
        found, scores = bank.best(query, 10), bank.scores(query)
        assert found is not None
        assert set(found.tolist()) == set(np.flatnonzero(scores >= np.sort(scores)[-10]).tolist())


def test_best_of_huge_screens() -> None:
    """Counts stop at 65,535: a longer query is scored against all, a longer row is still bounded."""
    bank = TagBank(best_from=0, probed=0)
    huge = b"p " * 70_000
    bank.add(0, b"p img")
    bank.add(1, huge)
    assert bank.best(huge, 1) is None
    found = bank.best(b"p " * 60_000, 1)
    assert found is not None
    assert found.tolist() == [1]


def test_queries_leave_nothing_behind() -> None:
    """A query's unknown tags do not become part of the bank."""
    bank = TagBank()
    bank.add(0, b"p img")
    before = {name: part.tobytes() for name, part in bank.dump().items()}
    bank.scores(b"p video audio")
    assert {name: part.tobytes() for name, part in bank.dump().items()} == before


A = Situation(task="buy tea", observation="page", actions=("a", "b"), subtask="s")


@pytest.mark.parametrize("field", ["task", "observation", "subtask", "actions", "situation"])
def test_exact(field: str) -> None:
    """1 for equal texts of the field, 0 for others, whatever the other fields hold."""
    b = Situation(task="buy tee", observation="pages", actions=("a",), subtask="")
    assert score(Exact(field), A, A) == 1.0
    assert score(Exact(field), A, b) == 0.0
    mixed = Situation(task=A.task, observation="x", actions=A.actions)
    assert score(Exact(field), A, mixed) == (1.0 if field in ("task", "actions") else 0.0)


def test_exact_or() -> None:
    """1 for equal situations, else the constant, as the value test vectors need it."""
    other = Situation(task="buy tea", observation="page", actions=("a", "b"), subtask="")
    assert score(ExactOr(), A, A) == 1.0
    assert score(ExactOr(), A, other) == 0.5
    assert score(ExactOr(other=0.25), A, other) == 0.25


def test_wrong_settings() -> None:
    """Unknown fields and constants out of range are errors at once."""
    with pytest.raises(UnknownNameError, match="did you mean 'observation'"):
        Exact("observatoin")
    with pytest.raises(UsageError, match=r"1\.5"):
        ExactOr(1.5)
