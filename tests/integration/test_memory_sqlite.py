"""What is the SQLite store's own: upgrades, its connections, wiping, waiting."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from rlem.core.errors import ClosedError, ExperienceMemoryError, MemoryCorruptError, UsageError
from rlem.memory import sqlite as engine
from rlem.memory.sqlite import SQLiteStore
from rlem.memory.store import MAIN, SCHEMA_VERSION, Arrival
from rlem.testing.store_cases import derived_of, dump, filled, page, play, state_of

SCHEMA_1 = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE texts (id INTEGER PRIMARY KEY, digest BLOB NOT NULL UNIQUE, text NOT NULL);
CREATE TABLE situations (
    id INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, task INTEGER NOT NULL REFERENCES texts,
    observation INTEGER NOT NULL REFERENCES texts, actions INTEGER NOT NULL REFERENCES texts,
    subtask INTEGER NOT NULL REFERENCES texts
);
CREATE TABLE episodes (
    number INTEGER PRIMARY KEY AUTOINCREMENT, id NOT NULL UNIQUE, sequence INTEGER NOT NULL,
    recorded_s REAL NOT NULL, task INTEGER NOT NULL REFERENCES texts, task_id NOT NULL, source NOT NULL,
    split NOT NULL, model NOT NULL, trust TEXT NOT NULL, status TEXT NOT NULL, cause NOT NULL,
    start TEXT NOT NULL, final INTEGER REFERENCES situations
);
CREATE INDEX episodes_order ON episodes (sequence, id);
CREATE TABLE transitions (
    episode INTEGER NOT NULL REFERENCES episodes ON DELETE CASCADE, step INTEGER NOT NULL,
    situation INTEGER NOT NULL REFERENCES situations, action, reward REAL NOT NULL, reason NOT NULL,
    PRIMARY KEY (episode, step)
) WITHOUT ROWID;
CREATE TABLE experiences (
    situation INTEGER PRIMARY KEY REFERENCES situations ON DELETE CASCADE, state TEXT NOT NULL
);
CREATE TABLE features (
    fingerprint TEXT NOT NULL, digest BLOB NOT NULL, data BLOB NOT NULL, PRIMARY KEY (fingerprint, digest)
) WITHOUT ROWID;
INSERT INTO meta VALUES ('revision', 5), ('settings', '{"values":{"n":1}}'), ('derived', '["f",5,1]');
INSERT INTO texts VALUES (1, x'31', 'walk'), (2, x'32', 'a'), (3, x'33', '["left","right"]'), (4, x'34', '');
INSERT INTO situations VALUES (1, '{key}', 1, 2, 3, 4);
INSERT INTO episodes VALUES
    (1, 'e1', 1, 2.5, 1, '', '', '', '', 'verified', 'terminated', '', '[[],0.0,0.0]', NULL),
    (2, x'EDA080', 2, 1.5, 1, '', '', '', '', 'verified', 'terminated', '', '[[],0.0,0.0]', 1),
    (3, 'é', 2, 3.5, 1, '', '', '', '', 'verified', 'terminated', '', '[[],0.0,0.0]', NULL);
INSERT INTO transitions VALUES (1, 0, 1, 'to a', 1.0, ''), (2, 0, 1, 'to a', 1.0, '');
INSERT INTO experiences VALUES (1, '[]');
INSERT INTO features VALUES ('f', x'31', x'07');
PRAGMA application_id = 1380730189;
PRAGMA user_version = 1;
"""
"""A memory of the first schema: three episodes, one of them with an id that is no text."""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where a memory may be made."""
    return tmp_path / "memory.rlem"


@pytest.fixture
def store(path: Path) -> Iterator[SQLiteStore]:
    """A store with something of everything, which waits for nobody for long."""
    store = SQLiteStore(path, timeout_s=0.05)
    filled(store)
    yield store
    store.close()


def raw(path: Path, script: str) -> list[tuple[object, ...]]:
    """Runs SQL behind rlem's back; the rows of a single statement."""
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        if script.count(";") > 1:
            connection.executescript(script)
            return []
        return connection.execute(script).fetchall()
    finally:
        connection.close()


# -- upgrades ----------------------------------------------------------------------------------------


