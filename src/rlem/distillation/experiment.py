"""The grid world experiment: histories, training, play and comparison, each seed's work kept in a folder.

    DIR/settings.json           what histories and weights depend on, a digest of the program that makes them
                                included; other settings or another program need another folder
    DIR/seed-N/histories.npz    learning histories of Q-learning
    DIR/seed-N/weights.pt       the trained transformer
    DIR/seed-N/training.json    loss and times
    DIR/results.json, results.md, curve.svg

What lies there is not made again. A seed is a training run of its own: its histories, its first weights and
its play are drawn by it. All seeds hold out the same goals, so goals and seeds are crossed.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from rlem.core.errors import DataError, RunError
from rlem.core.seeds import derive_seed
from rlem.distillation.evaluation import Past, play, play_at_random
from rlem.distillation.grid import Histories, Integers, QLearning, Room, q_learning
from rlem.distillation.model import Model, Shape, library, make, parameters
from rlem.distillation.remembering import play_with_memory
from rlem.distillation.results import DISTILLED, Results, Trained, differences, learners
from rlem.distillation.training import Training, train
from rlem.experiments.cells import digest_of

Progress = Callable[[str, float], None]
"""Told what is being done and how much of it is done, 0 to 1."""

MAKING = tuple(Path(__file__).with_name(f"{name}.py") for name in ("experiment", "grid", "model", "training"))
"""Files that histories and weights depend on. What plays is left out: play is never kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """All that the results depend on. ``copies``: histories of each goal; ``context``: in episodes."""

    room: Room = field(default_factory=Room)
    source: QLearning = field(default_factory=QLearning)
    training: Training = field(default_factory=Training)
    copies: int = 20
    context: int = 6
    width: int = 64
    layers: int = 3
    heads: int = 4
    held_out: float = 0.25
    episodes: int = 60
    seeds: int = 3

    @property
    def shape(self) -> Shape:
        """Of the transformer."""
        return Shape(
            size=self.room.size,
            context=self.context * self.room.steps,
            width=self.width,
            layers=self.layers,
            heads=self.heads,
        )


SHORT = Settings(
    room=Room(size=5, steps=12),
    source=QLearning(episodes=60, epsilon_episodes=60),
    training=Training(steps=800),
    context=5,
    width=32,
    layers=2,
    episodes=30,
    seeds=1,
)
"""A small room and six goals to play: enough to see that it learns, too little to measure how well."""


def run(folder: Path, settings: Settings, progress: Progress = lambda what, done: None) -> Results:
    """Does what is not done yet; returns what was found. RunError, DataError: a folder of something else."""
    _claim(folder, settings)
    room = settings.room
    learn_from, held_out = room.goals(0, settings.held_out)
    returns: dict[str, list[Integers]] = {}
    costs: list[dict[str, float]] = []
    for seed in range(settings.seeds):
        model, cost = _trained(folder / f"seed-{seed}", settings, learn_from, seed, progress)
        costs.append(cost)
        for name, part in _played(model, settings, held_out, seed, progress).items():
            returns.setdefault(name, []).append(part)
    stacked = {name: np.stack(parts) for name, parts in returns.items()}
    return Results(
        size=room.size,
        steps=room.steps,
        context=settings.shape.context,
        goals=len(held_out),
        seeds=settings.seeds,
        episodes=settings.episodes,
        best=float(room.best_return(held_out).mean()),
        trained=Trained(
            **{name: tuple(cost[name] for cost in costs) for name in ("losses", "wall_s", "cpu_s")},
            weights=parameters(model),
            steps=settings.training.steps,
        ),
        learners=learners(stacked, held_out),
        differences=differences(stacked, held_out),
    )


def histories_of(path: Path, settings: Settings, goals: Integers, seed: int) -> Histories:
    """The learning histories of a seed, read from a file or made and kept there."""
    if not path.exists():
        learners_of_all = np.repeat(goals, settings.copies)
        made = q_learning(settings.room, learners_of_all, settings.source, derive_seed(seed, "histories"))
        parts = {name: part.astype(np.int16) for name, part in asdict(made).items()}
        _keep(path, lambda part: np.savez_compressed(part, **parts))
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as read:
            return Histories(
                **{name: read[name].astype(np.int64) for name in ("cells", "actions", "rewards")}
            )
    except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
        raise DataError(f"{path} is damaged ({error}): remove it, it is made again") from error


