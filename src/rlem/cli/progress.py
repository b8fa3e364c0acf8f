"""The live view of a run: what is being played, and how it goes."""

from __future__ import annotations

import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from rlem.agents.base import MEMORY_AGENTS, REFLEXION
from rlem.runner.records import Arm, EpisodeRecord, Phase, RunConfig


class LiveObserver:
    """Shows tasks, reward, success, memory size, tokens and the time left. Lines only, without a terminal.

    The time left is estimated from the pace so far; an observer of a resumed run counts replayed episodes
    as done.
    """

    def __init__(self, config: RunConfig, tasks: tuple[int, int], console: Console) -> None:
        train, test = tasks
        arms = 2 if config.control and config.agent in MEMORY_AGENTS else 1
        epochs = config.epochs * (1 + len(config.later_tasks))
        tests = epochs + 1 if config.test_epochs == "every" else 1
        per_seed = train * epochs + test * tests * arms
        self._train, self._training = train, False
        self._total = per_seed * len(config.seeds)
        self._console = console
        self._person = config.agent == "human"
        self._trials = config.agent == REFLEXION
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[left]}"),
            TextColumn("{task.fields[facts]}"),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._bar = self._progress.add_task("starting", total=self._total, left="", facts="")
        self._label = ""
        self._phase_total = self._expected = self._count = self._fresh = 0
        self._successes, self._rewards, self._tokens = 0, 0.0, 0
        self._done = 0
        self._start = time.monotonic()

    def __enter__(self) -> LiveObserver:
        self._progress.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: TracebackType | BaseException | None) -> None:
        if kind is None:
            self._finish_phase()
        self._progress.stop()

    def phase(self, phase: Phase, epoch: int, arm: Arm, seed: int, total: int) -> None:
        """A phase begins: prints how the one before ended."""
        self._finish_phase()
        self._training = phase == "train"
        what = "train" if phase == "train" else f"test, {'with' if arm == 'memory' else 'without'} memory"
        when = f"trial {epoch + 1}" if self._trials else f"epoch {epoch}"
        self._label = f"seed {seed}  {when}  {what}"
        self._phase_total, self._count, self._successes, self._rewards = total, 0, 0, 0.0

    def episode(self, record: EpisodeRecord, *, replayed: bool) -> None:
        """An episode is done."""
        self._count += 1
        self._done += 1
        self._fresh += not replayed
        self._successes += record.success
        self._rewards += record.reward
        self._tokens += record.usage.prompt_tokens + record.usage.completion_tokens
        self._progress.update(
            self._bar,
            completed=self._done,
            description=f"{self._label}  {self._count}/{self._phase_total}",
            left=self._time_left(),
            facts=(
                f"success {self._successes / self._count:.0%}  reward {self._rewards / self._count:.2f}  "
                f"memory {record.memory_size}  tokens {self._tokens:,}"
            ),
        )
        if self._person:  # whoever plays never sees the page after the last action
            self._console.print(f"This task is over: reward {record.reward:g}, success: {record.success}")

    def _time_left(self) -> str:
        if not self._fresh:
            return ""
        pace = (time.monotonic() - self._start) / self._fresh
        left = max(self._total - self._done, 0) * pace
        return f"ETA {int(left // 60)}:{int(left % 60):02d}"

    def _skipped(self) -> str:
        fewer = self._train - self._phase_total if self._training else 0
        return f"  ({fewer} solved in epoch 1 and skipped)" if fewer else ""

    def _tasks(self) -> str:
        return "1 task" if self._count == 1 else f"{self._count} tasks"

    def _finish_phase(self) -> None:
        if self._label and self._count:
            self._console.print(
                f"{self._label:<38} {self._tasks():<10} success {self._successes / self._count:6.1%}"
                f"  reward {self._rewards / self._count:.3f}{self._skipped()}",
                highlight=False,
                soft_wrap=True,
            )
        self._label = ""
