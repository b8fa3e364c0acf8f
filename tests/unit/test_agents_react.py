"""ReAct: the form of its prompt, how its answers are read, and what it keeps of an episode."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.stage import ACTIONS, TASK, Stage, job

from rlem.advice import GENERIC, WEBSHOP, WIKIHOW, Advice, Exemplar, prompt_style
from rlem.agents.base import View
from rlem.agents.prompted import PromptOptions, fixed_exemplars
from rlem.agents.react import react, read_thought
from rlem.core.types import Situation, Step
from rlem.runner.play import play
from rlem.testing.scripted_model import ScriptedModel

KNOWN = ("search[<words>]", "click[red]", "click[buy now]")
END = '\n\nAnswer for the new input now. The first line begins with "Thought:", the second with "Action:".'


def view(**changes: object) -> View:
    """A view of a hall with two actions."""
    fields: dict[str, object] = {"task": TASK, "step": Step(observation="a hall", actions=ACTIONS)}
    return View(**fields | changes)  # type: ignore[arg-type]


def test_thoughts_and_actions_are_interleaved_in_the_prompt() -> None:
    """The whole episode's thoughts stand between its actions; a missing thought leaves no line."""
    model = ScriptedModel(["Thought: Left was wrong.\nAction: go right"])
    history = ("go left", "go right", "go left")
    decision = react(model, "generic").act(view(history=history, reasons=("A door.", "", "Back\nagain.")))
    assert model.prompts[0].user == (
        "New input:\n\nTask:\n  Find the exit.\nThoughts and Actions:\nThought: A door.\nAction: go left\n"
        "Action: go right\nThought: Back again.\nAction: go left\nObservation:\n  a hall\n"
        "Available Actions:\n- go left\n- go right" + END
    )
    assert (decision.action, decision.reason, decision.failure) == ("go right", "Left was wrong.", "")
    assert dict(decision.repairs) == {}


@pytest.mark.parametrize("style", ["webshop", "wikihow", "generic"])
def test_the_system_part_asks_for_thought_and_action(style: str) -> None:
    """Role and actions are the style's own; the form of the answer is ReAct's and not the grammar's."""
    model = ScriptedModel(lambda prompt: "Thought: x\nAction: go left")
    react(model, style).act(view())
    system, plain = model.prompts[0].system, prompt_style(style).system()
    role, _, _ = plain.partition("Form of the answer.")
    assert system.startswith(role)
    assert "\nThought: what you see" in system
    assert "First the line" not in system


def test_an_episode_carries_its_thoughts_through_the_view() -> None:
    """Played on a stage, each prompt shows what was thought and done before; the agent keeps nothing."""
    model = ScriptedModel([f"Thought: thought {i}\nAction: go left" for i in range(3)])
    record = play(Stage(), react(model, "generic"), job(), max_steps=3).record
    assert [step.reason for step in record.steps] == ["thought 0", "thought 1", "thought 2"]
    last = model.prompts[2].user
    assert "Thought: thought 0\nAction: go left\nThought: thought 1\nAction: go left\nObservation:" in last


def test_on_a_phone_the_thought_keeps_the_element() -> None:
    """A number says nothing on the next screen: the element's line stands behind the thought."""
    screen = '<button id="4" clickable="true">Go</button>'
    model = ScriptedModel(["Thought: It is the search.\nAction: CLICK(4)"])
    decision = react(model, "wikihow").act(view(step=Step(observation=screen, actions=("CLICK(4)",))))
    assert decision.reason == f"It is the search. {screen}"


def test_exemplars_of_any_source_are_shown() -> None:
    """ReAct on experience: advice before the new input, and in the decision."""
    exemplar = Exemplar(
        situation=Situation(task="Leave.", observation="a hut", actions=ACTIONS),
        encouraged=(Advice(action="go right", value=0.7, visits=2),),
    )
    model = ScriptedModel(["Thought: As before.\nAction: go right"])
    decision = react(model, "generic", source=fixed_exemplars([exemplar])).act(view())
    example = model.prompts[0].user.partition("New input:")[0]
    assert "Encouraged:\ngo right -> 0.7 (n=2)" in example
    assert len(decision.advice) == 1


