"""``rlem memory log``, ``diff``, ``branch`` and ``merge``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import ExitStack, closing
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from rlem.cli.memory.common import FILE, Place, bar, new_or_whole, open_file, open_source, short
from rlem.core.errors import DataError, UsageError

if TYPE_CHECKING:
    from rlem.memory.experience import ActionValue
    from rlem.memory.history import Difference
    from rlem.memory.store import Change

OUT = click.option("--out", type=Place(), metavar="NEW", help="Write a new memory and leave all as they are.")


@click.command()
@FILE
@click.option("--limit", type=click.IntRange(1), default=20, show_default=True, help="Lines, the last ones.")
def log(file: Path | str, limit: int) -> None:
    """What was done to a memory, by revision: recorded, taken in, forgotten, corrected, copied.

    Example: rlem memory log shop.rlem --limit 5
    """
    from rlem.memory.history import log as changes_of

    with open_file(file) as opened:
        changes = changes_of(opened)
        table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
        for name in ("revision", "when", "what"):
            table.add_column(name, overflow="fold")
        for change in changes[-limit:]:
            table.add_row(str(change.revision), _when(change.recorded_s), Text(_what(change)))
        if len(changes) > limit:
            click.echo(f"... {len(changes) - limit} before these (--limit)")
        Console().print(table)


def _when(recorded_s: float) -> str:
    try:
        return datetime.fromtimestamp(recorded_s).strftime("%Y-%m-%d %H:%M:%S")
    except (ValueError, OverflowError, OSError):
        return "?"


def _what(change: Change) -> str:
    detail: Mapping[str, Any] = change.detail
    place, view = detail.get("to"), detail.get("view")
    words = {
        "record": "recorded",
        "insert": "taken in",
        "forget": "forgotten",
        "correct": "corrected",
        "branch": f"branched to {place}",
        "copy": f"copied to {place}",
        "export": f"exported to {place}",
        "merge": f"merged into {place}",
        "rebuilt": f"written under other settings to {place}",
        "settings": f"settings of view {view} changed",
        "rebuild": f"view {view} derived anew",
        "drop-view": f"view {view} taken away",
    }
    text = words.get(change.kind, change.kind)
    for name in ("episodes", "rewards"):
        if name in detail:
            text = f"{_count(detail[name], name)} {text}"
    if detail.get("changed"):
        text += f", {detail['changed']} changed"
    if "from" in detail:
        places = detail["from"] if isinstance(detail["from"], list) else [detail["from"]]
        text += f" from {', '.join(places)}"
    return text + (f" as of revision {detail['revision']}" if "revision" in detail else "")


def _count(number: int, name: str) -> str:
    return f"{number} {name[:-1] if number == 1 else name}"


@click.command()
@FILE
@click.argument("other", type=Place(), required=False)
@click.option("--from", "start", type=click.IntRange(0), metavar="N", help="FILE as of this revision.")
@click.option("--to", "end", type=click.IntRange(0), metavar="N", help="OTHER (or FILE) as of this revision.")
@click.option("--limit", type=click.IntRange(1), default=20, show_default=True, help="Actions shown.")
@click.option("--json", "as_json", is_flag=True, help="All of it, as one JSON object.")
def diff(
    file: Path | str,
    other: Path | str | None,
    start: int | None,
    end: int | None,
    limit: int,
    as_json: bool,
) -> None:
    """Which values differ from FILE to OTHER, or from one revision of FILE to another, and why.

    The largest moves come first, with the episodes that made them.

    Example: rlem memory diff shop.rlem --from 12
    """
    from dataclasses import asdict

    from rlem.memory.history import at
    from rlem.memory.history import diff as difference_of

    if other is None and start is None and end is None:
        raise UsageError("say what to compare FILE with: another memory, or a revision by --from or --to")
    with open_file(file) as before, open_file(file if other is None else other) as after:
        found = difference_of(
            before if start is None else at(before, start), after if end is None else at(after, end)
        )
    if as_json:
        click.echo(json.dumps(asdict(found)))
    else:
        print_difference(found, limit)


def print_difference(found: Difference, limit: int) -> None:
    """A difference as text: the episodes, then one line for each action whose value moved."""
    console = Console()
    for name, ids in (
        ("appeared", found.appeared),
        ("gone", found.gone),
        ("with other rewards", found.corrected),
    ):
        if ids:
            console.print(Text(f"{_count(len(ids), 'episodes')} {name}: {_names(ids)}"))
    if found.settings:
        console.print(f"other settings: {', '.join(found.settings)}")
    rows = [(change, action) for change in found.experiences for action in change.actions]
    if not rows:
        console.print("no value moved" if found else "no difference")
        return
    rows.sort(key=lambda row: -abs(row[1].moved))
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for name in ("key", "task", "action", "value (n)", "by"):
        table.add_column(name, overflow="fold")
    for change, action in rows[:limit]:
        table.add_row(
            change.key[:8],
            Text(short(change.situation.task, 40)),
            Text(action.action),
            f"{_value(action.before)} -> {_value(action.after)}",
            Text(_names(action.episodes) or "through others"),
        )
    console.print(table)
    if len(rows) > limit:
        console.print(f"... and {len(rows) - limit} more (--limit)", highlight=False)


def _value(item: ActionValue | None) -> str:
    return f"{item.q_value:.3f} ({item.visits})" if item else "-"


def _names(ids: tuple[str, ...]) -> str:
    more = f" and {len(ids) - 3} more" if len(ids) > 3 else ""
    return ", ".join(ids[:3]) + more


@click.command()
@FILE
@click.argument("new", type=Place())
@click.option("--at", "revision", type=click.IntRange(0), help="As it was at this revision.")
def branch(file: Path | str, new: Path | str, revision: int | None) -> None:
    """Make the memory NEW, with the log and settings of FILE and a life of its own from there.

    Example: rlem memory branch shop.rlem trial.rlem --at 12
    """
    from rlem.api.memory import open_store
    from rlem.memory.copying import copy_memory

    if isinstance(new, Path) and new.exists():
        raise DataError(f"{new} exists already: choose another name")
    with open_source(file) as opened, new_or_whole(new), closing(open_store(new)) as target:
        with bar("branching") as progress:
            made = copy_memory(opened.store, target, progress, kind="branch", revision=revision)
        click.echo(
            f"{target.location}: branched from {opened.location}"
            f"{'' if revision is None else f' as of revision {revision}'}; "
            f"{made.episodes} episodes, {made.experiences} experiences, hash {made.hash}"
        )


@click.command()
@FILE
@click.argument("others", type=Place(), nargs=-1, required=True, metavar="OTHER...")
@OUT
@click.option("--settings-of", "chosen", type=Place(), metavar="MEMORY", help="Whose settings to go on with.")
def merge(file: Path | str, others: tuple[Path | str, ...], out: Path | str | None, chosen: Any) -> None:
    """Take the episodes of other memories into FILE, or all of them into a new one (--out).

    The result does not depend on who is merged into whom. All is taken in, or nothing.

    Example: rlem memory merge monday.rlem tuesday.rlem --out week.rlem
    """
    from rlem.api.memory import open_store
    from rlem.memory.memory import ExperienceMemory
    from rlem.memory.merging import merge as merged

    places = [file, *others]
    if chosen is not None and chosen not in places:
        raise UsageError(f"--settings-of {chosen}: it must be one of those that are merged")
    if isinstance(out, Path) and out.exists():
        raise DataError(f"{out} exists already: choose another name")
    with ExitStack() as stack:
        if out is None:
            opened = [stack.enter_context(open_file(file, write=True))]
        else:
            opened = [stack.enter_context(open_source(file))]
        opened += [stack.enter_context(open_source(other)) for other in others]
        config = None if chosen is None else opened[places.index(chosen)].config
        into, given = opened[0], opened[1:]
        if out is not None:
            stack.enter_context(new_or_whole(out))
            store = stack.enter_context(closing(open_store(out)))
            into, given = ExperienceMemory(store, config or into.config), opened
        with bar("merging") as progress:
            added, there = merged(into, given, config=config, progress=progress)
        click.echo(
            f"{into.location}: {added} episodes taken in, {there} were there already; "
            f"{len(into)} experiences, hash {into.hash()}"
        )
