"""Reads a run folder: config, versions, and the episodes one at a time."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from rlem.core.errors import DataError, RunError
from rlem.runner.records import SCHEMA_VERSION, EpisodeRecord, RunConfig

CONFIG, EPISODES, VERSIONS = "config.json", "episodes.jsonl", "versions.json"


def read_config(folder: Path) -> RunConfig:
    """What the run was asked to do. Raises RunError where the folder is no run, DataError if damaged."""
    path = folder / CONFIG
    try:
        text = path.read_bytes()
    except OSError as error:
        raise RunError(
            f"{folder} is not a run folder: {CONFIG} cannot be read ({error.strerror}); "
            "give the folder that a run wrote"
        ) from error
    try:
        return RunConfig.model_validate_json(text)
    except ValidationError as error:
        raise DataError(f"{path} is not a run config: {_first(error)}") from error


def read_versions(folder: Path) -> dict[str, str]:
    """Versions as flat name-value pairs; empty where the file is absent or unreadable."""
    try:
        data = json.loads((folder / VERSIONS).read_bytes())
    except (OSError, ValueError):
        return {}
    return dict(_flat("", data)) if isinstance(data, dict) else {}


class EpisodeFile:
    """The episodes of a run in file order, as (byte offset, record), read as a stream.

    A last line that is cut short (the run was killed while writing it) is passed over, and ``torn`` is
    True afterwards. Damage anywhere else raises DataError with the line's number.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.torn = False

    def __iter__(self) -> Iterator[tuple[int, EpisodeRecord]]:
        self.torn = False
        offset = 0
        damage: DataError | None = None
        try:
            with self.path.open("rb") as file:
                for number, line in enumerate(file, start=1):
                    if damage is not None:
                        raise damage
                    try:
                        record = self._parse(line, number)
                    except DataError as error:
                        damage = error
                        continue
                    if record is not None:
                        yield offset, record
                    offset += len(line)
        except OSError as error:
            raise RunError(
                f"{self.path} cannot be read ({error.strerror}): the run has no episodes yet, start it first"
            ) from error
        if damage is not None:
            if not self._is_cut(offset):
                raise damage
            self.torn = True

    def at(self, offsets: Iterable[int]) -> list[EpisodeRecord]:
        """The records that begin at these offsets, in the order asked."""
        records = []
        with self.path.open("rb") as file:
            for offset in offsets:
                file.seek(offset)
                records.append(EpisodeRecord.model_validate_json(file.readline()))
        return records

    def _parse(self, line: bytes, number: int) -> EpisodeRecord | None:
        if not line.strip():
            return None
        try:
            return EpisodeRecord.model_validate_json(line)
        except ValidationError as error:
            raise DataError(self._complaint(line, number, error)) from error

    def _complaint(self, line: bytes, number: int, error: ValidationError) -> str:
        try:
            version = json.loads(line).get("schema_version", SCHEMA_VERSION)
        except (ValueError, AttributeError):
            version = SCHEMA_VERSION
        if isinstance(version, int) and version > SCHEMA_VERSION:
            return (
                f"{self.path} line {number} has schema version {version}, this rlem reads up to "
                f"{SCHEMA_VERSION}: update rlem"
            )
        where = f"{self.path} line {number}"
        return f"{where} is not an episode record: {_first(error)}; restore or remove the line"

    def _is_cut(self, offset: int) -> bool:
        """Whether the last line is no JSON at all (cut short), not a record of the wrong form."""
        with self.path.open("rb") as file:
            file.seek(offset)
            try:
                json.loads(file.readline())
            except ValueError:
                return True
        return False


def _first(error: ValidationError) -> str:
    problem = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(str(part) for part in problem["loc"])
    return f"{where}: {problem['msg']}" if where else str(problem["msg"])


def _flat(prefix: str, data: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for key, value in data.items():
        name = f"{prefix}{key}"
        if isinstance(value, dict):
            yield from _flat(f"{name}.", value)
        elif value is not None:
            yield name, value if isinstance(value, str) else json.dumps(value)
