"""The page of an experiment: complete, honest about what is missing, drawn to scale, safe, self-contained."""

import re
from xml.etree import ElementTree

from hypothesis import given
from hypothesis import strategies as st
from tests.support.runs import HOSTILE

from rlem.experiments.page import render_page, ticks, tokens_per_success, verdict
from rlem.experiments.table import Results, RowResult, Span


def row(name: str, group: str = "Agents", **changes: object) -> RowResult:
    """A row that was played."""
    fields: dict[str, object] = {
        "name": name,
        "group": group,
        "note": "",
        "cells": 2,
        "missing": 0,
        "tasks": 10,
        "seeds": 2,
        "combinations": 1,
        "success": Span(mean=0.5, low=0.4, high=0.6),
        "reward": Span(mean=1.0, low=0.5, high=1.5),
        "steps": 4.0,
        "tokens": 1200.0,
        "curve": {0: 0.25, 1: 0.5, 2: 1.0},
    }
    return RowResult.model_validate(fields | changes)


GAIN = Span(mean=0.1, low=-0.1, high=0.3)
ROWS = (
    row("alone"),
    row("with memory", gain=GAIN, p_value=0.2, p_adjusted=0.4),
    row("worse", "Retrieval", gain=Span(mean=-0.2, low=-0.2, high=-0.1), p_value=0.01, p_adjusted=0.02),
    RowResult(name="not yet", group="Retrieval", note="", cells=0, missing=3),
)


def results(*rows: RowResult, **changes: str) -> Results:
    """An experiment with these rows, or the four above."""
    told = {
        "experiment": "tiny",
        "title": "A tiny experiment",
        "environment": "corridor",
        "model": "embedded",
        "model_is": "It is not an LLM.",
        "test": "10:20",
        "baseline": "alone",
    }
    return Results.model_validate({**told, **changes, "rows": rows or ROWS})


def drawn(page: str) -> list[ElementTree.Element]:
    """The pictures of a page, the forest plot first."""
    return [ElementTree.fromstring(svg) for svg in re.findall(r"<svg.*?</svg>", page, re.DOTALL)]


def drawn_rows(page: str) -> dict[str, ElementTree.Element]:
    """What the forest plot has for each row."""
    return {str(part.findtext("title")): part for part in drawn(page)[0].iter("g")}


def test_every_row_stands_in_both_tables_the_plot_and_the_curves() -> None:
    """Title, model, command, method, notes and every row, played or not, are on the page."""
    page = render_page(results(*ROWS, row("late", note="Said of it.")), command="rlem reproduce tiny.toml")
    for told in (
        "A tiny experiment",
        "It is not an LLM.",
        "rlem reproduce tiny.toml",
        "Said of it.",
        "10:20",
    ):
        assert told in page
    assert "percentile bootstrap intervals" in page
    for name in ("alone", "with memory", "worse", "not yet", "late"):
        assert len(re.findall(rf'<tr[^>]*><th class="text">{name}<', page)) == 2
        assert name in drawn_rows(page)
        assert f"<figure><b>{name}</b>" in page
    assert page.count('<tr class="group">') == 2 * 3, "a group begins where its name changes"


def test_a_row_without_runs_is_missing_and_not_zero() -> None:
    """Its cells hold a dash, no number; the plots have words for it and no mark."""
    page = render_page(results())
    for line in re.findall(r'<tr class="missing">(.*?)</tr>', page, re.DOTALL):
        values = re.findall(r"<td[^>]*>(.*?)</td>", line)
        assert set(values) <= {"–", "0 of 3"}
    told = drawn_rows(page)["not yet"]
    assert told.find("circle") is None
    assert "no runs yet" in [text.text for text in told.iter("text")]
    assert len(drawn(page)) == 1 + 3, "no curve for it"
    assert "3 runs of 9 missing" in page
    assert "3 of 3 runs missing" in page
    assert "missing:" not in render_page(results(*ROWS[:3]))


