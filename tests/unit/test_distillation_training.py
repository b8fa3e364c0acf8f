"""A transformer distilled from learning histories: it learns, and acting changes none of its weights."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.support.command import inside
from tests.support.heavy import imported

from rlem.core.errors import DataError, RunError, UsageError
from rlem.distillation import experiment
from rlem.distillation.evaluation import Past, play, play_at_random
from rlem.distillation.experiment import Settings, run
from rlem.distillation.grid import ACTIONS, QLearning, Room, q_learning
from rlem.distillation.model import Cache, Model, Shape, logits, make, parameters, use_threads
from rlem.distillation.results import DISTILLED
from rlem.distillation.training import Training, train

torch: Any = imported("torch", "distillation")

ROOM = Room(size=3, steps=6)
SHAPE = Shape(size=3, context=24, width=16, layers=2, heads=2)
SOURCE = QLearning(episodes=20, epsilon=0.1, epsilon_episodes=5)
GOALS = [0, 1, 2, 3, 5, 6, 7, 8]
QUICK = Training(steps=300, batch=16, learning_rate=1e-2, warm_up=10, stride=2)
CONTROLS: tuple[Past, ...] = ("none", "shuffled")
TINY = Settings(
    room=ROOM,
    source=SOURCE,
    training=Training(steps=5, batch=4, warm_up=1, stride=2),
    copies=2,
    context=4,
    width=16,
    layers=1,
    heads=2,
    episodes=10,
    seeds=1,
)


@pytest.fixture(scope="module")
def trained() -> tuple[Model, list[float]]:
    """A tiny transformer trained in about two seconds, and its losses."""
    histories = q_learning(ROOM, np.repeat(GOALS, 20), SOURCE, 0)
    use_threads(1)  # matrices are small: a second thread on a busy machine only waits
    model = make(SHAPE, 0)
    return model, train(model, histories, QUICK, 0, heads=SHAPE.heads)


def weights(model: Model) -> dict[str, object]:
    """A copy of all weights."""
    return {name: value.clone() for name, value in model.state_dict().items()}


def same(first: dict[str, object], second: dict[str, object]) -> bool:
    """Whether all weights are equal, bit for bit."""
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def test_the_loss_falls_well_below_even_chance(trained: tuple[Model, list[float]]) -> None:
    """Before training it is about ln(5); afterwards histories of learning are predicted far better."""
    _, losses = trained
    assert losses[0] > 0.85 * math.log(len(ACTIONS))
    assert np.mean(losses[-20:]) < 0.7 * math.log(len(ACTIONS))


def test_playing_changes_no_weight(trained: tuple[Model, list[float]]) -> None:
    """Not one bit of the weights differs after episodes in context, nor is a gradient left."""
    model, _ = trained
    before = weights(model)
    model.zero_grad()
    play(model, ROOM, np.array([1, 7]), 8, 0, heads=SHAPE.heads)
    assert same(before, weights(model))
    assert all(parameter.grad is None for parameter in model.parameters())


def test_it_improves_in_context(trained: tuple[Model, list[float]]) -> None:
    """Late episodes earn more than first ones, and than those whose context is empty or tells nothing."""
    model, _ = trained
    goals = np.repeat(GOALS, 15)
    with_it = play(model, ROOM, goals, 10, 0, heads=SHAPE.heads).returns
    assert with_it[:, -3:].mean() > with_it[:, 0].mean() + 1.0
    without, misled = (
        play(model, ROOM, goals, 10, 0, heads=SHAPE.heads, past=past).returns for past in CONTROLS
    )
    assert with_it[:, -3:].mean() > without[:, -3:].mean() + 1.0
    assert (
        with_it[:, -3:].mean() > misled[:, -3:].mean() + 0.5
    )  # it still sees what it did, so it fares better


def test_the_future_is_not_seen_and_the_cache_changes_nothing() -> None:
    """Logits of a step do not depend on later steps, and reading step by step gives the same ones."""
    model = make(SHAPE, 1)
    steps = q_learning(ROOM, np.array([0, 5]), SOURCE, 0).steps()
    whole = logits(model, steps[:, :18], SHAPE.heads)
    assert torch.allclose(whole[:, :7], logits(model, steps[:, :7], SHAPE.heads), atol=1e-5)
    cache = Cache()
    parts = [logits(model, steps[:, :12], SHAPE.heads, cache)]
    parts += [logits(model, steps[:, at : at + 1], SHAPE.heads, cache) for at in range(12, 18)]
    assert cache.length == 18
    assert torch.allclose(whole, torch.cat(parts, dim=1), atol=1e-5)


def test_a_seed_makes_the_same_weights_and_leaves_torch_alone() -> None:
    """Weights follow from the seed; torch's own generator goes on as if nothing had been drawn."""
    torch.manual_seed(5)
    state = torch.get_rng_state()
    assert same(weights(make(SHAPE, 3)), weights(make(SHAPE, 3)))
    assert not same(weights(make(SHAPE, 3)), weights(make(SHAPE, 4)))
    assert torch.equal(state, torch.get_rng_state())


def test_the_default_is_of_the_size_that_is_said() -> None:
    """Between 100,000 and 300,000 weights."""
    assert 100_000 < parameters(make(Settings().shape, 0)) < 300_000


def test_a_context_longer_than_the_histories_is_refused() -> None:
    """Windows cannot be drawn from histories that are shorter than the context."""
    histories = q_learning(ROOM, np.array([0]), SOURCE, 0)
    with pytest.raises(UsageError, match="shorter than a context of 24 steps"):
        train(make(SHAPE, 0), histories, Training(stride=10), 0, heads=SHAPE.heads)


