"""The page of an experiment: one HTML file that needs nothing beside it, neither network nor scripts."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from typing import Any

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

from rlem.experiments import findings
from rlem.experiments.episodes import RULE as CHOICE
from rlem.experiments.episodes import Told
from rlem.experiments.published import CAUTION, MARK, SOURCE, beside
from rlem.experiments.results import Compared, Results, RowResult, Span
from rlem.reports import wording
from rlem.reports.html import LINE_CHARS, clip
from rlem.reports.story import RULE

LABEL_CHARS = 30
"""A longer name would meet the numbers beside it on a phone."""
PAGE_CHARS, ANSWER_CHARS = 1200, 600
WAYS = {1: "up", -1: "down", 0: "soft"}
"""Colours of what is surely better, surely worse, and neither."""
MOST_STEPS, MOST_LISTED = 8, 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A line of a forest plot: a name, and an interval or the word that stands for it."""

    name: str
    span: Span | None
    told: str
    ends: str = ""
    mark: str = ""
    p: str = ""
    way: str = "soft"


def render_page(results: Results, *, story: Told | None = None) -> str:
    """The page as text. Rows without runs are shown, as missing; ``story``: three episodes, annotated."""
    rows = results.rows
    return (
        _templates()
        .get_template("experiment.html.j2")
        .render(
            results=results,
            findings=findings,
            found=findings.findings(results),
            facts=findings.facts(results),
            groups=[(group, list(found)) for group, found in groupby(rows, key=lambda row: row.group)],
            baseline=results.row(results.baseline),
            whole=results.row(results.whole),
            steadiness=[said for row in rows if (said := findings.stability_sentence(results, row))],
            combined=[row for row in rows if len({c.initial for c in row.combinations}) > 1],
            kinds=[(row, kind) for row in rows for kind in row.kinds],
            kept=[row for row in rows if row.kept],
            costly=max((row.tokens_per_success or 0.0 for row in rows), default=0.0),
            beside=beside(results),
            theirs=f"{MARK}.",
            source=f"{SOURCE}. {CAUTION}",
            story=story,
            learned=[advice.model_copy(update={"task": ""}) for advice in (story.learned if story else ())],
            rule=f"{CHOICE} {RULE}",
            most_steps=MOST_STEPS,
            most_listed=MOST_LISTED,
            **_pictures(results),
        )
    )


def _pictures(results: Results) -> dict[str, Any]:
    """Forest plots and charts, by the names that the template has for them."""
    rows = results.rows
    parts = [row for row in rows if row.worth]
    agents = [row for row in rows if not (row.worth or row.kept)]
    curves = {row.name: row.curve for row in rows if len(row.curve) > 1}
    early = {row.name: curves.pop(row.name) for row in rows if row.kept and row.name in curves}
    grown = {row.name: _flat(row.memory) for row in rows if len(row.memory) > 1}
    training = {"The whole method": results.training} if results.training else {}
    families = ((results.baseline, "gain"), (results.static, "gain_static"))
    dots = ((row.name, line) for row in rows for line in _combinations(row))
    return {
        "forests": [
            (other, [_forest(found, name) for found in (agents, parts)]) for other, name in families if other
        ],
        "parts": parts,
        "worths": _forest(parts, "worth"),
        "dots": forest(dots, zero=False, unit="percent"),
        "curves": Charts(curves, unit="epoch", share=True),
        "early": Charts(early, unit="epoch", share=True),
        "grown": Charts(grown, unit="epoch"),
        "training": Charts(training, unit="tasks", share=True),
    }


def _templates() -> Environment:
    loaders = [PackageLoader("rlem.experiments", "templates"), PackageLoader("rlem.reports", "templates")]
    environment = Environment(
        loader=ChoiceLoader(loaders),  # the style sheet and the episodes are the run report's own
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "percent": wording.percent,
        "points": wording.points,
        "signed": wording.signed,
        "decimal": wording.decimal,
        "count": wording.count,
        "money": lambda value: "–" if value is None else wording.money(value),
        "whole": lambda value: "–" if value is None else f"{value:,.0f}",
        "page": lambda text: clip(text, PAGE_CHARS),
        "answer": lambda text: clip(text, ANSWER_CHARS),
        "line": lambda text: clip(" ".join(text.split()), LINE_CHARS),
        "label": lambda text: text if len(text) <= LABEL_CHARS else text[: LABEL_CHARS - 1] + "…",
    }
    return environment


