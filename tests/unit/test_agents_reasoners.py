"""What all agents that reason share: names, refusals, threads, determinism, and episodes in each world."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from tests.support.stage import corridor_config, execute, records_of

from rlem.advice.prompts import CLOSING, prompt_text
from rlem.agents.base import AGENTS, MEMORY_AGENTS, MODEL_AGENTS, REASONERS, Agent
from rlem.agents.chain_of_thought import CHAIN_OF_THOUGHT
from rlem.agents.react import REACT
from rlem.agents.reflexion import reflect
from rlem.core.errors import UsageError
from rlem.core.types import Episode
from rlem.environments.base import Environment
from rlem.environments.registry import make
from rlem.llm.base import Prompt
from rlem.llm.embedded import EmbeddedReader
from rlem.llm.recorded import RecordedModel
from rlem.memory.memory import ExperienceMemory
from rlem.memory.volatile import InMemoryStore
from rlem.runner.play import Job, Played, episode_of, play
from rlem.runner.records import RunConfig
from rlem.runner.setup import make_agent, memory_config
from rlem.testing.scripted_model import ScriptedModel

POOLS = {"webshop": "init_pool{}.wq.yaml", "wikihow": "init_pool{}.q.yaml"}


def formed(prompt: Prompt, choose: Callable[[], str]) -> str:
    """An answer in whatever form the prompt asks for; ``choose`` gives the action where it asks for one."""
    if prompt.user.endswith(prompt_text("rci/plan")):
        return "1. Do what the task says."
    if prompt.user.endswith((prompt_text("rci/criticise-plan"), prompt_text("rci/criticise"))):
        return "OK"
    if prompt.user.endswith(REACT.closing):
        return f"Thought: This is due now.\nAction: {choose()}"
    reasoning = "Step by step.\n" if prompt.user.endswith(CHAIN_OF_THOUGHT.closing) else ""
    return f"{reasoning}Encouraged:\n{choose()} -> 1.0 this is due now"


def solving(actions: list[str]) -> ScriptedModel:
    """A model that knows the solution and any form of answer."""
    turn: Iterator[str] = iter(actions)
    return ScriptedModel(lambda prompt: formed(prompt, lambda: next(turn)))


@cache
def world(name: str) -> Environment:
    """An environment, made once."""
    return make(name)


def agent_for(name: str, model: Any, environment: str = "corridor", **changes: Any) -> Agent:
    """An agent of a config, with an empty memory if it takes one."""
    config = RunConfig.model_validate({"environment": environment, "agent": name} | changes)
    memory = ExperienceMemory(InMemoryStore(), memory_config(config)) if name in MEMORY_AGENTS else None
    return make_agent(config, world(environment), model, memory)


def played(environment: str, name: str, **changes: Any) -> tuple[Played, ScriptedModel]:
    """The first test task played with its solution, after at most 15 steps."""
    shop = world(environment)
    task = shop.tasks("test")[0]
    model = solving(shop.oracle(task))  # type: ignore[attr-defined]
    job = Job(phase="eval", epoch=0, arm="no-memory", seed=0, task=task, index=0)
    agent = agent_for(name, model, environment, **changes)
    return play(shop.spawn(), agent, job, max_steps=15), model


def test_names_are_one_list() -> None:
    """Every agent that reasons or recalls asks a model, and each name stands once."""
    assert {*REASONERS, *MEMORY_AGENTS} <= {*MODEL_AGENTS} <= {*AGENTS}
    assert len(set(AGENTS)) == len(AGENTS)


@pytest.mark.parametrize("name", REASONERS)
@pytest.mark.parametrize("environment", ["corridor", "webshop", "wikihow"])
def test_each_plays_each_world_to_its_end(environment: str, name: str) -> None:
    """With the solution from a scripted model the task is solved: no failure or repair, all calls counted."""
    result, model = played(environment, name)
    record = result.record
    assert (record.status, record.success, record.agent) == ("terminated", True, name)
    assert [step.failure for step in record.steps] == [""] * len(record.steps)
    assert [step.repairs for step in record.steps] == [{}] * len(record.steps)
    assert (record.usage.calls, record.usage.prompt_tokens) == (model.usage.calls, model.usage.prompt_tokens)
    extra = {"rci": len(record.steps) + 2}.get(name, 0)
    assert record.usage.calls == len(record.steps) + extra


@pytest.mark.parametrize("name", REASONERS)
def test_the_embedded_reader_is_refused(name: str, tmp_path: Path) -> None:
    """It cannot think; a run with it is refused with what to do, also where its answers are recorded."""
    reader = EmbeddedReader()
    for model in (reader, RecordedModel(tmp_path / "recording.jsonl", reader, mode="record")):
        with pytest.raises(UsageError, match=f"agent '{name}' needs a language model.*openai:NAME"):
            agent_for(name, model)


def test_the_embedded_reader_does_not_reflect() -> None:
    """Nor does it write a reflection."""
    with pytest.raises(UsageError, match="cannot think"):
        reflect(EmbeddedReader(), "generic", Episode(id="e", task="t", transitions=()))


def by_prompt(prompt: Prompt) -> str:
    """A good answer that depends on the prompt alone."""
    return formed(prompt, lambda: "open[iron door]" if len(prompt.user) % 2 else "open[oak door]")


@pytest.mark.parametrize("name", [n for n in REASONERS if n not in MEMORY_AGENTS])
def test_threads_share_an_agent(name: str) -> None:
    """Many episodes at once give the records that they give one after the other, in a second run too."""
    corridor = world("corridor")
    jobs = [
        Job(phase="eval", epoch=0, arm="no-memory", seed=0, task=task, index=i)
        for i, task in enumerate(corridor.tasks("0:20"))
    ]

    def all_of(workers: int) -> list[str]:
        agent = agent_for(name, ScriptedModel(by_prompt))
        with ThreadPoolExecutor(workers) as pool:
            found = pool.map(lambda job: play(corridor.spawn(), agent, job, max_steps=5), jobs)
        return [result.record.model_dump_json() for result in found]

    assert all_of(8) == all_of(1) == all_of(1)


@pytest.mark.parametrize("name", REASONERS)
def test_a_run_of_each_is_resumed_with_the_same_records(name: str, tmp_path: Path) -> None:
    """A run folder made in one go, and one that was cut and gone on with by a new agent, are the same."""
    config = corridor_config(agent=name, epochs=0)
    whole = execute(config, tmp_path / "whole", model=ScriptedModel(by_prompt))
    torn = execute(config, tmp_path / "torn", model=ScriptedModel(by_prompt), workers=4)
    lines = torn.episodes_path.read_bytes().splitlines(keepends=True)
    torn.episodes_path.write_bytes(lines[0])
    execute(config, tmp_path / "torn", model=ScriptedModel(by_prompt))
    assert torn.episodes_path.read_bytes() == whole.episodes_path.read_bytes()
    assert {record.agent for record in records_of(whole)} == {name}


@pytest.mark.parametrize("name", REASONERS)
@pytest.mark.parametrize("budget", [450, 900])
def test_first_questions_keep_the_budget(name: str, budget: int) -> None:
    """Plan and notes included, what asks for an action or a plan has at most max_input_tokens tokens."""
    model = played("webshop", name, agent_options={"max_input_tokens": budget})[1]
    ends = (CLOSING, REACT.closing, CHAIN_OF_THOUGHT.closing, prompt_text("rci/plan"))
    first = [prompt.user for prompt in model.prompts if prompt.user.endswith(ends)]
    assert len(first) >= len(model.prompts) // 2
    assert max(model.count_tokens(user) for user in first) <= budget


@pytest.mark.parametrize("environment", ["webshop", "wikihow"])
@pytest.mark.parametrize("number", ["", "2", "3"])
def test_static_exemplars_of_the_initial_pools(
    environment: str, number: str, golden: Callable[[str], Path]
) -> None:
    """E0, E1 and E2 give two exemplars of different situations on both task sets, each with advice."""
    pool = golden(f"pools/{POOLS[environment].format(number)}")
    result, model = played(environment, "static", initial_memory=str(pool))
    assert result.record.success
    text = model.prompts[0].user.partition("New input:")[0]
    assert text.count("\nEncouraged:\n") == 2
    pages = [advice.key for advice in result.record.steps[0].advice]
    assert len(set(pages)) == 2
    if environment == "wikihow":
        assert "Instruction:\n  Access the article" in text
        assert "Instruction:\nLast Reward" in text


@pytest.mark.parametrize("name", REASONERS)
def test_initial_experiences_are_exemplars_of_all_but_those_with_a_memory(
    name: str, golden: Callable[[str], Path]
) -> None:
    """A baseline may be given the paper's exemplars; one that recalls takes them from its memory alone."""
    pool = golden("pools/init_pool.wq.yaml")
    model = played("webshop", name, initial_memory=str(pool))[1]
    assert ("Example 2:" in model.prompts[0].user) == (name not in MEMORY_AGENTS)


def test_react_recalls_from_a_memory(tmp_path: Path) -> None:
    """Its exemplars are those of the memory; as a control without memory it has none."""
    config = corridor_config(agent="react-memory")
    memory = ExperienceMemory(InMemoryStore(), memory_config(config))
    source = execute(corridor_config(agent="oracle", epochs=0), tmp_path / "oracle")
    for index, record in enumerate(records_of(source)):
        memory.record(episode_of(record, index=index, model="m", split="s"))
    for given, shown in ((memory, True), (None, False)):
        model = ScriptedModel(by_prompt)
        agent = make_agent(config, world("corridor"), model, given)
        task = world("corridor").tasks("test")[0]
        job = Job(phase="eval", epoch=0, arm="memory", seed=0, task=task, index=0)
        record = play(world("corridor").spawn(), agent, job, max_steps=1).record
        assert ("Example 1:" in model.prompts[0].user, bool(record.steps[0].advice)) == (shown, shown)
        assert model.prompts[0].user.endswith(REACT.closing)
