"""The page of an experiment: complete, honest about what is missing, drawn to scale, safe, self-contained."""

import re
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.runs import HOSTILE

from rlem.experiments.episodes import Told
from rlem.experiments.findings import HEADINGS, findings, stability_sentence
from rlem.experiments.forms import to_latex
from rlem.experiments.page import MOST_STEPS, render_page, ticks
from rlem.experiments.published import MARK, PUBLISHED, published
from rlem.experiments.results import (
    Combination,
    Compared,
    Kept,
    Kind,
    Results,
    RowResult,
    Span,
    Stability,
)
from rlem.reports.story import Chapter
from rlem.runner.records import AdviceRecord, EpisodeRecord, StepRecord


def span(mean: float, low: float, high: float) -> Span:
    """An interval."""
    return Span(mean=mean, low=low, high=high)


def compared(mean: float, low: float, high: float, p_adjusted: float = 0.4) -> Compared:
    """A difference."""
    told = {"p_value": 0.2, "p_adjusted": p_adjusted, "exact": True, "tasks": 10, "seeds": 2}
    return Compared.model_validate({"mean": mean, "low": low, "high": high, "detectable": 0.2, **told})


def row(name: str, group: str = "Agents", **changes: object) -> RowResult:
    """A row that was played."""
    fields: dict[str, object] = {
        "name": name,
        "group": group,
        "cells": 2,
        "tasks": 10,
        "seeds": 2,
        "success": span(0.5, 0.4, 0.6),
        "reward": span(1.0, 0.5, 1.5),
        "steps": 4.0,
        "tokens": 1200.0,
        "cost_usd": 0.02,
        "curve": {0: span(0.25, 0.0, 0.5), 1: span(0.5, 0.25, 0.75), 2: span(1.0, 1.0, 1.0)},
    }
    return RowResult.model_validate(fields | changes)


GAIN = compared(0.1, -0.1, 0.3)
WORTH = compared(0.2, 0.1, 0.2, 0.04)
ROWS = (
    row("alone"),
    row("with memory", gain=GAIN),
    row("worse", "Retrieval", gain=compared(-0.2, -0.2, -0.1, 0.0002), worth=WORTH),
    RowResult(name="not yet", group="Retrieval", missing=3),
)
FULL = row(
    "with memory",
    gain=GAIN,
    combinations=[
        Combination(initial=e, train=s, success=span(0.5, 0.4, 0.6)) for e in ("E0", "E1") for s in "AB"
    ],
    stability=Stability(
        spread=span(0.01, 0, 0.02), static=span(0.1, 0.05, 0.2), difference=span(-0.09, -0.2, -0.03)
    ),
    kinds=[Kind(kind="north", tasks=4, success=span(0.7, 0.6, 0.8), gain=GAIN)],
    kept=Kept(own=span(1, 1, 1), later=span(0.75, 0.5, 1), forgotten=GAIN),
    memory={0: 0.0, 1: 20.0, 2: 40.0},
)


def results(*rows: RowResult, **changes: object) -> Results:
    """An experiment with these rows, or the four above."""
    told = {
        "experiment": "tiny",
        "title": "A tiny experiment",
        "environment": "corridor",
        "model": "embedded",
        "model_is": "It is not an LLM.",
        "test": "10:20",
        "baseline": "alone",
        "whole": "with memory",
        "command": "rlem reproduce tiny.toml",
    }
    return Results.model_validate({**told, **changes, "rows": rows or ROWS})


def section(page: str, id: str) -> str:
    """What stands under a heading."""
    found = re.search(rf'<h2 id="{id}">(.*?)(?=<h2|</main>)', page, re.DOTALL)
    return found.group(1) if found else ""


def drawn(page: str, id: str) -> list[ElementTree.Element]:
    """The pictures of a section."""
    return [
        ElementTree.fromstring(f"<b>{f}</b>")
        for f in re.findall(r"<figure.*?</figure>", section(page, id), re.DOTALL)
    ]


def drawn_rows(page: str, id: str = "differences", place: int = 0) -> dict[str, ElementTree.Element]:
    """What a forest plot has for each row."""
    return {str(part.findtext("title")): part for part in drawn(page, id)[place].iter("g")}


