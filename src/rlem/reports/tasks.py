"""The table of held-out tasks: each task with memory before and after training, and without memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from rlem.reports.facts import Cell, EpisodeFacts, RunFacts


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskRow:
    """One task; numbers are means over seeds, None where nothing was played.

    ``before``: with memory at the first evaluation (None if that is also the last); ``after``: at the
    last; ``without``: the control at its last.
    """

    task_id: str
    instruction: str
    kind: str
    before: float | None
    after: float | None
    without: float | None
    reward_after: float | None
    reward_without: float | None
    steps_after: float | None
    steps_without: float | None
    broken: int

    @property
    def change(self) -> float | None:
        """After minus without."""
        return None if self.after is None or self.without is None else self.after - self.without


def task_rows(run: RunFacts, agent: str) -> list[TaskRow]:
    """One row per held-out task, in order of play."""
    series = run.evaluations()
    memory, control = series.get((agent, "memory"), []), series.get((agent, "no-memory"), [])
    before = _by_task(memory[0] if len(memory) > 1 else None)
    after, without = (_by_task(cells[-1] if cells else None) for cells in (memory, control))
    rows = []
    for task_id in dict.fromkeys([*after, *without]):
        one = (after.get(task_id) or without[task_id])[0]
        rows.append(
            TaskRow(
                task_id=task_id,
                instruction=one.instruction,
                kind=one.kind,
                before=_mean(before.get(task_id), _success),
                after=_mean(after.get(task_id), _success),
                without=_mean(without.get(task_id), _success),
                reward_after=_mean(after.get(task_id), _reward),
                reward_without=_mean(without.get(task_id), _reward),
                steps_after=_mean(after.get(task_id), _steps),
                steps_without=_mean(without.get(task_id), _steps),
                broken=sum(f.broken for f in [*after.get(task_id, []), *without.get(task_id, [])]),
            )
        )
    return rows


def _by_task(cell: Cell | None) -> dict[str, list[EpisodeFacts]]:
    tasks: dict[str, list[EpisodeFacts]] = {}
    for facts in cell.episodes.values() if cell else ():
        tasks.setdefault(facts.task_id, []).append(facts)
    return tasks


def _mean(episodes: list[EpisodeFacts] | None, number: Callable[[EpisodeFacts], float]) -> float | None:
    return sum(map(number, episodes)) / len(episodes) if episodes else None


def _success(facts: EpisodeFacts) -> float:
    return float(facts.success)


def _reward(facts: EpisodeFacts) -> float:
    return facts.reward


def _steps(facts: EpisodeFacts) -> float:
    return float(facts.steps)
