"""The doctor: each thing that can be wrong is found; what is derived is mended, what can be read is saved."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from rlem.core.errors import RlemError
from rlem.core.types import Episode
from rlem.memory import state
from rlem.memory.config import MemoryConfig
from rlem.memory.doctor import Finding, examine, readable, repair, salvage
from rlem.memory.doctor_sqlite import wreck
from rlem.memory.memory import ExperienceMemory
from rlem.memory.sqlite import SQLiteStore
from rlem.memory.volatile import InMemoryStore
from rlem.testing.memory_cases import VIEWS, taught, taught_into, walks
from rlem.values import ValueConfig

ONE_STEP = MemoryConfig(values=ValueConfig(n=1, discount=0.9))
LOG = walks(12)
FEATURE = MemoryConfig().similarity.terms[0][1].fingerprint


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A memory of two views, with a correction."""
    found = tmp_path / "shop.rlem"
    with closing(SQLiteStore(found)) as store:
        memory = ExperienceMemory(store)
        memory.record_many(LOG)
        memory.correct("walk-001", {0: 2.0})
        ExperienceMemory(store, ONE_STEP, view="one-step")
    return found


@pytest.fixture
def store(path: Path) -> Iterator[SQLiteStore]:
    """Its store."""
    with closing(SQLiteStore(path)) as opened:
        yield opened


def fresh(config: MemoryConfig | None = None) -> str:
    """The hash of a memory that saw the same and was never damaged."""
    memory = taught(config, LOG)
    memory.correct("walk-001", {0: 2.0})
    return memory.hash()


def damage(path: Path, *statements: str) -> None:
    """Changes a memory's file behind its back."""
    with closing(sqlite3.connect(path)) as sql, sql:
        for statement in statements:
            sql.execute(statement)


def wrong(findings: list[Finding]) -> set[str]:
    """Names of the checks that found something."""
    return {item.check for item in findings if not item.ok}


def test_a_sound_memory_is_found_sound_and_left_as_it_is(path: Path, store: SQLiteStore) -> None:
    """No finding, with or without repair; nothing is written."""
    before = store.revision()
    assert wrong(examine(store, full=True)) == set()
    assert wrong(repair(store)) == set()
    assert store.revision() == before
    with closing(SQLiteStore(path, read_only=True)) as reader:
        assert examine(reader) == examine(store)


