"""Episodes and experiences as canonical JSON: for stores, exports and the canonical hash.

Canonical means: sorted keys, no blanks, floats as Python's shortest round-trip text, lone surrogates
escaped (plain ASCII output). Equal content gives equal bytes on every machine.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict
from numbers import Real
from typing import Any, cast

from rlem.core.errors import DataError, UsageError
from rlem.core.types import Control, Controlled, Correction, Episode, Situation, Status, Transition, Trust
from rlem.memory.experience import Experience

STATUSES = ("terminated", "truncated", "broken")
TRUSTS = ("verified", "unverified", "quarantined")
MAX_NUMBER = 1e100
"""Rewards are at most so large: squares and sums of them stay finite."""
MAX_SEQUENCE = 2**53


def finite(value: object) -> float | None:
    """A number as it is kept: a finite float of at most MAX_NUMBER, 0.0 for -0.0; None for anything else."""
    try:
        number = float(value) if isinstance(value, Real) else math.nan
    except OverflowError:
        return None
    return number + 0.0 if abs(number) <= MAX_NUMBER else None


def canonical(value: object) -> str:
    """Canonical JSON text. NaN and infinities are refused: a reward is a finite number."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def situation_to_json(situation: Situation) -> dict[str, Any]:
    """A situation as a JSON object."""
    return {
        "task": situation.task,
        "observation": situation.observation,
        "actions": list(situation.actions),
        "subtask": situation.subtask,
    }


def situation_from_json(data: Mapping[str, Any]) -> Situation:
    """The situation of such an object; DataError where it is not one."""
    return Situation(
        task=_text(data, "task"),
        observation=_text(data, "observation"),
        actions=tuple(_texts(data, "actions")),
        subtask=_text(data, "subtask", ""),
    )


def episode_to_json(episode: Episode, *, content_only: bool = False) -> dict[str, Any]:
    """An episode as a JSON object; ``content_only`` leaves out its place and time (for hashing)."""
    data: dict[str, Any] = {
        "id": episode.id,
        "task": episode.task,
        "task_id": episode.task_id,
        "source": episode.source,
        "split": episode.split,
        "model": episode.model,
        "trust": episode.trust,
        "status": episode.status,
        "cause": episode.cause,
        "history": list(episode.history),
        "last_reward": episode.last_reward,
        "total_reward": episode.total_reward,
        "final": situation_to_json(episode.final) if episode.final else None,
        "transitions": [
            {
                "situation": situation_to_json(t.situation),
                "action": t.action,
                "reward": t.reward,
                "reason": t.reason,
            }
            for t in episode.transitions
        ],
    }
    if episode.corrections:
        data["corrections"] = [
            {"step": c.step, "was": c.was, "now": c.now, "reason": c.reason}
            | ({} if content_only else {"recorded_s": c.recorded_s})
            for c in episode.corrections
        ]
    if episode.controlled is not None:  # others stay what older versions wrote, and keep their hash
        data["controlled"] = controlled_to_json(episode.controlled)
    if not content_only:
        data["sequence"] = episode.sequence
        data["recorded_s"] = episode.recorded_s
    return data


def episode_from_json(data: Mapping[str, Any]) -> Episode:
    """The episode of such an object; DataError says which part is missing or of the wrong kind."""
    status, trust = _text(data, "status", "terminated"), _text(data, "trust", "unverified")
    if status not in STATUSES:
        raise DataError(f"episode status {status!r} is not known: expected one of {', '.join(STATUSES)}")
    if trust not in TRUSTS:
        raise DataError(f"episode trust {trust!r} is not known: expected one of {', '.join(TRUSTS)}")
    transitions = data.get("transitions")
    if not isinstance(transitions, list):
        raise DataError("an episode needs a list 'transitions'")
    corrections = data.get("corrections", [])
    if not isinstance(corrections, list):
        raise DataError("'corrections' must be a list")
    final = data.get("final")
    return Episode(
        id=_text(data, "id"),
        task=_text(data, "task"),
        task_id=_text(data, "task_id", ""),
        source=_text(data, "source", ""),
        split=_text(data, "split", ""),
        model=_text(data, "model", ""),
        trust=cast(Trust, trust),
        status=cast(Status, status),
        cause=_text(data, "cause", ""),
        history=tuple(_texts(data, "history")),
        last_reward=_number(data, "last_reward", 0.0),
        total_reward=_number(data, "total_reward", 0.0),
        final=situation_from_json(_mapping(final, "final")) if final is not None else None,
        transitions=tuple(_transition(_mapping(item, "transition")) for item in transitions),
        corrections=tuple(
            _correction(_mapping(item, "correction"), len(transitions)) for item in corrections
        ),
        controlled=controlled_from_json(data.get("controlled")),
        sequence=_sequence(data),
        recorded_s=_number(data, "recorded_s", 0.0),
    )


