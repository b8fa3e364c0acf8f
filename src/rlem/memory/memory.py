"""The experience memory: a log of episodes that is the truth, and experiences derived from it.

One object over one store. All methods are thread-safe; several processes may share one SQLite file.
"""

from __future__ import annotations

import hashlib
import threading
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import wraps
from typing import ParamSpec, TypeVar

from rlem.core.clock import Clock, system_clock
from rlem.core.errors import (
    ClosedError,
    EpisodeConflictError,
    ExperienceMemoryError,
    TryAgainError,
    UsageError,
)
from rlem.core.types import Episode, Situation
from rlem.memory.codec import (
    MAX_NUMBER,
    MAX_SEQUENCE,
    STATUSES,
    TRUSTS,
    canonical,
    episode_to_json,
    experience_to_json,
    finite,
)
from rlem.memory.config import MemoryConfig
from rlem.memory.experience import Experience, Recalled
from rlem.memory.store import Derived, FeatureKey, Store
from rlem.memory.table import ExperienceTable
from rlem.similarity.fields import digest

LEARNER_VERSION = 1
"""Changes when the same log would give other values; derived state of another version is made anew."""

Given = ParamSpec("Given")
Result = TypeVar("Result")

Progress = Callable[[int, int], None]
"""Called with (done, total) during long work."""


def _until_done(act: Callable[Given, Result]) -> Callable[Given, Result]:
    """Does it again as long as the store says that others came between and nothing of it is stored."""

    @wraps(act)
    def done(*given: Given.args, **named: Given.kwargs) -> Result:
        while True:
            try:
                return act(*given, **named)
            except TryAgainError:
                continue

    return done


@dataclass(frozen=True, slots=True, kw_only=True)
class Contribution:
    """What one episode added to the value of one action: its immediate reward there, and its own return
    from there on (the Monte-Carlo target)."""

    episode: Episode
    step: int
    reward: float
    return_: float


