"""A memory in one SQLite file: WAL, ``synchronous=FULL``, one durable transaction a write.

Texts and situations are stored once however often they occur. Deleted content is overwritten
(``secure_delete``), and ``erase`` empties the WAL.
"""

from __future__ import annotations

import json
import os
import sqlite3
import threading
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import resources
from pathlib import Path
from typing import Any, cast

from rlem.core.errors import (
    ClosedError,
    EpisodeConflictError,
    ExperienceMemoryError,
    MemoryCorruptError,
    MemoryReadOnlyError,
    MemoryVersionError,
)
from rlem.core.types import Episode, Situation
from rlem.memory.codec import canonical
from rlem.memory.rows import decode, episode_of
from rlem.memory.store import SCHEMA_VERSION, Derived, FeatureKey
from rlem.similarity.fields import digest

APPLICATION_ID = 0x524C454D  # "RLEM", in the file's header
UPGRADES: dict[int, str] = {}
"""SQL that brings a file of the given schema version to the next one."""


class SQLiteStore:
    """A store in the file ``path``; made if absent. ``read_only`` needs an existing file."""

    def __init__(self, path: str | Path, *, read_only: bool = False, timeout_s: float = 60.0) -> None:
        self._path = Path(path)
        self._lock = threading.RLock()
        self._read_only = read_only
        self._connection: sqlite3.Connection | None = None
        self._data_version = -1
        self._revision = 0
        self._check_path()
        try:
            with self._mapped("opened"):
                self._connection = self._connect(timeout_s)
                self._prepare()
        except BaseException:
            self.close()
            raise

    @property
    def location(self) -> str:
        return str(self._path)

    # -- opening -------------------------------------------------------------------------------------

    def _check_path(self) -> None:
        if self._path.is_dir():
            raise ExperienceMemoryError(f"{self._path} is a folder: give the path of a memory file in it")
        if self._read_only and not self._path.exists():
            raise ExperienceMemoryError(f"there is no memory file {self._path}")
        if not self._path.parent.is_dir():
            raise ExperienceMemoryError(f"the folder {self._path.parent} does not exist: make it first")

    def _connect(self, timeout_s: float) -> sqlite3.Connection:
        if not self._read_only:
            return sqlite3.connect(
                self._path, timeout=timeout_s, isolation_level=None, check_same_thread=False
            )
        wal = Path(f"{self._path}-wal")
        # In a read-only folder a WAL file can be read only as "immutable", when nobody is writing it.
        shared = wal.exists() or os.access(self._path.parent, os.W_OK)
        mode = "mode=ro" if shared else "mode=ro&immutable=1"
        return sqlite3.connect(
            f"{self._path.resolve().as_uri()}?{mode}",
            uri=True,
            timeout=timeout_s,
            isolation_level=None,
            check_same_thread=False,
        )

    def _prepare(self) -> None:
        run = self._execute
        # In one statement: another process may be making the schema at this moment.
        application, version, tables = run(
            "SELECT (SELECT application_id FROM pragma_application_id),"
            " (SELECT user_version FROM pragma_user_version), (SELECT count(*) FROM sqlite_master)"
        ).fetchone()
        if application != APPLICATION_ID and (application or version or tables):
            raise MemoryVersionError(f"{self._path} is an SQLite file, but not a memory of rlem's")
        if version > SCHEMA_VERSION:
            raise MemoryVersionError(
                f"{self._path} was written by a newer rlem (schema {version}; this one knows up to "
                f"{SCHEMA_VERSION}): upgrade rlem, the file was left as it is"
            )
        run("PRAGMA foreign_keys = ON")
        if self._read_only:
            if version < SCHEMA_VERSION:
                raise MemoryVersionError(
                    f"{self._path} is empty or was written by an older rlem: open it once without read_only"
                )
            return
        run("PRAGMA secure_delete = ON")
        self._use_wal()
        run("PRAGMA synchronous = FULL")
        if version < SCHEMA_VERSION:
            self._migrate()

    def _use_wal(self, tries: int = 500) -> None:
        """Switches to the WAL. SQLite's own timeout does not hold for this when others do it as well."""
        for left in reversed(range(tries)):
            try:
                self._execute("PRAGMA journal_mode = WAL")
                return
            except sqlite3.OperationalError as error:
                if not left or "locked" not in str(error):
                    raise
                time.sleep(0.02)

    def _migrate(self) -> None:
        """Makes the schema of a new file, or brings an older one up to date, in one transaction."""
        with self._exclusive():
            version = self._execute("PRAGMA user_version").fetchone()[0]
            if version == 0 and not self._execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
                schema = resources.files("rlem.memory").joinpath("schema.sql").read_text("utf-8")
                self._script(schema)
                self._execute(f"PRAGMA application_id = {APPLICATION_ID}")
                self._execute("INSERT INTO meta VALUES ('revision', 0)")
                version = SCHEMA_VERSION
            while version < SCHEMA_VERSION:
                if version not in UPGRADES:
                    raise MemoryVersionError(f"{self._path}: no way is known to upgrade schema {version}")
                self._script(UPGRADES[version])
                version += 1
            self._execute(f"PRAGMA user_version = {version}")

    def _script(self, sql: str) -> None:
        for statement in sql.split(";"):
            if statement.strip():
                self._execute(statement)

    # -- plumbing ------------------------------------------------------------------------------------

    def _execute(self, sql: str, parameters: Sequence[Any] = ()) -> sqlite3.Cursor:
        if self._connection is None:
            raise ClosedError(f"the memory {self._path} is closed")
        return self._connection.execute(sql, parameters)

    @contextmanager
    def _mapped(self, what: str) -> Iterator[None]:
        """Turns SQLite's errors into ours: what failed, where, what to do."""
        try:
            yield
        except sqlite3.Error as error:
            text = str(error)
            if isinstance(error, sqlite3.IntegrityError):
                raise MemoryCorruptError(f"{self._path} contradicts itself: {text}") from error
            if "not a database" in text:
                raise MemoryVersionError(
                    f"{self._path} is not a memory file (no SQLite data in it)"
                ) from error
            if "malformed" in text or "decode" in text:
                raise MemoryCorruptError(
                    f"{self._path} is damaged ({text}): restore a copy, or export what can still be read"
                ) from error
            if "full" in text:
                raise MemoryReadOnlyError(
                    f"{self._path} could not be {what}: the disk is full; free space and try again, "
                    "everything committed so far is safe"
                ) from error
            if "readonly" in text or "unable to open" in text or "disk I/O" in text:
                raise MemoryReadOnlyError(
                    f"{self._path} could not be {what} ({text}): check that the file and its folder are "
                    "writable, or open it with read_only=True"
                ) from error
            if "locked" in text or "busy" in text:
                raise ExperienceMemoryError(
                    f"{self._path} is locked by another writer for too long: try again later"
                ) from error
            raise ExperienceMemoryError(f"{self._path} could not be {what}: {text}") from error

    @contextmanager
    def _exclusive(self) -> Iterator[None]:
        self._execute("BEGIN IMMEDIATE")
        try:
            yield
            self._execute("COMMIT")
        except BaseException:
            if self._in_transaction():
                self._execute("ROLLBACK")
            raise

    @contextmanager
    def write(self) -> Iterator[None]:
        if self._read_only:
            raise MemoryReadOnlyError(f"{self._path} was opened read-only: nothing can be recorded in it")
        with self._lock, self._mapped("written"):
            try:
                with self._exclusive():
                    self._revision = self._meta("revision") + 1
                    self._put_meta("revision", self._revision)
                    yield
            except BaseException:
                self._data_version = -1  # what was read inside may have been rolled back
                raise

    @contextmanager
    def read(self) -> Iterator[None]:
        with self._lock, self._mapped("read"):
            if self._connection is None or self._in_transaction():
                yield
                return
            self._execute("BEGIN")
            try:
                yield
            finally:
                if self._in_transaction():
                    self._execute("ROLLBACK")

    def _in_transaction(self) -> bool:
        return self._connection is not None and self._connection.in_transaction

    def revision(self) -> int:
        with self._lock, self._mapped("read"):
            if self._in_transaction():
                return int(self._meta("revision"))
            version = self._execute("PRAGMA data_version").fetchone()[0]
            if version != self._data_version:
                self._revision = self._meta("revision")
                self._data_version = version
            return self._revision

    def _meta(self, name: str) -> Any:
        row = self._execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
        return row[0] if row else None

    def _put_meta(self, name: str, value: object) -> None:
        self._execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (name, value))

    # -- settings ------------------------------------------------------------------------------------

    def settings(self) -> dict[str, Any] | None:
        with self._lock, self._mapped("read"):
            text = self._meta("settings")
        try:
            return cast("dict[str, Any]", json.loads(text)) if text is not None else None
        except (ValueError, TypeError) as error:
            raise MemoryCorruptError(
                f"{self._path} is damaged: its settings cannot be read ({error}); restore a copy"
            ) from error

    def put_settings(self, settings: Mapping[str, Any]) -> None:
        self._put_meta("settings", canonical(settings))

    # -- the log -------------------------------------------------------------------------------------

    def episodes(self, *, after: tuple[int, str] | None = None) -> Iterator[Episode]:
        # SQLite's own order of ids is by bytes of UTF-8, Python's by code point: the same order.
        with self._lock, self._mapped("read"):
            numbers = self._execute(
                "SELECT number FROM episodes WHERE (sequence, id) > (?, ?) ORDER BY sequence, id",
                after or (-(2**62), ""),
            ).fetchall()
        situations: dict[int, Situation] = {}
        for (number,) in numbers:
            with self.read():  # what others forget meanwhile is left out
                episode = self._find("number", number, situations)
            if episode is not None:
                yield episode

    def episode(self, episode_id: str) -> Episode | None:
        with self.read():
            return self._find("id", _encode(episode_id), {})

    def _find(self, column: str, value: object, situations: dict[int, Situation]) -> Episode | None:
        row = self._execute(
            "SELECT number, id, sequence, recorded_s, task, task_id, source, split, model, trust, status,"
            f" cause, start, final FROM episodes WHERE {column} = ?",
            (value,),
        ).fetchone()
        try:
            return self._episode(row, situations) if row else None
        except (ValueError, TypeError, LookupError) as error:
            raise MemoryCorruptError(
                f"{self._path} is damaged: episode {row[1]!r} cannot be read ({error}); restore a copy"
            ) from error

    def _episode(self, row: tuple[Any, ...], situations: dict[int, Situation]) -> Episode:
        number, task, final = row[0], row[4], row[-1]
        steps = self._execute(
            "SELECT situation, action, reward, reason FROM transitions WHERE episode = ? ORDER BY step",
            (number,),
        ).fetchall()
        for wanted in {step[0] for step in steps} | ({final} if final is not None else set()):
            if wanted not in situations:
                situations[wanted] = self._situation(wanted)
        text = self._execute("SELECT text FROM texts WHERE id = ?", (task,)).fetchone()[0]
        return episode_of(row, decode(text), steps, situations)

    def last(self) -> tuple[int, str] | None:
        with self._lock, self._mapped("read"):
            row = self._execute(
                "SELECT sequence, id FROM episodes ORDER BY sequence DESC, id DESC LIMIT 1"
            ).fetchone()
            return (row[0], decode(row[1])) if row else None

    def count(self) -> int:
        with self._lock, self._mapped("read"):
            return int(self._execute("SELECT count(*) FROM episodes").fetchone()[0])

    def episodes_of(self, key: str) -> list[str]:
        with self._lock, self._mapped("read"):
            rows = self._execute(
                "SELECT DISTINCT e.id, e.sequence FROM situations s JOIN transitions t ON t.situation = s.id"
                " JOIN episodes e ON e.number = t.episode WHERE s.key = ? ORDER BY e.sequence, e.id",
                (key,),
            ).fetchall()
            return [decode(row[0]) for row in rows]

    def append(self, episode: Episode) -> None:
        identity = _encode(episode.id)
        if self._execute("SELECT 1 FROM episodes WHERE id = ?", (identity,)).fetchone():
            raise EpisodeConflictError(f"episode {episode.id!r} is already in the memory {self._path}")
        start = canonical([list(episode.history), episode.last_reward, episode.total_reward])
        cursor = self._execute(
            "INSERT INTO episodes (id, sequence, recorded_s, task, task_id, source, split, model, trust,"
            " status, cause, start, final) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                identity,
                episode.sequence,
                episode.recorded_s,
                self._put_text(episode.task),
                *map(_encode, (episode.task_id, episode.source, episode.split, episode.model)),
                episode.trust,
                episode.status,
                _encode(episode.cause),
                start,
                self._put_situation(episode.final) if episode.final else None,
            ),
        )
        number = cursor.lastrowid
        for step, item in enumerate(episode.transitions):
            action = None if item.action is None else _encode(item.action)
            situation = self._put_situation(item.situation)
            self._execute(
                "INSERT INTO transitions VALUES (?, ?, ?, ?, ?, ?)",
                (number, step, situation, action, item.reward, _encode(item.reason)),
            )

    def delete(self, episode_ids: Sequence[str]) -> None:
        for episode_id in episode_ids:
            self._execute("DELETE FROM episodes WHERE id = ?", (_encode(episode_id),))
        self._execute(
            "DELETE FROM situations WHERE id NOT IN (SELECT situation FROM transitions)"
            " AND id NOT IN (SELECT final FROM episodes WHERE final IS NOT NULL)"
        )
        self._execute(
            "DELETE FROM texts WHERE id NOT IN (SELECT task FROM episodes UNION SELECT task FROM situations"
            " UNION SELECT observation FROM situations UNION SELECT actions FROM situations"
            " UNION SELECT subtask FROM situations)"
        )

    def erase(self) -> None:
        with self._lock, self._mapped("written"):
            busy = self._execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
            if busy:
                raise ExperienceMemoryError(
                    f"{self._path}: forgotten, but another process is reading, so that the bytes are still "
                    f"in {self._path}-wal; they go when the last process closes the memory"
                )

    # -- texts and situations ------------------------------------------------------------------------

    def _put_text(self, text: str) -> int:
        name = digest(text)
        row = self._execute("SELECT id FROM texts WHERE digest = ?", (name,)).fetchone()
        if row is None:
            cursor = self._execute("INSERT INTO texts (digest, text) VALUES (?, ?)", (name, _encode(text)))
            return cast(int, cursor.lastrowid)
        return cast(int, row[0])

    def _put_situation(self, situation: Situation) -> int:
        row = self._execute("SELECT id FROM situations WHERE key = ?", (situation.key,)).fetchone()
        if row is not None:
            return cast(int, row[0])
        cursor = self._execute(
            "INSERT INTO situations (key, task, observation, actions, subtask) VALUES (?, ?, ?, ?, ?)",
            (
                situation.key,
                self._put_text(situation.task),
                self._put_text(situation.observation),
                self._put_text(canonical(list(situation.actions))),
                self._put_text(situation.subtask),
            ),
        )
        return cast(int, cursor.lastrowid)

    _SITUATION = (
        "SELECT s.key, t.text, o.text, a.text, u.text FROM situations s JOIN texts t ON t.id = s.task"
        " JOIN texts o ON o.id = s.observation JOIN texts a ON a.id = s.actions"
        " JOIN texts u ON u.id = s.subtask"
    )

    def _situation(self, number: int) -> Situation:
        return _situation(self._execute(f"{self._SITUATION} WHERE s.id = ?", (number,)).fetchone())

    # -- derived -------------------------------------------------------------------------------------

    def derived_mark(self) -> tuple[str, int, int] | None:
        with self._lock, self._mapped("read"):
            mark = self._meta("derived")
        try:
            fingerprint, revision, replaced = json.loads(mark)
        except (ValueError, TypeError):  # none there, or damaged: then what is derived is made anew
            return None
        return fingerprint, revision, replaced

    def derived(self) -> list[Derived]:
        with self._lock, self._mapped("read"):
            rows = self._execute(
                self._SITUATION.replace(
                    " FROM situations s",
                    ", e.state FROM experiences e JOIN situations s ON s.id = e.situation",
                )
            ).fetchall()
        return [(_situation(row), json.loads(row[5])) for row in rows]

    def put_derived(
        self, fingerprint: str, changed: Iterable[Derived], removed: Iterable[str], *, replace: bool = False
    ) -> None:
        if replace:
            self._execute("DELETE FROM experiences")
        for situation, state in changed:
            self._execute(
                "INSERT OR REPLACE INTO experiences SELECT id, ? FROM situations WHERE key = ?",
                (canonical(state), situation.key),
            )
        for key in removed:
            self._execute(
                "DELETE FROM experiences WHERE situation = (SELECT id FROM situations WHERE key = ?)", (key,)
            )
        mark = self.derived_mark()
        replaced = self._revision if replace or mark is None else mark[2]
        self._put_meta("derived", canonical([fingerprint, self._revision, replaced]))

    def features(self) -> dict[FeatureKey, bytes]:
        with self._lock, self._mapped("read"):
            rows = self._execute("SELECT fingerprint, digest, data FROM features").fetchall()
        return {(fingerprint, name): data for fingerprint, name, data in rows}

    def put_features(self, items: Mapping[FeatureKey, bytes]) -> None:
        for (fingerprint, name), data in items.items():
            self._execute("INSERT OR IGNORE INTO features VALUES (?, ?, ?)", (fingerprint, name, data))

    def keep_features(self, keep: Collection[FeatureKey]) -> None:
        rows = self._execute("SELECT fingerprint, digest FROM features").fetchall()
        for row in rows:
            if tuple(row) not in keep:
                self._execute("DELETE FROM features WHERE fingerprint = ? AND digest = ?", row)

    def close(self) -> None:
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None


def _encode(text: str) -> str | bytes:
    """SQLite holds any text but lone surrogates; such a text is kept as bytes."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass")
    return text


def _situation(row: tuple[Any, ...]) -> Situation:
    situation = Situation(
        task=decode(row[1]),
        observation=decode(row[2]),
        actions=tuple(json.loads(row[3])),
        subtask=decode(row[4]),
    )
    situation.__dict__["key"] = row[0]  # the cached property, known already
    return situation
