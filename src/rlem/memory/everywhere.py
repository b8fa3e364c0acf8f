"""Forgetting in a memory and in all copies of it that its history names, and theirs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

from rlem.core.errors import DataError, ExperienceMemoryError, RlemError, UsageError
from rlem.core.types import Episode
from rlem.memory.copies import Copy, copies_of, place_of, seed_of
from rlem.memory.memory import ExperienceMemory
from rlem.memory.run_files import forget_in_run
from rlem.memory.state import Progress
from rlem.memory.store import MAIN, Store
from rlem.memory.transfer import forget_in_export

Opener = Callable[..., Store]
"""``rlem.api.stores.open_store``: the store of a path or URL, ``read_only`` if asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of one place: how many episodes went (of a run: records went or changed), or why it could
    not be done."""

    copy: Copy
    episodes: int = 0
    problem: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What is to be forgotten: episodes of these ids, and those that the criterion of ``forget`` names."""

    ids: frozenset[str] = frozenset()
    task: str | None = None
    source: str | None = None
    before_s: float | None = None

    @property
    def by_content(self) -> bool:
        """Whether it says more than ids."""
        return (self.task, self.source, self.before_s) != (None, None, None)

    def among(self, store: Store) -> Wanted:
        """With the ids of all episodes of a memory that it means."""
        found = {name for name in self.ids if store.episode(name) is not None}
        if self.by_content:
            found.update(store.find(task=self.task, source=self.source, before_s=self.before_s))
        return replace(self, ids=frozenset(found))

    def means(self, episode: Episode) -> bool:
        """Whether an episode is to go."""
        return episode.id in self.ids or (
            self.by_content
            and (self.task is None or self.task in (episode.task, episode.task_id))
            and (self.source is None or episode.source == self.source)
            and (self.before_s is None or episode.recorded_s < self.before_s)
        )


def all_copies(store: Store, opener: Opener) -> list[Copy]:
    """The copies of a memory, and the copies of those that are memories and can be opened."""
    own = place_of(store.location)
    found: dict[str, Copy] = {}

    def follow(within: Store) -> None:
        copies = [copy for copy in copies_of(within) if copy.place not in found and copy.place != own]
        found.update((copy.place, copy) for copy in copies)  # by their nearest relation
        for copy in copies:
            try:
                if copy.is_memory:
                    with closing(opener(copy.place, read_only=True)) as inner:
                        follow(inner)
            except RlemError:  # it is named all the same
                continue

    follow(store)
    return list(found.values())


def forget_everywhere(
    memory: ExperienceMemory,
    opener: Opener,
    *,
    episode: str | None = None,
    task: str | None = None,
    source: str | None = None,
    before_s: float | None = None,
    progress: Progress | None = None,
) -> list[Outcome]:
    """As ``ExperienceMemory.forget``, in its copies first; one outcome for each place, the memory's own last.

    In a copy go the episodes that the criterion names there, and those of the ids found here. A place that
    cannot be reached stops nothing: its outcome says why. None found anywhere is a UsageError.
    """
    given = [value for value in (episode, task, source, before_s) if value is not None]
    if len(given) != 1:
        raise UsageError("forget takes exactly one of episode=, task=, source=, before=")
    ids = frozenset() if episode is None else frozenset([episode])
    wanted = Wanted(ids=ids, task=task, source=source, before_s=before_s)
    own = place_of(memory.location)
    direct = {copy.place: copy for copy in copies_of(memory.store)}
    found = [
        replace(outcome, copy=_related(outcome.copy, direct))
        for outcome in _forget(
            memory, Copy(kind="memory", place=own, of=own), wanted, opener, {(own, "")}, progress
        )
    ]
    if not any(outcome.episodes or outcome.problem for outcome in found):
        raise UsageError(
            f"nothing to forget: no episode in {memory.location} or a copy of it matches {given[0]!r}"
        )
    return found


def raise_problems(outcomes: Iterable[Outcome]) -> None:
    """ExperienceMemoryError with the places where something could not be forgotten, if there are any."""
    problems = [f"{outcome.copy.place} ({outcome.problem})" for outcome in outcomes if outcome.problem]
    if problems:
        raise ExperienceMemoryError(
            f"not forgotten everywhere: {'; '.join(problems)}. Mend that and forget again, or remove them"
        )


def _forget(
    memory: ExperienceMemory,
    here: Copy,
    wanted: Wanted,
    opener: Opener,
    seen: set[tuple[str, str]],
    progress: Progress | None = None,
) -> Iterator[Outcome]:
    """Forgets in the copies of a memory, then in itself: broken off, the same command goes on."""
    store = memory.store
    # The copies must also lose what only they know by the criterion, and this one what is here by id.
    there = wanted.among(store)
    passed_on = replace(there, ids=there.ids | wanted.ids)
    for copy in copies_of(store):
        name = (copy.place, copy.of if copy.kind == "run" else "")
        if name in seen:
            continue
        seen.add(name)
        try:
            if copy.kind == "run":
                yield Outcome(copy=copy, episodes=_forget_in_run(store, copy, passed_on))
            elif copy.is_memory:
                given = replace(wanted, ids=frozenset()) if copy.kind == "seed" else passed_on
                with closing(opener(copy.place)) as inner:
                    if inner.settings(MAIN) is None:
                        raise DataError(f"{copy.place} is no memory any more")
                    yield from _forget(ExperienceMemory(inner), copy, given, opener, seen)
            else:
                yield Outcome(copy=copy, episodes=forget_in_export(Path(copy.place), passed_on.means))
        except (RlemError, OSError) as error:
            yield Outcome(copy=copy, problem=str(error))
    if not there.ids:
        yield Outcome(copy=here)
        return
    try:
        yield Outcome(copy=here, episodes=memory.forget(episode=there.ids, progress=progress))
    except RlemError as error:
        yield Outcome(copy=here, problem=str(error))


def _forget_in_run(store: Store, copy: Copy, wanted: Wanted) -> int:
    """In the run that the memory is of."""
    seed = seed_of(copy.of)
    return 0 if seed is None else forget_in_run(Path(copy.place), seed, store, wanted.ids, wanted.means)


def _related(copy: Copy, direct: dict[str, Copy]) -> Copy:
    """As the memory itself knows it; the origin of one of its copies is to it no more than a copy."""
    if copy.place in direct:
        return direct[copy.place]
    return replace(copy, kind="copy") if copy.kind == "origin" else copy