class ExperienceMemory:
    """Experiences over an append-only episode log.

    ``config=None`` takes what the store holds (or the defaults, for a new one). A config that differs
    from the stored one is refused: ``rebuild`` changes it.
    """

    def __init__(
        self,
        store: Store,
        config: MemoryConfig | None = None,
        *,
        clock: Clock = system_clock,
        progress: Progress | None = None,
    ) -> None:
        self._store = store
        self._clock = clock
        self._lock = threading.RLock()
        self._closed = False
        self._known_features: dict[FeatureKey, bytes] = {}
        self._new_features: dict[FeatureKey, bytes] = {}
        self._config = self._agree(config)
        with store.read():
            self._load(store.revision(), progress)

    # -- state ---------------------------------------------------------------------------------------

    def _agree(self, config: MemoryConfig | None) -> MemoryConfig:
        """The settings of the store; those asked for, if it is new. Refuses a difference."""
        if self._store.settings() is None:
            with self._store.write():
                if self._store.settings() is None:  # else another process was first
                    self._store.put_settings((config or MemoryConfig()).to_json())
        stored = self._store.settings()
        assert stored is not None
        if config is not None and canonical(config.to_json()) == canonical(stored):
            return config
        found = MemoryConfig.from_json(stored)
        if config is not None:
            raise UsageError(
                f"{self._store.location} was made with other settings ({_difference(config, found)}): "
                "open it without settings, or change it with rebuild"
            )
        return found

    @property
    def _fingerprint(self) -> str:
        settings = hashlib.sha256(canonical(self._config.to_json()).encode())
        return f"learner-{LEARNER_VERSION} {settings.hexdigest()}"

    def _load(self, revision: int, progress: Progress | None = None) -> None:
        """Takes the derived state of that revision from the store, or derives it anew where it is stale,
        missing or damaged."""
        self._known_features, self._new_features = self._store.features(), {}
        if not self._restore(revision):
            self._replay(progress)
        self._known_features = {}
        self._revision = revision
        self._stale = False

    def _restore(self, revision: int) -> bool:
        mark = self._store.derived_mark()
        if mark is None or mark[:2] != (self._fingerprint, revision):
            return False
        self._table = self._new_table()
        try:
            self._table.restore(self._store.derived())
        except (ValueError, TypeError, LookupError):
            return False
        self._count, self._last = self._store.count(), self._store.last()
        return True

    def _new_table(self) -> ExperienceTable:
        return ExperienceTable(self._config, self._features)

    def _features(self, situation: Situation) -> Mapping[str, bytes]:
        """Stored features of a situation; made, and noted for storing, where there are none yet."""
        found: dict[str, bytes] = {}
        made: Mapping[str, bytes] | None = None
        for _, feature in self._config.similarity.terms:
            key = (feature.fingerprint, digest(feature.text_of(situation)))
            data = self._known_features.get(key, self._new_features.get(key))
            if data is None:
                made = made or self._table.index.features_of(situation)
                data = self._new_features[key] = made[feature.fingerprint]
            found[feature.fingerprint] = data
        return found

    def _replay(self, progress: Progress | None = None) -> None:
        """Derives everything from the log, in canonical order."""
        self._table = self._new_table()
        total, self._count, self._last = self._store.count(), 0, None
        for episode in self._store.episodes():
            self._learn(episode)
            if progress:
                progress(self._count, total)

    def _learn(self, episode: Episode) -> set[str]:
        self._count += 1
        self._last = (episode.sequence, episode.id)
        return self._table.learn(episode)

    def _states(self, keys: Iterable[str] | None = None) -> Iterator[Derived]:
        for key in sorted(self._table.keys() if keys is None else keys):
            state = self._table.state(key)
            if state is not None:
                yield self._table.situation(key), state

    @_until_done
    def _catch_up(self) -> None:
        """Learns what other writers committed since; reads everything anew where they did more than add."""
        if self._closed:
            raise ClosedError(f"the memory {self._store.location} is closed")
        if not self._stale and self._store.revision() == self._revision:
            return
        with self._store.read():
            if not self._learn_news():
                self._load(self._store.revision())
            self._revision = self._store.revision()

    def _learn_news(self) -> bool:
        """Learns the episodes that others added; False if they did more than add, or we lost track."""
        stored = self._store.settings()
        if stored is not None and canonical(stored) != canonical(self._config.to_json()):
            self._config = MemoryConfig.from_json(stored)
            return False
        mark = self._store.derived_mark()
        if self._stale or mark is None or mark[2] > self._revision:
            return False
        for episode in self._store.episodes(after=self._last):
            self._learn(episode)
        self._new_features.clear()  # whoever wrote those episodes stored their features
        return True

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """A write with the state caught up; a failed one leaves nothing behind, here or in the store."""
        with self._lock:
            if self._closed:
                raise ClosedError(f"the memory {self._store.location} is closed")
            try:
                with self._store.write():
                    moved = self._store.revision() != self._revision + 1
                    if (self._stale or moved) and not self._learn_news():
                        self._load(self._store.revision() - 1)
                    yield
                    revision = self._store.revision()  # after the block it may be that of others' writes
                self._revision = revision
            except BaseException:
                self._stale = True
                raise

    # -- facts ---------------------------------------------------------------------------------------

    @property
    def config(self) -> MemoryConfig:
        """Learning, similarity and capacity of this memory."""
        return self._config

    @property
    def location(self) -> str:
        """Where it is kept: path, URL or ":memory:"."""
        return self._store.location

    def __len__(self) -> int:
        """Number of experiences (situations with at least one tried action)."""
        with self._lock:
            self._catch_up()
            return len(self._table)

    def episode_count(self) -> int:
        """Number of episodes in the log."""
        with self._lock:
            self._catch_up()
            return self._count

    def episodes(self) -> Iterator[Episode]:
        """The log, in canonical order."""
        with self._lock:
            self._catch_up()
        return self._store.episodes()

    def find_episode(self, episode_id: str) -> Episode | None:
        """One episode of the log; None if there is none of that id."""
        with self._lock:
            if self._closed:
                raise ClosedError(f"the memory {self._store.location} is closed")
            return self._store.episode(episode_id)

    def experiences(self) -> list[Experience]:
        """All experiences, ordered by key."""
        with self._lock:
            self._catch_up()
            return list(self._table.experiences())

    def get(self, key: str) -> Experience | None:
        """The experience of a content key (or of the only key that starts so)."""
        with self._lock:
            self._catch_up()
            found = self._table.get(key)
            if found is None and key:
                near = [k for k in self._table.keys() if k.startswith(key)]  # noqa: SIM118
                found = self._table.get(near[0]) if len(near) == 1 else None
            return found

    @_until_done
    def hash(self) -> str:
        """Canonical hash (SHA-256) of the log's content in canonical order and of the derived values.

        Sequence numbers and times are no part of it: a memory that forgot an episode has the hash of one
        that never saw it.
        """
        content = hashlib.sha256()
        with self._lock, self._store.read():
            self._catch_up()
            for episode in self._store.episodes():
                content.update(canonical(episode_to_json(episode, content_only=True)).encode())
                content.update(b"\n")
            for experience in self._table.experiences():
                content.update(canonical(experience_to_json(experience)).encode())
                content.update(b"\n")
        return content.hexdigest()

    # -- recall --------------------------------------------------------------------------------------

    def recall(self, query: Situation, k: int = 2) -> tuple[Recalled, ...]:
        """The k experiences most similar to a situation, best first.

        Order: similarity, then samples, then content key. Source: Zhang et al. 2023, section 3.2.
        """
        with self._lock:
            self._catch_up()
            return tuple(
                Recalled(
                    experience=experience, similarity=score, parts=dict(self._table.index.parts(query, slot))
                )
                for experience, score, slot in self._table.ranked(query, k)
            )

    def contributions(self, key: str, action: str) -> list[Contribution]:
        """Where the value of an action comes from: every visit of it in the log that taught something."""
        found: list[Contribution] = []
        with self._lock:
            self._catch_up()
            for episode_id in self._store.episodes_of(key):
                episode = self._store.episode(episode_id)
                if episode is None or episode.status == "broken" or episode.trust == "quarantined":
                    continue
                ahead = 0.0
                visits: list[Contribution] = []
                for step in range(len(episode.transitions) - 1, -1, -1):
                    item = episode.transitions[step]
                    if item.action is None:
                        continue
                    ahead = item.reward + self._config.values.discount * ahead
                    if item.situation.key == key and item.action == action:
                        visits.append(
                            Contribution(episode=episode, step=step, reward=item.reward, return_=ahead)
                        )
                found.extend(reversed(visits))
        return found

    # -- writing -------------------------------------------------------------------------------------

    def record(self, episode: Episode) -> Episode:
        """Commits one episode and learns it; returns it with its place in the log."""
        return self.record_many([episode])[0]

    @_until_done
    def record_many(self, episodes: Sequence[Episode]) -> list[Episode]:
        """Commits episodes in the given order in one durable transaction: all of them or none."""
        checked = [_checked(episode) for episode in episodes]
        committed: list[Episode] = []
        with self._writing():
            touched: set[str] = set()
            for episode in checked:
                sequence = self._last[0] + 1 if self._last else 1
                placed = replace(episode, sequence=sequence, recorded_s=self._clock())
                self._store.append(placed)
                touched |= self._learn(placed)
                committed.append(placed)
            self._save(touched)
        return committed

    def _save(self, touched: set[str]) -> None:
        """Stores what was learned; all of it where the store's derived state is not the one before."""
        mark = self._store.derived_mark()
        self._store.put_features(self._new_features)
        if mark is not None and mark[:2] == (self._fingerprint, self._store.revision() - 1):
            removed = [key for key in touched if key not in self._table]
            self._store.put_derived(self._fingerprint, self._states(touched), removed)
        else:
            self._store.put_derived(self._fingerprint, self._states(), (), replace=True)
        self._new_features = {}

    def insert(self, episodes: Iterable[Episode], progress: Progress | None = None) -> tuple[int, int]:
        """Takes in episodes that carry their own places (imports, merges); returns (added, already there).

        Episodes interleave with the log in canonical order, so the result does not depend on which
        memory took the other's. An id that is taken by other content is an EpisodeConflictError, and
        then nothing was taken in.
        """
        added = skipped = 0
        with self._writing():
            for given in episodes:
                episode = _checked(given)
                present = self._store.episode(episode.id)
                if present is None:
                    self._store.append(episode)
                    added += 1
                elif _content(present) == _content(episode):
                    skipped += 1
                else:
                    raise EpisodeConflictError(
                        f"episode {episode.id!r} is in {self.location} already, with other content: "
                        "nothing was taken in; give one of the two another id"
                    )
            if added:
                self._rederive(progress)
            else:
                self._save(set())
        return added, skipped

    @_until_done
    def forget(
        self, *, episode: str | None = None, task: str | None = None, source: str | None = None
    ) -> int:
        """Takes episodes out as if they had never been: by id, by task text or task id, or by source.

        Everything derived is replayed from the rest of the log, and the bytes are wiped from the file.
        Returns how many episodes went; none found is a UsageError.
        """
        if sum(value is not None for value in (episode, task, source)) != 1:
            raise UsageError("forget takes exactly one of episode=, task=, source=")
        with self._writing():
            gone = [
                e.id
                for e in self._store.episodes()
                if e.id == episode or (task is not None and task in (e.task, e.task_id)) or e.source == source
            ]
            if not gone:
                wanted = episode or task or source
                raise UsageError(f"nothing to forget: no episode in {self.location} matches {wanted!r}")
            self._store.delete(gone)
            self._rederive()
        with self._lock:
            self._store.erase()
        return len(gone)

    @_until_done
    def rebuild(self, config: MemoryConfig | None = None, progress: Progress | None = None) -> None:
        """Derives all experiences anew from the log, under other settings if given."""
        with self._writing():
            if config is not None:
                self._config = config
                self._store.put_settings(config.to_json())
            self._rederive(progress)

    def _rederive(self, progress: Progress | None = None) -> None:
        self._known_features = self._store.features()
        self._replay(progress)
        self._store.put_features(self._new_features)
        self._store.put_derived(self._fingerprint, self._states(), (), replace=True)
        self._store.keep_features(
            {
                (feature.fingerprint, digest(feature.text_of(situation)))
                for key in self._table.keys()  # noqa: SIM118
                for situation in [self._table.situation(key)]
                for _, feature in self._config.similarity.terms
            }
        )
        self._known_features = {}
        self._new_features = {}

    def close(self) -> None:
        """Closes the store. May be called twice."""
        with self._lock:
            self._closed = True
            self._store.close()


