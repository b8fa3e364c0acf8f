"""The results in a terminal: what is to be seen at a glance; the files have the rest."""

from __future__ import annotations

from itertools import groupby

from rich.console import Console
from rich.table import Table
from rich.text import Text

from rlem.experiments.findings import LEGEND, MARK, chance, left_out, mark, power_sentence, sure, verdict
from rlem.experiments.results import Compared, Results, Span
from rlem.reports import wording

WIDTH = 110
"""Columns where nobody watches, as in a log."""
_STYLES = {1: "green", -1: "red", 0: ""}


def show(results: Results, console: Console | None = None) -> None:
    """Prints success by row, and the differences to the baseline; in colour where they are beyond chance."""
    console = console or Console(highlight=False)
    if not console.is_terminal:
        console.width = WIDTH
    table = Table(title=results.title or results.experiment, title_justify="left", box=None, pad_edge=False)
    table.add_column("row")
    for name in ("success % (95 %)", f"against {results.baseline} (95 %)", "corrected p"):
        table.add_column(name, justify="right")
    for group, rows in groupby(results.rows, key=lambda row: row.group):
        table.add_row(Text(f"\n{group}", style="bold"))
        for row in rows:
            table.add_row(Text(row.name), _share(row.success), *_against(row.gain))
    console.print(table)
    console.print(f"\n{verdict(results)} {power_sentence(results)}".rstrip(), markup=False)
    if any(mark(span) for row in results.rows for span in (row.success, row.gain)):
        console.print(f"{MARK}: {LEGEND}", style="dim", markup=False)
    console.print(results.model_is, style="dim", markup=False)
    for names, why in left_out(results).items():
        console.print(f"Left out: {names}: {why}", style="dim", markup=False)


def _share(span: Span | None) -> str:
    if span is None:
        return "not played"
    low, high = (f"{100 * value:.1f}" for value in (span.low, span.high))
    return f"{100 * span.mean:.1f} ({low} to {high}){mark(span)}"


def _against(gain: Compared | None) -> tuple[Text, str]:
    if gain is None:
        return Text(), ""
    low, high = (wording.points(value) for value in (gain.low, gain.high))
    text = f"{wording.points(gain.mean)} ({low} to {high}){mark(gain)}"
    return Text(text, style=_STYLES[sure(gain)]), chance(gain.p_adjusted)
