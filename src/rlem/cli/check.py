"""``rlem env check``: recordings of an original program, replayed against ours."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from rlem.cli.options import NearChoice
from rlem.core.errors import DataError

if TYPE_CHECKING:
    from rlem.environments.checking import FileResult, Report

_FAILED = 1


@click.command()
@click.argument("environment", type=NearChoice(["webshop", "wikihow"]))
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    help="webshop: the original's data, a folder or a store made by rlem data webshop import.",
)
@click.option(
    "--golden",
    type=click.Path(path_type=Path),
    required=True,
    help="Folder with recordings of the original.",
)
@click.option("--json", "as_json", is_flag=True, help="Print counts by file as JSON and nothing else.")
@click.option(
    "--show",
    type=click.IntRange(min=0),
    default=3,
    show_default=True,
    help="Differing rows of each file to print in full.",
)
def check(environment: str, data: Path | None, golden: Path, as_json: bool, show: int) -> None:
    """Replay recordings of the original; say for each file how many rows were tried and differ.

    What a file holds is told by its name (episodes_upstream.jsonl.gz, recorded_steps.json, ...); a folder
    may hold some of the recordings only.

    webshop: every field that has a meaning for the shop is compared, in a shop over --data that does as
    the original does. Not compared: hashes and texts of the original's HTML (ours is our own), Lucene's
    numbers of documents, tags of words other than NOUN, pictures, and what the original drops of a
    product after loading (page, model, average_rating). Of the recorded web site, the texts a reader sees
    are compared, and that what it could not open cannot be opened here.

    wikihow: screens must fit the grammar of the app's pages, recorded episodes also the flow of rewards
    and instructions; task files go through parser, compiler and judge and are played on a site made to
    hold their articles; a view hierarchy must give the lines recorded beside it; a list of test tasks
    must have the published mix.

    A row that cannot be replayed (a field is missing or wrong, the data lacks its goal) is a row that
    differs. A file that cannot be read to its end is an error, and counts as one more difference.

    Exit status 0: no row differs. 1: some row differs, or a file cannot be read.

    Example: rlem env check webshop --data webshop-data --golden recordings
    """
    checked = _checked(environment, data)
    console = Console(stderr=True)
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rows]} rows"),
        TimeElapsedColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    ) as bar:
        task = bar.add_task("loading", total=None, rows=0)

        def tell(name: str, number: int, files: int, rows: int) -> None:
            bar.update(task, description=name, completed=number, total=files, rows=rows)

        report = checked(golden, show=show, progress=tell)
    if as_json:
        click.echo(json.dumps(report.as_json(), indent=2))
    else:
        _print(report)
    if report.unknown:
        click.echo(f"Not known, not replayed: {', '.join(report.unknown)}", err=True)
    if report.errors:
        for error in report.errors[:-1]:
            click.echo(f"rlem: {error}", err=True)
        raise DataError(report.errors[-1])
    if report.different:
        raise click.exceptions.Exit(_FAILED)


def _checked(environment: str, data: Path | None) -> Callable[..., Report]:
    """What holds a folder of recordings against an environment."""
    if environment == "wikihow":
        from rlem.environments.wikihow.check.folder import check_folder as check_app

        if data is not None:
            raise click.UsageError("--data is for webshop; recordings of wikihow are checked without data.")
        return check_app
    from rlem.environments.webshop.check.folder import check_folder as check_shop

    if data is None:
        raise click.UsageError(
            "Missing option '--data': the data that the recordings of webshop were made with."
        )
    return partial(check_shop, data)


def _print(report: Report) -> None:
    """One line a file, then the first differences in full."""
    width = max((len(file.name) for file in report.files), default=4)
    click.echo(f"{'file':<{width}}  {'tried':>7}  {'differ':>7}")
    for file in report.files:
        click.echo(f"{file.name:<{width}}  {file.tried:>7}  {file.different:>7}")
    tried = sum(file.tried for file in report.files)
    click.echo(f"{'all':<{width}}  {tried:>7}  {report.different:>7}")
    for file in report.files:
        _print_differences(file)


def _print_differences(file: FileResult) -> None:
    for row in file.first:
        click.echo(f"\n{file.name}: {row.row}")
        for field, ours, recorded in row.fields:
            if ours is None and recorded is None:  # there is nothing to put side by side
                click.echo(f"  {field}")
                continue
            click.echo(f"  {field}{_where(ours, recorded)}")
            click.echo(f"    ours:     {ours!r}\n    recorded: {recorded!r}")


def _where(ours: object, recorded: object) -> str:
    """From which character on two texts differ."""
    if not isinstance(ours, str) or not isinstance(recorded, str):
        return ""
    pairs = zip(ours, recorded, strict=False)
    same = next((at for at, (a, b) in enumerate(pairs) if a != b), min(len(ours), len(recorded)))
    return f", from character {same}"
