"""The learning curve: success over training epochs with interval bands, and the memory's growth below.

Colours are Okabe & Ito's, told apart by colour-blind readers; line style and marker differ as well.
"""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rlem.reports.schema import Score, Summary

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PALETTE = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
_STYLES = (("-", "o"), ("--", "s"), ("-.", "^"), (":", "D"), ("-", "v"), ("--", "P"))
_INK, _FAINT = "#1c2024", "#9aa1a9"
_SETTINGS: dict[Any, Any] = {
    "font.family": "sans-serif",
    "font.size": 11.0,
    "axes.labelcolor": _INK,
    "axes.edgecolor": _FAINT,
    "text.color": _INK,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "text.parse_math": False,  # a "$" in an agent's name is a "$"
    "axes.spines.top": False,
    "axes.spines.right": False,
    "svg.fonttype": "none",  # text stays text: smaller, selectable, in the reader's own font and colour
    "svg.hashsalt": "rlem",  # the same numbers give the same bytes
}


def write_png(summary: Summary, path: Path) -> None:
    """Writes the learning curve as PNG, 150 dots an inch, on white."""
    from matplotlib import rc_context

    with rc_context(_SETTINGS):
        figure = learning_curve(summary)
        figure.savefig(path, format="png", metadata={"Software": None}, pil_kwargs={"optimize": True})


def inline_svg(summary: Summary) -> str:
    """The learning curve as an ``<svg>`` element for HTML: no prologue, no addresses, theme colours.

    Text and axes take ``currentColor``; each line takes ``--series-1``, ``--series-2`` ... of the page.
    """
    from matplotlib import rc_context

    buffer = io.BytesIO()
    with rc_context(_SETTINGS):
        figure = learning_curve(summary)
        figure.patch.set_visible(False)
        for axes in figure.axes:
            axes.patch.set_visible(False)
        nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        figure.savefig(buffer, format="svg", metadata=nothing)
    return _for_html(buffer.getvalue().decode("utf-8"))


def learning_curve(summary: Summary) -> Figure:
    """The figure: success per epoch and arm with 95 % bands; experiences in memory per epoch."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.6, 5.0), dpi=150, layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    series: dict[str, list[Score]] = {}
    for point in summary.curve:
        series.setdefault(point.agent, []).append(point)
    epochs = sorted({point.epoch for point in summary.curve})
    for index, (label, points) in enumerate(series.items()):
        shift = 0.06 * (index - (len(series) - 1) / 2)
        _draw_success(upper, index, label, points, epochs, shift)
        if points[0].arm == "memory":
            _draw_memory(lower, index, points)
    _finish(upper, lower, epochs)
    return figure


def _draw_success(
    axes: Axes, index: int, label: str, points: Sequence[Score], epochs: Sequence[int], shift: float
) -> None:
    """One arm. An arm played at one epoch only is drawn across: training does not change it."""
    colour = PALETTE[index % len(PALETTE)]
    line, marker = _STYLES[index % len(_STYLES)]
    places = [float(point.epoch) for point in points]
    means, lows, highs = (
        [100 * value for value in column]
        for column in zip(*((p.success, p.success_low, p.success_high) for p in points), strict=True)
    )
    if len(points) == 1 and len(epochs) > 1 and points[0].arm == "no-memory":
        places, means, lows, highs = [epochs[0], epochs[-1]], means * 2, lows * 2, highs * 2
        marker, label = "", f"{label} (one evaluation)"
    if len(places) == 1:
        places = [places[0] + shift]
    axes.fill_between(places, lows, highs, color=colour, alpha=0.14, linewidth=0)
    if marker:
        axes.vlines(places, lows, highs, color=colour, alpha=0.55, linewidth=1.2)
    axes.plot(places, means, line, marker=marker, color=colour, linewidth=2, markersize=6, label=label)


def _draw_memory(axes: Axes, index: int, points: Sequence[Score]) -> None:
    line, marker = _STYLES[index % len(_STYLES)]
    sizes = [point.memory_size for point in points]
    places = [point.epoch for point in points]
    colour = PALETTE[index % len(PALETTE)]
    axes.plot(places, sizes, line, marker=marker, color=colour, linewidth=1.6, markersize=5)
    axes.annotate(
        f"{sizes[-1]:,.0f}",
        (places[-1], sizes[-1]),
        textcoords="offset points",
        xytext=(7, 0),
        va="center",
        annotation_clip=False,
    )


def _finish(upper: Axes, lower: Axes, epochs: Sequence[int]) -> None:
    """Labels, limits and grid; says so where there is nothing to show."""
    from matplotlib.ticker import MaxNLocator

    if not epochs:
        upper.text(0.5, 0.5, "No evaluation was played", ha="center", va="center", transform=upper.transAxes)
    else:
        upper.legend(frameon=False, loc="lower left", bbox_to_anchor=(0, 1.0), ncols=2, borderaxespad=0.3)
        upper.set_xlim(epochs[0] - 0.25, epochs[-1] + 0.35)
    top = min(102.0, max(10.0, 1.02 * upper.get_ylim()[1])) if epochs else 100.0
    upper.set_ylim(-0.02 * top, top)  # from zero, so that a small difference looks small
    upper.set_ylabel("Success on held-out tasks, %")
    most = max(1.0, 1.08 * lower.get_ylim()[1])
    lower.set_ylim(-0.06 * most, most)
    lower.set_ylabel("Experiences")
    lower.set_xlabel("Training epochs done (0: before any training)")
    lower.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    lower.yaxis.set_major_locator(MaxNLocator(integer=True, nbins=4))
    for axes in (upper, lower):
        axes.grid(axis="y", color=_FAINT, alpha=0.25, linewidth=0.8)
        axes.tick_params(length=3)


def _for_html(svg: str) -> str:
    """Cuts the prologue and all addresses, names the picture, and hands the colours to the page."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r'\s+xmlns(:\w+)?="[^"]*"', "", svg).replace("xlink:href", "href")
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'<svg width="[^"]*" height="[^"]*"', "<svg", svg, count=1)
    svg = svg.replace("<svg", '<svg role="img" aria-label="Learning curve; its numbers stand below"', 1)
    svg = svg.replace(_INK, "currentColor")
    for index, colour in enumerate(PALETTE, start=1):
        svg = svg.replace(colour, f"var(--series-{index}, {colour})")
    return svg
