"""The page of an experiment: one HTML file that needs nothing beside it, neither network nor scripts."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import groupby, pairwise

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

from rlem.experiments.table import Results, RowResult
from rlem.reports import wording
from rlem.reports.html import LINE_CHARS, clip

_LABEL_CHARS = 30
"""A longer name would meet the numbers beside it on a phone."""
_ALPHA = 0.05


def render_page(results: Results, *, command: str = "") -> str:
    """The page as text; ``command``: what made it. Rows without runs are shown, as missing."""
    loaders = [PackageLoader("rlem.experiments", "templates"), PackageLoader("rlem.reports", "templates")]
    environment = Environment(
        loader=ChoiceLoader(loaders),  # the style sheet is the run report's own
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "percent": wording.percent,
        "points": wording.points,
        "decimal": wording.decimal,
        "count": wording.count,
        "whole": lambda value: "–" if value is None else f"{value:,.0f}",
        "line": lambda text: clip(" ".join(text.split()), LINE_CHARS),
        "label": lambda text: text if len(text) <= _LABEL_CHARS else text[: _LABEL_CHARS - 1] + "…",
        "pairwise": lambda values: list(pairwise(values)),
    }
    rows = results.rows
    gains = [end for row in rows if row.gain for end in (row.gain.low, row.gain.high)]
    points = ticks(min(0.0, *gains, 0.0), max(0.0, *gains, 0.0))
    shares = ticks(0.0, max([0.0, *(share for row in rows for share in row.curve.values())]))
    epochs = max([1, *(epoch for row in rows for epoch in row.curve)])
    return environment.get_template("experiment.html.j2").render(
        results=results,
        groups=[(group, list(found)) for group, found in groupby(rows, key=lambda row: row.group)],
        baseline=next((row for row in rows if row.name == results.baseline), None),
        command=command,
        verdict=verdict(results),
        tokens_per_success=tokens_per_success,
        points=points,
        shares=shares,
        epochs=epochs,
        x=scale(points[0], points[-1], 5, 95),
        across=scale(0, epochs, 22, 94),
        up=scale(0, shares[-1], 80, 10),
    )


def scale(low: float, high: float, start: float, end: float) -> Callable[[float], str]:
    """Where a value stands between two edges of an SVG, in per cent: pictures as wide as the screen, with
    text that keeps its size.

    >>> scale(-1, 1, 5, 95)(0)
    '50.00%'
    """
    return lambda value: f"{start + (end - start) * (value - low) / (high - low):.2f}%"


def ticks(low: float, high: float) -> list[float]:
    """Round numbers, 1, 2 or 5 times a power of ten apart, from at most ``low`` to at least ``high``.

    The smallest step is one hundredth.

    >>> ticks(-0.12, 0.31)
    [-0.2, 0.0, 0.2, 0.4]
    """
    wanted = max((high - low) / 4, 0.01)
    power = 10.0 ** math.floor(math.log10(wanted))
    step = next(times * power for times in (1, 2, 5, 10) if times * power >= wanted * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(number * step, 10) for number in range(first, max(last, first + 1) + 1)]


def tokens_per_success(row: RowResult) -> float | None:
    """Tokens of all test episodes over those that succeeded; None where none did."""
    if row.tokens is None or not row.success or not row.success.mean:
        return None
    return row.tokens / row.success.mean


def verdict(results: Results) -> str:
    """How many rows differ from the baseline by more than chance, in one sentence."""
    tested = [row for row in results.rows if row.gain and row.p_adjusted is not None]
    if not tested:
        return "No row can be compared with the baseline yet."
    sure = [row.gain.mean for row in tested if row.gain and (row.p_adjusted or 0.0) <= _ALPHA]
    return (
        f"Above the baseline by more than chance: {sum(gain > 0 for gain in sure) or 'none'} of "
        f"{wording.count(len(tested), 'row')}; below it: {sum(gain < 0 for gain in sure) or 'none'} "
        f"(p at most {_ALPHA}, corrected for the number of rows)."
    )
