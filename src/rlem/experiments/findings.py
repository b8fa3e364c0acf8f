"""What helped and what did not, in words made from the numbers."""

from __future__ import annotations

import statistics
from collections.abc import Iterator

from rlem.evidence.intervals import LEAST_TASKS, least_tasks
from rlem.experiments.results import Compared, Results, RowResult, Span
from rlem.reports import wording

ALPHA = 0.05
CHANCE = "random"
"""The agent that wins by chance alone."""
MARK = "†"
LEGEND = (
    "the interval says less than it seems. Below 20 tasks it covers less than 95 %, and below 6 nothing is "
    "concluded; of one run it says nothing of other runs; values that are all equal, or nearly all, do not "
    "show how uncertain they are."
)
"""What the mark means."""

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
        seen = _would_be_seen(compared) if place == 3 else ""
        found[HEADINGS[place]].append(f"{text}: {in_points(compared)}{seen}")
    return found


def _would_be_seen(compared: Compared) -> str:
    if compared.tasks < least_tasks(compared.comparisons):
        return "; with so few tasks no difference can be seen"
    if compared.detectable is None:
        return ""
    return f"; to be seen it takes at least about {100 * compared.detectable:.1f}"


def _claims(results: Results) -> Iterator[tuple[str, Compared]]:
    for row in results.rows:
        if row.worth:
            yield f"{against(results, row)} against “{row.name}”", row.worth
        elif row.gain and not row.kinds:
            yield f"“{row.name}” against “{results.baseline}”", row.gain
            if row.gain_static and row.agent != CHANCE:
                yield f"“{row.name}” against “{results.static}”", row.gain_static
        for kind in row.kinds:
            if kind.gain:
                yield f"“{row.name}”, kind {kind.kind}, against “{results.baseline}”", kind.gain
            if kind.gain_trained:
                other = against(results, row).replace("The whole", "the whole", 1)
                yield f"“{row.name}”, kind {kind.kind}, against {other}", kind.gain_trained


def against(results: Results, row: RowResult) -> str:
    """The row that this one's worth and kinds are compared with, in words."""
    name = "The whole method" if row.against in ("", results.whole) else f"“{row.against}”"
    return name if row.same_training or not row.kinds else f"{name} (trained on other tasks)"


def kinds_sentence(results: Results, row: RowResult) -> str:
    """What the kinds of a row are compared with."""
    training = "the same training set with that kind in it" if row.same_training else "another training set"
    other = f", and “{row.against}”, which has {training}" if row.against else ""
    return (
        f"“{row.name}”: trained without a kind of tasks, tested on that kind alone. On the same tasks: the "
        f"baseline{other}."
    )


def sure(compared: Compared) -> int:
    """1: better by more than chance, -1: worse, 0: neither. Interval and corrected test must both say so."""
    return (1 if compared.mean > 0 else -1) if _apart(compared) and _tested(compared) else 0


def _apart(compared: Compared) -> bool:
    """Whether the interval excludes zero, and is of tasks enough to say so."""
    return compared.tasks >= LEAST_TASKS and (compared.low > 0 or compared.high < 0)


def _tested(compared: Compared) -> bool:
    """Whether the corrected test says that it is more than chance."""
    return compared.p_adjusted is not None and compared.p_adjusted <= ALPHA


def in_points(compared: Compared) -> str:
    """The difference with its interval and its p-value, which is not always corrected or exact."""
    p_value = compared.p_value if compared.p_adjusted is None else compared.p_adjusted
    return (
        f"{wording.points(compared.mean)} points ({wording.points(compared.low)} to "
        f"{wording.points(compared.high)}){mark(compared)}, "
        f"{'p' if compared.p_adjusted is None else 'corrected p'} {chance(p_value)}"
        f"{', not corrected' if compared.p_adjusted is None else ''}"
        f"{'' if compared.exact else ', by drawn signs'}"
    )


def mark(span: Span | None) -> str:
    """The sign of an interval that says less than it seems."""
    return MARK if span and span.note else ""


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
    tasks, runs = max(gain.tasks for gain in gains), sorted({gain.runs for gain in gains})
    ends = f"{100 * sizes[0]:.0f} to {100 * sizes[-1]:.0f} by row; " if len(sizes) > 1 else ""
    played = wording.count(runs[-1], "run") if len(runs) == 1 else f"{runs[0]} to {runs[-1]} runs"
    return (
        f"With {wording.count(tasks, 'task')} and {played} a row, a difference of at least about "
        f"{100 * statistics.median(sizes):.0f} points from the baseline is found in four of five cases "
        f"({ends}by the test corrected for "
        f"{wording.count(gains[0].comparisons, 'comparison')}). A smaller one may well be there."
    )


def stability_sentence(results: Results, row: RowResult) -> str:
    """Whether a row depends less on where it begins than fixed exemplars do."""
    found, static = row.stability, results.row(results.static)
    if found is None or static is None or not row.success or not static.success:
        return ""
    low, high = found.difference.low, found.difference.high
    unsure = "neither surely more nor surely less"
    said = unsure if row.tasks < LEAST_TASKS else "less" if high < 0 else "more" if low > 0 else unsure
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
        f"{wording.points(found.difference.mean)} ({wording.points(low)} to {wording.points(high)})"
        f"{mark(found.difference)}."
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
