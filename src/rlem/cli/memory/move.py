"""``rlem memory export``, ``import`` and ``copy``."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import click

from rlem.cli.memory.common import FILE, Place, bar, check_new, count, is_new, new_or_whole, open_source
from rlem.cli.options import NearChoice
from rlem.core.errors import DataError


@click.command(name="export")
@FILE
@click.argument("out", type=click.Path(path_type=Path))
def export_(file: Path | str, out: Path) -> None:
    """Write the log as JSON lines, one episode a line.

    Example: rlem memory export shop.rlem shop.jsonl
    """
    from rlem.memory.transfer import export_episodes

    if out.exists():
        raise DataError(f"{out} exists already: choose another name")
    with open_source(file) as opened, bar("exporting") as progress:
        total = export_episodes(opened, out, progress)
    click.echo(f"{out}: {count(total, 'episode')}")


@click.command(name="import")
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
    from rlem.api.opening import open as open_memory
    from rlem.memory.transfer import read_settings

    pool_file = source.suffix in (".yaml", ".yml")
    if not source.is_file():
        raise DataError(f"there is no file {source} to import")
    given: dict[str, Any] = {"similarity": similarity}
    if similarity is None and not pool_file and is_new(file):
        config = read_settings(source)
        given = {field.name: getattr(config, field.name) for field in fields(config)}
    with (
        new_or_whole(file),
        open_memory(file, **given) as opened,
        bar("importing") as progress,
    ):
        if pool_file:
            pool = opened.import_pool(source, trust="verified" if trust == "verified" else "unverified")
            added, there, skipped = len(pool.episodes), 0, pool.skipped
        else:
            chosen = {"verified": "verified", "keep": "keep"}.get(trust, "unverified")
            added, there = opened.import_(source, trust=chosen, progress=progress)  # type: ignore[arg-type]
            skipped = ()
        size, location = len(opened), opened.experience_memory.location
    click.echo(
        f"{location}: {count(added, 'episode')} taken in, {there} "
        f"{'was' if there == 1 else 'were'} there already; {count(size, 'experience')}"
    )
    for line in skipped:
        click.echo(f"left out: {line}", err=True)
    if trust == "unverified":
        click.echo("taken in as unverified: they inform but never encourage (--trust changes that)", err=True)


@click.command(name="copy")
@click.argument("source", type=Place(), metavar="FROM")
@click.argument("target", type=Place(), metavar="TO")
def copy_(source: Path | str, target: Path | str) -> None:
    """Copy a memory FROM a file or a postgresql:// URL TO another one, which must be new or empty.

    Settings and log are copied, values derived anew; then the hashes of both are compared.

    Example: rlem memory copy shop.rlem postgresql://ann@db.example/agents?schema=shop
    """
    from contextlib import closing

    from rlem.api.stores import open_store
    from rlem.memory.copying import copy_memory

    check_new(target)
    with open_source(source) as giver, new_or_whole(target):
        with closing(open_store(target)) as taker, bar("copying") as progress:
            copied = copy_memory(giver.store, taker, progress)
        click.echo(
            f"{taker.location}: {count(copied.episodes, 'episode')}, "
            f"{count(copied.experiences, 'experience')}, copied from "
            f"{giver.location}; both have the hash {copied.hash}"
        )
