"""What an agent is: something that turns the view of one step into a decision."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from rlem.core.types import JSON, Episode, Situation, Step, Task
from rlem.llm.base import Completion, Usage

MEMORY_AGENTS = ("rememberer", "react-memory")
"""Agents that recall from a memory; all others have nothing to train."""

REASONERS = ("react", "react-memory", "rci", "chain-of-thought", "reflexion")
"""Agents that have a model think in words of its own: the embedded reader cannot."""

REFLEXION = "reflexion"
"""The agent that tries a task several times. It has its own loop: trials in place of training."""

MODEL_AGENTS = ("rememberer", "llm-only", "static", *REASONERS)
"""Agents that ask a model."""

AGENTS = (*MODEL_AGENTS, "random", "human", "oracle")
"""All agents by name."""


def hides_nothing(key: str) -> bool:
    """No experience is hidden."""
    return False


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """All an agent may look at when it decides. ``training``: it may explore; tests must not.
    ``reflections``: what the agent wrote after earlier trials of the task, the oldest first.
    ``hides``: whether the experience of a key must not be shown in this episode; asked of those only that
    would be."""

    task: Task
    step: Step
    history: tuple[str, ...] = ()
    reasons: tuple[str, ...] = ()
    last_reward: float = 0.0
    total_reward: float = 0.0
    step_index: int = 0
    seed: int = 0
    training: bool = False
    reflections: tuple[str, ...] = ()
    hides: Callable[[str], bool] = hides_nothing

    @property
    def situation(self) -> Situation:
        """The key of this decision."""
        return Situation(
            task=self.task.instruction,
            observation=self.step.observation,
            actions=self.step.actions,
            subtask=self.step.subtask,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What an agent decided. ``action=None``: no usable answer, with ``failure`` saying why.

    ``repairs`` counts what the parser had to mend, by kind. ``advice`` is the JSON form of what memory
    advised (empty without memory); ``answer`` is the model's raw text.
    """

    action: str | None
    reason: str = ""
    failure: str = ""
    usage: Usage = field(default_factory=Usage)
    repairs: Mapping[str, int] = field(default_factory=dict)
    advice: tuple[JSON, ...] = ()
    answer: str = ""


@runtime_checkable
class Agent(Protocol):
    """Chooses actions. Holds no state of an episode: everything it needs is in the view. Thread-safe."""

    @property
    def name(self) -> str:
        """How reports call it."""
        ...

    def act(self, view: View) -> Decision:
        """Decides on one step. Raises only ModelError (the episode is then broken, not the run)."""
        ...


@runtime_checkable
class Reflecting(Protocol):
    """An agent that has something to write after a failed trial, for its next trial of the same task."""

    def reflect(self, episode: Episode, *, seed: int = 0) -> Completion:
        """What to do otherwise. Raises only ModelError."""
        ...
