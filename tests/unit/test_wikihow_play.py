"""The phone at the terminal: what a person reads there, and what they can type."""

from __future__ import annotations

import io
import re

import pytest

from rlem.agents.base import View
from rlem.agents.simple import HumanAgent
from rlem.core.errors import UsageError
from rlem.core.types import Step, Task
from rlem.environments.wikihow.env import WikiHow
from rlem.environments.wikihow.play_text import PhoneText
from rlem.runner.play import Job, play

TASK = Task(id="t", instruction="Search an article.\nThen, open it")
SCREEN = "\n".join(
    [
        '<button alt="Open navigation drawer" id="0" clickable="true"></button>',
        '<input class="search src text" value="a kite" type="text" id="1" clickable="true">',
        '<img class="search close btn" alt="Clear query" id="2" clickable="true">',
        '<p id="3" clickable="true">How to Carve a Spoon</p>',
        '<div id="4" clickable="false">&bull; </div>'.replace("&bull;", "•"),
        '<p id="5" clickable="false">Tips &amp; Tricks&#10;in two lines</p>',
        '<button class="gatAccuracyYes" id="6" clickable="true">Yes</button>',
        '<img alt="v4-step.jpg" id="7" clickable="false">',
        '<input class="category banner search input" type="text" id="8" clickable="true">',
        '<div class="statusBarBackground" id="9" clickable="false"></div>',
    ]
)
STEP = Step(observation=SCREEN, actions=("INPUT(1, <text>)", *(f"CLICK({n})" for n in range(10)), "GOBACK"))


@pytest.fixture(scope="module")
def world() -> WikiHow:
    """The app over a small site."""
    return WikiHow.bundled(n_articles=150)


def shown(step: Step, **more: float) -> str:
    """What the person sees."""
    values = {"last": 0.0, "total": 0.0} | more
    return PhoneText(15).show(TASK, step, index=4, **values)


def test_a_screen_is_a_numbered_list() -> None:
    """The bar in one line, each text with its number and what it is, no markup; the numbers of elements
    without words in one line."""
    text = shown(STEP, last=1, total=2)
    assert "Task: Search an article.\n      Then, open it\n" in text
    assert "Now:  Search an article.\n" in text
    assert "Last reward 1, in all 2. Steps left: 11\n" in text
    assert "[0] Open navigation drawer  [1] <a kite> (field)  [2] Clear query\n" in text
    rows = [line.strip() for line in text.split("\n")[-6:]]
    assert rows == [
        "[3] How to Carve a Spoon   (link)",
        "[5] Tips & Tricks in two lines",
        "[6] Yes   (button)",
        "[7] v4-step.jpg   (picture)",
        "[8] (field)",
        "(without words: [4] [9])",
    ]


def test_the_instruction_that_is_due_is_named() -> None:
    """From the first one on it stands there instead of the task's first line."""
    text = shown(Step(observation=SCREEN, subtask="Open it"))
    assert "Now:  Open it\n" in text


def test_where_all_is_clickable_it_is_said_once() -> None:
    """On pages whose every text can be clicked, marks at each would be noise."""
    lines = [f'<div id="{n}" clickable="true">Text {n}</div>' for n in range(3)]
    text = shown(Step(observation="\n".join(lines)))
    assert text.count("(every line can be clicked)") == 1
    assert "(link)" not in text


@pytest.mark.parametrize("observation", ["", "<!-- error: nothing. -->", "no screen at all <p>"])
def test_odd_screens_are_shown_too(observation: str) -> None:
    """No element, a complaint alone, a line that is none of ours."""
    text = shown(Step(observation=observation))
    assert ("(an empty screen)" in text) == ("no screen" not in observation)
    assert "<!--" not in text


