"""One connection to a PostgreSQL server that is made again when it is lost, with what was begun on it.

A lost transaction is rolled back by the server, or was committed just before the answer was lost. Each write
leaves a token beside its revision, so that the next connection can tell. If it was not committed and nobody
wrote meanwhile, its steps are done again; else the caller is told that nothing of it is stored.
"""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from functools import partial
from typing import Any, Literal, TypeVar

from rlem.core.errors import (
    ClosedError,
    ExperienceMemoryError,
    MemoryCorruptError,
    MemoryReadOnlyError,
    MemoryVersionError,
    MissingExtraError,
    TryAgainError,
)
from rlem.memory.postgres_url import Address
from rlem.memory.store import SCHEMA_VERSION

try:
    import psycopg
    from psycopg import errors as pg
    from psycopg.pq import TransactionStatus
except ImportError:
    raise MissingExtraError("a memory on a PostgreSQL server", "postgres") from None

# It warns of connections that are lost in the midst of several statements; we deal with them.
logging.getLogger("psycopg").addHandler(logging.NullHandler())

Result = TypeVar("Result")
Cursor = psycopg.Cursor[tuple[Any, ...]]
Statement = tuple[str, Sequence[Any] | None]

TOKENS = 1000
"""So many writes back it can be told whether one was committed."""
MOST_STEPS = 10_000
"""A write of more steps is not kept for doing it again: its memory would be the size of the log."""
MOST_QUEUED = 500
"""So many statements of a write wait at most to be sent together."""
LONGEST_WAIT_S = 2.0
GRACE_S = 3.0
"""After a lost connection those who were in the midst of a write go first; the others wait so long."""


ViewRow = tuple[str, str | None, str | None]
"""Settings, mark and image of a view, as JSON texts."""
HEAD = "SELECT revision, schema_version, rewritten FROM rlem_memory"
VIEWS = "SELECT name, settings, mark, image FROM views"


