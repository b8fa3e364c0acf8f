"""How many tokens the context of Algorithm Distillation would need on a run, beside what Rememberer sent.

Algorithm Distillation acts with its whole learning history in the context. Of a run that is every training
episode in order of play, broken ones left out, each decision as text. Two readings of "history":

    full           once an episode the task; each decision: due step (if any), observation, available actions,
                   action, reward
    observations   each decision: the observation and nothing else; less than this tells no learner anything

Tokens are counted text by text and added up. Rememberer's are those the run recorded as used.
Source: Zhang et al. 2023, section 2 (why text agents cannot afford it); Laskin et al. 2022.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate
from pathlib import Path
from statistics import fmean

from rlem.core.errors import RunError
from rlem.llm.tokens import TokenCounter
from rlem.reports.reading import EPISODES, EpisodeFile, read_config
from rlem.runner.records import EpisodeRecord, StepRecord

CONTEXTS = {"8k": 8_192, "128k": 131_072, "1M": 1_048_576}
"""Known lengths of contexts, in tokens."""


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """Tokens of one seed's learning history after each training episode, episode 1 first.

    ``ends``: how many episodes had been played when each epoch ended, by epoch.
    """

    seed: int
    full: tuple[int, ...]
    observations: tuple[int, ...]
    ends: dict[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """Prompt tokens a decision that Rememberer sent in an epoch (training, and test with memory).

    A record holds sums over an episode: ``most`` is the largest mean of an episode, not the largest prompt.
    """

    epoch: int
    calls: int
    mean: float
    most: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Count:
    """What counting a run found. ``decisions``: training decisions of all seeds together."""

    run: str
    environment: str
    agent: str
    model: str
    counter: str
    decisions: int
    histories: tuple[History, ...]
    sent: tuple[Sent, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One epoch of a run: histories (mean over seeds) at its end against a prompt of that epoch."""

    epoch: int
    episodes: float
    full: float
    observations: float
    sent: Sent | None

    @property
    def ratio(self) -> float | None:
        """Full history in prompts of Rememberer's; None where the run recorded none."""
        return self.full / self.sent.mean if self.sent else None


def full_text(step: StepRecord) -> str:
    """A decision as a history would show it."""
    due = f"Step: {step.subtask}\n" if step.subtask else ""
    actions = f"Actions: {', '.join(step.actions)}\n" if step.actions else ""
    return f"{due}{step.observation}\n{actions}Action: {step.action or ''}\nReward: {step.reward:g}\n"


def task_text(episode: EpisodeRecord) -> str:
    """What begins an episode in a history."""
    return f"Task: {episode.instruction}\n"


def count_run(folder: Path, tokens: TokenCounter, *, counter: str) -> Count:
    """Counts a run folder. Raises: RunError where it holds no training; as ``reports.reading`` does."""
    config = read_config(folder)
    return count_episodes(
        (record for _, record in EpisodeFile(folder / EPISODES)),
        tokens,
        run=folder.name or str(folder),
        environment=config.environment,
        model=config.model,
        counter=counter,
    )


def count_episodes(
    episodes: Iterable[EpisodeRecord],
    tokens: TokenCounter,
    *,
    run: str,
    environment: str = "",
    model: str = "",
    counter: str = "",
) -> Count:
    """Counts episodes in order of play; ``counter`` says in words what ``tokens`` is."""
    tokens = lru_cache(maxsize=4096)(tokens)  # pages come again and again
    lengths: dict[int, list[tuple[int, int]]] = defaultdict(list)
    ends: dict[int, dict[int, int]] = defaultdict(dict)
    usage: dict[int, list[tuple[int, int]]] = defaultdict(list)
    decisions, agent = 0, ""
    for episode in episodes:
        if episode.status == "broken":
            continue
        if episode.arm == "memory" and episode.usage.calls:
            usage[episode.epoch].append((episode.usage.calls, episode.usage.prompt_tokens))
        if episode.phase == "train":
            full = tokens(task_text(episode)) + sum(tokens(full_text(step)) for step in episode.steps)
            lengths[episode.seed].append((full, sum(tokens(step.observation) for step in episode.steps)))
            ends[episode.seed][episode.epoch] = len(lengths[episode.seed])
            decisions, agent = decisions + len(episode.steps), episode.agent
    if not lengths:
        raise RunError(f"run {run!r} holds no training episode: there is no learning history to count")
    return Count(
        run=run,
        environment=environment,
        agent=agent,
        model=model,
        counter=counter,
        decisions=decisions,
        histories=tuple(
            History(
                seed=seed,
                full=tuple(accumulate(full for full, _ in lengths[seed])),
                observations=tuple(accumulate(seen for _, seen in lengths[seed])),
                ends=ends[seed],
            )
            for seed in sorted(lengths)
        ),
        sent=tuple(_sent(epoch, usage[epoch]) for epoch in sorted(usage)),
    )


def _sent(epoch: int, episodes: Sequence[tuple[int, int]]) -> Sent:
    calls = sum(number for number, _ in episodes)
    return Sent(
        epoch=epoch,
        calls=calls,
        mean=sum(prompt for _, prompt in episodes) / calls,
        most=max(prompt / number for number, prompt in episodes),
    )


def rows(count: Count) -> list[Row]:
    """The table of a run: one row an epoch of training."""
    sent = {one.epoch: one for one in count.sent}
    found = []
    for epoch in sorted({epoch for history in count.histories for epoch in history.ends}):
        there = [(history, history.ends[epoch]) for history in count.histories if epoch in history.ends]
        found.append(
            Row(
                epoch=epoch,
                episodes=fmean(end for _, end in there),
                full=fmean(history.full[end - 1] for history, end in there),
                observations=fmean(history.observations[end - 1] for history, end in there),
                sent=sent.get(epoch),
            )
        )
    return found


def episodes_that_fit(history: Sequence[int], context: int) -> tuple[int, bool]:
    """How many first episodes of a history fit a context, and whether the run was long enough to see it.

    Beyond the run's end the history is taken to go on at its mean pace.

    >>> episodes_that_fit([40, 80, 120], 100), episodes_that_fit([40, 80, 120], 1000)
    ((2, True), (25, False))
    """
    fitting = sum(length <= context for length in history)
    if fitting < len(history):
        return fitting, True
    return (context * len(history) // history[-1] if history[-1] else len(history)), False
