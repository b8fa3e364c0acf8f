"""What may be recorded: an episode in the form it is kept in, or an error that says what is wrong with it."""

from __future__ import annotations

from dataclasses import replace

from rlem.core.errors import UsageError
from rlem.core.types import Episode
from rlem.memory.codec import MAX_NUMBER, MAX_SEQUENCE, STATUSES, TRUSTS, finite


def checked(episode: Episode) -> Episode:
    """The episode in the form it is kept in. UsageError for what could not be kept or learned from: a
    nameless id, a text that is none, a reward that is no number."""
    name = f"episode {episode.id!r}"
    _check_texts(episode, name)
    if not episode.id:
        raise UsageError("an episode needs a non-empty id")
    try:
        episode.id.encode()
    except UnicodeEncodeError as error:
        raise UsageError(f"episode id {episode.id!r} has characters that no file can hold") from error
    for what, value, known in (("status", episode.status, STATUSES), ("trust", episode.trust, TRUSTS)):
        if value not in known:
            raise UsageError(f"{name}: {what} {value!r} is not known; it must be one of {', '.join(known)}")
    if not isinstance(episode.sequence, int) or abs(episode.sequence) > MAX_SEQUENCE:
        raise UsageError(f"{name}: sequence {episode.sequence!r} is not a whole number up to {MAX_SEQUENCE}")
    return replace(
        episode,
        last_reward=number(episode.last_reward, f"{name}: last_reward"),
        total_reward=number(episode.total_reward, f"{name}: total_reward"),
        recorded_s=number(episode.recorded_s, f"{name}: recorded_s"),
        transitions=tuple(
            replace(item, reward=number(item.reward, f"{name}, step {step}: reward"))
            for step, item in enumerate(episode.transitions)
        ),
    )


def number(value: object, what: str) -> float:
    number = finite(value)
    if number is None:
        raise UsageError(f"{what} {value!r} is not a finite number of at most {MAX_NUMBER:g}")
    return number


def _check_texts(episode: Episode, name: str) -> None:
    head = ("id", "task", "task_id", "source", "split", "model", "cause")
    texts: list[tuple[str, object]] = [(field, getattr(episode, field)) for field in head]
    texts += [("history", item) for item in episode.history]
    situations = [item.situation for item in episode.transitions]
    for item in episode.transitions:
        texts += [("reason", item.reason), ("action", "" if item.action is None else item.action)]
    for situation in (*situations, episode.final) if episode.final else situations:
        texts += [("task", situation.task), ("observation", situation.observation)]
        texts += [("subtask", situation.subtask), *(("available action", item) for item in situation.actions)]
    for field, value in texts:
        if not isinstance(value, str):
            raise UsageError(f"{name}: {field} {value!r} is not a text but {type(value).__name__}")
