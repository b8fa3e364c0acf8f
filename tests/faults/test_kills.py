"""Writers and servers killed at any moment: what was acknowledged is there, nothing is half there.

The long version: `python bench/faults.py`.
"""

from __future__ import annotations

import itertools
import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from tests.support.faults import (
    KINDS,
    Child,
    Say,
    State,
    Trial,
    acts,
    big,
    kill_many,
    kill_server,
    opened,
    outcome,
    traces,
    unsound,
    wrong_with,
)
from tests.support.postgres import Cluster, debian_cluster

__all__ = ["debian_cluster"]  # a fixture

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")


@pytest.mark.parametrize("kind", KINDS)
def test_no_acknowledged_act_is_lost_by_a_kill(tmp_path: Path, kind: str) -> None:
    """Killed twelve times: what the acknowledged acts of each thread left is there exactly, or one act more;
    the values are those of the log; SQLite finds the file in order; what was forgotten has no byte in it."""
    numbers = itertools.count()
    trial = Trial(kind)
    acknowledged = kill_many(trial, lambda: tmp_path / f"m{next(numbers)}.rlem", kind, 12, seed=7, lives=6)
    assert trial.lost == []
    assert trial.tries == 12
    assert acknowledged >= 12, "the writers were killed before they did anything"


@pytest.mark.parametrize("kind", ["threads", "two processes"])
def test_no_acknowledged_act_is_lost_by_a_kill_of_a_servers_client(
    debian_cluster: Cluster, kind: str
) -> None:
    """The same with a memory on a PostgreSQL server: its clients are killed."""
    trial = Trial(kind)
    assert kill_many(trial, debian_cluster.url, kind, 3, seed=7, lives=2) >= 3
    assert trial.lost == []


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="the server's processes are found in /proc")
def test_a_server_killed_with_all_its_processes(debian_cluster: Cluster) -> None:
    """kill -9 of the whole server while two clients write: after its start they go on, nothing is lost."""
    trial = Trial("server")
    assert kill_server(trial, debian_cluster, 1, seed=7) >= 4
    assert trial.lost == []


# -- the checks themselves ---------------------------------------------------------------------------


def test_the_checks_find_what_is_lost_torn_or_foreign() -> None:
    """What is there after three acts, or four, is right; anything else is named."""
    lane, kind = "lane", "batches"
    states = [{}, *(state for _, state in itertools.islice(acts(lane, kind), 5))]
    for done in (3, 4):
        assert wrong_with(kind, states[done], {}, {lane: 3}) == []
    foreign = wrong_with(kind, states[4], states[3], {})
    assert foreign == [f"{name} was never recorded" for name in states[4] if name not in states[3]]
    first, *rest = states[3]
    torn = replace(states[3][first], transitions=states[3][first].transitions[:-1])
    harmed: list[State] = [
        states[2],  # an acknowledged batch is lost
        states[5],  # more than one act ahead
        {name: states[3][name] for name in rest},  # half a batch
        {**states[3], first: torn},
        {name: states[3][name] for name in (*rest, first)},  # another order
    ]
    for state in harmed:
        assert any(line.startswith("lane: ") for line in wrong_with(kind, state, {}, {lane: 3}))
    assert wrong_with(kind, {**states[3], first: torn}, states[3], {}) == [f"{first} is lost or torn"]


def test_the_checks_find_forgotten_bytes(tmp_path: Path) -> None:
    """The name of an episode whose forgetting was acknowledged, in the file or in its WAL."""
    lane, kind = "lane", "forget and rebuild"
    states = [state for _, state in itertools.islice(acts(lane, kind), 4)]
    (gone,) = states[2].keys() - states[3].keys()
    path = tmp_path / "memory.rlem"
    path.write_bytes(b" ".join(name.encode() for name in states[3]))
    assert traces(path, kind, {lane: 4}) == []
    Path(f"{path}-wal").write_bytes(f"x{gone}x".encode())
    assert traces(path, kind, {lane: 3}) == []
    assert traces(path, kind, {lane: 4}) == [f"{gone} was forgotten, its bytes are there"]


def test_the_checks_find_a_damaged_file(tmp_path: Path) -> None:
    """A page of the file overwritten with another one: SQLite or rlem says so."""
    path = tmp_path / "memory.rlem"
    with closing(opened(path)) as memory:
        memory.record_many([big(f"page {n}", 9000) for n in range(5)])
    assert unsound(path) == []
    with path.open("r+b") as file:
        file.seek(path.stat().st_size - 4096)
        file.write(b"x" * 4096)
    assert outcome(lambda: unsound(path)).startswith("MemoryCorruptError") or unsound(path) != []


def test_a_child_that_fails_says_so() -> None:
    """The error of a writer that is not to blame on the kill is among the problems."""

    def work(say: Say) -> None:
        say("one")
        raise ValueError("no")

    assert Child(work).end() == ["one", "failed: ValueError('no')"]
