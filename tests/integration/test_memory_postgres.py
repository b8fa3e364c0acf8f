"""One memory on a PostgreSQL server: many writers, a server that stops, foreign hands, moving in and out."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.support.command import inside as rlem
from tests.support.postgres import PASSWORD, Cluster, debian_cluster, pgserver_cluster
from tests.support.writers import go, start

import rlem as package
from rlem.core.errors import (
    ClosedError,
    DataError,
    ExperienceMemoryError,
    MemoryCorruptError,
    MemoryReadOnlyError,
    MemoryVersionError,
    MissingExtraError,
    RlemError,
    UnknownNameError,
    UsageError,
)
from rlem.core.types import Episode, Situation, Transition
from rlem.memory.config import MemoryConfig
from rlem.memory.copying import copy_memory
from rlem.memory.memory import ExperienceMemory
from rlem.memory.sqlite import SQLiteStore
from rlem.memory.store import InMemoryStore
from rlem.testing.memory_contract import VIEWS, episode, situation, taught, walks
from rlem.values import ValueConfig

if TYPE_CHECKING:
    from rlem.memory.postgres import PostgresStore

__all__ = ["debian_cluster", "pgserver_cluster"]  # fixtures


@pytest.fixture
def server(debian_cluster: Cluster) -> Cluster:
    """The session's server."""
    return debian_cluster


def opened(url: str, **options: Any) -> PostgresStore:
    """A store; the driver is imported late, for it may be absent."""
    from rlem.memory.postgres import PostgresStore

    return PostgresStore(url, **options)


def sql(url: str, *statements: str) -> list[tuple[Any, ...]]:
    """Runs statements on the memory behind rlem's back; returns what the last one finds."""
    import psycopg

    address, _, schema = url.partition("&schema=")
    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute(f'SET search_path = "{schema}"'.encode())
        for statement in statements:
            cursor = connection.execute(statement.encode())
        return cursor.fetchall() if cursor.description else []


# -- many hands --------------------------------------------------------------------------------------

WRITER = """
import sys
from rlem.core.types import Episode, Situation, Transition
from rlem.memory.memory import ExperienceMemory
from rlem.memory.postgres import PostgresStore

url, name, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
print("ready", flush=True)
sys.stdin.readline()  # the word to go
memory = ExperienceMemory(PostgresStore(url))
pages = [Situation(task="walk", observation=page, actions=("go",)) for page in ("the town", "the sea")]
for i in range(count):
    steps = tuple(Transition(situation=page, action="go", reward=i % 3 - 1.0) for page in pages)
    memory.record(Episode(id=f"{name}-{i}", task="walk", transitions=steps))
    print(f"{name}-{i}", len(memory.recall(pages[0], 1)), flush=True)
"""


@pytest.fixture
def writers() -> Iterator[list[subprocess.Popen[str]]]:
    """Processes to end at the end."""
    processes: list[subprocess.Popen[str]] = []
    yield processes
    for process in processes:
        process.kill()
        process.communicate()


def visits(memory: ExperienceMemory) -> dict[str, int]:
    """How often each page was visited, by the derived values."""
    return {e.situation.observation: e.visits for e in memory.experiences()}


def test_four_processes_write_one_memory_without_loss(
    server: Cluster, writers: list[subprocess.Popen[str]]
) -> None:
    """All four find an empty database at the same moment and record forty episodes each: every visit is
    counted, in an order all agree on, and a reader that looks on sees the count grow and never fails."""
    url = server.url()
    writers += [start(WRITER, url, f"w{number}", 40) for number in range(4)]
    go(*writers)
    seen: list[int] = []
    reader: ExperienceMemory | None = None
    while any(process.poll() is None for process in writers):
        if reader is None:
            try:
                reader = ExperienceMemory(opened(url, read_only=True))
            except (MemoryVersionError, MemoryReadOnlyError):  # nobody has made it yet
                continue
        seen.append(reader.episode_count())
        reader.recall(situation("the town"), 1)
    for process in writers:
        output, errors = process.communicate(timeout=120)
        assert errors == ""
        assert len(output.splitlines()) == 40
    assert reader is not None
    assert seen == sorted(seen)
    assert len(set(seen)) > 5
    memory = ExperienceMemory(opened(url))
    assert visits(memory) == visits(reader) == {"the town": 160, "the sea": 160}
    log = list(memory.episodes())
    assert {e.id for e in log} == {f"w{w}-{i}" for w in range(4) for i in range(40)}
    assert [e.sequence for e in log] == list(range(1, 161))
    assert memory.hash() == reader.hash() == taught(None, log).hash()
    reader.close()
    memory.close()


