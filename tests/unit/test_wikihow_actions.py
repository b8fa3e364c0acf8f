"""Actions on a screen: their texts, what is listed, what is typed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlem.advice import WIKIHOW, is_available, parse_answer
from rlem.environments.wikihow.actions import Command, complaint, listed, parse_action, typed
from rlem.environments.wikihow.html import Leaf
from rlem.similarity.tags import tags_of

SCREEN = (Leaf("button", alt="Open"), Leaf("img", "search button", alt="Search"), Leaf("input"), Leaf("p"))


@pytest.mark.parametrize(
    ("text", "command"),
    [
        ("CLICK(0)", Command("CLICK", 0)),
        ("CLICK( 3 )", Command("CLICK", 3)),
        ("INPUT(2, a, b (c))", Command("INPUT", 2, "a, b (c)")),
        ("INPUT(2,x)", Command("INPUT", 2, "x")),
        ("SCROLL(UP)", Command("SCROLL", direction="UP")),
        ("SCROLL(LEFT)", Command("SCROLL", direction="LEFT")),
        ("GOBACK", Command("GOBACK")),
        ("GOBACK()", Command("GOBACK")),
    ],
)
def test_actions_are_understood(text: str, command: Command) -> None:
    """Each form gives its command."""
    assert parse_action(text, 4) == command


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("CLICK(4)", "no element 4; the screen has elements 0 to 3"),
        ("CLICK(x)", "number of an element"),
        ("CLICK(1, words)", "CLICK takes one number"),
        ("INPUT(1)", "a number and a text"),
        ("INPUT(1, )", "a number and a text"),
        ("SCROLL(down)", "SCROLL takes one of"),
        ("SCROLL(DOWN, 3)", "SCROLL takes one of"),
        ("GOBACK(1)", "no action"),
        ("click(1)", "no action"),
        ("CLICK 1", "no action"),
        ("CLICK(１)", "no action"),
        ("CLICK(99999999999999)", "number of an element"),
        ("", "no action"),
    ],
)
def test_what_is_wrong_is_said(text: str, why: str) -> None:
    """A text that is no action of this screen gives the reason, not a command."""
    told = parse_action(text, 4)
    assert isinstance(told, str)
    assert why in told


def test_ids_are_clipped_on_request_alone() -> None:
    """As in the original, an id beyond the end then means the last element; on an empty screen none."""
    assert parse_action("CLICK(9)", 4, clip=True) == Command("CLICK", 3)
    assert isinstance(parse_action("CLICK(9)", 4), str)
    assert isinstance(parse_action("CLICK(0)", 0, clip=True), str)


def test_listed_actions() -> None:
    """Input is listed for fields and the search, a click for each element, and the rest once."""
    actions = listed(SCREEN)
    assert [action for action in actions if action.startswith("INPUT")] == [
        "INPUT(1, <text>)",
        "INPUT(2, <text>)",
    ]
    assert [action for action in actions if action.startswith("CLICK")] == [f"CLICK({n})" for n in range(4)]
    assert actions[-3:] == ("SCROLL(DOWN)", "SCROLL(UP)", "GOBACK")
    assert len(listed([Leaf("p")] * 130)) == 133


def test_what_a_model_answers_is_what_can_be_sent() -> None:
    """The answer parser takes listed actions, and asks again for an element that is not there."""
    known = listed(SCREEN)
    assert parse_answer("Encouraged:\nINPUT(1, a kite) -> 1.0 x", known=known, grammar=WIKIHOW).action == (
        "INPUT(1, a kite)"
    )
    missing = parse_answer("Encouraged:\nCLICK(7) -> 1.0 x", known=known, grammar=WIKIHOW)
    assert missing.action is None
    assert "CLICK" in missing.failure


@given(st.text(max_size=200), st.integers(0, 60), st.booleans())
def test_any_text_is_answered(text: str, count: int, clip: bool) -> None:
    """Nothing raises; what is understood is an element of the screen."""
    told = parse_action(text, count, clip=clip)
    if isinstance(told, Command):
        assert -1 <= told.element < max(count, 1)


@given(st.integers(0, 40), st.text(min_size=1, max_size=60))
def test_listed_input_can_be_filled_with_any_words(number: int, words: str) -> None:
    """A filling of a listed template is understood, with the words as they are but for blanks around."""
    action = f"INPUT({number}, {words})"
    if is_available(action, (f"INPUT({number}, <text>)",)):
        assert parse_action(action, 41) == Command("INPUT", number, words.strip())


@given(st.text(max_size=80))
def test_typing_gives_plain_words(text: str) -> None:
    """What arrives is small ASCII without doubled blanks, and typing it again changes nothing."""
    once = typed(text)
    assert once.isascii()
    assert once == " ".join(once.lower().split())
    assert typed(once) == once


@given(st.text(max_size=80))
def test_a_complaint_is_one_comment_line(action: str) -> None:
    """Whatever was sent, the line is a comment: no element, no second line, nothing for the similarity."""
    line = complaint(action, "why")
    assert len(line.splitlines()) == 1
    assert line.startswith("<!--")
    assert line.endswith("-->")
    assert "--" not in line[4:-3]
    assert tags_of(line) == []
