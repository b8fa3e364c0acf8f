"""A dark room and the learning histories of tabular Q-learning in it: many rooms at once, numpy only.

The room has size x size cells; one of them, which nobody sees, is the goal. Every episode begins in the
middle and has a fixed number of steps; an action that ends on the goal earns 1, any other nothing. The
agent sees its own cell only, so which room it is in shows in rewards alone.

Source: Laskin et al. 2022, section 4 ("Dark Room": 9 x 9 cells, 20 steps, reward at each step on the goal).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rlem.core.errors import UsageError
from rlem.core.seeds import derive_seed

Integers = NDArray[np.int64]

MOVES = np.array([(0, 0), (-1, 0), (1, 0), (0, -1), (0, 1)])
ACTIONS = ("stay", "up", "down", "left", "right")
"""What can be done; a move into a wall changes nothing."""
NO_ACTION = len(ACTIONS)
"""Stands for the action before the first step of an episode."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """Size of a room (cells a side, odd so that there is a middle) and steps an episode."""

    size: int = 9
    steps: int = 20

    def __post_init__(self) -> None:
        if self.size < 3 or self.size % 2 == 0:
            raise UsageError(f"a room of size {self.size} has no middle: give an odd number, at least 3")
        if self.steps < self.size - 1:
            raise UsageError(f"{self.steps} steps do not reach every corner: give at least {self.size - 1}")

    @property
    def cells(self) -> int:
        """How many cells there are; a cell's number is row * size + column."""
        return self.size * self.size

    @property
    def start(self) -> int:
        """The cell in the middle."""
        return self.cells // 2

    def move(self, cells: Integers, actions: Integers) -> Integers:
        """Where each action leads from each cell; any shape."""
        places = np.stack([cells // self.size, cells % self.size], axis=-1) + MOVES[actions]
        row, column = np.moveaxis(places.clip(0, self.size - 1), -1, 0)
        return np.asarray(row * self.size + column)

    def distance(self, goals: Integers) -> Integers:
        """Steps from the start to each goal."""
        half = self.size // 2
        return np.asarray(abs(goals // self.size - half) + abs(goals % self.size - half))

    def best_return(self, goals: Integers) -> Integers:
        """Return of an episode that walks straight to the goal and stays: the most there is."""
        return self.steps + 1 - np.maximum(self.distance(goals), 1)

    def goals(self, seed: int, held_out: float) -> tuple[Integers, Integers]:
        """All cells but the start as goals, drawn apart: (to learn from, held out)."""
        cells = np.delete(np.arange(self.cells), self.start)
        np.random.default_rng(derive_seed(seed, "goals")).shuffle(cells)
        count = round(held_out * len(cells))
        if not 0 < count < len(cells):
            raise UsageError(f"held_out={held_out}: neither part of the {len(cells)} goals may be empty")
        return np.sort(cells[count:]), np.sort(cells[:count])


@dataclass(frozen=True, slots=True, kw_only=True)
class QLearning:
    """Settings of the source: tabular, epsilon-greedy with epsilon falling linearly to its end.

    Values begin at ``optimism``, above what they can be for long, so that what is untried is tried;
    ties are broken by chance. A state is a cell.
    """

    episodes: int = 100
    learning_rate: float = 0.5
    discount: float = 0.9
    optimism: float = 0.5
    epsilon: float = 0.3
    epsilon_end: float = 0.0
    epsilon_episodes: int = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Histories:
    """Learning histories, each from the first episode to the last: arrays [history, episode, step]."""

    cells: Integers
    actions: Integers
    rewards: Integers

    def thinned(self, first: int, stride: int) -> Histories:
        """Every ``stride``-th episode from number ``first`` on."""
        parts = (part[:, first::stride] for part in (self.cells, self.actions, self.rewards))
        return Histories(**dict(zip(("cells", "actions", "rewards"), parts, strict=True)))

    def steps(self) -> Steps:
        """All episodes of a history one after the other."""
        before, earned = np.full_like(self.actions, NO_ACTION), np.zeros_like(self.rewards)
        before[:, :, 1:], earned[:, :, 1:] = self.actions[:, :, :-1], self.rewards[:, :, :-1]
        rows = len(self.cells)
        return Steps(
            cells=self.cells.reshape(rows, -1),
            before=before.reshape(rows, -1),
            earned=earned.reshape(rows, -1),
        )

    @property
    def returns(self) -> Integers:
        """Return by [history, episode]."""
        return np.asarray(self.rewards.sum(axis=2))


@dataclass(frozen=True, slots=True, kw_only=True)
class Steps:
    """What is known when an action is chosen, arrays [row, step over all episodes].

    ``before`` and ``earned``: the action before (``NO_ACTION`` at an episode's start) and its reward.
    """

    cells: Integers
    before: Integers
    earned: Integers

    def __getitem__(self, index: Any) -> Steps:
        """The same part of each array."""
        return Steps(cells=self.cells[index], before=self.before[index], earned=self.earned[index])


def q_learning(room: Room, goals: Integers, settings: QLearning, seed: int) -> Histories:
    """Learns each goal from nothing, one learner a goal, all at once.

        q(s, a) += learning_rate * (r + discount * max_a' q(s', a') - q(s, a))

    The last step of an episode bootstraps as any other: time is no part of what the agent sees.
    Source: Watkins & Dayan 1992.
    """
    rng = np.random.default_rng(seed)
    count, rows = len(goals), np.arange(len(goals))
    values = np.full((count, room.cells, len(ACTIONS)), settings.optimism)
    cells, actions, rewards = np.zeros((3, count, settings.episodes, room.steps), dtype=np.int64)
    for episode in range(settings.episodes):
        left = max(0.0, 1 - episode / settings.epsilon_episodes)
        epsilon = settings.epsilon_end + (settings.epsilon - settings.epsilon_end) * left
        here = np.full(count, room.start)
        for step in range(room.steps):
            noise = 1e-9 * rng.random((count, len(ACTIONS)))
            greedy = (values[rows, here] + noise).argmax(axis=1)
            chance = rng.random(count) < epsilon
            action = np.where(chance, rng.integers(len(ACTIONS), size=count), greedy)
            there = room.move(here, action)
            reward = (there == goals).astype(np.int64)
            cells[:, episode, step], actions[:, episode, step] = here, action
            rewards[:, episode, step] = reward
            target = reward + settings.discount * values[rows, there].max(axis=1)
            values[rows, here, action] += settings.learning_rate * (target - values[rows, here, action])
            here = there
    return Histories(cells=cells, actions=actions, rewards=rewards)