def new_episode_id() -> str:
    """A fresh random episode id (32 hex digits)."""
    return uuid.uuid4().hex


def _content(episode: Episode) -> str:
    return canonical(episode_to_json(episode, content_only=True))


def _checked(episode: Episode) -> Episode:
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
        last_reward=_number(episode.last_reward, f"{name}: last_reward"),
        total_reward=_number(episode.total_reward, f"{name}: total_reward"),
        recorded_s=_number(episode.recorded_s, f"{name}: recorded_s"),
        transitions=tuple(
            replace(item, reward=_number(item.reward, f"{name}, step {step}: reward"))
            for step, item in enumerate(episode.transitions)
        ),
    )


def _number(value: object, what: str) -> float:
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


def _difference(asked: MemoryConfig, stored: MemoryConfig) -> str:
    ours, theirs = asked.to_json(), stored.to_json()
    flat = {f"values.{k}": (v, theirs["values"].get(k)) for k, v in ours["values"].items()}
    flat |= {k: (ours[k], theirs[k]) for k in ours if k != "values"}
    return "; ".join(f"{k}: asked {a!r}, stored {b!r}" for k, (a, b) in flat.items() if a != b)


__all__ = ["Contribution", "ExperienceMemory", "ExperienceMemoryError", "Progress", "new_episode_id"]