def test_a_memory_of_the_first_schema_is_upgraded(path: Path) -> None:
    """Log, settings and features are kept, all episodes arrived by then; what was derived is gone."""
    raw(path, SCHEMA_1.replace("{key}", page("a").key))
    first = play("e1", "a", recorded_s=2.5)
    odd = play("\ud800", "a", sequence=2, recorded_s=1.5, final=page("a"))
    last = play("é", "", sequence=2, recorded_s=3.5)
    for _ in range(2):  # an upgraded one is opened as it is
        store = SQLiteStore(path)
        assert list(store.episodes()) == list(store.episodes_until(5)) == [first, last, odd]
        assert list(store.episodes_until(4)) == []
        assert store.episode("\ud800") == odd
        assert store.arrivals() == [Arrival(revision=5, recorded_s=1.5, episodes=3)]
        assert (store.revision(), store.rewritten(), store.history()) == (5, 0, [])
        assert store.views() == [MAIN]
        assert store.settings(MAIN) == {"values": {"n": 1}}
        assert store.mark(MAIN) is None
        assert derived_of(store) == {}
        assert store.features("f", [b"1"]) == {b"1": b"\x07"}
        store.close()
    assert raw(path, "PRAGMA user_version") == [(SCHEMA_VERSION,)]
    store = SQLiteStore(path)
    with store.write():
        store.put_derived(MAIN, [(page("a"), state_of(1))])
        store.delete(["e1", "\ud800", "é"])
    store.close()
    assert raw(path, "SELECT * FROM texts UNION SELECT id, key, task FROM situations") == []


def test_an_upgraded_memory_has_the_tables_of_a_new_one(path: Path, tmp_path: Path) -> None:
    """The same columns and the same keys, whatever their order."""
    raw(path, SCHEMA_1.replace("{key}", "0"))
    SQLiteStore(path).close()
    SQLiteStore(tmp_path / "new").close()
    query = (
        'SELECT t.name, c.name, c.type, c."notnull", c.pk FROM sqlite_master t, pragma_table_info(t.name) c'
        " WHERE t.type = 'table' ORDER BY 1, 2"
    )
    assert raw(path, query) == raw(tmp_path / "new", query)
    keys = (
        'SELECT t.name, k."table", k."from", k.on_delete FROM sqlite_master t,'
        " pragma_foreign_key_list(t.name) k WHERE t.type = 'table' ORDER BY 1, 2, 3"
    )
    assert raw(path, keys) == raw(tmp_path / "new", keys)


# -- connections -------------------------------------------------------------------------------------


def test_connections_of_readers_are_used_again(store: SQLiteStore) -> None:
    """Threads come and go; there are never more connections than readers at one time."""
    gate = threading.Barrier(4, timeout=60)

    def look(_: int) -> int:
        with store.read():
            gate.wait()
            return store.count()

    for _ in range(5):
        with ThreadPoolExecutor(4) as pool:
            assert list(pool.map(look, range(4))) == [3] * 4
    assert len(store._session._idle) == 4


def test_closing_does_not_pull_the_rug_from_under_a_reader(store: SQLiteStore) -> None:
    """Who reads when it is closed reads on; nobody begins any more, and no file is left open or behind."""
    rows = store.derived(MAIN)
    first = next(rows)
    store.close()
    assert {s.key for s, _ in [first, *rows]} == {page(p).key for p in "abc"}
    for use in (store.revision, lambda: list(store.episodes()), store.erase, store.write().__enter__):
        with pytest.raises(ClosedError, match="closed"):
            use()
    assert store._session._idle == []
    path = Path(store.location)
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_changes_belong_into_a_write(store: SQLiteStore) -> None:
    """A change outside of write(), or in the write of another thread, is refused; a wiping inside is, too."""
    before = dump(store)
    with pytest.raises(UsageError, match="inside write"):
        store.append(play("e9"))
    with ThreadPoolExecutor(1) as pool, store.write():
        late = pool.submit(store.append, play("e9"))
        with pytest.raises(UsageError, match="inside write"):
            late.result(60)
        with pytest.raises(UsageError, match="after write"):
            store.erase()
    assert dump(store) == {**before, "revision": before["revision"] + 1}


