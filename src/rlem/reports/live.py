"""Memory's effect in the training so far, by withholding it in a share of the episodes."""

from __future__ import annotations

import math
from collections.abc import Sequence

from rlem.api.control import Tally, effect_words, muted_words
from rlem.evidence import LiveEffect
from rlem.reports.facts import EpisodeFacts
from rlem.reports.schema import Live
from rlem.runner.control import control_of
from rlem.runner.records import RunConfig

MOST_POINTS = 80
_WIDTH, _HEIGHT, _LEFT, _BOTTOM = 475, 180, 40, 24


def effect(episodes: Sequence[EpisodeFacts], config: RunConfig) -> Live | None:
    """The effect over all seeds, in the order of the file; None for a run that withheld nothing.

    Each seed has a memory and a guard of its own. Episodes after a memory was muted do not count.
    """
    control = control_of(config)
    if control is None:
        return None
    tallies: dict[int, Tally] = {}
    counted = [
        facts
        for facts in episodes
        if facts.phase == "train"
        and tallies.setdefault(facts.seed, Tally(control)).add(
            float(facts.success), withheld=facts.arm == "no-memory", tried=facts.tried.items()
        )
    ]
    marks = {round(number * len(counted) / MOST_POINTS) for number in range(MOST_POINTS + 1)}
    pooled, curve = LiveEffect(control=control.chance), []
    for number, facts in enumerate(counted, 1):
        pooled = pooled.after(float(facts.success), withheld=facts.arm == "no-memory")
        if number in marks:
            now = pooled.interval()
            curve.append((number, now.estimate, now.low, now.high))
    found = pooled.interval()
    muted = {seed: list(tally.muted) for seed, tally in tallies.items() if tally.muted}
    said = [effect_words(found, what="memory's effect in training so far")]
    said += [f"seed {seed}, {muted_words(keys)}" for seed, keys in muted.items()]
    return Live(
        share=control.chance,
        sentence="; ".join(said),
        estimate=found.estimate,
        low=found.low,
        high=found.high,
        shown=found.shown,
        withheld=found.withheld,
        after_muting=sum(tally.passed_over for tally in tallies.values()),
        muted=muted,
        curve=curve,
    )


def narrowing_svg(live: Live) -> str:
    """The interval over the episodes as an ``<svg>`` element in the page's colours; "" without a curve."""
    if len(live.curve) < 2:
        return ""
    last, _, low, high = live.curve[-1]
    widest = 2 * max(abs(low), abs(high))  # what is wider is cut, so that the end is seen
    top = min(10, max(1, math.ceil(10 * widest))) / 10

    def place(episodes: int, value: float) -> str:
        x = _LEFT + (_WIDTH - _LEFT - 10) * episodes / last
        return f"{x:.1f},{_y(max(-top, min(top, value)), top):.1f}"

    band = [place(n, most) for n, _, _, most in live.curve]
    band += [place(n, least) for n, _, least, _ in reversed(live.curve)]
    line = [place(n, estimate) for n, estimate, _, _ in live.curve]
    ticks = "".join(
        f'<text x="{_LEFT - 6}" y="{_y(value, top) + 4:.1f}" text-anchor="end">{_points(value)}</text>'
        for value in (-top, 0.0, top)
    )
    return (
        f'<svg role="img" aria-label="Memory\'s effect over the training episodes; its numbers stand above" '
        f'viewBox="0 0 {_WIDTH} {_HEIGHT}" font-size="10" fill="currentColor">'
        f'<polygon points="{" ".join(band)}" fill="var(--series-1, #0072b2)" fill-opacity="0.18"/>'
        f'<line x1="{_LEFT}" x2="{_WIDTH - 10}" y1="{_y(0, top)}" y2="{_y(0, top)}" stroke="currentColor" '
        'stroke-opacity="0.5"/>'
        f'<polyline points="{" ".join(line)}" fill="none" stroke="var(--series-1, #0072b2)" '
        f'stroke-width="2"/>{ticks}'
        f'<text x="{_LEFT}" y="{_HEIGHT - 4}">training episodes: 1</text>'
        f'<text x="{_WIDTH - 10}" y="{_HEIGHT - 4}" text-anchor="end">{last:,}</text></svg>'
    )


def _y(value: float, top: float) -> float:
    return 8 + (_HEIGHT - _BOTTOM - 8) * (top - value) / (2 * top)


def _points(value: float) -> str:
    return f"{100 * value:+.0f}".replace("-", "−") if value else "0"
