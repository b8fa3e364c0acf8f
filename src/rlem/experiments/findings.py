"""What helped and what did not, in words made from the numbers."""

from __future__ import annotations

import statistics
from collections.abc import Iterator

from rlem.experiments.results import Compared, Results, RowResult
from rlem.reports import wording

ALPHA = 0.05
CHANCE = "random"
"""The agent that wins by chance alone."""

HEADINGS = (
    "Better, beyond chance",
    "Worse, beyond chance",
    "Perhaps: the interval excludes zero, or the corrected test says so, but not both",
    "Not seen at this sample size",
)


def findings(results: Results) -> dict[str, list[str]]:
    """Under each of ``HEADINGS``, what was found: agents against the baseline, parts against the whole."""
    found: dict[str, list[str]] = {heading: [] for heading in HEADINGS}
    for text, compared in _claims(results):
        place = {1: 0, -1: 1}.get(sure(compared), 2 if _apart(compared) or _tested(compared) else 3)
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
            if row.gain_static and row.agent != CHANCE:
                yield f"“{row.name}” against “{results.static}”", row.gain_static
        for kind in row.kinds:
            if kind.gain:
                yield f"“{row.name}”, kind {kind.kind}, against “{results.baseline}”", kind.gain


def sure(compared: Compared) -> int:
    """1: better by more than chance, -1: worse, 0: neither. Interval and corrected test must both say so."""
    return (1 if compared.mean > 0 else -1) if _apart(compared) and _tested(compared) else 0


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
    found = [sure(gain) for gain in tested]
    return (
        f"Above the baseline by more than chance: {found.count(1) or 'none'} of "
        f"{wording.count(len(tested), 'row')}; below it: {found.count(-1) or 'none'} "
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
    found, static = row.stability, results.row(results.static)
    if found is None or static is None or not row.success or not static.success:
        return ""
    low, high = found.difference.low, found.difference.high
    said = "less" if high < 0 else "more" if low > 0 else "neither surely more nor surely less"
    means = [
        f"{wording.percent(one.success.mean)} ± {100 * spread.mean:.1f} points "
        f"({wording.count(len(one.combinations), 'combination')})"
        for one, spread in ((row, found.spread), (static, found.static))
        if one.success
    ]
    ratio = "" if found.ratio is None else f"ratio {found.ratio:.2f}, "
    return (
        f"“{row.name}” varies {said} than “{results.static}” over what it begins with: mean and standard "
        f"deviation {means[0]} against {means[1]}; {ratio}difference of the two deviations "
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


def left_out(results: Results) -> dict[str, str]:
    """Rows that are not played, and why; rows with one reason together."""
    found: dict[str, list[str]] = {}
    for name, why in results.left_out.items():
        found.setdefault(why, []).append(name)
    return {", ".join(names): f"{why}." for why, names in found.items()}


def facts(results: Results) -> dict[str, str]:
    """How it was obtained, name by name; what is not known is left out."""
    seeds = max((row.seeds for row in results.rows), default=0)
    tasks = max((row.tasks for row in results.rows), default=0)
    told = {
        "Command": results.command,
        "Experiment": f"{results.experiment}, on {results.environment}",
        "Data": results.data,
        "Model": f"{results.model}. {results.model_is}",
        "Test tasks": f"{tasks} ({results.test})",
        "Seeds": str(seeds),
        "Baseline": results.baseline,
        "rlem": f"{results.version}, digest of the parts that play {results.code}" if results.code else "",
        "Method": f"{results.method}.",
    }
    return {name: value for name, value in told.items() if value}
