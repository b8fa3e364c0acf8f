"""One episode: the loop of environment and agent, and what it leaves as a record."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any, cast

from rlem.agents.base import Agent, Decision, Reflecting, View, hides_nothing
from rlem.api.control import Trial
from rlem.core.errors import (
    BudgetExceededError,
    EnvironmentFaultError,
    ModelError,
    ModelRejectedError,
    RlemError,
)
from rlem.core.seeds import derive_seed
from rlem.core.types import Control, Controlled, Episode, Situation, Step, Task, Transition
from rlem.environments.base import Environment
from rlem.llm.base import Usage
from rlem.memory.codec import finite
from rlem.runner.records import AdviceRecord, Arm, EpisodeRecord, Phase, StepRecord, UsageRecord

MAX_FAILURES = 3
"""Unusable answers in a row after which an episode is broken."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One episode to be played. ``index`` is the task's place in its set.

    ``reflections``: what the agent wrote after earlier trials of the task. ``reflect``: it shall write
    one if this trial fails. ``muted``: experiences that must not be shown; ``chance``: of withholding any
    other one, by a coin of its own.
    """

    phase: Phase
    epoch: int
    arm: Arm
    seed: int
    task: Task
    index: int
    reflections: tuple[str, ...] = ()
    reflect: bool = False
    muted: Collection[str] = ()
    chance: float = 0.0

    @property
    def place(self) -> tuple[str, int, str, int, str]:
        """What names the episode within its run."""
        return (self.phase, self.epoch, self.arm, self.seed, self.task.id)

    @property
    def trial(self) -> Trial:
        """What it is shown: a fresh one."""
        return Trial(self.chance, self.seed, self.epoch, self.task.id, muted=self.muted)


def place_of(record: EpisodeRecord) -> tuple[str, int, str, int, str]:
    """The place of a record, as ``Job.place``."""
    return (record.phase, record.epoch, record.arm, record.seed, record.task_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class Played:
    """A played episode with the seconds it took."""

    record: EpisodeRecord
    seconds: float


@dataclass(slots=True)
class _Progress:
    """What happened so far in an episode."""

    steps: list[StepRecord]
    history: list[str]
    reasons: list[str]
    usage: Usage
    trial: Trial
    total: float = 0.0
    last: float = 0.0
    failures: int = 0


def play(
    environment: Environment,
    agent: Agent,
    job: Job,
    *,
    max_steps: int,
    memory_size: int = 0,
    clock: Callable[[], float] = time.perf_counter,
) -> Played:
    """Plays a job to its end. A fault of model or environment makes a broken record, not an exception.

    Raised are only faults that would break every other episode too: a rejected key or model, a spent
    budget. The step limit counts every decision, usable or not.
    """
    start = clock()
    progress = _Progress([], [], [], Usage(), job.trial)
    status, cause, success = "truncated", "", False
    # Evaluations of all epochs and arms share their seed: differences come from memory alone.
    when = job.epoch if job.phase == "train" else "eval"
    seed = derive_seed(job.seed, job.phase, when, job.task.id)
    try:
        step = environment.reset(job.task, seed=derive_seed(job.seed, job.task.id) % 2**31)
        for index in range(max_steps):
            step = _advance(environment, agent, job, step, progress, index, seed)
            if step.done or progress.failures >= MAX_FAILURES:
                break
        if step.terminated:
            status = "terminated"
        elif progress.failures >= MAX_FAILURES:
            reason = progress.steps[-1].failure
            status, cause = "broken", f"{MAX_FAILURES} unusable answers in a row: {reason}"
        success = status != "broken" and environment.succeeded(progress.total, step)
    except (ModelRejectedError, BudgetExceededError):
        raise
    except RlemError as error:
        status, cause = "broken", f"{type(error).__name__}: {error}"
    except Exception as error:  # a fault of somebody else's environment is data, not a crash
        status, cause = "broken", f"{type(error).__name__} in {environment.name}: {error}"
    record = EpisodeRecord(
        phase=job.phase,
        epoch=job.epoch,
        arm=job.arm,
        seed=job.seed,
        agent=agent.name,
        task_id=job.task.id,
        instruction=job.task.instruction,
        kind=job.task.kind,
        status=cast(Any, status),
        cause=cause[:1000],
        success=success,
        reward=progress.total if status != "broken" else 0.0,
        memory_size=memory_size,
        usage=_usage_record(progress.usage),
        tried=progress.trial.tried,
        muted=sorted(job.muted),
        steps=progress.steps,
    )
    if job.reflect and record.steps and not record.success and isinstance(agent, Reflecting):
        record = _reflected(agent, record, progress.usage, seed)
    return Played(record=record, seconds=clock() - start)


def _reflected(agent: Reflecting, record: EpisodeRecord, usage: Usage, seed: int) -> EpisodeRecord:
    """The record with what the agent writes after it; without, where the model cannot be had just now."""
    episode = episode_of(record, index=0, model="", split="")
    try:
        written = agent.reflect(episode, seed=seed)
    except (ModelRejectedError, BudgetExceededError):
        raise
    except ModelError:
        return record
    spent = _usage_record(usage + written.usage)
    return record.model_copy(update={"reflection": written.text.strip(), "usage": spent})


def _usage_record(usage: Usage) -> UsageRecord:
    return UsageRecord(
        calls=usage.calls,
        prompt_tokens=usage.prompt_tokens,
        cached_tokens=usage.cached_tokens,
        completion_tokens=usage.completion_tokens,
        cost_usd=usage.cost_usd,
    )


def _advance(
    environment: Environment,
    agent: Agent,
    job: Job,
    step: Step,
    progress: _Progress,
    index: int,
    seed: int,
) -> Step:
    """One decision. A format failure is noted and leaves the environment where it is."""
    view = View(
        task=job.task,
        step=step,
        history=tuple(progress.history),
        reasons=tuple(progress.reasons),
        last_reward=progress.last,
        total_reward=progress.total,
        step_index=index,
        seed=seed,
        training=job.phase == "train",
        reflections=job.reflections,
        hides=progress.trial.hides if job.chance or job.muted else hides_nothing,
    )
    decision = agent.act(view)
    progress.usage += decision.usage
    following = step
    if decision.action is None:
        progress.failures += 1
        progress.last = 0.0
    else:
        progress.failures = 0
        following = environment.step(decision.action)
        if finite(following.reward) is None:
            raise EnvironmentFaultError(f"{environment.name} gave the reward {following.reward!r}: no number")
        progress.history.append(decision.action)
        progress.reasons.append(decision.reason)
        progress.last = following.reward
        progress.total += following.reward
    progress.steps.append(_step_record(step, decision, progress.last))
    return following


def _step_record(step: Step, decision: Decision, reward: float) -> StepRecord:
    return StepRecord(
        observation=step.observation,
        actions=list(step.actions),
        subtask=step.subtask,
        action=decision.action,
        reason=decision.reason,
        reward=reward,
        answer=decision.answer,
        failure=decision.failure,
        repairs=dict(decision.repairs),
        advice=[AdviceRecord.model_validate(item) for item in decision.advice],
    )


def episode_of(
    record: EpisodeRecord,
    *,
    index: int,
    model: str,
    split: str,
    control: Control | None = None,
    prefix: str = "",
) -> Episode:
    """The log entry of a training record: what the memory learns is what the record says.

    ``control``: the one under which it was played, if its outcome counts. ``prefix``: of its id, where other
    runs learn in the same memory.
    """
    return Episode(
        id=f"{prefix}train-{record.epoch:03d}-{index:05d}-{record.task_id}",
        task=record.instruction,
        task_id=record.task_id,
        source=f"run/{record.agent}",
        split=split,
        model=model,
        status=record.status,
        cause=record.cause,
        transitions=tuple(
            Transition(
                situation=Situation(
                    task=record.instruction,
                    observation=step.observation,
                    actions=tuple(step.actions),
                    subtask=step.subtask,
                ),
                action=step.action,
                reward=step.reward,
                reason=step.reason,
            )
            for step in record.steps
        ),
        controlled=Controlled(
            control=control,
            withheld=record.arm == "no-memory",
            tried=tuple(record.tried.items()),
            success=record.success,
        )
        if control is not None
        else None,
    )
