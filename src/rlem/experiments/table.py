"""The table of an experiment: rows with intervals, and paired differences from the baseline."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from rlem.experiments.cells import Cell
from rlem.experiments.schema import Experiment
from rlem.experiments.work import is_done, outcomes
from rlem.reports.statistics import METHOD, Values, mean_interval, paired_difference

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
    """One row: success and reward at the end; ``gain``: its success minus the baseline's, paired by task and
    seed; ``spread``: standard deviation of its success over initial experiences and training sets."""

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
    spread: float | None = None
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
                    note=row.note,
                    **mine.scores(),
                    gain=_gain(mine, baseline),
                    gain_static=_gain(mine, static),
                )
            )
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
        means = [_mean([v for (_, n), v in success.items() if n // _SEEDS == c]) for c in combinations]
        return {
            **told,
            "tasks": len({task for task, _ in self.last}),
            "seeds": len({number % _SEEDS for number in numbers}),
            "combinations": len(combinations),
            "success": _span(success),
            "reward": _span(self.values("reward")),
            "spread": _deviation(means) if len(means) > 1 else None,
            "steps": _mean([t["steps"] for t in self.last.values()]),
            "tokens": _mean([t["tokens"] for t in self.last.values()]),
            "broken": sum(t["broken"] for t in self.last.values()),
            "curve": {epoch: _mean(found) for epoch, found in sorted(self._curves.items())},
        }


def _gain(row: _Row, baseline: _Row | None) -> Span | None:
    """Paired by task and seed; each combination of a row meets the baseline's same seed."""
    if baseline is None or baseline is row or not baseline.last or not row.last:
        return None
    theirs: dict[tuple[str, int], list[float]] = {}
    for (task, number), value in baseline.values("success").items():
        theirs.setdefault((task, number % _SEEDS), []).append(value)
    ours = row.values("success")
    paired = {
        (task, number): _mean(theirs[task, number % _SEEDS])
        for task, number in ours
        if (task, number % _SEEDS) in theirs
    }
    interval = paired_difference(ours, paired).interval
    return Span(mean=interval.mean, low=interval.low, high=interval.high) if interval else None


def _span(values: Values) -> Span:
    interval = mean_interval(values)
    return Span(mean=interval.mean, low=interval.low, high=interval.high)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _deviation(values: Sequence[float]) -> float:
    middle = _mean(values)
    return float((sum((value - middle) ** 2 for value in values) / (len(values) - 1)) ** 0.5)


# -- forms of the table -----------------------------------------------------------------------------------

_HEAD = ("row", "success %", "95 %", "reward", "vs baseline", "95 %", "runs", "steps", "tokens")


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
    return "\n".join([*parts, "", *notes, *([""] if notes else []), f"{results.method}.", ""])


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
    return "\n".join(
        [rf"\begin{{tabular}}{{{columns}}}", r"\toprule", head, r"\midrule", *body, r"\bottomrule"]
        + [r"\end{tabular}", ""]
    )
