"""The log of a memory in an SQLite file: episodes, and the texts and situations that they share."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from itertools import islice
from typing import Any, TypeVar, cast

from rlem.core.errors import EpisodeConflictError, MemoryCorruptError
from rlem.core.types import Episode, Situation
from rlem.memory.codec import canonical
from rlem.memory.rows import as_of, decode, episode_of, pack_corrections, start_of
from rlem.memory.sqlite_session import SQLiteSession
from rlem.memory.store import Place
from rlem.similarity.fields import digest

BATCH = 500
"""Values in one statement, at most."""
EPISODES_AT_ONCE = 100
REMEMBERED = 1 << 15
"""Ids of texts and situations that a writer keeps in mind, at most."""

SITUATION = (
    "s.key, t.text, o.text, a.text, u.text{more} FROM {source} JOIN texts t ON t.id = s.task"
    " JOIN texts o ON o.id = s.observation JOIN texts a ON a.id = s.actions JOIN texts u ON u.id = s.subtask"
)
"""What ``situation_of`` needs."""

Item = TypeVar("Item")


class SQLiteLog:
    """The half of ``SQLiteStore`` that keeps the log."""

    def __init__(self, session: SQLiteSession) -> None:
        self._session = session
        self._revision = 0
        self._known: dict[str | bytes, int] = {}
        """Ids of situations by key, of texts by digest: as long as no id may have been given again."""
        self._given: tuple[int, int] | None = None

    @property
    def location(self) -> str:
        return str(self._session.path)

    @property
    def read_only(self) -> bool:
        return self._session.read_only

    def revision(self) -> int:
        return int(self._one("SELECT value FROM meta WHERE name = 'revision'")[0])

    @contextmanager
    def write(self) -> Iterator[None]:
        with self._session.writing() as sql:
            meta = dict(sql.execute("SELECT name, value FROM meta"))
            self._revision = meta["revision"] + 1
            given = meta["deleted"], self._session.rollbacks
            if given != self._given:
                self._known.clear()
                self._given = given
            self._put_meta("revision")
            yield

    @contextmanager
    def read(self) -> Iterator[None]:
        with self._session.snapshot():
            yield

    def close(self) -> None:
        self._session.close()

    def erase(self) -> None:
        self._session.erase()

    def _put_meta(self, name: str) -> None:
        """Keeps the open write's revision under that name."""
        self._session.writer.execute("UPDATE meta SET value = ? WHERE name = ?", (self._revision, name))

    def _one(self, query: str, *values: object) -> tuple[Any, ...]:
        with self._session.reading() as sql:
            return cast("tuple[Any, ...]", sql.execute(query, values).fetchone() or ())

    def _all(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        with self._session.reading() as sql:
            return sql.execute(query, values).fetchall()

    # -- the log -------------------------------------------------------------------------------------

    def episodes(self, *, after: Place | None = None) -> Iterator[Episode]:
        if after is None:
            return self._log("1")
        return self._log("(sequence, id) > (?, ?)", after[0], _bytes(after[1]))

    def episodes_until(self, revision: int) -> Iterator[Episode]:
        return (as_of(episode, revision) for episode in self._log("revision <= ?", revision))

    def episode(self, episode_id: str) -> Episode | None:
        return next(self._log("id = ?", _bytes(episode_id)), None)

    def _log(self, where: str, *values: object) -> Iterator[Episode]:
        """Episodes in canonical order, some at a time; what others forget meanwhile is left out."""
        query = f"SELECT number FROM episodes WHERE {where} ORDER BY sequence, id"
        for some in batches(self._all(query, *values), EPISODES_AT_ONCE):
            yield from self._episodes([number for (number,) in some])

    def _episodes(self, numbers: Sequence[int]) -> list[Episode]:
        steps: dict[int, list[Any]] = {number: [] for number in numbers}
        with self._session.snapshot() as sql:
            heads = {
                row[0]: row
                for row in each(
                    sql,
                    "SELECT number, e.id, sequence, recorded_s, text, task_id, source, split, model, trust,"
                    " status, cause, corrections, start, final"
                    " FROM episodes e LEFT JOIN texts t ON t.id = e.task WHERE number IN ()",
                    numbers,
                )
            }
            for number, *step in each(
                sql,
                "SELECT episode, situation, action, reward, reason FROM transitions WHERE episode IN ()"
                " ORDER BY episode, step",
                numbers,
            ):
                steps[number].append(step)
            used = {step[0] for some in steps.values() for step in some}
            used.update(row[-1] for row in heads.values() if row[-1] is not None)
            query = SITUATION.format(more="", source="situations s")
            rows = list(each(sql, f"SELECT s.id, {query} WHERE s.id IN ()", list(used)))
        identity: object = None
        try:
            situations = {row[0]: situation_of(row[1:]) for row in rows}
            found = []
            for head in (heads[number] for number in numbers if number in heads):
                identity = head[1]
                if head[4] is None:
                    raise LookupError("the text of its task is not there")
                found.append(episode_of(head, decode(head[4]), steps[head[0]], situations))
            return found
        except (ValueError, TypeError, LookupError) as error:
            raise MemoryCorruptError(
                f"{self.location} is damaged: an episode cannot be read ({identity!r}: {error!r}); "
                "restore a copy"
            ) from error

    def last(self) -> Place | None:
        row = self._one("SELECT sequence, id FROM episodes ORDER BY sequence DESC, id DESC LIMIT 1")
        return (row[0], decode(row[1])) if row else None

    def count(self) -> int:
        return int(self._one("SELECT count(*) FROM episodes")[0])

    def episodes_of(self, key: str) -> list[str]:
        rows = self._all(
            "SELECT DISTINCT e.id, e.sequence FROM situations s JOIN transitions t ON t.situation = s.id"
            " JOIN episodes e ON e.number = t.episode WHERE s.key = ? ORDER BY e.sequence, e.id",
            key,
        )
        return [decode(row[0]) for row in rows]

    def find(
        self, *, task: str | None = None, source: str | None = None, before_s: float | None = None
    ) -> list[str]:
        conditions: dict[str, tuple[object, ...]] = {"1": ()}
        if task is not None:
            same_text = "task = (SELECT id FROM texts WHERE digest = ?)"
            conditions[f"({same_text} OR task_id = ?)"] = digest(task), _encode(task)
        if source is not None:
            conditions["source = ?"] = (_encode(source),)
        if before_s is not None:
            conditions["recorded_s < ?"] = (before_s,)
        rows = self._all(
            f"SELECT id FROM episodes WHERE {' AND '.join(conditions)} ORDER BY sequence, id",
            *(value for values in conditions.values() for value in values),
        )
        return [decode(row[0]) for row in rows]

    def append(self, episode: Episode) -> None:
        sql = self._session.writer
        identity = _bytes(episode.id)
        if self._one("SELECT 1 FROM episodes WHERE id = ?", identity):
            raise EpisodeConflictError(f"episode {episode.id!r} is already in the memory {self.location}")
        situations = {step.situation.key: step.situation for step in episode.transitions}
        if episode.final is not None:
            situations[episode.final.key] = episode.final
        task, ids = self._put_situations(episode.task, situations)
        number = sql.execute(
            "INSERT INTO episodes (id, sequence, recorded_s, task, task_id, source, split, model, trust,"
            " status, cause, start, final, revision, corrections)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                identity,
                episode.sequence,
                episode.recorded_s,
                task,
                *map(_encode, (episode.task_id, episode.source, episode.split, episode.model)),
                episode.trust,
                episode.status,
                _encode(episode.cause),
                start_of(episode),
                ids[episode.final.key] if episode.final is not None else None,
                self._revision,
                pack_corrections(episode.corrections),
            ),
        ).lastrowid
        sql.executemany(
            "INSERT INTO transitions VALUES (?, ?, ?, ?, ?, ?)",
            [
                (number, step, ids[t.situation.key], _encode(t.action), t.reward, _encode(t.reason))
                for step, t in enumerate(episode.transitions)
            ],
        )

    def amend(self, episode: Episode) -> None:
        row = self._one(
            "SELECT number, (SELECT count(*) FROM transitions WHERE episode = number) FROM episodes"
            " WHERE id = ?",
            _bytes(episode.id),
        )
        if not row or row[1] != len(episode.transitions):
            raise LookupError(f"there is no episode {episode.id!r} of {len(episode.transitions)} steps")
        sql = self._session.writer
        sql.execute(
            "UPDATE episodes SET sequence = ?, corrections = ? WHERE number = ?",
            (episode.sequence, pack_corrections(episode.corrections), row[0]),
        )
        sql.executemany(
            "UPDATE transitions SET reward = ? WHERE episode = ? AND step = ?",
            [(t.reward, row[0], step) for step, t in enumerate(episode.transitions)],
        )

    def delete(self, episode_ids: Sequence[str]) -> None:
        sql = self._session.writer
        episodes = list(
            each(sql, "SELECT number, task, final FROM episodes WHERE id IN ()", map(_bytes, episode_ids))
        )
        used = "SELECT DISTINCT situation FROM transitions WHERE episode IN ()"
        situations = {row[0] for row in each(sql, used, [row[0] for row in episodes])}
        situations.update(final for _, _, final in episodes if final is not None)
        parts = "SELECT task, observation, actions, subtask FROM situations WHERE id IN ()"
        texts = {text for row in each(sql, parts, situations) for text in row}
        texts.update(task for _, task, _ in episodes)
        sql.executemany("DELETE FROM episodes WHERE number = ?", [(row[0],) for row in episodes])
        sql.executemany(
            "DELETE FROM situations WHERE id = ?1"
            " AND NOT EXISTS (SELECT 1 FROM transitions WHERE situation = ?1)"
            " AND NOT EXISTS (SELECT 1 FROM episodes WHERE final = ?1)",
            [(situation,) for situation in situations],
        )
        users = (
            ("episodes", "task"),
            *(("situations", c) for c in ("task", "observation", "actions", "subtask")),
        )
        unused = "".join(f" AND NOT EXISTS (SELECT 1 FROM {t} WHERE {c} = ?1)" for t, c in users)
        sql.executemany(f"DELETE FROM texts WHERE id = ?1{unused}", [(text,) for text in texts])
        self._known.clear()
        self._put_meta("deleted")

    def rewritten(self) -> int:
        return int(self._one("SELECT value FROM meta WHERE name = 'rewritten'")[0])

    def set_rewritten(self) -> None:
        self._put_meta("rewritten")

    # -- texts and situations ------------------------------------------------------------------------

    def _ids(self, query: str, names: Collection[Any]) -> dict[Any, int]:
        """Ids of what is there of these names; the query gives the name and the id."""
        known = self._known
        found = {name: known[name] for name in names if name in known}
        if len(found) < len(names):
            rows = each(self._session.writer, query, [name for name in names if name not in found])
            found.update(cast("Iterable[tuple[Any, int]]", rows))
            if len(known) > REMEMBERED:
                known.clear()
            known.update(found)
        return found

    def _situation_ids(self, keys: Collection[str]) -> dict[str, int]:
        return self._ids("SELECT key, id FROM situations WHERE key IN ()", keys)

    def _put_texts(self, texts: Collection[str]) -> dict[str, int]:
        """Ids of texts, which are stored if they are new."""
        names = {text: digest(text) for text in texts}
        ids = self._ids("SELECT digest, id FROM texts WHERE digest IN ()", names.values())
        for text, name in names.items():
            if name not in ids:
                insert = "INSERT INTO texts (digest, text) VALUES (?, ?)"
                new = self._session.writer.execute(insert, (name, _encode(text))).lastrowid
                ids[name] = self._known[name] = cast(int, new)
        return {text: ids[name] for text, name in names.items()}

    def _put_situations(self, task: str, situations: Mapping[str, Situation]) -> tuple[int, dict[str, int]]:
        """Ids of the text of a task and of situations by key, which are stored if they are new."""
        ids = self._situation_ids(situations.keys())
        new = {
            key: (s.task, s.observation, canonical(list(s.actions)), s.subtask)
            for key, s in situations.items()
            if key not in ids
        }
        texts = self._put_texts({task}.union(*new.values()))
        for key, parts in new.items():
            insert = (
                "INSERT INTO situations (key, task, observation, actions, subtask) VALUES (?, ?, ?, ?, ?)"
            )
            made = self._session.writer.execute(insert, (key, *(texts[part] for part in parts))).lastrowid
            ids[key] = self._known[key] = cast(int, made)
        return texts[task], ids


def each(
    sql: sqlite3.Connection, query: str, values: Iterable[object], *before: object
) -> Iterator[tuple[Any, ...]]:
    """Rows of a query that ends in ``IN ()`` for any number of values."""
    for some in batches(values, BATCH):
        marks = ",".join("?" * len(some))
        yield from sql.execute(query.replace("IN ()", f"IN ({marks})"), (*before, *some))


def batches(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    rest = iter(items)
    while some := list(islice(rest, size)):
        yield some


def _bytes(text: str) -> bytes:
    """An id as it is kept: as bytes, whose order is Python's, lone surrogates included."""
    return text.encode("utf-8", "surrogatepass")


def _encode(text: str | None) -> str | bytes | None:
    """SQLite holds any text but lone surrogates; such a text is kept as bytes."""
    if text is None or text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return _bytes(text)
    return text


def situation_of(row: Sequence[Any]) -> Situation:
    situation = Situation(
        task=decode(row[1]), observation=decode(row[2]), actions=_actions(row[3]), subtask=decode(row[4])
    )
    situation.__dict__["key"] = row[0]  # the cached property, known already
    return situation


@lru_cache(maxsize=4096)
def _actions(text: str) -> tuple[str, ...]:
    return tuple(json.loads(text))