def test_every_row_stands_in_both_tables_and_the_plot() -> None:
    """Title, model, command, method, notes and every row, played or not, are on the page."""
    page = render_page(results(*ROWS, row("late", note="Said of it."), left_out={"thinks": "Cannot."}))
    for told in ("A tiny experiment", "It is not an LLM.", "rlem reproduce tiny.toml", "Said of it.",
                 "10:20", "thinks", "Cannot.", "percentile bootstrap intervals"):  # fmt: skip
        assert told in page
    for name in ("alone", "with memory", "worse", "not yet", "late"):
        for id in ("table", "cost"):
            assert len(re.findall(rf'<tr[^>]*><th class="text" scope="row">{name}<', section(page, id))) == 1
    assert list(drawn_rows(page)) == ["with memory", "not yet"], "what is, or will be, compared"
    assert list(drawn_rows(page, place=1)) == ["worse"], "parts are folded"
    for id in ("table", "cost"):
        assert re.findall(r"<summary>(.*?)</summary>", section(page, id)) == [
            "Agents · 2 rows", "Retrieval · 2 rows", "Agents · 1 row",
        ], "a group begins where its name changes"  # fmt: skip
        assert section(page, id).count('<details class="group" open>') == 1


def test_contents_lead_to_what_is_there() -> None:
    """Each entry has its heading and each heading its entry; what has no numbers has no section."""
    for page in (render_page(results()), render_page(results(ROWS[0], FULL, training={5: GAIN, 10: GAIN}))):
        entries = re.findall(r'<a href="#(\w+)">', page)
        assert entries == re.findall(r'<h2 id="(\w+)">', page)
    assert {"stability", "training", "kinds", "kept", "memory"} <= set(entries)
    assert not {"stability", "training", "kinds", "kept", "memory"} & set(
        re.findall(r'<h2 id="(\w+)">', render_page(results()))
    )


def test_a_row_without_runs_is_missing_and_not_zero() -> None:
    """Its cells hold a dash, no number; the plot has words for it and no mark."""
    page = render_page(results())
    for line in re.findall(r'<tr class="missing">(.*?)</tr>', page, re.DOTALL):
        values = re.findall(r"<td[^>]*>(.*?)</td>", line)
        assert set(values) <= {"–", "0 of 3"}
    told = drawn_rows(page)["not yet"]
    assert told.find("circle") is None
    assert "no runs yet" in [text.text for text in told.iter("text")]
    assert len(drawn(page, "curves")) == 3, "no curve for it"
    assert "3 runs of 9 missing" in page
    assert "3 of 3 runs missing" in page
    assert "missing:" not in render_page(results(*ROWS[:3]))


def test_intervals_stand_where_the_axis_says() -> None:
    """By hand: gains reach from -0.2 to 0.3, so the axis runs from -20 to 40 points over 5 to 95 %: 0 is at
    35, -10 points at 20, +10 at 50, +30 at 80. Coloured is what interval and corrected test both say."""
    page = render_page(results(*ROWS, row("bad", gain=compared(-0.2, -0.2, -0.1, 0.06))))
    zero = next(line for line in drawn(page, "differences")[0].iter("line") if line.get("class") == "zero")
    assert zero.get("x1") == zero.get("x2") == "35.00%"
    ours = drawn_rows(page)["with memory"]
    line, dot = ours.find("line"), ours.find("circle")
    assert line is not None
    assert dot is not None
    assert (line.get("x1"), dot.get("cx"), line.get("x2")) == ("20.00%", "50.00%", "80.00%")
    assert line.get("y1") == line.get("y2") == dot.get("cy")
    assert "+10.0 (−10.0 to +30.0), p 0.400" in ["".join(text.itertext()) for text in ours.iter("text")]
    found = [text.text for text in drawn(page, "differences")[0].iter("text") if text.get("class") == "tick"]
    assert found == ["−20", "0", "20", "40"]
    assert ours.get("class") == drawn_rows(page)["bad"].get("class") == "row soft"
    assert drawn_rows(page, place=1)["worse"].get("class") == "row down"
    assert list(drawn_rows(page, "parts")) == ["worse"]
    assert drawn_rows(page, "parts")["worse"].get("class") == "row up"
    assert "p &lt; 0.001" in section(page, "table")


