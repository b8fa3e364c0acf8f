"""``rlem memory``: look into a memory, in a file or on a server, and manage it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from rich.text import Text

from rlem.cli.groups import HelpfulGroup
from rlem.cli.options import NearChoice, Number
from rlem.core.errors import DataError, UsageError

if TYPE_CHECKING:
    from rlem.memory.experience import ActionValue, Experience
    from rlem.memory.memory import ExperienceMemory
    from rlem.memory.memory import Progress as Report


class Place(click.Path):
    """Where a memory is: a file, as a Path, or a URL, as a text."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        return value if "://" in str(value) else Path(str(super().convert(value, param, ctx)))


FILE = click.argument("file", type=Place())


@click.group(cls=HelpfulGroup)
def memory() -> None:
    """Look into a memory: what was learned, where it came from; forget, rebuild, copy.

    FILE is a memory file or a postgresql:// URL.

    Example: rlem memory show shop.rlem
    """


@memory.command()
@FILE
@click.option("--task", default="", help="Only experiences whose task holds this text.")
@click.option("--limit", type=click.IntRange(1), default=20, show_default=True, help="Experiences shown.")
def show(file: Path | str, task: str, limit: int) -> None:
    """What a memory holds: its experiences with the value of every tried action.

    Example: rlem memory show runs/webshop-1a2b3c4d/memory-0.rlem --task coffee
    """
    with open_file(file) as opened:
        found = [e for e in opened.experiences() if task.casefold() in e.situation.task.casefold()]
        found.sort(key=lambda e: (-e.samples, e.key))
        table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
        for name in ("key", "task", "visits", "actions: value (n)"):
            table.add_column(name, overflow="fold")
        for experience in found[:limit]:
            best = sorted(experience.actions, key=lambda a: -a.q_value)
            shown = ", ".join(f"{a.action} {a.q_value:.2f} ({a.visits})" for a in best[:4])
            more = f", and {len(best) - 4} more" if len(best) > 4 else ""
            table.add_row(
                experience.key[:8],
                Text(_short(experience.situation.task, 60)),
                str(experience.visits),
                Text(shown + more),
            )
        settings = opened.config
        learning = settings.values
        kind = "Monte-Carlo returns" if learning.n is None else f"{learning.n}-step Q-learning"
        if learning.trace_decay is not None:
            kind = f"TD({learning.trace_decay:g})"
        console = Console()
        console.print(
            f"{opened.location}: {len(opened)} experiences from {opened.episode_count()} episodes; {kind}, "
            f"discount {learning.discount:g}; {settings.similarity.fingerprint}",
            highlight=False,
        )
        if found:
            console.print(table)
        elif task:
            console.print(f"no experience has {task!r} in its task", highlight=False, markup=False)
        if len(found) > limit:
            console.print(f"... and {len(found) - limit} more (--limit)", highlight=False)


@memory.command()
@FILE
@click.argument("key")
@click.option("--action", help="Only this action.")
def explain(file: Path | str, key: str, action: str | None) -> None:
    """Where the values of an experience come from: episodes, rewards, n.

    KEY is the start of an experience's key, as `rlem memory show` prints it.

    Example: rlem memory explain shop.rlem 3fa9c210 --action 'click[buy now]'
    """
    with open_file(file) as opened:
        experience = opened.get(key)
        if experience is None:
            several = sum(e.key.startswith(key) for e in opened.experiences())
            raise UsageError(
                f"{several or 'no'} experiences of {opened.location} have a key that starts with {key!r}: "
                + ("give more of it" if several else "give one that `rlem memory show` prints")
            )
        actions = [a for a in experience.actions if action in (None, a.action)]
        if not actions:
            known = ", ".join(a.action for a in experience.actions)
            raise UsageError(f"action {action!r} was never tried there; tried were: {known}")
        console = Console()
        _describe(console, experience)
        for item in sorted(actions, key=lambda a: -a.q_value):
            _contributions(console, opened, experience, item)


def _describe(console: Console, experience: Experience) -> None:
    console.print(Text(f"task: {experience.situation.task}"))
    if experience.history:
        console.print(Text(f"reached by: {' > '.join(experience.history)}"))
    console.print(Text(_short(" ".join(experience.situation.observation.split()), 400), style="dim"))


