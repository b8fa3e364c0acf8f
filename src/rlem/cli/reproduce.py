"""``rlem reproduce``: every row of a table by one command."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn


@click.command()
@click.argument("experiment")
@click.option("--short", is_flag=True, help="Fewer rows, seeds and tasks: what the file says under [short].")
@click.option("--out", type=click.Path(path_type=Path), help="Folder (experiments/NAME).")
@click.option("--workers", type=click.IntRange(1), help="Processes side by side (as many as cores).")
@click.option("--ray", help="Play on a Ray cluster: HOST:PORT, auto, or local (docs/ray.md).")
@click.option(
    "--memory-url", help="Database for the memories of rows whose seeds share one: postgresql://..."
)
@click.option("--model", default="embedded", show_default=True, help="As for rlem train.")
@click.option("--base-url", help="Address of an OpenAI-compatible endpoint.")
@click.option("--seeds", type=click.IntRange(1), help="Seeds of each row (as the file says).")
@click.option("--dry-run", is_flag=True, help="Say how many runs and episodes there are to play, and stop.")
def reproduce(experiment: str, **options: Any) -> None:
    """Play every row of EXPERIMENT, over seeds, and put them side by side with intervals.

    EXPERIMENT is the name of a bundled one, or a file FILE.toml; "list" lists the bundled ones.

    Runs are kept by their content under OUT/cells: what is played is never played again, a killed command
    goes on where it was, and rows that two experiments share are played once. Leaves report.html,
    report.md, results.json, results.csv and results.tex.

    Example: rlem reproduce webshop --short
    """
    if experiment == "list":
        _list()
        return
    from rlem.cli.options import memory_address
    from rlem.experiments.cells import cells_of, left_out
    from rlem.experiments.initial import prepare
    from rlem.experiments.schema import load
    from rlem.experiments.work import is_done, play_cells
    from rlem.runner.records import RunConfig
    from rlem.runner.setup import make_environment

    told, beside = load(experiment)
    size = told.short if options["short"] else told.size
    if options["seeds"]:
        size = size.model_copy(update={"seeds": options["seeds"]})
    folder: Path = options["out"] or Path("experiments") / told.name
    world = make_environment(
        RunConfig(environment=told.environment, environment_options=told.environment_options)
    )
    initials = prepare(told, world, folder / "initial", beside)
    tests = len(world.tasks(size.test))
    world.close()
    base_url = options["base_url"]
    memory_url = memory_address(options["memory_url"]) if options["memory_url"] else ""
    for row, why in left_out(told, size, options["model"], memory_url).items():
        click.echo(f"row {row!r} is left out: {why}", err=True)
    cells = cells_of(
        told,
        size,
        model=options["model"],
        model_options={"base_url": base_url} if base_url else {},
        initials=initials,
        memory_url=memory_url,
    )
    missing = {cell.key: cell for cell in cells if not is_done(folder, cell)}
    episodes = sum(tests * (cell.config.epochs + 1) for cell in missing.values())
    click.echo(
        f"{len({cell.row for cell in cells})} rows, {len({cell.key for cell in cells})} runs, "
        f"{len(missing)} of them to play: about {episodes:,} test episodes",
        err=True,
    )
    if options["dry_run"]:
        return
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        shown = bar.add_task("runs", total=len(cells))
        play_cells(
            cells,
            folder,
            workers=options["workers"] or os.cpu_count() or 1,
            ray=options["ray"] or "",
            finished=lambda cell: bar.update(shown, advance=1, description=cell.row),
        )
    _write(told, cells, folder, options["model"], size.test)


def _list() -> None:
    from rlem.experiments.schema import bundled

    for name, title in bundled().items():
        click.echo(f"{name:<10} {title}")


def _write(told: Any, cells: Any, folder: Path, model: str, test: str) -> None:
    from rlem.experiments.page import render_page
    from rlem.experiments.table import gather, to_csv, to_latex, to_markdown
    from rlem.reports import wording
    from rlem.runner.records import RunConfig

    about = RunConfig(environment=told.environment, model=model)
    results = gather(told, cells, folder, model=model, model_is=wording.model_sentence(about), test=test)
    texts = {
        "results.json": results.model_dump_json(indent=2) + "\n",
        "report.md": to_markdown(results),
        "report.html": render_page(results, command=shlex.join(["rlem", *sys.argv[1:]])),
        "results.csv": to_csv(results),
        "results.tex": to_latex(results),
    }
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
    click.echo(texts["report.md"])
    for name in texts:
        click.echo(folder / name)