def test_curves_and_bands_stand_where_their_axes_say() -> None:
    """By hand: epochs 0 to 2 lie over 16 to 92 %, success 0 to 1 over 82 to 16 %; the band runs along the
    upper ends and back along the lower ones; rows tested once are not drawn."""
    page = render_page(results(ROWS[0], row("untrained", curve={0: span(0.5, 0.4, 0.6)})))
    (picture,) = drawn(page, "curves")
    dots = [(dot.get("cx"), dot.get("cy")) for dot in picture.iter("circle")]
    assert dots == [("16.00%", "65.50%"), ("54.00%", "49.00%"), ("92.00%", "16.00%")]
    (band,) = picture.iter("polygon")
    assert str(band.get("points")).split() == [
        "16.00,49.00", "54.00,32.50", "92.00,16.00", "92.00,16.00", "54.00,65.50", "16.00,82.00",
    ]  # fmt: skip
    lines = [line for line in picture.iter("line") if line.get("class") == "curve"]
    assert [line.get("x2") for line in lines] == ["54.00%", "92.00%"]


def test_what_belongs_to_one_row_is_shown() -> None:
    """Combinations as dots and as a matrix, kinds, what is kept, growing memory."""
    page = render_page(results(ROWS[0], row("fixed", gain_static=GAIN), FULL, static="fixed"))
    assert list(drawn_rows(page, "stability")) == ["E0, A", "E0, B", "E1, A", "E1, B"]
    told = section(page, "stability")
    assert "varies less than “fixed”" in told
    assert "4.0<br>" not in section(page, "table")
    assert "50.0 % ± 1.0 points (4 combinations) against 50.0 % ± 10.0 points" in told
    assert "ratio 0.10, difference of the two deviations −9.0 (−20.0 to −3.0)" in told
    assert section(page, "stability").count("50.0 %<br>") == 4
    assert "north" in section(page, "kinds")
    assert "75.0 %" in section(page, "kept")
    assert len(drawn(page, "kept")) == 1, "its curve is of other tasks than the others'"
    assert "with memory" not in section(page, "curves")
    assert 'class="base"' in section(page, "curves")
    assert 'class="base"' not in section(page, "kept")
    (picture,) = drawn(page, "memory")
    assert [dot.get("cy") for dot in picture.iter("circle")] == ["82.00%", "49.00%", "16.00%"]


def test_numbers_of_others_are_marked() -> None:
    """They stand only where they are known, beside ours, and are said not to be comparable."""
    page = render_page(results(row("alone"), row("Rememberer"), environment="wikihow"))
    told = section(page, "paper")
    assert MARK in told
    lines = re.findall(
        r'<tr><th class="text" scope="row">(.*?)<.*?</tr>', told.split("<tbody>")[1], re.DOTALL
    )
    assert lines == ["alone", "Rememberer", "Best before it", "Static exemplars", "Rememberer (A)"]
    cells = {
        name: re.findall(r"<td>(.*?)[<]", line)
        for name, line in zip(lines, re.findall(r"<tr>.*?</tr>", told, re.DOTALL)[1:], strict=True)
    }
    assert cells["alone"] == ["50.0 %", "–", "1.00", "–", "4.00", "–"]
    assert cells["Rememberer"] == ["50.0 %", "93.0 %", "1.00", "–", "4.00", "–"]
    assert cells["Static exemplars"] == ["–", "88.6 %", "–", "2.500", "–", "5.27"]
    assert section(render_page(results()), "paper") == ""
    assert {one.environment for one in PUBLISHED} == {"webshop", "wikihow"}
    shop = {(one.what, one.where): (one.success, one.score, one.steps) for one in published("webshop")}
    runs, own = "authors' runs, 100 goals", "reference point of WebShop's own paper"
    assert shop == {
        ("Best before it", "published headline, as restated"): (0.36, None, None),
        ("Rememberer", "published headline, as restated"): (0.39, None, None),
        ("ReAct", runs): (0.42, 0.716, 7.27),
        ("Rememberer", runs): (0.37, 0.663, 5.3),
        ("Rememberer, a later epoch", runs): (0.30, 0.634, 4.59),
        ("A rule", own): (0.096, None, None),
        ("The best trained model", own): (0.29, None, None),
        ("A human expert", own): (0.59, None, None),
    }
    assert [one.success for one in published("wikihow")] == [0.89, 0.93, 0.886, 0.914]
    for said in ("+4 and +2 points", "are a restatement", "±9.6 and ±6.0 points", "Their steps"):
        assert said in told
    assert "Theirs</th>" not in told


