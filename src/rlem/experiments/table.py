"""The table of an experiment: rows with intervals, and paired differences between them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import rlem
from rlem.agents.base import MEMORY_AGENTS
from rlem.evidence.comparison import improvement_probability, spread_interval, stability
from rlem.evidence.exact import holm, sign_flip_test
from rlem.evidence.intervals import (
    Interval,
    Values,
    interquartile_mean_interval,
    mean_interval,
    paired,
)
from rlem.evidence.power import corrected_effect, detectable_effect, observed_variation
from rlem.experiments.cells import Cell, code_version
from rlem.experiments.results import (
    COARSE,
    Combination,
    Compared,
    Kept,
    Kind,
    Results,
    RowResult,
    Span,
    Stability,
)
from rlem.experiments.schema import Experiment, Row
from rlem.experiments.work import Outcome, is_done, outcomes

_Item = TypeVar("_Item", RowResult, Kind)

_SEEDS = 1000
"""A combination and a seed are one number: combination * _SEEDS + seed."""


def gather(
    experiment: Experiment,
    cells: Sequence[Cell],
    folder: Path,
    *,
    model: str,
    model_is: str,
    test: str,
    data: str = "",
    command: str = "",
    left_out: Mapping[str, str] | None = None,
    training: Mapping[str, int] | None = None,
) -> Results:
    """The table of the cells that are done.

    ``left_out``: rows without cells, and why. ``training``: how many tasks each training set has.
    """
    by_row: dict[str, list[Cell]] = {}
    for cell in cells:
        by_row.setdefault(cell.row, []).append(cell)
    played = {row.name: _Row(row, by_row[row.name], folder) for row in experiment.rows if row.name in by_row}
    baseline, static, whole = map(played.get, (experiment.baseline, experiment.static, experiment.whole))
    rows = [_result(row, baseline, static, _against(row, played, whole)) for row in played.values()]
    return Results(
        experiment=experiment.name,
        title=experiment.title,
        environment=experiment.environment,
        data=data,
        model=model,
        model_is=model_is,
        test=test,
        baseline=experiment.baseline,
        static=experiment.static,
        whole=experiment.whole,
        command=command,
        code=code_version(),
        version=rlem.__version__,
        rows=tuple(_corrected(rows)),
        left_out=dict(left_out or {}),
        training=_by_tasks(whole, played, rows, training or {}),
    )


class _Row:
    """The outcomes of a row's cells. Cells of different unseen kinds share no task: they are one run."""

    def __init__(self, row: Row, cells: Sequence[Cell], folder: Path) -> None:
        self.row = row
        self.done = [cell for cell in cells if is_done(folder, cell)]
        self.missing = len(cells) - len(self.done)
        self.pairs = list(dict.fromkeys((cell.initial, cell.train) for cell in cells))
        self.last: dict[tuple[str, int], Outcome] = {}
        self.epochs: dict[int, dict[tuple[str, int], Outcome]] = {}
        for cell in self.done:
            number = self.pairs.index((cell.initial, cell.train)) * _SEEDS + cell.seed
            found = outcomes(folder, cell)
            for epoch, tasks in found.items():
                self.epochs.setdefault(epoch, {}).update(
                    {(task, number): told for task, told in tasks.items()}
                )
            self.last.update({(task, number): told for task, told in found[max(found)].items()})

    def values(
        self, what: str, keep: Callable[[Outcome], bool] | None = None
    ) -> dict[tuple[str, int], float]:
        """One number of each outcome at the end."""
        return {key: float(told[what]) for key, told in self.last.items() if keep is None or keep(told)}

    def arms(self) -> dict[tuple[str, str], Values]:
        """Success by combination, of (task, seed)."""
        found: dict[tuple[str, str], Values] = {}
        success = self.values("success")
        for index, pair in enumerate(self.pairs):
            own = {(task, n % _SEEDS): v for (task, n), v in success.items() if n // _SEEDS == index}
            if own:
                found[pair] = own
        return found

    def mean(self, what: str) -> float | None:
        """Mean of an episode at the end; None where it is not known of all."""
        return _mean([told.get(what) for told in self.last.values()])


def _against(row: _Row, played: Mapping[str, _Row], whole: _Row | None) -> _Row | None:
    """What a row is compared with: the whole method. Of unseen kinds, what differs in nothing but having been
    trained on all kinds, where that is played: another training set makes a difference of its own."""
    seeing = _method(row.row.model_copy(update={"unseen": ()}))
    same = (
        one for one in played.values() if one.pairs == row.pairs and _method(one.row) == seeing and one.last
    )
    return next(same, whole) if row.row.unseen else whole


def _result(row: _Row, baseline: _Row | None, static: _Row | None, against: _Row | None) -> RowResult:
    """All that is said of one row; p-values are not corrected yet."""
    told: dict[str, Any] = {
        "name": row.row.name,
        "group": row.row.group,
        "agent": row.row.agent,
        "note": row.row.said,
        "cells": len(row.done),
        "missing": row.missing,
    }
    if not row.last:
        return RowResult(**told)
    part = row.row.group != Row.model_fields["group"].default
    reward = row.values("reward")
    numbers = {number for _, number in row.last}
    arms = row.arms()
    return RowResult(
        **told,
        tasks=len({task for task, _ in row.last}),
        seeds=len({number % _SEEDS for number in numbers}),
        success=_span(row.values("success")),
        reward=_span(reward),
        middle=_as_span(interquartile_mean_interval(reward, resamples=COARSE)),
        improvement=_improvement(row, baseline),
        gain=_compared(row, baseline),
        gain_static=None if row is baseline else _compared(row, static),
        worth=_turned(_compared(row, against)) if part else None,
        against=against.row.name if against and (part or row.row.unseen) else "",
        same_training=not against or {t for _, t in row.pairs} == {t for _, t in against.pairs},
        spread=_as_span(spread_interval(list(arms.values()))) if _comparable(list(arms.values())) else None,
        stability=_stability(arms, static.arms()) if static and row is not static else None,
        combinations=_combinations(arms),
        kinds=_kinds(row, baseline, against),
        kept=_kept(row),
        steps=row.mean("steps"),
        calls=row.mean("calls"),
        tokens=row.mean("tokens"),
        cost_usd=row.mean("cost_usd"),
        memory_size=row.mean("memory_size") if row.row.agent in MEMORY_AGENTS else None,
        broken=sum(told["broken"] for told in row.last.values()),
        curve=_curve(row),
        memory=_memory(row),
    )


# -- comparisons ------------------------------------------------------------------------------------------


def _beside(row: _Row, other: _Row) -> tuple[Values, dict[tuple[str, int], list[float]]]:
    """Success of the row, and what stands beside each value: the other row's on that task with that seed, of
    the same initial experience and of the same training set where it has them."""
    theirs: dict[tuple[str, int], list[tuple[str, str, float]]] = {}
    for (task, number), value in other.values("success").items():
        theirs.setdefault((task, number % _SEEDS), []).append((*other.pairs[number // _SEEDS], value))
    ours, beside = {}, {}
    for (task, number), value in row.values("success").items():
        found = theirs.get((task, number % _SEEDS), [])
        for part, wanted in enumerate(row.pairs[number // _SEEDS]):
            found = [one for one in found if one[part] == wanted] or found
        if found:
            ours[task, number] = value
            beside[task, number] = [one[-1] for one in found]
    return ours, beside


def _compared(row: _Row, other: _Row | None) -> Compared | None:
    """Difference, test and detectable difference; None where the two share no task and seed."""
    if other is None or other is row:
        return None
    ours, beside = _beside(row, other)
    return _difference(ours, beside)


def _difference(ours: Values, beside: Mapping[tuple[str, int], Sequence[float]]) -> Compared | None:
    if not ours:
        return None
    theirs = {key: sum(values) / len(values) for key, values in beside.items()}
    differences = paired(ours, theirs)
    # Means of several runs are fractions; as many times both sides are whole numbers, with the same p-value.
    times = math.lcm(*(len(values) for values in beside.values()))
    test = sign_flip_test(
        {key: times * value for key, value in ours.items()},
        {key: times // len(values) * sum(values) for key, values in beside.items()},
    )
    return Compared(
        **_span(differences).model_dump(),
        p_value=test.p_value,
        exact=test.method == "exact",
        detectable=_detectable(differences),
        tasks=len({task for task, _ in differences}),
        seeds=len({number % _SEEDS for _, number in differences}),
        runs=len({number for _, number in differences}),
    )


def _detectable(differences: Values) -> float | None:
    seeds = {seed for _, seed in differences}
    whole = [t for t in {t for t, _ in differences} if all((t, seed) in differences for seed in seeds)]
    if len(whole) < 2:
        return None
    return detectable_effect(observed_variation(differences), tasks=len(whole), seeds=len(seeds)) or None


def _turned(found: Compared | None) -> Compared | None:
    """The other minus the row."""
    if found is None:
        return None
    return found.model_copy(
        update={"mean": 0.0 - found.mean, "low": 0.0 - found.high, "high": 0.0 - found.low}
    )


def _improvement(row: _Row, baseline: _Row | None) -> Span | None:
    if baseline is None or baseline is row:
        return None
    ours, theirs = row.values("reward"), baseline.values("reward")
    if not {task for task, _ in ours} & {task for task, _ in theirs}:
        return None
    return _as_span(improvement_probability(ours, theirs, resamples=COARSE))


def _corrected(rows: Sequence[RowResult]) -> list[RowResult]:
    """With p-values corrected within each of the three families of comparisons."""
    for family in ("gain", "gain_static", "worth"):
        rows = _adjusted(rows, family)
    return list(rows)


def _adjusted(items: Sequence[_Item], field: str) -> list[_Item]:
    """With p-values and detectable differences of one family of comparisons corrected for how many it has."""
    tested = {str(i): item for i, item in enumerate(items) if getattr(item, field)}
    adjusted = holm({number: getattr(item, field).p_value for number, item in tested.items()})
    found = list(items)
    for number, item in tested.items():
        one: Compared = getattr(item, field)
        size = one.detectable and corrected_effect(one.detectable, comparisons=len(tested), tasks=one.tasks)
        told = {"p_adjusted": adjusted[number], "comparisons": len(tested), "detectable": size}
        found[int(number)] = item.model_copy(update={field: one.model_copy(update=told)})
    return found


# -- what training sets, initial experiences, kinds and later training change -----------------------------


def _combinations(arms: Mapping[tuple[str, str], Values]) -> tuple[Combination, ...]:
    """Of rows that have more than one."""
    if len(arms) < 2:
        return ()
    return tuple(
        Combination(initial=initial, train=train, success=_span(values))
        for (initial, train), values in arms.items()
    )


def _stability(
    arms: Mapping[tuple[str, str], Values], static: Mapping[tuple[str, str], Values]
) -> Stability | None:
    """Of rows that begin with several initial experiences, as the static row does."""
    ours, theirs = list(arms.values()), list(static.values())
    if len({initial for initial, _ in arms}) < 2 or len(theirs) < 2 or not _comparable([*ours, *theirs]):
        return None
    found = stability(ours, theirs)
    return Stability(
        spread=_as_span(found.first), static=_as_span(found.second), difference=_as_span(found.difference)
    )


def _comparable(arms: Sequence[Values]) -> bool:
    """Whether there are two arms or more, with two tasks or more that all of them have."""
    shared = set.intersection(*({task for task, _ in arm} for arm in arms))
    return len(arms) > 1 and len(shared) > 1 and len({frozenset(arm) for arm in arms}) == 1


def _kinds(row: _Row, baseline: _Row | None, against: _Row | None) -> tuple[Kind, ...]:
    """By kind, of rows that are tested on kinds they were not trained on."""
    found = []
    for kind in row.row.unseen:
        ours = row.values("success", lambda told, kind=kind: told["kind"] == kind)  # type: ignore[misc]
        if not ours:
            continue
        told: dict[str, Any] = {"kind": kind, "tasks": len({t for t, _ in ours}), "success": _span(ours)}
        for name, other in (("baseline", baseline), ("trained", against)):
            if other is None:
                continue
            _, beside = _beside(row, other)
            near = {key: beside[key] for key in ours if key in beside}
            if near:
                told[name] = _span({key: sum(values) / len(values) for key, values in near.items()})
                gain = "gain" if name == "baseline" else "gain_trained"
                told[gain] = _difference({key: ours[key] for key in near}, near)
        found.append(Kind(**told))
    return tuple(_adjusted(_adjusted(found, "gain"), "gain_trained"))


def _kept(row: _Row) -> Kept | None:
    """Of rows that are tested on their own training set again after later training."""
    if not row.row.retest or not row.row.later:
        return None
    own = row.epochs.get(row.done[0].config.epochs, {})
    before = {key: float(told["success"]) for key, told in own.items() if key in row.last}
    after = {key: value for key, value in row.values("success").items() if key in before}
    lost = _difference(before, {key: [value] for key, value in after.items()})
    return Kept(own=_span(before), later=_span(after), forgotten=lost) if lost else None


def _by_tasks(
    whole: _Row | None, played: Mapping[str, _Row], rows: Sequence[RowResult], training: Mapping[str, int]
) -> dict[int, Span]:
    """Success by number of training tasks: rows that differ from the whole method in nothing else."""
    found: dict[int, Span] = {}
    if whole is None:
        return found
    for result in rows:
        row = played[result.name].row
        sizes = {training.get(train) for _, train in played[result.name].pairs}
        size = sizes.pop() if len(sizes) == 1 else None
        same = row is whole.row or (row.train and _method(row) == _method(whole.row))
        if same and size is not None and result.success and (size not in found or row is whole.row):
            found[size] = result.success
    return dict(sorted(found.items())) if len(found) > 1 else {}


def _method(row: Row) -> Row:
    """A row without what only names it, draws it or trains it."""
    return row.model_copy(update={"name": "", "group": "", "note": "", "curve": False, "train": ()})


def _curve(row: _Row) -> dict[int, Span]:
    """Success by epoch, of rows that were tested at several."""
    if len(row.epochs) == 1:
        return {}
    return {
        epoch: _span({key: float(told["success"]) for key, told in found.items()})
        for epoch, found in sorted(row.epochs.items())
    }


def _memory(row: _Row) -> dict[int, float]:
    """Experiences in memory by epoch."""
    found = {}
    for epoch, told in sorted(row.epochs.items()):
        size = _mean([one.get("memory_size") for one in told.values()])
        if row.row.agent in MEMORY_AGENTS and size is not None:
            found[epoch] = size
    return found


def _span(values: Values) -> Span:
    return _as_span(mean_interval(values))


def _as_span(interval: Interval) -> Span:
    flat = (
        "no resample differs: how uncertain this is cannot be seen" if interval.low == interval.high else ""
    )
    alone = "one run only: the interval says nothing of other runs" if interval.seeds == 1 else ""
    note = "; ".join(filter(None, (interval.note or flat, alone)))
    return Span(mean=interval.estimate, low=interval.low, high=interval.high, note=note)


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known and len(known) == len(values) else None
