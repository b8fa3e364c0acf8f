"""``rlem reproduce``: every row of a table by one command."""

from __future__ import annotations

import os
import shlex
from collections.abc import Collection, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from rlem.cli.options import call_options, environment_config, environment_options, model_config, take
from rlem.core.errors import BudgetExceededError, RlemError, UnknownNameError, UsageError

if TYPE_CHECKING:
    from rlem.environments.base import Environment
    from rlem.experiments.calls import Calls
    from rlem.experiments.cells import Cell
    from rlem.experiments.schema import Experiment, Size


@click.command()
@click.argument("experiment")
@click.option("--short", is_flag=True, help="Fewer rows, seeds and tasks: what the file says under [short].")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="Folder (experiments/NAME, with --short experiments/NAME-short).",
)
@click.option(
    "--workers", type=click.IntRange(1), help="Runs side by side (as many as cores; 8 for endpoints)."
)
@click.option("--ray", help="Play on a Ray cluster: HOST:PORT, auto, or local (docs/ray.md).")
@click.option(
    "--memory-url", help="Database for the memories of rows whose seeds share one: postgresql://..."
)
@click.option("--seeds", type=click.IntRange(1), help="Seeds of each row (as the file says).")
@click.option(
    "--row",
    "rows",
    multiple=True,
    help="Play this row only; may be given again. The report is of all rows that are there.",
)
@click.option("--train", help="Training sets of rows that name none, as A,B (as the file says).")
@click.option("--test", help="Test set, or range A:B (as the file says).")
@environment_options
@call_options
@click.option(
    "--replay",
    type=click.Path(path_type=Path),
    help="Answers come from this folder of the same experiment, played earlier; no model is asked.",
)
@click.option("--dry-run", is_flag=True, help="Say what there is to play and what it may cost, and stop.")
@click.option("--json", "as_json", is_flag=True, help="With --dry-run: as a JSON object.")
def reproduce(experiment: str, **options: Any) -> None:
    """Play every row of EXPERIMENT, over seeds, and put them side by side with intervals.

    EXPERIMENT is the name of a bundled one, or a file FILE.toml; "list" lists the bundled ones.

    Runs are kept by their content under OUT/cells: what is played is never played again, a killed command
    goes on where it was, and rows that two experiments share are played once. Answers of an endpoint are
    kept under OUT/answers, for --replay. Leaves report.html, report.md, results.json, results.csv,
    results.tex and outcomes.csv.gz (one line a test episode).

    \b
    Examples:
      rlem reproduce webshop --short
      rlem reproduce webshop --model openai:NAME --prices prices.toml --dry-run
      rlem reproduce webshop --model openai:NAME --prices prices.toml --max-cost-usd 20
    """
    if experiment == "list":
        _list()
        return
    from rlem.environments.registry import make
    from rlem.experiments.cells import left_out
    from rlem.experiments.estimate import estimate, to_text
    from rlem.llm.prices import PriceBook

    if options["as_json"] and not options["dry_run"]:
        raise UsageError("--json is for --dry-run; results.json has the results")
    told, size, beside = _asked(experiment, options)
    folder = _folder(told, options)
    model, calls = options["model"], _calls(options, folder)
    without = left_out(told, size, model, options["memory_url"] or "")
    for why in dict.fromkeys(without.values()):
        rows = ", ".join(repr(row) for row, reason in without.items() if reason == why)
        click.echo(f"left out: {rows} ({why})", err=True)
    with closing(make(told.environment, **told.environment_options)) as world:
        cells, chosen = _cells(told, size, world, folder, beside, options)
        if options["dry_run"]:
            prices = PriceBook.from_file(calls.prices) if calls.prices else PriceBook()
            found = estimate(chosen, folder, world, prices)
            click.echo(found.model_dump_json(indent=2) if options["as_json"] else to_text(found))
            return
        training = {spec: len(world.tasks(spec)) for spec in {cell.train for cell in cells}}
    workers = _workers(model, told, calls, options["workers"])
    stopped, played = _play(chosen, folder, workers, options["ray"] or "", calls)
    if stopped is not None and not played:
        raise stopped  # a report that is there stays
    asked = {cell.row for cell in chosen}
    _report(told, cells, asked, folder, model=model, test=size.test, left_out=without, training=training)
    if stopped is not None:
        raise stopped


def _report(
    told: Experiment, cells: Sequence[Cell], asked: Collection[str], folder: Path, **about: Any
) -> None:
    """Writes and prints the results of the rows that were asked for, and of those that are there."""
    from rlem.experiments.console import show
    from rlem.experiments.files import write
    from rlem.experiments.results import Results
    from rlem.experiments.work import is_done

    there = {cell.row for cell in cells if is_done(folder, cell)}.union(asked)
    files = write(told, [c for c in cells if c.row in there], folder, command=_command(), **about)
    show(Results.model_validate_json(files["results.json"].read_text("utf-8")))
    for path in files.values():
        click.echo(path)


def _asked(name: str, options: dict[str, Any]) -> tuple[Experiment, Size, Path | None]:
    """The experiment as the options change it, its size, and the folder of its files."""
    from rlem.experiments.schema import changed, load

    told, beside = load(name)
    train, size = options["train"], told.short if options["short"] else told.size
    for row in options["rows"]:
        if row not in (known := [row.name for row in told.rows]):
            raise UnknownNameError("row", row, known)
    told, size = changed(
        told,
        size,
        environment_options=environment_config(options, told.environment),
        train=train.split(",") if train else (),
        rows=tuple(dict.fromkeys((*size.rows, *options["rows"]))) if size.rows else (),
        **take(options, "max_steps", "test", "seeds"),
    )
    return told, size, beside