def test_chance_earns_what_chance_earns() -> None:
    """Returns of random play are far below the best there is, and not all zero."""
    goals = np.array([0, 8])
    returns = play_at_random(ROOM, goals, 200, 0)
    assert 0 < returns.mean() < 0.5 * ROOM.best_return(goals).mean()


def test_the_experiment_keeps_what_it_made(tmp_path: Path) -> None:
    """The same settings again, or more episodes, train nothing; other settings are refused."""
    first = run(tmp_path / "kept", TINY)
    written = (tmp_path / "kept" / "seed-0" / "weights.pt").stat().st_mtime_ns
    told: list[str] = []
    again = run(tmp_path / "kept", TINY, lambda what, done: told.append(what))
    assert again == first
    assert not [what for what in told if "training" in what]
    assert (tmp_path / "kept" / "seed-0" / "weights.pt").stat().st_mtime_ns == written
    assert first.learners[0].name == DISTILLED
    assert all(len(learner.curve) == TINY.episodes for learner in first.learners)
    longer = run(tmp_path / "kept", replace(TINY, episodes=12))
    assert longer.episodes == 12
    assert (tmp_path / "kept" / "seed-0" / "weights.pt").stat().st_mtime_ns == written
    with pytest.raises(RunError, match="other settings"):
        run(tmp_path / "kept", Settings())


def test_another_program_does_not_take_old_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Code that makes histories or weights has changed: the folder is refused, other settings first."""
    assert {path.stem for path in experiment.MAKING} >= {"grid", "model", "training"}
    code = tmp_path / "training.py"
    code.write_text("one")
    monkeypatch.setattr(experiment, "MAKING", (code,))
    run(tmp_path / "kept", TINY)
    run(tmp_path / "kept", TINY)
    code.write_text("another")
    with pytest.raises(RunError, match=r"kept was made by another version of rlem.* give another --out"):
        run(tmp_path / "kept", TINY)
    with pytest.raises(RunError, match="other settings"):
        run(tmp_path / "kept", Settings())


def test_histories_and_play_share_no_goal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Histories are made of the goals to learn from; each learner plays all that are held out, no other."""
    seen: dict[str, list[set[int]]] = {}

    def spied(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def spy(*given: Any, **named: Any) -> Any:
            (goals,) = (part for part in given if isinstance(part, np.ndarray))
            seen.setdefault(name, []).append(set(goals.tolist()))
            return real(*given, **named)

        return spy

    for name in ("q_learning", "play", "play_with_memory", "play_at_random"):
        monkeypatch.setattr(experiment, name, spied(name, getattr(experiment, name)))
    found = run(tmp_path, TINY)
    learn_from, held_out = (set(part.tolist()) for part in ROOM.goals(0, TINY.held_out))
    assert seen == {
        "q_learning": [learn_from, held_out],
        "play": [held_out] * 3,
        "play_with_memory": [held_out],
        "play_at_random": [held_out],
    }
    assert not learn_from & held_out
    assert found.goals == len(held_out)


def test_stopped_and_begun_again_gives_the_same(tmp_path: Path) -> None:
    """A training that is stopped leaves no weights; begun again it gives what it would have given."""

    def stop(what: str, done: float) -> None:
        if "training" in what and done > 0.5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "stopped", TINY, stop)
    assert not (tmp_path / "stopped" / "seed-0" / "weights.pt").exists()
    again, whole = run(tmp_path / "stopped", TINY), run(tmp_path / "whole", TINY)
    assert (again.learners, again.trained.losses) == (whole.learners, whole.trained.losses)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--size", "4"), "a room of size 4 has no middle: give an odd number, at least 3"),
        (("--size", "0"), "a room of size 0 has no middle: give an odd number, at least 3"),
        (("--steps", "0"), "Invalid value for '--steps'"),
        (("--seeds", "many"), "Invalid value for '--seeds'"),
    ],
)
def test_what_cannot_be_is_said_in_one_line(tmp_path: Path, arguments: tuple[str, ...], said: str) -> None:
    """A wrong argument ends in one line that says what was allowed, and makes no folder."""
    done = inside("distill", "train", *arguments, "--out", tmp_path / "d", cwd=tmp_path)
    assert done.returncode == 2
    assert said in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "d").exists()


def test_damaged_files_are_named(tmp_path: Path) -> None:
    """Weights or histories that are none raise DataError with their place, and nothing is overwritten."""
    run(tmp_path, TINY)
    file, histories = (tmp_path / "seed-0" / name for name in ("weights.pt", "histories.npz"))
    file.write_bytes(b"no weights")
    with pytest.raises(DataError, match="seed-0 is damaged"):
        run(tmp_path, TINY)
    assert file.read_bytes() == b"no weights"
    file.unlink()
    histories.write_bytes(histories.read_bytes()[:100])
    with pytest.raises(DataError, match=r"histories\.npz is damaged"):
        run(tmp_path, TINY)


def test_the_command_leaves_table_data_and_curve(tmp_path: Path) -> None:
    """`rlem distill train` writes results as JSON, Markdown and SVG, every learner in each."""
    small = ("--short", "--size", "3", "--steps", "2", "--episodes", "10", "--seeds", "1")
    done = inside("distill", "train", *small, "--out", tmp_path / "d", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    data = json.loads((tmp_path / "d" / "results.json").read_text("utf-8"))
    assert len(data["learners"]) == 6
    assert all(learner["name"] in done.stdout for learner in data["learners"])
    assert (tmp_path / "d" / "curve.svg").read_text("utf-8").rstrip().endswith("</svg>")
