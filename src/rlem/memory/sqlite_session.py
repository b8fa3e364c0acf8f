"""The connections to a memory's SQLite file: opening, errors, transactions, wiping.

One connection writes. Each read has a connection of its own for as long as it lasts, so that nobody who reads
waits for a write or for another reader; they are kept in a pool.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import resources
from pathlib import Path

from rlem.core.errors import (
    ClosedError,
    ExperienceMemoryError,
    MemoryCorruptError,
    MemoryReadOnlyError,
    MemoryVersionError,
    UsageError,
)
from rlem.memory import upgrades
from rlem.memory.store import SCHEMA_VERSION

APPLICATION_ID = 0x524C454D  # "RLEM", in the file's header
CHECKPOINT_PAGES = 4000
"""So large may the WAL grow before a commit moves it into the file: 16 MB, SQLite's own choice is 4."""
PAUSE_S = 0.001
"""Between two tries for the lock of another writer. SQLite's own pauses grow to 100 ms; of eight processes
some then waited five times as long as with short ones."""


class _Mine(threading.local):
    """A thread's own connection: the writer in its write, that of the snapshot in its read."""

    connection: sqlite3.Connection | None = None


class SQLiteSession:
    """Connections to the file ``path``; it is made if absent, but ``read_only`` needs an existing one."""

    def __init__(self, path: str | Path, *, read_only: bool, timeout_s: float) -> None:
        self.path = Path(path)
        self.read_only = read_only
        self.rollbacks = 0
        """How many writes came to nothing."""
        self._timeout_s = timeout_s
        self._lock = threading.RLock()
        self._writer: sqlite3.Connection | None = None
        self._idle: list[sqlite3.Connection] = []
        self._closed = threading.Event()
        self._mine = _Mine()
        self._check_path()
        try:
            with self.mapped("opened"):
                self._open()
        except BaseException:
            self.close()
            raise

    # -- opening -------------------------------------------------------------------------------------

    def _check_path(self) -> None:
        if self.path.is_dir():
            raise ExperienceMemoryError(f"{self.path} is a folder: give the path of a memory file in it")
        if self.read_only and not self.path.exists():
            raise ExperienceMemoryError(f"there is no memory file {self.path}")
        if not self.path.parent.is_dir():
            raise ExperienceMemoryError(f"the folder {self.path.parent} does not exist: make it first")
        try:
            self._check_length()
        except OSError as error:
            raise MemoryReadOnlyError(f"{self.path} could not be opened: {error.strerror}") from error

    def _check_length(self) -> None:
        """What SQLite itself lets pass: it deletes the WAL of an empty file, and fills up a cut last page."""
        wal = Path(f"{self.path}-wal")
        waiting = wal.exists() and wal.stat().st_size > 0
        size = self.path.stat().st_size if self.path.exists() else 0
        if waiting and size < 2:
            raise MemoryCorruptError(
                f"{self.path} is damaged (empty or gone, and its last commits wait in {wal}): put the file "
                "back or restore a copy; opening it now would delete them"
            )
        if size == 1:
            raise MemoryVersionError(f"{self.path} is not a memory file (no SQLite data in it)")
        if size and not waiting:
            with self.path.open("rb") as file:
                head = file.read(18)
            page = int.from_bytes(head[16:18], "big")  # 1 stands for 65,536
            if head.startswith(b"SQLite format 3") and size % (65536 if page == 1 else page or 1):
                raise MemoryCorruptError(
                    f"{self.path} is damaged (its end is cut off): restore a copy, or save what can still be "
                    f"read with rlem memory doctor {self.path} --salvage OUT"
                )

    def _connect(self, mode: str) -> sqlite3.Connection:
        return sqlite3.connect(
            f"{self.path.resolve().as_uri()}?mode={mode}",
            uri=True,
            timeout=self._timeout_s,
            isolation_level=None,
            check_same_thread=False,
            cached_statements=256,
        )

    def _reader(self) -> sqlite3.Connection:
        if not self.read_only:
            return self._connect("rw")
        # In a read-only folder a WAL file can be read only as "immutable", when nobody is writing it.
        shared = Path(f"{self.path}-wal").exists() or os.access(self.path.parent, os.W_OK)
        return self._connect("ro" if shared else "ro&immutable=1")

    def _open(self) -> None:
        if self.read_only:
            with self.reading() as sql:
                version = self._version(sql)
                if version == 0:
                    raise MemoryVersionError(f"there is no memory in {self.path}: it is empty")
                if version < SCHEMA_VERSION:
                    raise MemoryVersionError(
                        f"{self.path} was written by an older rlem (schema {version}): open it once without "
                        f"read_only, or bring it up to date with rlem memory rebuild {self.path}"
                    )
            return
        self._writer = sql = self._connect("rwc")
        version = self._version(sql)
        sql.execute("PRAGMA foreign_keys = ON")
        sql.execute("PRAGMA secure_delete = ON")
        # SQLite's own timeout does not hold for this when others do it as well.
        self._insist("PRAGMA journal_mode = WAL")
        sql.execute("PRAGMA synchronous = FULL")
        sql.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")
        sql.execute("PRAGMA busy_timeout = 0")  # from here on ``_tries`` waits
        if version < SCHEMA_VERSION:
            with self._exclusive():
                self._migrate(sql)

    def _version(self, sql: sqlite3.Connection) -> int:
        # In one statement: another process may be making the schema at this moment.
        application, version, tables = sql.execute(
            "SELECT (SELECT application_id FROM pragma_application_id),"
            " (SELECT user_version FROM pragma_user_version), (SELECT count(*) FROM sqlite_master)"
        ).fetchone()
        if application != APPLICATION_ID and (application or version or tables):
            raise MemoryVersionError(f"{self.path} is an SQLite file, but not a memory of rlem's")
        if version > SCHEMA_VERSION:
            raise MemoryVersionError(
                f"{self.path} was written by a newer rlem (schema {version}; this one knows up to "
                f"{SCHEMA_VERSION}): upgrade rlem, the file was left as it is"
            )
        return int(version)

    def _migrate(self, sql: sqlite3.Connection) -> None:
        """Makes the schema of a new file, or brings an older one up to date."""
        version = self._version(sql)
        if version == 0:
            _script(sql, resources.files("rlem.memory").joinpath("schema.sql").read_text("utf-8"))
            sql.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            sql.execute("INSERT INTO meta VALUES ('revision', 0), ('rewritten', 0), ('deleted', 0)")
            version = SCHEMA_VERSION
        for old in range(version, SCHEMA_VERSION):
            if old not in upgrades.UPGRADES:
                raise MemoryVersionError(f"{self.path}: no way is known to upgrade schema {old}")
            _script(sql, upgrades.UPGRADES[old])
        sql.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")

    # -- reading -------------------------------------------------------------------------------------

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """The connection that this thread's read or write has open, else one for as long as this lasts."""
        with self.mapped("read"):
            own = self._mine.connection
            if own is not None:
                yield own
                return
            if self._closed.is_set():
                raise ClosedError(f"the memory {self.path} is closed")
            try:
                sql = self._idle.pop()
            except IndexError:
                sql = self._reader()
            try:
                yield sql
            finally:
                self._idle.append(sql)
                if self._closed.is_set():
                    self._close_idle()

    @contextmanager
    def snapshot(self) -> Iterator[sqlite3.Connection]:
        """One state for all that this thread reads."""
        with self.reading() as sql:
            if sql.in_transaction:
                yield sql
                return
            self._begin_reading(sql)
            self._mine.connection = sql
            try:
                yield sql
            finally:
                self._mine.connection = None
                sql.rollback()

    @staticmethod
    def _begin_reading(sql: sqlite3.Connection) -> None:
        sql.execute("BEGIN")
        sql.execute("SELECT 1 FROM meta").fetchone()  # only a first look fixes the state

    # -- writing -------------------------------------------------------------------------------------

    @property
    def writer(self) -> sqlite3.Connection:
        """The connection of this thread's open write."""
        own = self._mine.connection
        if own is None or own is not self._writer:
            raise UsageError(f"the memory {self.path} is changed only inside write()")
        return own

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """A transaction of its own, exclusive and durable."""
        if self.read_only:
            raise MemoryReadOnlyError(f"{self.path} was opened read-only: nothing can be recorded in it")
        with self._lock, self.mapped("written"):
            if self._writer is None:
                raise ClosedError(f"the memory {self.path} is closed")
            before = self._mine.connection
            try:
                with self._exclusive() as sql:
                    self._version(sql)  # a newer rlem may have upgraded it since it was opened
                    self._mine.connection = sql
                    yield sql
            finally:
                self._mine.connection = before

    @contextmanager
    def _exclusive(self) -> Iterator[sqlite3.Connection]:
        assert self._writer is not None
        self._insist("BEGIN IMMEDIATE")
        try:
            yield self._writer
            self._writer.execute("COMMIT")
        except BaseException:
            self.rollbacks += 1
            self._writer.rollback()  # nothing to do where an error has ended the transaction already
            raise

    def _insist(self, statement: str) -> None:
        """Runs a statement that fails while others hold the lock, as soon as they let go."""
        assert self._writer is not None
        for last in self._tries():
            try:
                self._writer.execute(statement)
                return
            except sqlite3.OperationalError as error:
                if last or "locked" not in str(error):
                    raise

    def _tries(self) -> Iterator[bool]:
        """Turns in waiting for others, with a pause between them; True for the last one."""
        deadline = time.monotonic() + self._timeout_s
        while time.monotonic() < deadline:
            yield False
            time.sleep(PAUSE_S)
        yield True

    def erase(self) -> None:
        """Writes the file anew, moves the WAL into it and empties that; waits for those who read what was.

        ``secure_delete`` alone is not enough: in a page that is put in order, copies of moved rows stay.
        """
        own = self._mine.connection
        with self._lock, self.mapped("written"):
            if self._writer is None:
                raise ClosedError(f"the memory {self.path} is closed")
            if own is self._writer:
                raise UsageError(f"the memory {self.path} is wiped after write(), not inside it")
            if own is not None:
                own.rollback()
            try:
                self._insist("VACUUM")
                if any(self._emptied() for _ in self._tries()):
                    return
            finally:
                if own is not None:
                    self._begin_reading(own)
        raise ExperienceMemoryError(
            f"{self.path}: forgotten, but another process is reading, so that the bytes are still "
            f"in {self.path}-wal; they go when the last process closes the memory"
        )

    def _emptied(self) -> bool:
        assert self._writer is not None
        return not self._writer.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]

    # -- errors and the end --------------------------------------------------------------------------

    @contextmanager
    def mapped(self, what: str) -> Iterator[None]:
        """Turns SQLite's errors into ours: what failed, where, what to do."""
        try:
            yield
        except sqlite3.Error as error:
            raise self._error(error, what) from error

    def _error(self, error: sqlite3.Error, what: str) -> ExperienceMemoryError:
        text = str(error)
        if isinstance(error, sqlite3.IntegrityError):
            return MemoryCorruptError(f"{self.path} contradicts itself: {text}")
        if "not a database" in text:
            return MemoryVersionError(f"{self.path} is not a memory file (no SQLite data in it)")
        cut = getattr(error, "sqlite_errorname", "") == "SQLITE_IOERR_SHORT_READ"
        if cut or "malformed" in text or "decode" in text:
            return MemoryCorruptError(
                f"{self.path} is damaged ({text}): restore a copy, or save what can still be read with "
                f"rlem memory doctor {self.path} --salvage OUT"
            )
        if "full" in text:
            return MemoryReadOnlyError(
                f"{self.path} could not be {what}: the disk is full; free space and try again, "
                "everything committed so far is safe"
            )
        if "readonly" in text or "unable to open" in text or "disk I/O" in text:
            return MemoryReadOnlyError(
                f"{self.path} could not be {what} ({text}): check that the file and its folder are "
                "writable, or open it with read_only=True"
            )
        if "locked" in text or "busy" in text:
            return ExperienceMemoryError(
                f"{self.path} is locked by another writer for too long: try again later"
            )
        return ExperienceMemoryError(f"{self.path} could not be {what}: {text}")

    def close(self) -> None:
        """Closes all connections; those that are reading, when they have read."""
        self._closed.set()
        self._close_idle()
        with self._lock:
            if self._writer is not None:
                self._writer.close()
                self._writer = None

    def _close_idle(self) -> None:
        while True:
            try:
                self._idle.pop().close()
            except IndexError:
                return


def _script(sql: sqlite3.Connection, statements: str) -> None:
    for statement in statements.split(";"):
        if statement.strip():
            sql.execute(statement)
