"""Memories moved to a PostgreSQL server and back; what is forgotten there."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.support.command import inside as rlem
from tests.support.postgres import (
    Cluster,
    debian_cluster,
    opened,
    server,
    sql,
)

from rlem.core.errors import (
    DataError,
    ExperienceMemoryError,
)
from rlem.core.types import Episode, Situation, Transition
from rlem.memory.copying import copy_memory
from rlem.memory.memory import ExperienceMemory
from rlem.memory.sqlite import SQLiteStore
from rlem.memory.volatile import InMemoryStore
from rlem.testing.memory_cases import VIEWS, taught, walks

if TYPE_CHECKING:
    pass

__all__ = ["debian_cluster", "server"]  # fixtures


# -- forgetting --------------------------------------------------------------------------------------


def test_forgotten_bytes_are_gone_from_the_tables_files(server: Cluster) -> None:
    """Task, page, action, reason, source, id: no byte of them in the server's data files after forget. (Its
    WAL, outside of rlem's reach, keeps them until it is overwritten.)"""
    page = Situation(task="task XYZZY", observation="page XYZZY " * 40, actions=("XYZZY",), subtask="XYZZY")
    secret = Episode(
        id="id-XYZZY",
        task="task XYZZY",
        transitions=(Transition(situation=page, action="type XYZZY", reward=1.0, reason="because XYZZY"),),
        source="source XYZZY",
        cause="cause XYZZY",
        history=("before XYZZY",),
    )
    url = server.url()
    memory = ExperienceMemory(opened(url))
    memory.record_many([*walks(3), secret])
    sql(url, "ANALYZE", "CHECKPOINT")

    def traces() -> list[str]:
        files = [path for path in (server.data / "base").rglob("*") if path.is_file()]
        return [path.name for path in files if b"XYZZY" in path.read_bytes()]

    assert traces()
    memory.forget(source="source XYZZY")
    sql(url, "CHECKPOINT")
    assert traces() == []
    assert memory.hash() == taught(None, walks(3)).hash()
    memory.close()


def test_a_reader_that_hinders_the_wiping_is_named(server: Cluster) -> None:
    """The episode is forgotten; the error says that bytes are left and how they go."""
    url = server.url()
    memory, reader = ExperienceMemory(opened(url, timeout_s=0.05)), opened(url, read_only=True)
    memory.record_many(walks(3))
    with reader.read():
        list(reader.episodes())
        with pytest.raises(ExperienceMemoryError, match="VACUUM FULL"):
            memory.forget(episode="walk-001")
        assert reader.count() == 3
    assert reader.count() == 2
    memory.close()
    reader.close()


# -- moving in and out -------------------------------------------------------------------------------


@pytest.mark.parametrize("view", ["monte-carlo", "n=1", "capacity"])
def test_a_copy_there_and_back_is_equal(server: Cluster, tmp_path: Path, view: str) -> None:
    """File to server to file: settings, log, values and places, and the progress ends at its total."""
    source = SQLiteStore(tmp_path / "a.rlem")
    memory = ExperienceMemory(source, VIEWS[view])
    memory.record_many(walks(12))
    memory.forget(episode="walk-002")
    middle, last = opened(server.url()), SQLiteStore(tmp_path / "b.rlem")
    steps: list[tuple[int, int]] = []
    there = copy_memory(source, middle, lambda done, total: steps.append((done, total)))
    back = copy_memory(middle, last)
    assert there == back
    assert (there.episodes, there.hash) == (11, memory.hash())
    assert steps == [(number, 22) for number in range(1, 23)]
    copy = ExperienceMemory(last)
    assert list(copy.episodes()) == list(memory.episodes())
    assert copy.experiences() == memory.experiences()
    assert copy.config == VIEWS[view]
    for store in (source, middle, last):
        store.close()


def test_a_copy_needs_an_empty_place_and_a_memory(server: Cluster) -> None:
    """A target with episodes and a source without settings are refused; what a broken copy left is not."""
    source, target = InMemoryStore(), opened(server.url())
    with pytest.raises(DataError, match="no memory yet"):
        copy_memory(source, target)
    ExperienceMemory(source, VIEWS["n=1"]).record_many(walks(4))
    ExperienceMemory(target)  # with other settings
    assert copy_memory(source, target).episodes == 4
    assert ExperienceMemory(target).config == VIEWS["n=1"]
    with pytest.raises(DataError, match=r"holds 4 episodes: .* empty place"):
        copy_memory(source, target)
    target.close()


def test_a_copy_is_of_one_moment(server: Cluster) -> None:
    """Who writes to the source while it is copied changes nothing of the copy."""
    url = server.url()
    writer = ExperienceMemory(opened(url))
    writer.record_many(walks(3))
    before = writer.hash()
    source, target = opened(url, read_only=True), InMemoryStore()

    def progress(done: int, _: int) -> None:
        writer.record(replace(walks(1)[0], id=f"late-{done}"))

    assert copy_memory(source, target, progress).hash == before
    assert writer.episode_count() == 9
    writer.close()
    source.close()


def test_the_command_line_treats_files_and_servers_alike(server: Cluster, tmp_path: Path) -> None:
    """copy, show, explain, forget, rebuild, export, import take a URL where they take a file."""

    def well(*arguments: str) -> str:
        done = rlem("memory", *arguments, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        return " ".join(done.stdout.split())

    url, other = server.url(), server.url()
    memory = ExperienceMemory(SQLiteStore(tmp_path / "shop.rlem"))
    memory.record_many(walks(8))
    expected, key = memory.hash(), memory.experiences()[0].key
    memory.close()
    copied = well("copy", "shop.rlem", url)
    assert re.search(r": 8 episodes, \d+ experiences, copied from shop.rlem; both have the hash", copied)
    assert expected in copied
    again = rlem("memory", "copy", "shop.rlem", url, cwd=tmp_path)
    assert again.returncode == 1
    assert "empty place" in again.stderr
    assert expected in well("copy", url, "back.rlem")
    for arguments, complaint in {
        ("shop.rlem", "back.rlem"): "exists already",
        ("nothing.rlem", "new.rlem"): "no memory file nothing.rlem",
        (other, "new.rlem"): "there is no memory in",
    }.items():
        done = rlem("memory", "copy", *arguments, cwd=tmp_path)
        assert done.returncode == 1
        assert complaint in done.stderr
    assert not (tmp_path / "new.rlem").exists()
    assert "from 8 episodes" in well("show", url)
    assert "value" in well("explain", url, key)
    assert "1 episode forgotten" in well("forget", url, "--episode", "walk-001")
    assert "7 episodes" in well("rebuild", url, "-n", "1")
    well("export", url, "log.jsonl")
    assert "7 episodes taken in" in well("import", other, "log.jsonl", "--trust", "keep")
    first, second = ExperienceMemory(opened(url)), ExperienceMemory(opened(other))
    assert first.hash() == second.hash()
    assert second.config.values.n == 1
    first.close()
    second.close()
