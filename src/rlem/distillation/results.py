"""What the grid world experiment found, as data; no torch here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from rlem.distillation.grid import Integers
from rlem.evidence import Interval, Values, mean_interval, paired_difference

DISTILLED = "Algorithm Distillation"
RESAMPLES = 2_000
LAST = 5
"""So many episodes are the end, and as many the beginning."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Learner:
    """Return by episode, episode 1 first: mean over goals and seeds, with interval."""

    name: str
    curve: tuple[Interval, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    """What training cost, each seed: mean loss of the last 50 steps in nats, seconds, processor seconds.

    ``steps``: of training.
    """

    losses: tuple[float, ...]
    wall_s: tuple[float, ...]
    cpu_s: tuple[float, ...]
    weights: int
    steps: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Results:
    """The comparison. ``best``: mean return of who knows the goal; ``differences``: paired, by name.

    ``steps``: of an episode. ``context``: in steps.
    """

    size: int
    steps: int
    context: int
    goals: int
    seeds: int
    episodes: int
    best: float
    trained: Trained
    learners: tuple[Learner, ...]
    differences: Mapping[str, Interval | None]


def values(returns: Integers, goals: Integers, part: slice) -> Values:
    """Mean return over a part of the episodes by (goal, seed), of returns [seed, goal, episode]."""
    means = returns[:, :, part].mean(axis=2)
    return {
        (f"goal {goal}", seed): float(means[seed, row])
        for seed in range(len(means))
        for row, goal in enumerate(goals.tolist())
    }


def learners(returns: Mapping[str, Integers], goals: Integers) -> tuple[Learner, ...]:
    """A curve of each learner, from its returns [seed, goal, episode]."""
    return tuple(
        Learner(
            name=name,
            curve=tuple(
                mean_interval(values(part, goals, slice(episode, episode + 1)), resamples=RESAMPLES)
                for episode in range(part.shape[2])
            ),
        )
        for name, part in returns.items()
    )


def differences(returns: Mapping[str, Integers], goals: Integers) -> dict[str, Interval | None]:
    """The distilled learner less its own beginning, and less each other one: at the end, and all along."""
    parts = {f"last {LAST} episodes": slice(-LAST, None), "all episodes": slice(None)}
    mine = returns[DISTILLED]
    end, begin = values(mine, goals, slice(-LAST, None)), values(mine, goals, slice(LAST))
    found = {f"last {LAST} episodes less its own first {LAST}": paired_difference(end, begin).interval}
    for when, part in parts.items():
        for name, other in returns.items():
            if name != DISTILLED:
                pair = values(mine, goals, part), values(other, goals, part)
                found[f"{when} less {name}"] = paired_difference(*pair).interval
    return found
