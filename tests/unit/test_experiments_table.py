"""The table of an experiment from outcomes written by hand: pairs, families, curves, what is kept, forms."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from rlem.evidence.power import corrected_effect, detectable_effect, observed_variation
from rlem.experiments.cells import Cell, Ready, cells_of
from rlem.experiments.findings import (
    HEADINGS,
    LEGEND,
    findings,
    kept_sentence,
    kinds_sentence,
    power_sentence,
    stability_sentence,
    verdict,
)
from rlem.experiments.forms import to_csv, to_latex, to_markdown
from rlem.experiments.results import Results
from rlem.experiments.schema import Experiment, parse
from rlem.experiments.table import gather
from rlem.experiments.work import DONE, VERSION

TEXT = """
name = "tiny"
environment = "corridor"
baseline = "alone"
static = "fixed"
whole = "with memory"
train = ["A", "B"]
initial = ["E0", "E1"]

[size]
seeds = 2
epochs = 1

[[initials]]
name = "E0"
tasks = "8:9"

[[initials]]
name = "E1"
tasks = "9:10"

[[rows]]
name = "alone"
agent = "llm-only"

[[rows]]
name = "fixed"
agent = "static"

[[rows]]
name = "with memory"
curve = true

[[rows]]
name = "one & only"
group = "Retrieval"
agent_options = { k = 1 }
note = "One exemplar at most."

[[rows]]
name = "more tasks"
group = "Training"
train = ["C"]

[[rows]]
name = "unseen"
group = "Training"
initial = ["none"]
train = ["A"]
unseen = ["north", "south"]

