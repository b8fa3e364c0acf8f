"""A memory as it was, what was done to it, and what differs between two of them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from rlem.core.errors import UsageError
from rlem.core.types import Episode, Situation
from rlem.memory.codec import canonical, episode_to_json
from rlem.memory.config import MemoryConfig
from rlem.memory.experience import ActionValue, Experience
from rlem.memory.memory import ExperienceMemory
from rlem.memory.store import Change
from rlem.memory.volatile import InMemoryStore


def at(memory: ExperienceMemory, revision: int) -> ExperienceMemory:
    """The memory as it was at a revision, under the settings of today: a copy in this process.

    An episode that was forgotten since is not in it, and corrections made since are undone. Its hash at the
    current revision is the memory's own. UsageError for a revision that was not reached yet.
    """
    store = memory.store
    with store.read():
        if not 0 <= revision <= store.revision():
            raise UsageError(
                f"{memory.location} has no revision {revision}: it has 0 to {store.revision()} (see its log)"
            )
        past = ExperienceMemory(InMemoryStore(), memory.config)
        past.insert(store.episodes_until(revision))
    return past


def log(memory: ExperienceMemory) -> list[Change]:
    """What was done to a memory, oldest first, as changes; "record" stands for episodes that were recorded.

    Of those, it counts what is in the log today.
    """
    store = memory.store
    with store.read():
        noted = store.history()
        named = {change.revision for change in noted if change.kind == "insert"}
        recorded = [
            Change(
                revision=arrival.revision,
                recorded_s=arrival.recorded_s,
                kind="record",
                detail={"episodes": arrival.episodes},
            )
            for arrival in store.arrivals()
            if arrival.revision not in named
        ]
    return sorted(recorded + noted, key=lambda change: change.revision)


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionChange:
    """What became of one action of a situation: its statistics before and after (None: not there).

    ``episodes``: those that took the action there and are in one log only, or with other rewards; where there
    are none, the value moved through others (bootstrapping, order, settings).
    """

    action: str
    before: ActionValue | None
    after: ActionValue | None
    episodes: tuple[str, ...]

    @property
    def moved(self) -> float:
        """How far the value went; an action that is not there counts as 0."""
        return (self.after.q_value if self.after else 0.0) - (self.before.q_value if self.before else 0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExperienceChange:
    """An experience that appeared, is gone, or whose actions moved; the largest move comes first."""

    key: str
    situation: Situation
    kind: Literal["appeared", "gone", "moved"]
    actions: tuple[ActionChange, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """What is different from one memory to another: experiences, largest moves first, and episodes by id.

    ``appeared`` and ``gone``: in one log only; ``corrected``: in both, with other content; ``settings``:
    names of the settings that differ.
    """

    appeared: tuple[str, ...]
    gone: tuple[str, ...]
    corrected: tuple[str, ...]
    settings: tuple[str, ...]
    experiences: tuple[ExperienceChange, ...]

    def __bool__(self) -> bool:
        return bool(self.appeared or self.gone or self.corrected or self.settings or self.experiences)


class _Visits:
    """Which episodes took which action in which situation."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, str], dict[str, None]] = {}

    def add(self, episode: Episode) -> None:
        for step in episode.transitions:
            if step.action is not None:
                self._found.setdefault((step.situation.key, step.action), {})[episode.id] = None

    def of(self, key: str, action: str) -> tuple[str, ...]:
        return tuple(self._found.get((key, action), ()))


def diff(before: ExperienceMemory, after: ExperienceMemory) -> Difference:
    """Which experiences and values differ from ``before`` to ``after``, and the episodes that moved them."""
    visits = _Visits()
    contents = {episode.id: _digest(episode) for episode in before.episodes()}
    appeared: list[str] = []
    corrected: list[str] = []
    for episode in after.episodes():
        known = contents.pop(episode.id, None)
        if known == _digest(episode):
            continue
        (appeared if known is None else corrected).append(episode.id)
        visits.add(episode)
    for name in contents:  # what is left is gone
        episode_gone = before.find_episode(name)
        if episode_gone is not None:
            visits.add(episode_gone)
    old = {experience.key: experience for experience in before.experiences()}
    new = {experience.key: experience for experience in after.experiences()}
    changes = (_changed(key, old.get(key), new.get(key), visits) for key in old.keys() | new.keys())
    return Difference(
        appeared=tuple(appeared),
        gone=tuple(contents),
        corrected=tuple(corrected),
        settings=differing(before.config, after.config),
        experiences=tuple(
            sorted((c for c in changes if c), key=lambda c: (-max(abs(a.moved) for a in c.actions), c.key))
        ),
    )


def differing(one: MemoryConfig, other: MemoryConfig) -> tuple[str, ...]:
    """Names of the settings in which two configs differ."""
    ours, theirs = one.to_json(), other.to_json()
    return tuple(name for name in ours if canonical(ours[name]) != canonical(theirs[name]))


def _changed(
    key: str, before: Experience | None, after: Experience | None, visits: _Visits
) -> ExperienceChange | None:
    old, new = _by_name(before), _by_name(after)
    actions = [
        ActionChange(
            action=name[0], before=old.get(name), after=new.get(name), episodes=visits.of(key, name[0])
        )
        for name in dict.fromkeys([*old, *new])
        if _numbers(old.get(name)) != _numbers(new.get(name))
    ]
    found = after or before
    if not actions or found is None:
        return None
    return ExperienceChange(
        key=key,
        situation=found.situation,
        kind="appeared" if before is None else "gone" if after is None else "moved",
        actions=tuple(sorted(actions, key=lambda a: (-abs(a.moved), a.action))),
    )


def _by_name(experience: Experience | None) -> dict[tuple[str, int], ActionValue]:
    """Actions by text, and a number where one stands there more than once (compat="reference")."""
    found: dict[tuple[str, int], ActionValue] = {}
    for item in experience.actions if experience else ():
        number = sum(name == item.action for name, _ in found)
        found[item.action, number] = item
    return found


def _numbers(item: ActionValue | None) -> Iterable[float] | None:
    if item is None:
        return None
    return item.visits, item.q_value, item.m2, item.reward_mean, item.verified_visits, item.verified_q_value


def _digest(episode: Episode) -> bytes:
    return hashlib.sha256(canonical(episode_to_json(episode, content_only=True)).encode()).digest()
