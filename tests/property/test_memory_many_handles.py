"""Several handles over one store that hold next to nothing: what they do is what a replay gives."""

from __future__ import annotations

import random
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

import rlem.memory.state as state
import rlem.memory.table as table
from rlem.core.errors import EpisodeConflictError
from rlem.core.types import Episode, Situation, Status, Transition, Trust
from rlem.memory.config import MemoryConfig
from rlem.memory.memory import ExperienceMemory
from rlem.memory.sqlite import SQLiteStore
from rlem.memory.volatile import InMemoryStore
from rlem.testing.memory_cases import VIEWS

TURNS = 50


@pytest.fixture(autouse=True)
def little_is_held(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every memory has an image of its index, and lets go of experiences at once."""
    monkeypatch.setattr(state, "IMAGE_FROM", 2)
    monkeypatch.setattr(table, "MOST_LOADED", 3)


def place(rng: random.Random) -> Situation:
    """One of few situations, so that episodes meet."""
    words = rng.sample(["kettle", "blue", "tea", "pot", "lid"], rng.randrange(1, 4))
    return Situation(
        task=f"task {rng.randrange(2)} red", observation=" ".join(words), actions=("a", "b", "c")
    )


def play(rng: random.Random) -> Episode:
    """An episode of any kind."""
    statuses: tuple[Status, ...] = ("terminated", "terminated", "truncated", "broken")
    trusts: tuple[Trust, ...] = ("verified", "verified", "unverified")
    status = rng.choice(statuses)
    return Episode(
        id=f"{rng.getrandbits(60):015x}",
        task=f"task {rng.randrange(2)} red",
        status=status,
        source=rng.choice(["", "x", "y"]),
        trust=rng.choice(trusts),
        final=place(rng) if status == "truncated" else None,
        transitions=tuple(
            Transition(
                situation=place(rng),
                action=rng.choice(["a", "b", "c", None]),
                reward=float(rng.randrange(3)),
                reason=rng.choice(["", "why"]),
            )
            for _ in range(rng.randrange(1, 4))
        ),
    )


def replayed(memory: ExperienceMemory) -> str:
    """Hash of a memory that is told the whole log at once."""
    fresh = ExperienceMemory(InMemoryStore(), memory.config)
    fresh.insert(memory.episodes())
    return fresh.hash()


class Handles:
    """Four handles on one file, two on each of two views."""

    def __init__(self, path: Path, rng: random.Random) -> None:
        self._path, self._rng = path, rng
        names = rng.sample(sorted(VIEWS), 2)
        self._configs = {"main": VIEWS[names[0]], "side": VIEWS[names[1]]}
        self.memories = [self._open(number) for number in range(4)]

    def _open(self, number: int) -> ExperienceMemory:
        view = "main" if number < 2 else "side"
        return ExperienceMemory(SQLiteStore(self._path), self._configs[view], view=view)

    def turn(self) -> None:
        """Something that a user may do, through one of the handles."""
        rng = self._rng
        number = rng.randrange(4)
        memory = self.memories[number]
        ids = [episode.id for episode in memory.episodes()]
        act = rng.choice(
            ["record"] * 6
            + ["recall"] * 2
            + ["many", "forget", "correct", "insert", "rebuild", "reopen", "fail"]
        )
        if act == "record" or not ids:
            memory.record(play(rng))
        elif act == "recall":
            memory.recall(place(rng), 3)
        elif act == "many":
            memory.record_many([play(rng) for _ in range(3)])
        elif act == "forget":
            memory.forget(episode=rng.choice(ids))
        elif act == "correct":
            found = memory.find_episode(rng.choice(ids))
            assert found is not None
            step = rng.randrange(len(found.transitions))
            memory.correct(found.id, {step: found.transitions[step].reward + rng.randrange(1, 4)})
        elif act == "insert":
            memory.insert([replace(play(rng), sequence=rng.randrange(1, 30)) for _ in range(2)])
        elif act == "rebuild":
            memory.rebuild()
        elif act == "reopen":
            memory.close()
            self.memories[number] = self._open(number)
        else:
            with pytest.raises(EpisodeConflictError):
                memory.record_many([play(rng), replace(play(rng), id=rng.choice(ids))])

    def close(self) -> None:
        """Closes all."""
        for memory in self.memories:
            memory.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file for the handles."""
    return tmp_path / "memory.rlem"


@pytest.mark.parametrize("seed", range(12))
def test_every_handle_holds_what_a_replay_gives(path: Path, seed: int) -> None:
    """Whoever recorded, forgot, corrected, took in, rebuilt or failed: all handles agree with the log."""
    with closing(Handles(path, random.Random(seed))) as handles:
        for turn in range(TURNS):
            handles.turn()
            if turn % 10 == 9:
                for memory in handles.memories:
                    assert memory.hash() == replayed(memory)


def test_what_another_one_recorded_is_learned_once(path: Path) -> None:
    """Two handles; one holds nothing of what the other records on: visits are counted once."""
    steps = [Transition(situation=place(random.Random(n)), action="a", reward=1.0) for n in range(8)]
    episodes = [Episode(id=f"e{n}", task="t", transitions=(steps[n % 8], steps[0])) for n in range(12)]
    with closing(ExperienceMemory(SQLiteStore(path), MemoryConfig())) as one:
        one.record_many(episodes[:8])
        one.rebuild()
        with closing(ExperienceMemory(SQLiteStore(path))) as two:
            for episode in episodes[8:]:
                one.record(episode)
                two.recall(steps[0].situation, 2)
            two.record(replace(episodes[0], id="last"))
            assert two.hash() == replayed(two) == one.hash()


def marked(mark: str, rng: random.Random) -> Episode:
    """An episode whose every text holds the mark, in sizes that make pages of the file break and join."""

    def text() -> str:
        return f"{mark} {'x' * rng.choice([1, 30, 200, 3000, 9000])}"

    page = f"shared page {rng.randrange(5)}" if rng.random() < 0.3 else f"page {text()}"
    return Episode(
        id=mark * rng.choice([1, 1, 1, 20]),
        task=f"task {text() if rng.random() < 0.4 else ''}",
        task_id=mark,
        source=mark,
        model=mark,
        cause=mark,
        history=(mark,),
        final=Situation(task="f", observation=mark) if rng.random() < 0.3 else None,
        transitions=tuple(
            Transition(
                situation=Situation(task="t", observation=f"{page}{step}", actions=(mark, "b")),
                action=f"act {text()}",
                reward=1.0,
                reason=f"as {mark}",
            )
            for step in range(rng.randrange(1, 4))
        ),
    )


@pytest.mark.parametrize("seed", range(3))
def test_no_byte_of_what_was_forgotten_stays(path: Path, seed: int) -> None:
    """Hundreds of records and forgets through two views: none of the texts of any forgotten episode is in the
    files afterwards."""
    rng = random.Random(seed)
    main = ExperienceMemory(SQLiteStore(path))
    side = ExperienceMemory(SQLiteStore(path), MemoryConfig(max_actions=3), view="side")
    held: dict[str, str] = {}
    gone: list[str] = []
    for _ in range(400):
        if rng.random() < 0.75 or not held:
            mark = f"ZQ{rng.getrandbits(32):08x}QZ"
            held[rng.choice([main, main, main, side]).record(marked(mark, rng)).id] = mark
        else:
            lost = rng.sample(sorted(held), min(len(held), rng.choice([1, 1, 2, 20])))
            rng.choice([main, main, side]).forget(episode=lost)
            gone += [held.pop(name) for name in lost]
            found = b"".join(file.read_bytes() for file in path.parent.iterdir())
            assert [mark for mark in gone if mark.encode() in found] == []
            assert all(mark.encode() in found for mark in held.values())
    main.close()
    side.close()
