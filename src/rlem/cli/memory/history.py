"""``rlem memory log``, ``diff``, ``branch`` and ``merge``."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from rlem.cli.memory.common import (
    FILE,
    Place,
    bar,
    check_new,
    count,
    new_or_whole,
    open_file,
    open_source,
    short,
)
from rlem.core.errors import UsageError

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
        lines = list(_lines(changes_of(opened), opened.revision()))
        table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
        for name in ("revision", "when", "what"):
            table.add_column(name, overflow="fold")
        for first, change in lines[-limit:]:
            span = str(first) if first == change.revision else f"{first}-{change.revision}"
            table.add_row(span, _when(change.recorded_s), Text(_what(change)))
        if len(lines) > limit:
            click.echo(f"... {count(len(lines) - limit, 'line')} before these (--limit)")
        Console().print(table)


def _lines(changes: list[Change], last: int) -> Iterator[tuple[int, Change]]:
    """Each line as its first revision and a change at its last one: recordings in a row are one line, and so
    are revisions of which nothing is left. The first one stored the settings and has no note."""
    from rlem.memory.store import Change

    first, line = 1, Change(revision=1, recorded_s=math.nan, kind="made")
    for change in changes:
        if line.kind == change.kind == "record" and change.revision == line.revision + 1:
            total = line.detail["episodes"] + change.detail["episodes"]  # type: ignore[operator]
            line = replace(change, detail={"episodes": total})
            continue
        yield first, line
        if change.revision > line.revision + 1:
            yield line.revision + 1, Change(revision=change.revision - 1, recorded_s=math.nan, kind="")
        first, line = change.revision, change
    yield first, line
    if last > line.revision:
        yield line.revision + 1, Change(revision=last, recorded_s=math.nan, kind="")


def _when(recorded_s: float) -> str:
    try:
        return datetime.fromtimestamp(recorded_s).strftime("%Y-%m-%d %H:%M:%S")
    except (ValueError, OverflowError, OSError):
        return ""


def _what(change: Change) -> str:
    detail: Mapping[str, Any] = change.detail
    place, view = detail.get("to"), detail.get("view")
    words = {
        "made": "memory made",
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
        "view": f"view {view} made",
        "drop-view": f"view {view} taken away",
        "": "nothing left to show (upkeep, or recorded and forgotten since)",
    }
    text = words.get(change.kind, change.kind)
    for name in ("episodes", "rewards"):
        if name in detail:
            text = f"{count(detail[name], name[:-1])} {text}"
    if detail.get("changed"):
        text += f", {detail['changed']} changed"
    if "from" in detail:
        places = detail["from"] if isinstance(detail["from"], list) else [detail["from"]]
        text += f" from {', '.join(places)}"
    return text + (f" as of revision {detail['revision']}" if "revision" in detail else "")


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
            console.print(Text(f"{count(len(ids), 'episode')} {name}: {_names(ids)}"))
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
            Text(_names(tuple(short(name, 30) for name in action.episodes)) or "through others"),
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
    from rlem.api.stores import open_store
    from rlem.memory.copying import copy_memory

    check_new(new)
    with open_source(file) as opened, new_or_whole(new), closing(open_store(new)) as target:
        with bar("branching") as progress:
            made = copy_memory(opened.store, target, progress, kind="branch", revision=revision)
        click.echo(
            f"{target.location}: branched from {opened.location}"
            f"{'' if revision is None else f' as of revision {revision}'}; "
            f"{count(made.episodes, 'episode')}, {count(made.experiences, 'experience')}, hash {made.hash}"
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
    from rlem.api.stores import open_store
    from rlem.memory.memory import ExperienceMemory
    from rlem.memory.merging import merge as merged

    places = [file, *others]
    if chosen is not None and chosen not in places:
        raise UsageError(f"--settings-of {chosen}: it must be one of those that are merged")
    check_new(out)
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
            f"{into.location}: {count(added, 'episode')} taken in, {there} "
            f"{'was' if there == 1 else 'were'} there already; "
            f"{count(len(into), 'experience')}, hash {into.hash()}"
        )
