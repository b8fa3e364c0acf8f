"""One memory on a PostgreSQL server: many writers, roles and rights, addresses."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.support.postgres import PASSWORD, WRITER, Cluster, debian_cluster, ended, opened, server, sql
from tests.support.writers import go, start

import rlem as package
from rlem.core.errors import (
    ExperienceMemoryError,
    MemoryReadOnlyError,
    MemoryVersionError,
    MissingExtraError,
    RlemError,
    UnknownNameError,
    UsageError,
)
from rlem.memory.memory import ExperienceMemory
from rlem.testing.memory_cases import episode, situation, taught, walks

if TYPE_CHECKING:
    pass

__all__ = ["debian_cluster", "ended", "server"]  # fixtures


def visits(memory: ExperienceMemory) -> dict[str, int]:
    """How often each page was visited, by the derived values."""
    return {e.situation.observation: e.visits for e in memory.experiences()}


def test_four_processes_write_one_memory_without_loss(
    server: Cluster, ended: list[subprocess.Popen[str]]
) -> None:
    """All four find an empty database at the same moment and record forty episodes each: every visit is
    counted, in an order all agree on, and a reader that looks on sees the count grow and never fails."""
    url = server.url()
    ended += [start(WRITER, url, f"w{number}", 40) for number in range(4)]
    go(*ended)
    seen: list[int] = []
    reader: ExperienceMemory | None = None
    while any(process.poll() is None for process in ended):
        if reader is None:
            try:
                store = opened(url, read_only=True)
            except MemoryVersionError:  # nobody has made it yet
                continue
            try:
                reader = ExperienceMemory(store)
            except MemoryReadOnlyError:  # the tables are there, the settings are not
                store.close()
                continue
        seen.append(reader.episode_count())
        reader.recall(situation("the town"), 1)
    for process in ended:
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
        store.put_settings("main", {})
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
