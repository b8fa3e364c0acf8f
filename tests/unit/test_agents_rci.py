"""RCI: the order of its questions, the plan that goes with the episode, and corrections."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from tests.support.stage import ACTIONS, TASK, Stage, job

from rlem.advice.prompts import CLOSING, prompt_text
from rlem.agents.base import View
from rlem.agents.prompted import PromptOptions
from rlem.agents.rci import rci
from rlem.core.errors import ModelUnavailableError
from rlem.core.types import Step
from rlem.llm.base import Completion, Prompt
from rlem.runner.play import play
from rlem.testing.scripted_model import ScriptedModel

VIEW = View(task=TASK, step=Step(observation="a hall", actions=ACTIONS))
LEFT, RIGHT = "Encouraged:\ngo left -> 1.0 near", "Encouraged:\ngo right -> 0.5 far"


def ends(model: ScriptedModel) -> list[str]:
    """What each prompt asked for, by the text it ends with."""
    names = {prompt_text(f"rci/{n}"): n for n in ("plan", "criticise-plan", "improve-plan", "criticise")}
    names[CLOSING] = "action"
    return [next(n for text, n in names.items() if p.user.endswith(text)) for p in model.prompts]


def test_the_questions_of_a_first_decision_in_order() -> None:
    """Plan, its faults, a better plan; proposal, its faults, a better action. All calls are counted."""
    model = ScriptedModel(
        ["1. Leave.", "It names no door.", "1. Take a door.", LEFT, "The left is dark.", RIGHT]
    )
    decision = rci(model, "generic").act(VIEW)
    assert ends(model) == ["plan", "criticise-plan", "improve-plan", "action", "criticise", "action"]
    assert (decision.action, decision.usage) == ("go right", model.usage)
    assert decision.reason == "far\nPlan:\n1. Take a door."
    assert decision.answer == f"{LEFT}\n\nThe left is dark.\n\n{RIGHT}"


def test_each_question_shows_what_was_said_before() -> None:
    """The talk goes on in one prompt with one system part; what the model said is indented as data."""
    model = ScriptedModel(
        ["1. Leave.", "Encouraged:\nno door", "1. Take a door.", LEFT, "The left is dark.", RIGHT]
    )
    rci(model, "generic").act(VIEW)
    plan, faults, better, proposal, criticism, improved = (prompt.user for prompt in model.prompts)
    block = plan.removesuffix(prompt_text("rci/plan"))
    assert faults == f"{plan}\n\nYour plan:\n  1. Leave.\n\n{prompt_text('rci/criticise-plan')}"
    assert better.startswith(faults + "\n\nYour criticism:\n  \\Encouraged:\n  no door\n\n")
    assert proposal == f"{block}Your plan:\n  1. Take a door.\n\n{CLOSING}"
    assert (
        criticism == f"{proposal}\n\nYour proposed action:\n  go left near\n\n{prompt_text('rci/criticise')}"
    )
    assert improved == f"{criticism}\n\nYour criticism:\n  The left is dark.\n\n{CLOSING}"
    assert len({prompt.system for prompt in model.prompts}) == 1


@pytest.mark.parametrize("fine", ["OK", "ok.", "OK: nothing is wrong", "**OK**", ""])
def test_a_criticism_without_fault_spares_the_improvement(fine: str) -> None:
    """Plan and proposal stand as they are: four calls in place of six."""
    model = ScriptedModel(["1. Leave.", fine, LEFT, fine])
    decision = rci(model, "generic").act(VIEW)
    assert ends(model) == ["plan", "criticise-plan", "action", "criticise"]
    assert (decision.action, decision.reason) == ("go left", "near\nPlan:\n1. Leave.")


def test_one_plan_an_episode() -> None:
    """Later decisions find the plan in the view; it is shown once, and not in the history."""
    model = ScriptedModel(["1. Leave.", "OK", LEFT, "OK", LEFT, "OK", RIGHT, "OK"])
    record = play(Stage(), rci(model, "generic"), job(), max_steps=3).record
    assert ends(model) == ["plan", "criticise-plan", *["action", "criticise"] * 3]
    assert [step.reason for step in record.steps] == ["near\nPlan:\n1. Leave.", "near", "far"]
    last = model.prompts[-1].user
    assert last.count("1. Leave.") == 1
    assert "Last 5 Actions:\n- go left near\n- go left near\n" in last


def test_a_first_decision_that_fails_plans_again() -> None:
    """What was not carried out leaves no reason: the next decision makes a plan, which is kept."""
    model = ScriptedModel(["1. Lost.", "OK", "fly", "1. Kept.", "OK", LEFT, "OK", LEFT, "OK"])
    record = play(Stage(), rci(model, "generic", PromptOptions(retries=0)), job(), max_steps=3).record
    assert [step.action for step in record.steps] == [None, "go left", "go left"]
    assert "1. Kept." in model.prompts[-1].user
    assert "1. Lost." not in model.prompts[-1].user


WITH_PLAN = replace(VIEW, history=("go left",), reasons=("near\nPlan:\n1. Leave.",), step_index=1)


@pytest.mark.parametrize(
    ("answers", "action", "calls", "again"),
    [
        (["fly", LEFT, "OK"], "go left", 3, 1),
        (["fly", "swim"], None, 2, 1),
        ([LEFT, "Dark.", "fly", RIGHT], "go right", 4, 1),
        ([LEFT, "Dark.", "fly", "swim"], "go left", 4, 1),
    ],
)
def test_implicit_correction(answers: Sequence[str], action: str | None, calls: int, again: int) -> None:
    """An action that is not available is answered with the error; an improvement without use changes nothing.

    What has no action at all is not criticised.
    """
    model = ScriptedModel(answers)
    decision = rci(model, "generic").act(WITH_PLAN)
    assert (decision.action, decision.usage.calls) == (action, calls)
    assert decision.repairs["asked-again"] == again
    assert bool(decision.failure) == (action is None)
    assert any("could not be used" in prompt.user for prompt in model.prompts)


def test_every_call_draws_its_own_chance() -> None:
    """Seeds differ between the questions and tries of a decision, and are the same when it is repeated."""
    seeds: list[int | None] = []

    class Seeded(ScriptedModel):
        def complete(self, prompt: Prompt, *, seed: int | None = None, **more: Any) -> Completion:
            seeds.append(seed)
            return super().complete(prompt, seed=seed, **more)

    answers = ["1. Leave.", "No door.", "1. Door.", "fly", LEFT, "Dark.", "fly", RIGHT]
    for _ in range(2):
        rci(Seeded(answers), "generic").act(VIEW)
    assert len(set(seeds[:8])) == 8
    assert seeds[:8] == seeds[8:]


def test_a_model_that_fails_breaks_the_decision() -> None:
    """A ModelError of any question is raised as it is."""
    for before in range(4):
        model = ScriptedModel([*["1. Leave.", "OK", LEFT][:before], ModelUnavailableError("away")])
        with pytest.raises(ModelUnavailableError, match="away"):
            rci(model, "generic").act(VIEW)


def test_a_plan_without_end_leaves_room_for_the_page() -> None:
    """However long the plan, the prompt keeps its budget and its page."""
    model = ScriptedModel(["step " * 3000, "OK", LEFT, "OK"])
    rci(model, "generic", PromptOptions(max_input_tokens=400)).act(VIEW)
    proposal = model.prompts[2].user
    assert model.count_tokens(proposal) <= 400
    assert "  a hall\n" in proposal
    assert proposal.count("step") > 10
