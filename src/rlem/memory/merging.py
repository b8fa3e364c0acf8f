"""One memory of several: what they hold together, whoever is merged into whom."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

from rlem.core.errors import UsageError
from rlem.memory.config import MemoryConfig
from rlem.memory.copies import note_copy, place_of
from rlem.memory.history import differing
from rlem.memory.memory import ExperienceMemory, Progress


def merge(
    into: ExperienceMemory,
    others: Sequence[ExperienceMemory],
    *,
    config: MemoryConfig | None = None,
    progress: Progress | None = None,
) -> tuple[int, int]:
    """Takes the logs of others in, all or none; returns how many episodes are new, and how many were there.

    Logs interleave in canonical order. An episode of one id and content is there once, at its earliest place,
    with the corrections of all. The histories of the others note where their episodes went, if they can be
    written. ``config``: the settings to go on with; None: all must have the same (else a UsageError). Other
    content under one id is an EpisodeConflictError, and then nothing was taken in.
    """
    for other in others if config is None else ():
        names = differing(into.config, other.config)
        if names:
            raise UsageError(
                f"{into.location} and {other.location} have other settings ({', '.join(names)}): say "
                "whose the merged memory takes by --settings-of MEMORY (in Python: settings_of=)"
            )
    for other in others:
        note_copy(other.store, "merge", into.location)
    episodes = chain.from_iterable(other.episodes() for other in others)
    result = into.insert(episodes, progress, origin={"from": [place_of(other.location) for other in others]})
    if config is not None and differing(into.config, config):
        into.rebuild(config, progress)
    return result
