"""``rlem memory measure``."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import click

from rlem.cli.memory.common import FILE, VIEW, open_file


@click.command()
@FILE
@VIEW
@click.option(
    "--queries", type=click.IntRange(1), default=200, show_default=True, help="Situations asked for."
)
@click.option("--seed", default=0, show_default=True, help="Of the choice of queries.")
@click.option(
    "--from",
    "best_from",
    type=click.IntRange(0),
    metavar="N",
    help="Look for candidates from N experiences on, to see what a larger memory would do.",
)
@click.option("--json", "as_json", is_flag=True, help="As a JSON object.")
def measure(
    file: Path | str, view: str, queries: int, seed: int, best_from: int | None, as_json: bool
) -> None:
    """How well recall in a large memory finds what is most similar: recall@10 against scoring all.

    Up to 100,000 experiences all are scored, and recall is 1; --from shows candidates in a smaller memory.
    Queries are situations of the memory with half the task and half the page of another one.

    Example: rlem memory measure shop.rlem --from 1000
    """
    with open_file(file, view=view) as opened:
        found = opened.measure_recall(queries, seed, best_from=best_from)
        location = opened.location
    if as_json:
        click.echo(json.dumps(asdict(found)))
        return
    click.echo(
        f"{location}: {found.experiences} experiences, {found.queries} queries\n"
        f"recall@10       {found.recall_at_10:.4f}  (a hit scores at least the tenth exact score)\n"
        f"scored a query  {found.candidates_mean:.0f}\n"
        f"exact           {found.exact_p50_ms:.2f} ms (p99 {found.exact_p99_ms:.2f})\n"
        f"by candidates   {found.approximate_p50_ms:.2f} ms (p99 {found.approximate_p99_ms:.2f})"
    )
