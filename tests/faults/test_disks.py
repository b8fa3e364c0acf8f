"""A disk that is full, a file that may not be written."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from tests.support.damage import full_disk, full_quota, read_only, small_disk
from tests.support.faults import Trial

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX limits and users")


def test_a_full_disk_loses_nothing() -> None:
    """On a disk of 1 MB: the write that does not fit is refused whole, with an error that names the file;
    what was there stays, also when it is opened while the disk is full; with room again it goes on."""
    with small_disk() as disk:
        if disk is None:
            pytest.skip("a small disk cannot be mounted here (root is needed); the next test needs none")
        trial = Trial("disk")
        full_disk(trial, disk, 5, seed=7)
    assert trial.lost == []
    assert dict(trial.seen) == {"MemoryReadOnlyError": 5}


def test_a_file_that_may_not_grow_loses_nothing(tmp_path: Path) -> None:
    """The same by the system's limit on the size of a file, which needs no rights."""
    trial = Trial("quota")
    full_quota(trial, tmp_path, 4, seed=7)
    assert trial.lost == []
    assert dict(trial.seen) == {"MemoryReadOnlyError": 4}


def test_a_memory_that_may_not_be_written_can_be_read() -> None:
    """Without root's rights, in an open and a locked folder, after a clean end and a kill: reading gives the
    right hash, each write is an error that names the way out, no byte of file or WAL changes."""
    trial = Trial("read-only")
    read_only(trial)
    assert trial.tries == 4
    assert trial.lost == []
