"""The folder beside a file in which that file is made: one maker at a time, and nobody else's folder."""

from __future__ import annotations

import os
import shutil
import sys
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO

from rlem.core.errors import DataError, UsageError

LOCK = "rlem-import.lock"
"""A file in the folder that says whose it is; the maker holds a lock on it, which ends with its process."""

_TRIES = 100
"""How often a maker that ends may take the folder away while we are about to lock it."""


class PartialFolder:
    """``OUT.partial``, ours alone until the end of the ``with``; then it is gone.

    What a killed maker left in it is cleared. Errors: UsageError while another one is at work, and for
    something of that name that no maker left, which stays as it is; DataError where it cannot be made.
    """

    def __init__(self, out: Path) -> None:
        self.path = out.with_name(out.name + ".partial")
        self._out = out
        self._lock_path = self.path / LOCK
        self._lock: IO[bytes] | None = None

    def __enter__(self) -> PartialFolder:
        try:
            self._lock = self._locked()
            self._clear()
        except OSError as error:
            self._release()
            raise DataError(f"{self.path} cannot be used ({error.strerror or error})") from None
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: TracebackType | BaseException | None) -> None:
        try:
            self._clear()
        finally:
            self._release()

    def _locked(self) -> IO[bytes]:
        """The lock file, locked, in a folder that is there."""
        for _ in range(_TRIES):
            try:
                self._make()
                file = self._lock_path.open("ab")
            except FileNotFoundError:  # its maker has just ended and taken it away
                if not self.path.parent.is_dir():
                    raise
                continue
            try:
                if not _lock(file):
                    raise UsageError(
                        f"another import is writing {self._out}: wait for it, or give another path"
                    )
                if _same(file, self._lock_path):
                    return file
            except BaseException:
                file.close()
                raise
            file.close()
        raise UsageError(f"other imports keep writing {self._out}: wait for them, or give another path")

    def _make(self) -> None:
        """Makes the folder, or finds the one of another maker, alive or dead."""
        with suppress(FileExistsError):
            self.path.mkdir()
            return
        if self.path.is_symlink() or self.path.is_file():
            raise UsageError(f"{self.path} is in the way: move it, or give another path")
        names = self._names()
        if names and LOCK not in names and not self._lock_path.exists():
            raise UsageError(
                f"{self.path} is no folder of an import, and it is not empty: move it, or give another path"
            )

    def _names(self) -> list[str]:
        return [entry.name for entry in self.path.iterdir()]

    def _clear(self) -> None:
        """Empties the folder, but for the lock."""
        for entry in self.path.iterdir():
            if entry.name == LOCK:
                continue
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            else:
                entry.unlink()

    def _release(self) -> None:
        """Takes the lock file and the folder away. The next maker may already be waiting for them."""
        if self._lock is None:
            return
        file, self._lock = self._lock, None
        with file, suppress(OSError):
            # What could not be cleared keeps the lock file, by which the next maker knows it. The file goes
            # while it is locked, or it might be the next maker's by then.
            if sys.platform != "win32" and self._names() == [LOCK]:
                self._lock_path.unlink()
        with suppress(OSError):
            # Windows removes no open file, neither ours nor the next maker's.
            if sys.platform == "win32" and self._names() == [LOCK]:
                self._lock_path.unlink()
            self.path.rmdir()


def _same(file: IO[bytes], path: Path) -> bool:
    """Whether the open file is the one that has this name now."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


if sys.platform == "win32":
    import msvcrt

    def _lock(file: IO[bytes]) -> bool:
        """Locks a file until it is closed, if no other process has."""
        try:
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True
else:
    import fcntl

    def _lock(file: IO[bytes]) -> bool:
        """Locks a file until it is closed, if no other process has."""
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True
