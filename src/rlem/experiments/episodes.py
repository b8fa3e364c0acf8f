"""Three episodes of an experiment that show what memory did: a failure, what it taught, a later success."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rlem.experiments.cells import Cell
from rlem.experiments.schema import Experiment
from rlem.experiments.work import is_done, place_of
from rlem.reports.facts import RunFacts
from rlem.reports.facts import gather as condense
from rlem.reports.reading import EPISODES, EpisodeFile
from rlem.reports.story import Chapter, pick_story
from rlem.runner.records import AdviceRecord, EpisodeRecord

MOST_CELLS = 10
RULE = (
    f"Of up to {MOST_CELLS} runs of the row, in order, the first with the whole of such a story is told,"
    " else the one with the most of it: a clear example, not a typical one."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """The episodes of one run, and what the failed one left in memory, as the last one was shown it."""

    row: str
    combination: str
    seed: int
    chapters: Sequence[tuple[Chapter, EpisodeRecord]]
    learned: Sequence[AdviceRecord]


def tell(experiment: Experiment, cells: Sequence[Cell], folder: Path) -> Told | None:
    """The clearest story among the runs of the whole method (of the first row that learns, where there is
    none): failed, later solved, then cited in a success that the baseline lacks. None where none is played.
    """
    done = [cell for cell in cells if is_done(folder, cell) and (place_of(folder, cell) / EPISODES).is_file()]
    learning = [cell for cell in done if cell.config.epochs and cell.config.agent == "rememberer"]
    own = [cell for cell in learning if cell.row == experiment.whole] or learning
    best: tuple[int, Told] | None = None
    for cell in [cell for cell in own if cell.row == own[0].row][:MOST_CELLS]:
        control = next((c for c in done if (c.row, c.seed) == (experiment.baseline, cell.seed)), None)
        found = _of_cell(cell, control, folder)
        clear = _clearness(found)
        if best is None or clear > best[0]:
            best = clear, found
        if clear == _CLEAR:
            break
    return best[1] if best and best[1].chapters else None


def _of_cell(cell: Cell, control: Cell | None, folder: Path) -> Told:
    file = EpisodeFile(place_of(folder, cell) / EPISODES)
    run = condense(file)
    agent = cell.config.agent
    if control is not None:  # what the baseline did stands in for a run's own control
        theirs = condense(EpisodeFile(place_of(folder, control) / EPISODES))
        run = RunFacts(
            episodes=[
                *run.episodes,
                *(replace(e, agent=agent, arm="no-memory") for e in theirs.episodes if e.phase == "eval"),
            ]
        )
    chapters = pick_story(run, agent)
    records = file.at(chapter.position for chapter in chapters)
    told = list(zip(chapters, records, strict=True))
    return Told(
        row=cell.row,
        combination=cell.combination,
        seed=cell.seed,
        chapters=told,
        learned=_learned(records),
    )


def _learned(records: Sequence[EpisodeRecord]) -> list[AdviceRecord]:
    """What the last episode was shown of the first one's task, each experience once."""
    if len(records) < 2:
        return []
    shown = (advice for step in records[-1].steps for advice in step.advice)
    found = {advice.key: advice for advice in shown if advice.task == records[0].instruction}
    return list(found.values())


_CLEAR = 4


def _clearness(told: Told) -> int:
    """How much of a whole story it is: three parts, failed first, then solved, then cited."""
    records = [record for _, record in told.chapters]
    if len(records) < 3:
        return 0
    return 1 + (not records[0].success) + records[1].success + bool(told.learned)
