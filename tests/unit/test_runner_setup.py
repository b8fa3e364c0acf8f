"""From a config to a run: names and options are checked, and each has its effect."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from tests.support.stage import corridor_config, execute, memory_hash, outcome, records_of

from rlem.agents.base import AGENTS, REASONERS
from rlem.agents.simple import OracleAgent, RandomAgent
from rlem.core.errors import DataError, ExperienceMemoryError, UnknownNameError, UsageError
from rlem.llm.base import LanguageModel
from rlem.llm.embedded import EmbeddedReader
from rlem.memory.memory import ExperienceMemory
from rlem.memory.sqlite import SQLiteStore
from rlem.memory.transfer import export_episodes
from rlem.runner.folder import RunFolder
from rlem.runner.records import RunConfig
from rlem.runner.setup import (
    default_folder,
    make_agent,
    make_environment,
    make_run,
    memory_config,
    open_memory,
    options_given,
    prompt_options,
)
from rlem.testing.scripted_model import ScriptedModel


def agent_of(
    config: RunConfig, memory: ExperienceMemory | None = None, model: LanguageModel | None = None
) -> Any:
    """The agent of a config, over the embedded reader if no model is given."""
    return make_agent(config, make_environment(config), model or EmbeddedReader(), memory)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"environment": "coridor"}, "unknown environment 'coridor'; did you mean 'corridor'"),
        ({"environment_options": {"room": 3}}, "'room'; did you mean 'rooms'"),
        ({"agent": "rememberrer"}, "unknown agent 'rememberrer'; did you mean 'rememberer'"),
        ({"agent_options": {"max_token": 3}}, "unknown agent option 'max_token'; did you mean 'max_tokens'"),
        ({"memory_options": {"discont": 1}}, "unknown memory option 'discont'; did you mean 'discount'"),
        ({"memory_options": {"max_experience": 1}}, "did you mean 'max_experiences'"),
        ({"memory_options": {"similarity": "webshp"}}, "unknown similarity 'webshp'; did you mean 'webshop'"),
        ({"train_tasks": "trian"}, "unknown task set 'trian'; did you mean 'train'"),
    ],
)
def test_unknown_names_get_a_proposal(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    """Each kind of name in a config, told before anything is played."""
    with pytest.raises(UnknownNameError) as error:
        execute(corridor_config(**changes), tmp_path)
    assert message in str(error.value)
    assert not (tmp_path / "episodes.jsonl").exists()


@pytest.mark.parametrize(
    "fields",
    [
        {"environment": "corridor", "epoch": 3},
        {},
        {"environment": "corridor", "epochs": "many"},
        {"environment": "corridor", "epochs": -1},
        {"environment": "corridor", "batch_size": 0},
        {"environment": "corridor", "max_steps": 0},
        {"environment": "corridor", "seeds": []},
    ],
)
def test_a_config_with_unknown_keys_or_impossible_values_is_refused(fields: dict[str, Any]) -> None:
    """Keys that are not known, missing ones, and numbers no run could have."""
    with pytest.raises(ValidationError):
        RunConfig.model_validate(fields)


def test_a_config_goes_through_json_unchanged() -> None:
    """What is stored is what was asked."""
    config = corridor_config(memory_options={"n": 2}, agent_options={"k": 1}, seeds=[1, 2])
    assert RunConfig.model_validate_json(config.model_dump_json()) == config


def test_the_default_folder_names_the_config() -> None:
    """Equal configs share it, others do not."""
    assert default_folder(corridor_config()) == default_folder(corridor_config(model="embedded"))
    assert default_folder(corridor_config()) != default_folder(corridor_config(epochs=9))
    assert default_folder(corridor_config()).name.startswith("corridor-")


def test_memory_options_reach_the_memory() -> None:
    """Value settings, capacity and similarity; the environment's own similarity unless one is named."""
    options = {"discount": 0.5, "n": 2, "max_experiences": 7, "max_actions": 3, "task_weight": 0.25}
    made = memory_config(corridor_config(memory_options=options))
    assert (made.values.discount, made.values.n, made.max_experiences, made.max_actions) == (0.5, 2, 7, 3)
    plain = memory_config(corridor_config())
    shop = memory_config(RunConfig(environment="webshop"))
    assert made.similarity.fingerprint != plain.similarity.fingerprint != shop.similarity.fingerprint
    named = memory_config(corridor_config(memory_options={"similarity": "webshop-text"}))
    assert named.similarity.fingerprint == shop.similarity.fingerprint


def test_capacity_holds_in_a_run(tmp_path: Path) -> None:
    """max_experiences bounds what evaluation recalls from."""
    folder = execute(corridor_config(memory_options={"max_experiences": 2}), tmp_path)
    sizes = [r.memory_size for r in records_of(folder)]
    assert max(sizes) == 2


def test_agent_options_reach_the_agent(tmp_path: Path) -> None:
    """k=1 shows one exemplar, the default two."""
    assert prompt_options(corridor_config(agent_options={"k": 1})).k == 1
    one = execute(corridor_config(agent_options={"k": 1}), tmp_path / "1")
    two = execute(corridor_config(), tmp_path / "2")
    shown = [max(len(s.advice) for r in records_of(f) for s in r.steps) for f in (one, two)]
    assert shown == [1, 2]


