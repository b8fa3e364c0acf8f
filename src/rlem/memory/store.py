"""Where a memory is kept. One contract, several engines; ``rlem.testing.MemoryContract`` runs over each.

A store keeps the episode log (the truth), the history of what else was done to it, and for each *view* of the
log its settings and what is derived under them: experiences, an image of the search index, features of texts.
What is derived may be thrown away at any time.

All writing happens inside ``write()``, which is exclusive across threads and processes and durable when it
ends; it happens whole or not at all. Reading from other threads and processes never waits for it: they see
what was committed last. ``revision`` counts committed writes, so that a reader sees at once whether others
wrote.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Protocol

from rlem.core.types import JSON, Episode, Situation

SCHEMA_VERSION = 2

MAIN = "main"
"""The view that every memory has."""

Place = tuple[int, str]
"""Of an episode in the canonical order: (sequence, id)."""

Derived = tuple[Situation, list[Any] | None]
"""One experience: its situation and ``ExperienceTable.state`` of it; None: it is not there any more."""

FeatureKey = tuple[str, bytes]
"""(fingerprint of the feature, digest of the text it looked at)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """Up to where the derived state of a view goes.

    ``fingerprint``: of the settings and the learner that made it; ``revision``: of the store when it was
    saved; ``last`` and ``count``: the place of the last episode in it and how many there are.
    """

    fingerprint: str
    revision: int
    last: Place | None
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """The search index of a view as it was at a revision, as named arrays of bytes."""

    revision: int
    parts: Mapping[str, bytes | memoryview]


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """Something that was done to a memory besides recording: its revision, when, what, and to how much.

    ``detail`` holds numbers, settings and paths of copies; never a text of the log, which may be forgotten.
    """

    revision: int
    recorded_s: float
    kind: str
    detail: Mapping[str, JSON] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """The episodes that one write added to the log: how many, and when the first of them was recorded."""

    revision: int
    recorded_s: float
    episodes: int


