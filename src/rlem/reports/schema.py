"""The form of summary.json; ``Summary.model_validate_json`` reads it back."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from rlem.runner.records import Arm, Record, UsageRecord

SUMMARY_VERSION = 1

Metric = Literal["success", "reward"]


class Score(Record):
    """One evaluation: an agent with or without memory at one epoch.

    ``success`` is a share in [0, 1], ``reward`` the mean sum of rewards; ``_low`` and ``_high`` bound
    their 95 % intervals. ``tasks``, ``seeds``, ``episodes`` say what the means are over. A broken episode
    counts as a failure with reward 0. ``memory_size``: experiences, mean over seeds. ``cost_usd`` is null
    where a price is unknown.
    """

    agent: str
    arm: Arm
    epoch: int
    success: float
    success_low: float
    success_high: float
    reward: float
    reward_low: float
    reward_high: float
    tasks: int
    seeds: int
    episodes: int
    broken: int
    truncated: int
    steps: float
    format_failures: int
    repairs: int
    memory_size: float
    calls: int
    prompt_tokens: int
    completion_tokens: int
    cost_usd: float | None


class Difference(Record):
    """A mean difference over pairs of the same task and seed; all null where nothing could be paired.

    ``excludes_zero`` is null where nothing could be paired or the tasks are too few to tell.
    ``unpaired``: episodes left out for want of a partner. ``note``: why there is none, or why it means
    less than it seems.
    """

    metric: Metric
    mean: float | None = None
    low: float | None = None
    high: float | None = None
    tasks: int = 0
    seeds: int = 0
    pairs: int = 0
    unpaired: int = 0
    excludes_zero: bool | None = None
    by_seed: dict[int, float] = Field(default_factory=dict)
    note: str = ""


class Outcomes(Record):
    """How the pairs came out: solved by both, by one only, or by neither."""

    both: int = 0
    memory_only: int = 0
    without_only: int = 0
    neither: int = 0


class Training(Record):
    """One training epoch over all seeds."""

    epoch: int
    episodes: int
    solved: int
    broken: int
    reward: float
    memory_size: float


class Count(Record):
    """Something that happened, how often, and the first place where it did."""

    what: str
    count: int
    first: str = ""


class Live(Record):
    """Memory's effect on success in the training episodes so far, by withholding it in a share of them.

    All in shares of success; the interval holds at every time at once (docs/evidence.md). ``curve``: how it
    narrowed, as (episodes, estimate, low, high). ``muted``: by seed, keys of what the guard muted, "" for the
    whole memory; ``after_muting``: episodes after that, which do not count.
    """

    share: float
    sentence: str
    estimate: float
    low: float
    high: float
    shown: int
    withheld: int
    after_muting: int = 0
    muted: dict[int, list[str]] = Field(default_factory=dict)
    curve: list[tuple[int, float, float, float]] = Field(default_factory=list)


class Summary(Record):
    """Everything a run says in numbers. The sentences are for people, the rest for programs."""

    schema_version: int = SUMMARY_VERSION
    headline: str
    detail: str
    environment: str
    data: str
    agent: str
    model: str
    model_is: str
    comparison: str
    tasks: int
    seeds: list[int]
    evaluation_epoch: int | None
    rows: list[Score]
    paired_difference: Difference
    paired_difference_reward: Difference
    paired_difference_training: Difference
    live: Live | None = None
    outcomes: Outcomes
    curve: list[Score]
    training: list[Training]
    episodes: int
    broken_episodes: int
    broken_causes: list[Count] = Field(default_factory=list)
    format_failures: int
    format_failure_causes: list[Count] = Field(default_factory=list)
    repairs: dict[str, int]
    usage: UsageRecord
    method: str
    notes: list[str]
