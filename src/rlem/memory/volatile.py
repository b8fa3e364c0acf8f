"""A memory in this process alone: for tests, trials and throw-away agents."""

from __future__ import annotations

import copy
import threading
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import Any

from rlem.core.errors import EpisodeConflictError
from rlem.core.types import JSON, Episode
from rlem.memory.rows import as_of
from rlem.memory.store import Arrival, Change, Derived, FeatureKey, Image, Mark, Place


@dataclass
class _View:
    settings: dict[str, Any]
    mark: Mark | None = None
    derived: dict[str, tuple[int, Derived]] = field(default_factory=dict)
    image: Image | None = None


@dataclass
class _State:
    """Everything that a write changes. What is committed is never changed, so that readers need no lock."""

    revision: int = 0
    rewritten: int = 0
    episodes: dict[str, tuple[int, Episode]] = field(default_factory=dict)
    situations: Counter[str] = field(default_factory=Counter)
    """By key, how often an episode was in it."""
    views: dict[str, _View] = field(default_factory=dict)
    features: dict[FeatureKey, bytes] = field(default_factory=dict)
    history: list[Change] = field(default_factory=list)

    def branch(self) -> _State:
        """A copy to write to."""
        views = {n: replace(v, derived=dict(v.derived)) for n, v in self.views.items()}
        return _State(
            self.revision + 1,
            self.rewritten,
            dict(self.episodes),
            Counter(self.situations),
            views,
            dict(self.features),
            list(self.history),
        )


