"""Moving a whole memory from one store to another: a file, a server, either way."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from rlem.core.clock import system_clock
from rlem.core.errors import DataError, ExperienceMemoryError
from rlem.core.types import JSON, Episode
from rlem.memory.copies import note_copy, place_of
from rlem.memory.history import at
from rlem.memory.memory import ExperienceMemory, Progress
from rlem.memory.store import MAIN, Store


@dataclass(frozen=True, slots=True, kw_only=True)
class Copied:
    """What was copied, and the hash that source and target have in common."""

    episodes: int
    experiences: int
    hash: str


def copy_memory(
    source: Store,
    target: Store,
    progress: Progress | None = None,
    *,
    kind: str = "copy",
    revision: int | None = None,
) -> Copied:
    """Copies settings and log as of one moment; the target derives everything else by itself.

    ``revision``: the log as it was then (None: as it is). The source's history notes the copy under
    ``kind``, if it can be written, and the target's where it came from. Ends by comparing the canonical
    hashes of both. The target must be empty: DataError otherwise, and for a source that is no memory yet.
    ExperienceMemoryError if the hashes differ. ``progress`` counts each episode twice: when it is written,
    and when the target learns it.
    """
    if target.count():
        raise DataError(
            f"{target.location} holds {target.count()} episodes: a copy needs an empty place (to add to a "
            "memory, export and import, or merge)"
        )
    if source.settings(MAIN) is None:
        raise DataError(f"{source.location} holds no memory yet: there is nothing to copy")
    original = ExperienceMemory(source)
    if revision is not None:
        original = at(original, revision)
    note_copy(source, kind, target.location)
    with source.read():  # others may go on writing: what is copied and compared is one state
        total = original.episode_count()

        def written() -> Iterator[Episode]:
            for number, episode in enumerate(original.episodes(), 1):
                yield episode
                if progress:
                    progress(number, 2 * total)

        if target.settings(MAIN) is None:
            copy = ExperienceMemory(target, original.config)
        else:  # left by a copy that was broken off
            copy = ExperienceMemory(target)
            copy.rebuild(original.config)
        origin: dict[str, JSON] = {"from": place_of(source.location)}
        if revision is not None:
            origin["revision"] = revision
        learned = progress and (lambda done, _: progress(total + done, 2 * total))
        copy.insert(written(), learned, origin=origin)
        _copy_views(source, target)
        ours, theirs = original.hash(), copy.hash()
        if ours != theirs:
            raise ExperienceMemoryError(
                f"{target.location} is no equal copy of {source.location}: its hash is {theirs}, the "
                f"original's {ours}. Did somebody else write to it meanwhile? Copy to another place"
            )
        return Copied(episodes=total, experiences=len(copy), hash=ours)


def _copy_views(source: Store, target: Store) -> None:
    """Gives the target the other views that the source has; they are derived when they are first opened."""
    others = {view: source.settings(view) for view in source.views() if view != MAIN}
    if others:
        with target.write():
            for view, settings in others.items():
                target.put_settings(view, settings or {})
                target.note("view", system_clock(), {"view": view})
