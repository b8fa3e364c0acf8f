"""The log and its situations as rows of PostgreSQL tables, and back. ``sql`` is the open transaction's."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from rlem.core.errors import EpisodeConflictError
from rlem.core.types import Episode, Situation
from rlem.memory.codec import canonical
from rlem.memory.postgres_session import Session
from rlem.memory.rows import decode, episode_of, pack_corrections, start_of
from rlem.memory.store import Derived
from rlem.similarity.fields import digest

SQL = Callable[[str, Sequence[Any]], Any]
"""Runs a statement with its parameters and returns the cursor."""

_SITUATION = "s.key, t.text, o.text, a.text, u.text"
_TEXTS = (
    " LEFT JOIN texts t ON t.digest = s.task LEFT JOIN texts o ON o.digest = s.observation"
    " LEFT JOIN texts a ON a.digest = s.actions LEFT JOIN texts u ON u.digest = s.subtask"
)


def encode(text: str) -> bytes:
    """Any text as bytes: PostgreSQL's own texts hold neither NUL nor lone surrogates."""
    return text.encode("utf-8", "surrogatepass")


def name(episode_id: str) -> bytes:
    """What an episode's id is looked up by: an index takes no entry longer than a third of a page."""
    return hashlib.sha256(encode(episode_id)).digest()


def key(situation: Situation) -> bytes:
    """Content key of a situation, in half the bytes."""
    return bytes.fromhex(situation.key)


def columns(rows: Iterable[tuple[Any, ...]], width: int) -> list[list[Any]]:
    """Rows as the columns that unnest() takes."""
    return [list(column) for column in zip(*rows, strict=True)] or [[] for _ in range(width)]


# -- the log -----------------------------------------------------------------------------------------


def append(sql: SQL, episode: Episode, revision: int, location: str) -> None:
    """Adds an episode to the log, and what of its situations and texts is not there yet."""
    visited = [item.situation for item in episode.transitions] + ([episode.final] if episode.final else [])
    parts = {
        key(s): (s.task, s.observation, canonical(list(s.actions)), s.subtask) for s in dict.fromkeys(visited)
    }
    texts = {digest(text): encode(text) for part in (*parts.values(), (episode.task,)) for text in part}
    situations = [(k, *map(digest, part)) for k, part in parts.items()]
    steps = [
        (step, key(t.situation), None if t.action is None else encode(t.action), t.reward, encode(t.reason))
        for step, t in enumerate(episode.transitions)
    ]
    stored = sql(
        "WITH e AS (INSERT INTO episodes (id, sequence, recorded_s, task, task_id, source, split, model,"
        " trust, status, cause, start, final, revision, corrections)"
        " VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)"
        " ON CONFLICT (sha256(id)) DO NOTHING RETURNING number),"
        " t AS (INSERT INTO texts SELECT * FROM unnest(%b::bytea[], %b::bytea[])"
        " WHERE EXISTS (SELECT FROM e) ON CONFLICT DO NOTHING),"
        " s AS (INSERT INTO situations"
        " SELECT * FROM unnest(%b::bytea[], %b::bytea[], %b::bytea[], %b::bytea[], %b::bytea[])"
        " WHERE EXISTS (SELECT FROM e) ON CONFLICT DO NOTHING),"
        " x AS (INSERT INTO transitions SELECT e.number, u.*"
        " FROM e, unnest(%b::int[], %b::bytea[], %b::bytea[], %b::float8[], %b::bytea[]) u)"
        " SELECT number FROM e",
        (
            encode(episode.id),
            episode.sequence,
            episode.recorded_s,
            digest(episode.task),
            *map(encode, (episode.task_id, episode.source, episode.split, episode.model)),
            episode.trust,
            episode.status,
            encode(episode.cause),
            start_of(episode),
            key(episode.final) if episode.final else None,
            revision,
            pack_corrections(episode.corrections),
            *columns(texts.items(), 2),
            *columns(situations, 5),
            *columns(steps, 5),
        ),
    ).fetchone()
    if stored is None:
        raise EpisodeConflictError(f"episode {episode.id!r} is already in the memory {location}")


def amend(sql: SQL, episode: Episode) -> None:
    """Gives a stored episode other rewards, corrections and place; LookupError if none has so many steps."""
    ((found,),) = sql(
        "WITH e AS (SELECT number FROM episodes WHERE sha256(id) = %s"
        " AND (SELECT count(*) FROM transitions WHERE episode = number) = %s),"
        " c AS (UPDATE episodes o SET sequence = %s, corrections = %s FROM e WHERE o.number = e.number),"
        " t AS (UPDATE transitions o SET reward = u.reward"
        " FROM e, unnest(%b::float8[]) WITH ORDINALITY u (reward, place)"
        " WHERE o.episode = e.number AND o.step = u.place - 1 AND o.reward <> u.reward)"
        " SELECT count(*) FROM e",
        (
            name(episode.id),
            len(episode.transitions),
            episode.sequence,
            pack_corrections(episode.corrections),
            [item.reward for item in episode.transitions],
        ),
    ).fetchall()
    if not found:
        raise LookupError(f"there is no episode {episode.id!r} of {len(episode.transitions)} steps")


