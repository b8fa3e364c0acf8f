"""Agents that reason, against a real local server that speaks OpenAI's protocol."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.support.stage import ACTIONS, TASK, Stage, job

from rlem.advice.prompts import prompt_text
from rlem.agents.base import Agent
from rlem.agents.chain_of_thought import chain_of_thought
from rlem.agents.prompted import PromptOptions
from rlem.agents.rci import rci
from rlem.agents.react import react
from rlem.agents.reflexion import reflect, reflexion
from rlem.core.types import Episode, Situation, Transition
from rlem.llm.base import LanguageModel
from rlem.llm.endpoint import OpenAIEndpoint
from rlem.llm.policy import RetryPolicy
from rlem.runner.play import play
from rlem.testing.openai_server import OpenAIServer


def answer(messages: list[dict[str, str]]) -> str:
    """What a model of some sense would say to each kind of question."""
    user = messages[-1]["content"]
    if user.endswith(prompt_text("rci/plan")):
        return "1. Take a door."
    if user.endswith((prompt_text("rci/criticise-plan"), prompt_text("rci/criticise"))):
        return "It names no reason."
    if user.endswith(prompt_text("rci/improve-plan")):
        return "1. Take a door for its light."
    if user.endswith("Write your reflection now."):
        return "I will take the other door."
    if '"Thought:"' in user:
        return "Thought: It is lit.\nAction: go right"
    return "The right one is lit.\nEncouraged:\ngo right -> 0.9 lit"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[OpenAIServer]:
    """A server that answers by the question, and no proxy before it."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "OPENAI_BASE_URL", "OPENAI_API_KEY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    with OpenAIServer(answer) as running:
        yield running


@pytest.fixture
def model(server: OpenAIServer) -> Iterator[LanguageModel]:
    """An endpoint at that server which tries twice."""
    policy = RetryPolicy(max_attempts=2, base_delay_s=0.01)
    endpoint = OpenAIEndpoint("m", base_url=server.base_url, api_key="test-key", policy=policy)
    yield endpoint
    endpoint.close()


def agents(model: LanguageModel) -> dict[str, tuple[Agent, int]]:
    """Each agent, with the calls of a first decision."""
    options = PromptOptions(max_tokens=77)
    return {
        "react": (react(model, "generic", options), 1),
        "rci": (rci(model, "generic", options), 6),
        "chain-of-thought": (chain_of_thought(model, "generic", options), 1),
        "reflexion": (reflexion(model, "generic", options), 1),
    }


@pytest.mark.parametrize("name", ["react", "rci", "chain-of-thought", "reflexion"])
def test_a_decision_over_http(name: str, server: OpenAIServer, model: LanguageModel) -> None:
    """Requests in the protocol's form, usage as the server counts it, the action read from the answer."""
    agent, calls = agents(model)[name]
    record = play(Stage(), agent, job(), max_steps=1).record
    assert [step.action for step in record.steps] == ["go right"]
    assert (len(server.requests), record.usage.calls) == (calls, calls)
    assert record.usage.prompt_tokens > 0
    for request in server.requests:
        assert [message["role"] for message in request.body["messages"]] == ["system", "user"]
        assert 77 <= next(request.body[k] for k in request.body if k.endswith("tokens")) <= 77 + 300


@pytest.mark.parametrize("name", ["react", "rci", "chain-of-thought", "reflexion"])
def test_a_fault_in_between_is_tried_again(name: str, server: OpenAIServer, model: LanguageModel) -> None:
    """A server error during a decision changes nothing but the number of requests."""
    agent, calls = agents(model)[name]
    server.then("500")
    record = play(Stage(), agent, job(), max_steps=1).record
    assert (record.status, record.steps[0].action) == ("truncated", "go right")
    assert (len(server.requests), record.usage.calls) == (calls + 1, calls)


@pytest.mark.parametrize("name", ["react", "rci", "chain-of-thought", "reflexion"])
def test_a_server_that_stays_down_breaks_the_episode(
    name: str, server: OpenAIServer, model: LanguageModel
) -> None:
    """Broken with its cause; nothing is carried out."""
    server.then(*["503"] * 4)
    record = play(Stage(), agents(model)[name][0], job(), max_steps=3).record
    assert (record.status, record.steps) == ("broken", [])
    assert "503" in record.cause


def test_a_reflection_over_http(server: OpenAIServer, model: LanguageModel) -> None:
    """One request, with the task and what was done; its text is what the next trial reads."""
    situation = Situation(task=TASK.instruction, observation="a hall", actions=ACTIONS)
    step = Transition(situation=situation, action="go left", reward=0.0)
    completion = reflect(model, "generic", Episode(id="e", task=TASK.instruction, transitions=(step,)))
    assert completion.text == "I will take the other door."
    assert (completion.usage.calls, len(server.requests)) == (1, 1)
    assert "Action: go left" in server.requests[0].body["messages"][-1]["content"]
