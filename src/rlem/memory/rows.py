"""An episode as the row that both SQL engines keep of it, and back."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple
from typing import Any, cast

from rlem.core.errors import DataError
from rlem.core.types import Controlled, Correction, Episode, Situation, Status, Transition, Trust
from rlem.memory.codec import canonical, controlled_from_json, controlled_to_json
from rlem.memory.corrections import corrected


def decode(value: str | bytes) -> str:
    """A kept text: bytes are UTF-8 with lone surrogates, which no SQL text holds."""
    return value.decode("utf-8", "surrogatepass") if isinstance(value, bytes) else value


def episode_of(
    head: Sequence[Any], task: str, steps: Iterable[Sequence[Any]], situations: Mapping[Any, Situation]
) -> Episode:
    """An episode of its row (number, id, sequence, recorded_s, task, task_id, source, split, model, trust,
    status, cause, corrections, start, final) and the rows of its steps (situation, action, reward, reason).

    ``situations``: by what the rows name them with. Errors: ValueError, TypeError, LookupError for rows that
    are damaged.
    """
    _, identity, sequence, recorded_s, _, *texts, corrections, start, final = head
    task_id, source, split, model, trust, status, cause = texts
    history, last_reward, total_reward, *controlled = json.loads(start)
    return Episode(
        id=decode(identity),
        task=task,
        transitions=tuple(
            Transition(
                situation=situations[situation],
                action=None if action is None else decode(action),
                reward=reward,
                reason=decode(reason),
            )
            for situation, action, reward, reason in steps
        ),
        status=cast(Status, status),
        task_id=decode(task_id),
        source=decode(source),
        split=decode(split),
        model=decode(model),
        trust=cast(Trust, trust),
        cause=decode(cause),
        final=situations[final] if final is not None else None,
        history=tuple(history),
        last_reward=last_reward,
        total_reward=total_reward,
        corrections=corrections_of(corrections),
        controlled=_controlled(controlled[0]) if controlled else None,
        sequence=sequence,
        recorded_s=recorded_s,
    )


def start_of(episode: Episode) -> str:
    """What an episode's row keeps of what went before its first step: history, rewards, what was withheld."""
    start: list[Any] = [list(episode.history), episode.last_reward, episode.total_reward]
    if episode.controlled is not None:
        start.append(controlled_to_json(episode.controlled))
    return canonical(start)


def _controlled(data: object) -> Controlled | None:
    try:
        return controlled_from_json(data)
    except DataError as error:  # a row that is damaged, as any other
        raise ValueError(str(error)) from error


def pack_corrections(corrections: Iterable[Correction]) -> str:
    """Corrections as the text that an episode's row keeps."""
    return canonical([astuple(item) for item in corrections])


def corrections_of(text: str) -> tuple[Correction, ...]:
    """The corrections of such a text."""
    return tuple(
        Correction(step=step, was=was, now=now, reason=reason, revision=revision, recorded_s=recorded_s)
        for step, was, now, reason, revision, recorded_s in json.loads(text)
    )


def as_of(episode: Episode, revision: int) -> Episode:
    """An episode with the rewards that it had at a revision of its memory."""
    return corrected(episode, [item for item in episode.corrections if item.revision <= revision])