[[rows]]
name = "kept"
group = "Training"
initial = ["none"]
train = ["A"]
later = ["B"]
retest = true
curve = true
"""
TASKS = [f"t{i}" for i in range(8)]


@pytest.fixture
def tiny() -> Experiment:
    """The experiment above."""
    return parse(TEXT, "tiny.toml")


@pytest.fixture
def cells(tiny: Experiment) -> list[Cell]:
    """Its cells."""
    initials = {name: Ready(path=Path("x"), digest=name) for name in ("E0", "E1")}
    return cells_of(tiny, tiny.size, initials=initials)


def outcome(folder: Path, cell: Cell, *epochs: Mapping[str, float], cost: float | None = 0.01) -> None:
    """A finished cell with these successes after each epoch, the last ones at the end; 100 tokens each."""
    place = folder / "cells" / cell.key
    place.mkdir(parents=True)
    told = {"steps": 3, "calls": 2, "tokens": 100, "cost_usd": cost, "broken": False}
    found = {
        epoch: {
            task: {"success": v, "reward": v, "memory_size": 10 * (epoch + 1), **told}
            | {"kind": "north" if task in TASKS[:4] else "south"}
            for task, v in tasks.items()
        }
        for epoch, tasks in enumerate(epochs)
    }
    (place / DONE).write_text(json.dumps({"version": VERSION, "epochs": found}))


def solved(number: int) -> dict[str, float]:
    """The first so many tasks solved, the others not."""
    return {task: float(index < number) for index, task in enumerate(TASKS)}


def table(tiny: Experiment, cells: list[Cell], folder: Path, **more: object) -> Results:
    """What is gathered."""
    told = {"model": "embedded", "model_is": "A program.", "test": "0:8", **more}
    return gather(tiny, cells, folder, **told)  # type: ignore[arg-type]


@pytest.fixture
def results(tiny: Experiment, cells: list[Cell], tmp_path: Path) -> Results:
    """Alone 2 of 8; fixed 2 with E0, 6 with E1; with memory all 8 but 7 with E0; its part-less row 4."""
    for cell in cells:
        first = cell.initial == "E0"
        if cell.row == "alone":
            outcome(tmp_path, cell, solved(2))
        elif cell.row == "fixed":
            outcome(tmp_path, cell, solved(2 if first else 6))
        elif cell.row == "with memory":
            outcome(tmp_path, cell, solved(2), solved(7 if first else 8))
        elif cell.row == "unseen":
            own = TASKS[:4] if cell.unseen == "north" else TASKS[4:]
            outcome(tmp_path, cell, dict.fromkeys(own, 1.0))
        elif cell.row == "kept":
            early = {f"a{i}": 1.0 for i in range(6)}
            outcome(tmp_path, cell, dict.fromkeys(early, 0.0), early, {**early, "a0": 0.0, "a1": 0.0})
        else:
            outcome(tmp_path, cell, solved(4), cost=None)
    return table(
        tiny,
        cells,
        tmp_path,
        data="made up",
        command="rlem reproduce tiny.toml",
        left_out={"thinks": "a program cannot", "plans": "a program cannot"},
        training={"A": 10, "B": 10, "C": 40},
    )


def test_gains_are_paired_by_task_and_seed(results: Results) -> None:
    """By hand: with memory solves 7.5 of 8, alone 2: five tasks gained everywhere, one in half of the runs;
    all 6 point one way, so p is 2 of 2^6 sign patterns."""
    row = results.row("with memory")
    assert row is not None
    assert row.gain is not None
    assert row.gain.mean == pytest.approx(5.5 / 8)
    assert row.gain.p_value == pytest.approx(2 / 2**6)
    assert row.gain.exact
    assert (row.gain.tasks, row.gain.seeds, row.gain.runs) == (8, 2, 8)
    assert row.gain.detectable is not None
    assert results.row("alone").gain is None  # type: ignore[union-attr]
    assert row.sensitivity == row.gain.detectable


def test_static_exemplars_are_met_by_the_same_initial_experience(results: Results) -> None:
    """By hand: E0 against E0 gains 5 tasks, E1 against E1 two; not each against the mean of both."""
    row = results.row("with memory")
    assert row is not None
    assert row.gain_static is not None
    assert row.gain_static.mean == pytest.approx((5 + 2) / 2 / 8)
    assert row.gain_static.p_value == pytest.approx(2 / 2**6), "tasks 2 to 7 gain, each in some pair"


def test_the_worth_of_a_part_is_the_whole_minus_the_row(results: Results) -> None:
    """Rows outside of the group of agents have it, with the sign turned; agents have none."""
    row = results.row("one & only")
    assert row is not None
    assert row.worth is not None
    assert row.worth.mean == pytest.approx((7.5 - 4) / 8)
    assert 0 < row.worth.low < row.worth.mean < row.worth.high
    assert row.sensitivity == row.worth.detectable
    assert row.against == "with memory"
    assert all(found.worth is None for found in results.rows if found.group == "Agents")


def test_p_values_are_corrected_within_their_family(results: Results) -> None:
    """Holm by hand: the smallest of m p-values is m times itself; families do not mix."""
    for family in ("gain", "gain_static", "worth"):
        tested = [found for row in results.rows if (found := getattr(row, family))]
        least = min(tested, key=lambda found: found.p_value)
        assert len(tested) > 1
        assert least.p_adjusted == pytest.approx(min(1.0, len(tested) * least.p_value))
        assert {found.comparisons for found in tested} == {len(tested)}


def test_what_would_be_seen_is_what_the_corrected_test_sees(results: Results) -> None:
    """By hand: a claim of one of m = 5 needs the level .05 / 5, so 2.576 + .842 standard errors in place of
    1.960 + .842; the kinds' four tasks cannot reach .05 / 2 even if all point one way: 2^-3 > .025."""
    row = results.row("one & only")
    assert row is not None
    assert row.gain is not None
    differences = {(task, n): float(2 <= i < 4) for i, task in enumerate(TASKS) for n in range(8)}
    alone = detectable_effect(observed_variation(differences), tasks=8, seeds=8)
    assert row.gain.comparisons == 5
    assert row.gain.detectable == pytest.approx(alone * (2.57583 + 0.84162) / (1.95996 + 0.84162), rel=1e-4)
    for kind in results.row("unseen").kinds:  # type: ignore[union-attr]
        for compared in (kind.gain, kind.gain_trained):
            assert compared is not None
            assert compared.detectable is None
    told = findings(results)[HEADINGS[3]]
    assert all(
        ("with so few tasks no difference can be seen" in claim) == ("kind" in claim) for claim in told
    )
    assert corrected_effect(0.1, comparisons=30, tasks=11) is not None
    assert corrected_effect(0.1, comparisons=30, tasks=10) is None, "30 / 2^9 > .05"


