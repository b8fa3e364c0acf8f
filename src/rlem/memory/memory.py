"""The experience memory: a log of episodes that is the truth, and experiences derived from it.

One object over one view of one store. All methods are thread-safe; several processes may share one place.
"""

from __future__ import annotations

import hashlib
import random
import threading
import uuid
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace

from rlem.core.clock import Clock, system_clock
from rlem.core.errors import EpisodeConflictError, ExperienceMemoryError, UsageError
from rlem.core.types import JSON, Correction, Episode, Situation
from rlem.memory.checks import checked, number
from rlem.memory.codec import canonical, episode_to_json, experience_to_json
from rlem.memory.config import MemoryConfig
from rlem.memory.corrections import same_play, united
from rlem.memory.experience import Experience, Recalled
from rlem.memory.explain import Contribution, visits
from rlem.memory.features import situations_of
from rlem.memory.influence import limit_influence
from rlem.memory.measure import Measured, measure, perturbed
from rlem.memory.ranking import OVER_FETCH, Bounds, Rank, candidates, rerank
from rlem.memory.state import Progress, ViewState, drop_unused_features, until_done
from rlem.memory.store import MAIN, Place, Store

MOST_LOOKED_AT = 1000
"""So many of the most similar experiences are looked at for some whose sources have not had their share."""


@dataclass(slots=True)
class _Ticket:
    """An episode that waits for a commit, and what became of it."""

    episode: Episode
    committed: Episode | None = None
    error: Exception | None = None

    again: bool = False

    @property
    def done(self) -> bool:
        """Whether its commit was made, or failed."""
        return self.committed is not None or self.error is not None

    def settle(self, error: Exception, store: Store) -> None:
        """Its commit failed; unless an interrupted one before had stored it already."""
        if self.again and isinstance(error, EpisodeConflictError):
            present = store.episode(self.episode.id)
            if present is not None and same_play(present, self.episode):
                self.committed = present
                return
        self.error = error


