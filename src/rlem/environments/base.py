"""The environment contract. ``rlem.testing.EnvironmentContract`` checks an implementation against it.

An environment plays one episode at a time. ``spawn`` gives an independent one that shares the heavy,
read-only data, so that threads can play side by side.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol, runtime_checkable

from rlem.core.types import Step, Task


@runtime_checkable
class Environment(Protocol):
    """A world of tasks with text observations and text actions.

    The same task, seed and actions give the same steps in every process. An action that is malformed
    or has no effect is answered with a step (reward 0), never with an exception.
    """

    @property
    def name(self) -> str:
        """Short name: names the prompts, similarities and reports that go with it ("webshop")."""
        ...

    @property
    def reward_range(self) -> tuple[float, float]:
        """Least and greatest sum of rewards one episode can earn (may be infinite)."""
        ...

    @property
    def max_steps(self) -> int:
        """Step limit of the published protocol; the runner truncates there unless told otherwise."""
        ...

    def task_sets(self) -> Mapping[str, str]:
        """Named task sets (splits) with one line on each. ``A:B`` ranges are understood besides."""
        ...

    def tasks(self, spec: str) -> Sequence[Task]:
        """Tasks of a named set or of a range ``A:B``. Unknown names: UnknownNameError."""
        ...

    def reset(self, task: Task | str, *, seed: int = 0) -> Step:
        """Begins an episode of that task (or task id)."""
        ...

    def step(self, action: str) -> Step:
        """Sends one action. Before ``reset`` or after the end: UsageError."""
        ...

    def succeeded(self, total_reward: float, last: Step) -> bool:
        """Whether an episode with this return and last step counts as success in the protocol."""
        ...

    def spawn(self) -> Environment:
        """An independent environment over the same data."""
        ...

    def close(self) -> None:
        """Frees what it holds. May be called twice."""
        ...
