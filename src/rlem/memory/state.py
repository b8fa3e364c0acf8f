"""What a process holds of one view of a memory, and how it is kept equal to what is stored.

Two locks. ``write_lock`` is held over a whole write, the wait for the disk included; ``lock`` over what is
held here, never while waiting for a disk or for other writers. Who takes both takes the first one first.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from rlem.core.clock import system_clock
from rlem.core.errors import (
    ClosedError,
    DataError,
    ExperienceMemoryError,
    MemoryReadOnlyError,
    RlemError,
    TryAgainError,
    UnknownNameError,
    UsageError,
)
from rlem.core.types import Episode, Situation
from rlem.memory.candidates import DENSE, CandidateStore
from rlem.memory.codec import canonical
from rlem.memory.config import MemoryConfig
from rlem.memory.features import FeatureBook, situations_of
from rlem.memory.images import chunks, pack_arrays, unpack_arrays
from rlem.memory.store import MAIN, Derived, Place, Store
from rlem.memory.table import ExperienceTable

LEARNER_VERSION = 2
"""Changes when the same log would give other values; derived state of another version is made anew."""

IMAGE_FROM = 2000
"""Memories of so many experiences keep an image of their search index."""

CHUNK = 200
"""Episodes that are read from the log at once."""

Given = ParamSpec("Given")
Result = TypeVar("Result")

Progress = Callable[[int, int], None]
"""Called with (done, total) during long work."""


def until_done(act: Callable[Given, Result]) -> Callable[Given, Result]:
    """Does it again as long as the store says that others came between and nothing of it is stored."""

    @wraps(act)
    def done(*given: Given.args, **named: Given.kwargs) -> Result:
        while True:
            try:
                return act(*given, **named)
            except TryAgainError:
                continue

    return done


def fingerprint_of(config: MemoryConfig) -> str:
    """Of everything that decides about the state derived under these settings."""
    features = config.similarity.fingerprint  # of what a model's folder holds, not of its name
    settings = canonical({**config.to_json(), "max_influence": None, "features": features})
    return f"learner-{LEARNER_VERSION} {hashlib.sha256(settings.encode()).hexdigest()}"


class ViewState:
    """The derived state of one view: settings, table, and up to which place of the log it goes."""

    def __init__(
        self, store: Store, view: str, config: MemoryConfig | None, progress: Progress | None = None
    ) -> None:
        self.store = store
        self.view = view
        self.lock = threading.RLock()
        self.write_lock = threading.RLock()
        self.in_flight = False
        """What is held here is ahead of the store, by a write that is not done."""
        self.count = 0
        self.last: Place | None = None
        self.revision = 0
        self._closed = False
        self._stale = False
        self._replayed = False  # nothing of the table is stored
        self._wrote = False
        self._since_image = 0
        self._stored: dict[str, Any] | None = None  # the settings as last seen in the store
        self._named: tuple[MemoryConfig, str] | None = None  # the fingerprint of a config
        self.config = self._agree(config)
        self._make_ready(progress)
        with self.lock, store.read():
            self._load(progress)
        if self._replayed and not store.read_only and self.count:
            with suppress(MemoryReadOnlyError):  # a full disk: then the next opening derives it again
                self._keep()

    def _agree(self, config: MemoryConfig | None) -> MemoryConfig:
        """The settings of the view; those asked for, if it is new. Refuses a difference."""
        store = self.store
        if store.settings(self.view) is None:
            if config is None and self.view != MAIN:
                raise UnknownNameError(f"view of {store.location}:", self.view, store.views())
            with store.write():
                if store.settings(self.view) is None:  # else another process was first
                    store.put_settings(self.view, (config or MemoryConfig()).to_json())
                    if self.view != MAIN:
                        store.note("view", system_clock(), {"view": self.view})
        stored = store.settings(self.view)
        assert stored is not None
        try:
            found = MemoryConfig.from_json(stored)
        except RlemError as error:
            raise DataError(
                f"view {self.view!r} of {store.location} cannot be used here: {error} Put that right, or "
                f"give the view another similarity: rlem memory rebuild {store.location} --view {self.view} "
                "--similarity NAME (or --embedding FOLDER)"
            ) from error
        if config is None:
            return found
        if not _equal(config, found):
            raise UsageError(
                f"{store.location} was made with other settings ({_difference(config, found)}): "
                "open it without settings, or change it with rebuild"
            )
        return config

    def _make_ready(self, progress: Progress | None) -> None:
        """Where all is to be derived anew, makes the features first, so that who is broken off goes on where
        it stopped."""
        mark = self.store.mark(self.view)
        if not self.store.read_only and (mark is None or mark.fingerprint != self._fingerprint):
            with suppress(MemoryReadOnlyError):
                self.make_features(self.config, progress)

    @property
    def _fingerprint(self) -> str:
        """Of everything that decides about the derived state."""
        if self._named is None or self._named[0] is not self.config:
            self._named = (self.config, fingerprint_of(self.config))
        return self._named[1]

    # -- reading -------------------------------------------------------------------------------------

    def check_open(self) -> None:
        """ClosedError after ``close``."""
        if self._closed:
            raise ClosedError(f"the memory {self.store.location} is closed")

    @until_done
    def catch_up(self) -> None:
        """Learns what other writers committed since; reads everything anew where they did more than add.

        Under the lock.
        """
        self.check_open()
        if self.in_flight or (not self._stale and self.store.revision() == self.revision):
            return
        with self.store.read():
            self._learn_news()

    @contextmanager
    def current(self) -> Iterator[ExperienceTable]:
        """The table, caught up, under the lock."""
        with self.lock:
            self.catch_up()
            yield self.table

    @contextmanager
    def steady(self) -> Iterator[ExperienceTable]:
        """Store and table in one state, for as long as the block reads them."""
        self.check_open()
        with self.write_lock, self.lock, self.store.read():
            self.catch_up()
            yield self.table

    def fetch(self, keys: Collection[str]) -> Iterable[Derived]:
        """Experiences as they are stored."""
        return self.store.derived(self.view, keys) if keys else ()

    def fill(self, keys: Collection[str]) -> bool:
        """Loads these experiences; False if others wrote meanwhile, so that the table must catch up first."""
        with self.store.read():
            if not self.in_flight and self.store.revision() != self.revision:
                return False
            with suppress(ValueError, TypeError, LookupError):
                self.table.fill(self.fetch(keys))
            if any(not self.table.has_loaded(key) for key in keys):
                self.replay(self.config)  # what is stored of them is damaged or gone
                return False
            return True

    def _propose(self, fingerprint: str, features: bytes, wanted: int) -> list[bytes] | None:
        """Candidates that the store itself finds, where it can."""
        if fingerprint.startswith(DENSE) and isinstance(self.store, CandidateStore):
            return self.store.nearest(fingerprint, features, wanted)
        return None

    # -- deriving ------------------------------------------------------------------------------------

    def _new_table(self, config: MemoryConfig) -> tuple[ExperienceTable, FeatureBook]:
        book = FeatureBook(self.store, config.similarity)
        table = ExperienceTable(config, book.of, self.fetch, self._propose)
        return table, book

    def _load(self, progress: Progress | None = None) -> None:
        """Takes the derived state from the store, and learns what the log has beyond it; derives all anew
        where it is stale, missing or damaged. Within ``store.read()`` or ``store.write()``."""
        store = self.store
        self.table, self._book = self._new_table(self.config)
        mark = store.mark(self.view)
        if (
            mark is not None
            and mark.fingerprint == self._fingerprint
            and mark.revision >= store.rewritten()
            and self._restore()
        ):
            self._replayed = False
            self.count, self.last = mark.count, mark.last
            self.learn_after(mark.last)
        else:
            self.replay(self.config, progress)
        self.revision = store.revision()
        self._stale = False

    def _restore(self) -> bool:
        """Fills the table from the store; False if what is there is damaged."""
        damage = (ValueError, TypeError, LookupError)
        image = self.store.image(self.view)
        if image is not None:
            with suppress(*damage):
                self.table.load_image(unpack_arrays(image.parts))
                news = list(self.store.derived_since(self.view, image.revision))
                self.table.restore(news)
                self._since_image = len(news)
                return True
            self.table, self._book = self._new_table(self.config)
        with suppress(*damage):
            self.table.restore(self.store.derived(self.view))
            self._since_image = len(self.table)
            return True
        return False

    def replay(self, config: MemoryConfig, progress: Progress | None = None, *, keep: bool = False) -> None:
        """Makes the table anew from the whole log, in canonical order, and puts it in place at the end.

        ``keep`` stores the features that are made (within ``writing()``); else they are let go.
        """
        table, book = self._new_table(config)
        total, count, last = self.store.count(), 0, None
        for chunk in chunks(self.store.episodes(), CHUNK):
            book.fetch(situations_of(chunk))
            for episode in chunk:
                table.learn(episode)
                count, last = count + 1, (episode.sequence, episode.id)
                if progress:
                    progress(count, total)
            if keep:
                self.store.put_features(book.new)
            book.new.clear()
        with self.lock:
            self.config, self.table, self._book = config, table, book
            self.count, self.last = count, last
            self._replayed, self._since_image = True, 0

    def learn(self, episode: Episode) -> None:
        """Learns the next episode of the log. Under the lock."""
        self.table.learn(episode)
        self.count, self.last = self.count + 1, (episode.sequence, episode.id)

    def learn_after(self, place: Place | None, progress: Progress | None = None) -> None:
        """Learns the episodes of the log behind a place."""
        total = self.store.count() if progress else 0
        for chunk in chunks(self.store.episodes(after=place), CHUNK):
            with self.lock:
                self._book.fetch(situations_of(chunk))  # whoever wrote them has stored their features
                for episode in chunk:
                    self.learn(episode)
                    if progress:
                        progress(self.count, total)

    def relearn(self, situations: Collection[Situation], progress: Progress | None = None) -> None:
        """Brings the table to the log, which has changed in the episodes that visited these situations.

        Within ``writing()``.
        """
        store = self.store
        store.set_rewritten()
        if not self.table.incremental or 4 * len(situations) > len(self.table):
            self.replay(self.config, progress, keep=True)
            return
        names = {name for situation in situations for name in store.episodes_of(situation.key)}
        found = (store.episode(name) for name in names)
        ordered = sorted((e for e in found if e is not None), key=lambda e: (e.sequence, e.id))
        with self.lock:
            self.table.relearn(situations, ordered)
            self.count, self.last = store.count(), store.last()

    def _learn_news(self) -> None:
        """Brings the table to the state of the store. Within ``store.read()`` or ``store.write()``."""
        store = self.store
        stored = store.settings(self.view)
        if stored is None:
            raise ExperienceMemoryError(f"{store.location}: its view {self.view!r} was taken away meanwhile")
        if stored != self._stored:
            self._stored, config = stored, MemoryConfig.from_json(stored)
            if not _equal(config, self.config):
                self.config, self._stale = config, True
        if self._stale or store.rewritten() > self.revision:
            self._load()
            return
        mark = store.mark(self.view)
        if mark is not None and mark.revision > self.revision and mark.fingerprint == self._fingerprint:
            # Another one who learns by this view stored what follows from its episodes. To learn them here
            # would be to learn them twice: what is loaded from now on has them in it.
            news = list(store.derived_since(self.view, self.revision))
            self.table.restore(news)
            self.count, self.last = mark.count, mark.last
            self._is_stored()
            self._since_image += len(news)
        self.learn_after(self.last)
        self.revision = store.revision()

    # -- writing -------------------------------------------------------------------------------------

    @contextmanager
    def writing(self) -> Iterator[None]:
        """A write with the state caught up; a failed one leaves nothing behind, here or in the store.

        What is held here must be changed under the lock, which is free while the disk works: those who recall
        do not wait for it, and may see what is just being committed.
        """
        with self.write_lock:
            self.check_open()
            try:
                with self.lock:
                    self.catch_up()  # so that others do not wait while this is done
                with self.store.write():
                    with self.lock:
                        if self._stale or self.store.revision() != self.revision + 1:
                            self._learn_news()
                        self.in_flight = True
                    yield
                    revision = self.store.revision()
                with self.lock:
                    self.revision = revision
                    self.in_flight = False
                    self._wrote = True
                    self._is_stored()
            except BaseException:
                with self.lock:
                    self._stale, self.in_flight = True, False
                raise

    def save(self, *, image: bool = False) -> None:
        """Stores what was learned and not stored yet; all of it after a replay. Within ``writing()``."""
        store, table = self.store, self.table
        with self.lock:
            store.put_features(self._book.new)
            store.put_derived(self.view, table.changes(), replace=self._replayed)
            store.put_mark(self.view, self._fingerprint, self.last, self.count)
            if len(table) >= IMAGE_FROM and (image or self._replayed):
                store.put_image(self.view, pack_arrays(table.image()))
                self._since_image = -len(table.changed)  # which are in it already

    def _is_stored(self) -> None:
        """What was learned is in the store now."""
        self._since_image += len(self.table.changed)
        self.table.saved()
        self._book.new.clear()
        self._replayed = False

    @until_done
    def _keep(self) -> None:
        """Stores what is derived, so that the next opening is quick."""
        with self.writing():
            self.save(image=True)

    # -- features ------------------------------------------------------------------------------------

    def make_features(self, config: MemoryConfig, progress: Progress | None = None) -> None:
        """Makes and stores the features that texts of the log lack, in writes of their own, so that who is
        broken off goes on where it stopped."""
        book = FeatureBook(self.store, config.similarity)
        before, total, done = self.store.rewritten(), self.store.count(), 0
        for chunk in chunks(self.store.episodes(), CHUNK):
            situations = situations_of(chunk)
            book.fetch(situations)
            if book.make(situations):
                with self.write_lock, self.store.write():
                    if self.store.rewritten() != before:
                        return  # what was read may be forgotten by now; a replay makes what is missing
                    self.store.put_features(book.new)
                book.new.clear()
            done += len(chunk)
            if progress:
                progress(done, total)

    def drop_features_of(self, situations: Collection[Situation]) -> None:
        """Drops stored features of situations that are not in the log any more, and all of other similarities
        than this view's. Within ``writing()``."""
        index = self.table.index
        orphans = {key for key in self._book.keys_of(situations) if not index.holds(*key)}
        for key in orphans:
            self._book.new.pop(key, None)
        self.store.drop_features(orphans, other_than=self._book.fingerprints)

    def close(self) -> None:
        """Closes the store. A memory that was written to leaves a fresh image of its index behind."""
        with self.write_lock:
            if self._closed:
                return
            if self._wrote and self._since_image > max(IMAGE_FROM, len(self.table) // 50):
                with suppress(ExperienceMemoryError):  # it is derived: nothing is lost without it
                    self._keep()
            with self.lock:
                self._closed = True
                self.store.close()


def drop_unused_features(store: Store) -> None:
    """Drops stored features that no view uses. Within ``writing()``."""
    used: set[str] = set()
    for view in store.views():
        settings = store.settings(view)
        if settings is not None:
            try:
                similarity = MemoryConfig.from_json(settings).similarity
            except RlemError:  # a view whose model is gone: what it uses is not known
                return
            used |= FeatureBook(store, similarity).fingerprints
    store.drop_features(other_than=used)


def _equal(one: MemoryConfig, other: MemoryConfig) -> bool:
    return canonical(one.to_json()) == canonical(other.to_json())


def _difference(asked: MemoryConfig, stored: MemoryConfig) -> str:
    ours, theirs = asked.to_json(), stored.to_json()
    flat = {f"values.{k}": (v, theirs["values"].get(k)) for k, v in ours["values"].items()}
    flat |= {k: (ours[k], theirs[k]) for k in ours if k != "values"}
    return "; ".join(f"{k}: asked {a!r}, stored {b!r}" for k, (a, b) in flat.items() if a != b)