def _folder(told: Experiment, options: dict[str, Any]) -> Path:
    """Where the results go. Errors: UsageError for the folder of a run."""
    folder = options["out"] or Path("experiments") / (told.name + ("-short" if options["short"] else ""))
    if (folder / "config.json").exists():
        raise UsageError(f"{folder} is the folder of a run: give another --out")
    return Path(folder)


def _cells(
    told: Experiment,
    size: Size,
    world: Environment,
    folder: Path,
    beside: Path | None,
    options: dict[str, Any],
) -> tuple[list[Cell], list[Cell]]:
    """The experiment's cells, and those that are asked for, checked; says how many there are."""
    from rlem.cli.options import memory_address
    from rlem.experiments.cells import cells_of
    from rlem.experiments.estimate import TaskSets
    from rlem.experiments.initial import prepare
    from rlem.experiments.work import is_done

    memory_url = memory_address(options["memory_url"]) if options["memory_url"] else ""
    cells = cells_of(
        told,
        size,
        **model_config(options),
        initials=prepare(told, world, folder / "initial", beside),
        memory_url=memory_url,
    )
    chosen = [cell for cell in cells if not options["rows"] or cell.row in options["rows"]]
    sets = TaskSets(world)
    sets.check(told, chosen)
    missing = {cell.key: cell for cell in chosen if not is_done(folder, cell)}
    episodes = sum(sets.episodes(cell.config)[0] for cell in missing.values())
    click.echo(
        f"rows: {len({cell.row for cell in chosen})}, runs: {len({cell.key for cell in chosen})}, "
        f"{len(missing)} of them to play: at most {episodes:,} test episodes",
        err=True,
    )
    return cells, chosen


def _calls(options: dict[str, Any], folder: Path) -> Calls:
    from rlem.experiments.calls import ANSWERS, UNRECORDED, Calls

    replay: Path | None = options["replay"]
    if options["model"].startswith("recorded:"):
        raise UsageError(
            f"--model {options['model']}: name the model that was recorded, and give --replay FOLDER"
        )
    if replay is not None and options["model"] in UNRECORDED:
        raise UsageError(
            f"--replay {replay}: no answers of the model {options['model']!r} are recorded, for they are the "
            "same each time; name the model that was"
        )
    return Calls(
        answers=(replay or folder) / ANSWERS,
        replay=replay is not None,
        **take(options, "prices", "max_cost_usd", "max_total_tokens", "requests_per_minute"),
        deadline_s=options["deadline"],
    )


def _workers(model: str, told: Experiment, calls: Calls, asked: int | None) -> int:
    if model == "human" or told.environment == "mobile-env":
        return 1  # one person, one device
    waits = model.startswith("openai:") and not calls.replay
    return asked or (8 if waits else os.cpu_count() or 1)


def _play(
    cells: Sequence[Cell], folder: Path, workers: int, ray: str, calls: Calls
) -> tuple[RlemError | None, int]:
    """Plays with a progress bar, or a line for each run where nobody watches. Returns what stopped it, and
    how many runs this start has finished."""
    from rlem.experiments.work import is_done, play_cells

    before = {cell.key for cell in cells if is_done(folder, cell)}
    played: set[str] = set()
    console = Console(stderr=True)

    def finished(cell: Cell) -> None:
        bar.update(shown, advance=1, description=cell.row)
        if cell.key not in before | played:
            played.add(cell.key)
            if not console.is_terminal:
                what = f"{cell.row}, {cell.combination}, seed {cell.seed}"
                click.echo(f"played {len(before) + len(played)}: {what}", err=True)

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        shown = bar.add_task("runs", total=len(cells))
        try:
            play_cells(
                cells,
                folder,
                workers=workers,
                ray=ray,
                finished=finished,
                calls=calls,
            )
        except BudgetExceededError as error:
            return BudgetExceededError(
                f"{error}. The limits are --max-total-tokens and --max-cost-usd: run the same command with a "
                "higher one to go on; all that is played is kept"
            ), len(played)
        except RlemError as error:
            return error, len(played)
    return None, len(played)


def _list() -> None:
    from rlem.experiments.schema import bundled

    for name, title in bundled().items():
        click.echo(f"{name:<10} {title}")


_ELSEWHERE = (
    *("out", "workers", "replay", "prices", "max_cost_usd", "max_total_tokens", "requests_per_minute"),
    *("deadline", "dry_run", "as_json", "ray"),
)
"""Options that do not decide results."""


def _command() -> str:
    """The command, in what decides results."""
    context = click.get_current_context()
    parts = ["rlem", "reproduce", context.params["experiment"]]
    for option in context.command.params:
        name = option.name or ""
        given = context.get_parameter_source(name) is ParameterSource.COMMANDLINE
        if not isinstance(option, click.Option) or not given or name in _ELSEWHERE:
            continue
        value = context.params[name]
        for one in value if option.multiple else (value,):
            parts += [option.opts[0]] if option.is_flag else [option.opts[0], str(one)]
    return shlex.join(parts)
