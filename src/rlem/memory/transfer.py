"""A memory's log as JSON lines: a header, then one episode a line in canonical order."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Literal, TextIO

from rlem.core.errors import DataError, MemoryReadOnlyError
from rlem.core.types import Episode
from rlem.memory.codec import canonical, episode_from_json, episode_to_json
from rlem.memory.config import MemoryConfig
from rlem.memory.copies import note_copy, place_of
from rlem.memory.memory import ExperienceMemory, Progress

FORMAT = "rlem-episodes"
VERSION = 1

ImportTrust = Literal["unverified", "verified", "keep"]
"""What imported episodes may do. unverified (default): inform, never encourage. verified: the caller
vouches for their rewards. keep: as the file says."""


def export_episodes(memory: ExperienceMemory, path: Path, progress: Progress | None = None) -> int:
    """Writes the whole log to ``path`` (whole or not at all); returns the number of episodes.

    The memory's history notes where it went, if it is open for writing.
    """
    note_copy(memory.store, "export", path)
    total, count = memory.episode_count(), 0
    header = {"format": FORMAT, "version": VERSION, "settings": memory.config.to_json()}
    with whole(path) as stream:
        stream.write(canonical(header) + "\n")
        for episode in memory.episodes():
            stream.write(canonical(episode_to_json(episode)) + "\n")
            count += 1
            if progress:
                progress(count, total)
    return count


@contextmanager
def whole(path: Path) -> Iterator[TextIO]:
    """A stream to a new file that is put in place, durably, when the block ends well; else nothing is."""
    part = path.with_name(path.name + ".part")
    try:
        with part.open("w", encoding="ascii") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        part.replace(path)
    except BaseException as error:
        with suppress(OSError):
            part.unlink()
        if isinstance(error, OSError):
            raise MemoryReadOnlyError(f"{path} could not be written: {error.strerror or error}") from error
        raise


def forget_in_export(path: Path, gone: Callable[[Episode], bool]) -> int:
    """Takes episodes out of an export, which is written anew, whole or not at all; returns how many went.

    What a killed export left beside it goes as a whole, and counts if there is nothing else.
    """
    left = _left_over(path, gone)
    if left is not None and not path.exists():
        return left
    count = sum(map(gone, read_episodes(path)))
    if count:
        with path.open(encoding="utf-8") as stream:
            header = stream.readline()
        with whole(path) as stream:
            stream.write(header)
            for episode in read_episodes(path):
                if not gone(episode):
                    stream.write(canonical(episode_to_json(episode)) + "\n")
    return count


def _left_over(path: Path, gone: Callable[[Episode], bool]) -> int | None:
    """Deletes the part of an export that a kill left; how many of the episodes were in it (None: no part)."""
    part = path.with_name(path.name + ".part")
    if not part.exists():
        return None
    count = 0
    with suppress(DataError):  # its last line may be torn
        for episode in read_episodes(part):
            count += gone(episode)
    part.unlink()
    return count


def import_episodes(
    memory: ExperienceMemory,
    path: Path,
    *,
    trust: ImportTrust = "unverified",
    progress: Progress | None = None,
) -> tuple[int, int]:
    """Takes the episodes of an export in, all or none; returns (added, already there).

    One that is there already keeps the trust it has there.
    """

    def known(episode: Episode) -> Episode:
        present = memory.find_episode(episode.id) if trust == "unverified" else None
        return replace(episode, trust=present.trust) if present else episode

    origin = {"from": place_of(path)}
    return memory.insert(map(known, read_episodes(path, trust=trust)), progress, origin=origin)


def read_settings(path: Path) -> MemoryConfig:
    """The settings of the memory that an export was made from."""
    try:
        with path.open(encoding="utf-8") as stream:
            header = json.loads(stream.readline())
        if not isinstance(header, dict):
            raise DataError("the first line is not a JSON object")
        _check_header(header)
        return MemoryConfig.from_json(header.get("settings") or {})
    except (OSError, ValueError, DataError, RecursionError) as error:
        raise DataError(f"{path} is no export of rlem's: {error}") from error


def read_episodes(path: Path, *, trust: ImportTrust = "keep") -> Iterator[Episode]:
    """The episodes of an export, one after the other. DataError names the broken line."""
    number = 0
    try:
        with path.open(encoding="utf-8") as stream:
            for number, line in enumerate(stream, 1):
                try:
                    data = json.loads(line)
                    if not isinstance(data, dict):
                        raise DataError("the line is not a JSON object")
                    if number == 1:
                        _check_header(data)
                        continue
                    episode = episode_from_json(data)
                except (ValueError, DataError, RecursionError) as error:
                    raise DataError(f"{path}, line {number}: {error}; nothing was imported") from error
                if trust != "keep" and episode.trust != "quarantined":
                    episode = replace(episode, trust=trust)
                yield episode
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read: {error}") from error
    if number == 0:
        raise DataError(f"{path} is empty: it is no export of rlem's")


def _check_header(data: dict[str, object]) -> None:
    version = data.get("version")
    if data.get("format") != FORMAT or not isinstance(version, int):
        raise DataError(f'this is no export of rlem\'s: the first line must hold "format":"{FORMAT}"')
    if version > VERSION:
        raise DataError(
            f"written by a newer rlem (version {version}, this one reads {VERSION}): upgrade rlem"
        )
