"""An episode as the row that both SQL engines keep of it, and back."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

from rlem.core.types import Episode, Situation, Status, Transition, Trust


def decode(value: str | bytes) -> str:
    """A kept text: bytes are UTF-8 with lone surrogates, which no SQL text holds."""
    return value.decode("utf-8", "surrogatepass") if isinstance(value, bytes) else value


def episode_of(
    head: Sequence[Any], task: str, steps: Iterable[Sequence[Any]], situations: Mapping[Any, Situation]
) -> Episode:
    """An episode of its row (number, id, sequence, recorded_s, task, task_id, source, split, model, trust,
    status, cause, start, final) and the rows of its steps (situation, action, reward, reason).

    ``situations``: by what the rows name them with. Errors: ValueError, TypeError, LookupError for rows that
    are damaged.
    """
    _, identity, sequence, recorded_s, _, *texts, start, final = head
    task_id, source, split, model, trust, status, cause = texts
    history, last_reward, total_reward = json.loads(start)
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
        sequence=sequence,
        recorded_s=recorded_s,
    )
