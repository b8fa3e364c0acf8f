"""Tag sequences and plain equality."""

from __future__ import annotations

import pytest

from rlem.core.errors import UnknownNameError, UsageError
from rlem.core.types import Situation
from rlem.similarity import Exact, ExactOr, Feature, TagSequence
from rlem.similarity.tags import tags_of


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
