"""From a run's config to its parts: environment, model, memory, agent."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import fields
from pathlib import Path
from typing import Any

from rlem.advice import Exemplar
from rlem.agents.base import AGENTS, MEMORY_AGENTS, Agent
from rlem.agents.chain_of_thought import chain_of_thought
from rlem.agents.prompted import (
    ExemplarSource,
    PromptOptions,
    exemplars_of,
    fixed_exemplars,
    llm_only,
    no_exemplars,
    recalled_exemplars,
    rememberer,
    static_exemplars,
)
from rlem.agents.rci import rci
from rlem.agents.react import react
from rlem.agents.reflexion import reflexion
from rlem.agents.simple import HumanAgent, OracleAgent, RandomAgent
from rlem.api.stores import open_store
from rlem.core.errors import EpisodeConflictError, UnknownNameError, UsageError
from rlem.environments.base import Environment
from rlem.environments.registry import make
from rlem.llm.base import LanguageModel
from rlem.memory.config import MemoryConfig
from rlem.memory.legacy import load_pool
from rlem.memory.memory import ExperienceMemory
from rlem.memory.sqlite import SQLiteStore
from rlem.memory.transfer import import_episodes
from rlem.memory.volatile import InMemoryStore
from rlem.runner.folder import RunFolder
from rlem.runner.records import RunConfig
from rlem.runner.training import Observer, Run
from rlem.similarity.config import preset
from rlem.values import ValueConfig

SIMILARITIES = {"webshop": "webshop-text", "wikihow": "wikihow", "mobile-env": "wikihow"}
"""Similarity preset of an environment, where the config names none."""

_PHONES = ("wikihow", "mobile-env")
"""Environments whose observations are screens of a phone."""

_REASONERS: Mapping[str, Callable[..., Agent]] = {
    "react": react,
    "react-memory": react,
    "rci": rci,
    "chain-of-thought": chain_of_thought,
    "reflexion": reflexion,
}

MEMORY_OPTIONS = (
    *("similarity", "task_weight", "embedding_folder"),
    *("max_experiences", "max_actions", "max_bytes"),
)


def default_sets(environment: str) -> tuple[str, str]:
    """Training and test set of an environment, where nobody names them."""
    return ("S0", "test") if environment in ("webshop", "wikihow") else ("train", "test")


def default_folder(config: RunConfig) -> Path:
    """Where a run goes when nobody says: the same command finds the same folder again."""
    text = json.dumps(config.model_dump(mode="json"), sort_keys=True)
    return Path("runs") / f"{config.environment}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def make_environment(config: RunConfig) -> Environment:
    """The environment that the config names."""
    return make(config.environment, **config.environment_options)


def memory_config(config: RunConfig) -> MemoryConfig:
    """The memory settings of a config; the similarity goes with the environment unless one is named."""
    options = dict(config.memory_options)
    values = {f.name: options.pop(f.name) for f in fields(ValueConfig) if f.name in options}
    unknown = [name for name in options if name not in MEMORY_OPTIONS]
    if unknown:
        known = [*MEMORY_OPTIONS, *(f.name for f in fields(ValueConfig))]
        raise UnknownNameError("memory option", unknown[0], known)
    name = options.get("similarity") or SIMILARITIES.get(config.environment, "default")
    arguments = {"task_weight": options["task_weight"]} if "task_weight" in options else {}
    if values.get("compat") == "reference" and name != "webshop-text":
        arguments["compat"] = "reference"
    return MemoryConfig(
        values=ValueConfig(**values),
        similarity=preset(name, folder=options.get("embedding_folder"), **arguments),
        max_experiences=options.get("max_experiences"),
        max_actions=options.get("max_actions"),
        max_bytes=options.get("max_bytes"),
    )


def open_memory(config: RunConfig, place: Path | str | None) -> ExperienceMemory:
    """Opens (or makes) a memory with the run's settings; a new one takes the initial experiences in.

    ``place``: a file, the URL of one on a server, or None: in this process alone.
    """
    memory = ExperienceMemory(open_store(place or ":memory:"), memory_config(config))
    if config.initial_memory and memory.episode_count() == 0:
        with suppress(EpisodeConflictError):  # another run that learns here was first
            load_initial(memory, Path(config.initial_memory))
    return memory


def load_initial(memory: ExperienceMemory, path: Path) -> int:
    """Takes initial experiences in as verified: the caller vouches for them. Returns the episodes added."""
    if path.suffix in (".yaml", ".yml"):
        return len(memory.record_many(load_pool(path, trust="verified").episodes))
    return import_episodes(memory, path, trust="verified")[0]


def prompt_options(config: RunConfig) -> PromptOptions:
    """Settings of prompted agents in a config; unknown names are errors."""
    known = [f.name for f in fields(PromptOptions)]
    for name in config.agent_options:
        if name not in known:
            raise UnknownNameError("agent option", name, known)
    return PromptOptions(**config.agent_options)


def make_agent(
    config: RunConfig,
    environment: Environment,
    model: LanguageModel | None,
    memory: ExperienceMemory | None,
) -> Agent:
    """The agent of a config, with a memory or (None) as its own control without one."""
    if config.agent not in AGENTS:
        raise UnknownNameError("agent", config.agent, AGENTS)
    if config.agent == "random":
        return RandomAgent()
    if config.agent == "human":
        return person(environment, config.max_steps)
    if config.agent == "oracle":
        solve = getattr(environment, "oracle", None)
        if solve is None:
            raise UsageError(f"environment {config.environment!r} gives no solutions away: no oracle agent")
        return OracleAgent(solve)
    if model is None:
        raise UsageError(f"agent {config.agent!r} needs a model")
    style, options = _style(environment.name), prompt_options(config)
    if config.agent in _REASONERS:
        source = _exemplars(config, memory, options, environment)
        return _REASONERS[config.agent](model, style, options, source=source, name=config.agent)
    if config.agent == "static":
        if not config.initial_memory:
            raise UsageError("agent 'static' needs initial experiences: give --initial FILE")
        return static_exemplars(_initial_exemplars(config, options), model, style, options)
    if config.agent == "rememberer" and memory is not None:
        return rememberer(memory, model, style, options, reward_range=environment.reward_range)
    return llm_only(model, style, options, name=config.agent)


def _exemplars(
    config: RunConfig, memory: ExperienceMemory | None, options: PromptOptions, environment: Environment
) -> ExemplarSource:
    """What an agent that reasons is shown: recalled exemplars, the fixed ones of --initial, or none."""
    if config.agent in MEMORY_AGENTS:
        if memory is None:
            return no_exemplars
        return recalled_exemplars(memory, options, environment.reward_range)
    return fixed_exemplars(_initial_exemplars(config, options)) if config.initial_memory else no_exemplars


def _initial_exemplars(config: RunConfig, options: PromptOptions) -> list[Exemplar]:
    initial = ExperienceMemory(InMemoryStore(), memory_config(config))
    load_initial(initial, Path(config.initial_memory))
    return exemplars_of(initial, options)


def person(environment: Environment, max_steps: int) -> HumanAgent:
    """A person at the terminal, who is shown an environment in its own manner."""
    if environment.name not in _PHONES:
        return HumanAgent()
    from rlem.environments.wikihow.play_text import PhoneText

    return HumanAgent(manner=PhoneText(max_steps))


def make_run(
    config: RunConfig,
    folder: RunFolder,
    model: LanguageModel | None,
    *,
    environment: Environment | None = None,
    workers: int = 1,
    observer: Observer | None = None,
    memory_file: Path | None = None,
) -> Run:
    """A run ready to execute. ``memory_file``: evaluate this memory, frozen, in place of the run's own.

    ``environment``: the one that the config names, if it is open already.
    """
    world = make_environment(config) if environment is None else environment

    def memory_of(seed: int) -> ExperienceMemory:
        if memory_file is not None:
            return ExperienceMemory(SQLiteStore(memory_file, read_only=True))
        place = config.memory_url.replace("{seed}", str(seed)) or folder.memory_path(seed)
        return open_memory(config, place if config.agent in MEMORY_AGENTS else None)

    return Run(
        config,
        folder,
        world,
        open_memory=memory_of,
        make_agent=lambda memory: make_agent(config, world, model, memory),
        model_name=model.name if model is not None else config.agent,
        workers=workers,
        observer=observer,
    )


def _style(environment: str) -> str:
    from rlem.advice import style_names

    if environment in _PHONES:
        return "wikihow"
    return environment if environment in style_names() else "generic"


def options_given(**options: Any) -> Mapping[str, Any]:
    """The options that are not None: what a config stores."""
    return {name: value for name, value in options.items() if value is not None}