class InMemoryStore:
    """A store in this process's memory. A write works on a copy that replaces the whole when it ends well."""

    location = ":memory:"
    read_only = False

    def __init__(self) -> None:
        self._writing = threading.RLock()
        self._state = _State()
        self._mine = threading.local()
        """This thread's own state: of its open write, or as it was when its open read began."""

    @property
    def _now(self) -> _State:
        return getattr(self._mine, "state", None) or self._state

    def revision(self) -> int:
        return self._now.revision

    @contextmanager
    def write(self) -> Iterator[None]:
        with self._writing:
            before = getattr(self._mine, "state", None)
            self._mine.state = self._state.branch()
            try:
                yield
                self._state = self._mine.state
            finally:
                self._mine.state = before

    @contextmanager
    def read(self) -> Iterator[None]:
        before = getattr(self._mine, "state", None)
        self._mine.state = self._now
        try:
            yield
        finally:
            self._mine.state = before

    def close(self) -> None:
        """Nothing to close."""

    # -- views ---------------------------------------------------------------------------------------

    def views(self) -> list[str]:
        return sorted(self._now.views)

    def settings(self, view: str) -> dict[str, Any] | None:
        found = self._now.views.get(view)
        return copy.deepcopy(found.settings) if found else None

    def put_settings(self, view: str, settings: Mapping[str, Any]) -> None:
        kept = copy.deepcopy(dict(settings))
        if view in self._now.views:
            self._now.views[view].settings = kept
        else:
            self._now.views[view] = _View(kept)

    def drop_view(self, view: str) -> None:
        self._now.views.pop(view, None)

    # -- the log -------------------------------------------------------------------------------------

    def episodes(self, *, after: Place | None = None) -> Iterator[Episode]:
        return iter([e for _, e in self._ordered() if after is None or (e.sequence, e.id) > after])

    def episodes_until(self, revision: int) -> Iterator[Episode]:
        return iter([as_of(e, revision) for arrived, e in self._ordered() if arrived <= revision])

    def _ordered(self) -> list[tuple[int, Episode]]:
        return sorted(self._now.episodes.values(), key=lambda item: (item[1].sequence, item[1].id))

    def episode(self, episode_id: str) -> Episode | None:
        found = self._now.episodes.get(episode_id)
        return found[1] if found else None

    def last(self) -> Place | None:
        return max(((e.sequence, e.id) for _, e in self._now.episodes.values()), default=None)

    def count(self) -> int:
        return len(self._now.episodes)

    def episodes_of(self, key: str) -> list[str]:
        return [e.id for e in self.episodes() if any(t.situation.key == key for t in e.transitions)]

    def find(
        self, *, task: str | None = None, source: str | None = None, before_s: float | None = None
    ) -> list[str]:
        return [
            e.id
            for e in self.episodes()
            if (task is None or task in (e.task, e.task_id))
            and (source is None or e.source == source)
            and (before_s is None or e.recorded_s < before_s)
        ]

    def append(self, episode: Episode) -> None:
        if episode.id in self._now.episodes:
            raise EpisodeConflictError(f"episode {episode.id!r} is already in the memory {self.location}")
        self._now.episodes[episode.id] = (self._now.revision, episode)
        self._now.situations.update(_situations(episode))

    def amend(self, episode: Episode) -> None:
        arrived, old = self._now.episodes[episode.id]
        steps = [
            replace(step, reward=new.reward)
            for step, new in zip(old.transitions, episode.transitions, strict=False)
        ]
        if not len(steps) == len(old.transitions) == len(episode.transitions):
            raise LookupError(f"episode {episode.id!r} has {len(old.transitions)} steps")
        self._now.episodes[episode.id] = (
            arrived,
            replace(
                old,
                transitions=tuple(steps),
                corrections=episode.corrections,
                sequence=episode.sequence,
            ),
        )

    def delete(self, episode_ids: Sequence[str]) -> None:
        there = self._now.situations
        for episode_id in episode_ids:
            if episode_id in self._now.episodes:
                there.subtract(_situations(self._now.episodes.pop(episode_id)[1]))
        there += Counter()  # takes out what is at zero
        for view in self._now.views.values():
            view.derived = {key: item for key, item in view.derived.items() if key in there}

    def rewritten(self) -> int:
        return self._now.rewritten

    def set_rewritten(self) -> None:
        self._now.rewritten = self._now.revision

    def erase(self) -> None:
        """Deleted objects leave no file behind; an open read of this thread goes on in the present state."""
        if getattr(self._mine, "state", None) is not None:
            self._mine.state = self._state

    # -- history -------------------------------------------------------------------------------------

    def note(self, kind: str, recorded_s: float, detail: Mapping[str, JSON]) -> None:
        now = self._now
        now.history.append(
            Change(revision=now.revision, recorded_s=recorded_s, kind=kind, detail=dict(detail))
        )

    def history(self) -> list[Change]:
        return list(self._now.history)

    def arrivals(self) -> list[Arrival]:
        ordered = sorted(self._now.episodes.values(), key=lambda item: item[0])
        return [
            Arrival(
                revision=revision,
                recorded_s=min(e.recorded_s for e in episodes),
                episodes=len(episodes),
            )
            for revision, group in groupby(ordered, key=lambda item: item[0])
            for episodes in [[e for _, e in group]]
        ]

    # -- derived -------------------------------------------------------------------------------------

    def mark(self, view: str) -> Mark | None:
        found = self._now.views.get(view)
        return found.mark if found else None

    def derived(self, view: str, keys: Collection[str] | None = None) -> Iterator[Derived]:
        rows = self._derived(view)
        found = rows.values() if keys is None else [rows[key] for key in keys if key in rows]
        return iter([item for _, item in found if item[1] is not None])

    def derived_since(self, view: str, revision: int) -> Iterator[Derived]:
        rows = self._derived(view)
        return iter([item for written, item in rows.values() if written > revision])

    def put_derived(self, view: str, changed: Iterable[Derived], *, replace: bool = False) -> None:
        kept = self._now.views[view]
        if replace:
            kept.derived, kept.image = {}, None
        for item in changed:
            if self._now.situations[item[0].key]:
                kept.derived[item[0].key] = (self._now.revision, item)

    def _derived(self, view: str) -> dict[str, tuple[int, Derived]]:
        found = self._now.views.get(view)
        return found.derived if found else {}

    def put_mark(self, view: str, fingerprint: str, last: Place | None, count: int) -> None:
        mark = Mark(fingerprint=fingerprint, revision=self._now.revision, last=last, count=count)
        self._now.views[view].mark = mark

    def image(self, view: str) -> Image | None:
        found = self._now.views.get(view)
        return found.image if found else None

    def put_image(self, view: str, parts: Mapping[str, bytes | memoryview]) -> None:
        kept = {name: bytes(data) for name, data in parts.items()}
        self._now.views[view].image = Image(revision=self._now.revision, parts=kept)

    def drop_derived(self, *, keep_view: str | None = None) -> None:
        for name, view in self._now.views.items():
            view.image = None
            if name != keep_view:
                view.derived, view.mark = {}, None

    def features(self, fingerprint: str, digests: Collection[bytes]) -> dict[bytes, bytes]:
        kept = self._now.features
        return {name: kept[fingerprint, name] for name in digests if (fingerprint, name) in kept}

    def put_features(self, items: Mapping[FeatureKey, bytes]) -> None:
        for key, data in items.items():
            self._now.features.setdefault(key, data)

    def drop_features(
        self, keys: Collection[FeatureKey] = (), *, other_than: Collection[str] | None = None
    ) -> None:
        self._now.features = {
            key: data
            for key, data in self._now.features.items()
            if key not in keys and (other_than is None or key[0] in other_than)
        }


def _situations(episode: Episode) -> list[str]:
    """Keys of the situations that an episode left, and of the one that it ended in."""
    final = [episode.final.key] if episode.final is not None else []
    return [step.situation.key for step in episode.transitions] + final
