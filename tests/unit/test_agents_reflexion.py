"""Reflexion: what a failed trial leaves, and how the next one reads it."""

from dataclasses import replace

import pytest
from tests.support.stage import ACTIONS, TASK, Stage, job

from rlem.agents.base import View
from rlem.agents.prompted import PromptOptions, llm_only
from rlem.agents.reflexion import KEPT, reflect, reflexion
from rlem.core.errors import ModelUnavailableError, UsageError
from rlem.core.types import Episode, Situation, Step, Transition
from rlem.runner.play import episode_of, play
from rlem.testing.scripted_model import ScriptedModel

VIEW = View(task=TASK, step=Step(observation="a hall", actions=ACTIONS))
LEFT = "Encouraged:\ngo left -> 1.0 near"


def shown(*reflections: str) -> str:
    """The user part of a prompt with these reflections."""
    model = ScriptedModel([LEFT])
    reflexion(model, "generic").act(replace(VIEW, reflections=reflections))
    return model.prompts[0].user


def test_a_first_trial_is_the_model_alone() -> None:
    """Without reflections the prompt is that of llm-only: what differs later is the reflections alone."""
    model = ScriptedModel([LEFT])
    llm_only(model, "generic").act(VIEW)
    assert shown() == shown(" ") == model.prompts[0].user


def test_reflections_stand_behind_the_new_input() -> None:
    """The latest first, one line each, before the closing line."""
    assert shown("Left is\na dead end.", "Right is locked.").endswith(
        "- go right\n\nYour reflections on earlier trials of this task, the latest first:\n"
        "- Right is locked.\n- Left is a dead end.\n\n"
        'Answer for the new input now. The first line of the answer is "Encouraged:".'
    )


def test_only_the_latest_reflections_are_shown() -> None:
    """At most KEPT of them."""
    text = shown(*(f"trial {i}." for i in range(9)))
    assert [f"trial {i}." in text for i in range(9)] == [i >= 9 - KEPT for i in range(9)]


def test_a_finished_episode_becomes_a_reflection() -> None:
    """From a run record by way of its log entry; all actions and reasons, the last page, the reward."""
    model = ScriptedModel([LEFT, "Encouraged:\ngo right -> 0.5 far", "fly", "flee", "Go right at once."])
    record = play(Stage(), llm_only(model, "generic"), job(), max_steps=3).record
    completion = reflect(model, "generic", episode_of(record, index=0, model="m", split="s"))
    assert (completion.text, completion.usage.calls) == ("Go right at once.", 1)
    prompt = model.prompts[-1]
    assert "You are shown an episode that is over" in prompt.system
    assert prompt.user == (
        "New input:\n\nTask:\n  Find the exit.\nThoughts and Actions:\nThought: near\nAction: go left\n"
        "Thought: far\nAction: go right\nObservation:\n  page 2\n"
        "Available Actions:\n- go left\n- go right\n\n"
        "The page is the one before the last action. Reward of the episode: 0.0. Steps: 3. "
        "Answers that could not be used: 1.\n\nThe episode is over. Write your reflection now."
    )


def test_a_reflection_keeps_the_token_budget() -> None:
    """Of a long last page head and tail remain."""
    situation = Situation(task="t", observation="word " * 5000, actions=ACTIONS)
    episode = Episode(
        id="e", task="t", transitions=(Transition(situation=situation, action="go left", reward=0.0),)
    )
    model = ScriptedModel(["Be brief."])
    reflect(model, "webshop", episode, PromptOptions(max_input_tokens=500))
    assert model.count_tokens(model.prompts[0].user) <= 500
    assert "characters left out" in model.prompts[0].user


def test_an_episode_without_steps_teaches_nothing() -> None:
    """There is nothing to show: a usage error, before any call."""
    model = ScriptedModel([])
    with pytest.raises(UsageError, match="'e' has no steps"):
        reflect(model, "generic", Episode(id="e", task="t", transitions=()))


def test_three_trials_of_one_task() -> None:
    """The loop a runner makes of it: play, reflect on failure, play again with what was written."""
    model = ScriptedModel([LEFT, "note 0", LEFT, "note 1", LEFT])
    agent = reflexion(model, "generic")
    written: tuple[str, ...] = ()
    for trial in range(3):
        given = replace(job(), reflections=written, reflect=trial < 2)
        record = play(Stage(), agent, given, max_steps=1).record
        assert record.usage.calls == (2 if trial < 2 else 1)
        written += (record.reflection,)
    assert written == ("note 0", "note 1", "")
    assert "note" not in model.prompts[0].user
    assert "latest first:\n- note 1\n- note 0\n" in model.prompts[-1].user


def test_a_reflection_that_cannot_be_had_costs_nothing_else() -> None:
    """A model that fails after the episode leaves the episode as it was played."""
    agent = reflexion(ScriptedModel([LEFT, ModelUnavailableError("away")]), "generic")
    record = play(Stage(), agent, replace(job(), reflect=True), max_steps=1).record
    assert (record.status, record.reflection, record.usage.calls) == ("truncated", "", 1)