def test_several_memories_share_a_database(server: Cluster) -> None:
    """Each schema is a memory of its own; without a name it is the one called rlem."""
    url = server.url("rlem")
    first, second = ExperienceMemory(opened(url)), ExperienceMemory(opened(server.url('od d"name')))
    first.record_many(walks(3))
    second.record_many(walks(5))
    unnamed = ExperienceMemory(opened(url.replace("&schema=rlem", "")))
    assert unnamed.hash() == first.hash() == taught(None, walks(3)).hash()
    assert second.hash() == taught(None, walks(5)).hash()
    for memory in (first, second, unnamed):
        memory.close()


# -- a server that stops -----------------------------------------------------------------------------


@pytest.fixture
def frail(debian_cluster: Cluster) -> Iterator[Cluster]:
    """The session's server, running again at the end."""
    yield debian_cluster
    if not (debian_cluster.data / "postmaster.pid").exists():
        debian_cluster.start()


def lines(process: subprocess.Popen[str], count: int) -> list[str]:
    """The next lines of a process's output."""
    assert process.stdout is not None
    return [process.stdout.readline() for _ in range(count)]


@pytest.mark.parametrize("hands", [1, 4])
def test_a_run_goes_on_after_the_server_was_killed(
    frail: Cluster, writers: list[subprocess.Popen[str]], hands: int
) -> None:
    """The server is cut off twice while writers work (no checkpoint, connections cut): all of them go
    on, and every episode is there exactly once, acknowledged before or after."""
    url, count = frail.url(), 1000 // hands
    ExperienceMemory(opened(url), MemoryConfig(values=ValueConfig(n=1))).close()
    writers += [start(WRITER, url, f"w{number}", count) for number in range(hands)]
    go(*writers)
    heard = lines(writers[0], 20)
    for _ in range(2):
        frail.stop("immediate")
        time.sleep(0.2)
        frail.start()
        heard += lines(writers[0], 60 // hands)
    assert writers[0].poll() is None, "the writers were done before the last restart"
    for process in writers:
        output, errors = process.communicate(timeout=120)
        assert errors == ""
        assert len(output.splitlines()) == count - (len(heard) if process is writers[0] else 0)
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

    session, cuts = store._session, [when]
    plain = session.sql

    def broken(query: str, parameters: Any = None) -> Any:
        if cuts and query.startswith(cuts[0]):
            cuts.pop()
            if after:
                plain(query, parameters)
            assert session._connection is not None
            session._connection.close()
            raise psycopg.OperationalError("the cable was cut")
        return plain(query, parameters)

    monkeypatch.setattr(session, "sql", broken)
    return cuts


STATEMENTS = ["BEGIN", "SELECT EXISTS", "WITH t AS", "INSERT INTO features", "WITH x AS", "COMMIT"]


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
    break_once(monkeypatch, store, when, after)
    connect = store._session._connect

    def overtaken() -> None:
        if other.find_episode("other") is None:
            other.record(replace(walks(1)[0], id="other"))
        connect()

    monkeypatch.setattr(store._session, "_connect", overtaken)
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
    break_once(monkeypatch, store, "COMMIT", False)
    connect = store._session._connect

    def overtaken() -> None:
        for number in range(2):
            other.record(replace(walks(1)[0], id=f"other-{number}"))
        connect()

    monkeypatch.setattr(store._session, "_connect", overtaken)
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
            store.put_features({("f", b"d"): b"x"})

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


# -- the wrong place, foreign hands ------------------------------------------------------------------


def test_versions_and_foreign_schemas_are_refused(server: Cluster) -> None:
    """A newer schema, somebody else's tables, an empty place to be read only: each with a way out."""
    url = server.url()
    with pytest.raises(MemoryVersionError, match="without read_only"):
        opened(url, read_only=True)
    memory = ExperienceMemory(opened(url))
    memory.record(walks(1)[0])
    sql(url, "UPDATE rlem_memory SET schema_version = 99")
    for read_only in (False, True):
        with pytest.raises(MemoryVersionError, match=r"newer rlem .*upgrade rlem"):
            opened(url, read_only=read_only)
    with pytest.raises(MemoryVersionError, match="another version of rlem"):  # changed while it was open
        memory.record(walks(2)[1])
    sql(url, "UPDATE rlem_memory SET schema_version = 1")
    assert memory.hash() == taught(None, walks(1)).hash()
    memory.close()
    foreign = server.url("foreign")
    sql(foreign, 'CREATE SCHEMA "foreign"', "CREATE TABLE t (x int)")
    with pytest.raises(MemoryVersionError, match=r"something else .*schema=NAME"):
        opened(foreign)


def test_an_older_schema_is_upgraded_step_by_step(server: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each step is applied once, in one transaction, and what was stored is still there."""
    url = server.url()
    memory = ExperienceMemory(opened(url))
    memory.record_many(walks(8))
    memory.close()
    for module in ("postgres", "postgres_session"):
        monkeypatch.setattr(f"rlem.memory.{module}.SCHEMA_VERSION", 3)
    steps = {1: "CREATE TABLE notes (text text); INSERT INTO notes VALUES ('one')"}
    monkeypatch.setattr("rlem.memory.postgres.UPGRADES", steps)
    with pytest.raises(MemoryVersionError, match="without read_only"):
        opened(url, read_only=True)
    with pytest.raises(MemoryVersionError, match="no way is known to upgrade schema 2"):
        opened(url)
    steps[2] = "INSERT INTO notes VALUES ('two')"
    for _ in range(2):
        memory = ExperienceMemory(opened(url))
        assert memory.hash() == taught(None, walks(8)).hash()
        memory.close()
    assert sql(url, "SELECT text FROM notes ORDER BY text") == [("one",), ("two",)]


@pytest.mark.parametrize(
    "damage",
    [
        "DELETE FROM texts",
        "DELETE FROM situations",
        "UPDATE episodes SET start = 'x'",
        "UPDATE episodes SET start = '[1]'",
        "UPDATE episodes SET task = '\\x00'",
        "UPDATE texts SET text = '\\xff'",
        "DROP TABLE transitions",
        "DELETE FROM rlem_memory",
    ],
)
def test_damage_to_the_log_is_reported(server: Cluster, damage: str) -> None:
    """The log is never guessed at: reading it is an error that names the memory."""
    store = opened(server.url())
    memory = ExperienceMemory(store)
    memory.record_many(walks(8))
    sql(store.location, damage)
    with pytest.raises(MemoryCorruptError, match="damaged") as caught:
        list(memory.episodes())
    assert store.location in str(caught.value)
    memory.close()


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE experiences SET state = 'no json'",
        "UPDATE experiences SET state = '[]'",
        "UPDATE experiences SET situation = '\\x00' WHERE ctid = (SELECT min(ctid) FROM experiences)",
        "UPDATE rlem_memory SET derived_fingerprint = 'x'",
        "UPDATE rlem_memory SET derived_revision = NULL",
        "DELETE FROM features",
    ],
)
def test_damage_to_what_is_derived_is_mended_silently(server: Cluster, damage: str) -> None:
    """Experiences and features are made anew from the log, and stored again by the next write."""
    url = server.url()
    memory = ExperienceMemory(opened(url))
    memory.record_many(walks(8))
    memory.close()
    sql(url, damage)
    memory = ExperienceMemory(opened(url))
    assert memory.hash() == taught(None, walks(8)).hash()
    memory.record(walks(9)[8])
    memory.close()
    memory = ExperienceMemory(opened(url))
    assert memory.hash() == taught(None, walks(9)).hash()
    memory.close()


def test_a_memory_that_may_only_be_read(server: Cluster) -> None:
    """Opened so, or by a role without the right to write: writing is refused, reading and recall work."""
    url = server.url()
    memory = ExperienceMemory(opened(url))
    memory.record_many(walks(3))
    memory.close()
    schema = url.rpartition("=")[2]
    sql(
        url,
        "DROP ROLE IF EXISTS reader",
        "CREATE ROLE reader LOGIN",
        f"GRANT USAGE ON SCHEMA {schema} TO reader",
        f"GRANT SELECT ON ALL TABLES IN SCHEMA {schema} TO reader",
    )
    theirs = url.replace("postgres@", "reader@")
    for place, options in ((url, {"read_only": True}), (theirs, {}), (theirs, {"read_only": True})):
        memory = ExperienceMemory(opened(place, **options))
        with pytest.raises(MemoryReadOnlyError, match=r"read-only|read_only=True"):
            memory.record(walks(4)[3])
        assert memory.hash() == taught(None, walks(3)).hash()
        assert len(memory.recall(situation("the bridge"), 2)) == 2
        memory.close()
    sql(url, "DROP OWNED BY reader", "DROP ROLE reader")


def test_a_writer_that_does_not_let_go_is_waited_for_and_then_reported(server: Cluster) -> None:
    """After timeout_s an error says so; afterwards all works again."""
    url = server.url()
    memory, other = ExperienceMemory(opened(url, timeout_s=0.05)), opened(url)
    with other.write(), pytest.raises(ExperienceMemoryError, match="locked by another writer"):
        memory.record(walks(1)[0])
    assert memory.episode_count() == 0
    memory.record(walks(1)[0])
    assert memory.hash() == taught(None, walks(1)).hash()
    memory.close()
    other.close()


def test_a_change_outside_of_a_write_is_refused(server: Cluster) -> None:
    """Nothing is committed by the way."""
    store = opened(server.url())
    with pytest.raises(UsageError, match=r"store\.write"):
        store.put_settings({})
    store.close()


# -- addresses ---------------------------------------------------------------------------------------


def test_a_password_is_used_and_never_shown(server: Cluster) -> None:
    """Over TCP the role needs it; a wrong one is refused; no message, location or repr holds it."""
    url = server.url(user="ann", tcp=True)
    sql(
        server.url(),
        "DROP ROLE IF EXISTS ann",
        f"CREATE ROLE ann SUPERUSER LOGIN PASSWORD '{PASSWORD}'",
    )
    with_password = url.replace("ann@", f"ann:{PASSWORD}@")
    memory = package.open(with_password)
    assert memory.experience_memory.location == url
    memory.close()
    asked = opened(f"{url}&password={PASSWORD}")
    assert asked.location == url
    asked.close()
    wrong = [
        with_password.replace(PASSWORD, "wrong-77"),
        with_password.replace("127.0.0.1", "127.0.0.1:x"),
        with_password.replace(PASSWORD, f"{PASSWORD}/x"),
        with_password.replace(PASSWORD, f"{PASSWORD}@x"),
        with_password.replace(PASSWORD, f"{PASSWORD}#x"),
        with_password.replace("/postgres", "/nothing-there"),
        with_password.replace("schema=", "shema="),
        with_password + "&schema=",
        with_password + "&schema=pg_x",
        with_password + "&connect_timeout=soon",
    ]
    for bad in wrong:
        with pytest.raises(RlemError) as caught:
            package.open(bad)
        error: BaseException | None = caught.value
        while error is not None:
            assert PASSWORD not in str(error)
            assert "wrong-77" not in str(error)
            error = error.__cause__
    with pytest.raises(UnknownNameError, match="did you mean 'schema'"):
        package.open(wrong[6])
    sql(server.url(), "DROP OWNED BY ann CASCADE", "DROP ROLE ann")


def test_addresses_that_are_none(tmp_path: Path) -> None:
    """Other schemes and a URL that went through Path are refused with the right form named."""
    with pytest.raises(UsageError, match="postgresql:// URL"):
        package.open("mysql://host/db")
    with pytest.raises(UsageError, match="not as a Path"):
        package.open(Path("postgresql://host/db"))


def test_without_the_driver_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """rlem.open of a URL says what to install; the driver is not loaded for anything else."""
    for name in [name for name in sys.modules if name.startswith(("psycopg", "rlem.memory.postgres"))]:
        monkeypatch.delitem(sys.modules, name)
    package.open(":memory:").close()
    assert "psycopg" not in sys.modules
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'rlem\[postgres\]'"):
        package.open("postgresql://host/db")


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
        (other, "new.rlem"): "without read_only",
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


# -- pgvector ----------------------------------------------------------------------------------------


def test_the_vector_extension_is_found_where_it_is(pgserver_cluster: Cluster) -> None:
    """The server of the package pgserver offers pgvector."""
    store = opened(pgserver_cluster.url())
    version = store.vector_extension()
    assert version is not None
    assert version[0].isdigit()
    store.close()


def test_threads_share_one_store_with_readers(server: Cluster) -> None:
    """A memory used by a writing and three reading threads: no error, no lost episode."""
    memory = ExperienceMemory(opened(server.url()))
    failures: list[BaseException] = []
    over = threading.Event()

    def read() -> None:
        try:
            while not over.is_set():
                memory.recall(situation("the bridge"), 2)
                list(memory.episodes())
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=read) for _ in range(3)]
    for thread in threads:
        thread.start()
    for number in range(30):
        memory.record(episode(f"e{number}", [("p", "left", 1.0)]))
    over.set()
    for thread in threads:
        thread.join()
    assert failures == []
    assert memory.episode_count() == 30
    memory.close()