def test_intervals_stand_where_the_axis_says() -> None:
    """By hand: gains reach from -0.2 to 0.3, so the axis runs from -20 to 40 points over 5 to 95 %: 0 is at
    35, -10 points at 20, +10 at 50, +30 at 80."""
    page = render_page(results())
    zero = next(line for line in drawn(page)[0].iter("line") if line.get("class") == "zero")
    assert zero.get("x1") == zero.get("x2") == "35.00%"
    ours = drawn_rows(page)["with memory"]
    span, dot = ours.find("line"), ours.find("circle")
    assert span is not None
    assert dot is not None
    assert (span.get("x1"), dot.get("cx"), span.get("x2")) == ("20.00%", "50.00%", "80.00%")
    assert span.get("y1") == span.get("y2") == dot.get("cy")
    assert "+10.0 (−10.0 to +30.0)" in ["".join(text.itertext()) for text in ours.iter("text")]
    assert [text.text for text in drawn(page)[0].iter("text") if text.get("class") == "tick"] == [
        *("−20", "0", "20", "40")
    ]
    assert ours.get("class") == "row soft"
    assert drawn_rows(page)["worse"].get("class") == "row down"


def test_curves_stand_where_their_axes_say() -> None:
    """By hand: epochs 0 to 2 lie over 22 to 94 %, success 0 to 1 over 80 to 10 %; one epoch is one dot."""
    page = render_page(results(ROWS[0], row("untrained", curve={0: 0.5})))
    dots = [[(d.get("cx"), d.get("cy")) for d in svg.iter("circle")] for svg in drawn(page)[1:]]
    assert dots[0] == [("22.00%", "62.50%"), ("58.00%", "45.00%"), ("94.00%", "10.00%")]
    assert dots[1] == [("22.00%", "45.00%")]
    lines = [line for line in drawn(page)[1].iter("line") if line.get("class") == "curve"]
    assert [line.get("x2") for line in lines] == ["58.00%", "94.00%"]


def test_foreign_text_is_escaped() -> None:
    """Names, groups, notes, titles and the command that hold markup are text on the page."""
    hostile = row(HOSTILE, HOSTILE, note=HOSTILE, gain=GAIN)
    changes = dict.fromkeys(("title", "experiment", "environment", "model", "model_is", "test"), HOSTILE)
    page = render_page(results(hostile, **changes, baseline=HOSTILE), command=HOSTILE)
    assert "<script" not in page
    assert "<img" not in page
    assert "&lt;script&gt;" in page
    assert len(drawn(page)) == 2, "and the pictures are well-formed"


def test_nothing_outside_is_named() -> None:
    """No address, link, script or import; the policy forbids all but the page's own style."""
    page = render_page(results())
    assert not re.search(r"https?:|//|<(script|link|img|iframe)|(src|href)=|@import|url\(", page)
    assert "default-src 'none'; style-src 'unsafe-inline'" in page


def test_tokens_per_success_needs_a_success() -> None:
    """1,200 tokens an episode with every second one solved are 2,400 a success; with none solved, a dash."""
    assert tokens_per_success(ROWS[0]) == 2400.0
    assert "<td>2,400</td>" in render_page(results(ROWS[0]))
    never = row("never", success=Span(mean=0.0, low=0.0, high=0.0))
    assert tokens_per_success(never) is None
    assert tokens_per_success(ROWS[3]) is None
    assert "<td>1,200</td><td>–</td>" in render_page(results(never))


def test_the_verdict_counts_only_what_is_beyond_chance() -> None:
    """Of two rows compared, one is below with p = 0.02; a row above with p = 0.4 is not counted."""
    assert "chance: none of 2 rows; below it: 1 (" in verdict(results())
    better = row("better", gain=GAIN, p_adjusted=0.05)
    assert "chance: 1 of 1 row; below it: none" in verdict(results(better))
    assert "yet" in verdict(results(ROWS[3]))


def test_a_page_of_nothing_played() -> None:
    """An experiment of which nothing is played has a page."""
    page = render_page(results(ROWS[3]))
    assert "No row can be compared" in page
    assert len(drawn(page)) == 1


@given(st.floats(-1, 0), st.floats(0, 1))
def test_ticks_cover_the_range_with_few_numbers(low: float, high: float) -> None:
    """Two to seven rising whole points, zero among them, from at most the lowest to at least the highest."""
    found = ticks(low, high)
    assert found[0] <= low + 1e-8
    assert found[-1] >= high - 1e-8
    assert 0 in found
    assert 2 <= len(found) <= 7
    assert found == sorted(set(found))
    assert all(abs(100 * tick - round(100 * tick)) < 1e-6 for tick in found)
