"""Eight processes of sixteen threads write one memory: every update counts, and none waits for ever."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.postgres import Cluster, debian_cluster
from tests.support.writers import go, start

import rlem
from rlem.core.types import Situation

__all__ = ["debian_cluster"]  # a fixture

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX processes")

PROCESSES, THREADS, EPISODES = 8, 16, 3

WRITER = f"""
import sys, threading
import rlem
place, name, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
memory = rlem.open(place)
print("ready", flush=True)
sys.stdin.readline()
def work(thread):
    for i in range(count):
        with memory.episode("count", id=f"{{name}}-{{thread}}-{{i}}") as episode:
            episode.record("up", 1.0, "the counter", ["up"])
            episode.record("down", 0.0, f"the way home of {{name}}", ["down"])
        memory.recall(task="count", observation="the counter")
threads = [threading.Thread(target=work, args=(thread,)) for thread in range({THREADS})]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(len(memory), flush=True)
memory.close()
"""


@pytest.fixture
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Where the memory is: a file, or a schema of a server."""
    if request.param == "sqlite":
        yield str(tmp_path / "memory.rlem")
    else:
        server: Cluster = request.getfixturevalue("debian_cluster")
        yield server.url()


@pytest.mark.parametrize("place", ["sqlite", "postgres"], indirect=True)
def test_no_update_is_lost(place: str) -> None:
    """The counter was left as often as all threads of all processes say together; each episode is there
    once, in one order; the values are those of a replay, and every process ended well."""
    rlem.open(place).close()
    processes: list[subprocess.Popen[str]] = []
    try:
        processes += [start(WRITER, place, f"p{number}", EPISODES) for number in range(PROCESSES)]
        go(*processes)
        ends = [process.communicate(timeout=300) for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.wait()
    assert [errors for _, errors in ends] == [""] * PROCESSES
    total = PROCESSES * THREADS * EPISODES
    with rlem.open(place) as memory:
        counter = Situation(task="count", observation="the counter", actions=("up",))
        found = memory.experience_memory.get(counter.key)
        assert found is not None
        (up,) = found.actions
        assert (up.visits, up.q_value, found.visits) == (total, 1.0, total)
        log = list(memory.episodes())
        assert len({e.id for e in log}) == len(log) == total
        assert [e.sequence for e in log] == list(range(1, total + 1))
        before = memory.hash()
        memory.rebuild()
        assert memory.hash() == before
