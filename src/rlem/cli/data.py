"""``rlem data``: data of environments, imported, made and written."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.text import Text

from rlem.cli.groups import HelpfulGroup
from rlem.core.errors import UsageError

if TYPE_CHECKING:
    from rlem.environments.webshop.store.importing import ImportReport
    from rlem.environments.wikihow.tasks import GoalKind

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
    """Import, make and write data that environments play with.

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


@data.group(cls=HelpfulGroup)
def wikihow() -> None:
    """Task files of the original's form, and the site that our app shows.

    Example: rlem data wikihow tasks --out DIR
    """


def _site_options(function: Function) -> Function:
    """Which site."""
    articles = click.option(
        "--articles", type=click.IntRange(1), default=300, show_default=True, help="How many."
    )
    seed = click.option("--site-seed", type=int, default=0, show_default=True, help="Of the generator.")
    return articles(seed(function))


_force = click.option("--force", is_flag=True, help="Replace what exists.")


@wikihow.command()
@click.option("--out", type=_FILE, required=True, help="Folder for the files.")
@_site_options
@click.option("--set", "task_set", default="test", show_default=True, help="Task set or range A:B.")
@_force
def tasks(out: Path, articles: int, site_seed: int, task_set: str, force: bool) -> None:
    """Write tasks of our site as task files, which Mobile-Env takes, too.

    Example: rlem data wikihow tasks --out DIR --set S0
    """
    from rlem.environments.wikihow.env import WikiHow
    from rlem.environments.wikihow.task_files import ENDING, write_task_files

    world = WikiHow.bundled(seed=site_seed, n_articles=articles)
    found = [world.definition(task) for task in world.tasks(task_set)]
    if out.exists() and not out.is_dir():
        raise UsageError(f"--out {out} is a file; give a folder")
    _check_free([out / task.file_name for task in found], force)
    paths = write_task_files(found, out)
    count = len(list(out.glob(f"*{ENDING}")))
    more = f"; {_counted(count - len(paths), 'other')} beside: --data takes all" if count > len(paths) else ""
    click.echo(f"{out}: {_counted(len(paths), 'task file')}{more}")
    where = shlex.quote(str(out))
    click.echo(f"Next: rlem env play wikihow --data {where}")
    if count > 1:
        split = f"--train 0:{count // 2} --test {count // 2}:{count}"
        click.echo(f"      rlem train wikihow --data {where} {split}")


@wikihow.command()
@click.argument("title")
@click.option("--author", metavar="NAME", help="Then: the page of an author.")
@click.option("--category", metavar="NAME", help="Then: the page of a category.")
@click.option("--about", is_flag=True, help="Then: the page that says why to trust wikiHow.")
@click.option("--references", is_flag=True, help="Then: the list of references.")
@click.option("--next", "next_", metavar="TITLE", help="After that: another article.")
@click.option("--out", type=_FILE, help="File or folder to write to; else it is printed.")
@_force
def task(
    title: str,
    author: str | None,
    category: str | None,
    about: bool,
    references: bool,
    next_: str | None,
    out: Path | None,
    force: bool,
) -> None:
    """Make a task: search an article, open it, and then perhaps more.

    Example: rlem data wikihow task "Carve a Spoon" --author "Ada Hollis, RN" --next "Carve a Bowl"
    """
    from rlem.environments.wikihow.task_files import ENDING
    from rlem.environments.wikihow.task_writer import to_textproto
    from rlem.environments.wikihow.tasks import compile_task

    for words in (title, author, category, next_):
        if words and not words.isprintable():
            raise UsageError(f"{words!r} is no title or name: it must be one line of plain characters")
    given: dict[GoalKind, str | None] = {
        "author": author,
        "category": category,
        "about": "" if about else None,
        "reference": "" if references else None,
    }
    steps = [(kind, target) for kind, target in given.items() if target is not None]
    if len(steps) > 1:
        raise UsageError("give one of --author, --category, --about and --references, not several")
    if next_ is not None:
        steps.append(("article", next_.removeprefix("How to ")))
    made = compile_task(title.removeprefix("How to "), steps)
    text = to_textproto(made)
    if out is None:
        click.echo(text, nl=False)
        return
    if out.is_dir():
        path = out / made.file_name
    else:  # a folder's task files are known by their ending
        path = out if out.suffix == ENDING else out.with_name(out.name + ENDING)
    _write(path, text, force)
    click.echo(f"{path}: {', then '.join(goal.kind for goal in made.goals)}")


@wikihow.command()
@click.option("--out", type=_FILE, required=True, help="The file, for example site.json.")
@_site_options
@_force
def site(out: Path, articles: int, site_seed: int, force: bool) -> None:
    """Write the site that our app shows as JSON: articles, authors, categories.

    For programs that read it, or change it; --data plays a file *.json with tasks made for it.

    Example: rlem data wikihow site --out site.json --articles 1000
    """
    from rlem.environments.wikihow.generate import generate
    from rlem.environments.wikihow.sets import ENOUGH
    from rlem.environments.wikihow.site_json import site_to_json

    made = generate(site_seed, articles)
    _write(out, json.dumps(site_to_json(made), ensure_ascii=False, indent=1) + "\n", force)
    counts = f"{_counted(len(made.articles), 'article')}, {_counted(len(made.authors), 'author')}"
    click.echo(f"{out}: {counts}, {_counted(len(made.categories), 'categor', 'y', 'ies')}")
    if len(made.articles) >= ENOUGH:
        click.echo(f"Next: rlem env play wikihow --data {shlex.quote(str(out))}")


def _write(path: Path, text: str, force: bool) -> None:
    _check_free([path], force)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def _counted(number: int, noun: str, one: str = "", many: str = "s") -> str:
    return f"{number:,} {noun}{one if number == 1 else many}"


def _check_free(paths: Iterable[Path], force: bool) -> None:
    """Errors: UsageError names the first file that exists, unless it may be replaced."""
    taken = next((path for path in paths if path.exists()), None)
    if taken and not force:
        raise UsageError(f"{taken} exists; give another path, or --force to replace it")


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