@pytest.mark.parametrize("name", VIEWS)
def test_no_history_of_a_memory_is_taken_for_damage(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Recorded, forgotten, corrected, taken in before others, reopened, recorded by way of another view: what
    is kept step by step, image included, is found equal to a replay under all settings."""
    monkeypatch.setattr(state, "IMAGE_FROM", 1)
    with closing(SQLiteStore(tmp_path / "shop.rlem")) as store:
        memory = ExperienceMemory(store, VIEWS[name])
        beside = ExperienceMemory(store, ONE_STEP, view="beside")
        for item in LOG[::2]:
            memory.record(item)
        memory.forget(episode=LOG[4].id)
        beside.record(LOG[1])
        assert wrong(examine(store, full=True)) == set()
        memory.correct(LOG[0].id, {0: 3.0})
        memory.insert([replace(item, sequence=1) for item in LOG[3::4]])
        memory.record(replace(LOG[5], id="later"))
        assert wrong(examine(store, full=True)) == set()
        again = ExperienceMemory(store)
        again.record(replace(LOG[7], id="last"))
        assert wrong(examine(store, full=True)) == set()
        assert store.image("main") is not None
        memory.forget(task=LOG[0].task)
        assert wrong(examine(store, full=True)) == set()


DERIVED = {
    "a value": (
        "UPDATE experiences SET state = replace(state, '[1,', '[2,') WHERE view = 1",
        "values of view main",
    ),
    "no JSON": (
        "UPDATE experiences SET state = '[1' WHERE situation = 2 AND view = 2",
        "values of view one-step",
    ),
    "none": ("DELETE FROM experiences WHERE situation = 2 AND view = 1", "values of view main"),
    "one too many": (
        "INSERT INTO experiences SELECT max(id), 1, 1, (SELECT state FROM experiences) FROM situations"
        " WHERE id NOT IN (SELECT situation FROM experiences)",
        "values of view main",
    ),
    "mark unreadable": ("UPDATE views SET mark = 'x' WHERE id = 1", "derived"),
    "image unreadable": ("UPDATE views SET image = 'x' WHERE id = 1", "derived"),
    "mark of the future": (
        "UPDATE views SET mark = replace(mark, ',12]', ',13]') WHERE id = 1",
        "mark of view main",
    ),
    "mark ahead of the log": (
        "UPDATE views SET mark = replace(mark, 'walk-011', 'walk-999') WHERE id = 2",
        "mark of view one-step",
    ),
    "feature": (f"UPDATE features SET data = x'0102' WHERE fingerprint = '{FEATURE}'", "features"),
    "feature of forgotten text": (f"INSERT INTO features VALUES ('{FEATURE}', x'01', x'02')", "features"),
    "text of nothing": ("INSERT INTO texts (digest, text) VALUES (x'00', 'left behind')", "unused"),
    "situation of nothing": (
        "INSERT INTO situations SELECT 99, 'a', task, task, task, task FROM situations LIMIT 1",
        "unused",
    ),
    "image of nothing": ("INSERT INTO images VALUES (99, 'keys', 0, x'00')", "file"),
}


@pytest.mark.parametrize("case", DERIVED)
def test_what_is_derived_is_found_wrong_and_mended(path: Path, case: str) -> None:
    """One damage each: named by its check, and after a repair both views are those of a fresh replay."""
    statement, check = DERIVED[case]
    damage(path, statement)
    with closing(SQLiteStore(path)) as store:
        assert check in wrong(examine(store))
        repaired = repair(store)
        assert wrong(repaired) == set()
        assert check in {item.check for item in repaired if item.repaired and item.count}
        assert wrong(examine(store, full=True)) == set()
        assert ExperienceMemory(store).hash() == fresh()
        assert ExperienceMemory(store, view="one-step").hash() == fresh(ONE_STEP)
    assert b"left behind" not in path.read_bytes()


def test_an_index_of_the_file_is_made_anew(path: Path, store: SQLiteStore) -> None:
    """A row that SQLite's own index lacks: found as it finds it, and mended."""
    store.close()
    row = "SELECT type, name, tbl_name, rootpage, sql FROM sqlite_master WHERE name = 'experiences_revision'"
    with closing(sqlite3.connect(path)) as sql:
        kept = sql.execute(row).fetchone()
    damage(
        path, "PRAGMA writable_schema = ON", "DELETE FROM sqlite_master WHERE name = 'experiences_revision'"
    )
    damage(path, "UPDATE experiences SET revision = 1 WHERE view = 1")
    with closing(sqlite3.connect(path)) as sql, sql:
        sql.execute("PRAGMA writable_schema = ON")
        sql.execute("INSERT INTO sqlite_master VALUES (?, ?, ?, ?, ?)", kept)
    with closing(SQLiteStore(path)) as opened:
        assert wrong(examine(opened)) == {"file"}
        assert wrong(repair(opened)) == set()
        assert ExperienceMemory(opened).hash() == fresh()


@pytest.mark.parametrize("damaged", [False, True])
def test_a_repair_wipes_what_a_broken_off_forgetting_left(path: Path, damaged: bool) -> None:
    """Whether anything is found wrong or not: bytes of what is deleted are in no file afterwards."""
    secret = b"nobody may read this any more"
    with closing(sqlite3.connect(path)) as sql, sql:  # as a page that was put in order may hold them
        sql.execute("PRAGMA secure_delete = OFF")
        sql.execute("CREATE TABLE remains (x)")
        sql.execute("INSERT INTO remains VALUES (?)", (secret,))
        sql.execute("DELETE FROM remains")
    if damaged:
        damage(path, "UPDATE experiences SET state = replace(state, '[1,', '[2,')")
    assert secret in path.read_bytes()
    with closing(SQLiteStore(path)) as store:
        assert any(item.repaired for item in repair(store)) == damaged
    assert secret not in path.read_bytes()


def test_an_image_of_the_index_is_compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Samples of an image that are not those of the log are found, and gone after a repair."""
    monkeypatch.setattr(state, "IMAGE_FROM", 5)
    path = tmp_path / "shop.rlem"
    with closing(SQLiteStore(path)) as store:
        memory = ExperienceMemory(store)
        memory.record_many(LOG)
        memory.rebuild()
        assert store.image("main") is not None
        assert wrong(examine(store)) == set()
    damage(path, "UPDATE images SET data = zeroblob(length(data)) WHERE part = 'samples'")
    with closing(SQLiteStore(path)) as store:
        assert wrong(examine(store)) == {"index of view main"}
        assert wrong(repair(store)) == set()
        assert store.image("main") is not None
        assert ExperienceMemory(store).hash() == taught(None, LOG).hash()


def test_another_process_learns_of_a_repair(path: Path) -> None:
    """A memory that was open on damaged values shows the right ones after the repair."""
    damage(path, DERIVED["a value"][0])
    with closing(SQLiteStore(path)) as one, closing(SQLiteStore(path)) as other:
        open_before = ExperienceMemory(one)
        assert open_before.hash() != fresh()
        repair(other)
        assert open_before.hash() == fresh()


TRUTH = {
    "an episode": ("UPDATE episodes SET start = 'x' WHERE number = 3", {"episodes"}),
    "a text": ("UPDATE texts SET text = 'forged' WHERE text = 'the old square'", {"texts", "situations"}),
    "a digest": ("UPDATE texts SET digest = x'00' WHERE text = 'the old square'", {"texts"}),
    "a key": ("UPDATE situations SET key = '0' WHERE id = 1", {"situations"}),
    "a corrected reward": (
        "UPDATE transitions SET reward = 7 WHERE episode = 2 AND step = 0",
        {"corrections"},
    ),
    "a reward that is none": ("UPDATE transitions SET reward = 9e999 WHERE episode = 3", {"episodes"}),
    "history": ("UPDATE history SET revision = 99", {"history"}),
    "settings": ("UPDATE views SET settings = '{}' WHERE id = 2", {"settings"}),
    "a step of no situation": (
        "UPDATE transitions SET situation = 99 WHERE episode = 3",
        {"file", "episodes"},
    ),
}


@pytest.mark.parametrize("case", TRUTH)
def test_what_is_not_derived_is_found_and_never_touched(path: Path, case: str) -> None:
    """Damage of the log is named, and stays after a repair; the log is the same, row by row."""
    statement, checks = TRUTH[case]
    damage(path, statement)

    def log() -> list[object]:
        tables = ("episodes", "transitions", "situations", "texts", "history")
        with closing(sqlite3.connect(path)) as sql:
            return [sql.execute(f"SELECT * FROM {table}").fetchall() for table in tables]

    before = log()
    with closing(SQLiteStore(path)) as store:
        assert checks <= wrong(examine(store))
        assert checks <= wrong(repair(store))
    assert log() == before


def test_any_store_is_examined_and_repaired() -> None:
    """What is no SQLite file goes through the same checks, by the store's contract alone."""
    store = InMemoryStore()
    memory = taught_into(store, MemoryConfig(), LOG)
    assert wrong(examine(store)) == set()
    situation, packed = next(iter(store.derived("main")))
    assert packed is not None
    with store.write():
        store.put_derived("main", [(situation, [*packed[:4], packed[4] + 1, *packed[5:]])])
    assert wrong(examine(store)) == {"values of view main"}
    assert [item.check for item in repair(store) if item.repaired] == ["values of view main"]
    assert ExperienceMemory(store).hash() == memory.hash() == taught(None, LOG).hash()


# -- saving what can be read -------------------------------------------------------------------------


def saved(path: Path) -> tuple[ExperienceMemory, tuple[str, ...]]:
    """What is saved of a file, and what is lost."""
    target = InMemoryStore()
    with wreck(path, path.parent) as found:
        done = salvage(found.episodes(), found.settings, target, origin=str(path))
    assert done.episodes == target.count()
    return ExperienceMemory(target), done.lost


def test_all_of_a_sound_file_is_saved(path: Path) -> None:
    """Log, corrections and the settings of all views."""
    memory, lost = saved(path)
    assert lost == ()
    assert memory.hash() == fresh()
    assert ExperienceMemory(memory.store, view="one-step").hash() == fresh(ONE_STEP)


@pytest.mark.parametrize(
    ("statement", "gone"),
    [
        ("UPDATE episodes SET start = 'x' WHERE number = 3", {"walk-002"}),
        ("UPDATE transitions SET step = 9 WHERE episode = 3 AND step = 1", {"walk-002"}),
        ("UPDATE episodes SET status = 'lost' WHERE number IN (3, 5)", {"walk-002", "walk-004"}),
        ("UPDATE texts SET digest = x'00' WHERE text = 'the old square'", set()),
        ("UPDATE situations SET key = '0' WHERE id = 1", set()),
    ],
)
def test_episodes_that_cannot_be_read_are_named_and_the_others_saved(
    path: Path, statement: str, gone: set[str]
) -> None:
    """What is saved is the memory that never saw the lost ones; a damaged digest or key loses nothing."""
    damage(path, statement)
    memory, lost = saved(path)
    assert {name for name in gone if any(repr(name) in text for text in lost)} == gone
    assert len(lost) == len(gone)
    left = taught(None, [item for item in LOG if item.id not in gone])
    left.correct("walk-001", {0: 2.0})
    assert memory.hash() == left.hash()


def test_settings_that_are_lost_are_named(path: Path) -> None:
    """The log is saved under the default settings."""
    damage(path, "UPDATE views SET settings = 'x'")
    memory, lost = saved(path)
    assert any("main" in text for text in lost)
    assert memory.config == MemoryConfig()
    assert memory.hash() == fresh()


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Episode]]:
    """A file of many pages, and its log."""
    path = tmp_path_factory.mktemp("large") / "large.rlem"
    with closing(SQLiteStore(path)) as store:
        ExperienceMemory(store).record_many(walks(150))
        return path, {item.id: item for item in store.episodes()}