def _contributions(
    console: Console, opened: ExperienceMemory, experience: Experience, item: ActionValue
) -> None:
    console.print()
    console.print(
        Text(
            f"{item.action}  value {item.q_value:.3f}  n={item.visits}  mean reward {item.reward_mean:.3f}"
            f"  verified {item.verified_visits} of {item.visits}",
            style="bold",
        )
    )
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 2))
    for name in ("episode", "step", "reward", "return", "status", "source", "trust"):
        table.add_column(name, overflow="fold")
    for c in opened.contributions(experience.key, item.action):
        table.add_row(
            Text(c.episode.id),
            str(c.step),
            f"{c.reward:.3f}",
            f"{c.return_:.3f}",
            c.episode.status,
            Text(c.episode.source),
            c.episode.trust,
        )
    console.print(table)


@memory.command()
@FILE
@click.option("--episode", help="The episode of this id.")
@click.option("--task", help="All episodes of this task (its text or id).")
@click.option("--source", help="All episodes of this source.")
def forget(file: Path | str, episode: str | None, task: str | None, source: str | None) -> None:
    """Take episodes out as if they had never been; their bytes go, too.

    Example: rlem memory forget shop.rlem --task webshop:512
    """
    if sum(value is not None for value in (episode, task, source)) != 1:
        raise UsageError("say what to forget by one of --episode, --task and --source")
    with open_file(file, write=True) as opened:
        count = opened.forget(episode=episode, task=task, source=source)
        what = "1 episode" if count == 1 else f"{count} episodes"
        click.echo(f"{opened.location}: {what} forgotten; {len(opened)} experiences remain")


@memory.command()
@FILE
@click.option("-n", "n", type=click.IntRange(1), help="n-step Q-learning.")
@click.option("--monte-carlo", is_flag=True, help="Monte-Carlo returns (no bootstrapping).")
@click.option("--discount", type=Number(0, 1), help="Gamma.")
@click.option("--trace-decay", type=Number(0, 1), help="TD(lambda).")
@click.option("--double/--no-double", default=None, help="Double Q-learning.")
@click.option("--out", type=click.Path(path_type=Path), help="Write a new memory and leave FILE as it is.")
def rebuild(
    file: Path | str,
    n: int | None,
    monte_carlo: bool,
    discount: float | None,
    trace_decay: float | None,
    double: bool | None,
    out: Path | None,
) -> None:
    """Derive all values anew from the log, under other learning settings if given.

    Example: rlem memory rebuild shop.rlem -n 1 --discount 0.9 --out other.rlem
    """
    from dataclasses import replace

    from rlem.memory.memory import ExperienceMemory
    from rlem.memory.sqlite import SQLiteStore

    if sum([n is not None, monte_carlo, trace_decay is not None]) > 1:
        raise UsageError("-n, --monte-carlo and --trace-decay exclude each other: give one of them")
    with open_file(file, write=out is None) as opened:
        values = opened.config.values
        if n is not None or monte_carlo or trace_decay is not None:
            values = replace(values, n=n, trace_decay=trace_decay)
        if discount is not None:
            values = replace(values, discount=discount)
        if double is not None:
            values = replace(values, double=double)
        config = replace(opened.config, values=values)
        target = opened
        with _bar("rebuilding") as progress:
            if out is None:
                opened.rebuild(config, progress)
            else:
                if out.exists():
                    raise DataError(f"{out} exists already: choose another name")
                target = ExperienceMemory(SQLiteStore(out), config)
                target.insert(opened.episodes(), progress)
        click.echo(f"{target.location}: {len(target)} experiences from {target.episode_count()} episodes")
        if target is not opened:
            target.close()


@memory.command(name="export")
@FILE
@click.argument("out", type=click.Path(path_type=Path))
def export_(file: Path | str, out: Path) -> None:
    """Write the log as JSON lines, one episode a line.

    Example: rlem memory export shop.rlem shop.jsonl
    """
    from rlem.memory.transfer import export_episodes

    if out.exists():
        raise DataError(f"{out} exists already: choose another name")
    with open_file(file) as opened, _bar("exporting") as progress:
        count = export_episodes(opened, out, progress)
    click.echo(f"{out}: {count} episodes")