def delete(sql: SQL, episode_ids: Sequence[str]) -> None:
    """Takes episodes out of the log, and of what they used all that nothing else uses."""
    ((situations, texts),) = sql(
        "WITH e AS (DELETE FROM episodes WHERE sha256(id) = ANY(%b) RETURNING number, task, final),"
        " t AS (DELETE FROM transitions WHERE episode IN (SELECT number FROM e) RETURNING situation)"
        " SELECT ARRAY(SELECT situation FROM t UNION SELECT final FROM e WHERE final IS NOT NULL),"
        " ARRAY(SELECT DISTINCT task FROM e)",
        ([name(episode_id) for episode_id in episode_ids],),
    ).fetchall()
    unused = sql(
        "DELETE FROM situations s WHERE key = ANY(%b)"
        " AND NOT EXISTS (SELECT FROM transitions WHERE situation = s.key)"
        " AND NOT EXISTS (SELECT FROM episodes WHERE final = s.key)"
        " RETURNING key, task, observation, actions, subtask",
        (situations,),
    ).fetchall()
    gone = [row[0] for row in unused]
    sql("DELETE FROM experiences WHERE situation = ANY(%b)", (gone,))
    sql(
        "DELETE FROM texts d WHERE digest = ANY(%b)"
        " AND NOT EXISTS (SELECT FROM episodes WHERE task = d.digest)"
        " AND NOT EXISTS (SELECT FROM situations WHERE task = d.digest)"
        " AND NOT EXISTS (SELECT FROM situations WHERE observation = d.digest)"
        " AND NOT EXISTS (SELECT FROM situations WHERE actions = d.digest)"
        " AND NOT EXISTS (SELECT FROM situations WHERE subtask = d.digest)",
        (list({*texts, *(part for row in unused for part in row[1:])}),),
    )


def fetch(
    session: Session, where: str, values: Sequence[object], limit: int, situations: dict[bytes, Situation]
) -> list[Episode]:
    """The first episodes of the log, in canonical order, for which a condition holds.

    ``situations`` are those known already, and more are added. Errors: LookupError, ValueError or TypeError
    if one is damaged.
    """
    which = f"WHERE {where} ORDER BY sequence, id LIMIT {limit}"
    heads = (
        "SELECT e.number, id, sequence, recorded_s, x.text, task_id, source, split, model, trust, status,"
        " cause, corrections, start, final, t.* FROM episodes e LEFT JOIN texts x ON x.digest = e.task,"
        " LATERAL (SELECT array_agg(situation), array_agg(action), array_agg(reward), array_agg(reason)"
        f" FROM (SELECT * FROM transitions WHERE episode = e.number ORDER BY step) o) t {which}"
    )
    visited = (
        f"WITH w AS (SELECT number, final FROM episodes e {which}) SELECT {_SITUATION} FROM situations s"
        f"{_TEXTS} WHERE s.key IN (SELECT situation FROM transitions WHERE episode IN (SELECT number FROM w)"
        " UNION SELECT final FROM w)"
    )
    shared: dict[object, Any] = {}
    # What is new in the log is mostly little, and others wait for who learns it: all of it in one round trip.
    found, *first = session.send([(heads, values), *([] if situations else [(visited, values)])])
    for cursor in first:
        situations.update((row[0], _situation(row, shared)) for row in cursor)
    episodes = [(row[:-4], list(zip(*(c or () for c in row[-4:]), strict=True))) for row in found]
    wanted = {step[0] for _, steps in episodes for step in steps} | {head[-1] for head, _ in episodes}
    if missing := wanted - {None} - situations.keys():
        rows = session.sql(
            f"SELECT {_SITUATION} FROM situations s{_TEXTS} WHERE s.key = ANY(%b)", (list(missing),)
        )
        situations.update((row[0], _situation(row, shared)) for row in rows)
    return [episode_of(head, _text(head[4]), steps, situations) for head, steps in episodes]


# -- experiences -------------------------------------------------------------------------------------


def derived(sql: SQL, where: str, values: Sequence[object]) -> Iterator[Derived]:
    """The experiences for which a condition on ``x`` holds; errors as ``fetch``."""
    rows = sql(
        f"SELECT {_SITUATION}, x.state FROM experiences x LEFT JOIN situations s ON s.key = x.situation"
        f"{_TEXTS} WHERE {where}",
        values,
    )
    shared: dict[object, Any] = {}
    for *situation, state in rows:
        yield _situation(situation, shared), None if state is None else json.loads(state)


def _situation(row: Sequence[Any], shared: dict[object, Any]) -> Situation:
    """A situation of its row; ``shared``: texts that many situations have, each to be kept once."""
    found, task, observation, actions, subtask = row
    if actions not in shared:
        shared[actions] = tuple(json.loads(_text(actions)))
    situation = Situation(
        task=shared.setdefault((task,), _text(task)),
        observation=_text(observation),
        actions=shared[actions],
        subtask=shared.setdefault((subtask,), _text(subtask)),
    )
    situation.__dict__["key"] = found.hex()  # the cached property, known already
    return situation


def _text(value: bytes | None) -> str:
    if value is None:
        raise LookupError("a text is missing")
    return decode(value)
