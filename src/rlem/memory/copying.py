"""Moving a whole memory from one store to another: a file, a server, either way."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from rlem.core.errors import DataError, ExperienceMemoryError
from rlem.core.types import Episode
from rlem.memory.memory import ExperienceMemory, Progress
from rlem.memory.store import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class Copied:
    """What was copied, and the hash that source and target have in common."""

    episodes: int
    experiences: int
    hash: str


def copy_memory(source: Store, target: Store, progress: Progress | None = None) -> Copied:
    """Copies settings and log as of one moment; the target derives everything else by itself.

    Ends by comparing the canonical hashes of both. The target must be empty: DataError otherwise, and for a
    source that is no memory yet. ExperienceMemoryError if the hashes differ. ``progress`` counts each episode
    twice: when it is written, and when the target learns it.
    """
    if target.count():
        raise DataError(
            f"{target.location} holds {target.count()} episodes: a copy needs an empty place (to add to a "
            "memory, export and import)"
        )
    with source.read():  # others may go on writing: what is copied and compared is one state
        if source.settings() is None:
            raise DataError(f"{source.location} holds no memory yet: there is nothing to copy")
        original = ExperienceMemory(source)
        total = source.count()

        def written() -> Iterator[Episode]:
            for number, episode in enumerate(source.episodes(), 1):
                yield episode
                if progress:
                    progress(number, 2 * total)

        if target.settings() is None:
            copy = ExperienceMemory(target, original.config)
        else:  # left by a copy that was broken off
            copy = ExperienceMemory(target)
            copy.rebuild(original.config)
        copy.insert(written(), progress and (lambda done, _: progress(total + done, 2 * total)))
        ours, theirs = original.hash(), copy.hash()
        if ours != theirs:
            raise ExperienceMemoryError(
                f"{target.location} is no equal copy of {source.location}: its hash is {theirs}, the "
                f"original's {ours}. Did somebody else write to it meanwhile? Copy to another place"
            )
        return Copied(episodes=total, experiences=len(copy), hash=ours)
