"""Chain of thought: reasoning before the answer, which alone is read."""

import pytest
from tests.support.stage import ACTIONS, TASK

from rlem.advice import GENERIC, prompt_style
from rlem.agents.base import View
from rlem.agents.chain_of_thought import chain_of_thought, read_reasoned
from rlem.core.types import Step
from rlem.testing.scripted_model import ScriptedModel

VIEW = View(
    task=TASK, step=Step(observation="a hall", actions=ACTIONS), history=("go left",), reasons=("why",)
)


def test_the_prompt_asks_for_reasoning_first() -> None:
    """Own answer form and closing line; the input block and its history are the style's."""
    model = ScriptedModel(["The left is dark.\n\nEncouraged:\ngo right -> 0.8 it is lit"])
    decision = chain_of_thought(model, "generic").act(VIEW)
    prompt = model.prompts[0]
    assert prompt.system.startswith(prompt_style("generic").system().partition("Form of the answer.")[0])
    assert "First reason, step by step" in prompt.system
    assert prompt.user.endswith(
        "- go left why\nObservation:\n  a hall\nAvailable Actions:\n- go left\n- go right\n\n"
        'Answer for the new input now: first reason step by step, then the line "Encouraged:" and the action.'
    )
    assert (decision.action, decision.reason) == ("go right", "it is lit")
    assert dict(decision.repairs) == {}
    assert decision.answer.startswith("The left is dark.")


@pytest.mark.parametrize(
    ("text", "action"),
    [
        ("go left -> 1.0 looks good\nno\nEncouraged:\ngo right -> 0.5 better", "go right"),
        ("Encouraged: would be go left\nBut no.\n**Encouraged:**\ngo right -> 0.5", "go right"),
        ("<think>Encouraged:\ngo left -> 1.0</think>\nEncouraged:\ngo right -> 0.5", "go right"),
        ("<think>Encouraged:\ngo left -> 1.0", None),
        ("I would go left.", "go left"),
        ("either go left or go right", None),
    ],
)
def test_only_the_answer_at_the_end_counts(text: str, action: str | None) -> None:
    """What is weighed on the way is not chosen, hidden thoughts least of all."""
    assert read_reasoned(text, ACTIONS, GENERIC).action == action


def test_reasoning_has_room_beyond_the_answer() -> None:
    """An answer may be longer by what reasoning takes; a cut one is asked again in the grammar."""
    lengths: list[int] = []

    class Short(ScriptedModel):
        def complete(self, prompt, *, max_tokens=200, **more):  # type: ignore[no-untyped-def]
            lengths.append(max_tokens)
            return super().complete(prompt, max_tokens=max_tokens, **more)

    decision = chain_of_thought(
        Short(["Step 1: the task asks", "Encouraged:\ngo left -> 1.0"]), "generic"
    ).act(VIEW)
    assert lengths == [500, 500]
    assert (decision.action, decision.usage.calls) == ("go left", 2)
    assert decision.repairs["asked-again"] == 1
