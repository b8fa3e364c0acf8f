"""Built-in control of a run: which training episodes get no memory, and what they say (docs/control.md)."""

from __future__ import annotations

from rlem.agents.base import MEMORY_AGENTS
from rlem.api.control import Tally, coin
from rlem.core.types import Control, Task
from rlem.runner.records import EpisodeRecord, Phase, RunConfig


def control_of(config: RunConfig) -> Control | None:
    """The control of a run's training; None without one. The outcome is success."""
    if not config.share or config.agent not in MEMORY_AGENTS:
        return None
    return Control(chance=config.share, guard=config.guard)


def chance_of(config: RunConfig, phase: Phase) -> float:
    """Of withholding single experiences from an episode of that phase."""
    return config.share if config.guard and phase == "train" else 0.0


def withheld(control: Control | None, seed: int, epoch: int, task: Task) -> bool:
    """Whether the control withholds memory from a training episode."""
    return control is not None and coin(control.chance, seed, epoch, task.id)


def count_in(tally: Tally, record: EpisodeRecord) -> bool:
    """Adds a training record to the tally of its seed; whether it counted. Broken ones count as failures."""
    solved = record.success and record.status != "broken"
    return tally.add(float(solved), withheld=record.arm == "no-memory", tried=record.tried.items())
