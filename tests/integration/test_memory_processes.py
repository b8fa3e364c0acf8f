"""One memory file and many processes: killed at any moment, or writing all at once."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.writers import go, start

from rlem.memory.memory import ExperienceMemory
from rlem.memory.sqlite import SQLiteStore
from rlem.testing.memory_cases import episode, taught

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")


WRITER = """
import sys
from rlem.core.types import Episode, Situation, Transition
from rlem.memory.memory import ExperienceMemory
from rlem.memory.sqlite import SQLiteStore

path, name, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
print("ready", flush=True)
sys.stdin.readline()  # the word to go
memory = ExperienceMemory(SQLiteStore(path))
for i in range(count):
    pages = [f"page {i % 7} of the town", f"page {(i + 1) % 5} of the sea"]
    situations = [Situation(task="walk", observation=page, actions=("go",)) for page in pages]
    steps = tuple(Transition(situation=s, action="go", reward=i % 3 - 1.0) for s in situations)
    memory.record(Episode(id=f"{name}-{i}", task="walk", transitions=steps))
    print(f"{name}-{i}", flush=True)
"""


@pytest.fixture
def writers() -> Iterator[list[subprocess.Popen[str]]]:
    """Processes to end at the end."""
    processes: list[subprocess.Popen[str]] = []
    yield processes
    for process in processes:
        process.kill()
        process.communicate()


def test_three_processes_write_one_file_without_loss(
    tmp_path: Path, writers: list[subprocess.Popen[str]]
) -> None:
    """All three make the file at the same moment and record thirty episodes each: ninety are there, in an
    order that all agree on."""
    path = tmp_path / "memory.rlem"
    writers += [start(WRITER, path, f"w{number}", 30) for number in range(3)]
    go(*writers)
    for process in writers:
        output, errors = process.communicate(timeout=120)
        assert errors == ""
        assert len(output.split()) == 30
    memory = ExperienceMemory(SQLiteStore(path))
    log = list(memory.episodes())
    assert {e.id for e in log} == {f"w{w}-{i}" for w in range(3) for i in range(30)}
    assert [e.sequence for e in log] == list(range(1, 91))
    assert memory.hash() == taught(None, log).hash()
    memory.close()


def test_a_new_file_can_be_made_by_many_at_once(tmp_path: Path, writers: list[subprocess.Popen[str]]) -> None:
    """Whoever comes first makes the schema and the settings; nobody sees a half-made file."""
    for number_of_try in range(3):
        path = tmp_path / f"memory{number_of_try}.rlem"
        racers = [start(WRITER, path, f"w{number}", 1) for number in range(4)]
        writers += racers
        go(*racers)
        assert [process.communicate(timeout=120)[1] for process in racers] == [""] * 4
        memory = ExperienceMemory(SQLiteStore(path))
        assert memory.episode_count() == 4
        memory.close()


def test_a_reader_follows_a_writer_in_another_process(
    tmp_path: Path, writers: list[subprocess.Popen[str]]
) -> None:
    """What another process acknowledged is seen by the next look, in a read-only memory, too."""
    path = tmp_path / "memory.rlem"
    own = ExperienceMemory(SQLiteStore(path))
    own.record(episode("own", [("home", "go", 1.0)]))
    reader = ExperienceMemory(SQLiteStore(path, read_only=True))
    process = start(WRITER, path, "other", 5)
    writers.append(process)
    go(process)
    _, errors = process.communicate(timeout=120)
    assert errors == ""
    assert reader.episode_count() == own.episode_count() == 6
    assert reader.hash() == own.hash()
    reader.close()
    own.close()
