"""What happens to a memory file when the world is not as it should be: one clear error, nothing lost."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from rlem.core.errors import (
    ExperienceMemoryError,
    MemoryCorruptError,
    MemoryReadOnlyError,
    MemoryVersionError,
    RlemError,
)
from rlem.core.types import Episode, Situation, Transition
from rlem.memory import sqlite_session, upgrades
from rlem.memory.memory import ExperienceMemory
from rlem.memory.sqlite import SQLiteStore
from rlem.memory.store import SCHEMA_VERSION
from rlem.testing.memory_cases import taught, walks


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A closed memory of eight episodes."""
    return make(tmp_path / "memory.rlem")


def make(path: Path, episodes: int = 8) -> Path:
    """Makes and closes a memory there."""
    memory = ExperienceMemory(SQLiteStore(path))
    memory.record_many(walks(episodes))
    memory.close()
    return path


def opened(path: Path, *, read_only: bool = False, timeout_s: float = 60.0) -> ExperienceMemory:
    """A memory over the file."""
    return ExperienceMemory(SQLiteStore(path, read_only=read_only, timeout_s=timeout_s))


def sql(path: Path, *statements: str) -> None:
    """Runs statements on the file behind rlem's back."""
    connection = sqlite3.connect(path, isolation_level=None)
    for statement in statements:
        connection.execute(statement)
    connection.close()


# -- the wrong file ----------------------------------------------------------------------------------


