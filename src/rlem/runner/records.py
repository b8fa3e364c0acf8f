"""The run-record schema: what a run folder holds. Typed, versioned, one JSON object a line.

A run folder:

    config.json        what was asked (RunConfig): the same command with the same folder resumes it
    episodes.jsonl     one EpisodeRecord a line, in canonical order; holds no times, so that the same
                       seeds give the same bytes
    timings.jsonl      seconds per episode (differs between runs)
    versions.json      rlem, Python and library versions
    memory-SEED.rlem   the experience memory of each seed, where it is not on a server
    lock               process that plays, or played last
    summary.json, report.html, learning_curve.png     made from the above by ``rlem.reports``
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    field_validator,
    model_serializer,
    model_validator,
)

SCHEMA_VERSION = 1

Phase = Literal["train", "eval"]
Arm = Literal["memory", "no-memory"]
Learn = Literal["all", "rewarded", "solved"]


class Record(BaseModel):
    """Base of all records: frozen, unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class AdviceRecord(Record):
    """One exemplar that was shown: where it came from and what it advised.

    ``encouraged``, ``discouraged``: (action, value, visits) triples as shown; ``untried``: actions that
    the exemplar's situation offers and nobody tried; ``parts``: the similarity by feature; ``reasons``: what
    an action was done to, where its text does not say so (numbers of elements).
    """

    key: str
    similarity: float
    parts: dict[str, float] = Field(default_factory=dict)
    task: str = ""
    encouraged: list[tuple[str, float, int]] = Field(default_factory=list)
    discouraged: list[tuple[str, float, int]] = Field(default_factory=list)
    untried: list[str] = Field(default_factory=list)
    reasons: dict[str, str] = Field(default_factory=dict)

    @model_serializer(mode="wrap")
    def _terse(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Without ``reasons`` where there are none: such records stay what older versions wrote and read."""
        data: dict[str, Any] = handler(self)
        if not self.reasons:
            data.pop("reasons", None)
        return data


class StepRecord(Record):
    """One decision: what was seen, what was advised, what was answered, what it earned.

    ``action`` is None for a format failure (``failure`` says why); ``repairs`` counts what the answer
    parser had to mend.
    """

    observation: str
    actions: list[str] = Field(default_factory=list)
    subtask: str = ""
    action: str | None
    reason: str = ""
    reward: float = 0.0
    answer: str = ""
    failure: str = ""
    repairs: dict[str, int] = Field(default_factory=dict)
    advice: list[AdviceRecord] = Field(default_factory=list)


class UsageRecord(Record):
    """Tokens and money of an episode; ``cost_usd`` is null where the price is unknown."""

    calls: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    cost_usd: float | None = 0.0


class EpisodeRecord(Record):
    """One episode of a run. ``epoch`` 0 is before any training; training epochs count from 1.

    An evaluation at epoch e plays after training epoch e. ``arm`` says whether memory was given to the
    agent. ``memory_size``: experiences in memory when the episode's batch began. ``reflection``: what
    the agent wrote after it, for the next trial of the task. A training episode without memory was withheld
    it by the control. ``tried``: experiences that the guard threw a coin for, by key, in the order in which
    they came up, and whether each was withheld. ``muted``: keys of those that it never shows any more.
    """

    schema_version: int = SCHEMA_VERSION
    phase: Phase
    epoch: int
    arm: Arm
    seed: int
    agent: str
    task_id: str
    instruction: str
    kind: str = ""
    status: Literal["terminated", "truncated", "broken"]
    cause: str = ""
    success: bool
    reward: float
    memory_size: int = 0
    usage: UsageRecord = Field(default_factory=UsageRecord)
    reflection: str = ""
    tried: dict[str, bool] = Field(default_factory=dict)
    muted: list[str] = Field(default_factory=list)
    steps: list[StepRecord] = Field(default_factory=list)

    @model_serializer(mode="wrap")
    def _terse(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Without empty fields that came later: such records stay what older versions wrote and read."""
        data: dict[str, Any] = handler(self)
        for name in ("reflection", "tried", "muted"):
            if not getattr(self, name):
                data.pop(name, None)
        return data

    def teaches(self, learn: Learn) -> bool:
        """Whether a memory that learns such episodes takes something from this one."""
        wanted = {"all": True, "rewarded": self.reward > 0, "solved": self.success}
        return bool(self.steps) and wanted[learn]


class RunConfig(Record):
    """What a run was asked to do. Written once; a resumed run must match it.

    train_tasks, later_tasks   training sets: ``epochs`` over the first, then as many over each later one
    without_kinds              kinds of tasks that are left out of training
    test_tasks, test_kinds     held-out tasks, those of certain kinds only where some are named
    test_epochs                "every": tests before training and after each epoch; "last": at the end only
    retest                     test tasks may be training tasks: to see what is kept, not what carries over
    epochs                     over a training set; of the agent "reflexion": trials after the first
    learn                      "all" episodes, "rewarded" ones (a return above 0), or "solved" ones
    control                    test without memory, too; a share between 0 and 1: besides, withhold memory in
                               that share of the training episodes
    guard                      mute what does harm in training; needs such a share (docs/control.md)
    memory_url                 memory on a server in place of the run's own files, without a password; others
                               may learn there too. "{seed}" in it stands for the seed
    """

    schema_version: int = SCHEMA_VERSION
    environment: str
    environment_options: dict[str, Any] = Field(default_factory=dict)
    agent: str = "rememberer"
    agent_options: dict[str, Any] = Field(default_factory=dict)
    model: str = "embedded"
    model_options: dict[str, Any] = Field(default_factory=dict)
    train_tasks: str = "S0"
    later_tasks: list[str] = Field(default_factory=list)
    without_kinds: list[str] = Field(default_factory=list)
    test_tasks: str = "test"
    test_kinds: list[str] = Field(default_factory=list)
    test_epochs: Literal["every", "last"] = "every"
    retest: bool = False
    epochs: int = Field(default=3, ge=0)
    seeds: list[int] = Field(default_factory=lambda: [0], min_length=1)
    max_steps: int = Field(default=15, ge=1)
    batch_size: int = Field(default=1, ge=1)
    learn: Learn = "all"
    skip_solved: bool = True
    control: bool | float = True
    guard: bool = False
    initial_memory: str = ""
    memory_url: str = ""
    memory_options: dict[str, Any] = Field(default_factory=dict)

    @field_validator("control")
    @classmethod
    def _share(cls, value: bool | float) -> bool | float:
        if isinstance(value, bool) or 0 < value < 1:
            return value
        if value == 0:
            return False
        raise ValueError(f"control={value} is not possible: give true, false or a share between 0 and 1")

    @model_validator(mode="after")
    def _guarded(self) -> RunConfig:
        if self.guard and not self.share:
            raise ValueError("guard needs a control that is a share between 0 and 1, as 0.2")
        return self

    @property
    def share(self) -> float:
        """Share of the training episodes that are played without memory."""
        return 0.0 if isinstance(self.control, bool) else self.control
