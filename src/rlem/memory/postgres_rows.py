"""Episodes and situations as rows of PostgreSQL tables, and back. ``sql`` is the open transaction's."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any

from rlem.core.errors import EpisodeConflictError
from rlem.core.types import Episode, Situation
from rlem.memory.codec import canonical
from rlem.memory.rows import decode, episode_of
from rlem.similarity.fields import digest

SQL = Callable[[str, Sequence[Any]], Any]
"""Runs a statement with its parameters and returns the cursor."""


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


def append(sql: SQL, episode: Episode, location: str) -> None:
    """Adds an episode to the log, and what of its situations and texts is not there yet."""
    visited = [item.situation for item in episode.transitions] + ([episode.final] if episode.final else [])
    parts = {
        key(s): (s.task, s.observation, canonical(list(s.actions)), s.subtask) for s in dict.fromkeys(visited)
    }
    texts = {digest(text): text for part in parts.values() for text in part}
    texts[digest(episode.task)] = episode.task
    ((taken, known, held),) = sql(
        "SELECT EXISTS (SELECT FROM episodes WHERE sha256(id) = %s),"
        " ARRAY(SELECT key FROM situations WHERE key = ANY(%s)),"
        " ARRAY(SELECT digest FROM texts WHERE digest = ANY(%s))",
        (name(episode.id), list(parts), list(texts)),
    ).fetchall()
    if taken:
        raise EpisodeConflictError(f"episode {episode.id!r} is already in the memory {location}")
    new_texts = [(d, encode(text)) for d, text in texts.items() if d not in set(held)]
    new_situations = [(k, *map(digest, part)) for k, part in parts.items() if k not in set(known)]
    steps = [
        (step, key(t.situation), None if t.action is None else encode(t.action), t.reward, encode(t.reason))
        for step, t in enumerate(episode.transitions)
    ]
    sql(
        "WITH t AS (INSERT INTO texts SELECT * FROM unnest(%s::bytea[], %s::bytea[])),"
        " s AS (INSERT INTO situations"
        " SELECT * FROM unnest(%s::bytea[], %s::bytea[], %s::bytea[], %s::bytea[], %s::bytea[])),"
        " e AS (INSERT INTO episodes (id, sequence, recorded_s, task, task_id, source, split, model, trust,"
        " status, cause, start, final) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)"
        " RETURNING number)"
        " INSERT INTO transitions SELECT e.number, u.*"
        " FROM e, unnest(%s::int[], %s::bytea[], %s::bytea[], %s::float8[], %s::bytea[]) u",
        (
            *columns(new_texts, 2),
            *columns(new_situations, 5),
            encode(episode.id),
            episode.sequence,
            episode.recorded_s,
            digest(episode.task),
            *map(encode, (episode.task_id, episode.source, episode.split, episode.model)),
            episode.trust,
            episode.status,
            encode(episode.cause),
            canonical([list(episode.history), episode.last_reward, episode.total_reward]),
            key(episode.final) if episode.final else None,
            *columns(steps, 5),
        ),
    )


def fetch(sql: SQL, where: str, value: object, situations: dict[bytes, Situation]) -> list[Episode]:
    """Episodes of the log in canonical order; LookupError, ValueError or TypeError if one is damaged.

    ``situations`` are those known already, and more are added.
    """
    heads = sql(
        "SELECT number, id, sequence, recorded_s, task, task_id, source, split, model, trust, status,"
        f" cause, start, final FROM episodes WHERE {where} ORDER BY sequence, id",
        (value,),
    ).fetchall()
    steps: dict[int, list[tuple[Any, ...]]] = {head[0]: [] for head in heads}
    for number, *step in sql(
        "SELECT episode, situation, action, reward, reason FROM transitions WHERE episode = ANY(%s)"
        " ORDER BY episode, step",
        (list(steps),),
    ):
        steps[number].append(tuple(step))
    wanted = {step[0] for found in steps.values() for step in found}
    fill(sql, wanted | {head[-1] for head in heads if head[-1] is not None}, situations)
    tasks = _texts(sql, {head[4] for head in heads})
    return [episode_of(head, tasks[head[4]], steps[head[0]], situations) for head in heads]


def fill(sql: SQL, keys: Collection[bytes], situations: dict[bytes, Situation]) -> None:
    """Fetches the situations of these keys that are not there yet."""
    missing = [wanted for wanted in keys if wanted not in situations]
    if not missing:
        return
    rows = sql(
        "SELECT key, task, observation, actions, subtask FROM situations WHERE key = ANY(%s)", (missing,)
    ).fetchall()
    texts = _texts(sql, {part for row in rows for part in row[1:]})
    for found, task, observation, actions, subtask in rows:
        situation = Situation(
            task=texts[task],
            observation=texts[observation],
            actions=tuple(json.loads(texts[actions])),
            subtask=texts[subtask],
        )
        situation.__dict__["key"] = found.hex()  # the cached property, known already
        situations[found] = situation


def _texts(sql: SQL, digests: Collection[bytes]) -> dict[bytes, str]:
    if not digests:
        return {}
    rows = sql("SELECT digest, text FROM texts WHERE digest = ANY(%s)", (list(digests),))
    return {found: decode(text) for found, text in rows}
