"""What is left of an experiment to play: runs, episodes, calls, tokens and money, before any is spent."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from rlem.agents.base import MEMORY_AGENTS, MODEL_AGENTS, REFLEXION
from rlem.core.errors import UnknownNameError, UsageError
from rlem.environments.base import Environment
from rlem.experiments.calls import asks
from rlem.experiments.cells import Cell
from rlem.experiments.lengths import Lengths, derived, lengths_of, nearest, shipped
from rlem.experiments.schema import Experiment
from rlem.experiments.work import is_done, place_of
from rlem.llm.base import Usage
from rlem.llm.prices import PriceBook
from rlem.reports.reading import EPISODES, EpisodeFile
from rlem.runner.records import RunConfig
from rlem.runner.setup import memory_config, prompt_options

COST_UNKNOWN = "cost unknown: give --prices FILE, or install the price tables: pip install 'rlem[prices]'"
NO_MODEL = "asks no model"


class RowEstimate(BaseModel):
    """What a row has still to play, at most. Tokens and money are null where nothing tells them.

    ``evidence``: what the lengths of episodes and calls rest on.
    """

    model_config = ConfigDict(frozen=True)

    row: str
    runs: int
    test_episodes: int
    training_episodes: int
    calls: int | None
    prompt_tokens: int | None
    completion_tokens: int | None
    cost_usd: float | None
    evidence: str


class Estimate(BaseModel):
    """All rows, and their sum. What is played already is not in it."""

    model_config = ConfigDict(frozen=True)

    model: str
    rows: tuple[RowEstimate, ...]
    total: RowEstimate


class TaskSets:
    """The task sets that cells play, looked up once each."""

    def __init__(self, world: Environment) -> None:
        self.tasks = cache(lambda spec: tuple(world.tasks(spec)))

    def training(self, config: RunConfig) -> list[int]:
        """Tasks of each training set, in order."""
        left_out = config.without_kinds
        sets = (config.train_tasks, *config.later_tasks)
        return [sum(task.kind not in left_out for task in self.tasks(spec)) for spec in sets]

    def tested(self, config: RunConfig) -> int:
        """Test tasks."""
        kinds = config.test_kinds
        return sum(not kinds or task.kind in kinds for task in self.tasks(config.test_tasks))

    def episodes(self, config: RunConfig) -> tuple[int, int]:
        """Test and training episodes of a run, at most: solved tasks may be skipped."""
        tests, epochs = self.tested(config), config.epochs
        if config.agent == REFLEXION:
            return tests * (epochs + 1), 0
        if config.agent not in MEMORY_AGENTS or not epochs:
            return tests, 0
        sets = self.training(config)
        times = epochs * len(sets) + 1 if config.test_epochs == "every" else 1
        return tests * times, sum(sets) * epochs

    def check(self, experiment: Experiment, cells: Iterable[Cell]) -> None:
        """Errors: UsageError where a row trains on what it is tested on, or begins with its solution, where
        there is no task of a kind it names, or where an option is not possible."""
        solved = {item.name: item.tasks for item in experiment.initials if item.tasks}
        for cell in cells:
            config = cell.config
            self._check_options(cell)
            known = {"initial experiences": solved.get(cell.initial, "")}
            if config.agent in MEMORY_AGENTS and config.epochs and not config.retest:
                known |= {"training set": config.train_tasks}
                known |= {f"later set {spec}": spec for spec in config.later_tasks}
            tested = {task.id for task in self.tasks(config.test_tasks)}
            for what, spec in known.items():
                shared = sum(task.id in tested for task in self.tasks(spec)) if spec else 0
                if shared:
                    raise UsageError(
                        f"row {cell.row!r}: {what} {spec!r} and test set {config.test_tasks!r} share "
                        f"{shared} tasks: choose other sets (--train, --test), name the rows to play (--row) "
                        "or, in an experiment file of your own, other tasks"
                    )

    def _check_options(self, cell: Cell) -> None:
        config = cell.config
        try:
            for spec in (config.train_tasks, *config.later_tasks) if config.epochs else ():
                self.tasks(spec)
            kinds = {task.kind for task in self.tasks(config.test_tasks)}
            for kind in config.test_kinds:
                if kind not in kinds:
                    raise UnknownNameError("kind of tasks", kind, kinds)
            prompt_options(config)
            memory_config(config)
        except (UsageError, TypeError, ValueError) as error:
            raise UsageError(f"row {cell.row!r}: {error}") from error


def estimate(cells: Sequence[Cell], folder: Path, world: Environment, prices: PriceBook) -> Estimate:
    """What the cells that are not done will take, at most, row by row.

    Lengths come from finished cells of the row, else of the agent; else from what is shipped for the
    environment; for agents that no one recorded, from the same prompt without reasoning.
    """
    sets, recorded = TaskSets(world), shipped(world.name)
    done = [cell for cell in cells if is_done(folder, cell)]
    counted: set[str] = {cell.key for cell in done}
    rows = []
    for row in dict.fromkeys(cell.row for cell in cells):
        own = [cell for cell in cells if cell.row == row and cell.key not in counted]
        counted.update(cell.key for cell in own)  # a run that two rows share is played once
        like = next(cell for cell in cells if cell.row == row)
        rows.append(_row(row, own, folder, sets, _evidence(like, done, folder, recorded), prices))
    model = next((cell.config.model for cell in cells if cell.config.agent in MODEL_AGENTS), "none")
    return Estimate(model=model, rows=tuple(rows), total=_total(rows))


def _row(
    row: str, cells: Sequence[Cell], folder: Path, sets: TaskSets, lengths: Lengths | str, prices: PriceBook
) -> RowEstimate:
    tests = training = 0
    for cell in cells:
        played = _played(folder, cell)
        wanted = sets.episodes(cell.config)
        tests += max(wanted[0] - played["eval"], 0)
        training += max(wanted[1] - played["train"], 0)
    calls = prompt = completion = cost = None
    if lengths == NO_MODEL or not tests + training:
        calls = prompt = completion = 0
        cost = 0.0
    elif isinstance(lengths, Lengths):
        calls = round((tests + training) * lengths.steps * lengths.calls)
        prompt, completion = round(calls * lengths.prompt_tokens), round(calls * lengths.completion_tokens)
        cost = _cost(cells[0].config, lengths, calls, prices)
    return RowEstimate(
        row=row,
        runs=len(cells),
        test_episodes=tests,
        training_episodes=training,
        calls=calls,
        prompt_tokens=prompt,
        completion_tokens=completion,
        cost_usd=cost,
        evidence=lengths.where if isinstance(lengths, Lengths) else lengths,
    )


def _evidence(like: Cell, done: Sequence[Cell], folder: Path, recorded: Sequence[Lengths]) -> Lengths | str:
    """The best lengths there are for the cells of a row; a text where there are none."""
    agent = like.config.agent
    if agent not in MODEL_AGENTS:
        return NO_MODEL
    options = prompt_options(like.config)
    of_row = [cell for cell in done if cell.row == like.row]
    alike = [c for c in done if c.config.agent == agent and prompt_options(c.config).k == options.k]
    for found, where in (
        (of_row, f"finished runs of the row: {len(of_row)}"),
        (alike, f"finished runs of {agent}, k = {options.k}: {len(alike)}"),
    ):
        if lengths := lengths_of(folder, found, where):
            return lengths
    if own := nearest(recorded, agent, options.k):
        return own.model_copy(update={"where": f"{own.where}, k = {own.exemplars}"})
    without = "rememberer" if agent in MEMORY_AGENTS else "llm-only"
    if base := nearest(recorded, without, options.k):
        return derived(agent, base, options)
    return "no lengths are recorded: play one run first"


def _played(folder: Path, cell: Cell) -> Mapping[str, int]:
    """Episodes of an unfinished cell that are there already."""
    counts = {"train": 0, "eval": 0}
    file = place_of(folder, cell) / EPISODES
    if file.is_file():
        for _, record in EpisodeFile(file):
            counts[record.phase] += 1
    return counts


def _cost(config: RunConfig, lengths: Lengths, calls: int, prices: PriceBook) -> float | None:
    """Price of a mean call, times calls: long calls may be dearer, many are not."""
    if not asks(config):
        return 0.0
    one = Usage(
        prompt_tokens=round(lengths.prompt_tokens),
        completion_tokens=round(lengths.completion_tokens),
        calls=1,
    )
    name, base_url = config.model.removeprefix("openai:"), config.model_options.get("base_url")
    cost = prices.cost_usd(name, one, base_url=base_url)
    return None if cost is None else cost * calls


def _total(rows: Sequence[RowEstimate]) -> RowEstimate:
    def added(name: str) -> float | None:
        values = [getattr(row, name) for row in rows]
        return None if None in values else sum(values)

    names = [name for name in RowEstimate.model_fields if name not in ("row", "evidence")]
    return RowEstimate.model_validate(
        {"row": "In all, at most", "evidence": "", **{name: added(name) for name in names}}
    )


def to_text(told: Estimate) -> str:
    """The estimate as a table, and what it does not say."""
    head = ("row", "runs", "test", "training", "calls", "prompt tokens", "answer tokens", "US$", "lengths")
    lines = [head, *(_cells(row) for row in (*told.rows, told.total))]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head) - 1)]
    text = [
        "  ".join((line[0].ljust(widths[0]), *map(str.rjust, line[1:-1], widths[1:]), line[-1])).rstrip()
        for line in lines
    ]
    text.insert(len(text) - 1, "")
    text += ["", "Episodes are upper limits: tasks that were solved in training or by Reflexion are skipped."]
    if told.model not in ("none", "embedded"):
        text.append(
            "Another model takes other steps and writes other answers than those recorded; finished runs of "
            f"{told.model} itself take their place. Play one row first (--row), then ask again."
        )
        if told.total.calls and told.total.cost_usd is None:
            text.append(COST_UNKNOWN)
    return "\n".join(text)


def _cells(row: RowEstimate) -> tuple[str, ...]:
    counts = (row.calls, row.prompt_tokens, row.completion_tokens)
    return (
        row.row,
        *(f"{n:,}" for n in (row.runs, row.test_episodes, row.training_episodes)),
        *("?" if n is None else f"{n:,}" for n in counts),
        "?" if row.cost_usd is None else f"{row.cost_usd:,.2f}",
        row.evidence,
    )