def test_an_older_schema_is_upgraded_step_by_step(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each step is applied once, in one transaction, and what was stored is still there."""
    before = taught(None, walks(8)).hash()
    two = {
        SCHEMA_VERSION: "CREATE TABLE notes (text); INSERT INTO notes VALUES ('one')",
        SCHEMA_VERSION + 1: "INSERT INTO notes VALUES ('two')",
    }
    monkeypatch.setattr(sqlite_session, "SCHEMA_VERSION", SCHEMA_VERSION + 2)
    monkeypatch.setattr(upgrades, "UPGRADES", two)
    with pytest.raises(MemoryVersionError, match="without read_only"):
        opened(path, read_only=True)
    for _ in range(2):
        memory = opened(path)
        assert memory.hash() == before
        memory.close()
    connection = sqlite3.connect(path)
    assert connection.execute("SELECT text FROM notes").fetchall() == [("one",), ("two",)]
    assert connection.execute("PRAGMA user_version").fetchone() == (SCHEMA_VERSION + 2,)
    connection.close()


def test_a_failed_upgrade_changes_nothing(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the second step fails, the first one is taken back; a missing step is an error of ours."""
    first, second = "CREATE TABLE notes (text)", "THIS IS NO SQL"
    monkeypatch.setattr(sqlite_session, "SCHEMA_VERSION", SCHEMA_VERSION + 2)
    monkeypatch.setattr(upgrades, "UPGRADES", {SCHEMA_VERSION: first, SCHEMA_VERSION + 1: second})
    with pytest.raises(ExperienceMemoryError, match="could not be opened"):
        opened(path)
    monkeypatch.setattr(upgrades, "UPGRADES", {SCHEMA_VERSION: first})
    with pytest.raises(MemoryVersionError, match=f"upgrade schema {SCHEMA_VERSION + 1}"):
        opened(path)
    monkeypatch.undo()
    memory = opened(path)
    assert memory.hash() == taught(None, walks(8)).hash()
    memory.close()


def test_a_file_that_is_no_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    """A text file given by mistake is not overwritten."""
    path = tmp_path / "notes.txt"
    path.write_text("my notes\n" * 200)
    with pytest.raises(MemoryVersionError, match="not a memory file"):
        opened(path)
    assert path.read_text() == "my notes\n" * 200


@pytest.mark.parametrize(
    "statement", ["CREATE TABLE users (name)", "PRAGMA application_id = 7", "PRAGMA user_version = 1"]
)
def test_a_foreign_database_is_refused_and_left_alone(tmp_path: Path, statement: str) -> None:
    """Another program's SQLite file stays that program's."""
    path = tmp_path / "other.db"
    sql(path, statement)
    before = path.read_bytes()
    with pytest.raises(MemoryVersionError, match="not a memory of rlem"):
        opened(path)
    assert path.read_bytes() == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["other.db"]


def test_a_folder_a_missing_folder_and_a_missing_file(tmp_path: Path) -> None:
    """Each is named, and nothing is made on the way."""
    with pytest.raises(ExperienceMemoryError, match="is a folder"):
        opened(tmp_path)
    with pytest.raises(ExperienceMemoryError, match="does not exist: make it first"):
        opened(tmp_path / "no" / "memory.rlem")
    with pytest.raises(ExperienceMemoryError, match="no memory file"):
        opened(tmp_path / "memory.rlem", read_only=True)
    assert list(tmp_path.iterdir()) == []


def test_an_empty_file_becomes_a_memory_unless_it_is_only_read(tmp_path: Path) -> None:
    """touch makes a place for a memory; a reader finds none in it."""
    path = tmp_path / "memory.rlem"
    path.touch()
    with pytest.raises(MemoryVersionError, match="empty"):
        opened(path, read_only=True)
    assert path.stat().st_size == 0
    memory = opened(path)
    assert memory.episode_count() == 0
    memory.close()


def test_every_commit_is_on_the_disk(path: Path) -> None:
    """WAL with synchronous=FULL (2), deleted content overwritten: what durability and forget rest on."""
    store = SQLiteStore(path)
    wanted = {"journal_mode": "wal", "synchronous": 2, "secure_delete": 1, "foreign_keys": 1}
    with store._session.writing() as sql:
        assert {name: sql.execute(f"PRAGMA {name}").fetchone()[0] for name in wanted} == wanted
    store.close()


# -- a file that may not be written ------------------------------------------------------------------


def test_a_memory_opened_read_only_refuses_every_write(path: Path) -> None:
    """Recording, importing, forgetting and rebuilding are errors; the file stays as it is, byte by byte."""
    before = path.read_bytes()
    memory = opened(path, read_only=True)
    writes: list[Callable[[], object]] = [
        lambda: memory.record(walks(9)[8]),
        lambda: memory.insert([]),
        lambda: memory.forget(source="own"),
        memory.rebuild,
    ]
    for write in writes:
        with pytest.raises(MemoryReadOnlyError, match="read-only"):
            write()
    assert memory.hash() == taught(None, walks(8)).hash()
    memory.close()
    assert path.read_bytes() == before


# -- a damaged file ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE texts SET text = 'no json' WHERE id IN (SELECT actions FROM situations)",
        "UPDATE episodes SET start = 'x'",
        "UPDATE episodes SET start = '[1]'",
        "UPDATE transitions SET situation = 999999",
        "DELETE FROM texts",
        "UPDATE texts SET text = CAST(x'ff' AS TEXT)",
        "UPDATE episodes SET task = 999999",
    ],
)
def test_damage_to_the_log_is_reported(path: Path, damage: str) -> None:
    """The log is never guessed at: reading it is a MemoryCorruptError that names the file."""
    sql(path, damage)

    def use() -> None:
        memory = opened(path)
        try:
            list(memory.episodes())
        finally:
            memory.close()

    with pytest.raises(MemoryCorruptError, match="damaged"):
        use()


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE experiences SET state = 'no json'",
        "UPDATE experiences SET state = '[]'",
        "UPDATE experiences SET state = '{}'",
        "UPDATE views SET mark = '[\"x\",1,null,1]'",
        "UPDATE views SET mark = 'no json'",
        "UPDATE views SET mark = 7",
        "UPDATE views SET mark = NULL",
        "UPDATE views SET image = 'no json'",
        "DELETE FROM images",
        "UPDATE images SET data = zeroblob(length(data))",
        "DELETE FROM features",
    ],
)
def test_damage_to_what_is_derived_is_mended_silently(path: Path, damage: str) -> None:
    """Experiences and features are made anew from the log, and stored again by the next write."""
    sql(path, damage)
    memory = opened(path)
    assert memory.hash() == taught(None, walks(8)).hash()
    memory.record(walks(9)[8])
    memory.close()
    memory = opened(path)
    assert memory.hash() == taught(None, walks(9)).hash()
    memory.close()


