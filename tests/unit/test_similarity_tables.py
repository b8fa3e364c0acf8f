"""Page types, instruction patterns, and their tables."""

from __future__ import annotations

import numpy as np
import pytest

from rlem.core.errors import UnknownNameError
from rlem.core.types import Situation
from rlem.similarity import Feature, InstructionPattern, PageType

PAGES = {
    "search": ("search[<words>]",),
    "results": ("click[back to search]", "click[next >]", "click[b09t756kq5]", "click[1234567890]"),
    "goods": ("click[back to search]", "click[< prev]", "click[description]", "click[buy now]", "click[red]"),
    "other": ("click[back to search]", "click[< prev]"),
}
SUBTASKS = {
    "search": "",
    "article": 'Access the article "How to Hide Gauges"',
    "author": "Check the author page of Trudi Griffin, LPC, MS.",
    "category": "Access the page of category Computers and Electronics",
    "reference": "Check the reference list",
    "about": "Access the about page to learn why people trust wikihow.",
}


def page(*actions: str) -> Situation:
    """A situation that differs by its actions only."""
    return Situation(task="t", observation="o", actions=actions)


def step(subtask: str) -> Situation:
    """A situation that differs by its step instruction only."""
    return Situation(task="t", observation="o", subtask=subtask)


def score(feature: Feature, query: Situation, stored: Situation) -> float:
    """Score of two situations in a bank of one row."""
    bank = feature.bank()
    bank.add(0, feature.encode([feature.text_of(stored)])[0])
    return float(bank.scores(feature.encode([feature.text_of(query)])[0])[0])


@pytest.mark.parametrize("compat", ["default", "reference"])
def test_page_table(compat: str) -> None:
    """Types are alike to themselves only, goods and other have 0.3."""
    feature = PageType(compat=compat)
    pages = PAGES | {"results": ("click[back to search]", "click[next >]", "click[b09t756kq5]")}
    for first, first_actions in pages.items():
        for second, second_actions in pages.items():
            expected = 1.0 if first == second else 0.3 if {first, second} == {"goods", "other"} else 0.0
            assert score(feature, page(*first_actions), page(*second_actions)) == expected, (first, second)


@pytest.mark.parametrize("name", PAGES)
def test_page_of_bare_names(name: str) -> None:
    """Legacy pools hold bare names; they have the type of the sendable forms."""
    bare = [
        "search" if action.startswith("search") else action.removeprefix("click[").removesuffix("]")
        for action in PAGES[name]
    ]
    assert PageType().text_of(page(*bare)) == PageType().text_of(page(*PAGES[name])) == name


def test_second_results_page() -> None:
    """Results pages 2 and later are results; the reference does not know them, not even as themselves."""
    second = page("click[back to search]", "click[< prev]", "click[next >]", "click[b09t756kq5]")
    assert score(PageType(), second, page(*PAGES["results"])) == 1.0
    assert PageType(compat="reference").text_of(second) == "unknown"
    assert score(PageType(compat="reference"), second, second) == 0.0


@pytest.mark.parametrize(
    ("actions", "expected"),
    [
        ((), "unknown"),
        (("look", "go north"), "unknown"),
        (("click[back to search]",), "unknown"),
        (("click[back to search]", "click[next >]"), "results"),
        (("click[back to search]", "click[< prev]", "click[next >]"), "results"),
        (("click[back to search]", "click[next >]", "click[something]"), "unknown"),
        (("search[<words>]", "click[search]"), "search"),
        (("Click[Back to Search]", "click[< Prev]"), "other"),
        (("click[back to search]", "click[< prev]", "click[b0]"), "unknown"),
    ],
)
def test_page_edges(actions: tuple[str, ...], expected: str) -> None:
    """Empty results are results; what is no shop page is unknown, which scores 0 even to itself."""
    assert PageType().text_of(page(*actions)) == expected
    assert score(PageType(), page(*actions), page(*actions)) == (0.0 if expected == "unknown" else 1.0)


def test_reference_page_survives_short_names() -> None:
    """The reference rule looks at the third letter; shorter names are no error here."""
    assert PageType(compat="reference").text_of(page("back to search", "next >", "b0")) == "unknown"


PATTERN_TABLE = {
    ("search", "article"): 0.1,
    ("article", "author"): 0.3,
    ("article", "category"): 0.3,
    ("author", "category"): 0.8,
    ("author", "reference"): 0.3,
    ("author", "about"): 0.3,
    ("category", "reference"): 0.3,
    ("category", "about"): 0.3,
    ("reference", "about"): 0.8,
}


def test_pattern_table() -> None:
    """All 36 pairs have the published value, both ways round."""
    feature = InstructionPattern()
    for first, first_text in SUBTASKS.items():
        for second, second_text in SUBTASKS.items():
            either = PATTERN_TABLE.get((first, second), PATTERN_TABLE.get((second, first), 0.0))
            expected = 1.0 if first == second else either
            assert score(feature, step(first_text), step(second_text)) == expected, (first, second)


def test_pattern_reference_defect() -> None:
    """The reference never matches the reference list: 0 to everything; ours matches it."""
    reference, text = InstructionPattern(compat="reference"), SUBTASKS["reference"]
    assert all(score(reference, step(text), step(other)) == 0.0 for other in SUBTASKS.values())
    assert all(score(reference, step(other), step(text)) == 0.0 for other in SUBTASKS.values())
    assert score(InstructionPattern(), step(text), step(text)) == 1.0


def test_pattern_unknown() -> None:
    """An instruction of no pattern scores 0, even to itself; blanks and case do not matter."""
    assert score(InstructionPattern(), step("Dance"), step("Dance")) == 0.0
    assert InstructionPattern().text_of(step("  check the Reference list \n")) == "reference"


@pytest.mark.parametrize("kind", [PageType, InstructionPattern])
def test_unknown_compat(kind: type[PageType]) -> None:
    """A misspelt compat is an error that proposes the right one."""
    with pytest.raises(UnknownNameError, match="did you mean 'reference'"):
        kind(compat="refrence")


def test_rows_are_used_again() -> None:
    """A freed row takes another class, and rows beyond the first are read in place."""
    feature = PageType()
    bank = feature.bank()
    goods, other = feature.encode(["goods", "other"])
    bank.add(3, goods)
    bank.add(1, other)
    assert bank.scores(goods)[[1, 3]].tolist() == [0.3, 1.0]
    bank.remove(3)
    bank.add(3, other)
    assert bank.scores(goods)[[1, 3]].tolist() == [0.3, 0.3]


def test_dump_load_and_some_rows() -> None:
    """A loaded bank of classes goes on like the original; some rows score as all do; best is None."""
    feature = PageType()
    bank, loaded = feature.bank(), feature.bank()
    classes = feature.encode(["goods", "other", "search", "unknown"])
    for row, features in enumerate(classes):
        bank.add(row, features)
    loaded.load({name: np.frombuffer(part.tobytes(), part.dtype) for name, part in bank.dump().items()})
    for changed in (bank, loaded):
        changed.remove(1)
        changed.add(1, classes[0])
        changed.add(4, classes[1])
        assert changed.scores(classes[0]).tolist() == [1.0, 1.0, 0.0, 0.0, 0.3]
        assert changed.scores_of(classes[0], np.array([4, 0, 0])).tolist() == [0.3, 1.0, 1.0]
        assert changed.best(classes[0], 2) is None