def _trained(
    place: Path, settings: Settings, goals: Integers, seed: int, progress: Progress
) -> tuple[Model, dict[str, float]]:
    """The transformer of a seed and what it cost, read from its folder or trained and kept there."""
    place.mkdir(exist_ok=True)
    weights, facts = place / "weights.pt", place / "training.json"
    model = make(settings.shape, derive_seed(seed, "weights") % 2**31)
    if not weights.exists():
        progress(f"seed {seed}: histories", 0.0)
        histories = histories_of(place / "histories.npz", settings, goals, seed)
        wall, cpu, done = time.perf_counter(), time.process_time(), 0

        def told(loss: float) -> None:
            nonlocal done
            done += 1
            progress(f"seed {seed}: training, loss {loss:.3f}", done / settings.training.steps)

        losses = train(
            model,
            histories,
            settings.training,
            derive_seed(seed, "batches"),
            heads=settings.heads,
            progress=told,
        )
        cost = {
            "losses": float(np.mean(losses[-50:])),
            "wall_s": time.perf_counter() - wall,
            "cpu_s": time.process_time() - cpu,
        }
        facts.write_text(json.dumps(cost) + "\n", encoding="utf-8")
        _keep(weights, lambda part: library().save(model.state_dict(), part))
    try:
        model.load_state_dict(library().load(weights, weights_only=True))
        return model, json.loads(facts.read_text("utf-8"))
    except Exception as error:  # torch raises whatever the unpickler does
        raise DataError(f"{place} is damaged ({error}): remove the folder, it is made again") from error


def _played(
    model: Model, settings: Settings, goals: Integers, seed: int, progress: Progress
) -> dict[str, Integers]:
    """Returns [goal, episode] of every learner on goals that no history had."""
    room, episodes, heads = settings.room, settings.episodes, settings.heads
    source = QLearning(**(asdict(settings.source) | {"episodes": episodes}))
    drawn = derive_seed(seed, "play")
    progress(f"seed {seed}: playing held-out goals", 0.0)
    pasts: dict[str, Past] = {
        DISTILLED: "own",
        "the same, context of one episode": "none",
        "the same, rewards of its context shuffled": "shuffled",
    }
    played = {
        name: play(model, room, goals, episodes, drawn, heads=heads, past=past).returns
        for name, past in pasts.items()
    }
    played["Q-learning (the source)"] = q_learning(room, goals, source, drawn).returns
    played["RLEM"] = play_with_memory(
        room, goals, episodes, drawn, lambda done: progress(f"seed {seed}: RLEM", done)
    )
    played["random"] = play_at_random(room, goals, episodes, drawn)
    return played


def _claim(folder: Path, settings: Settings) -> None:
    """Makes the folder this experiment's, or finds that it is another's."""
    path = folder / "settings.json"
    matters = {name: value for name, value in asdict(settings).items() if name not in ("episodes", "seeds")}
    asked = json.dumps({"program": digest_of(MAKING), **matters}, indent=2) + "\n"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            path.write_text(asked, encoding="utf-8")
        there = path.read_text("utf-8")
    except OSError as error:
        raise RunError(
            f"the folder {folder} cannot be used ({error.strerror}): give another --out"
        ) from error
    if _settings(there) != _settings(asked):
        raise RunError(
            f"{folder} holds an experiment with other settings: give another --out, or the same options"
        )
    if there != asked:
        raise RunError(
            f"{folder} was made by another version of rlem, whose histories and weights may differ: give "
            "another --out, or remove the folder"
        )


def _settings(text: str) -> list[str]:
    return [line for line in text.splitlines() if not line.startswith('  "program":')]


def _keep(path: Path, write: Callable[[Any], object]) -> None:
    """Writes whole or not at all."""
    part = path.with_name(path.name + ".part")
    with part.open("wb") as stream:
        write(stream)
    part.replace(path)
