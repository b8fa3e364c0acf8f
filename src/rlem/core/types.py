"""The nouns of reinforcement learning as rlem uses them: frozen, slotted, keyword-only.

Words are those of Sutton & Barto. One word has one meaning in code, CLI, docs and logs.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal, TypeAlias

from rlem.core.errors import UsageError

JSON: TypeAlias = "bool | int | float | str | list[JSON] | dict[str, JSON] | None"

Status = Literal["terminated", "truncated", "broken"]
"""How an episode ended: by the environment, by the step limit, or by a fault (teaches nothing)."""

Trust = Literal["verified", "unverified", "quarantined"]
"""verified: rewards came from the owner's own program. unverified: informs, never encourages.
quarantined: stays in the log, informs nobody."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What the agent is asked. ``instruction`` is its text, ``id`` its name within its environment.

    ``kind`` groups tasks of one sort (for per-kind scores); it may be empty.
    """

    id: str
    instruction: str
    kind: str = ""


@dataclass(frozen=True, kw_only=True)
class Situation:
    """What a decision is taken on: the key under which experience is kept.

    ``task`` is the task's text, ``observation`` the page, ``actions`` what is available and
    ``subtask`` the current step's instruction where an environment gives one (WikiHow), else "".
    Two situations are the same when all four are equal.
    Source: Zhang et al. 2023, section 3.2 (task and observation); the actions as in its code.
    """

    task: str
    observation: str
    actions: tuple[str, ...] = ()
    subtask: str = ""

    @cached_property
    def key(self) -> str:
        """Content key: 32 hex digits of a SHA-256 over the four parts, length-prefixed."""
        digest = hashlib.sha256()
        for part in (self.task, self.observation, self.subtask, *self.actions):
            data = part.encode("utf-8", "surrogatepass")
            digest.update(b"%d:" % len(data))
            digest.update(data)
        return digest.hexdigest()[:32]


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One output of an environment.

    ``actions`` are texts that may be sent to ``step``; one with a free argument carries it in angle
    brackets (``search[<words>]``) and stands for every filling. ``terminated``: the task is over;
    ``truncated``: a limit cut it. ``info`` is for people and reports, never for the agent.
    """

    observation: str
    reward: float = 0.0
    terminated: bool = False
    truncated: bool = False
    actions: tuple[str, ...] = ()
    subtask: str = ""
    info: Mapping[str, JSON] = field(default_factory=dict)

    @property
    def done(self) -> bool:
        """Whether the episode is over."""
        return self.terminated or self.truncated


def restart(observation: str, actions: tuple[str, ...], *, subtask: str = "") -> Step:
    """The first step of an episode: no reward, not over."""
    return Step(observation=observation, actions=actions, subtask=subtask)


def transition(observation: str, actions: tuple[str, ...], reward: float = 0.0, *, subtask: str = "") -> Step:
    """A step in the middle of an episode."""
    return Step(observation=observation, actions=actions, reward=reward, subtask=subtask)


def termination(observation: str, reward: float, *, info: Mapping[str, JSON] | None = None) -> Step:
    """The last step of an episode that the environment ended: nothing can be done any more."""
    return Step(observation=observation, reward=reward, terminated=True, info=info or {})


def truncation(observation: str, actions: tuple[str, ...], reward: float = 0.0) -> Step:
    """The last step of an episode that a limit cut: the task itself could have gone on."""
    return Step(observation=observation, actions=actions, reward=reward, truncated=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Transition:
    """One decision and what it earned: r_t is the reward received on leaving o_t by a_t.

    ``action`` is the action's identity; ``reason`` is the model's free text beside it and no part of
    it. ``action=None`` is a format failure: no usable answer, nothing was sent, nothing is learned.
    """

    situation: Situation
    action: str | None
    reward: float
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Correction:
    """A reward that was put right after its episode was in the log: the step, what it was, what it is now.

    ``revision`` and ``recorded_s`` (when it was made) are given by the memory and no part of its content.
    """

    step: int
    was: float
    now: float
    reason: str = ""
    revision: int = 0
    recorded_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Control:
    """How memory is withheld in some episodes, so that its effect can be told.

    ``chance`` that an episode gets no memory, between 0 and 1; ``low`` and ``high``: the range of outcomes;
    ``guard``: single experiences are withheld by coins of their own, too, and what does harm is muted.

    Raises: UsageError for a chance or a range that is not possible.
    """

    chance: float
    low: float = 0.0
    high: float = 1.0
    guard: bool = False

    def __post_init__(self) -> None:
        chance, low, high = self.chance, self.low, self.high
        if isinstance(chance, bool) or not isinstance(chance, int | float) or not 0 < chance < 1:
            raise UsageError(f"control={chance!r} is not possible: give a share between 0 and 1, as 0.2")
        if not -math.inf < low < high < math.inf:
            raise UsageError(f"outcomes from {low!r} to {high!r} are not possible: give a finite range")
        for name in ("low", "high"):  # 0 and 0.0 are one control
            object.__setattr__(self, name, float(getattr(self, name)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Controlled:
    """What was withheld from an episode under a control.

    ``withheld``: whether it got no memory at all; ``tried``: the experiences that the guard threw a coin
    for, by key, in the order in which they first came up, and whether each was withheld. ``success``: the
    outcome, where the caller said it; None: it is the episode's reward.
    """

    control: Control
    withheld: bool
    tried: tuple[tuple[str, bool], ...] = ()
    success: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Episode:
    """One play from reset to end, as it stands in the log.

    ``sequence`` is its place in the canonical order (sequence, id), ``recorded_s`` when it was committed
    (seconds since the epoch); the memory gives both on commit and neither is part of its content.
    ``final`` is the situation after the last transition of a truncated episode (for bootstrapping).
    ``history``, ``last_reward`` and ``total_reward`` describe what went before the first transition
    when recording began in mid-episode (imported pools), else they are empty and zero.
    ``corrections`` say what the rewards of ``transitions`` were before they were put right, oldest first.
    ``controlled``: what was withheld from it; None where no coin was thrown.
    """

    id: str
    task: str
    transitions: tuple[Transition, ...]
    status: Status = "terminated"
    task_id: str = ""
    source: str = ""
    split: str = ""
    model: str = ""
    trust: Trust = "verified"
    cause: str = ""
    final: Situation | None = None
    history: tuple[str, ...] = ()
    last_reward: float = 0.0
    total_reward: float = 0.0
    corrections: tuple[Correction, ...] = ()
    controlled: Controlled | None = None
    sequence: int = 0
    recorded_s: float = 0.0

    @property
    def reward(self) -> float:
        """Sum of the rewards of its transitions (undiscounted return)."""
        return sum(t.reward for t in self.transitions)

    @property
    def outcome(self) -> float | None:
        """What a controlled episode counts for, in its control's range; None for any other.

        Success counts as the highest and failure as the lowest, where the caller said it; else the reward,
        cut to the range. A broken episode counts as the lowest.
        """
        if self.controlled is None:
            return None
        control, success = self.controlled.control, self.controlled.success
        if self.status == "broken" or success is False:
            return control.low
        return control.high if success else min(max(self.reward, control.low), control.high)
