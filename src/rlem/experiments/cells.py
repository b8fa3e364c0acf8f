"""From an experiment to cells: one run a row, initial experience, training set and seed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from rlem.core.errors import UsageError
from rlem.experiments.schema import NOTHING, Experiment, Row, Size
from rlem.runner.records import RunConfig

UNTRAINED = ("llm-only", "static", "random", "oracle", "human")
"""Agents that learn nothing: they are played once a seed, whatever the training set."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """Initial experiences as a file, and the digest of what is in it."""

    path: Path
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One run of an experiment. ``key`` names it by content: code, config and data; the same key, the same
    episodes. A cell that is finished is never played again."""

    row: str
    initial: str
    train: str
    seed: int
    config: RunConfig
    key: str

    @property
    def combination(self) -> str:
        """Initial experience and training set."""
        return f"{self.initial}/{self.train}"


def cells_of(
    experiment: Experiment,
    size: Size,
    *,
    model: str = "embedded",
    model_options: dict[str, Any] | None = None,
    initials: Mapping[str, Ready] | None = None,
) -> list[Cell]:
    """The cells of an experiment at a size, in the order of its rows.

    ``initials``: where initial experiences lie (see :mod:`rlem.experiments.initial`).
    """
    found = []
    for row in experiment.rows:
        if size.rows and row.name not in size.rows:
            continue
        for initial, train in _pairs(experiment, row):
            for seed in range(size.seeds):
                ready = (initials or {}).get(initial)
                config = _config(experiment, row, size, train, seed, ready, model, model_options or {})
                key = _key(config, ready)
                found.append(
                    Cell(row=row.name, initial=initial, train=train, seed=seed, config=config, key=key)
                )
    return found


def _pairs(experiment: Experiment, row: Row) -> Iterator[tuple[str, str]]:
    """Initial experiences and training sets of a row; agents that learn nothing have no training set."""
    initials = row.initial or experiment.initial
    trains = row.train or experiment.train
    if row.agent in UNTRAINED or row.epochs == 0:
        trains = trains[:1]
    if row.agent in UNTRAINED and row.agent != "static":
        initials = (NOTHING,)
    if row.agent == "static":
        initials = tuple(name for name in initials if name != NOTHING)
        if not initials:
            raise UsageError(f"row {row.name!r}: the static agent needs initial experiences")
    for initial in initials:
        for train in trains:
            yield initial, train


def _config(
    experiment: Experiment,
    row: Row,
    size: Size,
    train: str,
    seed: int,
    ready: Ready | None,
    model: str,
    model_options: dict[str, Any],
) -> RunConfig:
    epochs = size.epochs if row.epochs is None else row.epochs
    return RunConfig(
        environment=experiment.environment,
        environment_options=experiment.environment_options,
        agent=row.agent,
        agent_options={**experiment.agent_options, **row.agent_options},
        model="none" if row.agent in ("random", "oracle") else model,
        model_options=model_options,
        train_tasks=train,
        test_tasks=size.test,
        epochs=0 if row.agent in UNTRAINED else epochs,
        seeds=[seed],
        control=False,
        initial_memory=str(ready.path) if ready else "",
        memory_options={**experiment.memory_options, **row.memory_options},
    )


def _key(config: RunConfig, ready: Ready | None) -> str:
    """Digest of code, config and data. Where files lie does not matter, what is in them does."""
    told = config.model_dump(mode="json")
    told["initial_memory"] = ready.digest if ready else ""
    if data := told["environment_options"].get("data"):
        path = Path(data)
        told["environment_options"] = {**told["environment_options"], "data": digest_of(_files(path))}
    text = json.dumps([code_version(), told], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _files(path: Path) -> Sequence[Path]:
    return sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]


def digest_of(files: Iterable[Path]) -> str:
    """Digest of names and contents."""
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.name.encode() + b"\0")
        with file.open("rb") as stream:
            digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()


@cache
def code_version() -> str:
    """Digest of rlem's own files: a changed program does not take another one's results for its own."""
    root = Path(str(resources.files("rlem")))
    kinds = {".py", ".txt", ".toml", ".csv", ".json"}
    return digest_of(sorted(p for p in root.rglob("*") if p.suffix in kinds))[:16]