@pytest.mark.parametrize("value", ["'no json'", "'{}'", "'[]'", '\'{"values": {"gamma": 1}}\''])
def test_damaged_settings_are_an_error_of_ours(path: Path, value: str) -> None:
    """Without settings the values cannot be derived: the message says that they cannot be read."""
    sql(path, f"UPDATE views SET settings = {value}")
    with pytest.raises(RlemError, match="settings cannot be read"):
        opened(path)


# -- waiting and forgetting --------------------------------------------------------------------------


def test_a_locked_file_is_waited_for_and_then_reported(path: Path) -> None:
    """Another writer that does not let go: an error that says so; afterwards all works again."""
    memory = opened(path, timeout_s=0.05)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(ExperienceMemoryError, match="locked by another writer"):
        memory.record(walks(9)[8])
    assert memory.episode_count() == 8
    other.execute("ROLLBACK")
    other.close()
    memory.record(walks(9)[8])
    assert memory.hash() == taught(None, walks(9)).hash()
    memory.close()


def secret_episode(secret: str) -> Episode:
    """An episode that carries a marker in each of its texts."""
    page = Situation(
        task=f"task {secret}",
        observation=f"page {secret} " * 400,
        actions=(f"available {secret}",),
        subtask=secret,
    )
    return Episode(
        id=f"id-{secret}",
        task=f"task {secret}",
        transitions=(
            Transition(situation=page, action=f"type {secret}", reward=1.0, reason=f"because {secret}"),
            Transition(situation=page, action="go", reward=1.0, reason=f"because {secret} " * 400),
        ),
        task_id=f"task-{secret}",
        source=f"source {secret}",
        split=f"split {secret}",
        model=f"model {secret}",
        cause=f"cause {secret}",
        history=(f"before {secret}",),
        final=Situation(task=f"task {secret}", observation=f"end {secret}"),
        status="truncated",
    )


def traces(path: Path, secret: str) -> list[str]:
    """Files of the memory that hold the marker."""
    files = [p for p in path.parent.iterdir() if p.name.startswith(path.name)]
    return [p.name for p in files if secret.encode() in p.read_bytes()]


@pytest.mark.parametrize("reopened", [False, True])
def test_forgotten_bytes_are_gone_from_the_files(path: Path, reopened: bool) -> None:
    """Task, page, actions, reasons, source, id ...: no byte of them in the file or its -wal after forget."""
    memory = opened(path)
    memory.record(secret_episode("XYZZY"))
    memory.record(walks(9)[8])
    memory.record(secret_episode("PLUGH"))
    assert traces(path, "XYZZY")
    if reopened:
        memory.close()
        assert traces(path, "XYZZY") == [path.name]
        memory = opened(path)
    memory.forget(source="source XYZZY")
    assert traces(path, "XYZZY") == []
    assert traces(path, "PLUGH")
    memory.forget(task="task-PLUGH")
    assert traces(path, "PLUGH") == []
    assert memory.hash() == taught(None, walks(9)).hash()
    memory.close()
    assert traces(path, "XYZZY") + traces(path, "PLUGH") == []


def test_a_reader_that_hinders_the_wiping_is_named(path: Path) -> None:
    """The episode is forgotten, the error says that bytes are left and when they go."""
    memory = opened(path, timeout_s=0.05)
    memory.record(secret_episode("XYZZY"))
    reader = sqlite3.connect(path, isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM episodes").fetchone()
    with pytest.raises(ExperienceMemoryError, match="another process is reading"):
        memory.forget(episode="id-XYZZY")
    assert memory.hash() == taught(None, walks(8)).hash()
    reader.execute("ROLLBACK")
    reader.close()
    memory.close()
    assert traces(path, "XYZZY") == []


def test_a_rolled_back_episode_leaves_no_bytes_for_long(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was never committed is not in the file once it is closed."""
    store = SQLiteStore(path)
    memory = ExperienceMemory(store)

    def boom(*_: object, **__: object) -> None:
        raise RuntimeError("no")

    with monkeypatch.context() as patch:
        patch.setattr(store, "put_derived", boom)
        with pytest.raises(RuntimeError):
            memory.record(secret_episode("XYZZY"))
    memory.record(walks(9)[8])
    memory.close()
    assert traces(path, "XYZZY") == []
