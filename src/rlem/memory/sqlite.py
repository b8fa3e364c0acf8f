"""A memory in one SQLite file: WAL, ``synchronous=FULL``, one durable transaction a write.

Texts and situations are stored once however often they occur. Deleted content is overwritten
(``secure_delete``), and ``erase`` empties the WAL.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, cast

from rlem.core.errors import MemoryCorruptError
from rlem.core.types import JSON
from rlem.memory.codec import canonical
from rlem.memory.sqlite_log import BATCH, SITUATION, SQLiteLog, batches, each, situation_of
from rlem.memory.sqlite_session import SQLiteSession
from rlem.memory.store import Arrival, Change, Derived, FeatureKey, Image, Mark, Place

CHUNK_BYTES = 1 << 26
"""Of an image's part in one row."""


def _derived_rows(source: str, where: str) -> str:
    state = ", CAST(e.state AS BLOB)"  # as bytes: what is no text is found out when it is parsed
    situation = SITUATION.format(more=state, source=f"{source} ON s.id = e.situation")
    return f"SELECT {situation} WHERE e.view = (SELECT id FROM views WHERE name = ?) AND {where}"


# A cross join is gone through from the left: SQLite itself would start from all experiences of the view.
_SOME = _derived_rows("situations s CROSS JOIN experiences e", "e.state IS NOT NULL AND s.key IN ()")
_ALL = _derived_rows("experiences e JOIN situations s", "e.state IS NOT NULL")
_SINCE = _derived_rows("experiences e JOIN situations s", "e.revision > ?")