@pytest.mark.parametrize(
    ("text", "action", "thought", "repairs"),
    [
        ("Thought: It fits.\nAction: click[buy now]", "click[buy now]", "It fits.", {}),
        ("thought 2: a\nb\naction 2: search[red mug]", "search[red mug]", "a b", {}),
        ("**Thought:** Yes.\n**Action:** `click[red]`", "click[red]", "Yes.", {"quotes": 1}),
        ("Thought: Yes. Action: click[red]", "click[red]", "Yes.", {}),
        ("Thought: Yes.\nAction:\nclick[red]", "click[red]", "Yes.", {}),
        ("I see.\nAction: Click[Red]", "click[red]", "I see.", {"case": 1}),
        ("<think>Action: x</think>Thought: b\nAction: click[red]", "click[red]", "b", {"thought": 1}),
        ("Thought: a\nAction: click[red]\nObservation: x\nAction: click[buy now]", "click[red]", "a", {}),
        ("click[red]", "click[red]", "", {"missing-header": 1, "missing-value": 1}),
        ("Encouraged:\nclick[red] -> 0.5 it is red", "click[red]", "it is red", {}),
    ],
)  # fmt: skip
def test_answers_that_can_be_read(text: str, action: str, thought: str, repairs: dict[str, int]) -> None:
    """The first action after the thought, in the forms models give it; what is mended is counted."""
    parsed = read_thought(text, KNOWN, WEBSHOP)
    assert (parsed.action, parsed.reason, parsed.failure) == (action, thought, "")
    assert dict(parsed.repairs) == repairs


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("Thought: I could click[red] now.", "no-action"),
        ("Thought: Yes.\nAction: click[blue]", "unknown-action"),
        ("Thought: Yes.\nAction: wait", "unknown-action"),
        ("Thought: Yes.\nAction: search[<words>]", "unfilled-action"),
        ("Thought: Yes.\nAction:", "no-action"),
        ("<think>Action: click[red]", "no-action"),
        ("", "empty"),
    ],
)
def test_answers_that_cannot_be_used(text: str, kind: str) -> None:
    """An action that is only thought of is not sent, nor one that is not available."""
    parsed = read_thought(text, KNOWN, WEBSHOP)
    assert (parsed.action, parsed.failure_kind) == (None, kind)


@given(
    st.lists(
        st.sampled_from(
            ["Thought:", "Action:", "\n", " ", "click[red]", "<think>", "</think>", "Encouraged:", "Ω", "* "]
        )
    ),
    st.sampled_from([WEBSHOP, WIKIHOW, GENERIC]),
)
def test_reading_never_raises_and_chooses_only_what_is_available(parts: list[str], grammar: object) -> None:
    """Whatever the answer: an available action, or a failure that says why."""
    parsed = read_thought("".join(parts), ("click[red]",), grammar)  # type: ignore[arg-type]
    assert parsed.action in (None, "click[red]")
    assert (parsed.action is None) == bool(parsed.failure)


def test_an_unusable_answer_is_asked_again_in_its_own_form() -> None:
    """The error and ReAct's form follow the prompt; both calls are counted."""
    model = ScriptedModel(["Thought: x\nAction: fly", "Thought: y\nAction: go left"])
    decision = react(model, "generic").act(view())
    first, second = (prompt.user for prompt in model.prompts)
    assert second.startswith(first + "\n\nYour last answer could not be used (unknown-action: 'fly'")
    assert second.endswith("Answer once more. " + END.strip())
    assert "Encouraged" not in second
    assert (decision.action, decision.reason, decision.usage) == ("go left", "y", model.usage)
    assert decision.repairs["asked-again"] == 1


def test_a_long_episode_keeps_the_budget() -> None:
    """Page first, then thoughts and actions make way."""
    model = ScriptedModel(lambda prompt: "Thought: x\nAction: go left")
    agent = react(model, "generic", PromptOptions(max_input_tokens=400))
    agent.act(view(history=("go left",) * 60, reasons=("long thought " * 30,) * 60))
    assert model.count_tokens(model.prompts[0].user) <= 400
    assert model.prompts[0].user.endswith(END)