def test_an_interval_that_says_less_than_it_seems_is_marked(results: Results) -> None:
    """Eight tasks are few, and so marked in every form, with words; one seed alone is said, too."""
    row = results.row("with memory")
    assert row is not None
    assert row.gain is not None
    assert row.success is not None
    assert row.success.note == row.gain.note == "8 tasks only: the interval is somewhat too narrow"
    claims = [claim for told in findings(results).values() for claim in told]
    assert all(")†, corrected p " in claim for claim in claims)
    assert "25.0 | 0.0 to 62.5† |" in to_markdown(results)
    assert f"†: {LEGEND}" in to_markdown(results)
    assert r"25.0 [0.0, 62.5]\dag{}" in to_latex(results)
    assert r" \dag{}: the interval says less" in to_latex(results)


def test_one_run_says_nothing_of_others(tiny: Experiment, cells: list[Cell], tmp_path: Path) -> None:
    """Its interval is about tasks alone, and says so."""
    outcome(tmp_path, cells[0], solved(2))
    row = table(tiny, cells, tmp_path).rows[0]
    assert row.success is not None
    assert kinds_sentence(table(tiny, cells, tmp_path), row).endswith("On the same tasks: the baseline.")
    assert row.success.note.endswith("; one run only: the interval says nothing of other runs")


def test_better_and_the_middle_half(results: Results) -> None:
    """By hand: two ties, five tasks won, the last won by half of the runs; of rewards 60 in 64 are 1, so the
    middle half is all ones, which the mean is not."""
    row = results.row("with memory")
    assert row is not None
    assert row.improvement is not None
    assert row.improvement.mean == pytest.approx((2 * 0.5 + 5 + 0.75) / 8)
    assert row.middle is not None
    assert row.reward is not None
    assert (row.middle.mean, row.reward.mean) == (1.0, 60 / 64)


def test_the_last_epoch_of_a_curve_is_the_row(results: Results) -> None:
    """One number has one interval, wherever it stands."""
    row = results.row("with memory")
    assert row is not None
    assert row.curve[1] == row.success


def test_rows_meet_on_the_same_training_set(tiny: Experiment, cells: list[Cell], tmp_path: Path) -> None:
    """A against A and B against B differ nowhere; each against the mean of both would."""
    for cell in cells:
        if cell.row in ("with memory", "one & only"):
            done = solved(8 if cell.train == "A" else 4)
            outcome(tmp_path, cell, done, done) if cell.row == "with memory" else outcome(
                tmp_path, cell, done
            )
    row = table(tiny, cells, tmp_path).row("one & only")
    assert row is not None
    assert row.worth is not None
    assert (row.worth.low, row.worth.mean, row.worth.high) == (0.0, 0.0, 0.0)


PEER = """
[[rows]]
name = "seen"
group = "Training"
initial = ["none"]
train = ["A"]
"""


@pytest.mark.parametrize(("played", "other", "share"), [(True, "seen", 0.5), (False, "with memory", 1.0)])
def test_unseen_kinds_meet_what_was_trained_on_the_same_tasks(
    tmp_path: Path, played: bool, other: str, share: float
) -> None:
    """The row of the same method and training set, where it is played; else the whole method, and the
    findings say that it was trained on other tasks."""
    experiment = parse(TEXT + PEER, "tiny.toml")
    initials = {name: Ready(path=Path("x"), digest=name) for name in ("E0", "E1")}
    cells = cells_of(experiment, experiment.size, initials=initials)
    for cell in cells:
        if cell.row == "unseen":
            outcome(tmp_path, cell, dict.fromkeys(TASKS[:4] if cell.unseen == "north" else TASKS[4:], 0.0))
        elif cell.row == "seen" and played:
            outcome(tmp_path, cell, solved(4) | {"t0": 0.0, "t1": 0.0})
        elif cell.row in ("alone", "with memory"):
            outcome(tmp_path, cell, solved(8 if cell.row == "with memory" else 0))
    results = table(experiment, cells, tmp_path)
    row = results.row("unseen")
    assert row is not None
    assert (row.against, row.same_training) == (other, played)
    north = row.kinds[0]
    assert north.trained is not None
    assert north.gain_trained is not None
    assert (north.trained.mean, north.gain_trained.mean) == (share, -share)
    assert north.gain_trained.p_adjusted is not None
    assert row.worth is not None
    assert row.worth.mean == pytest.approx(share / 2 if played else 1.0)
    claims = [claim for told in findings(results).values() for claim in told]
    (told,) = [claim for claim in claims if "kind north, against" in claim and "alone" not in claim]
    assert ("“seen”" in told) == played
    assert ("the whole method (trained on other tasks)" in told) == (not played)
    assert ("another training set" in kinds_sentence(results, row)) == (not played)
    assert "vs all kinds" in to_markdown(results)


