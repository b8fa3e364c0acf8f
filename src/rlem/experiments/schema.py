"""What an experiment file says. TOML, every field declared here; unknown keys are errors."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from rlem.agents.base import AGENTS, MEMORY_AGENTS
from rlem.core.errors import DataError, UnknownNameError

NOTHING = "none"
"""Initial experiences of a memory that begins empty."""


SHARED = (
    "Its seeds learn together in one memory: what each finds there depends on timing, so that playing it "
    "again gives other numbers, and its seeds are not independent."
)
"""Said of rows whose seeds share a memory."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Initial(_Part):
    """Experiences that a memory begins with, or that a static agent shows.

    name    how rows refer to it ("E0", "A")
    file    a memory export or a pool of the reference implementation, beside the experiment file; or
    tasks   a task set or range A:B whose solutions, played by the environment's oracle, are taken
    """

    name: str
    file: str = ""
    tasks: str = ""

    @model_validator(mode="after")
    def _one(self) -> Initial:
        if bool(self.file) == bool(self.tasks):
            raise ValueError(f"initial {self.name!r} needs either file or tasks")
        return self


class Row(_Part):
    """One row of the table.

    name            of the row; unique
    group           heading that it stands under
    agent           who plays
    initial, train  names of initial experiences and training sets: one run for each pair and seed
    epochs          over each training set; 0: nothing is learned; of "reflexion": trials after the first
    curve           tests before training and after every epoch, too; else at the end only
    learn           "all" episodes, those with a return above 0 ("rewarded"), or "solved" ones
    later           training sets that follow the first, one after the other
    retest          tested on the training set itself, to see what later training leaves of it
    unseen          kinds of tasks: for each, trained without it and tested on it alone
    shared          its seeds learn together, in one memory on a server (``--memory-url``)
    agent_options, memory_options   as in a run's config
    note            said below the table
    """

    name: str
    group: str = "Agents"
    agent: str = "rememberer"
    initial: tuple[str, ...] = ()
    train: tuple[str, ...] = ()
    epochs: int | None = Field(default=None, ge=0)
    curve: bool = False
    learn: Literal["all", "rewarded", "solved"] = "all"
    later: tuple[str, ...] = ()
    retest: bool = False
    unseen: tuple[str, ...] = ()
    shared: bool = False
    agent_options: dict[str, Any] = Field(default_factory=dict)
    memory_options: dict[str, Any] = Field(default_factory=dict)
    note: str = ""

    @model_validator(mode="after")
    def _fits(self) -> Row:
        if self.agent not in AGENTS:
            raise ValueError(f"row {self.name!r}: {UnknownNameError('agent', self.agent, AGENTS)}")
        for what, names in (("initial", self.initial), ("train", self.train), ("unseen", self.unseen)):
            if len(set(names)) < len(names):
                raise ValueError(f"row {self.name!r}: {what} names something twice: {', '.join(names)}")
        if self.shared and self.agent not in MEMORY_AGENTS:
            raise ValueError(f"row {self.name!r}: the agent {self.agent!r} has no memory to be shared")
        return self

    @property
    def said(self) -> str:
        """The note, with what must be known of the row in any case."""
        return " ".join(filter(None, (self.note, SHARED if self.shared else "")))


class Size(_Part):
    """How much is played: test tasks, seeds, epochs, and the rows (all where none is named)."""

    test: str = "test"
    seeds: int = Field(default=5, ge=1)
    epochs: int = Field(default=3, ge=0)
    rows: tuple[str, ...] = ()


class Experiment(_Part):
    """An experiment: rows over one environment.

    name, title          how it is listed
    environment, environment_options   what is played, for at most max_steps an episode
    size, short          the whole of it, and what ``--short`` plays: where the file does not say, all rows on
                         the same tests, with one seed and one epoch
    train, initial       of rows that name none
    agent_options, memory_options      of all rows; a row's own come on top
    initials, rows       what rows are made of
    baseline             row that every other one is compared with, task by task
    static               row with fixed exemplars, the second comparison
    whole                row of the whole method, which rows without a part of it are compared with
    """

    name: str
    title: str = ""
    environment: str
    environment_options: dict[str, Any] = Field(default_factory=dict)
    max_steps: int = Field(default=15, ge=1)
    size: Size = Size()
    short: Size = Size()
    train: tuple[str, ...] = ("S0",)
    initial: tuple[str, ...] = (NOTHING,)
    agent_options: dict[str, Any] = Field(default_factory=dict)
    memory_options: dict[str, Any] = Field(default_factory=dict)
    initials: tuple[Initial, ...] = Field(default=(), alias="initials")
    rows: tuple[Row, ...]
    baseline: str
    static: str = ""
    whole: str = ""

    @model_validator(mode="before")
    @classmethod
    def _shorten(cls, data: Any) -> Any:
        if isinstance(data, dict) and "short" not in data and isinstance(data.get("size", {}), dict):
            return {**data, "short": {**data.get("size", {}), "seeds": 1, "epochs": 1}}
        return data

    @model_validator(mode="after")
    def _names(self) -> Experiment:
        rows = [row.name for row in self.rows]
        initials = [NOTHING, *(item.name for item in self.initials)]
        for what, names in (("row", rows), ("initial", initials)):
            twice = next((name for name in names if names.count(name) > 1), None)
            if twice:
                raise ValueError(f"two of the {what}s are called {twice!r}")
        wanted = [("row", name, rows) for name in (self.baseline, self.static, self.whole) if name]
        wanted += [("row", name, rows) for size in (self.size, self.short) for name in size.rows]
        used = (*self.initial, *(name for row in self.rows for name in row.initial))
        wanted += [("initial", name, initials) for name in used]
        for what, name, known in wanted:
            if name not in known:
                raise ValueError(str(UnknownNameError(what, name, known)))
        return self


