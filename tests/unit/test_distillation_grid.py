"""The dark room, the learning histories of Q-learning in it, and what is said of results: no torch."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlem.core.errors import UsageError
from rlem.distillation.grid import ACTIONS, MOVES, NO_ACTION, QLearning, Room, q_learning
from rlem.distillation.remembering import play_with_memory
from rlem.distillation.results import DISTILLED, LAST, differences, learners

ROOM = Room(size=5, steps=10)
FAST = QLearning(episodes=60, epsilon_episodes=60)


@given(st.sampled_from([3, 5, 7, 9]), st.data())
def test_a_move_goes_one_cell_or_stays_at_a_wall(size: int, data: st.DataObject) -> None:
    """Row and column change as the action says, and no move leaves the room."""
    room = Room(size=size, steps=2 * size)
    cell = data.draw(st.integers(0, room.cells - 1))
    action = data.draw(st.integers(0, len(ACTIONS) - 1))
    there = int(room.move(np.array([cell]), np.array([action]))[0])
    wanted = [part + move for part, move in zip(divmod(cell, size), MOVES[action].tolist(), strict=True)]
    assert divmod(there, size) == tuple(min(max(part, 0), size - 1) for part in wanted)


@given(st.integers(0, 2**32), st.floats(0.1, 0.9))
def test_goals_are_dealt_once(seed: int, held_out: float) -> None:
    """Every cell but the start is a goal, to learn from or held out, never both."""
    first, second = (part.tolist() for part in ROOM.goals(seed, held_out))
    assert sorted(first + second) == [cell for cell in range(25) if cell != ROOM.start]
    assert first
    assert second


def test_a_straight_walk_earns_the_most() -> None:
    """A corner four steps away pays from the fourth of ten steps on; beside the start, from the first."""
    goals = np.array([0, ROOM.start + 1])
    assert ROOM.distance(goals).tolist() == [4, 1]
    assert ROOM.best_return(goals).tolist() == [7, 10]


@pytest.mark.parametrize(("size", "steps"), [(4, 20), (1, 20), (9, 7)])
def test_rooms_that_cannot_be(size: int, steps: int) -> None:
    """A room without a middle, or too large for its steps, is refused."""
    with pytest.raises(UsageError, match=f"size {size}|{steps} steps"):
        Room(size=size, steps=steps)


def test_a_held_out_part_must_not_be_empty() -> None:
    """No goal held out, or all of them, leaves nothing to show."""
    with pytest.raises(UsageError, match=r"held_out=0\.0"):
        ROOM.goals(0, 0.0)


def test_histories_obey_the_room() -> None:
    """Episodes begin in the middle, cells follow from actions, and rewards say when the goal was reached."""
    goals = np.array([0, 7, 24])
    made = q_learning(ROOM, goals, FAST, 1)
    assert (made.cells[:, :, 0] == ROOM.start).all()
    there = ROOM.move(made.cells, made.actions)
    assert (there[:, :, :-1] == made.cells[:, :, 1:]).all()
    assert (made.rewards == (there == goals[:, None, None])).all()


def test_q_learning_learns_and_its_seed_decides() -> None:
    """Late episodes are near the best, early ones far from it; the same seed makes the same histories."""
    goals, _ = ROOM.goals(0, 0.25)
    made = q_learning(ROOM, goals, FAST, 0)
    best = ROOM.best_return(goals).mean()
    assert made.returns[:, :3].mean() < 0.4 * best
    assert made.returns[:, -10:].mean() > 0.8 * best
    assert (made.actions == q_learning(ROOM, goals, FAST, 0).actions).all()
    assert (made.actions != q_learning(ROOM, goals, FAST, 1).actions).any()


def test_steps_know_the_past_of_their_episode_only() -> None:
    """Action and reward before a step are shifted by one within an episode; its first step has none."""
    made = q_learning(ROOM, np.array([3]), FAST, 0).thinned(1, 20)
    assert made.cells.shape == (1, 3, 10)
    steps = made.steps()
    before = steps.before.reshape(3, 10)
    assert (before[:, 0] == NO_ACTION).all()
    assert (before[:, 1:] == made.actions[0, :, :-1]).all()
    assert (steps.earned.reshape(3, 10)[:, 1:] == made.rewards[0, :, :-1]).all()
    assert steps[:, :5].cells.shape == (1, 5)


def test_rlem_learns_the_room() -> None:
    """With an experience memory the last episodes earn several times the first ones."""
    returns = play_with_memory(ROOM, np.array([1, 9, 22]), 25, 0)
    assert returns.shape == (3, 25)
    assert returns[:, -5:].mean() > 3 * max(returns[:, :2].mean(), 0.5)


def test_results_compare_the_last_episodes_pair_by_pair() -> None:
    """Curves are means by episode; differences are of the same episodes, or of its last and first ones."""
    rising = np.broadcast_to(np.arange(12), (2, 7, 12))
    flat = np.full((2, 7, 12), 3)
    goals = np.arange(7)
    mine, other = learners({DISTILLED: rising, "flat": flat}, goals)
    assert [interval.estimate for interval in mine.curve] == list(range(12))
    assert other.curve[0].estimate == 3
    found = differences({DISTILLED: rising, "flat": flat}, goals)
    assert {name: gain.estimate for name, gain in found.items() if gain} == {
        f"last {LAST} episodes less its own first {LAST}": 12 - LAST,
        f"last {LAST} episodes less flat": 9 - 3,
        "all episodes less flat": 5.5 - 3,
    }