def lose(path: Path, whole: bytes, change: Callable[[bytes], bytes]) -> Path:
    """A damaged copy."""
    copy = path.with_name("damaged.rlem")
    copy.write_bytes(change(whole))
    return copy


def test_whatever_page_is_lost_what_is_saved_is_true(large: tuple[Path, dict[str, Episode]]) -> None:
    """Each page but the first overwritten in turn: every episode saved is as it was, where one is missing,
    something is named, and the file stays as it is."""
    path, log = large
    whole = path.read_bytes()
    size = 4096
    most = 0
    for start in range(size, len(whole), size):
        copy = lose(path, whole, lambda data, at=start: data[:at] + b"\xff" * size + data[at + size :])  # type: ignore[misc]
        before = copy.read_bytes()
        memory, lost = saved(copy)
        found = {item.id: item for item in memory.episodes()}
        assert all(log[name] == item for name, item in found.items())
        assert len(found) == len(log) or lost
        most = max(most, len(lost))
        assert copy.read_bytes() == before
    assert most


def test_of_a_file_that_was_cut_off_the_beginning_is_saved(large: tuple[Path, dict[str, Episode]]) -> None:
    """SQLite itself reads nothing of a file that is too short; that is said, and what is there is saved."""
    path, log = large
    whole = path.read_bytes()
    counts = []
    for share in (0.95, 0.6, 0.3):
        copy = lose(path, whole, lambda data, share=share: data[: int(len(data) * share)])  # type: ignore[misc]
        with pytest.raises(RlemError, match="damaged"), closing(SQLiteStore(copy, read_only=True)) as store:
            list(readable(store))
        memory, lost = saved(copy)
        found = {item.id: item for item in memory.episodes()}
        assert all(log[name] == item for name, item in found.items())
        assert lost or len(found) == len(log)
        counts.append(len(found))
    assert counts[0] > 0
    assert counts == sorted(counts, reverse=True)


def test_what_only_the_write_ahead_log_holds_is_saved(tmp_path: Path) -> None:
    """The files as a kill leaves them, the main one cut off behind: its pages are in the WAL."""
    path, left = tmp_path / "shop.rlem", tmp_path / "killed.rlem"
    with closing(SQLiteStore(path)) as store:
        memory = ExperienceMemory(store)
        memory.record_many(LOG)
        memory.correct("walk-001", {0: 2.0})
        left.write_bytes(path.read_bytes()[:4096])
        Path(f"{left}-wal").write_bytes(Path(f"{path}-wal").read_bytes())
    memory, lost = saved(left)
    assert lost == ()
    assert memory.hash() == fresh()


def test_nothing_can_be_saved_without_the_first_page(large: tuple[Path, dict[str, Episode]]) -> None:
    """A clear error."""
    path, _ = large
    copy = lose(path, path.read_bytes(), lambda data: b"\x00" * 4096 + data[4096:])
    with pytest.raises(RlemError, match="not a memory"), wreck(copy, copy.parent):
        pass