class Store(Protocol):
    """The engine under an ExperienceMemory."""

    @property
    def location(self) -> str:
        """Path or URL, as the user gave it."""
        ...

    @property
    def read_only(self) -> bool:
        """Whether it was opened for reading only."""
        ...

    def revision(self) -> int:
        """Number of committed writes, the open one included for the thread that writes; cheap."""
        ...

    def write(self) -> AbstractContextManager[None]:
        """An exclusive, durable, all-or-nothing write. The revision grows by one when it ends well."""
        ...

    def read(self) -> AbstractContextManager[None]:
        """Several reads of one thread that see one state, whatever others commit meanwhile."""
        ...

    def close(self) -> None:
        """Closes files and connections. May be called twice."""
        ...

    # -- views ---------------------------------------------------------------------------------------

    def views(self) -> list[str]:
        """Names of the views that have settings, in order of the alphabet."""
        ...

    def settings(self, view: str) -> dict[str, Any] | None:
        """What ``put_settings`` stored last; None for a view that is not there."""
        ...

    def put_settings(self, view: str, settings: Mapping[str, Any]) -> None:
        """Stores the settings of a view, and makes it if it is not there."""
        ...

    def drop_view(self, view: str) -> None:
        """Takes a view away with everything derived under it, its features excepted."""
        ...

    # -- the log -------------------------------------------------------------------------------------

    def episodes(self, *, after: Place | None = None) -> Iterator[Episode]:
        """The log in canonical order (sequence, id), from behind the given place on.

        What others add or forget while it is being read may be in it or not; each episode is whole.
        """
        ...

    def episodes_until(self, revision: int) -> Iterator[Episode]:
        """The episodes of the log that arrived up to a revision, with the rewards that they had then."""
        ...

    def episode(self, episode_id: str) -> Episode | None:
        """One episode of the log."""
        ...

    def last(self) -> Place | None:
        """Place of the last episode in canonical order; None when the log is empty."""
        ...

    def count(self) -> int:
        """Number of episodes in the log."""
        ...

    def episodes_of(self, key: str) -> list[str]:
        """Ids of the episodes that left the situation of that key, in canonical order."""
        ...

    def find(
        self, *, task: str | None = None, source: str | None = None, before_s: float | None = None
    ) -> list[str]:
        """Ids of the episodes of a task (its text or id), of a source, or recorded before a time (seconds
        since the epoch), in canonical order; each condition given must hold."""
        ...

    def append(self, episode: Episode) -> None:
        """Adds an episode to the log, as arrived at the open write's revision; EpisodeConflictError if its id
        is taken."""
        ...

    def amend(self, episode: Episode) -> None:
        """Gives the episode of that id the rewards, corrections and sequence of the given one; LookupError if
        there is none, or none of so many steps."""
        ...

    def delete(self, episode_ids: Sequence[str]) -> None:
        """Takes episodes out of the log, and their texts and derived rows where nothing else in the log has
        them. Features stay: see ``drop_features``."""
        ...

    def rewritten(self) -> int:
        """Revision of the last write that did more to the log than add at its end; 0: there was none."""
        ...

    def set_rewritten(self) -> None:
        """Says that the open write does so; ``delete`` and ``amend`` do not say it by themselves."""
        ...

    def erase(self) -> None:
        """After a ``delete``: makes sure that no deleted byte is left in the files. A read that this thread
        has open goes on in the state after it."""
        ...

    # -- history -------------------------------------------------------------------------------------

    def note(self, kind: str, recorded_s: float, detail: Mapping[str, JSON]) -> None:
        """Adds a change to the history, at the open write's revision."""
        ...

    def history(self) -> list[Change]:
        """All changes that were noted, oldest first."""
        ...

    def arrivals(self) -> list[Arrival]:
        """What the episodes that are in the log now arrived in, by revision."""
        ...

    # -- derived -------------------------------------------------------------------------------------

    def mark(self, view: str) -> Mark | None:
        """Up to where the derived state of a view goes; None: there is none, or it is damaged."""
        ...

    def derived(self, view: str, keys: Collection[str] | None = None) -> Iterator[Derived]:
        """The experiences of a view, all or those of the keys that are there, in any order.

        ValueError, TypeError or LookupError if one is damaged.
        """
        ...

    def derived_since(self, view: str, revision: int) -> Iterator[Derived]:
        """What changed in a view after a revision; None stands for the state of what was removed."""
        ...

    def put_derived(self, view: str, changed: Iterable[Derived], *, replace: bool = False) -> None:
        """Stores experiences that changed or (None) were removed; ``replace`` drops all others, and the
        image, first. A situation that the log does not have is left out."""
        ...

    def put_mark(self, view: str, fingerprint: str, last: Place | None, count: int) -> None:
        """Says up to where the derived state of a view goes, as of the open write's revision."""
        ...

    def image(self, view: str) -> Image | None:
        """The image of a view's index; None: there is none, or it is damaged."""
        ...

    def put_image(self, view: str, parts: Mapping[str, bytes | memoryview]) -> None:
        """Stores an image, of the open write's revision, in place of the one there is."""
        ...

    def drop_derived(self, *, keep_view: str | None = None) -> None:
        """Drops the derived state of all views (but ``keep_view``) and the images of all of them."""
        ...

    def features(self, fingerprint: str, digests: Collection[bytes]) -> dict[bytes, bytes]:
        """Stored features of these texts, as far as there are some."""
        ...

    def put_features(self, items: Mapping[FeatureKey, bytes]) -> None:
        """Stores features of texts that are part of the log; one that is there stays."""
        ...

    def drop_features(
        self, keys: Collection[FeatureKey] = (), *, other_than: Collection[str] | None = None
    ) -> None:
        """Drops these features, and those of all fingerprints but ``other_than`` if that is given."""
        ...
