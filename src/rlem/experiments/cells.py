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

from rlem.agents.base import MEMORY_AGENTS, MODEL_AGENTS, REASONERS, REFLEXION
from rlem.core.errors import UsageError
from rlem.experiments.schema import NOTHING, Experiment, Row, Size
from rlem.runner.records import RunConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """Initial experiences as a file, and the digest of what is in it."""

    path: Path
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One run of an experiment. ``key`` names it by content: code, config and data; the same key, the same
    episodes. A cell that is finished is never played again. ``content`` leaves the code out: it names the
    answers of a model, which outlive a change of the program. ``unseen``: kind of tasks that it is tested
    on and not trained on."""

    row: str
    initial: str
    train: str
    seed: int
    config: RunConfig
    key: str
    content: str = ""
    unseen: str = ""

    @property
    def combination(self) -> str:
        """Initial experience and training set."""
        return f"{self.initial}/{self.train}" + (f" without {self.unseen}" if self.unseen else "")


def left_out(experiment: Experiment, size: Size, model: str, memory_url: str = "") -> dict[str, str]:
    """Rows of this size that are not played with a model, or without a memory on a server, and why."""
    found = {}
    for row in experiment.rows:
        if size.rows and row.name not in size.rows:
            continue
        if model == "embedded" and row.agent in REASONERS:
            found[row.name] = (
                "the embedded reader is a program: it cannot write thoughts, plans, criticism or reflections"
            )
        elif row.shared and not memory_url:
            found[row.name] = "its seeds share a memory on a server: give --memory-url postgresql://..."
    return found


def cells_of(
    experiment: Experiment,
    size: Size,
    *,
    model: str = "embedded",
    model_options: dict[str, Any] | None = None,
    initials: Mapping[str, Ready] | None = None,
    memory_url: str = "",
) -> list[Cell]:
    """The cells of an experiment at a size, in the order of its rows, without those :func:`left_out`.

    ``initials``: where initial experiences lie (see :mod:`rlem.experiments.initial`). ``memory_url``:
    database for the memories of rows whose seeds share one; each of their combinations gets a schema in it.
    """
    found = []
    without = left_out(experiment, size, model, memory_url)
    for row in experiment.rows:
        if row.name in without or (size.rows and row.name not in size.rows):
            continue
        for initial, train in _pairs(experiment, row):
            ready = (initials or {}).get(initial)
            for unseen in row.unseen or ("",):
                for seed in range(size.seeds):
                    config = _config(experiment, row, size, train, unseen, seed, ready).model_copy(
                        update=_model(row, model, model_options or {})
                    )
                    if row.shared:
                        config = _with_shared(config, memory_url, size.seeds, ready)
                    told = _told(config, ready)
                    found.append(
                        Cell(
                            row=row.name,
                            initial=initial,
                            train=train,
                            unseen=unseen,
                            seed=seed,
                            config=config,
                            key=_digest([code_version(), told]),
                            content=_digest(told),
                        )
                    )
    return found


def _pairs(experiment: Experiment, row: Row) -> Iterator[tuple[str, str]]:
    """Initial experiences and training sets of a row. Agents that learn nothing are played once a seed,
    whatever the training set; but for the static one, they see initial experiences only where a row names
    them."""
    learns = row.agent in MEMORY_AGENTS
    initials = row.initial or (experiment.initial if learns or row.agent == "static" else (NOTHING,))
    trains = row.train or experiment.train
    if not learns or row.epochs == 0:
        trains = trains[:1]
    if row.agent == "static":
        initials = tuple(name for name in initials if name != NOTHING)
        if not initials:
            raise UsageError(f"row {row.name!r}: the static agent needs initial experiences")
    for initial in initials:
        for train in trains:
            yield initial, train


def _config(
    experiment: Experiment, row: Row, size: Size, train: str, unseen: str, seed: int, ready: Ready | None
) -> RunConfig:
    epochs = size.epochs if row.epochs is None else row.epochs
    often = (
        row.curve or row.agent == REFLEXION or (row.retest and row.later)
    )  # what is forgotten needs a before
    return RunConfig(
        environment=experiment.environment,
        environment_options=experiment.environment_options,
        agent=row.agent,
        agent_options={**experiment.agent_options, **row.agent_options},
        train_tasks=train,
        later_tasks=list(row.later),
        without_kinds=[unseen] if unseen else [],
        test_tasks=train if row.retest else size.test,
        test_kinds=[unseen] if unseen else [],
        test_epochs="every" if often else "last",
        retest=row.retest,
        epochs=epochs if row.agent in (*MEMORY_AGENTS, REFLEXION) else 0,
        seeds=[seed],
        max_steps=experiment.max_steps,
        learn=row.learn,
        control=False,
        initial_memory=str(ready.path) if ready else "",
        memory_options={**experiment.memory_options, **row.memory_options},
    )


def _model(row: Row, model: str, options: dict[str, Any]) -> dict[str, Any]:
    if row.agent in MODEL_AGENTS:
        return {"model": model, "model_options": options}
    return {"model": "none", "model_options": {}}


def _with_shared(config: RunConfig, url: str, seeds: int, ready: Ready | None) -> RunConfig:
    """A config whose memory is a schema of a database: one for all seeds that learn together, and for them
    alone. It stands in the key: another database or number of seeds is another run."""
    if "schema=" in url:
        raise UsageError("--memory-url: leave ?schema= out; each row whose seeds learn together gets its own")
    together = _told(config.model_copy(update={"seeds": list(range(seeds))}), ready)
    schema = f"rlem_{_digest([code_version(), together])}"
    return config.model_copy(update={"memory_url": f"{url}{'&' if '?' in url else '?'}schema={schema}"})


FILES = (
    ("environment_options", "data"),
    ("environment_options", "vocabulary"),
    ("memory_options", "embedding_folder"),
)
"""Options that name files or folders."""


def _told(config: RunConfig, ready: Ready | None) -> dict[str, Any]:
    """The config as data. Where files lie does not matter, what is in them does."""
    told = config.model_dump(mode="json")
    told["initial_memory"] = ready.digest if ready else ""
    for part, name in FILES:
        if place := told[part].get(name):
            told[part] = {**told[part], name: _data_digest(Path(place))}
    return told


def _digest(told: Any) -> str:
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:16]


@cache
def _data_digest(path: Path) -> str:
    """Once a process: real data is gigabytes, and there are hundreds of cells."""
    return digest_of(_files(path))


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


PLAYING = (
    *("core", "values", "similarity", "memory", "advice", "llm"),
    *("environments", "agents", "api", "runner"),
)
"""Parts of rlem that decide how an episode goes. The statistics do so only where a guard mutes something, and
the runs of an experiment have none."""
LOOKING = ("runner/influence", "runner/events.py", "runner/tensorboard.py")
"""What in them does not: it looks at runs."""


@cache
def code_version() -> str:
    """Digest of the parts that play: a changed program does not take another one's results for its own.

    What only draws tables and pages is left out: mending it must not throw results away.
    """
    root = Path(str(resources.files("rlem")))
    looking = tuple(str(root / part) for part in LOOKING)
    files = (path for part in PLAYING for path in (root / part).rglob("*") if path.is_file())
    wanted = (path for path in files if path.suffix != ".pyc" and not str(path).startswith(looking))
    return digest_of(sorted(wanted))[:16]