@pytest.mark.parametrize(
    ("typed", "action"),
    [
        ("3", "CLICK(3)"),
        ("0", "CLICK(0)"),
        ("1 how to carve (a spoon)", "INPUT(1, how to carve (a spoon))"),
        ("1   two  blanks", "INPUT(1, two  blanks)"),
        ("u", "SCROLL(UP)"),
        ("D", "SCROLL(DOWN)"),
        ("b", "GOBACK"),
        ("goback", "GOBACK"),
        ("CLICK(3)", "CLICK(3)"),
        ("click(3)", "CLICK(3)"),
        ("Input(1, Kites)", "INPUT(1, Kites)"),
        ("SCROLL(LEFT)", "SCROLL(LEFT)"),
    ],
)
def test_short_forms_stand_for_actions(typed: str, action: str) -> None:
    """Numbers, numbers with words, letters, and the full forms in any case."""
    assert PhoneText(15).expand(typed, STEP) == action


@pytest.mark.parametrize(
    ("typed", "why"),
    [
        ("10", "no element 10; the screen has elements 0 to 9"),
        ("99 words", "no element 99"),
        ("", "this is no action"),
        ("hello", "this is no action"),
        ("-1", "this is no action"),
        ("CLICK(x)", "takes the number of an element"),
        ("SCROLL(AROUND)", "SCROLL takes one of"),
        ("3" * 400, "takes the number of an element"),
        ("\x1b[2J", "this is no action"),
    ],
)
def test_what_is_wrong_is_said(typed: str, why: str) -> None:
    """The message says what was typed, why it cannot be done, and the short forms."""
    with pytest.raises(UsageError, match=re.escape(why)) as raised:
        PhoneText(15).expand(typed, STEP)
    assert repr(typed) in str(raised.value)
    assert "u, d: scroll" in str(raised.value)


def test_a_complaint_above_the_screen_is_no_element() -> None:
    """After an action that could not be done, the numbers are those of the screen."""
    step = Step(observation=f"<!-- error: x: no. Nothing was done. -->\n{SCREEN}")
    assert PhoneText(15).expand("9", step) == "CLICK(9)"
    with pytest.raises(UsageError):
        PhoneText(15).expand("10", step)


def test_a_person_is_asked_again(world: WikiHow) -> None:
    """What cannot be done gets a line; what is merely not listed is sent after another Enter; then the
    action is taken."""
    screen = io.StringIO()
    agent = HumanAgent(io.StringIO("nonsense\n42\n3 words\n\n"), screen, PhoneText(15))
    assert agent.act(View(task=TASK, step=STEP, last_reward=1, total_reward=2)).action == "INPUT(3, words)"
    said = screen.getvalue()
    assert "Last reward 1, in all 2" in said
    assert said.count("for short: 5: click 5".capitalize()) == 2
    assert said.count("is not listed here: press Enter") == 1
    assert "or type another action" in said
    assert "<p id" not in said


@pytest.mark.parametrize("number", [0, 30, 69])
def test_a_whole_task_in_short_forms(world: WikiHow, number: int) -> None:
    """A person who types the oracle's way for short, with slips between, ends with its reward and no step
    more."""
    task = world.tasks("test")[number]
    plan = world.oracle(task)
    short = {"SCROLL(DOWN)": "d", "SCROLL(UP)": "u", "GOBACK": "b"}
    typed = [
        short.get(action) or re.sub(r"\w+\((\d+)(?:, (.*))?\)", lambda m: f"{m[1]} {m[2] or ''}", action)
        for action in plan
    ]
    screen = io.StringIO()
    lines = "".join(f"4711\n{line}\n" for line in typed)
    job = Job(phase="eval", epoch=0, arm="no-memory", seed=0, task=task, index=0)
    record = play(world, HumanAgent(io.StringIO(lines), screen, PhoneText(15)), job, max_steps=15).record
    assert record.success
    assert [step.action for step in record.steps] == plan
    assert screen.getvalue().count("no element 4711") == len(plan)
    assert f"Steps left: {16 - len(plan)}\n" in screen.getvalue()
