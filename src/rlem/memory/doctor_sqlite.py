"""What is examined, mended and saved in a memory that is an SQLite file."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from rlem.core.errors import DataError, ExperienceMemoryError, RlemError
from rlem.core.types import Episode, Situation
from rlem.memory.rows import decode, episode_of
from rlem.memory.sqlite import SQLiteStore
from rlem.memory.sqlite_session import SQLiteSession
from rlem.memory.store import FeatureKey
from rlem.similarity.fields import digest

_UNUSED_SITUATIONS = (
    "FROM situations WHERE NOT EXISTS (SELECT 1 FROM transitions WHERE situation = situations.id)"
    " AND NOT EXISTS (SELECT 1 FROM episodes WHERE final = situations.id)"
)
_UNUSED_TEXTS = "FROM texts WHERE NOT EXISTS (SELECT 1 FROM episodes WHERE task = texts.id)" + "".join(
    f" AND NOT EXISTS (SELECT 1 FROM situations WHERE {part} = texts.id)"
    for part in ("task", "observation", "actions", "subtask")
)

_HEADER = 100  # bytes at the start of an SQLite file: page size at 16, number of pages at 28


def _rows(store: SQLiteStore, query: str, *values: object) -> list[tuple[Any, ...]]:
    with store._session.reading() as sql:
        return sql.execute(query, values).fetchall()


def _file(store: SQLiteStore) -> tuple[list[str], str]:
    wrong = [text for (text,) in _rows(store, "PRAGMA integrity_check") if text != "ok"]
    wrong += [
        f"row {row} of {table} names a row of {parent} that is not there"
        for table, row, parent, _ in _rows(store, "PRAGMA foreign_key_check")
    ]
    return wrong, "SQLite finds its pages, indexes and references whole"


def _texts(store: SQLiteStore) -> tuple[list[str], str]:
    wrong, count = [], 0
    with store._session.reading() as sql:
        for number, name, text in sql.execute("SELECT id, digest, text FROM texts"):
            count += 1
            if digest(decode(text)) != name:
                wrong.append(f"text {number} is not the one its digest is of")
    return wrong, f"{count} texts, equal to their digests"


def _unused(store: SQLiteStore) -> tuple[list[str], str]:
    wrong = [
        f"situation {number} belongs to no episode"
        for (number,) in _rows(store, f"SELECT id {_UNUSED_SITUATIONS}")
    ]
    wrong += [f"text {number} belongs to nothing" for (number,) in _rows(store, f"SELECT id {_UNUSED_TEXTS}")]
    return wrong, "nothing is kept that no episode has"


def _derived(store: SQLiteStore) -> tuple[list[str], str]:
    """Of what the store gives as absent, what is there and cannot be read."""
    wrong = []
    for view, mark, image in _rows(store, "SELECT name, mark IS NOT NULL, image IS NOT NULL FROM views"):
        if mark and store.mark(view) is None:
            wrong.append(f"the mark of view {view} cannot be read")
        if image and store.image(view) is None:
            wrong.append(f"the image of view {view} cannot be read")
    return wrong, "marks and images of all views can be read"


CHECKS: Mapping[str, Callable[[SQLiteStore], tuple[list[str], str]]] = {
    "file": _file,
    "texts": _texts,
    "unused": _unused,
    "derived": _derived,
}
"""By name: what is wrong, and what to say where nothing is."""


def leftover_features(store: SQLiteStore, texts: Mapping[str, set[bytes]]) -> set[FeatureKey]:
    """Stored features of none of these texts, whose digests are given by fingerprint."""
    query = "SELECT digest FROM features WHERE fingerprint = ?"
    return {
        (fingerprint, name)
        for fingerprint, known in texts.items()
        for (name,) in _rows(store, query, fingerprint)
        if name not in known
    }


def mend(store: SQLiteStore) -> None:
    """Makes the indexes anew and deletes what nothing uses. Within ``write()``."""
    sql = store._session.writer
    sql.execute("REINDEX")
    for table in ("experiences", "images"):
        sql.execute(f"DELETE FROM {table} WHERE view NOT IN (SELECT id FROM views)")
    sql.execute("DELETE FROM experiences WHERE situation NOT IN (SELECT id FROM situations)")
    sql.execute(f"DELETE {_UNUSED_SITUATIONS}")
    sql.execute(f"DELETE {_UNUSED_TEXTS}")
    # Whoever keeps ids in mind must not trust them any more.
    sql.execute(
        "UPDATE meta SET value = (SELECT value FROM meta WHERE name = 'revision') WHERE name = 'deleted'"
    )


# -- saving what can still be read -----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Wreck:
    """A damaged file. ``settings``: of its views, as far as they can be read."""

    session: SQLiteSession
    settings: Mapping[str, Any]

    def episodes(self) -> Iterator[Episode | str]:
        """Its episodes, one at a time in no order; for one that cannot be read, what is wrong with it."""
        for number in range(1, self._highest() + 1):
            name = f"episode number {number}"
            try:
                head = self._one(
                    "SELECT number, id, sequence, recorded_s, task, task_id, source, split, model, trust,"
                    " status, cause, corrections, start, final FROM episodes WHERE number = ?",
                    number,
                )
                if head:
                    name = f"episode {decode(head[1])!r}"
                    yield self._episode(head)
                elif self._one(
                    "SELECT 1 FROM transitions WHERE episode = ?", number
                ):  # else it was forgotten
                    yield f"{name}: it is gone, only steps of it are there"
            except ExperienceMemoryError as error:
                yield f"{name}: {error.__cause__ or error}"
            except (RlemError, ValueError, TypeError, LookupError) as error:
                yield f"{name}: {error}"

    def _episode(self, head: tuple[Any, ...]) -> Episode:
        query = (
            "SELECT step, situation, action, reward, reason FROM transitions WHERE episode = ? ORDER BY step"
        )
        steps = self._all(query, head[0])
        if [row[0] for row in steps] != list(range(len(steps))):
            raise DataError("some of its steps are missing")
        used = {row[1] for row in steps} | ({head[-1]} - {None})
        situations = {number: self._situation(number) for number in used}
        task, sound = self._text(head[4])
        if not sound and all(situation.task != task for situation in situations.values()):
            raise DataError("the text of its task is damaged")
        return episode_of(head, task, [row[1:] for row in steps], situations)

    def _situation(self, number: int) -> Situation:
        query = "SELECT key, task, observation, actions, subtask FROM situations WHERE id = ?"
        key, *parts = self._needed(query, number)
        (task, a), (observation, b), (actions, c), (subtask, d) = map(self._text, parts)
        found = Situation(
            task=task, observation=observation, actions=tuple(json.loads(actions)), subtask=subtask
        )
        if found.key != key and not (a and b and c and d):
            raise DataError("a text of one of its situations is damaged")
        return found

    def _text(self, number: int) -> tuple[str, bool]:
        """A text, and whether it is the one its digest is of."""
        name, text = self._needed("SELECT digest, text FROM texts WHERE id = ?", number)
        return decode(text), digest(decode(text)) == name

    def _highest(self) -> int:
        highest = 0
        for query in (
            "SELECT seq FROM sqlite_sequence WHERE name = 'episodes'",
            "SELECT max(number) FROM episodes",
            "SELECT max(episode) FROM transitions",
        ):
            try:
                highest = max(highest, *(self._one(query) or (0,)))
            except (ExperienceMemoryError, TypeError):  # damaged there, or nothing at all
                continue
        return highest

    def _all(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        with self.session.reading() as sql:
            return sql.execute(query, values).fetchall()

    def _needed(self, query: str, number: int) -> tuple[Any, ...]:
        found = self._one(query, number)
        if not found:
            raise DataError("its steps are gone, or their texts")
        return found

    def _one(self, query: str, *values: object) -> tuple[Any, ...]:
        return next(iter(self._all(query, *values)), ())


@contextmanager
def wreck(path: Path, workplace: Path) -> Iterator[Wreck]:
    """A damaged file, opened by way of a copy in ``workplace``; the file itself stays as it is.

    Errors: ExperienceMemoryError where so much is lost that not even the tables are found, or none were.
    """
    with TemporaryDirectory(prefix="rlem-", dir=workplace) as folder:
        copy = Path(folder) / path.name
        for end in ("", "-wal"):
            if Path(f"{path}{end}").exists():
                shutil.copyfile(f"{path}{end}", f"{copy}{end}")
        _fill_up(copy)
        try:
            opened = SQLiteSession(copy, read_only=True, timeout_s=60.0)
        except ExperienceMemoryError as error:
            raise type(error)(str(error).replace(str(copy), str(path))) from error
        with closing(opened) as session:
            found = Wreck(session, {})
            yield Wreck(session, _settings(found))


def _settings(found: Wreck) -> dict[str, Any]:
    settings: dict[str, Any] = {}
    try:
        for name, text in found._all("SELECT name, settings FROM views ORDER BY id"):
            settings[name] = text
            settings[name] = json.loads(text)
    except (ExperienceMemoryError, ValueError, TypeError):
        pass
    return settings


def _fill_up(path: Path) -> None:
    """Gives a file that was cut off its length back, by empty pages: of a short one SQLite reads nothing."""
    with path.open("r+b") as file:
        header = file.read(_HEADER)
        size = int.from_bytes(header[16:18], "big")
        whole = (65536 if size == 1 else size) * int.from_bytes(header[28:32], "big")
        if header.startswith(b"SQLite format 3") and file.seek(0, 2) < whole:
            file.truncate(whole)
