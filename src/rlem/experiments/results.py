"""What an experiment gave, in numbers: the schema of ``results.json``. Shares and differences are in 0..1."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, computed_field

from rlem.evidence.intervals import RESAMPLES

COARSE = 2_000
"""Resamples where each is slow; their quantiles are off by a third of a per cent or so."""
METHOD = (
    f"95 % percentile bootstrap intervals, {RESAMPLES:,} resamples ({COARSE:,} for the middle half and for "
    "P(better)) of tasks and, across them, of runs (Owen 2007; Efron & Tibshirani 1993); a run is one seed "
    "of one initial experience and training set. Differences are paired by task and seed, and by initial "
    "experience and training set where both rows have them"
)


class _Result(BaseModel):
    model_config = ConfigDict(frozen=True)


class Span(_Result):
    """A mean with its 95 % interval. ``note``: why the interval says less than it seems, else ""."""

    mean: float
    low: float
    high: float
    note: str = ""


class Compared(Span):
    """Success of one row minus another's, paired by task and seed.

    p_value      two-sided sign-flip test over tasks; ``exact``: all flips were counted, none drawn
    p_adjusted   the same, corrected for the ``comparisons`` of its family (Holm)
    detectable   about the smallest difference that so many tasks and runs find in four of five cases, by the
                 corrected test; null where so few tasks can find none, and where no outcome differed, which
                 cannot show it
    """

    p_value: float
    exact: bool
    p_adjusted: float | None = None
    comparisons: int = 1
    detectable: float | None = None
    tasks: int
    seeds: int
    runs: int = 0


class Combination(_Result):
    """One initial experience with one training set."""

    initial: str
    train: str
    success: Span


class Stability(_Result):
    """Spread of success over initial experiences and training sets (standard deviation, freed of sampling
    noise), the static row's, and the first minus the second: below 0, the row is more stable.

    ratio    the first over the second; null where the second is 0, and so without an interval
    """

    spread: Span
    static: Span
    difference: Span

    @computed_field  # type: ignore[prop-decorator]
    @property
    def ratio(self) -> float | None:
        """Of the two spreads."""
        return self.spread.mean / self.static.mean if self.static.mean else None


class Kind(_Result):
    """Tasks of a kind that training had none of; on these tasks the baseline, and the row that was trained on
    all kinds (``RowResult.against``)."""

    kind: str
    tasks: int
    success: Span
    baseline: Span | None = None
    gain: Compared | None = None
    trained: Span | None = None
    gain_trained: Compared | None = None


class Kept(_Result):
    """Success on a training set's own tasks: after its own training, at the end of later training, and what
    is lost between the two."""

    own: Span
    later: Span
    forgotten: Compared


class RowResult(_Result):
    """One row: what it scored at the end.

    gain, gain_static   its success minus the baseline's, and the static row's
    worth               success of the whole method minus the row's, of rows that lack or change a part of it
    against             the row that ``worth`` and ``kinds`` are compared with: the whole method; of unseen
                        kinds, where there is one, the row that differs only in having been trained on them
    same_training       whether that row has the same training sets
    improvement         chance that a run of it earns more than one of the baseline on a task (1/2: neither)
    middle              interquartile mean of the reward
    spread              standard deviation over combinations, freed of sampling noise
    steps ... memory_size   mean of an episode; ``cost_usd`` is null where a price is unknown
    curve, memory       success and experiences in memory by epoch
    """

    name: str
    group: str
    agent: str = ""
    note: str = ""
    cells: int = 0
    missing: int = 0
    tasks: int = 0
    seeds: int = 0
    success: Span | None = None
    reward: Span | None = None
    middle: Span | None = None
    improvement: Span | None = None
    gain: Compared | None = None
    gain_static: Compared | None = None
    worth: Compared | None = None
    against: str = ""
    same_training: bool = True
    spread: Span | None = None
    stability: Stability | None = None
    combinations: tuple[Combination, ...] = ()
    kinds: tuple[Kind, ...] = ()
    kept: Kept | None = None
    steps: float | None = None
    calls: float | None = None
    tokens: float | None = None
    cost_usd: float | None = None
    memory_size: float | None = None
    broken: int = 0
    curve: dict[int, Span] = {}
    memory: dict[int, float] = {}

    @property
    def tokens_per_success(self) -> float | None:
        """Tokens of all test episodes over those that succeeded; None where none did."""
        return self._per_success(self.tokens)

    @property
    def cost_per_success(self) -> float | None:
        """Dollars of all test episodes over those that succeeded; None where none did, or not known."""
        return self._per_success(self.cost_usd)

    @property
    def sensitivity(self) -> float | None:
        """What could be seen of its worth, where it is a part, else of its gain."""
        compared = self.worth or self.gain
        return compared.detectable if compared else None

    def _per_success(self, spent: float | None) -> float | None:
        return (
            None if spent is None or not self.success or not self.success.mean else spent / self.success.mean
        )


class Results(_Result):
    """What an experiment gave so far, and how it was obtained.

    schema_version   raised where a name changes its meaning or goes
    code        digest of the parts of rlem that play
    left_out    rows that are not played with this model, and why
    training    success of the whole method by number of training tasks
    """

    schema_version: int = 2
    experiment: str
    title: str
    environment: str
    data: str = ""
    model: str
    model_is: str
    test: str
    baseline: str
    static: str = ""
    whole: str = ""
    command: str = ""
    code: str = ""
    version: str = ""
    method: str = METHOD
    rows: tuple[RowResult, ...]
    left_out: dict[str, str] = {}
    training: dict[int, Span] = {}

    def row(self, name: str) -> RowResult | None:
        """The row of that name."""
        return next((row for row in self.rows if row.name == name), None)
