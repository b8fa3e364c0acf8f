"""Forms of the results without pictures: Markdown for people, CSV for programs, LaTeX for papers."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby

from rlem.experiments.findings import (
    LEGEND,
    MARK,
    chance,
    facts,
    findings,
    kept_sentence,
    kinds_sentence,
    left_out,
    mark,
    power_sentence,
    stability_sentence,
    verdict,
)
from rlem.experiments.published import CAUTION, SOURCE, Beside, beside
from rlem.experiments.published import MARK as THEIRS
from rlem.experiments.results import Compared, Kind, Results, RowResult, Span
from rlem.reports import wording

# -- Markdown ---------------------------------------------------------------------------------------------

_SCORES = (
    *("row", "tasks", "success %", "95 %", "reward", "middle half", "vs baseline", "95 %", "p (Holm)"),
    *("P(better)", "vs static", "95 %", "p (Holm)", "detectable", "spread"),
)
_COSTS = ("row", "runs", "steps", "tokens", "tokens a success", "$ a success", "experiences", "broken")
_WORDS = (
    "vs baseline, vs static: difference of success in points, paired by task and seed. worth: success of the "
    "whole method minus the row's, which lacks or changes a part of it; of unseen kinds: that of the row "
    "with the same training set. p: exact sign-flip test over tasks, corrected for the number of rows "
    "compared (Holm). P(better): chance that a run earns more on a task than one of the baseline; a tie "
    "counts half. middle half: interquartile mean of the reward. detectable: the difference from the "
    "baseline (of a part: its worth) that so many tasks and runs find in four of five cases, by the "
    "corrected test; where few tasks differ it takes more. spread: standard deviation of success over "
    "initial experiences and training sets, in points, freed of sampling noise. Brackets: 95 % intervals. "
    "Costs are of test episodes after the last epoch; training is not counted. "
    f"{MARK}: {LEGEND}"
)


def to_markdown(results: Results) -> str:
    """All numbers of the page as text."""
    power = power_sentence(results)
    parts = [
        f"# {results.title or results.experiment}",
        f"{verdict(results)} {power}".strip(),
        f"Model: {results.model_is} Test tasks: {results.test}. Baseline: {results.baseline}.",
        *_found(results),
    ]
    for group, rows in groupby(results.rows, key=lambda row: row.group):
        own = list(rows)
        worth = any(row.worth for row in own)
        head = ["worth" if worth and name == "vs static" else name for name in _SCORES]
        parts += [f"## {group}", _table(head, [_scores(row, worth) for row in own])]
        parts.append(_table(_COSTS, map(_costs, own)))
    parts += [*_beside(results), *_more(results)]
    if results.left_out:
        parts += ["## Left out", _list(f"{names}: {why}" for names, why in left_out(results).items())]
    notes = [f"{row.name}: {row.note}" for row in results.rows if row.note]
    parts += ["## Notes", _list(notes)] if notes else []
    parts += ["## How it was obtained", _list(f"{name}: {told}" for name, told in facts(results).items())]
    return "\n\n".join([*parts, _WORDS]) + "\n"


def _found(results: Results) -> Iterator[str]:
    yield "## What this says"
    for heading, claims in findings(results).items():
        yield f"### {heading}"
        yield _list(claims) or "None."


def _more(results: Results) -> Iterator[str]:
    """Curves, combinations, kinds and what is kept, where there are any."""
    if found := [text for row in results.rows if (text := stability_sentence(results, row))]:
        yield "## Stability over what it begins with"
        yield _list(found)
    if combined := [(row, c) for row in results.rows for c in row.combinations if len(row.combinations) > 2]:
        yield _table(
            ("row", "initial", "training set", "success %", "95 %"),
            [(row.name, c.initial, c.train, *_share(c.success)) for row, c in combined],
        )
    if curves := [row for row in results.rows if row.curve]:
        yield "## Learning curves"
        epochs = sorted({epoch for row in curves for epoch in row.curve})
        yield _table(
            ("row", *(f"epoch {epoch}" for epoch in epochs)),
            [
                (row.name, *(" ".join(_bracketed(*_share(row.curve.get(e)))) for e in epochs))
                for row in curves
            ],
        )
    if results.training:
        yield "## Number of training tasks"
        lines = [(str(number), *_share(success)) for number, success in results.training.items()]
        yield _table(("tasks", "success %", "95 %"), lines)
    if kinds := [_kind(row, kind) for row in results.rows for kind in row.kinds]:
        yield "## Unseen kinds of tasks"
        yield _list(kinds_sentence(results, row) for row in results.rows if row.kinds)
        yield _table(_KINDS, kinds)
    if kept := [text for row in results.rows if (text := kept_sentence(row))]:
        yield "## Early tasks after later training"
        yield _list(kept)


_KINDS = (
    *("row", "kind", "tasks", "success %", "95 %", "baseline %", "vs baseline", "95 %", "p (Holm)"),
    *("all kinds %", "vs all kinds", "95 %", "p (Holm)"),
)


def _kind(row: RowResult, kind: Kind) -> tuple[str, ...]:
    told = (row.name, kind.kind, str(kind.tasks), *_share(kind.success), _share(kind.baseline)[0])
    return (*told, *_change(kind.gain), _share(kind.trained)[0], *_change(kind.gain_trained))


def _beside(results: Results) -> Iterator[str]:
    if not (lines := beside(results)):
        return
    yield "## Beside the paper"
    yield f"Theirs: {THEIRS}. {SOURCE}. {CAUTION}"
    head = (
        *("row", "success %", "95 %", "their success %", "reward", "their reward", "steps", "their steps"),
        "where",
    )
    yield _table(head, map(_pair, lines))


def _pair(line: Beside) -> tuple[str, ...]:
    ours, theirs = line.ours, line.theirs
    success, score, steps = (theirs.success, theirs.score, theirs.steps) if theirs else (None, None, None)
    return (
        *(line.name, *_share(ours.success if ours else None), _short(success and 100 * success, 1)),
        *(_number(ours.reward if ours else None), _short(score, 3)),
        *(_short(ours.steps if ours else None, 2), _short(steps, 2), line.where),
    )


def _table(head: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    """Columns without any value are left out."""
    body = list(lines)
    told: list[Sequence[str]] = [head, ["---"] * len(head), *body]
    used = [index for index in range(len(head)) if index == 0 or any(line[index] for line in body)]
    told = [[line[index] for index in used] for line in told]
    cells = ([" ".join(cell.split()).replace("|", "\\|") for cell in line] for line in told)
    return "\n".join(f"| {' | '.join(line)} |" for line in cells)


def _list(items: Iterable[str]) -> str:
    return "\n".join(f"- {' '.join(item.split())}" for item in items)


def _scores(row: RowResult, worth: bool) -> tuple[str, ...]:
    seen = row.sensitivity
    return (
        *(row.name, str(row.tasks) if row.success else "", *_share(row.success), _ended(row.reward)),
        *(_ended(row.middle), *_change(row.gain), _ended(row.improvement)),
        *_change(row.worth if worth else row.gain_static),
        *(_short(seen and 100 * seen, 1), " ".join(_bracketed(*_share(row.spread)))),
    )


def _costs(row: RowResult) -> tuple[str, ...]:
    cost = row.cost_per_success
    return (
        *(row.name, f"{row.cells}" + (f" of {row.cells + row.missing}" if row.missing else "")),
        _short(row.steps, 1),
        *(f"{v:,.0f}" if v is not None else "" for v in (row.tokens, row.tokens_per_success)),
        f"{cost:.4g}" if cost is not None else "",
        f"{row.memory_size:,.0f}" if row.memory_size is not None else "",
        str(row.broken) if row.success else "",
    )


def _share(span: Span | None) -> tuple[str, str]:
    if span is None:
        return "", ""
    return f"{100 * span.mean:.1f}", f"{100 * span.low:.1f} to {100 * span.high:.1f}{mark(span)}"


def _change(compared: Compared | None) -> tuple[str, str, str]:
    if compared is None:
        return "", "", ""
    ends = f"{wording.points(compared.low)} to {wording.points(compared.high)}{mark(compared)}"
    return wording.points(compared.mean), ends, chance(compared.p_adjusted)


def _number(span: Span | None) -> str:
    return _short(span.mean if span else None, 2)


def _ended(span: Span | None) -> str:
    """With its interval in brackets."""
    return f"{span.mean:.2f} [{span.low:.2f}, {span.high:.2f}]{mark(span)}" if span else ""


def _short(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:.{digits}f}"


# -- CSV --------------------------------------------------------------------------------------------------

_PLAIN = ("group", "name", "agent", "cells", "missing", "tasks", "seeds")
_SPANS = ("success", "reward", "middle", "improvement", "spread", "gain", "gain_static", "worth")
_TESTED = ("p_value", "p_adjusted", "detectable")
_AFTER = (
    *("steps", "calls", "tokens", "tokens_per_success", "cost_usd", "cost_per_success", "memory_size"),
    "broken",
)


def to_csv(results: Results) -> str:
    """One line a row, the full numbers of ``results.json``; shares in 0..1, empty where nothing is known."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    columns = list(_columns())
    writer.writerow(["_".join(path) for path in columns])
    for row in results.rows:
        writer.writerow([_at(row, path) for path in columns])
    return stream.getvalue()