# -- pictures ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Forest:
    """Intervals below one another on one axis, under headings; ``unit``: "points" or "percent"."""

    sections: Sequence[tuple[str, Sequence[Line]]]
    ticks: Sequence[float]
    unit: str

    @property
    def x(self) -> Callable[[float], str]:
        """Where a value stands."""
        return scale(self.ticks[0], self.ticks[-1], 5, 95)


def forest(lines: Iterable[tuple[str, Line]], *, zero: bool = True, unit: str = "points") -> Forest:
    """A forest plot of (heading, line) pairs; ``zero``: the axis holds 0."""
    pairs = list(lines)
    ends = [end for _, line in pairs if line.span for end in (line.span.low, line.span.high)]
    ends += [0.0] if zero or not ends else []
    sections = [
        (heading, [line for _, line in found]) for heading, found in groupby(pairs, key=lambda pair: pair[0])
    ]
    return Forest(sections=sections, ticks=ticks(min(ends), max(ends)), unit=unit)


def _forest(rows: Iterable[RowResult], comparison: str) -> Forest:
    """The rows' differences of one family: "gain", "gain_static" or "worth"."""
    found = ((row, getattr(row, comparison)) for row in rows)
    return forest((row.group, _gain(row, one)) for row, one in found if one or not row.success)


def _gain(row: RowResult, compared: Compared | None) -> Line:
    if compared is None:
        return Line(name=row.name, span=None, told="no runs yet")
    return Line(
        name=row.name,
        span=compared,
        told=wording.points(compared.mean),
        ends=f"{wording.points(compared.low)} to {wording.points(compared.high)}",
        mark=findings.mark(compared),
        p=findings.chance(compared.p_adjusted),
        way=WAYS[findings.sure(compared)],
    )


def _combinations(row: RowResult) -> list[Line]:
    """Of rows that begin with several initial experiences."""
    if len({combination.initial for combination in row.combinations}) < 2:
        return []
    several = len({combination.train for combination in row.combinations}) > 1
    return [
        Line(
            name=c.initial + (f", {c.train}" if several else ""),
            span=c.success,
            told=wording.percent(c.success.mean),
            ends=f"{100 * c.success.low:.0f} to {100 * c.success.high:.0f}",
            mark=findings.mark(c.success),
            way="series-1",
        )
        for c in row.combinations
    ]


class Charts:
    """Curves beside one another on the same scale; ``share``: values are shares, shown in per cent."""

    def __init__(self, curves: dict[str, dict[int, Span]], *, unit: str = "", share: bool = False) -> None:
        self.curves, self.unit, self.share = curves, unit, share
        self.places = sorted({place for curve in curves.values() for place in curve})
        points = [point for curve in curves.values() for point in curve.items()]
        self.ticks = ticks(0.0, max([0.0, *(span.high for _, span in points)]))
        self.up = scale(0, self.ticks[-1], 82, 16)

    def across(self, curve: dict[int, Span]) -> Callable[[float], str]:
        """Where a place of this curve stands."""
        return scale(0, max([1, *curve]), 16, 92)

    def outline(self, curve: dict[int, Span]) -> str:
        """The band as points of a polygon, in hundredths of the picture."""
        across = self.across(curve)
        there = [(place, span.high) for place, span in curve.items()]
        back = [(place, span.low) for place, span in reversed(curve.items())]
        return " ".join(f"{across(x)[:-1]},{self.up(y)[:-1]}" for x, y in there + back)

    def steps(self, curve: dict[int, Span]) -> list[Any]:
        """Neighbouring points."""
        return list(pairwise(curve.items()))


def _flat(values: dict[int, float]) -> dict[int, Span]:
    return {place: Span(mean=value, low=value, high=value) for place, value in values.items()}


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
