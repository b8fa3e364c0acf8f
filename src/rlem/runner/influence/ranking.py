"""From decisions asked again to experiences ranked by what they changed; as JSON and Markdown."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass

from rlem.core.types import JSON, Situation
from rlem.evidence import share_interval
from rlem.runner.influence.asking import Replayed
from rlem.runner.influence.decisions import Recorded

NOTE = (
    "changed: decisions that came out otherwise without the experience, of those it was shown for, with a "
    "95 % interval (Wilson; it takes decisions as independent, which those of one episode are not). chance: "
    "those that came out otherwise when the same question was asked with another seed. ok/fail: changed "
    "decisions in episodes that succeeded and that failed. gain: by how much the memory values the action "
    "with it above the one without it, where it knows both. One experience at a time is left out, and the "
    "next candidate takes its place: of two that say the same, neither changes anything alone."
)

PAGE_CHARS = 80


@dataclass(frozen=True, slots=True, kw_only=True)
class Changed:
    """One decision that came out otherwise without an experience."""

    task_id: str
    seed: int
    step: int
    action: str | None
    without: str | None
    success: bool
    gain: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One experience.

    shown       decisions that it was shown for
    changed     of these came out otherwise without it
    by_chance   of these came out otherwise with it, under another seed
    low, high   95 % interval of changed / shown
    succeeded   changed decisions in episodes that succeeded; the others are in ``failed``
    gain        mean of Q(action with it) - Q(action without it), over ``gains`` changed decisions where an
                experience recalled for them knows both actions; null where none does
    task, page  its task, and how its page begins (without the task's text)
    """

    key: str
    shown: int
    changed: int
    by_chance: int
    low: float
    high: float
    succeeded: int
    failed: int
    gain: float | None
    gains: int
    task: str
    page: str
    changes: tuple[Changed, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Influence:
    """Experiences by what they changed, and what that rests on.

    decisions        asked again
    other_exemplars  left out: the memory shows other exemplars than it did then
    other_action     left out: asked again unchanged, another action came
    other_by_chance  of the rest came out otherwise under another seed
    """

    decisions: int
    other_exemplars: int
    other_action: int
    other_by_chance: int
    rows: tuple[Row, ...]

    @property
    def compared(self) -> int:
        """Decisions that were compared."""
        return self.decisions - self.other_exemplars - self.other_action

    @property
    def asked_unchanged(self) -> int:
        """Decisions whose same question was asked again."""
        return self.decisions - self.other_exemplars


def rank(replayed: Sequence[Replayed]) -> Influence:
    """Experiences by how many decisions they changed beyond chance, then by how many at all."""
    compared = [item for item in replayed if item.repeated]
    same = [item for item in replayed if item.same_exemplars]
    chance = [item.chance != item.again for item in compared]
    shown, by_chance = Counter[str](), Counter[str]()
    changes: dict[str, list[Changed]] = {}
    situations = {without.key: without.situation for item in compared for without in item.without}
    for item, otherwise in zip(compared, chance, strict=True):
        for without in item.without:
            shown[without.key] += 1
            by_chance[without.key] += otherwise
            made = changes.setdefault(without.key, [])
            if without.action != item.again:
                made.append(_changed(item.decision, item.again, without.action, without.gain))
    rows = [_row(where, shown[key], by_chance[key], changes[key]) for key, where in situations.items()]
    return Influence(
        decisions=len(replayed),
        other_exemplars=len(replayed) - len(same),
        other_action=len(same) - len(compared),
        other_by_chance=sum(chance),
        rows=tuple(sorted(rows, key=lambda row: (row.by_chance - row.changed, -row.changed, row.key))),
    )


def _changed(decision: Recorded, action: str | None, without: str | None, gain: float | None) -> Changed:
    record = decision.record
    return Changed(
        task_id=record.task_id,
        seed=record.seed,
        step=decision.index,
        action=action,
        without=without,
        success=record.success,
        gain=gain,
    )


def _row(situation: Situation, shown: int, by_chance: int, changes: Sequence[Changed]) -> Row:
    gains = [change.gain for change in changes if change.gain is not None]
    low, high = share_interval(len(changes), shown)
    succeeded = sum(change.success for change in changes)
    return Row(
        key=situation.key,
        shown=shown,
        changed=len(changes),
        by_chance=by_chance,
        low=low,
        high=high,
        succeeded=succeeded,
        failed=len(changes) - succeeded,
        gain=math.fsum(gains) / len(gains) if gains else None,
        gains=len(gains),
        task=situation.task,
        page=" ".join(situation.observation.replace(situation.task, "").split())[:PAGE_CHARS],
        changes=tuple(changes),
    )


# -- texts -------------------------------------------------------------------------------------------


def to_json(influence: Influence, about: dict[str, JSON]) -> dict[str, JSON]:
    """All of it as JSON; ``about`` says what was asked."""
    return about | asdict(influence) | {"compared": influence.compared, "note": NOTE}


def lines(influence: Influence) -> list[str]:
    """What the ranking rests on, a sentence a line."""
    told = influence
    found = [f"{told.decisions} decisions asked again."]
    if told.other_exemplars:
        found.append(
            f"{told.other_exemplars} left out: the memory shows other exemplars than it did then "
            "(it was changed since)."
        )
    if told.asked_unchanged:
        found.append(
            f"Asked again unchanged: {told.other_action / told.asked_unchanged:.1%} other action "
            f"({told.other_action} of {told.asked_unchanged}; left out)."
        )
    if told.compared:
        found.append(
            f"Asked with another seed: {told.other_by_chance / told.compared:.1%} other action "
            f"({told.other_by_chance} of {told.compared}): what chance alone changes."
        )
    shown = sum(row.shown for row in told.rows)
    if shown:
        changed, chance = sum(row.changed for row in told.rows), sum(row.by_chance for row in told.rows)
        found.append(
            f"Asked without one of its exemplars, for each of them: {changed / shown:.1%} other action "
            f"({changed} of {shown}), where chance alone makes {chance / shown:.1%}."
        )
    moving = sum(row.changed > row.by_chance for row in told.rows)
    found.append(f"{len(told.rows)} experiences were shown; {moving} of them changed more than chance did.")
    return found


HEADINGS = ("key", "changed", "95 %", "chance", "ok/fail", "gain", "task, page")


def cells(row: Row) -> tuple[str, ...]:
    """A row of the table, under ``HEADINGS``; the last cell has two lines."""
    return (
        row.key[:8],
        f"{row.changed} of {row.shown}",
        f"{100 * row.low:.0f} to {row.high:.0%}",
        str(row.by_chance),
        f"{row.succeeded}/{row.failed}",
        "" if row.gain is None else f"{row.gain:+.2f}",
        f"{' '.join(row.task.split())}\n{row.page}",
    )


def to_markdown(influence: Influence, about: Iterable[tuple[str, str]]) -> str:
    """The ranking as a page."""
    table = [HEADINGS, ("---",) * len(HEADINGS), *map(cells, influence.rows)]
    return "\n".join(
        [
            "# What experiences changed",
            "",
            *(f"- {name}: {value}" for name, value in about),
            "",
            *(f"{line}  " for line in lines(influence)),
            "",
            *("| " + " | ".join(_escaped(cell) for cell in row) + " |" for row in table),
            "",
            NOTE,
            "",
        ]
    )


def _escaped(text: str) -> str:
    return " / ".join(text.splitlines()).replace("|", "\\|").replace("<", "&lt;")