def test_agents_have_their_names() -> None:
    """A control runs under the name of its agent, so that arms can be told apart by arm alone."""
    for name in AGENTS:
        if name != "static":
            model = ScriptedModel([]) if name in REASONERS else EmbeddedReader()
            assert agent_of(corridor_config(agent=name), model=model).name == name


def test_random_and_oracle_need_no_model(tmp_path: Path) -> None:
    """They run with model None; the oracle solves everything."""
    rates = {}
    for name, kind in (("random", RandomAgent), ("oracle", OracleAgent)):
        config = corridor_config(agent=name, epochs=0, test_tasks="0:20")
        assert isinstance(make_agent(config, make_environment(config), None, None), kind)
        folder = RunFolder(tmp_path / name)
        make_run(config, folder, None).execute()
        records = records_of(folder)
        assert {(r.agent, r.arm) for r in records} == {(name, "no-memory")}
        rates[name] = sum(r.success for r in records) / len(records)
    assert rates["oracle"] == 1.0 > rates["random"]


def test_prompted_agents_need_a_model() -> None:
    """Without one the message says which agent."""
    config = corridor_config()
    with pytest.raises(UsageError, match="'rememberer' needs a model"):
        make_agent(config, make_environment(config), None, None)


def test_an_environment_without_solutions_has_no_oracle() -> None:
    """It is a usage error, not an attribute error."""

    class Closed:
        name = "closed"

    with pytest.raises(UsageError, match="no oracle"):
        make_agent(corridor_config(agent="oracle"), Closed(), None, None)  # type: ignore[arg-type]


def exported(tmp_path: Path) -> Path:
    """The experiences of a short run as a file."""
    folder = execute(corridor_config(epochs=1), tmp_path / "source")
    memory = ExperienceMemory(SQLiteStore(folder.memory_path(0)))
    export_episodes(memory, tmp_path / "initial.jsonl")
    memory.close()
    return tmp_path / "initial.jsonl"


def test_initial_experiences_are_in_memory_once_and_verified(tmp_path: Path) -> None:
    """They are there before the first evaluation, and opening again does not add them twice."""
    config = corridor_config(initial_memory=str(exported(tmp_path)), epochs=0)
    folder = execute(config, tmp_path / "run")
    assert all(r.memory_size > 0 for r in records_of(folder) if r.arm == "memory")
    for _ in range(2):
        memory = open_memory(config, folder.memory_path(0))
        assert memory.episode_count() == 4
        assert {e.trust for e in memory.episodes()} == {"verified"}
        memory.close()


def test_training_goes_on_from_initial_experiences(tmp_path: Path) -> None:
    """A run that begins with another run's episodes learns its own beside them, resumable as ever."""
    config = corridor_config(initial_memory=str(exported(tmp_path)), train_tasks="4:8", epochs=1)
    folder = execute(config, tmp_path / "run")
    before = outcome(folder)
    assert outcome(execute(config, tmp_path / "run")) == before
    memory = ExperienceMemory(SQLiteStore(folder.memory_path(0)))
    assert memory.episode_count() == 8
    memory.close()


def test_initial_experiences_that_cannot_be_read_are_told(tmp_path: Path) -> None:
    """A missing file is a DataError."""
    with pytest.raises(DataError, match=r"nowhere\.jsonl"):
        execute(corridor_config(initial_memory=str(tmp_path / "nowhere.jsonl")), tmp_path / "run")


def test_static_takes_its_exemplars_from_initial_experiences(tmp_path: Path) -> None:
    """Every prompt shows the same; without initial experiences the agent is refused."""
    with pytest.raises(UsageError, match="static"):
        agent_of(corridor_config(agent="static"))
    model = ScriptedModel(lambda prompt: "Encouraged:\nopen[oak door] -> 1.0")
    config = corridor_config(agent="static", initial_memory=str(exported(tmp_path)), epochs=0)
    execute(config, tmp_path / "run", model=model)
    heads = {prompt.user.partition("New input:")[0] for prompt in model.prompts}
    assert len(heads) == 1
    assert "Example 1:" in heads.pop()


def test_a_given_memory_is_evaluated_frozen(tmp_path: Path) -> None:
    """memory_file stands in for the run's own memory and keeps its hash; training with it is refused."""
    trained = execute(corridor_config(), tmp_path / "train")
    before = memory_hash(trained)
    config = corridor_config(epochs=0)
    folder = RunFolder(tmp_path / "eval")
    make_run(config, folder, EmbeddedReader(), memory_file=trained.memory_path(0)).execute()
    assert memory_hash(trained) == before
    assert all(r.memory_size > 0 for r in records_of(folder) if r.arm == "memory")
    with pytest.raises((ExperienceMemoryError, UsageError)):
        make_run(
            corridor_config(train_tasks="4:6"),
            RunFolder(tmp_path / "x"),
            EmbeddedReader(),
            memory_file=trained.memory_path(0),
        ).execute()
    assert memory_hash(trained) == before


def test_options_given_leaves_out_what_was_not_said() -> None:
    """None is "not said"; zero and False are said."""
    assert options_given(a=None, b=0, c=False, d="") == {"b": 0, "c": False, "d": ""}