@memory.command(name="import")
@FILE
@click.argument("source", type=click.Path(path_type=Path))
@click.option(
    "--trust",
    type=NearChoice(["unverified", "verified", "keep"]),
    default="unverified",
    show_default=True,
    help="unverified informs but never encourages; keep: as the export says.",
)
@click.option("--similarity", help="Similarity preset of FILE, if it is made now.")
def import_(file: Path | str, source: Path, trust: str, similarity: str | None) -> None:
    """Take an export (.jsonl) or a pool of the reference implementation (.yaml) into FILE.

    FILE is made if it is not there, with the settings of the export (or of --similarity). All episodes are
    taken in, or none.

    Example: rlem memory import shop.rlem pool.yaml --trust verified --similarity webshop
    """
    from rlem.api.memory import open as open_memory
    from rlem.memory.transfer import read_settings

    pool_file = source.suffix in (".yaml", ".yml")
    if not source.is_file():
        raise DataError(f"there is no file {source} to import")
    given: dict[str, Any] = {"similarity": similarity}
    if similarity is None and not pool_file and _is_new(file):
        config = read_settings(source)
        given = {
            name: getattr(config, name) for name in ("similarity", "values", "max_experiences", "max_actions")
        }
    with (
        _new_or_whole(file),
        open_memory(file, **given) as opened,
        _bar("importing") as progress,
    ):
        if pool_file:
            pool = opened.import_pool(source, trust="verified" if trust == "verified" else "unverified")
            added, there, skipped = len(pool.episodes), 0, pool.skipped
        else:
            chosen = {"verified": "verified", "keep": "keep"}.get(trust, "unverified")
            added, there = opened.import_(source, trust=chosen, progress=progress)  # type: ignore[arg-type]
            skipped = ()
        size, location = len(opened), opened.experience_memory.location
    click.echo(f"{location}: {added} episodes taken in, {there} were there already; {size} experiences")
    for line in skipped:
        click.echo(f"left out: {line}", err=True)
    if trust == "unverified":
        click.echo("taken in as unverified: they inform but never encourage (--trust changes that)", err=True)


@memory.command(name="copy")
@click.argument("source", type=Place(), metavar="FROM")
@click.argument("target", type=Place(), metavar="TO")
def copy_(source: Path | str, target: Path | str) -> None:
    """Copy a memory FROM a file or a postgresql:// URL TO another one, which must be new or empty.

    Settings and log are copied, values derived anew; then the hashes of both are compared.

    Example: rlem memory copy shop.rlem postgresql://ann@db.example/agents?schema=shop
    """
    from contextlib import closing

    from rlem.api.memory import open_store
    from rlem.memory.copying import copy_memory

    if isinstance(target, Path) and target.exists():
        raise DataError(f"{target} exists already: choose another name")
    if isinstance(source, Path) and not source.exists():
        raise DataError(f"there is no memory file {source}")
    with closing(open_store(source, read_only=True)) as giver, _new_or_whole(target):
        with closing(open_store(target)) as taker, _bar("copying") as progress:
            copied = copy_memory(giver, taker, progress)
        click.echo(
            f"{taker.location}: {copied.episodes} episodes, {copied.experiences} experiences, copied from "
            f"{giver.location}; both have the hash {copied.hash}"
        )


@contextmanager
def open_file(file: Path | str, *, write: bool = False) -> Iterator[ExperienceMemory]:
    """A memory that must be there, in a file or on a server."""
    from rlem.api.memory import open_store
    from rlem.memory.memory import ExperienceMemory

    if isinstance(file, Path) and not file.exists():
        raise DataError(f"there is no memory file {file}")
    store = open_store(file, read_only=not write)
    try:
        yield ExperienceMemory(store)
    finally:
        store.close()


def _is_new(file: Path | str) -> bool:
    """Whether no memory is there yet."""
    from contextlib import closing

    from rlem.api.memory import open_store

    if isinstance(file, Path):
        return not file.exists()
    with closing(open_store(file)) as store:
        return store.settings() is None


@contextmanager
def _new_or_whole(file: Path | str) -> Iterator[None]:
    """A memory file that was made for something that then failed does not stay behind."""
    made = isinstance(file, Path) and not file.exists()
    try:
        yield
    except BaseException:
        if made:
            for end in ("", "-wal", "-shm"):
                Path(f"{file}{end}").unlink(missing_ok=True)
        raise


@contextmanager
def _bar(what: str) -> Iterator[Report]:
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(what, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total or None)


def _short(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"