def test_stability_is_a_difference_of_spreads(results: Results) -> None:
    """Success of each combination by hand; the row spreads less than the static one, and words say so."""
    row = results.row("with memory")
    assert row is not None
    assert row.stability is not None
    assert row.stability.static.mean > row.stability.spread.mean
    assert row.stability.difference.mean < 0
    assert {(c.initial, c.train): c.success.mean for c in row.combinations} == {
        ("E0", "A"): 7 / 8, ("E0", "B"): 7 / 8, ("E1", "A"): 1.0, ("E1", "B"): 1.0,
    }  # fmt: skip
    assert row.stability.ratio == row.stability.spread.mean / row.stability.static.mean < 1
    assert "“with memory” varies" in stability_sentence(results, row)
    assert stability_sentence(results, results.rows[0]) == ""


def test_kinds_are_compared_on_their_own_tasks(results: Results) -> None:
    """By hand: of the northern tasks the baseline solves two of four, of the southern none."""
    row = results.row("unseen")
    assert row is not None
    assert [(k.kind, k.tasks, k.success.mean) for k in row.kinds] == [("north", 4, 1.0), ("south", 4, 1.0)]
    north, south = row.kinds
    assert north.baseline is not None
    assert north.gain is not None
    assert (north.baseline.mean, north.gain.mean) == (0.5, 0.5)
    assert south.gain is not None
    assert south.gain.mean == 1.0
    assert south.gain_trained is not None
    assert south.gain_trained.mean == pytest.approx(1 / 8)
    assert south.gain_trained.p_adjusted == 1.0
    assert row.tasks == 8, "kinds are one row"
    assert south.gain.p_adjusted == pytest.approx(2 * south.gain.p_value)


def test_what_is_forgotten_is_own_minus_later(results: Results) -> None:
    """By hand: six of six early tasks after their own training, four of six after later training."""
    row = results.row("kept")
    assert row is not None
    assert row.kept is not None
    assert row.kept.own.mean == 1.0
    assert row.kept.later.mean == pytest.approx(4 / 6)
    assert row.kept.forgotten.mean == pytest.approx(2 / 6)
    assert row.gain is None, "the baseline never played these tasks"
    assert "forgotten: +33.3 points" in kept_sentence(row)
    assert kept_sentence(row).endswith(", p 0.500, not corrected.")


def test_curves_and_memory_by_epoch(results: Results) -> None:
    """Rows tested once have no curve; sizes of memory come with the epochs; agents without one have none."""
    row = results.row("with memory")
    assert row is not None
    assert [span.mean for span in row.curve.values()] == [2 / 8, 7.5 / 8]
    assert row.memory == {0: 10.0, 1: 20.0}
    assert row.memory_size == 20.0
    assert results.rows[0].curve == {}
    assert results.rows[0].memory_size is None


def test_the_number_of_training_tasks_is_what_differs(results: Results) -> None:
    """Only rows that are the whole method but for their training set stand in the curve."""
    assert {tasks: span.mean for tasks, span in results.training.items()} == {10: 7.5 / 8, 40: 0.5}


def test_costs_over_successes(results: Results) -> None:
    """100 tokens and a cent an episode with a quarter solved; an unknown price stays unknown."""
    row, other = results.rows[0], results.row("one & only")
    assert row.tokens_per_success == pytest.approx(400.0)
    assert row.cost_per_success == pytest.approx(0.04)
    assert other is not None
    assert other.cost_usd is None
    assert other.cost_per_success is None