class SQLiteStore(SQLiteLog):
    """A store in the file ``path``; made if absent. ``read_only`` needs an existing file."""

    def __init__(self, path: str | Path, *, read_only: bool = False, timeout_s: float = 60.0) -> None:
        super().__init__(SQLiteSession(path, read_only=read_only, timeout_s=timeout_s))

    # -- views ---------------------------------------------------------------------------------------

    def views(self) -> list[str]:
        return sorted(name for (name,) in self._all("SELECT name FROM views"))

    def settings(self, view: str) -> dict[str, Any] | None:
        for (text,) in self._all("SELECT settings FROM views WHERE name = ?", view):
            try:
                return cast("dict[str, Any]", json.loads(text))
            except (ValueError, TypeError) as error:
                raise MemoryCorruptError(
                    f"{self.location} is damaged: its settings cannot be read ({error}); restore a copy"
                ) from error
        return None

    def put_settings(self, view: str, settings: Mapping[str, Any]) -> None:
        self._session.writer.execute(
            "INSERT INTO views (name, settings) VALUES (?, ?)"
            " ON CONFLICT (name) DO UPDATE SET settings = excluded.settings",
            (view, canonical(settings)),
        )

    def drop_view(self, view: str) -> None:
        self._session.writer.execute("DELETE FROM views WHERE name = ?", (view,))

    def _view(self, view: str) -> int:
        found = self._one("SELECT id FROM views WHERE name = ?", view)
        if not found:
            raise LookupError(f"the memory {self.location} has no view {view!r}")
        return int(found[0])

    # -- history -------------------------------------------------------------------------------------

    def note(self, kind: str, recorded_s: float, detail: Mapping[str, JSON]) -> None:
        self._session.writer.execute(
            "INSERT INTO history VALUES (?, ?, ?, ?)", (self._revision, recorded_s, kind, canonical(detail))
        )

    def history(self) -> list[Change]:
        return [
            Change(revision=revision, recorded_s=recorded_s, kind=kind, detail=json.loads(detail))
            for revision, recorded_s, kind, detail in self._all(
                "SELECT revision, recorded_s, kind, detail FROM history ORDER BY rowid"
            )
        ]

    def arrivals(self) -> list[Arrival]:
        return [
            Arrival(revision=revision, recorded_s=recorded_s, episodes=episodes)
            for revision, recorded_s, episodes in self._all(
                "SELECT revision, min(recorded_s), count(*) FROM episodes GROUP BY revision ORDER BY revision"
            )
        ]

    # -- derived -------------------------------------------------------------------------------------

    def mark(self, view: str) -> Mark | None:
        try:
            ((text,),) = self._all("SELECT mark FROM views WHERE name = ?", view)
            fingerprint, revision, last, count = json.loads(text)
            place = None if last is None else (int(last[0]), str(last[1]))
            return Mark(fingerprint=fingerprint, revision=int(revision), last=place, count=int(count))
        except (ValueError, TypeError, LookupError):  # none there, or damaged
            return None

    def put_mark(self, view: str, fingerprint: str, last: Place | None, count: int) -> None:
        mark = canonical([fingerprint, self._revision, last, count])
        self._session.writer.execute("UPDATE views SET mark = ? WHERE id = ?", (mark, self._view(view)))

    def derived(self, view: str, keys: Collection[str] | None = None) -> Iterator[Derived]:
        with self._session.reading() as sql:
            if keys is None:
                rows: Iterable[tuple[Any, ...]] = sql.execute(_ALL, (view,))
            else:
                rows = each(sql, _SOME, keys, view)
            yield from map(_derived, rows)

    def derived_since(self, view: str, revision: int) -> Iterator[Derived]:
        with self._session.reading() as sql:
            yield from map(_derived, sql.execute(_SINCE, (view, revision)))

    def put_derived(self, view: str, changed: Iterable[Derived], *, replace: bool = False) -> None:
        sql, number = self._session.writer, self._view(view)
        if replace:
            sql.execute("DELETE FROM experiences WHERE view = ?", (number,))
            self._drop_images("id = ?", number)
        for some in batches(changed, BATCH):
            ids = self._situation_ids({situation.key for situation, _ in some})
            sql.executemany(
                "INSERT INTO experiences VALUES (?, ?, ?, ?) ON CONFLICT (situation, view)"
                " DO UPDATE SET revision = excluded.revision, state = excluded.state",
                [
                    (
                        ids[situation.key],
                        number,
                        self._revision,
                        None if state is None else canonical(state),
                    )
                    for situation, state in some
                    if situation.key in ids
                ],
            )

    def drop_derived(self, *, keep_view: str | None = None) -> None:
        sql = self._session.writer
        self._drop_images("1")
        sql.execute("UPDATE views SET mark = NULL WHERE name IS NOT ?", (keep_view,))
        sql.execute(
            "DELETE FROM experiences WHERE view IN (SELECT id FROM views WHERE name IS NOT ?)", (keep_view,)
        )

    def image(self, view: str) -> Image | None:
        with self._session.snapshot() as sql:
            try:
                ((number, text),) = self._all("SELECT id, image FROM views WHERE name = ?", view)
                revision, sizes = json.loads(text)
                parts = {name: _join(sql, number, name) for name in sizes}
                whole = all(len(parts[name]) == size for name, size in sizes.items())
            except (ValueError, TypeError, LookupError, AttributeError):  # none there, or damaged
                return None
        return Image(revision=revision, parts=parts) if whole else None

    def put_image(self, view: str, parts: Mapping[str, bytes | memoryview]) -> None:
        sql, number = self._session.writer, self._view(view)
        self._drop_images("id = ?", number)
        sizes = {}
        for name, data in parts.items():
            sizes[name] = memoryview(data).nbytes
            whole = memoryview(data).cast("B") if sizes[name] else b""
            sql.executemany(
                "INSERT INTO images VALUES (?, ?, ?, ?)",
                (
                    (number, name, start // CHUNK_BYTES, whole[start : start + CHUNK_BYTES])
                    for start in range(0, sizes[name], CHUNK_BYTES)
                ),
            )
        text = canonical([self._revision, sizes])
        sql.execute("UPDATE views SET image = ? WHERE id = ?", (text, number))

    def _drop_images(self, where: str, *values: object) -> None:
        sql = self._session.writer
        sql.execute(f"DELETE FROM images WHERE view IN (SELECT id FROM views WHERE {where})", values)
        sql.execute(f"UPDATE views SET image = NULL WHERE {where}", values)

    # -- features ------------------------------------------------------------------------------------

    def features(self, fingerprint: str, digests: Collection[bytes]) -> dict[bytes, bytes]:
        query = "SELECT digest, data FROM features WHERE fingerprint = ? AND digest IN ()"
        with self._session.reading() as sql:
            return dict(cast("Iterable[tuple[bytes, bytes]]", each(sql, query, digests, fingerprint)))

    def put_features(self, items: Mapping[FeatureKey, bytes]) -> None:
        self._session.writer.executemany(
            "INSERT OR IGNORE INTO features VALUES (?, ?, ?)",
            ((fingerprint, name, data) for (fingerprint, name), data in items.items()),
        )

    def drop_features(
        self, keys: Collection[FeatureKey] = (), *, other_than: Collection[str] | None = None
    ) -> None:
        sql = self._session.writer
        sql.executemany("DELETE FROM features WHERE fingerprint = ? AND digest = ?", keys)
        if other_than is not None:
            sql.execute(
                "DELETE FROM features WHERE fingerprint NOT IN (SELECT value FROM json_each(?))",
                (canonical([*other_than]),),
            )


def _join(sql: sqlite3.Connection, view: int, part: str) -> bytes:
    rows = sql.execute("SELECT data FROM images WHERE view = ? AND part = ? ORDER BY chunk", (view, part))
    return b"".join([data for (data,) in rows])


def _derived(row: tuple[Any, ...]) -> Derived:
    state = None if row[5] is None else json.loads(row[5])
    if row[5] is not None and not isinstance(state, list):
        raise ValueError(f"the state of experience {row[0]} is no list")
    return situation_of(row), state