Scale = Literal["size", "short"]


def changed(
    experiment: Experiment,
    size: Size,
    *,
    environment_options: Mapping[str, Any] | None = None,
    max_steps: int | None = None,
    train: Sequence[str] = (),
    test: str | None = None,
    seeds: int | None = None,
    rows: Sequence[str] = (),
) -> tuple[Experiment, Size]:
    """The experiment on other data, sets or seeds, or some rows of it; what is not given stays.

    ``train`` is for rows that name no training sets of their own. Errors: UnknownNameError for a row.
    """
    known = [row.name for row in experiment.rows]
    for name in rows:
        if name not in known:
            raise UnknownNameError("row", name, known)
    new: dict[str, Any] = {
        "environment_options": {**experiment.environment_options, **(environment_options or {})},
        "max_steps": max_steps or experiment.max_steps,
        "train": tuple(train) or experiment.train,
    }
    smaller = {"test": test or size.test, "seeds": seeds or size.seeds, "rows": tuple(rows) or size.rows}
    return experiment.model_copy(update=new), size.model_copy(update=smaller)


def bundled() -> Mapping[str, str]:
    """Names of the experiments that come with rlem, with their titles."""
    found = {}
    for item in sorted(_folder().iterdir(), key=lambda item: item.name):
        if item.name.endswith(".toml"):
            experiment = parse(item.read_text(encoding="utf-8"), item.name)
            found[experiment.name] = experiment.title
    return found


def load(name: str) -> tuple[Experiment, Path | None]:
    """A bundled experiment by its name, or one of a file; with the folder that its files lie in.

    Errors: UnknownNameError for a name that is neither; DataError for a file that is no experiment.
    """
    if name.endswith(".toml"):
        path = Path(name)
        try:
            return parse(path.read_text(encoding="utf-8"), name), path.parent
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(f"experiment {name!r} cannot be read: {error}") from error
    known = bundled()
    if name not in known:
        raise UnknownNameError("experiment", name, (*known, "FILE.toml"))
    return parse(_folder().joinpath(f"{name}.toml").read_text(encoding="utf-8"), name), None


def parse(text: str, source: str) -> Experiment:
    """The experiment of a TOML text. Errors: DataError names the key, and the nearest known one."""
    try:
        return Experiment.model_validate(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise DataError(f"{source} is not TOML: {error}") from error
    except ValidationError as error:
        raise DataError(f"{source}: {_told(error)}") from error


def _folder() -> Any:
    return resources.files("rlem.experiments").joinpath("bundled")


_PARTS: Mapping[str, type[_Part]] = {"rows": Row, "initials": Initial, "size": Size, "short": Size}


def _told(error: ValidationError) -> str:
    """The first fault in words: where it is, what was wrong, what was meant perhaps."""
    faults = error.errors()
    # A mistyped key that is required is two faults: what was typed says more than what is missing.
    fault = next((fault for fault in faults if fault["type"] == "extra_forbidden"), faults[0])
    place = ".".join(str(part) for part in fault["loc"])
    if fault["type"] == "extra_forbidden":
        part = next((_PARTS[str(p)] for p in fault["loc"][:-1] if p in _PARTS), Experiment)
        where = place.rpartition(".")[0]
        unknown = UnknownNameError("key", str(fault["loc"][-1]), part.model_fields)
        return f"{where}: {unknown}" if where else str(unknown)
    return (
        f"{place}: {fault['msg'].removeprefix('Value error, ')}"
        if place
        else fault["msg"].removeprefix("Value error, ")
    )
