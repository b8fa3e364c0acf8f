"""What helped and what did not, in words made from the numbers."""

from __future__ import annotations

import statistics
from collections.abc import Iterator

from rlem.experiments.results import Compared, Results, RowResult
from rlem.reports import wording

ALPHA = 0.05

HEADINGS = (
    "Better, beyond chance",
    "Worse, beyond chance",
    "Perhaps: the interval excludes zero, or the corrected test says so, but not both",
    "Not seen with this sample",
)


def findings(results: Results) -> dict[str, list[str]]:
    """Under each of ``HEADINGS``, what was found: agents against the baseline, parts against the whole."""
    found: dict[str, list[str]] = {heading: [] for heading in HEADINGS}
    for text, compared in _claims(results):
        apart, tested = _apart(compared), _tested(compared)
        place = (0 if compared.mean > 0 else 1) if apart and tested else 2 if apart or tested else 3
        seen = ""
        if place == 3 and compared.detectable is not None:
            seen = f"; {100 * compared.detectable:.1f} would be seen"
        found[HEADINGS[place]].append(f"{text}: {in_points(compared)}{seen}")
    return found


def _claims(results: Results) -> Iterator[tuple[str, Compared]]:
    for row in results.rows:
        if row.worth:
            yield f"The whole method against “{row.name}”", row.worth
        elif row.gain and not row.kinds:
            yield f"“{row.name}” against “{results.baseline}”", row.gain
            if row.gain_static:
                yield f"“{row.name}” against “{results.static}”", row.gain_static
        for kind in row.kinds:
            if kind.gain:
                yield f"“{row.name}”, kind {kind.kind}, against “{results.baseline}”", kind.gain


def _apart(compared: Compared) -> bool:
    """Whether the interval excludes zero."""
    return compared.low > 0 or compared.high < 0


def _tested(compared: Compared) -> bool:
    """Whether the corrected test says that it is more than chance."""
    return compared.p_adjusted is not None and compared.p_adjusted <= ALPHA


def in_points(compared: Compared) -> str:
    """The difference with its interval and its p-value, corrected where it is one of several."""
    p_value = compared.p_value if compared.p_adjusted is None else compared.p_adjusted
    return (
        f"{wording.points(compared.mean)} points ({wording.points(compared.low)} to "
        f"{wording.points(compared.high)}), p {chance(p_value)}"
    )


def chance(p_value: float | None) -> str:
    """A p-value: "0.031", "< 0.001"."""
    return "" if p_value is None else "< 0.001" if p_value < 0.0005 else f"{p_value:.3f}"


def verdict(results: Results) -> str:
    """How many rows differ from the baseline by more than chance, in one sentence."""
    tested = [row.gain for row in results.rows if row.gain]
    if not tested:
        return "No row can be compared with the baseline yet."
    sure = [gain.mean for gain in tested if _apart(gain) and _tested(gain)]
    return (
        f"Above the baseline by more than chance: {sum(mean > 0 for mean in sure) or 'none'} of "
        f"{wording.count(len(tested), 'row')}; below it: {sum(mean < 0 for mean in sure) or 'none'} "
        f"(an interval without zero, and p at most {ALPHA} corrected for the number of rows)."
    )


def power_sentence(results: Results) -> str:
    """What a sample of this size can see, "" where that is not known."""
    gains = [row.gain for row in results.rows if row.gain and row.gain.detectable is not None]
    if not gains:
        return ""
    sizes = sorted(gain.detectable for gain in gains if gain.detectable is not None)
    tasks, seeds = max(gain.tasks for gain in gains), max(gain.seeds for gain in gains)
    return (
        f"With {wording.count(tasks, 'task')} and {wording.count(seeds, 'seed')} a difference of about "
        f"{100 * statistics.median(sizes):.0f} points from the baseline is found in four of five cases "
        f"({100 * sizes[0]:.0f} to {100 * sizes[-1]:.0f} by row, before the correction). A smaller one may "
        "well be there."
    )


def stability_sentence(results: Results, row: RowResult) -> str:
    """Whether a row depends less on where it begins than fixed exemplars do."""
    found = row.stability
    if found is None:
        return ""
    low, high = found.difference.low, found.difference.high
    said = "less" if high < 0 else "more" if low > 0 else "neither surely more nor surely less"
    return (
        f"“{row.name}” varies {said} than “{results.static}” over what it begins with: standard deviation of "
        f"success {100 * found.spread.mean:.1f} against {100 * found.static.mean:.1f} points, difference "
        f"{wording.points(found.difference.mean)} ({wording.points(low)} to {wording.points(high)})."
    )


def kept_sentence(row: RowResult) -> str:
    """What later training left of early tasks."""
    kept = row.kept
    if kept is None:
        return ""
    return (
        f"“{row.name}”: {wording.percent(kept.own.mean)} after training on them, "
        f"{wording.percent(kept.later.mean)} after later training; forgotten: {in_points(kept.forgotten)}."
    )


def facts(results: Results) -> dict[str, str]:
    """How it was obtained, name by name; what is not known is left out."""
    seeds = max((row.seeds for row in results.rows), default=0)
    tasks = max((row.tasks for row in results.rows), default=0)
    told = {
        "Command": results.command,
        "Experiment": f"{results.experiment}, on {results.environment}",
        "Data": results.data,
        "Model": f"{results.model}. {results.model_is}",
        "Test tasks": f"{results.test}: {tasks}",
        "Seeds": str(seeds),
        "Baseline": results.baseline,
        "rlem": f"{results.version}, digest of the parts that play {results.code}" if results.code else "",
        "Method": f"{results.method}.",
    }
    return {name: value for name, value in told.items() if value}
