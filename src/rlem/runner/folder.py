"""A run's folder on disk: written line by line, readable after any kill."""

from __future__ import annotations

import json
import os
import platform
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from importlib import metadata
from pathlib import Path
from typing import IO

from pydantic import ValidationError

import rlem
from rlem.core.errors import RunError
from rlem.runner.records import EpisodeRecord, RunConfig

LIBRARIES = ("numpy", "openai", "pydantic", "rapidfuzz", "snowballstemmer")


class RunFolder:
    """The files of one run. ``open`` makes the folder, or continues one with the same config.

    ``command``: what makes it again, for the report.
    """

    def __init__(self, path: Path, command: str = "") -> None:
        self.path = path
        self._command = command
        self.config_path = path / "config.json"
        self.episodes_path = path / "episodes.jsonl"
        self.timings_path = path / "timings.jsonl"

    def memory_path(self, seed: int) -> Path:
        """The memory file of one seed."""
        return self.path / f"memory-{seed}.rlem"

    @contextmanager
    def alone(self, *, wait: bool = False) -> Iterator[None]:
        """Keeps others out of the folder: processes of all machines that share it.

        ``wait``: for one that plays here already; else that is a RunError. A killed one keeps nobody out.
        """
        with ExitStack() as stack:
            try:
                self.path.mkdir(parents=True, exist_ok=True)
                stream = stack.enter_context((self.path / "lock").open("a+", encoding="utf-8"))
                if not _locked(stream, wait):
                    stream.seek(0)
                    raise RunError(
                        f"{self.path} is being played by another process ({stream.read()}): wait for it, or "
                        "choose another folder"
                    )
                stream.truncate(0)
                stream.write(f"{os.getpid()} on {platform.node()}")
                stream.flush()
            except OSError as error:
                reason = error.strerror or error
                raise RunError(f"the run folder {self.path} cannot be written: {reason}") from error
            yield

    def open(self, config: RunConfig) -> list[EpisodeRecord]:
        """Begins or continues the run; returns the records that are there already."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            if self.config_path.exists():
                self._check_same(config)
            else:
                if self.episodes_path.exists():
                    raise RunError(f"{self.path} holds episodes but no config.json: choose another folder")
                _write(self.config_path, config.model_dump_json(indent=2) + "\n")
            facts = versions() | ({"command": self._command} if self._command else {})
            _write(self.path / "versions.json", json.dumps(facts, indent=2) + "\n")
            return self._recover()
        except OSError as error:
            reason = error.strerror or error
            raise RunError(f"the run folder {self.path} cannot be written: {reason}") from error

    def _check_same(self, config: RunConfig) -> None:
        try:
            stored = RunConfig.model_validate_json(self.config_path.read_text("utf-8"))
        except ValueError as error:
            reason = error.errors()[0]["msg"] if isinstance(error, ValidationError) else error
            raise RunError(f"{self.config_path} cannot be read ({reason}): choose another folder") from error
        old, new = stored.model_dump(mode="json"), config.model_dump(mode="json")
        changed = [f"{key}: {old[key]!r} there, {new[key]!r} now" for key in new if old[key] != new[key]]
        if changed:
            raise RunError(
                f"{self.path} holds another run ({'; '.join(changed)}): give another --out, or the same "
                "options as before"
            )

    def _recover(self) -> list[EpisodeRecord]:
        """Reads all whole records; a line torn by a kill is cut off, so that appending goes on cleanly."""
        if not self.episodes_path.exists():
            return []
        records: list[EpisodeRecord] = []
        data = self.episodes_path.read_bytes()
        whole = 0
        for number, line in enumerate(data.splitlines(keepends=True), 1):
            if not line.endswith(b"\n"):
                break
            try:
                # Not by pydantic's own JSON reader: that one refuses lone surrogates.
                records.append(EpisodeRecord.model_validate(json.loads(line)))
            except ValueError as error:
                reason = error.errors()[0]["msg"] if isinstance(error, ValidationError) else error
                raise RunError(
                    f"{self.episodes_path}, line {number} is not an episode record of this version: "
                    f"{reason}; choose another folder"
                ) from error
            whole += len(line)
        if whole < len(data):
            with self.episodes_path.open("r+b") as stream:
                stream.truncate(whole)
        return records

    def append(self, records: Sequence[EpisodeRecord], seconds: Sequence[float]) -> None:
        """Adds records durably: once this returns, a kill does not take them back."""
        try:
            with self.timings_path.open("a", encoding="utf-8") as stream:
                for record, taken in zip(records, seconds, strict=True):
                    place = [record.phase, record.epoch, record.arm, record.seed, record.task_id]
                    stream.write(json.dumps({"episode": place, "seconds": round(taken, 4)}) + "\n")
            with self.episodes_path.open("ab") as stream:
                for record in records:
                    stream.write(_line(record))
                stream.flush()
                os.fsync(stream.fileno())
        except OSError as error:
            raise RunError(
                f"{self.episodes_path} could not be written ({error.strerror or error}): make room, then run "
                "the same command again; all episodes before this one are safe"
            ) from error


def _locked(stream: IO[str], wait: bool) -> bool:
    """Locks a file until it is closed; False if another process has it."""
    if sys.platform == "win32":
        return True  # no guard there
    import fcntl

    try:
        fcntl.flock(stream, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        return False
    return True


def _line(record: EpisodeRecord) -> bytes:
    # ASCII JSON: lone surrogates of an environment must not break the file.
    return json.dumps(record.model_dump(mode="python"), separators=(",", ":")).encode("ascii") + b"\n"


def _write(path: Path, text: str) -> None:
    part = path.with_name(path.name + ".part")
    part.write_text(text, encoding="utf-8")
    part.replace(path)


def versions() -> dict[str, str]:
    """Versions of what a result depends on."""
    found = {"rlem": rlem.__version__, "python": platform.python_version()}
    for name in LIBRARIES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found
