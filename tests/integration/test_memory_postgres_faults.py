"""A memory on a PostgreSQL server that stops, or whose connection is cut."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from tests.support.postgres import WRITER, Cluster, debian_cluster, ended, frail, opened, server
from tests.support.writers import go, start

from rlem.core.errors import (
    ClosedError,
    ExperienceMemoryError,
)
from rlem.memory.config import MemoryConfig
from rlem.memory.memory import ExperienceMemory
from rlem.testing.memory_cases import VIEWS, situation, taught, walks
from rlem.values import ValueConfig

if TYPE_CHECKING:
    from rlem.memory.postgres import PostgresStore

__all__ = ["debian_cluster", "ended", "frail", "server"]  # fixtures


def visits(memory: ExperienceMemory) -> dict[str, int]:
    """How often each page was visited, by the derived values."""
    return {e.situation.observation: e.visits for e in memory.experiences()}


def lines(process: subprocess.Popen[str], count: int) -> list[str]:
    """The next lines of a process's output."""
    assert process.stdout is not None
    return [process.stdout.readline() for _ in range(count)]


@pytest.mark.parametrize("hands", [1, 4])
def test_a_run_goes_on_after_the_server_was_killed(
    frail: Cluster, ended: list[subprocess.Popen[str]], hands: int
) -> None:
    """The server is cut off twice while writers work (no checkpoint, connections cut): all of them go
    on, and every episode is there exactly once, acknowledged before or after."""
    url, count = frail.url(), 1000 // hands
    ExperienceMemory(opened(url), MemoryConfig(values=ValueConfig(n=1))).close()
    ended += [start(WRITER, url, f"w{number}", count) for number in range(hands)]
    go(*ended)
    heard = lines(ended[0], 20)
    for _ in range(2):
        frail.stop("immediate")
        time.sleep(0.2)
        frail.start()
        heard += lines(ended[0], 60 // hands)
    assert ended[0].poll() is None, "the writers were done before the last restart"
    for process in ended:
        # Not communicate(): it does not see what readline() has read ahead.
        assert process.stdout is not None
        assert process.stderr is not None
        assert len(process.stdout.readlines()) == count - (len(heard) if process is ended[0] else 0)
        assert process.stderr.read() == ""
        assert process.wait(timeout=120) == 0
    memory = ExperienceMemory(opened(url))
    log = list(memory.episodes())
    assert sorted(e.id for e in log) == sorted(f"w{w}-{i}" for w in range(hands) for i in range(count))
    assert [e.sequence for e in log] == list(range(1, hands * count + 1))
    assert visits(memory) == {"the town": hands * count, "the sea": hands * count}
    assert memory.hash() == taught(memory.config, log).hash()
    memory.close()


def break_once(monkeypatch: pytest.MonkeyPatch, store: PostgresStore, when: str, after: bool) -> list[str]:
    """Cuts the connection at the first statement that starts so: before it is sent, or before its answer."""
    import psycopg

    session, cuts = store._writer, [when]
    plain = session.sql

    def broken(query: str, parameters: Any = None) -> Any:
        if cuts and query.startswith(cuts[0]):
            cuts.pop()
            connection = session._connection
            assert connection is not None
            if after:
                plain(query, parameters)
                if connection._pipeline is not None:
                    connection._pipeline.sync()
            connection.close()
            raise psycopg.OperationalError("the cable was cut")
        return plain(query, parameters)

    monkeypatch.setattr(session, "sql", broken)
    return cuts


STATEMENTS = [
    "BEGIN",
    "WITH e AS",
    "INSERT INTO features",
    "INSERT INTO experiences",
    "UPDATE views SET mark",
    "COMMIT",
]


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("when", STATEMENTS)
def test_a_connection_cut_at_any_statement_of_a_write(
    server: Cluster, monkeypatch: pytest.MonkeyPatch, when: str, after: bool
) -> None:
    """Whether the statement was done or not, the commit included: the episode is stored exactly once."""
    monkeypatch.setattr("rlem.memory.postgres_session.GRACE_S", 0.01)
    store = opened(server.url())
    memory = ExperienceMemory(store, VIEWS["n=1"])
    for item in walks(6):
        memory.record(item)
    cuts = break_once(monkeypatch, store, when, after)
    for item in walks(8)[6:]:
        memory.record(item)
    assert not cuts, "nothing was cut"
    assert store.revision() == 9  # the settings are a write, too
    other = ExperienceMemory(opened(store.location))
    assert memory.hash() == other.hash() == taught(VIEWS["n=1"], walks(8)).hash()
    other.close()
    memory.close()


@pytest.mark.parametrize("when", ["INSERT INTO features", "COMMIT"])
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_cut_write_that_was_overtaken(
    server: Cluster, monkeypatch: pytest.MonkeyPatch, when: str, after: bool
) -> None:
    """If others wrote meanwhile, a write that was committed is known to be; one that was not is done again
    from the start, on what the others left."""
    url = server.url()
    store, other = opened(url), ExperienceMemory(opened(url))
    memory = ExperienceMemory(store)
    with store.write():
        pass  # now it is connected
    break_once(monkeypatch, store, when, after)
    connect = store._writer._connect

    def overtaken() -> None:
        if other.find_episode("other") is None:
            other.record(replace(walks(1)[0], id="other"))
        connect()

    monkeypatch.setattr(store._writer, "_connect", overtaken)
    memory.record(walks(1)[0])
    assert memory.hash() == other.hash()
    assert {e.id for e in other.episodes()} == {"walk-000", "other"}
    assert memory.episode_count() == 2
    memory.close()
    other.close()


def test_a_commit_whose_fate_cannot_be_known_is_not_guessed(
    server: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After more writes than tokens are kept, the error says that the log must be looked at."""
    monkeypatch.setattr("rlem.memory.postgres_session.TOKENS", 2)
    url = server.url()
    store, other = opened(url), ExperienceMemory(opened(url))
    memory = ExperienceMemory(store)
    with store.write():
        pass  # now it is connected
    break_once(monkeypatch, store, "COMMIT", False)
    connect = store._writer._connect

    def overtaken() -> None:
        for number in range(2):
            other.record(replace(walks(1)[0], id=f"other-{number}"))
        connect()

    monkeypatch.setattr(store._writer, "_connect", overtaken)
    with pytest.raises(ExperienceMemoryError, match="cannot be told whether it is stored"):
        memory.record(walks(1)[0])
    assert other.episode_count() == 2
    memory.close()
    other.close()


def test_a_server_that_is_gone_for_good(frail: Cluster) -> None:
    """After the tries the error says what to do; readers and writers get it; nothing half-written is there
    when the server is back, and the same objects go on."""
    url = frail.url()
    store = opened(url, retries=3)
    memory = ExperienceMemory(store)
    memory.record_many(walks(3))
    frail.stop("immediate")
    uses: list[Callable[[], object]] = [
        lambda: memory.record(walks(4)[3]),
        lambda: memory.recall(situation("p")),
        memory.hash,
    ]
    for use in uses:
        with pytest.raises(ExperienceMemoryError, match=r"3 tries .* failed .*Start the server"):
            use()
    with pytest.raises(ExperienceMemoryError, match="check that the server runs"):
        opened(url)
    frail.start()
    assert memory.hash() == taught(None, walks(3)).hash()
    memory.record(walks(4)[3])
    assert memory.hash() == taught(None, walks(4)).hash()
    memory.close()
    with pytest.raises(ClosedError):
        memory.hash()


def test_a_server_that_goes_in_the_midst_of_a_write(frail: Cluster) -> None:
    """The error says that nothing is stored, and that is so."""
    store = opened(frail.url(), retries=2)
    memory = ExperienceMemory(store)
    memory.record_many(walks(3))

    def write() -> None:
        with store.write():
            store.append(replace(walks(4)[3], sequence=9))
            frail.stop("immediate")
            store.append(replace(walks(5)[4], sequence=10))

    with pytest.raises(ExperienceMemoryError, match=r"nothing of what was being written is stored.*Start"):
        write()
    frail.start()
    assert memory.hash() == taught(None, walks(3)).hash()
    assert store.revision() == 2
    memory.close()


def test_a_reader_goes_on_after_a_restart(frail: Cluster) -> None:
    """A read-only memory and an iteration over the log outlive a restart."""
    url = frail.url()
    memory = ExperienceMemory(opened(url))
    memory.record_many(walks(6))
    store = opened(url, read_only=True)
    reader = ExperienceMemory(store)
    with store.read():
        before = store.count()
        frail.stop("immediate")
        frail.start()
        assert store.count() == before
    assert reader.hash() == taught(None, walks(6)).hash()
    memory.record(walks(7)[6])
    assert reader.episode_count() == 7
    reader.close()
    memory.close()
