"""``rlem data``: other people's data, brought into a form that opens at once."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.text import Text

from rlem.cli.groups import HelpfulGroup

if TYPE_CHECKING:
    from rlem.environments.webshop.store.importing import ImportReport

Function = TypeVar("Function", bound=Callable[..., Any])

_PHASES = {
    "attributes": "Reading attributes",
    "human": "Reading human instructions",
    "products": "Reading products",
    "index": "Writing goals and search index",
    "verify": "Reading",
}
_FILE = click.Path(path_type=Path)


@click.group(cls=HelpfulGroup)
def data() -> None:
    """Import data that environments play with.

    Example: rlem data webshop import --help
    """


@data.group(cls=HelpfulGroup)
def webshop() -> None:
    """Make a shop: one file that opens at once, whatever its size.

    Example: rlem data webshop generate --products 100000 --out shop.db
    """


def _out_options(function: Function) -> Function:
    """Where the shop goes."""
    out = click.option("--out", type=_FILE, required=True, help="The shop's file, for example shop.db.")
    force = click.option("--force", is_flag=True, help="Replace the file if it exists.")
    return out(force(function))


@webshop.command(name="import")
@click.option("--products", type=_FILE, required=True, help="items_shuffle.json, or .json.gz.")
@click.option("--attributes", type=_FILE, required=True, help="items_ins_v2.json, or .json.gz.")
@click.option("--human", type=_FILE, help="items_human_ins.json, for human goals.")
@click.option("--order", type=_FILE, help="pub-to-mine.list: places of the official human goals.")
@click.option("--official", type=_FILE, help="human_goals.json: texts of the official human goals.")
@_out_options
def import_(
    products: Path,
    attributes: Path,
    human: Path | None,
    order: Path | None,
    official: Path | None,
    out: Path,
    force: bool,
) -> None:
    """Import the original's files, plain or gzipped, of any size.

    Broken rows are counted, listed and left out; a truncated file is an error that names the byte. Stopped
    or killed, it leaves no shop: run it again.

    Example: rlem data webshop import --products items_shuffle.json --attributes items_ins_v2.json
    --human items_human_ins.json --out shop.db
    """
    from rlem.environments.webshop.store.importing import import_shop

    with _Bars() as bars:
        report = import_shop(
            products,
            attributes,
            human,
            out,
            official_order=order,
            official_texts=official,
            force=force,
            progress=bars.tell,
        )
    _print(report)


@webshop.command()
@click.option("--products", type=click.IntRange(1), required=True, help="How many.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of the generator.")
@_out_options
def generate(products: int, seed: int, out: Path, force: bool) -> None:
    """Make a shop of invented products, as many as you like: to try things at scale.

    A shop begins with the products of every smaller one of the same seed.

    Example: rlem data webshop generate --products 1000000 --out million.db
    """
    from rlem.environments.webshop.store.importing import generate_shop

    with _Bars() as bars:
        report = generate_shop(products, seed, out, force=force, progress=bars.tell)
    _print(report)


@webshop.command()
@click.argument("file", type=_FILE)
def verify(file: Path) -> None:
    """Read a shop's whole file against its checksums. Opening does not: it would take as long.

    Example: rlem data webshop verify shop.db
    """
    from rlem.environments.webshop.store.array_file import ArrayFile

    with _Bars() as bars:
        ArrayFile(file).verify(lambda done, whole: bars.tell("verify", done, whole))
    click.echo(f"{file}: no damage found")


class _Bars:
    """A bar for each phase of an import; silent without a terminal."""

    def __init__(self) -> None:
        console = Console(stderr=True)
        self._progress = Progress(
            TextColumn("{task.description:<31}"),
            BarColumn(bar_width=24),
            TaskProgressColumn(),
            TimeRemainingColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._tasks: dict[str, Any] = {}

    def __enter__(self) -> _Bars:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def tell(self, phase: str, done: int, whole: int) -> None:
        """Moves the bar of a phase."""
        if phase not in self._tasks:
            self._tasks[phase] = self._progress.add_task(_PHASES.get(phase, phase), total=whole)
        self._progress.update(self._tasks[phase], completed=done)


def _print(report: ImportReport) -> None:
    """What was made, what was left out and why, and what to do next."""
    console = Console(highlight=False, soft_wrap=True)
    say = console.print
    say(f"{report.path}: {report.file_bytes / 1e6:,.1f} MB in {report.seconds:,.0f} s")
    say(f"  {report.products:,} products, {report.terms:,} search terms, {report.postings:,} postings")
    say(f"  {report.synthetic_goals:,} synthetic goals, {report.human_goals:,} human goals")
    for reason, count in sorted(report.skipped.items()):
        say(f"  skipped, as the original does: {count:,} ({reason})")
    if report.rejected:
        rows = "1 row" if report.rejected == 1 else f"{report.rejected:,} rows"
        say(f"  broken and left out: {rows}; all are listed in {report.rejected_file}")
        for row in report.rejections:
            say(Text(f"    {row.file}, byte {row.byte}: {row.reason}"))
    if not (report.synthetic_goals or report.human_goals):
        say("It holds no task: no product has an instruction. Do these files belong together?")
        return
    goals = " --goals human" if report.human_goals else ""
    say(f"Next: rlem env play webshop --data {shlex.quote(str(report.path))}{goals} --task 0:1")