def _columns() -> Iterator[tuple[str, ...]]:
    yield from ((name,) for name in _PLAIN)
    for name in _SPANS:
        fields = ("mean", "low", "high", *(_TESTED if name in ("gain", "gain_static", "worth") else ()))
        yield from ((name, field) for field in fields)
    yield from (("stability", "difference", field) for field in ("mean", "low", "high"))
    yield from ((name,) for name in _AFTER)


def _at(row: RowResult, path: tuple[str, ...]) -> object:
    value: object = row
    for name in path:
        value = getattr(value, name) if value is not None else None
    return value


# -- LaTeX ------------------------------------------------------------------------------------------------

_ESCAPED = str.maketrans(
    {c: f"\\{c}" for c in "%&_#${}"}
    | {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "−": "$-$"}
    | {"<": r"\textless{}", ">": r"\textgreater{}", MARK: r"\dag{}"}
)


def to_latex(results: Results) -> str:
    """A table of each group, for booktabs; the caption says what played and how much."""
    groups = groupby(results.rows, key=lambda row: row.group)
    tables = [_latex_table(results, group, list(rows)) for group, rows in groups]
    return "\n".join(["% Needs \\usepackage{booktabs} and, below LaTeX of 2018, utf8 input.", *tables])


def _latex_table(results: Results, group: str, rows: Sequence[RowResult]) -> str:
    part = any(row.worth for row in rows)
    head = (
        *("Row", "Tasks", "Success, %", "Reward", "vs baseline", "$p$"),
        *("Worth" if part else "vs static", "$p$"),
    )
    lines = []
    for row in rows:
        other = row.worth if part else row.gain_static
        cells: tuple[str, ...] = (
            *(row.name, str(row.tasks) if row.success else ""),
            *(" ".join(_bracketed(*_share(row.success))), _number(row.reward)),
        )
        for compared in (row.gain, other):
            mean, ends, p = _change(compared)
            cells += (" ".join(_bracketed(mean, ends)), p)
        line = " & ".join(" ".join(cell.split()).translate(_ESCAPED) for cell in cells)
        lines.append(
            ("{}" if line[:1] in ("[", "*") else "") + line + r" \\"
        )  # \\ would take either as its own
    seeds = max((row.seeds for row in rows), default=0)
    caption = (
        f"{results.title or results.experiment}: {group}. Model: {results.model}. {results.model_is} "
        f"{wording.count(seeds, 'seed')}, 95 % intervals in brackets; $p$ by sign flips, after Holm; "
        f"baseline: {results.baseline}."
    )
    if any(r"\dag" in line for line in lines):
        caption += f" {MARK}: {LEGEND}"
    caption = "$p$".join(part.translate(_ESCAPED) for part in caption.split("$p$"))
    columns = "l" + "r" * (len(head) - 1)
    return "\n".join(
        [
            *(r"\begin{table}", r"\centering\footnotesize\setlength{\tabcolsep}{3pt}"),
            *(rf"\caption{{{caption}}}", rf"\begin{{tabular}}{{{columns}}}", r"\toprule"),
            " & ".join(cell.replace("%", r"\%") for cell in head) + r" \\",
            *(r"\midrule", *lines, r"\bottomrule", r"\end{tabular}", r"\end{table}", ""),
        ]
    )


def _bracketed(mean: str, ends: str) -> tuple[str, ...]:
    """With a mark, where there is one, behind the bracket."""
    plain = ends.removesuffix(MARK)
    return (mean, f"[{plain.replace(' to ', ', ')}]{ends[len(plain) :]}") if mean else ()
