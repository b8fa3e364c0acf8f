"""A memory on a PostgreSQL server, shared by many machines: one schema of a database.

``postgresql://USER:PASSWORD@HOST:PORT/DATABASE?schema=NAME``; the schema is ``rlem`` if none is named.
Texts are kept as bytes (PostgreSQL's own texts hold neither NUL nor lone surrogates), once however often they
occur, under their digest. All writers change the one row of ``rlem_memory``: its lock is their queue.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from importlib import resources
from typing import Any, TypeVar, cast

from rlem.core.errors import (
    MemoryCorruptError,
    MemoryReadOnlyError,
    MemoryVersionError,
    UsageError,
)
from rlem.core.types import Episode, Situation
from rlem.memory import postgres_rows as rows
from rlem.memory.codec import canonical
from rlem.memory.postgres_session import SCHEMA_VERSION, Session
from rlem.memory.postgres_url import parse_address
from rlem.memory.rows import decode
from rlem.memory.store import Derived, FeatureKey
from rlem.similarity.fields import digest

Result = TypeVar("Result")

UPGRADES: dict[int, str] = {}
"""SQL that brings a memory of the given schema version to the next one."""
CHUNK = 200
"""Episodes that are fetched at once."""


class PostgresStore:
    """A store in the schema that ``url`` names; made if absent. ``read_only`` needs an existing memory.

    ``timeout_s`` bounds the wait for another writer; a lost connection is made again up to ``retries`` times
    (40 tries take about a minute and a quarter).
    """

    def __init__(
        self, url: str, *, read_only: bool = False, timeout_s: float = 60.0, retries: int = 40
    ) -> None:
        self._lock = threading.RLock()
        self._read_only = read_only
        self._session = Session(parse_address(url), read_only=read_only, timeout_s=timeout_s, retries=retries)
        try:
            with self._session.mapped("opened"):
                self._session.open()
                self._session.run(self._prepare)
        except BaseException:
            self.close()
            raise

    @property
    def location(self) -> str:
        """The URL, without the password."""
        return self._session.location

    # -- opening -------------------------------------------------------------------------------------

    def _prepare(self) -> None:
        version = self._found_version()
        if version > SCHEMA_VERSION:
            raise MemoryVersionError(
                f"{self.location} was written by a newer rlem (schema {version}; this one knows up to "
                f"{SCHEMA_VERSION}): upgrade rlem, the memory was left as it is"
            )
        if version == SCHEMA_VERSION:
            return
        if self._read_only:
            raise MemoryVersionError(
                f"{self.location} is empty or was written by an older rlem: open it once without read_only"
            )
        try:
            self._migrate()
        except BaseException:
            self._session.sql("ROLLBACK")
            raise

    def _found_version(self) -> int:
        """Schema version of the memory; 0 where there is none yet. Refuses a schema of somebody else's."""
        name = self._session.address.schema
        found = self._session.sql(
            "SELECT count(*), count(*) FILTER (WHERE relname = 'rlem_memory') FROM pg_class c"
            " JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = %s",
            (name,),
        ).fetchone()
        tables, own = found or (0, 0)
        if own:
            row = self._session.sql("SELECT schema_version FROM rlem_memory").fetchone()
            return int(row[0]) if row else 0
        if tables:
            raise MemoryVersionError(
                f"the schema {name!r} of {self.location} holds something else than a memory of rlem's: name "
                "another one (?schema=NAME)"
            )
        return 0

    def _migrate(self) -> None:
        """Makes the tables of a new memory, or brings an older one up to date, in one transaction."""
        run, name = self._session.sql, self._session.address.schema
        lock = int.from_bytes(digest(f"rlem {name}", 8), "big", signed=True)
        run("BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE")
        run("SELECT pg_advisory_xact_lock(%s)", (lock,))
        version = self._found_version()
        if version == 0:
            if not run("SELECT 1 FROM pg_namespace WHERE nspname = %s", (name,)).fetchone():
                quoted = name.replace('"', '""')
                run(f'CREATE SCHEMA "{quoted}"')
            run(resources.files("rlem.memory").joinpath("postgres_schema.sql").read_text("utf-8"))
            run("INSERT INTO rlem_memory (schema_version, revision) VALUES (%s, 0)", (SCHEMA_VERSION,))
            version = SCHEMA_VERSION
        elif version < SCHEMA_VERSION:  # the row's lock keeps writers of the older version out
            run("UPDATE rlem_memory SET schema_version = %s", (SCHEMA_VERSION,))
        while version < SCHEMA_VERSION:
            if version not in UPGRADES:
                raise MemoryVersionError(f"{self.location}: no way is known to upgrade schema {version}")
            run(UPGRADES[version])
            version += 1
        run("COMMIT")

    def vector_extension(self) -> str | None:
        """Version of pgvector that the server offers; None where it has none. Nothing uses it yet."""
        row = self._get("SELECT default_version FROM pg_available_extensions WHERE name = 'vector'")
        return str(row[0][0]) if row else None

    # -- plumbing ------------------------------------------------------------------------------------

    @contextmanager
    def write(self) -> Iterator[None]:
        if self._read_only:
            raise MemoryReadOnlyError(f"{self.location} was opened read-only: nothing can be recorded in it")
        with self._lock, self._session.mapped("written"), self._session.writing():
            yield

    @contextmanager
    def read(self) -> Iterator[None]:
        with self._lock, self._session.mapped("read"), self._session.reading():
            yield

    def revision(self) -> int:
        with self._lock, self._session.mapped("read"):
            return self._session.current()

    def _run(self, step: Callable[[], Result]) -> Result:
        with self._lock, self._session.mapped("read"):
            return self._session.run(step)

    def _get(self, query: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        return self._run(lambda: self._session.sql(query, parameters).fetchall())

    def _put(self, query: str, parameters: Sequence[Any] = ()) -> None:
        self._write(partial(self._session.sql, query, parameters))

    def _write(self, step: Callable[[], object]) -> None:
        if self._session.mode != "write":
            raise UsageError(f"{self.location}: a change belongs into a `with store.write()` block")
        self._session.run(step, writes=True)

    # -- settings ------------------------------------------------------------------------------------

    def settings(self) -> dict[str, Any] | None:
        ((text,),) = self._get("SELECT settings FROM rlem_memory")
        try:
            return cast("dict[str, Any]", json.loads(text)) if text is not None else None
        except ValueError as error:
            raise MemoryCorruptError(
                f"{self.location} is damaged: its settings cannot be read ({error}); restore a backup"
            ) from error

    def put_settings(self, settings: Mapping[str, Any]) -> None:
        self._put("UPDATE rlem_memory SET settings = %s", (canonical(settings),))

    # -- the log -------------------------------------------------------------------------------------

    def episodes(self, *, after: tuple[int, str] | None = None) -> Iterator[Episode]:
        # The order of bytes is that of UTF-8's code points, which is Python's.
        sequence, identity = after or (-(2**62), "")
        numbers = self._get(
            "SELECT number FROM episodes WHERE sequence >= %s AND (sequence, id) > (%s, %s)"
            " ORDER BY sequence, id",
            (sequence, sequence, rows.encode(identity)),
        )
        situations: dict[bytes, Situation] = {}
        for begin in range(0, len(numbers), CHUNK):
            chunk = [number for (number,) in numbers[begin : begin + CHUNK]]
            with self.read():  # what others forget meanwhile is left out
                found = self._fetch("number = ANY(%s)", chunk, situations)
            yield from found

    def episode(self, episode_id: str) -> Episode | None:
        with self.read():
            found = self._fetch("sha256(id) = %s", rows.name(episode_id), {})
            return found[0] if found else None

    def _fetch(self, where: str, value: object, situations: dict[bytes, Situation]) -> list[Episode]:
        try:
            return self._run(lambda: rows.fetch(self._session.sql, where, value, situations))
        except (ValueError, TypeError, LookupError) as error:
            raise MemoryCorruptError(
                f"{self.location} is damaged: its log cannot be read ({error!r}); restore a backup"
            ) from error

    def last(self) -> tuple[int, str] | None:
        found = self._get("SELECT sequence, id FROM episodes ORDER BY sequence DESC, id DESC LIMIT 1")
        return (found[0][0], decode(found[0][1])) if found else None

    def count(self) -> int:
        ((number,),) = self._get("SELECT count(*) FROM episodes")
        return int(number)

    def episodes_of(self, key: str) -> list[str]:
        found = self._get(
            "SELECT id FROM episodes WHERE number IN (SELECT episode FROM transitions WHERE situation = %s)"
            " ORDER BY sequence, id",
            (bytes.fromhex(key),),
        )
        return [decode(identity) for (identity,) in found]

    def append(self, episode: Episode) -> None:
        self._write(lambda: rows.append(self._session.sql, episode, self.location))

    def delete(self, episode_ids: Sequence[str]) -> None:
        names = [rows.name(episode_id) for episode_id in episode_ids]
        self._put("DELETE FROM episodes WHERE sha256(id) = ANY(%s)", (names,))
        self._put(
            "DELETE FROM situations s WHERE NOT EXISTS (SELECT FROM transitions WHERE situation = s.key)"
            " AND NOT EXISTS (SELECT FROM episodes WHERE final = s.key)"
        )
        self._put(
            "DELETE FROM texts t USING texts d LEFT JOIN (SELECT task AS used FROM episodes UNION SELECT task"
            " FROM situations UNION SELECT observation FROM situations UNION SELECT actions FROM situations"
            " UNION SELECT subtask FROM situations) u ON u.used = d.digest"
            " WHERE d.digest = t.digest AND u.used IS NULL"
        )
        self._put(
            "DELETE FROM experiences x WHERE NOT EXISTS (SELECT FROM situations WHERE key = x.situation)"
        )

    def erase(self) -> None:
        """Writes the tables anew without what was deleted; the server's WAL and backups keep it longer."""
        with self._lock, self._session.mapped("written"):
            for table in ("episodes", "transitions", "situations", "texts", "experiences", "features"):
                self._session.rewrite(table)

    # -- derived -------------------------------------------------------------------------------------

    def derived_mark(self) -> tuple[str, int, int] | None:
        ((fingerprint, revision, replaced),) = self._get(
            "SELECT derived_fingerprint, derived_revision, derived_replaced FROM rlem_memory"
        )
        if fingerprint is None or revision is None or replaced is None:
            return None
        return fingerprint, revision, replaced

    def derived(self) -> list[Derived]:
        return self._run(self._derived)

    def _derived(self) -> list[Derived]:
        found = self._session.sql("SELECT situation, state FROM experiences", ()).fetchall()
        situations: dict[bytes, Situation] = {}
        rows.fill(self._session.sql, [key for key, _ in found], situations)
        return [(situations[key], json.loads(state)) for key, state in found]

    def put_derived(
        self, fingerprint: str, changed: Iterable[Derived], removed: Iterable[str], *, replace: bool = False
    ) -> None:
        states = {rows.key(situation): canonical(state) for situation, state in changed}
        gone = [bytes.fromhex(key) for key in removed]
        if replace:
            self._put("DELETE FROM experiences")
        elif gone:
            self._put("DELETE FROM experiences WHERE situation = ANY(%s)", (gone,))
        self._put(
            "WITH x AS (INSERT INTO experiences SELECT * FROM unnest(%s::bytea[], %s::text[])"
            " ON CONFLICT (situation) DO UPDATE SET state = EXCLUDED.state)"
            " UPDATE rlem_memory SET derived_fingerprint = %s, derived_revision = revision,"
            " derived_replaced = CASE WHEN %s THEN revision ELSE coalesce(derived_replaced, revision) END",
            (list(states), list(states.values()), fingerprint, replace),
        )

    def features(self) -> dict[FeatureKey, bytes]:
        found = self._get("SELECT fingerprint, digest, data FROM features")
        return {(fingerprint, name): data for fingerprint, name, data in found}

    def put_features(self, items: Mapping[FeatureKey, bytes]) -> None:
        if items:
            features = [(*key, data) for key, data in items.items()]
            self._put(
                "INSERT INTO features SELECT * FROM unnest(%s::text[], %s::bytea[], %s::bytea[])"
                " ON CONFLICT DO NOTHING",
                rows.columns(features, 3),
            )

    def keep_features(self, keep: Collection[FeatureKey]) -> None:
        self._put(
            "DELETE FROM features f WHERE NOT EXISTS (SELECT FROM unnest(%s::text[], %s::bytea[]) AS k(a, b)"
            " WHERE k.a = f.fingerprint AND k.b = f.digest)",
            rows.columns(list(keep), 2),
        )

    def close(self) -> None:
        with self._lock:
            self._session.close()