def episode(success: bool, steps: int, advice: list[AdviceRecord]) -> EpisodeRecord:
    """One play of a task."""
    told = StepRecord(observation=HOSTILE * 100, action="go[north]", reason=HOSTILE, advice=advice)
    return EpisodeRecord(
        phase="train", epoch=1, arm="memory", seed=0, agent="rememberer", task_id="t", status="terminated",
        instruction=HOSTILE, success=success, reward=float(success), steps=[told] * steps,
    )  # fmt: skip


def test_episodes_are_shortened_and_annotated() -> None:
    """Failure, what memory held of it, success, in this order; many steps and long pages are cut."""
    advice = AdviceRecord(key="k", similarity=0.9, task=HOSTILE, encouraged=[("go[south]", 0.75, 2)])
    chapters = [
        (Chapter(title="A failure", why="It failed.", position=0), episode(False, 20, [])),
        (Chapter(title="A success", why="It cites.", position=1), episode(True, 1, [advice])),
    ]
    story = Told(row="with memory", combination="none/A", seed=3, chapters=chapters, learned=[advice])
    told = section(render_page(results(), story=story), "episodes")
    assert re.findall(r"<h3>(.*?)</h3>", told) == [
        "A failure", "What memory held of the failed task", "A success",
    ]  # fmt: skip
    assert "none/A, seed 3" in told
    assert "Of up to 10 runs of the row" in told
    assert told.count("<pre>") == MOST_STEPS + 1
    assert "and 12 more steps" in told
    assert "more characters]" in told
    assert told.count("<b>0.75</b>") == 2
    assert "<script" not in told
    assert len(told) < 60_000


def test_foreign_text_is_escaped() -> None:
    """Names, groups, notes, titles and the command that hold markup are text on the page."""
    hostile = FULL.model_copy(update={"name": HOSTILE, "group": HOSTILE, "note": HOSTILE, "worth": GAIN})
    fields = ("title", "experiment", "environment", "model", "model_is", "test", "command", "whole", "static")
    changes = dict.fromkeys(fields, HOSTILE)
    page = render_page(results(hostile, **changes, baseline=HOSTILE, left_out={HOSTILE: HOSTILE}))
    assert "<script" not in page
    assert "<img" not in page
    assert "&lt;script&gt;" in page
    for id in ("differences", "parts", "stability", "kept"):
        assert len(drawn(page, id)) == 1, "and the pictures are well-formed"


def test_nothing_outside_is_named() -> None:
    """No address, outer link, script or import; the policy forbids all but the page's own style."""
    page = render_page(results())
    assert not re.search(r"https?:|//|<(script|link|img|iframe)|src=|href=\"[^#]|@import|url\(", page)
    assert "default-src 'none'; style-src 'unsafe-inline'" in page


def test_a_spread_has_its_interval_and_a_weak_interval_its_mark() -> None:
    """A spread of none may well be one; what says less than it seems has a sign, and the sign has words."""
    weak = Span(mean=0.5, low=0.4, high=0.6, note="7 tasks only: <too> narrow")
    page = section(render_page(results(row("alone", success=weak, spread=span(0.0, 0.0, 0.043)))), "table")
    assert '<td>0.0<br><span class="soft small">0.0 to 4.3</span></td>' in page
    assert '40.0 to 60.0<abbr title="7 tasks only: &lt;too&gt; narrow">†</abbr>' in page
    assert "<dt>†</dt><dd>The interval says less than it seems." in page


def test_curves_can_be_read_without_the_picture() -> None:
    """Below them the same numbers stand in a table; every table has a name and its heads a direction."""
    page = render_page(results(ROWS[0], FULL, training={5: GAIN, 10: GAIN}, environment="wikihow"))
    told = section(page, "curves")
    assert "<summary>The same as a table</summary>" in told
    assert "epoch 2</th>" in told
    assert '<td>25.0 %<br><span class="soft small">0.0 to 50.0</span></td>' in told
    assert "own" not in section(page, "training"), "a larger set may hold a smaller one"
    assert "<table>" not in page
    for table in re.findall(r"<table[^>]*>", page):
        assert "aria-label=" in table
    assert not re.search(r"<th(?![^>]*scope=)[ >]", page)