@pytest.mark.parametrize(
    ("low", "high", "p_adjusted", "heading"),
    [(0.1, 0.3, 0.05, 0), (-0.3, -0.1, 0.0001, 1), (0.1, 0.3, 0.06, 2), (-0.1, 0.3, 0.01, 2),
     (-0.1, 0.3, 0.06, 3), (0.0, 0.3, 0.06, 3)],
)  # fmt: skip
def test_a_finding_needs_interval_and_corrected_test(
    results: Results, low: float, high: float, p_adjusted: float, heading: int
) -> None:
    """Both: sure; one of them: perhaps; neither: not seen, with what would have been."""
    row = results.row("with memory")
    assert row is not None
    assert row.gain is not None
    changed = {"mean": (low + high) / 2, "low": low, "high": high, "p_adjusted": p_adjusted}
    changed |= {"p_value": 0.001, "detectable": 0.125}
    gain = row.gain.model_copy(update=changed)
    one = row.model_copy(update={"gain": gain, "gain_static": None})
    only = results.model_copy(update={"rows": (one,)})
    found = findings(only)
    assert tuple(found) == HEADINGS
    assert [len(claims) for claims in found.values()] == [int(place == heading) for place in range(4)]
    (claim,) = found[HEADINGS[heading]]
    assert claim.startswith("“with memory” against “alone”: ")
    assert ("; to be seen it takes at least about 12.5" in claim) == (heading == 3)
    assert ("p < 0.001" in claim) == (p_adjusted < 0.0005)
    assert verdict(only).count("none") == (1 if heading < 2 else 2)


def test_every_comparison_is_told_once(results: Results) -> None:
    """Agents against baseline and static, parts against the whole, kinds against the baseline and the
    whole."""
    claims = [claim for told in findings(results).values() for claim in told]
    assert len(claims) == len(set(claims)) == (1 + 2) + 3 + 2 * 2
    assert "With 8 tasks and 2 to 8 runs a row" in power_sentence(results)
    assert "by the test corrected for" in power_sentence(results)


def test_forms_have_every_number(results: Results) -> None:
    """Markdown has rows, kinds, curves, what was left out and the command; CSV the numbers in full, one line
    a row."""
    text = to_markdown(results)
    for told in (
        "| alone | 8 | 25.0 |", "| 1.00 [1.00, 1.00]† |", "p (Holm) |",
        "One exemplar at most.", "A program.", "thinks, plans: a program cannot.",
        "rlem reproduce tiny.toml", "made up", "| kept | 0.0 [0.0, 0.0]† |", "| 40 | 50.0 |", "south",
        "forgotten", results.code,
    ):  # fmt: skip
        assert told in text
    lines = list(csv.DictReader(io.StringIO(to_csv(results))))
    assert [line["name"] for line in lines] == [row.name for row in results.rows]
    row = results.row("with memory")
    assert row is not None
    assert row.gain is not None
    assert float(lines[2]["gain_low"]) == row.gain.low
    assert float(lines[2]["gain_p_adjusted"]) == row.gain.p_adjusted
    assert lines[0]["gain_mean"] == ""


def test_rows_without_runs_have_blanks(tiny: Experiment, cells: list[Cell], tmp_path: Path) -> None:
    """Not zeros; a spread, a gain or a curve that cannot be known is not there; all forms can be made."""
    outcome(tmp_path, cells[0], solved(2))
    results = table(tiny, cells, tmp_path)
    assert (results.rows[0].cells, results.rows[0].missing) == (1, 1)
    empty = results.rows[2]
    assert empty.missing == 8
    assert empty.success is None
    assert "| with memory |  |  |  |" in to_markdown(results)
    assert to_csv(results).count("\n") == 1 + len(results.rows)
    assert "with memory &  &  &  &" in to_latex(results)
    assert verdict(results) == "No row can be compared with the baseline yet."
    assert power_sentence(results) == ""
    assert results.training == {}


def test_equal_rows_show_no_power(tiny: Experiment, cells: list[Cell], tmp_path: Path) -> None:
    """Where no outcome differs, what could have been seen is unknown, not nothing."""
    for cell in cells:
        if cell.row in ("alone", "with memory"):
            outcome(tmp_path, cell, solved(2))
    row = table(tiny, cells, tmp_path).row("with memory")
    assert row is not None
    assert row.gain is not None
    assert (row.gain.mean, row.gain.p_value, row.gain.detectable) == (0.0, 1.0, None)
