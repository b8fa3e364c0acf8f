"""The table of an experiment: rows with intervals, and paired differences from the baseline."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from rlem.evidence.comparison import spread_interval
from rlem.evidence.exact import holm, sign_flip_test
from rlem.evidence.intervals import (
    METHOD,
    Interval,
    Values,
    interquartile_mean_interval,
    mean_interval,
    paired_difference,
)
from rlem.evidence.power import detectable_effect, observed_variation
from rlem.experiments.cells import Cell
from rlem.experiments.schema import Experiment
from rlem.experiments.work import is_done, outcomes

_SEEDS = 1000
"""A combination and a seed are one number: combination * _SEEDS + seed."""


class _Result(BaseModel):
    model_config = ConfigDict(frozen=True)


class Span(_Result):
    """A mean with its 95 % interval."""

    mean: float
    low: float
    high: float


class RowResult(_Result):
    """One row: success and reward at the end.

    ``gain``, ``gain_static``: its success minus the baseline's and the static row's, paired by task and seed.
    ``p_value``: exact sign-flip test over tasks against the baseline; ``p_adjusted``: the same, corrected for
    the number of rows (Holm). ``detectable``: the smallest gain that so many tasks and seeds find in four of
    five cases. ``middle``: mean reward of the middle half. ``spread``: standard deviation of success over
    initial experiences and training sets, freed of sampling noise.
    """

    name: str
    group: str
    note: str
    cells: int
    missing: int
    tasks: int = 0
    seeds: int = 0
    combinations: int = 0
    success: Span | None = None
    reward: Span | None = None
    gain: Span | None = None
    gain_static: Span | None = None
    p_value: float | None = None
    p_adjusted: float | None = None
    detectable: float | None = None
    middle: Span | None = None
    spread: Span | None = None
    steps: float | None = None
    tokens: float | None = None
    broken: int = 0
    curve: dict[int, float] = {}


class Results(_Result):
    """What an experiment gave so far."""

    experiment: str
    title: str
    environment: str
    model: str
    model_is: str
    test: str
    baseline: str
    method: str = METHOD
    rows: tuple[RowResult, ...]


def gather(
    experiment: Experiment, cells: Sequence[Cell], folder: Path, *, model: str, model_is: str, test: str
) -> Results:
    """The table of the cells that are done."""
    by_row: dict[str, list[Cell]] = {}
    for cell in cells:
        by_row.setdefault(cell.row, []).append(cell)
    played = {name: _Row(own, folder) for name, own in by_row.items()}
    baseline, static = played.get(experiment.baseline), played.get(experiment.static)
    rows = []
    for row in experiment.rows:
        if row.name in played:
            mine = played[row.name]
            rows.append(
                RowResult(
                    name=row.name,
                    group=row.group,
                    note=row.said,
                    **mine.scores(),
                    **_against(mine, baseline),
                    gain_static=_against(mine, static).get("gain"),
                )
            )
    tested = {row.name: row.p_value for row in rows if row.p_value is not None}
    adjusted = holm(tested)
    rows = [row.model_copy(update={"p_adjusted": adjusted.get(row.name)}) for row in rows]
    return Results(
        experiment=experiment.name,
        title=experiment.title,
        environment=experiment.environment,
        model=model,
        model_is=model_is,
        test=test,
        baseline=experiment.baseline,
        rows=tuple(rows),
    )


class _Row:
    """The outcomes of a row's cells, after the last epoch."""

    def __init__(self, cells: Sequence[Cell], folder: Path) -> None:
        self.done = [cell for cell in cells if is_done(folder, cell)]
        self.missing = len(cells) - len(self.done)
        names = sorted({cell.combination for cell in cells})
        self.last: dict[tuple[str, int], Mapping[str, Any]] = {}
        self._curves: dict[int, list[float]] = {}
        for cell in self.done:
            number = names.index(cell.combination) * _SEEDS + cell.seed
            epochs = outcomes(folder, cell)
            for task, told in epochs[max(epochs)].items():
                self.last[task, number] = told
            for epoch, tasks in epochs.items():
                self._curves.setdefault(epoch, []).append(_mean([t["success"] for t in tasks.values()]))

    def values(self, what: str) -> Values:
        """One number of each outcome."""
        return {key: float(told[what]) for key, told in self.last.items()}

    def scores(self) -> dict[str, Any]:
        """The fields of its result."""
        told: dict[str, Any] = {"cells": len(self.done), "missing": self.missing}
        if not self.last:
            return told
        numbers = {number for _, number in self.last}
        combinations = {number // _SEEDS for number in numbers}
        success = self.values("success")
        arms = [
            {(task, n % _SEEDS): v for (task, n), v in success.items() if n // _SEEDS == c}
            for c in sorted(combinations)
        ]
        return {
            **told,
            "tasks": len({task for task, _ in self.last}),
            "seeds": len({number % _SEEDS for number in numbers}),
            "combinations": len(combinations),
            "success": _span(success),
            "reward": _span(self.values("reward")),
            "middle": _as_span(interquartile_mean_interval(self.values("reward"))),
            "spread": _as_span(spread_interval(arms)) if _comparable(arms) else None,
            "steps": _mean([t["steps"] for t in self.last.values()]),
            "tokens": _mean([t["tokens"] for t in self.last.values()]),
            "broken": sum(t["broken"] for t in self.last.values()),
            "curve": {epoch: _mean(found) for epoch, found in sorted(self._curves.items())},
        }


def _against(row: _Row, baseline: _Row | None) -> dict[str, Any]:
    """Gain, test and detectable gain, paired by task and seed: each combination of a row meets the baseline's
    same seed."""
    if baseline is None or baseline is row or not baseline.last or not row.last:
        return {}
    theirs: dict[tuple[str, int], list[float]] = {}
    for (task, number), value in baseline.values("success").items():
        theirs.setdefault((task, number % _SEEDS), []).append(value)
    ours = row.values("success")
    other = {
        (task, number): _mean(theirs[task, number % _SEEDS])
        for task, number in ours
        if (task, number % _SEEDS) in theirs
    }
    interval = paired_difference(ours, other).interval
    if interval is None:
        return {}
    told: dict[str, Any] = {"gain": _as_span(interval), "p_value": sign_flip_test(ours, other).p_value}
    differences = {key: ours[key] - other[key] for key in other}
    seeds = {seed for _, seed in differences}
    whole = [t for t in {t for t, _ in differences} if all((t, seed) in differences for seed in seeds)]
    if len(whole) > 1:
        variation = observed_variation(differences)
        told["detectable"] = detectable_effect(variation, tasks=len(whole), seeds=len(seeds))
    return told


def _comparable(arms: Sequence[Values]) -> bool:
    """Whether there are two arms or more, with two tasks or more that all of them have."""
    shared = set.intersection(*({task for task, _ in arm} for arm in arms))
    return len(arms) > 1 and len(shared) > 1 and len({frozenset(arm) for arm in arms}) == 1


def _span(values: Values) -> Span:
    return _as_span(mean_interval(values))


def _as_span(interval: Interval) -> Span:
    return Span(mean=interval.estimate, low=interval.low, high=interval.high)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


# -- forms of the table -----------------------------------------------------------------------------------

_HEAD = (
    *("row", "success %", "95 %", "reward", "vs baseline", "95 %", "p (Holm)", "detectable", "spread"),
    *("runs", "steps", "tokens"),
)


def _lines(results: Results) -> list[tuple[str, ...]]:
    lines: list[tuple[str, ...]] = []
    for row in results.rows:
        success, reward, gain = row.success, row.reward, row.gain
        lines.append(
            (
                row.name,
                f"{success.mean:.1%}"[:-1] if success else "",
                f"{100 * success.low:.1f} to {100 * success.high:.1f}" if success else "",
                f"{reward.mean:.2f}" if reward else "",
                f"{100 * gain.mean:+.1f}" if gain else "",
                f"{100 * gain.low:+.1f} to {100 * gain.high:+.1f}" if gain else "",
                f"{row.p_adjusted:.3f}" if row.p_adjusted is not None else "",
                f"{100 * row.detectable:.1f}" if row.detectable is not None else "",
                f"{100 * row.spread.mean:.1f}" if row.spread else "",
                f"{row.cells}" + (f" of {row.cells + row.missing}" if row.missing else ""),
                f"{row.steps:.1f}" if row.steps is not None else "",
                f"{row.tokens:,.0f}" if row.tokens is not None else "",
            )
        )
    return lines


def to_markdown(results: Results) -> str:
    """The table with what it is about above and below it."""
    parts = [
        f"# {results.title or results.experiment}",
        "",
        f"Model: {results.model_is} Test tasks: {results.test}. Baseline: {results.baseline}.",
    ]
    group = None
    for row, line in zip(results.rows, _lines(results), strict=True):
        if row.group != group:
            group = row.group
            parts += ["", f"## {group}", "", f"| {' | '.join(_HEAD)} |", "|---" * len(_HEAD) + "|"]
        parts.append(f"| {' | '.join(line)} |")
    notes = [f"- {row.name}: {row.note}" for row in results.rows if row.note]
    said = (
        f"{results.method}. p: exact sign-flip test over tasks against the baseline, corrected for the "
        "number of rows (Holm). detectable: the gain in points that so many tasks and seeds find in four of "
        "five cases. spread: standard deviation of success over initial experiences and training sets, in "
        "points, freed of sampling noise."
    )
    return "\n".join([*parts, "", *notes, *([""] if notes else []), said, ""])


def to_csv(results: Results) -> str:
    """One line a row, numbers plain."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(_HEAD)
    writer.writerows(_lines(results))
    return stream.getvalue()


def to_latex(results: Results) -> str:
    """A tabular for booktabs."""
    escape = str.maketrans({"%": r"\%", "&": r"\&", "_": r"\_", "#": r"\#"})
    body = [" & ".join(cell.translate(escape) for cell in line) + r" \\" for line in _lines(results)]
    head = " & ".join(cell.translate(escape) for cell in _HEAD) + r" \\"
    columns = "l" + "r" * (len(_HEAD) - 1)
    top = (rf"\begin{{tabular}}{{{columns}}}", r"\toprule", head, r"\midrule")
    return "\n".join([*top, *body, r"\bottomrule", r"\end{tabular}", ""])