def test_costs_need_a_success() -> None:
    """1,200 tokens an episode with every second one solved are 2,400 a success; with none solved, a dash."""
    assert '2,400<i style="width:100.0%">' in section(render_page(results(ROWS[0])), "cost")
    assert "<td>$0.04</td>" in section(render_page(results(ROWS[0])), "cost")
    never = row("never", success=span(0.0, 0.0, 0.0))
    assert never.tokens_per_success is None
    assert '<td class="bar">–</td><td>–</td>' in render_page(results(never))


def test_a_page_of_nothing_played() -> None:
    """An experiment of which nothing is played has a page."""
    page = render_page(results(ROWS[3]))
    assert "No row can be compared" in page
    assert re.findall(r'<h2 id="(\w+)">', page) == ["says", "table", "differences", "cost", "obtained"]


def test_five_tasks_conclude_nothing() -> None:
    """Neither better nor perhaps better, however far from zero the interval; nor steadier."""
    few = {"mean": 0.4, "low": 0.2, "high": 0.6, "p_value": 0.0625, "p_adjusted": 0.0625, "exact": True}
    for tasks, place in ((5, 3), (6, 2)):
        gain = Compared.model_validate({**few, "tasks": tasks, "seeds": 2})
        one = row("with memory", gain=gain)
        assert len(findings(results(one))[HEADINGS[place]]) == 1


@pytest.mark.parametrize(
    ("low", "high", "tasks", "said"),
    [(-0.2, -0.1, 8, "varies less than"), (0.1, 0.2, 8, "varies more than"), (-0.1, 0.1, 8, "neither"),
     (-0.2, -0.1, 5, "neither")],
)  # fmt: skip
def test_steadier_is_less_spread(low: float, high: float, tasks: int, said: str) -> None:
    """A difference of spreads below zero is less, above it more; around it, or of few tasks, neither."""
    some = Span(mean=0.1, low=0.0, high=0.2)
    found = Stability(spread=some, static=some, difference=Span(mean=(low + high) / 2, low=low, high=high))
    one = FULL.model_copy(update={"stability": found, "tasks": tasks})
    assert said in stability_sentence(results(row("fixed"), one, static="fixed"), one)


AWKWARD = "*[100] % & _x_\n#1 $y$ {z} \\d ~ ^ <a> −"


def test_latex_compiles_in_principle() -> None:
    """One table a group, for booktabs, with model and n: environments nest, braces close, every line of a
    table has as many cells as it has columns, and what is special to LaTeX in a name is escaped."""
    weak = Span(mean=0.25, low=0.0, high=0.625, note="8 tasks only")
    few = row("one & only", "Training", tasks=6, success=weak)
    tex = to_latex(results(row(AWKWARD), *ROWS[1:], few))
    assert tex.startswith("% Needs")
    body = tex.partition("\n")[2]
    nested: list[str] = []
    for what, name in re.findall(r"\\(begin|end)\{(\w+)\}", body):
        if what == "begin":
            nested.append(name)
        else:
            assert nested.pop() == name
    assert nested == []
    plain = re.sub(r"\\[%&_#${}]", "", body)
    assert plain.count("{") == plain.count("}")
    assert not re.search(r"[%#_~^<>−]", plain)
    assert plain.count("$") % 2 == 0
    assert set(re.findall(r"\\([a-z]+)", plain)) <= {
        *("begin", "end", "centering", "footnotesize", "setlength", "tabcolsep", "caption", "toprule"),
        *("midrule", "bottomrule", "textless", "textgreater", "textbackslash", "textasciitilde"),
        "textasciicircum",
        "dag",
    }
    tables = re.findall(r"\\begin\{tabular\}\{(\w+)\}\n\\toprule\n(.*?)\\bottomrule", plain, re.DOTALL)
    assert len(tables) == 3
    for columns, lines in tables:
        for line in lines.replace("\\midrule\n", "").splitlines():
            assert line.endswith(r" \\")
            assert line.count("&") == len(columns) - 1
        assert columns == "lrrrrrrr"
    assert "{}*[100]" in body, "a bracket or star there would be taken for an option of the line before"
    assert "2 seeds, 95" in body
    assert r"one \& only & 6 & 25.0 [0.0, 62.5]\dag{} & 1.00 &" in body, "its own number of tasks"
    assert "Model: embedded. It is not an LLM." in body


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
