"""The end of a run in the terminal: the numbers of summary.json as one table."""

from __future__ import annotations

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from rlem.reports import wording
from rlem.reports.schema import Score, Summary


def summary_table(summary: Summary) -> RenderableType:
    """What memory changed, the table of rows, and what to know about the numbers."""
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    table.add_column("Agent", min_width=12)
    for name in ("Success % (95 %)", "Reward (95 %)", "Steps", "Broken", "Tokens"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in summary.rows:
        table.add_row(*_cells(row))
    style = {True: "bold green", False: "bold", None: "bold"}[summary.paired_difference.excludes_zero]
    if (summary.paired_difference.mean or 0) < 0 and summary.paired_difference.excludes_zero:
        style = "bold red"
    parts: list[RenderableType] = [Text(summary.headline, style=style), Text(summary.detail)]
    if summary.live is not None:
        parts.append(Text(summary.live.sentence))
    parts.append(Text())
    if summary.rows:
        parts += [table, Text()]
    usage = summary.usage
    spent = (
        f"Whole run: {wording.count(summary.episodes, 'episode')}, {summary.broken_episodes} broken, "
        f"{summary.format_failures} format failures, {wording.count(usage.calls, 'model call')}, "
        f"{usage.prompt_tokens + usage.completion_tokens:,} tokens, cost {wording.money(usage.cost_usd)}."
    )
    parts += [Text(line, style="dim") for line in [spent, summary.model_is, summary.comparison]]
    parts += [Text(f"Note: {note}", style="yellow") for note in summary.notes]
    return Group(*parts)


def print_summary(summary: Summary, console: Console | None = None) -> None:
    """Prints the table (to standard output unless a console is given)."""
    (console or Console()).print(summary_table(summary))


def _cells(row: Score) -> list[Text]:
    success, low, high = (f"{100 * share:.1f}" for share in (row.success, row.success_low, row.success_high))
    reward, least, most = map(wording.decimal, (row.reward, row.reward_low, row.reward_high))
    cells = [
        row.agent,
        f"{success} ({low} to {high})",
        f"{reward} ({least} to {most})",
        wording.decimal(row.steps, digits=1),
        str(row.broken),
        f"{row.prompt_tokens + row.completion_tokens:,}",
    ]
    return [Text(cell) for cell in cells]
