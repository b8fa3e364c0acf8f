"""RLEM itself in the dark room: an experience memory in place of a context or a table."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from rlem.api.memory import Memory
from rlem.api.opening import open as open_memory
from rlem.core.seeds import generator
from rlem.distillation.grid import ACTIONS, Integers, Room
from rlem.values import ValueConfig

EPSILON = 0.1


def play_with_memory(
    room: Room,
    goals: Integers,
    episodes: int,
    seed: int,
    progress: Callable[[float], None] = lambda done: None,
) -> Integers:
    """Returns [goal, episode] of an agent that does what its memory advises; one empty memory a goal.

    It takes the encouraged action, else an untried one, else any; one in ten actions is any. Advice counts
    only if the recalled experience is of this very cell: on cells, likeness of texts means nothing. Values
    are Monte-Carlo means, rlem's default, of returns discounted by 0.9.
    """
    returns = np.zeros((len(goals), episodes), dtype=np.int64)
    for row, goal in enumerate(goals.tolist()):
        with open_memory(":memory:", values=ValueConfig(discount=0.9), k=1) as memory:
            for episode in range(episodes):
                returns[row, episode] = _episode(memory, room, goal, seed, episode)
        progress((row + 1) / len(goals))
    return returns


def _episode(memory: Memory, room: Room, goal: int, seed: int, number: int) -> int:
    rng = generator(seed, "memory", goal, number)
    here, total = room.start, 0
    with memory.episode("Find the goal.", id=f"{number}") as episode:
        for _ in range(room.steps):
            seen = f"row {here // room.size}, column {here % room.size}"
            advice = episode.advise(seen, ACTIONS, explore="untried")
            known = bool(advice.recalled) and advice.recalled[0].experience.situation.observation == seen
            action = rng.choice(ACTIONS)
            if known and rng.random() >= EPSILON:
                best = [line.action for line in advice.encouraged[:1]]
                action = rng.choice(best or advice.untried or ACTIONS)
            here = int(room.move(np.array(here), np.array(ACTIONS.index(action))))
            total += here == goal
            episode.record(action, reward=float(here == goal))
        episode.end(truncated=True)
    return total
