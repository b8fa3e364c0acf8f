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
from typing import Any, TypeVar, cast

from rlem.core.errors import ClosedError, MemoryCorruptError, MemoryReadOnlyError, UsageError
from rlem.core.types import JSON, Episode, Situation
from rlem.memory import postgres_rows as rows
from rlem.memory import postgres_vectors as vectors
from rlem.memory.codec import canonical
from rlem.memory.postgres_schema import prepare
from rlem.memory.postgres_session import Session, ViewRow
from rlem.memory.postgres_url import parse_address
from rlem.memory.rows import as_of, decode
from rlem.memory.store import Arrival, Change, Derived, FeatureKey, Image, Mark, Place
from rlem.similarity.fields import digest

Result = TypeVar("Result")

MOST_IDLE = 4
"""So many connections for reading are kept open; more only while more threads read at once."""
EPISODES = 200
EXPERIENCES = 5000
"""So many are fetched at once."""
CHUNK = 16 * 2**20
"""Bytes of an image that are sent at once."""
TABLES = ("episodes", "transitions", "situations", "texts", "views", "experiences", "images", "features")
"""Those with content that may be forgotten."""


class PostgresStore:
    """A store in the schema that ``url`` names; made if absent. ``read_only`` needs an existing memory.

    ``timeout_s`` bounds the wait for another writer; a lost connection is made again up to ``retries`` times
    (40 tries take about a minute and a quarter). Writes have a connection of their own; so has each thread
    that reads, while it does.
    """

    def __init__(
        self, url: str, *, read_only: bool = False, timeout_s: float = 60.0, retries: int = 40
    ) -> None:
        address = parse_address(url)
        self.location = address.location
        self.read_only = read_only
        self._connect = partial(Session, address, read_only=read_only, timeout_s=timeout_s, retries=retries)
        self._writer = self._connect()
        self._writing = threading.RLock()
        self._author: int | None = None
        """The thread whose write is open."""
        self._idle: list[Session] = []
        self._mine = threading.local()
        """The connection on which this thread reads at the moment."""
        self._closed = False
        self._vectors = vectors.Indexes()
        reader = self._connect()
        try:
            with reader.mapped("opened"):
                reader.open()
                reader.run(lambda: prepare(reader, read_only=read_only))
        except BaseException:
            reader.close()
            raise
        self._idle.append(reader)

    def vector_extension(self) -> str | None:
        """Version of pgvector that the server offers; None where it has none."""
        row = self._get("SELECT default_version FROM pg_available_extensions WHERE name = 'vector'")
        return str(row[0][0]) if row else None

    def close(self) -> None:
        self._closed = True
        with self._writing:
            self._writer.close()
        while self._idle:
            self._idle.pop().close()

    # -- plumbing ------------------------------------------------------------------------------------

    @contextmanager
    def write(self) -> Iterator[None]:
        if self.read_only:
            raise MemoryReadOnlyError(f"{self.location} was opened read-only: nothing can be recorded in it")
        with self._writing, self._writer.mapped("written"):
            with self._writer.writing():
                self._author = threading.get_ident()
                try:
                    yield
                finally:
                    self._author = None
            self._vectors.keep_up(self._writer)

    @contextmanager
    def _session(self) -> Iterator[Session]:
        """The connection that this thread reads from: that of its open write, of its open read, or an idle
        one; the others connect at their first use."""
        mine = self._writer if self._author == threading.get_ident() else getattr(self._mine, "session", None)
        if mine is not None:
            yield mine
            return
        if self._closed:
            raise ClosedError(f"the memory {self.location} is closed")
        try:
            session = self._idle.pop()
        except IndexError:
            session = self._connect()
        self._mine.session = session
        try:
            with session.mapped("read"):
                yield session
        finally:
            self._mine.session = None
            self._idle.append(session)
            if self._closed or len(self._idle) > MOST_IDLE:
                self._idle.pop(0).close()

    @contextmanager
    def read(self) -> Iterator[None]:
        with self._session() as session, session.reading():
            yield

    def _run(self, step: Callable[[Session], Result]) -> Result:
        with self._session() as session:
            return session.run(lambda: step(session))

    def _get(self, query: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        return self._run(lambda session: session.sql(query, parameters).fetchall())

    @property
    def _open(self) -> Session:
        """The connection of this thread's open write."""
        if self._author != threading.get_ident():
            raise UsageError(f"{self.location}: a change belongs into a `with store.write()` block")
        return self._writer

    def _put(self, query: str, parameters: Sequence[Any] = ()) -> None:
        self._open.put(query, parameters)

    def _write(self, step: Callable[[], object]) -> None:
        self._open.run(step, writes=True)

    def revision(self) -> int:
        with self._session() as session:
            return session.head()[0]

    # -- views ---------------------------------------------------------------------------------------

    def _views(self) -> dict[bytes, ViewRow]:
        with self._session() as session:
            return session.views()

    def _json(self, view: str, column: int) -> Any:
        """Settings, mark or image of a view; None where there is none."""
        row = self._views().get(rows.encode(view))
        return json.loads((row and row[column]) or "null")

    def views(self) -> list[str]:
        return [decode(name) for name in sorted(self._views())]

    def settings(self, view: str) -> dict[str, Any] | None:
        try:
            return cast("dict[str, Any] | None", self._json(view, 0))
        except ValueError as error:
            raise MemoryCorruptError(
                f"{self.location} is damaged: its settings cannot be read ({error}); restore a backup"
            ) from error

    def put_settings(self, view: str, settings: Mapping[str, Any]) -> None:
        self._open.put_view(
            "INSERT INTO views (name, settings) VALUES (%s, %s)"
            " ON CONFLICT (name) DO UPDATE SET settings = EXCLUDED.settings",
            (rows.encode(view), canonical(settings)),
        )

    def drop_view(self, view: str) -> None:
        name = (rows.encode(view),)
        self._open.put_view("DELETE FROM views WHERE name = %s", name)
        self._put("DELETE FROM experiences WHERE view = %s", name)
        self._put("DELETE FROM images WHERE view = %s", name)

    # -- the log -------------------------------------------------------------------------------------

    def episodes(self, *, after: Place | None = None) -> Iterator[Episode]:
        return self._episodes("true", (), after)

    def episodes_until(self, revision: int) -> Iterator[Episode]:
        found = self._episodes("e.revision <= %s", (revision,), None)
        return (as_of(episode, revision) for episode in found)

    def _episodes(self, where: str, values: tuple[object, ...], after: Place | None) -> Iterator[Episode]:
        # The order of bytes is that of UTF-8's code points, which is Python's.
        place = after or (-(2**62), "")
        situations: dict[bytes, Situation] = {}
        while True:
            with self.read():  # what others forget meanwhile is left out
                found = self._fetch(
                    f"{where} AND sequence >= %s AND (sequence, id) > (%s, %s)",
                    (*values, place[0], place[0], rows.encode(place[1])),
                    situations,
                )
            yield from found
            if len(found) < EPISODES:
                return
            place = found[-1].sequence, found[-1].id

    def episode(self, episode_id: str) -> Episode | None:
        with self.read():
            found = self._fetch("sha256(id) = %s", (rows.name(episode_id),), {})
            return found[0] if found else None

    def _fetch(
        self, where: str, values: Sequence[object], situations: dict[bytes, Situation]
    ) -> list[Episode]:
        try:
            return self._run(lambda session: rows.fetch(session, where, values, EPISODES, situations))
        except (ValueError, TypeError, LookupError) as error:
            raise MemoryCorruptError(
                f"{self.location} is damaged: its log cannot be read ({error!r}); restore a backup"
            ) from error

    def last(self) -> Place | None:
        found = self._get("SELECT sequence, id FROM episodes ORDER BY sequence DESC, id DESC LIMIT 1")
        return (found[0][0], decode(found[0][1])) if found else None

    def count(self) -> int:
        ((number,),) = self._get("SELECT count(*) FROM episodes")
        return int(number)

    def episodes_of(self, key: str) -> list[str]:
        return self._ids(
            "number IN (SELECT episode FROM transitions WHERE situation = %s)", (bytes.fromhex(key),)
        )

    def find(
        self, *, task: str | None = None, source: str | None = None, before_s: float | None = None
    ) -> list[str]:
        where, values = ["true"], []
        if task is not None:
            where.append("(task = %s OR task_id = %s)")
            values += [digest(task), rows.encode(task)]
        if source is not None:
            where.append("source = %s")
            values.append(rows.encode(source))
        numbers = [] if before_s is None else [float(before_s)]
        where += ["recorded_s < %s"] * len(numbers)
        return self._ids(" AND ".join(where), (*values, *numbers))

    def _ids(self, where: str, values: Sequence[object]) -> list[str]:
        found = self._get(f"SELECT id FROM episodes WHERE {where} ORDER BY sequence, id", values)
        return [decode(identity) for (identity,) in found]

    def append(self, episode: Episode) -> None:
        session = self._open
        self._write(lambda: rows.append(session.sql, episode, session.revision, self.location))

    def amend(self, episode: Episode) -> None:
        self._write(lambda: rows.amend(self._writer.sql, episode))

    def delete(self, episode_ids: Sequence[str]) -> None:
        self._write(lambda: rows.delete(self._writer.sql, episode_ids))

    def rewritten(self) -> int:
        with self._session() as session:
            return session.head()[1]

    def set_rewritten(self) -> None:
        self._put("UPDATE rlem_memory SET rewritten = revision")
        self._writer.rewritten = self._writer.revision

    def erase(self) -> None:
        """Writes the tables anew without what was deleted; the server's WAL and backups keep it longer."""
        with self._writing, self._session() as session, session.paused(), self._writer.mapped("written"):
            self._vectors.drop(self._writer)
            for table in TABLES:
                self._writer.rewrite(table)
            self._vectors.keep_up(self._writer)

    # -- history -------------------------------------------------------------------------------------

    def note(self, kind: str, recorded_s: float, detail: Mapping[str, JSON]) -> None:
        self._put(
            "INSERT INTO history (revision, recorded_s, kind, detail) VALUES (%s, %s, %s, %s)",
            (self._open.revision, float(recorded_s), kind, canonical(detail)),
        )

    def history(self) -> list[Change]:
        found = self._get("SELECT revision, recorded_s, kind, detail FROM history ORDER BY number")
        return [
            Change(revision=revision, recorded_s=recorded_s, kind=kind, detail=json.loads(detail))
            for revision, recorded_s, kind, detail in found
        ]

    def arrivals(self) -> list[Arrival]:
        found = self._get(
            "SELECT revision, min(recorded_s), count(*) FROM episodes GROUP BY revision ORDER BY revision"
        )
        return [
            Arrival(revision=revision, recorded_s=recorded_s, episodes=episodes)
            for revision, recorded_s, episodes in found
        ]

    # -- derived -------------------------------------------------------------------------------------

    def mark(self, view: str) -> Mark | None:
        try:
            fingerprint, revision, last, count = self._json(view, 1)
            place = None if last is None else (int(last[0]), str(last[1]))
        except (ValueError, TypeError, LookupError):  # none there, or damaged: then all is made anew
            return None
        return Mark(fingerprint=fingerprint, revision=revision, last=place, count=count)

    def put_mark(self, view: str, fingerprint: str, last: Place | None, count: int) -> None:
        mark = canonical([fingerprint, self._open.revision, last, count])
        self._open.put_view("UPDATE views SET mark = %s WHERE name = %s", (mark, rows.encode(view)))

    def derived(self, view: str, keys: Collection[str] | None = None) -> Iterator[Derived]:
        name = rows.encode(view)
        if keys is not None:
            wanted = [bytes.fromhex(key) for key in keys]
            return iter(
                self._derived("x.view = %s AND x.state IS NOT NULL AND x.situation = ANY(%b)", (name, wanted))
            )
        return self._all_derived(name)

    def _all_derived(self, name: bytes) -> Iterator[Derived]:
        last = b""
        while True:
            found = self._derived(
                "x.view = %s AND x.state IS NOT NULL AND x.situation > %s ORDER BY x.situation"
                f" LIMIT {EXPERIENCES}",
                (name, last),
            )
            yield from found
            if len(found) < EXPERIENCES:
                return
            last = rows.key(found[-1][0])

    def derived_since(self, view: str, revision: int) -> Iterator[Derived]:
        return iter(self._derived("x.view = %s AND x.revision > %s", (rows.encode(view), revision)))

    def _derived(self, where: str, values: Sequence[object]) -> list[Derived]:
        return self._run(lambda session: list(rows.derived(session.sql, where, values)))

    def put_derived(self, view: str, changed: Iterable[Derived], *, replace: bool = False) -> None:
        name = rows.encode(view)
        states = {
            rows.key(situation): None if state is None else canonical(state) for situation, state in changed
        }
        if replace:
            self._put("DELETE FROM experiences WHERE view = %s", (name,))
            self._put("DELETE FROM images WHERE view = %s", (name,))
            self._open.put_view("UPDATE views SET image = NULL WHERE name = %s", (name,))
        self._put(
            "INSERT INTO experiences (situation, view, revision, state) SELECT k, %s, %s, v"
            " FROM unnest(%b::bytea[], %b::text[]) u (k, v)"
            " WHERE EXISTS (SELECT FROM situations WHERE key = k) ON CONFLICT (situation, view)"
            " DO UPDATE SET revision = EXCLUDED.revision, state = EXCLUDED.state",
            (name, self._open.revision, list(states), list(states.values())),
        )

    def image(self, view: str) -> Image | None:
        with self.read():
            try:
                revision, sizes = self._json(view, 2)
                parts = {part: self._part(view, part, size) for part, size in sizes.items()}
            except (ValueError, TypeError, LookupError, AttributeError):
                return None
        return Image(revision=revision, parts=parts)

    def _part(self, view: str, part: str, size: int) -> memoryview:
        data, begin = bytearray(size), 0
        for chunk in range(-(-size // CHUNK)):
            ((piece,),) = self._get(
                "SELECT data FROM images WHERE view = %s AND part = %s AND chunk = %s",
                (rows.encode(view), part, chunk),
            )
            data[begin : begin + len(piece)] = piece
            begin += len(piece)
        if begin != size or len(data) != size:
            raise ValueError("a part of an image is incomplete")
        return memoryview(data)

    def put_image(self, view: str, parts: Mapping[str, bytes | memoryview]) -> None:
        name = rows.encode(view)
        self._put("DELETE FROM images WHERE view = %s", (name,))
        for part, data in parts.items():
            flat = memoryview(data).cast("B")
            for chunk, begin in enumerate(range(0, len(flat), CHUNK)):
                self._put(
                    "INSERT INTO images VALUES (%s, %s, %s, %s)",
                    (name, part, chunk, flat[begin : begin + CHUNK]),
                )
                self._open.flush()
        image = [self._open.revision, {part: memoryview(data).nbytes for part, data in parts.items()}]
        self._open.put_view("UPDATE views SET image = %s WHERE name = %s", (canonical(image), name))

    def drop_derived(self, *, keep_view: str | None = None) -> None:
        keep = (None if keep_view is None else rows.encode(keep_view),)
        self._put("DELETE FROM images")
        self._put("DELETE FROM experiences WHERE view IS DISTINCT FROM %s::bytea", keep)
        self._open.put_view(
            "UPDATE views SET image = NULL, mark = CASE WHEN name = %s::bytea THEN mark END", keep
        )

    # -- features ------------------------------------------------------------------------------------

    def features(self, fingerprint: str, digests: Collection[bytes]) -> dict[bytes, bytes]:
        return dict(
            self._get(
                "SELECT digest, data FROM features WHERE fingerprint = %s AND digest = ANY(%b)",
                (fingerprint, list(digests)),
            )
        )

    def put_features(self, items: Mapping[FeatureKey, bytes]) -> None:
        if items:
            features = [(*key, data) for key, data in items.items()]
            self._put(
                "INSERT INTO features SELECT * FROM unnest(%b::text[], %b::bytea[], %b::bytea[])"
                " ON CONFLICT DO NOTHING",
                rows.columns(features, 3),
            )
            self._vectors.note(items)

    def drop_features(
        self, keys: Collection[FeatureKey] = (), *, other_than: Collection[str] | None = None
    ) -> None:
        if keys:
            self._put(
                "DELETE FROM features WHERE (fingerprint, digest) IN"
                " (SELECT * FROM unnest(%b::text[], %b::bytea[]))",
                rows.columns(keys, 2),
            )
        if other_than is not None:
            self._put("DELETE FROM features WHERE fingerprint <> ALL(%b::text[])", (list(other_than),))

    def nearest(self, fingerprint: str, features: bytes, wanted: int) -> list[bytes] | None:
        """Digests of the texts whose vectors are nearest; see ``rlem.memory.candidates``."""
        return self._run(lambda session: vectors.nearest(session, fingerprint, features, wanted))
