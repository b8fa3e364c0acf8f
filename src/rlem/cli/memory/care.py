"""``rlem memory doctor``."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from rlem.cli.memory.common import FILE, Place, bar, count, is_new, must_be_there, new_or_whole, open_place
from rlem.core.errors import DataError, MemoryCorruptError, UsageError

if TYPE_CHECKING:
    from rlem.memory.doctor import Finding

LINES = 20
"""So many lines say what was lost."""
OF_VIEW = " of view "
"""In the names of those checks that are of one view."""


@click.command()
@FILE
@click.option(
    "--repair", is_flag=True, help="Derive anew what is derived and wrong; the log is never touched."
)
@click.option(
    "--salvage", type=Place(), metavar="OUT", help="Save what can be read of FILE into a new memory."
)
@click.option("--full", is_flag=True, help="Make the features of all texts again, not of a sample.")
@click.option("--json", "as_json", is_flag=True, help="As one JSON list or object.")
def doctor(file: Path | str, repair: bool, salvage: Path | str | None, full: bool, as_json: bool) -> None:
    """Check a memory: the file, the log, and whether what is derived is what the log gives.

    Ends with status 1 if something is wrong and was not repaired. See docs/doctor.md.

    Example: rlem memory doctor shop.rlem --repair
    """
    from rlem.memory import doctor as doctors

    if salvage is not None:
        if repair or full:
            raise UsageError("--salvage goes alone: it does not change FILE")
        _salvage(file, salvage, as_json)
        return
    try:
        with open_place(file, write=repair) as store:
            if repair:
                with bar("deriving values anew") as progress:
                    findings = doctors.repair(store, full=full, progress=progress)
            else:
                findings = doctors.examine(store, full=full)
    except MemoryCorruptError as error:
        if "--salvage" in str(error):
            raise
        raise MemoryCorruptError(
            f"{error}. To save what can still be read: rlem memory doctor {file} --salvage OUT"
        ) from error
    if as_json:
        click.echo(json.dumps([asdict(item) for item in findings], indent=2))
    else:
        table = Table(box=None, pad_edge=False, show_header=False, padding=(0, 2, 0, 0))
        for item in _shown(findings):
            state = "repaired" if item.repaired else "ok" if item.ok else "WRONG"
            table.add_row(state, Text(item.check), Text(item.detail))
        Console().print(table)
    if not all(item.ok for item in findings):
        raise click.exceptions.Exit(1)


def _shown(findings: Sequence[Finding]) -> list[Finding]:
    """In one line the checks of a view in which nothing is wrong; the values say enough."""
    by_view: dict[str, list[Finding]] = {}
    for item in findings:
        by_view.setdefault(item.check.partition(OF_VIEW)[2], []).append(item)
    sound = {view for view, items in by_view.items() if view and all(i.ok and not i.repaired for i in items)}
    shown = []
    for item in findings:
        what, _, view = item.check.partition(OF_VIEW)
        if view not in sound:
            shown.append(item)
        elif what == "values":
            shown.append(replace(item, check=f"view {view}"))
    return shown


def _salvage(file: Path | str, out: Path | str, as_json: bool) -> None:
    from tempfile import gettempdir

    from rlem.api.stores import open_store
    from rlem.memory import doctor as doctors
    from rlem.memory.copies import place_of
    from rlem.memory.doctor_sqlite import wreck

    if not is_new(out):
        raise DataError(f"{out} exists already: choose another name")
    with new_or_whole(out), closing(open_store(out)) as target:
        if isinstance(file, Path):
            must_be_there(file)
            workplace = out.parent if isinstance(out, Path) else Path(gettempdir())
            with wreck(file, workplace) as found:
                saved = doctors.salvage(found.episodes(), found.settings, target, origin=place_of(file))
        else:
            with open_place(file) as store:
                settings = {view: store.settings(view) for view in store.views()}
                saved = doctors.salvage(doctors.readable(store), settings, target, origin=place_of(file))
    if as_json:
        click.echo(json.dumps(asdict(saved), indent=2))
    else:
        click.echo(f"{out}: {count(saved.episodes, 'episode')} saved, {len(saved.lost)} lost")
        for text in saved.summary[:LINES]:
            click.echo(f"  {text}")
        if len(saved.summary) > LINES:
            click.echo(f"  and {len(saved.summary) - LINES} more lines; --json lists all that is lost")
    if saved.lost:
        raise click.exceptions.Exit(1)
