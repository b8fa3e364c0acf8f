"""Plays held-out goals: the transformer with its history, without it, at random, and RLEM itself."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from rlem.distillation.grid import ACTIONS, NO_ACTION, Histories, Integers, Room, Steps
from rlem.distillation.model import Cache, Model, library, logits

Past = Literal["own", "none", "shuffled"]
"""What of earlier episodes the context holds: all of it, nothing, or all with the rewards dealt out anew."""


def play(
    model: Model,
    room: Room,
    goals: Integers,
    episodes: int,
    seed: int,
    *,
    heads: int,
    past: Past = "own",
) -> Histories:
    """Plays each goal for so many episodes; nothing but the context changes, no weight does.

    The context holds as many whole episodes as fit, the one being played included; the oldest go first.
    ``past="none"`` empties it before every episode: what is left is no learner. ``past="shuffled"`` gives
    it as many steps and rewards, with no word of where they were earned.
    """
    rng = np.random.default_rng(seed)
    kept = model["place"].num_embeddings // room.steps - 1
    cells, actions, rewards = np.zeros((3, len(goals), episodes, room.steps), dtype=np.int64)
    model.eval()
    with library().inference_mode():
        for episode in range(episodes):
            cache = Cache()
            before_it = slice(episode if past == "none" else max(0, episode - kept), episode)
            if before_it.start < episode:
                earned = rewards[:, before_it]
                if past == "shuffled":
                    earned = rng.permuted(earned.reshape(len(goals), -1), axis=1).reshape(earned.shape)
                read = Histories(cells=cells[:, before_it], actions=actions[:, before_it], rewards=earned)
                logits(model, read.steps(), heads, cache)
            here, before = np.full(len(goals), room.start), np.full(len(goals), NO_ACTION)
            earned = np.zeros(len(goals), dtype=np.int64)
            for step in range(room.steps):
                seen = Steps(cells=here[:, None], before=before[:, None], earned=earned[:, None])
                scores = logits(model, seen, heads, cache)[:, 0].double().numpy()
                cells[:, episode, step] = here
                before = actions[:, episode, step] = _draw(scores, rng)
                here = room.move(here, before)
                earned = rewards[:, episode, step] = (here == goals).astype(np.int64)
    return Histories(cells=cells, actions=actions, rewards=rewards)


def _draw(scores: NDArray[np.float64], rng: np.random.Generator) -> Integers:
    """One action a row, drawn from softmax(scores)."""
    return np.asarray((scores + rng.gumbel(size=scores.shape)).argmax(axis=1))


def play_at_random(room: Room, goals: Integers, episodes: int, seed: int) -> NDArray[np.int64]:
    """Returns [goal, episode] of actions drawn evenly."""
    rng = np.random.default_rng(seed)
    here = np.full((len(goals), episodes), room.start)
    total = np.zeros_like(here)
    for _ in range(room.steps):
        here = room.move(here, rng.integers(len(ACTIONS), size=here.shape))
        total += here == goals[:, None]
    return total
