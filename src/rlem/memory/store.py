"""Where a memory is kept. One contract, several engines; ``rlem.testing.MemoryContract`` runs over each.

A store keeps four things: the settings, the episode log (the truth), the derived state of experiences and
the features of texts (both derived, both may be thrown away). All writing happens inside ``write()``,
which is exclusive across threads and processes and durable when it ends; it either happens whole or not at
all. ``revision`` counts committed writes, so that a reader sees at once whether others wrote.
"""

from __future__ import annotations

import copy
import threading
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Protocol

from rlem.core.errors import EpisodeConflictError
from rlem.core.types import Episode, Situation

SCHEMA_VERSION = 1

Derived = tuple[Situation, list[Any]]
"""One experience: its situation and ``ExperienceTable.state`` of it."""

FeatureKey = tuple[str, bytes]
"""(fingerprint of the feature, digest of the text it looked at)."""


class Store(Protocol):
    """The engine under an ExperienceMemory."""

    @property
    def location(self) -> str:
        """Path or URL, as the user gave it."""
        ...

    def revision(self) -> int:
        """Number of committed writes; cheap."""
        ...

    def write(self) -> AbstractContextManager[None]:
        """An exclusive, durable, all-or-nothing write. The revision grows by one when it ends well."""
        ...

    def read(self) -> AbstractContextManager[None]:
        """Several reads that see one state, whatever others commit meanwhile."""
        ...

    def settings(self) -> dict[str, Any] | None:
        """What ``put_settings`` stored last; None in a new store."""
        ...

    def put_settings(self, settings: Mapping[str, Any]) -> None:
        """Stores the settings (inside ``write``)."""
        ...

    def episodes(self, *, after: tuple[int, str] | None = None) -> Iterator[Episode]:
        """The log in canonical order (sequence, id), from behind the given place on."""
        ...

    def episode(self, episode_id: str) -> Episode | None:
        """One episode of the log."""
        ...

    def last(self) -> tuple[int, str] | None:
        """Place of the last episode in canonical order; None when the log is empty."""
        ...

    def count(self) -> int:
        """Number of episodes in the log."""
        ...

    def episodes_of(self, key: str) -> list[str]:
        """Ids of the episodes that left the situation of that key, in canonical order."""
        ...

    def append(self, episode: Episode) -> None:
        """Adds an episode to the log; EpisodeConflictError if its id is taken."""
        ...

    def delete(self, episode_ids: Sequence[str]) -> None:
        """Takes episodes out of the log, and their texts where nothing else in the log has them."""
        ...

    def derived_mark(self) -> tuple[str, int, int] | None:
        """Of the derived state: its fingerprint, the revision it belongs to and the revision of the last
        ``put_derived(replace=True)``, which says that the log was not only added to; None: there is none."""
        ...

    def derived(self) -> list[Derived]:
        """All experiences of the derived state. ValueError, TypeError or LookupError if it is damaged."""
        ...

    def put_derived(
        self, fingerprint: str, changed: Iterable[Derived], removed: Iterable[str], *, replace: bool = False
    ) -> None:
        """Stores changed experiences and drops removed keys; ``replace`` drops all others first."""
        ...

    def features(self) -> dict[FeatureKey, bytes]:
        """All stored features."""
        ...

    def put_features(self, items: Mapping[FeatureKey, bytes]) -> None:
        """Stores features of texts that are part of the log."""
        ...

    def keep_features(self, keep: Collection[FeatureKey]) -> None:
        """Drops all features but these."""
        ...

    def erase(self) -> None:
        """After a ``delete``: makes sure that no deleted byte is left in the files."""
        ...

    def close(self) -> None:
        """Closes files and connections. May be called twice."""
        ...


class InMemoryStore:
    """A store in this process's memory: for tests, trials and throw-away agents."""

    location = ":memory:"

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._revision = 0
        self._settings: dict[str, Any] | None = None
        self._episodes: dict[str, Episode] = {}
        self._derived: dict[str, Derived] = {}
        self._derived_mark: tuple[str, int, int] | None = None
        self._features: dict[FeatureKey, bytes] = {}

    def revision(self) -> int:
        return self._revision

    @contextmanager
    def write(self) -> Iterator[None]:
        with self._lock:
            backup = (
                self._revision,
                copy.deepcopy(self._settings),
                dict(self._episodes),
                dict(self._derived),
                self._derived_mark,
                dict(self._features),
            )
            self._revision += 1
            try:
                yield
            except BaseException:
                (
                    self._revision,
                    self._settings,
                    self._episodes,
                    self._derived,
                    self._derived_mark,
                    self._features,
                ) = backup
                raise

    @contextmanager
    def read(self) -> Iterator[None]:
        with self._lock:
            yield

    def settings(self) -> dict[str, Any] | None:
        return copy.deepcopy(self._settings)

    def put_settings(self, settings: Mapping[str, Any]) -> None:
        self._settings = copy.deepcopy(dict(settings))

    def episodes(self, *, after: tuple[int, str] | None = None) -> Iterator[Episode]:
        ordered = sorted(self._episodes.values(), key=lambda e: (e.sequence, e.id))
        return iter([e for e in ordered if after is None or (e.sequence, e.id) > after])

    def episode(self, episode_id: str) -> Episode | None:
        return self._episodes.get(episode_id)

    def last(self) -> tuple[int, str] | None:
        return max(((e.sequence, e.id) for e in self._episodes.values()), default=None)

    def count(self) -> int:
        return len(self._episodes)

    def episodes_of(self, key: str) -> list[str]:
        return [e.id for e in self.episodes() if any(t.situation.key == key for t in e.transitions)]

    def append(self, episode: Episode) -> None:
        if episode.id in self._episodes:
            raise EpisodeConflictError(f"episode {episode.id!r} is already in the memory {self.location}")
        self._episodes[episode.id] = episode

    def delete(self, episode_ids: Sequence[str]) -> None:
        for episode_id in episode_ids:
            del self._episodes[episode_id]

    def derived_mark(self) -> tuple[str, int, int] | None:
        return self._derived_mark

    def derived(self) -> list[Derived]:
        return copy.deepcopy(list(self._derived.values()))

    def put_derived(
        self, fingerprint: str, changed: Iterable[Derived], removed: Iterable[str], *, replace: bool = False
    ) -> None:
        if replace:
            self._derived.clear()
        for situation, state in changed:
            self._derived[situation.key] = (situation, copy.deepcopy(state))
        for key in removed:
            self._derived.pop(key, None)
        replaced = self._revision if replace or self._derived_mark is None else self._derived_mark[2]
        self._derived_mark = (fingerprint, self._revision, replaced)

    def features(self) -> dict[FeatureKey, bytes]:
        return dict(self._features)

    def put_features(self, items: Mapping[FeatureKey, bytes]) -> None:
        self._features.update(items)

    def keep_features(self, keep: Collection[FeatureKey]) -> None:
        self._features = {key: data for key, data in self._features.items() if key in keep}

    def erase(self) -> None:
        """Nothing to do: deleted objects leave no file behind."""

    def close(self) -> None:
        """Nothing to close."""