def controlled_to_json(controlled: Controlled) -> dict[str, Any]:
    """What was withheld from an episode, as a JSON object."""
    return asdict(controlled) | {"tried": [list(item) for item in controlled.tried]}


def controlled_from_json(data: object) -> Controlled | None:
    """What such an object says; None for null. DataError where it is neither."""
    if data is None:
        return None
    try:
        found = _mapping(data, "controlled")
        control = Control(**_mapping(found.get("control"), "controlled.control"))
        withheld, success, tried = found["withheld"], found["success"], found["tried"]
        flags = [control.guard, withheld, *(held for _, held in tried)]
        if not all(isinstance(flag, bool) for flag in flags) or not isinstance(success, bool | None):
            raise TypeError("a flag is not true or false")
        if not all(isinstance(key, str) for key, _ in tried):
            raise TypeError("a key is not a text")
    except (TypeError, ValueError, LookupError, UsageError) as error:
        raise DataError(f"'controlled' does not say what was withheld: {error}") from error
    pairs = tuple((key, held) for key, held in tried)
    return Controlled(control=control, withheld=withheld, tried=pairs, success=success)


def experience_to_json(experience: Experience) -> dict[str, Any]:
    """The derived values of an experience as a JSON object (its situation by key)."""
    return {
        "key": experience.key,
        "history": list(experience.history),
        "last_reward": experience.last_reward,
        "total_reward": experience.total_reward,
        "visits": experience.visits,
        "actions": [
            [a.action, a.visits, a.q_value, a.m2, a.reward_mean, a.verified_visits, a.verified_q_value]
            for a in experience.actions
        ],
    }


def _transition(data: Mapping[str, Any]) -> Transition:
    action = data.get("action")
    if action is not None and not isinstance(action, str):
        raise DataError(f"a transition's action must be a text or null, not {type(action).__name__}")
    return Transition(
        situation=situation_from_json(_mapping(data.get("situation"), "situation")),
        action=action,
        reward=_number(data, "reward"),
        reason=_text(data, "reason", ""),
    )


def _correction(data: Mapping[str, Any], steps: int) -> Correction:
    step = data.get("step")
    if not isinstance(step, int) or not 0 <= step < steps:
        raise DataError(f"a correction's 'step' must be a number from 0 to {steps - 1}, got {step!r}")
    return Correction(
        step=step,
        was=_number(data, "was"),
        now=_number(data, "now"),
        reason=_text(data, "reason", ""),
        recorded_s=_number(data, "recorded_s", 0.0),
    )


def _mapping(value: object, what: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise DataError(f"{what} must be an object, not {type(value).__name__}")
    return value


def _text(data: Mapping[str, Any], name: str, default: str | None = None) -> str:
    value = data.get(name, default)
    if not isinstance(value, str):
        raise DataError(f"{name!r} must be a text, got {type(value).__name__}")
    return value


def _texts(data: Mapping[str, Any], name: str) -> list[str]:
    value = data.get(name, [])
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise DataError(f"{name!r} must be a list of texts")
    return value


def _number(data: Mapping[str, Any], name: str, default: float | None = None) -> float:
    value = data.get(name, default)
    number = None if isinstance(value, bool) else finite(value)
    if number is None:
        raise DataError(f"{name!r} must be a finite number, got {value!r}")
    return number


def _sequence(data: Mapping[str, Any]) -> int:
    value = data.get("sequence", 0)
    if isinstance(value, bool) or not isinstance(value, int) or abs(value) > MAX_SEQUENCE:
        raise DataError(f"'sequence' must be a whole number up to {MAX_SEQUENCE}, got {value!r}")
    return value