class Session:
    """The connection, the transaction that is open on it, and the errors of both."""

    def __init__(self, address: Address, *, read_only: bool, timeout_s: float, retries: int) -> None:
        self.address = address
        self.location = address.location
        self.revision = self.rewritten = 0
        self.mode: Literal["", "read", "write"] = ""
        self._read_only = read_only
        self._timeout_s = timeout_s
        self._retries = retries
        self._connection: psycopg.Connection[tuple[Any, ...]] | None = None
        self._closed = False
        self._token = b""
        self._views: dict[bytes, ViewRow] | None = None
        self._queue: list[Statement] = []
        self._steps: list[Callable[[], object]] | None = []
        self._commit: Literal["", "sent", "done"] = ""

    # -- the connection ------------------------------------------------------------------------------

    def open(self) -> None:
        """Connects for the first time: a server that is starting up is waited for, nothing else is."""
        error: psycopg.OperationalError | None = None
        for delay in self._delays():
            time.sleep(delay)
            try:
                self._connect()
                return
            except psycopg.OperationalError as failure:
                error = failure
                if "starting up" not in str(error):
                    break
        assert error is not None
        raise error

    def _delays(self) -> Iterator[float]:
        return (min(0.05 * 2**i, LONGEST_WAIT_S) if i else 0.0 for i in range(self._retries + 1))

    def _connect(self) -> None:
        self._drop()
        connection = psycopg.connect(
            **{**self.address.parameters, "client_encoding": "utf8"}, autocommit=True
        )
        try:
            name = self.address.schema.replace('"', '""')
            settings = [
                f'search_path = "{name}"',
                f"lock_timeout = {max(1, round(self._timeout_s * 1000))}",
                "idle_in_transaction_session_timeout = 0",
                "tcp_keepalives_idle = 10",  # else a client that vanished keeps its lock for hours
                "tcp_keepalives_interval = 5",
                "tcp_keepalives_count = 4",
                f"default_transaction_read_only = {'on' if self._read_only else 'off'}",
            ]
            connection.execute("".join(f"SET {setting};" for setting in settings).encode())
            connection.execute(
                "SELECT set_config('synchronous_commit', 'on', false)"
                " WHERE current_setting('synchronous_commit') IN ('off', 'local')"
            )
        except BaseException:
            connection.close()
            raise
        self._connection = connection

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(psycopg.Error):
                connection.close()

    def _lost(self) -> bool:
        return self._connection is None or self._connection.closed

    def sql(self, query: str, parameters: Sequence[Any] | None = None) -> Cursor:
        """Runs a statement on the connection as it is. Several in one text go without parameters."""
        if self._closed:
            raise ClosedError(f"the memory {self.location} is closed")
        if self._connection is None:
            raise pg.OperationalError("the connection was lost")
        return self._connection.execute(query.encode(), parameters, binary=parameters is not None)

    def send(self, batch: Sequence[Statement]) -> list[Cursor]:
        """Runs statements in one round trip, where libpq can (14 and later)."""
        several = len(batch) > 1 and psycopg.Pipeline.is_supported()
        with self._connection.pipeline() if several and self._connection else nullcontext():
            return [self.sql(query, parameters) for query, parameters in batch]

    def close(self) -> None:
        """Closes the connection for good. May be called twice."""
        self._closed = True
        self._drop()

    # -- steps ---------------------------------------------------------------------------------------

    def run(self, step: Callable[[], Result], *, writes: bool = False) -> Result:
        """Does one step; after a loss of the connection, on a new one and in the same state of the memory."""
        self.flush()
        while True:
            try:
                result = step()
            except (psycopg.OperationalError, psycopg.InterfaceError) as error:
                if self._closed or not self._lost():
                    raise
                self._resume(error)
            else:
                break
        if writes and self._steps is not None:
            self._steps.append(step)
            if len(self._steps) > MOST_STEPS:
                self._steps = None
        return result

    def put(self, query: str, parameters: Sequence[Any] = ()) -> None:
        """A statement of the open write whose result nobody waits for: sent before the next one that has."""
        self._queue.append((query, parameters))
        if len(self._queue) >= MOST_QUEUED:
            self.flush()

    def flush(self) -> None:
        """Sends what waits."""
        batch, self._queue = self._queue, []
        if batch:
            self.run(partial(self.send, batch), writes=True)

    def _resume(self, error: Exception) -> None:
        for delay in self._delays():
            time.sleep(delay)
            try:
                self._connect()
                if self.mode == "read":
                    self._resume_reading()
                elif self.mode == "write":
                    self._resume_writing()
                return
            except (psycopg.OperationalError, psycopg.InterfaceError) as again:
                if not self._lost():
                    raise
                error = again
        self._drop()
        state = {
            "": "",
            "read": "",
            "write": "; nothing of what was being written is stored",
        }[self.mode]
        if self._commit == "sent":
            state = (
                "; the last write had just been sent, and only the server knows whether it is stored: look "
                "for its episodes when the server is back, before you write them again"
            )
        raise ExperienceMemoryError(
            f"{self.location}: the server does not answer any more, {self._retries} tries to connect again "
            f"failed ({_line(error)}){state}. Start the server, or check address and network, then run the "
            "same again"
        ) from error

    # -- reading -------------------------------------------------------------------------------------

    @contextmanager
    def reading(self) -> Iterator[None]:
        """One snapshot; within a transaction that is open already, that one."""
        if self.mode or self._closed:
            yield
            return
        try:
            self.run(self._snapshot)
            self.mode = "read"
            yield
        finally:
            self._roll_back()

    def _snapshot(self) -> None:
        self._look(f"BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; {HEAD}; {VIEWS}")

    def _resume_reading(self) -> None:
        before = self.revision
        self._snapshot()
        if self.revision != before:
            raise TryAgainError(
                f"{self.location}: the connection was lost while reading, and others wrote meanwhile: "
                "do the same again"
            )

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Ends an open read, whose locks would be in the way, and goes on with it in the state of later."""
        reading = self.mode == "read"
        self._roll_back()
        yield
        if reading:
            self.run(self._snapshot)
            self.mode = "read"

    def head(self) -> tuple[int, int]:
        """Revision and the last that rewrote, as of now or of the open transaction."""
        if not self.mode:
            self.run(lambda: self._look(HEAD))
        return self.revision, self.rewritten

    def views(self) -> dict[bytes, ViewRow]:
        """The views' rows, as of now or of the open transaction."""
        if self._views is None or not self.mode:
            rows = self.run(lambda: self.sql(VIEWS, ()).fetchall())
            self._views = _by_name(rows)
        return self._views

    def put_view(self, query: str, parameters: Sequence[Any] = ()) -> None:
        """``put`` of a statement that changes rows of views."""
        self._views = None
        self.put(query, parameters)

    def _look(self, query: str) -> None:
        cursor = self.sql(query)
        found = [cursor.fetchall()] if cursor.description else []
        while cursor.nextset():
            if cursor.description:
                found.append(cursor.fetchall())
        head, views = found[0], found[1:]
        if not head:
            raise MemoryCorruptError(f"{self.location} is damaged: it has lost its head; restore a backup")
        ((self.revision, version, self.rewritten),) = head
        self._views = _by_name(views[0]) if views else None
        if version != SCHEMA_VERSION:
            raise MemoryVersionError(
                f"{self.location} was changed by another version of rlem (schema {version}, this one knows "
                f"{SCHEMA_VERSION}) since it was opened: open it again with that version"
            )

    # -- writing -------------------------------------------------------------------------------------

    @contextmanager
    def writing(self) -> Iterator[None]:
        """An exclusive write that is on the server's disk when the block has ended."""
        self._token, self._steps, self._commit = uuid.uuid4().bytes, [], ""
        if self._connection is None and not self._closed:
            self._resume(pg.OperationalError("not connected"))
        first = True

        def begin() -> None:
            nonlocal first
            if not first:
                time.sleep(GRACE_S)
            first = False
            self._take_turn()

        try:
            self.run(begin)
            self.mode = "write"
            yield
            batch, self._queue = self._queue, []
            self.run(partial(self._end, batch))
        finally:
            self._roll_back()
            self._queue, self._steps, self._commit = [], [], ""

    def _take_turn(self) -> None:
        """Waits for the lock of the memory's only row, which every write changes, and leaves the token."""
        self._look(
            "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; "
            "WITH turn AS (UPDATE rlem_memory SET revision = revision + 1 RETURNING revision, schema_version,"
            " rewritten)"
            f", token AS (INSERT INTO commits SELECT revision % {TOKENS}, revision, '\\x{self._token.hex()}'"
            " FROM turn ON CONFLICT (slot) DO UPDATE"
            " SET revision = EXCLUDED.revision, token = EXCLUDED.token) SELECT * FROM turn; "
            f"{VIEWS}"
        )

    def _end(self, batch: Sequence[Statement]) -> None:
        """Sends what waits, and the commit."""
        if self._commit == "done":
            return
        self._commit = "sent"
        if self.send([*batch, ("COMMIT", None)])[-1].statusmessage != "COMMIT":
            raise ExperienceMemoryError(f"{self.location}: the server refused the write; nothing is stored")
        self._commit = "done"

    def _resume_writing(self) -> None:
        ours, rewritten = self.revision, self.rewritten
        try:
            self._take_turn()
            found, self.revision = self.revision, ours
            if found == ours and self._steps is not None:
                self._commit = ""
                for step in self._steps:
                    step()
                self._views = None
                return
            if found > ours and self._is_stored(ours):
                self.sql("ROLLBACK")
                self._commit = "done"
                return
        finally:
            self.revision, self.rewritten = ours, rewritten
        self._commit = ""
        raise (TryAgainError if found > ours else ExperienceMemoryError)(
            f"{self.location}: the connection was lost, and "
            + ("others wrote meanwhile" if found > ours else "the write was too long to be done again")
            + "; nothing of what was being written is stored: do the same again"
        )

    def _is_stored(self, revision: int) -> bool:
        """Whether the write of that revision was this one. Called under the lock, so nothing is pending."""
        row = self.sql("SELECT revision, token FROM commits WHERE slot = %s", (revision % TOKENS,)).fetchone()
        if self._commit == "sent" and (row is None or row[0] > revision):
            raise ExperienceMemoryError(
                f"{self.location}: the connection was lost while a write was committed, and so much was "
                "written since that it cannot be told whether it is stored: look for its episodes before "
                "you write them again"
            )
        return row is not None and row == (revision, self._token)

    def _roll_back(self) -> None:
        """Ends the transaction, if one is open; a connection that cannot do so is given up."""
        self.mode = ""
        if self._connection is None or self._connection.closed:
            return
        if self._connection.info.transaction_status != TransactionStatus.IDLE:
            try:
                self._connection.execute("ROLLBACK")
            except psycopg.Error:
                self._drop()

    def rewrite(self, table: str) -> None:
        """Writes a table's file anew, so that nothing deleted is left in it."""
        notes: list[str] = []

        def vacuum() -> None:
            assert self._connection is not None
            self._connection.add_notice_handler(lambda note: notes.append(note.message_primary or ""))
            self.sql(f"VACUUM FULL {table}")

        try:
            self.run(vacuum)
        except pg.LockNotAvailable as error:
            notes.append(_line(error))
        if notes:
            raise ExperienceMemoryError(
                f"{self.location}: forgotten, but the bytes are still in the server's files ({notes[0]}): "
                "let the owner of the tables run VACUUM FULL when nobody is reading"
            )

    # -- errors --------------------------------------------------------------------------------------

    @contextmanager
    def mapped(self, what: str) -> Iterator[None]:
        """Turns the driver's errors into ours: what failed, where, what to do."""
        try:
            yield
        except psycopg.Error as error:
            raise self._error(what, error) from error

    def _error(self, what: str, error: psycopg.Error) -> ExperienceMemoryError:
        text = _line(error)
        match error:
            case pg.LockNotAvailable():
                return ExperienceMemoryError(
                    f"{self.location} is locked by another writer for too long: try again later"
                )
            case pg.ReadOnlySqlTransaction() | pg.InsufficientPrivilege():
                return MemoryReadOnlyError(
                    f"{self.location} could not be {what} ({text}): give the role the right to it, or open "
                    "it with read_only=True"
                )
            case pg.DiskFull():
                return MemoryReadOnlyError(
                    f"{self.location} could not be {what}: the server's disk is full; free space and try "
                    "again, everything committed so far is safe"
                )
            case pg.DataCorrupted() | pg.IndexCorrupted() | pg.UndefinedTable() | pg.UndefinedColumn():
                return MemoryCorruptError(f"{self.location} is damaged ({text}): restore a backup")
            case psycopg.IntegrityError():
                return MemoryCorruptError(f"{self.location} contradicts itself: {text}")
        if self._connection is None:
            return ExperienceMemoryError(
                f"{self.location} could not be {what}: no connection ({text}); check that the server runs "
                "and that host, port, database, user and password are right"
            )
        return ExperienceMemoryError(f"{self.location} could not be {what}: {text}")


def _by_name(rows: Sequence[tuple[Any, ...]]) -> dict[bytes, ViewRow]:
    return {name: (settings, mark, image) for name, settings, mark, image in rows}


def _line(error: Exception) -> str:
    """The driver's message in one line."""
    return " ".join(str(error).split()) or type(error).__name__
