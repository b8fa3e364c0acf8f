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

import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate
from pathlib import Path
from statistics import fmean

from rlem.agents.base import MEMORY_AGENTS
from rlem.core.errors import RunError
from rlem.experiments.work import DONE
from rlem.llm.tokens import TokenCounter
from rlem.reports.reading import EPISODES, EpisodeFile, read_config
from rlem.runner.records import EpisodeRecord, RunConfig, StepRecord
from rlem.runner.setup import prompt_options

CONTEXTS = {"8k": 8_192, "128k": 131_072, "1M": 1_048_576}
"""Known lengths of contexts, in tokens."""

_ASIDE = {"seeds", "initial_memory", "test_tasks", "test_kinds", "test_epochs", "retest", "control"}
"""What runs may differ in and still have learning histories of one kind."""


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """Tokens of one learning history, a run's and seed's, after each training episode, episode 1 first.

    ``ends``: how many episodes had been played when each epoch ended, by epoch.
    """

    run: str
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
    """What counting runs on one task set found, all seeds and initial experiences together.

    ``counter``: what counted the history. ``limit``: tokens that new input and exemplars of a prompt may
    have together (``max_input_tokens``). ``decisions``: those of training.
    """

    environment: str
    tasks: str
    agent: str
    model: str
    counter: str
    limit: int
    decisions: int
    histories: tuple[History, ...]
    sent: tuple[Sent, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One epoch of a count: histories (mean over all) at its end against the prompts of that epoch.

    A history that had nothing left to train on stays as long as it was.
    """

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


def alike(folders: Iterable[Path]) -> list[list[Path]]:
    """Run folders by environment and training set; those that differ in seed, initial experience or test
    only stand together.

    A folder of ``rlem reproduce`` stands for its finished runs of the agent with a memory that trained with
    the settings that most of them have: the whole method on each task set, not its ablations. Of one run
    played by several versions of rlem, the last counts. What is named twice counts once.
    Raises: RunError, DataError as ``reports.reading`` does; RunError where nothing was trained.
    """
    groups: dict[tuple[str, str, int, str], list[Path]] = defaultdict(list)
    runs = (_whole_method(folder) if (folder / "cells").is_dir() else [folder] for folder in folders)
    for run in {run.resolve(): run for found in runs for run in found}.values():
        config = read_config(run)
        order = config.environment, tasks_of(config), config.epochs
        groups[(*order, config.model_dump_json(exclude=_ASIDE))].append(run)
    return [groups[key] for key in sorted(groups)]


def _whole_method(folder: Path) -> list[Path]:
    by_age = sorted(folder.glob(f"cells/*/{DONE}"), key=lambda done: done.stat().st_mtime_ns)
    if not by_age:
        raise RunError(f"{folder} holds no finished run: let `rlem reproduce` play on, with the same --out")
    configs = {done.parent: read_config(done.parent) for done in by_age}
    newest = {_asked(config): cell for cell, config in configs.items()}
    settings = {
        cell: json.dumps([config.agent, config.agent_options, config.memory_options, config.learn])
        for cell, config in sorted((cell, configs[cell]) for cell in newest.values())
        if config.agent in MEMORY_AGENTS and config.epochs
    }
    if not settings:
        raise RunError(f"{folder} holds no run that trained a memory: there is no learning history to count")
    usual = Counter(settings.values()).most_common(1)[0][0]
    return [cell for cell, own in settings.items() if own == usual]


def _asked(config: RunConfig) -> str:
    """What a run is whatever version played it: files and schemas bear digests and lie anywhere."""
    initial = re.sub(r"-[0-9a-f]{8}(?=\.jsonl$)", "", Path(config.initial_memory).name)
    url = config.memory_url.partition("schema=")[0]
    return config.model_copy(update={"initial_memory": initial, "memory_url": url}).model_dump_json()


def count_runs(folders: Sequence[Path], tokens: TokenCounter, *, counter: str) -> Count:
    """Counts run folders that are alike. Raises: RunError where they hold no training; as ``alike`` does."""
    episodes = {str(folder): (record for _, record in EpisodeFile(folder / EPISODES)) for folder in folders}
    return count_episodes(episodes, tokens, read_config(folders[0]), counter=counter)


def count_episodes(
    runs: Mapping[str, Iterable[EpisodeRecord]], tokens: TokenCounter, config: RunConfig, *, counter: str
) -> Count:
    """Counts the episodes of runs, each in order of play; ``counter`` says in words what ``tokens`` is."""
    tokens = lru_cache(maxsize=4096)(tokens)  # pages come again and again
    lengths: dict[tuple[str, int], list[tuple[int, int]]] = defaultdict(list)
    ends: dict[tuple[str, int], dict[int, int]] = defaultdict(dict)
    usage: dict[int, list[tuple[int, int]]] = defaultdict(list)
    decisions = 0
    for run, episodes in runs.items():
        for episode in episodes:
            if episode.status == "broken":
                continue
            if episode.arm == "memory" and episode.usage.calls:
                usage[episode.epoch].append((episode.usage.calls, episode.usage.prompt_tokens))
            if episode.phase == "train":
                key = run, episode.seed
                full = tokens(task_text(episode)) + sum(tokens(full_text(step)) for step in episode.steps)
                lengths[key].append((full, sum(tokens(step.observation) for step in episode.steps)))
                ends[key][episode.epoch] = len(lengths[key])
                decisions += len(episode.steps)
    if not lengths:
        raise RunError(
            f"run {', '.join(runs)!r} holds no training episode: there is no learning history to count"
        )
    return Count(
        environment=config.environment,
        tasks=tasks_of(config),
        agent=config.agent,
        model=config.model,
        counter=counter,
        limit=prompt_options(config).max_input_tokens,
        decisions=decisions,
        histories=tuple(
            History(
                run=run,
                seed=seed,
                full=tuple(accumulate(full for full, _ in lengths[run, seed])),
                observations=tuple(accumulate(seen for _, seen in lengths[run, seed])),
                ends=ends[run, seed],
            )
            for run, seed in sorted(lengths)
        ),
        sent=tuple(_sent(epoch, usage[epoch]) for epoch in sorted(usage)),
    )


def tasks_of(config: RunConfig) -> str:
    """The training sets of a run in words.

    >>> tasks_of(RunConfig(environment="webshop", later_tasks=["S1"], without_kinds=["toys"]))
    'S0, then S1, without toys'
    """
    without = [f"without {kind}" for kind in config.without_kinds]
    return ", ".join([config.train_tasks, *(f"then {later}" for later in config.later_tasks), *without])


def _sent(epoch: int, episodes: Sequence[tuple[int, int]]) -> Sent:
    calls = sum(number for number, _ in episodes)
    return Sent(
        epoch=epoch,
        calls=calls,
        mean=sum(prompt for _, prompt in episodes) / calls,
        most=max(prompt / number for number, prompt in episodes),
    )


def rows(count: Count) -> list[Row]:
    """The table of a run: one row an epoch of training, those in which nothing was left to train on too."""
    sent = {one.epoch: one for one in count.sent}
    found = []
    last = max([*sent, *(max(history.ends) for history in count.histories)])
    for epoch in range(1, last + 1):
        there = [
            (history, max((end for at, end in history.ends.items() if at <= epoch), default=0))
            for history in count.histories
        ]
        found.append(
            Row(
                epoch=epoch,
                episodes=fmean(end for _, end in there),
                full=fmean((0, *history.full)[end] for history, end in there),
                observations=fmean((0, *history.observations)[end] for history, end in there),
                sent=sent.get(epoch),
            )
        )
    return found


def fitting(count: Count, context: int) -> tuple[float, bool]:
    """How many first episodes of a history fit a context, mean over histories; whether all was played."""
    found = [episodes_that_fit(history.full, context) for history in count.histories]
    return fmean(episodes for episodes, _ in found), all(seen for _, seen in found)


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
