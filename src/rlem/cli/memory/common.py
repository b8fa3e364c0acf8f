"""What the commands of ``rlem memory`` share: places of memories, opening them, progress."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.progress import Progress
from rich.text import Text

from rlem.core.errors import DataError, MemoryReadOnlyError, UsageError

if TYPE_CHECKING:
    from rlem.memory.config import MemoryConfig
    from rlem.memory.memory import ExperienceMemory
    from rlem.memory.state import Progress as Report
    from rlem.memory.store import Store


class Place(click.Path):
    """Where a memory is: a file, as a Path, or a URL, as a text."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        return value if "://" in str(value) else Path(str(super().convert(value, param, ctx)))


FILE = click.argument("file", type=Place())
VIEW = click.option(
    "--view", default="main", show_default=True, help="Of this view (see `rlem memory views`)."
)


def must_be_there(file: Path | str) -> None:
    """Refuses a path where no file is."""
    if isinstance(file, Path) and not file.exists():
        raise DataError(f"there is no memory file {file}")
    if isinstance(file, Path) and file.is_dir():
        raise DataError(f"{file} is a folder: give the path of a memory file in it")


@contextmanager
def open_place(file: Path | str, *, write: bool = False) -> Iterator[Store]:
    """The store of a memory that must be there, in a file or on a server."""
    from rlem.api.stores import open_store

    must_be_there(file)
    with closing(open_store(file, read_only=not write)) as store:
        yield store


@contextmanager
def open_file(file: Path | str, *, write: bool = False, view: str = "main") -> Iterator[ExperienceMemory]:
    """A memory that must be there, by one of its views."""
    from rlem.memory.memory import ExperienceMemory

    with open_place(file, write=write) as store:
        with bar("deriving values anew") as progress:
            memory = ExperienceMemory(store, view=view, progress=progress)
        yield memory


@contextmanager
def open_source(file: Path | str) -> Iterator[ExperienceMemory]:
    """A memory that is to be copied: open for writing where possible, so that it can note the copy."""
    with open_place(file):
        pass  # for writing, an empty place would be made into a memory
    with ExitStack() as stack:
        try:
            opened = stack.enter_context(open_file(file, write=True))
        except MemoryReadOnlyError:
            opened = stack.enter_context(open_file(file))
        noted = len(opened.store.history())
        yield opened
        if len(opened.store.history()) == noted:
            click.echo(f"{opened.location} cannot be written: it does not know of this copy", err=True)


def check_new(place: Path | str | None) -> None:
    """Refuses a place for a new memory that is taken, or where nobody could use it."""
    if str(place) == ":memory:":
        raise UsageError(":memory: would be gone when the command ends: give a file or a postgresql:// URL")
    if isinstance(place, Path) and place.exists():
        raise DataError(f"{place} exists already: choose another name")


def count(number: int, name: str) -> str:
    """So many of what has that name: "1 episode", "2 episodes"."""
    return f"{number} {name}" if number == 1 else f"{number} {name}s"


def is_new(file: Path | str) -> bool:
    """Whether no memory is there yet."""
    from rlem.api.stores import open_store
    from rlem.memory.store import MAIN

    if isinstance(file, Path):
        return not file.exists()
    with closing(open_store(file)) as store:
        return store.settings(MAIN) is None


@contextmanager
def new_or_whole(file: Path | str) -> Iterator[None]:
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
def bar(*phases: str) -> Iterator[Report]:
    """A progress bar from the first report on; when the count starts anew, it is of the next phase."""
    console = Console(stderr=True)
    progress = Progress(console=console, transient=True, disable=not console.is_terminal)
    task = progress.add_task(phases[0], total=None)
    rest, last = iter(phases[1:]), 0

    def report(done: int, total: int) -> None:
        nonlocal last
        if done < last:
            progress.update(task, description=next(rest, phases[-1]))
        last = done
        progress.start()
        progress.update(task, completed=done, total=total or None)

    try:
        yield report
    finally:
        progress.stop()


def short(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"


def cut(text: str) -> Text:
    """A text of which each line is cut where the width ends; in a table, its column gives way first."""
    return Text(text, no_wrap=True, overflow="ellipsis")


def learning(config: MemoryConfig) -> str:
    """How a view learns, in a few words."""
    values = config.values
    kind = "Monte-Carlo returns" if values.n is None else f"{values.n}-step Q-learning"
    if values.trace_decay is not None:
        kind = f"TD({values.trace_decay:g})"
    if values.double:
        kind = f"double {kind}"
    if values.estimate == "constant":
        kind += f", learning rate {values.learning_rate:g}"
    return f"{kind}, discount {values.discount:g}"
