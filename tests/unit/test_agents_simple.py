"""Agents without a model: chance, a person, the solution."""

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.stage import TASK, Stage, job

from rlem.advice import is_available
from rlem.agents.base import Agent, View
from rlem.agents.simple import HumanAgent, OracleAgent, RandomAgent
from rlem.core.errors import ModelUnavailableError
from rlem.core.types import Step, Task
from rlem.environments.registry import make
from rlem.runner.play import Job, play

SHOP = ("search[<words>]", "click[next >]", "click[buy now]")


def view(
    actions: tuple[str, ...] = SHOP, *, seed: int = 0, step_index: int = 0, instruction: str = "a tea pot"
) -> View:
    """A view with these actions."""
    task = Task(id="t", instruction=instruction)
    return View(task=task, step=Step(observation="a page", actions=actions), seed=seed, step_index=step_index)


@given(
    st.lists(st.sampled_from([*SHOP, "go", "INPUT(3, <text>)", "click[a [b]]"]), min_size=1, unique=True),
    st.text(),
    st.integers(0, 2**63 - 1),
    st.integers(0, 30),
)
def test_chance_takes_available_actions_only(actions: list[str], text: str, seed: int, index: int) -> None:
    """Whatever the task says: a listed action, or a filling of a template that has been filled."""
    given_view = view(tuple(actions), seed=seed, step_index=index, instruction=f"{text} pot")
    decision = RandomAgent().act(given_view)
    assert decision.action is not None
    assert is_available(decision.action, actions)
    assert RandomAgent().act(given_view) == decision, "the same view, the same choice"


def test_chance_fills_a_template_from_a_task_that_is_hardly_words() -> None:
    """Brackets alone fill nothing; an unfilled template is never sent."""
    for text in ("", "[", "[ ] ( pot", "<>"):
        for seed in range(20):
            action = RandomAgent().act(view(SHOP[:1], seed=seed, instruction=text)).action
            assert action is not None
            assert is_available(action, SHOP[:1])


def test_chance_tries_everything() -> None:
    """Over seeds every action comes up, and searches differ."""
    actions = {RandomAgent().act(view(seed=seed)).action for seed in range(60)}
    assert {"click[next >]", "click[buy now]"} < actions
    assert len([a for a in actions if a is not None and a.startswith("search[")]) > 2


def test_chance_without_actions_decides_nothing() -> None:
    """A dead end is a failure to choose, not an error."""
    decision = RandomAgent().act(view(()))
    assert decision.action is None
    assert decision.failure.startswith("no-action")


@pytest.mark.parametrize(("name", "options"), [("corridor", {"rooms": 4}), ("webshop", {"n_products": 60})])
def test_the_oracle_solves_every_task(name: str, options: dict[str, int]) -> None:
    """It is the upper bound: full success within the step limit."""
    environment = make(name, **options)
    agent = OracleAgent(environment.oracle)  # type: ignore[attr-defined]
    for index, task in enumerate(environment.tasks("0:12")):
        played = Job(phase="eval", epoch=0, arm="no-memory", seed=0, task=task, index=index)
        record = play(environment, agent, played, max_steps=environment.max_steps).record
        assert (record.status, record.success) == ("terminated", True), task


def test_an_oracle_at_the_end_of_its_plan_decides_nothing() -> None:
    """A plan that does not end the episode runs into the rule of three failures."""
    record = play(Stage(), OracleAgent(lambda task: ["go left"]), job(), max_steps=9).record
    assert [s.action for s in record.steps] == ["go left", None, None, None]
    assert "the solution has ended" in record.cause


def human(typed: str) -> tuple[HumanAgent, io.StringIO]:
    """A person who types this."""
    screen = io.StringIO()
    return HumanAgent(io.StringIO(typed), screen), screen


@pytest.mark.parametrize(
    ("typed", "action"),
    [
        ("click[buy now]\n", "click[buy now]"),
        ("  click[buy now]  \n", "click[buy now]"),
        ("3\n", "click[buy now]"),
        ("search[a red pot]\n", "search[a red pot]"),
        ("1\n2\n", "click[next >]"),
        ("buy\n0\n99\n-1\nsearch[<words>]\nclick[next >]\n", "click[next >]"),
        ("Click[Next >]\n\n", "Click[Next >]"),
        ("\n99\n\nclick[next >]\n", "click[next >]"),
    ],
)
def test_a_person_types_an_action_or_its_number(typed: str, action: str) -> None:
    """What is not listed is asked for again: other texts, other numbers, a template without words. Another
    Enter sends a text all the same, for an environment may take more than it lists."""
    agent, screen = human(typed)
    assert agent.act(view()).action == action
    said = screen.getvalue()
    refused = said.count("is not listed here") + said.count("needs words of yours")
    assert refused == typed.count("\n") - 1


def test_a_person_sees_task_page_and_numbered_actions() -> None:
    """Everything the decision needs is on the screen."""
    agent, screen = human("2\n")
    agent.act(view())
    text = screen.getvalue()
    assert "Task: a tea pot" in text
    assert "a page" in text
    assert "  2  click[next >]" in text


@pytest.mark.parametrize("typed", ["", "quit\n", "exit\n", "nonsense\n"])
def test_a_person_who_leaves_is_a_model_that_does_not_answer(typed: str) -> None:
    """The end of the input and "quit" end the episode, not in a loop."""
    agent, _ = human(typed)
    with pytest.raises(ModelUnavailableError, match="stopped"):
        agent.act(view())


@pytest.mark.parametrize("typed", ["", "nonsense\n", "quit", "quit\n"])
def test_what_follows_a_question_begins_a_line(typed: str) -> None:
    """At the end of the input the line of the question is ended; where Enter was typed, it is already."""
    agent, screen = human(typed)
    with pytest.raises(ModelUnavailableError):
        agent.act(view())
    assert screen.getvalue().endswith("> " if typed == "quit\n" else "> \n")


def test_a_person_is_told_why_nothing_happened() -> None:
    """What the environment says of an action that it did not understand is on the screen."""
    agent, screen = human("1\n")
    step = Step(observation="a page", actions=("go",), info={"valid": False, "error": "no such element"})
    agent.act(View(task=TASK, step=step))
    assert "(nothing happened: no such element)" in screen.getvalue()


def test_a_page_cannot_steer_the_terminal() -> None:
    """Control characters and halves of characters of an environment are not sent to the screen."""
    agent, screen = human("1\n")
    step = Step(observation="\x1b[2Jgone \ud800", actions=("go \x07",))
    agent.act(View(task=TASK, step=step))
    assert all(c.isprintable() for c in screen.getvalue().replace("\n", ""))
    assert "gone" in screen.getvalue()


def test_all_are_agents() -> None:
    """They have the name and the one method of the protocol."""
    for agent in (RandomAgent(), HumanAgent(), OracleAgent(lambda task: [])):
        assert isinstance(agent, Agent)
