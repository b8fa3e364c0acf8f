"""Initial experiences of an experiment: from a file, or solutions of tasks by the environment's oracle."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from rlem.advice import prompt_style, style_names
from rlem.agents.simple import OracleAgent
from rlem.core.errors import DataError, UsageError
from rlem.core.types import Episode
from rlem.environments.base import Environment
from rlem.experiments.cells import Ready, digest_of
from rlem.experiments.schema import Experiment
from rlem.memory.codec import episode_to_json
from rlem.memory.memory import ExperienceMemory
from rlem.memory.transfer import export_episodes
from rlem.memory.volatile import InMemoryStore
from rlem.runner.play import Job, episode_of, play


def prepare(
    experiment: Experiment, environment: Environment, into: Path, beside: Path | None
) -> dict[str, Ready]:
    """Makes or finds the files of all initial experiences, by name.

    ``into``: folder for those that are played now. ``beside``: folder of the experiment's file. Errors:
    DataError for a missing file; UsageError where tasks cannot be solved.
    """
    found = {}
    for item in experiment.initials:
        if item.file:
            path = (beside or Path()) / item.file
            if not path.is_file():
                raise DataError(f"initial experiences {item.name!r}: there is no file {path}")
            found[item.name] = Ready(path=path, digest=digest_of([path]))
        else:
            try:
                episodes = solutions(environment, item.tasks)
            except UsageError as error:
                raise UsageError(f"initial experiences {item.name!r}: {error}") from error
            told = json.dumps([episode_to_json(e, content_only=True) for e in episodes], sort_keys=True)
            digest = hashlib.sha256(told.encode()).hexdigest()
            path = into / f"{item.name}-{digest[:8]}.jsonl"  # other tasks or data: another file
            _export(episodes, path)
            found[item.name] = Ready(path=path, digest=digest)
    return found


def solutions(environment: Environment, spec: str) -> list[Episode]:
    """Episodes in which the environment's oracle solves these tasks. They know the goals: an upper bound on
    what a person who annotates could write down."""
    solve = getattr(environment, "oracle", None)
    if solve is None:
        raise UsageError(f"environment {environment.name!r} gives no solutions away; give a file instead")
    note = prompt_style(environment.name if environment.name in style_names() else "generic").note
    episodes = []
    for index, task in enumerate(environment.tasks(spec)):
        job = Job(phase="train", epoch=0, arm="memory", seed=0, task=task, index=index)
        record = play(environment.spawn(), OracleAgent(solve), job, max_steps=environment.max_steps).record
        if not record.success:
            raise UsageError(
                f"the oracle does not solve task {task.id!r:.80}: {record.cause or 'no success'}"
            )
        episode = episode_of(record, index=index, model="oracle", split=spec)
        steps = tuple(
            replace(step, reason=note(step.action or "", step.situation.observation))
            for step in episode.transitions
        )
        episodes.append(replace(episode, transitions=steps))
    return episodes


def _export(episodes: Sequence[Episode], path: Path) -> None:
    """Written anew at each start: what was forgotten or mended in an older file is not what the name says."""
    path.parent.mkdir(parents=True, exist_ok=True)
    memory = ExperienceMemory(InMemoryStore())
    memory.record_many(episodes)
    own = path.with_name(f"{path.name}.{os.getpid()}")  # another start may be at it, too
    export_episodes(memory, own)
    own.replace(path)