class ExperienceMemory:
    """Experiences over an append-only episode log.

    ``config=None`` takes what the store holds (or the defaults, for a new one). A config that differs
    from the stored one is refused: ``rebuild`` changes it. ``view`` names one of several ways to learn from
    the same log, each with settings of its own.
    """

    def __init__(
        self,
        store: Store,
        config: MemoryConfig | None = None,
        *,
        view: str = MAIN,
        clock: Clock = system_clock,
        progress: Progress | None = None,
    ) -> None:
        self._state = ViewState(store, view, config, progress)
        self._clock = clock
        self._queue: list[_Ticket] = []
        self._queue_lock = threading.Lock()

    # -- facts ---------------------------------------------------------------------------------------

    @property
    def config(self) -> MemoryConfig:
        """Learning, similarity and capacity of this view."""
        return self._state.config

    @property
    def store(self) -> Store:
        """What keeps it."""
        return self._state.store

    @property
    def location(self) -> str:
        """Where it is kept: path, URL or ":memory:"."""
        return self.store.location

    @property
    def view(self) -> str:
        """Name of the view."""
        return self._state.view

    def __len__(self) -> int:
        """Number of experiences (situations with at least one tried action)."""
        with self._state.current() as table:
            return len(table)

    def episode_count(self) -> int:
        """Number of episodes in the log."""
        with self._state.current():
            return self._state.count

    def revision(self) -> int:
        """Number of writes that made the memory what it is now."""
        with self._state.current():
            return self._state.revision

    def episodes(self) -> Iterator[Episode]:
        """The log, in canonical order."""
        self._state.check_open()
        return self.store.episodes()

    def find_episode(self, episode_id: str) -> Episode | None:
        """One episode of the log; None if there is none of that id."""
        self._state.check_open()
        return self.store.episode(episode_id)

    def experiences(self) -> list[Experience]:
        """All experiences, ordered by key."""
        with self._state.steady() as table:
            return list(table.experiences())

    def get(self, key: str) -> Experience | None:
        """The experience of a content key (or of the only key that starts so)."""
        with self._state.steady() as table:
            if key and key not in table:
                near = [k for k in table.keys() if k.startswith(key)]  # noqa: SIM118
                key = near[0] if len(near) == 1 else ""
            return next(table.experiences([key])) if key in table else None

    @until_done
    def hash(self) -> str:
        """Canonical hash (SHA-256) of the log's content in canonical order and of the derived values.

        Sequence numbers and times are no part of it: a memory that forgot an episode has the hash of one
        that never saw it.
        """
        content = hashlib.sha256()
        with self._state.steady() as table:
            for episode in self.store.episodes():
                content.update(canonical(episode_to_json(episode, content_only=True)).encode())
                content.update(b"\n")
            for experience in table.experiences():
                content.update(canonical(experience_to_json(experience)).encode())
                content.update(b"\n")
        return content.hexdigest()

    # -- recall --------------------------------------------------------------------------------------

    @until_done
    def recall(
        self,
        query: Situation,
        k: int = 2,
        *,
        rank: Rank = "similarity",
        bounds: Bounds = None,
        exemplars: int | None = None,
    ) -> tuple[Recalled, ...]:
        """The k experiences most similar to a situation, best first. Never waits for a commit.

        Order: similarity, then samples, then content key; or by ``rank``, with the range of returns in
        ``bounds`` (rlem.memory.ranking). Source: Zhang et al. 2023, section 3.2.
        ``exemplars``: how many of them one advice will show (k, if nobody says); no source but the owner's
        own makes more of so many than its share (``MemoryConfig.max_influence``), so that there may be fewer.
        """
        share = self.config.max_influence
        fetched = wanted = candidates(k, rank)
        while True:
            found = self._similar(query, fetched)
            kept = found if share is None else limit_influence(found, exemplars or k, share)
            if len(kept) >= wanted or len(found) < fetched or fetched >= MOST_LOOKED_AT:
                return rerank(kept[:wanted], k, rank, bounds)
            fetched *= OVER_FETCH  # the most similar ones are of a source that has had its share

    def _similar(self, query: Situation, k: int) -> tuple[Recalled, ...]:
        one_state: AbstractContextManager[None] = nullcontext()
        while True:
            with self._state.lock, one_state, self._state.current() as table:
                found = table.search(query, k)
                missing = table.missing(found)
                if missing and not self._state.fill(missing):
                    one_state = self.store.read()  # others write all the time
                    continue
                recalled = tuple(
                    Recalled(
                        experience=table.loaded(slot).experience(),
                        similarity=score,
                        parts=table.index.parts(query, slot),
                    )
                    for _, score, slot in found
                )
                table.trim()
                return recalled

    def contributions(self, key: str, action: str) -> list[Contribution]:
        """Where the value of an action comes from: every visit of it in the log that taught something.

        Where values bootstrap, the whole log is replayed for it.
        """
        self._state.check_open()
        with self.store.read():
            return visits(self.store, self.config, [key]).get((key, action), [])

    def measure_recall(self, queries: int = 200, seed: int = 0, *, best_from: int | None = None) -> Measured:
        """How well recall by candidates finds what scoring all finds, on queries like this memory's own.

        ``best_from``: look for candidates from so many experiences on, as in a larger memory; by default as
        recall does. Errors: UsageError for an empty memory or without queries.
        """
        with self._state.steady() as table:
            keys = sorted(table.keys())
            some = random.Random(seed).sample(keys, min(len(keys), 2 * queries))
            situations = [experience.situation for experience in table.experiences(some)]
            asked = perturbed(situations, queries, seed=seed)
            return measure(table.index, asked, best_from=best_from)

    # -- recording -----------------------------------------------------------------------------------

    def record(self, episode: Episode) -> Episode:
        """Commits one episode and learns it; returns it with its place in the log.

        Episodes that several threads record at the same time share a commit.
        """
        ticket = _Ticket(checked(episode))
        with self._queue_lock:
            self._queue.append(ticket)
        with self._state.write_lock:  # whoever comes first writes for all who wait
            if not ticket.done:
                with self._queue_lock:
                    batch, self._queue = self._queue, []
                try:
                    self._commit(batch)
                except BaseException:
                    waiting = [other for other in batch if not other.done and other is not ticket]
                    for other in waiting:
                        other.again = True  # the commit may have been made before this came
                    with self._queue_lock:
                        self._queue += waiting
                    raise
        if ticket.error is not None:
            raise ticket.error
        assert ticket.committed is not None
        return ticket.committed

    def _commit(self, batch: Sequence[_Ticket]) -> None:
        """Commits all in one transaction; each by itself if that fails, so that none spoils the others'."""
        try:
            for ticket, episode in zip(batch, self._record([t.episode for t in batch]), strict=True):
                ticket.committed = episode
        except Exception as error:
            # What ails the place of the memory ails all: trying one after the other would only take longer.
            shared = isinstance(error, ExperienceMemoryError) and not isinstance(error, EpisodeConflictError)
            if len(batch) == 1 or shared:
                for ticket in batch:
                    ticket.settle(error, self.store)
            else:
                for ticket in batch:
                    self._commit([ticket])

    def record_many(self, episodes: Sequence[Episode]) -> list[Episode]:
        """Commits episodes in the given order in one durable transaction: all of them or none."""
        return self._record([checked(episode) for episode in episodes])

    @until_done
    def _record(self, episodes: Sequence[Episode]) -> list[Episode]:
        state = self._state
        committed: list[Episode] = []
        with state.writing(), state.lock:
            for episode in episodes:
                sequence = state.last[0] + 1 if state.last else 1
                placed = replace(episode, sequence=sequence, recorded_s=self._clock())
                self.store.append(placed)
                state.learn(placed)
                committed.append(placed)
            state.save()
        return committed

    def insert(
        self,
        episodes: Iterable[Episode],
        progress: Progress | None = None,
        *,
        origin: Mapping[str, JSON] | None = None,
    ) -> tuple[int, int]:
        """Takes in episodes that carry their own places (imports, merges); returns (added, already there).

        Episodes interleave with the log in canonical order, so the result does not depend on which
        memory took the other's: one that both have keeps the earlier place and the corrections of both. An
        id that is taken by other content is an EpisodeConflictError, and then nothing was taken in.
        ``origin``: where they come from, for the history.
        """
        state, store = self._state, self.store
        with state.writing():
            last, now = state.last, store.revision()
            places: list[Place] = []
            visited: set[Situation] = set()
            there = changed = 0
            for given in episodes:
                episode = checked(given)
                present = store.episode(episode.id)
                if present is None:
                    known = (replace(item, revision=now) for item in episode.corrections)
                    store.append(replace(episode, corrections=tuple(known)))
                    places.append((episode.sequence, episode.id))
                elif not same_play(present, episode):
                    raise EpisodeConflictError(
                        f"episode {episode.id!r} is in {self.location} already, with other content: "
                        "nothing was taken in; give one of the two another id"
                    )
                else:
                    there += 1
                    both = united(present, episode, now)
                    if both == present:
                        continue
                    changed += 1
                    store.amend(both)
                visited.update(situations_of([episode]))
            if places or changed:
                detail = {"episodes": len(places), "changed": changed, **(origin or {})}
                store.note("insert", self._clock(), detail)
                if not changed and (last is None or min(places) > last):
                    state.learn_after(last, progress)
                else:
                    state.relearn(visited, progress)
            state.save()
        return len(places), there

    # -- changing the past ---------------------------------------------------------------------------

    @until_done
    def forget(
        self,
        *,
        episode: str | Collection[str] | None = None,
        task: str | None = None,
        source: str | None = None,
        before_s: float | None = None,
        progress: Progress | None = None,
    ) -> int:
        """Takes episodes out as if they had never been: by id (one or several), by task text or task id, by
        source, or all that were recorded before a time (seconds since the epoch).

        What they touched is learned anew from the rest of the log, and the bytes are wiped from the file.
        Returns how many episodes went; none found is a UsageError.
        """
        given = [value for value in (episode, task, source, before_s) if value is not None]
        if len(given) != 1:
            raise UsageError("forget takes exactly one of episode=, task=, source=, before=")
        state, store = self._state, self.store
        with state.writing():
            if episode is not None:
                found = [store.episode(name) for name in ([episode] if isinstance(episode, str) else episode)]
            else:
                names = store.find(task=task, source=source, before_s=before_s)
                found = [store.episode(name) for name in names]
            gone = [item for item in found if item is not None]
            if not gone:
                raise UsageError(f"nothing to forget: no episode in {self.location} matches {given[0]!r}")
            situations = situations_of(gone)
            store.delete([item.id for item in gone])
            store.drop_derived(keep_view=self.view)
            state.relearn(situations, progress)
            state.drop_features_of(situations)
            state.save(image=True)
            store.note("forget", self._clock(), {"episodes": len(gone)})
        store.erase()
        return len(gone)

    @until_done
    def correct(self, episode_id: str, rewards: Mapping[int, float], reason: str = "") -> Episode:
        """Puts rewards of an episode of the log right, by step (from 0); returns the episode as it is now.

        All values that follow from them are learned anew. The episode keeps what the rewards were.
        Errors: UsageError for an episode or a step that is not there, or a reward that is no number.
        """
        state, store = self._state, self.store
        with state.writing():
            episode = store.episode(episode_id)
            if episode is None:
                raise UsageError(f"there is no episode {episode_id!r} in {self.location}")
            steps, made = list(episode.transitions), []
            for step, reward in sorted(rewards.items()):
                if not 0 <= step < len(steps):
                    raise UsageError(
                        f"episode {episode_id!r} has no step {step}: its steps are 0 to {len(steps) - 1}"
                    )
                correction = Correction(
                    step=step,
                    was=steps[step].reward,
                    now=number(reward, f"the reward of step {step}"),
                    reason=reason,
                    revision=store.revision(),
                    recorded_s=self._clock(),
                )
                if correction.now == correction.was:
                    raise UsageError(f"nothing to correct: step {step} has the reward {reward:g} already")
                steps[step] = replace(steps[step], reward=correction.now)
                made.append(correction)
            episode = replace(episode, transitions=tuple(steps), corrections=(*episode.corrections, *made))
            store.amend(episode)
            state.relearn(situations_of([episode]))
            state.save()
            store.note("correct", self._clock(), {"rewards": len(made)})
        return episode

    @until_done
    def rebuild(self, config: MemoryConfig | None = None, progress: Progress | None = None) -> None:
        """Derives all experiences of the view anew from the log, under other settings if given.

        Features that the log's texts lack under another similarity are made first, in writes of their own:
        broken off, it goes on where it stopped. Everything else happens whole or not at all.
        """
        state, store = self._state, self.store
        wanted = config or self.config
        if wanted.similarity.fingerprint != self.config.similarity.fingerprint:
            state.make_features(wanted, progress)
        with state.writing():
            store.put_settings(self.view, wanted.to_json())
            state.replay(wanted, progress, keep=True)
            state.save()
            drop_unused_features(store)
            store.note("settings" if config else "rebuild", self._clock(), {"view": self.view})

    def close(self) -> None:
        """Closes the store. May be called twice.

        A memory that was written to leaves a fresh image of its index, so that it opens quickly.
        """
        self._state.close()


def new_episode_id() -> str:
    """A fresh random episode id (32 hex digits)."""
    return uuid.uuid4().hex


__all__ = ["Contribution", "ExperienceMemory", "ExperienceMemoryError", "Progress", "new_episode_id"]