def test_a_writer_waits_as_long_as_it_was_told(store: SQLiteStore) -> None:
    """Another one that holds the file: an error after that time, and none once it has let go."""
    other = sqlite3.connect(store.location, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(ExperienceMemoryError, match="locked by another writer for too long"):
        store.write().__enter__()
    assert store.revision() == 3
    other.execute("ROLLBACK")
    other.close()
    with store.write():
        store.append(play("e9"))
    assert store.count() == 4


def test_ids_that_another_process_gave_again_are_not_mixed_up(store: SQLiteStore) -> None:
    """One handle knows ids of texts; another one deletes these and stores others in their place."""
    other = SQLiteStore(store.location)
    with other.write():
        other.delete(["e1", "e2", "e3"])
        other.append(play("e4", "xyz"))
    with store.write():
        store.append(play("e5", "abcd"))
    assert list(other.episodes()) == [play("e4", "xyz"), play("e5", "abcd")]
    other.close()


# -- wiping ------------------------------------------------------------------------------------------


def traces(path: Path, marker: bytes) -> list[str]:
    """Files of the memory that hold the marker."""
    files = [p for p in path.parent.iterdir() if p.name.startswith(path.name)]
    return [p.name for p in files if marker in p.read_bytes()]


@pytest.mark.parametrize("reading", [False, True])
def test_no_byte_of_images_features_and_states_is_left(store: SQLiteStore, reading: bool) -> None:
    """Not in the file, not in its WAL, though the store's own connections have read them, and this thread's
    read has begun before."""
    path = Path(store.location)
    marker = b"XYZZY"
    with store.write():
        store.put_image(MAIN, {"rows": marker * 5000, "ids": marker})
        store.put_features({("f", b"secret"): marker * 900})
        store.put_derived(MAIN, [(page("b"), [marker.decode() * 900])])
    dump(store)
    assert traces(path, marker)
    if reading:
        with store.read():
            store.count()
            _drop(store)
            assert traces(path, marker) == []
    else:
        _drop(store)
        assert traces(path, marker) == []
    assert store.image(MAIN) is None


def _drop(store: SQLiteStore) -> None:
    with store.write():
        store.drop_derived()
        store.drop_features([("f", b"secret")])
    store.erase()


def test_wiping_waits_for_a_reader_of_its_own(path: Path) -> None:
    """Another thread still reads what was before: when it has done so, the WAL is emptied."""
    store = filled(SQLiteStore(path))
    reading, ended = threading.Event(), threading.Event()

    def look() -> int:
        with store.read():
            reading.set()
            assert not ended.wait(0.05)  # the wiping does not end before this read does
            return store.count()

    with ThreadPoolExecutor(1) as pool:
        found = pool.submit(look)
        assert reading.wait(60)
        with store.write():
            store.delete(["e1"])
        store.erase()
        ended.set()
        assert found.result(60) == 3
    assert Path(f"{path}-wal").stat().st_size == 0
    store.close()


# -- damage ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "state", ["'no json'", "'{}'", "'null'", "x'ff'", "CAST(x'ff' AS TEXT)", "7", "'[1,'"]
)
def test_a_damaged_experience_is_an_error_to_catch(store: SQLiteStore, state: str) -> None:
    """ValueError, TypeError or LookupError, so that the caller derives anew."""
    raw(Path(store.location), f"UPDATE experiences SET state = {state}")
    for keys in (None, [page("a").key]):
        with pytest.raises((ValueError, TypeError, LookupError)):
            list(store.derived(MAIN, keys))


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE views SET image = 'no json'",
        "UPDATE views SET image = '[1,[\"rows\"]]'",
        "UPDATE views SET image = 7",
        "UPDATE views SET image = '[2,{\"rows\":9}]'",
        "DELETE FROM images",
        "DELETE FROM images WHERE chunk = 1",
        "UPDATE images SET data = 'text'",
    ],
)
def test_a_damaged_image_is_none(store: SQLiteStore, monkeypatch: pytest.MonkeyPatch, damage: str) -> None:
    """A part that is missing or too short, in one chunk or in several: it is made anew."""
    monkeypatch.setattr(engine, "CHUNK_BYTES", 4)
    with store.write():
        store.put_image(MAIN, {"rows": b"abcdefghij"})
    found = store.image(MAIN)
    assert found is not None
    assert found.parts == {"rows": b"abcdefghij"}
    raw(Path(store.location), damage)
    assert store.image(MAIN) is None


@pytest.mark.parametrize(
    "damage", ["'no json'", "'[]'", "7", "'[\"f\",1]'", "'[\"f\",1,[2],3]'", '\'["f","x",null,1]\'']
)
def test_a_damaged_mark_is_none(store: SQLiteStore, damage: str) -> None:
    """Then what is derived is made anew."""
    raw(Path(store.location), f"UPDATE views SET mark = {damage}")
    assert store.mark(MAIN) is None


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE episodes SET corrections = 'no json'",
        "UPDATE episodes SET corrections = '[[1]]'",
        "UPDATE episodes SET task = 999",
        "UPDATE episodes SET final = 999",
        "UPDATE situations SET observation = 999",
        "DELETE FROM situations",
    ],
)
def test_damage_to_an_episode_is_an_error(store: SQLiteStore, damage: str) -> None:
    """The log is never guessed at."""
    raw(Path(store.location), damage)
    with pytest.raises(MemoryCorruptError, match="damaged: an episode cannot be read"):
        list(store.episodes())
