"""What a power cut leaves: a WAL cut or torn anywhere, a main file that is too short."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from tests.support.damage import Crash, crash, cuts, page_cuts, power_cut, scars, tail_cuts, truncate
from tests.support.faults import Trial, big, opened

from rlem.testing.memory_cases import walks

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")


@pytest.fixture(scope="module", params=[False, True], ids=["new WAL", "WAL that began anew"])
def crashed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Crash:
    """The files of a writer that was killed after three acknowledged episodes."""
    found = crash(tmp_path_factory.mktemp("crash") / "memory.rlem", 3, rewound=request.param)
    assert len(found.frames) > 20
    return found


def test_a_wal_cut_anywhere_gives_the_state_after_some_commit(tmp_path: Path, crashed: Crash) -> None:
    """At each boundary of a frame, in its head and inside: the file opens with the hash of a prefix of the
    commits, no commit missing that is whole in what is left of the WAL; and it goes on."""
    trial = Trial("cut")
    power_cut(trial, tmp_path / "memory.rlem", crashed, cuts(crashed, 1, random.Random(7)))
    assert trial.tries > 2 * len(crashed.frames)
    assert trial.lost == []
    assert set(trial.seen) == {"nothing"}


def test_a_frame_that_did_not_reach_the_disk_ends_the_log_there(tmp_path: Path, crashed: Crash) -> None:
    """One bit flipped in a frame, or the frame all zeros, though later ones are whole: as if cut there."""
    trial = Trial("scar")
    power_cut(trial, tmp_path / "memory.rlem", crashed, scars(crashed, random.Random(7)))
    assert trial.tries == 2 * (len(crashed.frames) - 1)
    assert trial.lost == []
    assert set(trial.seen) == {"nothing"}


def test_the_whole_wal_holds_all_that_was_acknowledged(crashed: Crash) -> None:
    """The trial is what it seems: the cuts reach from what was there before to the last episode."""
    assert crashed.held(0) == crashed.before < crashed.held(crashed.frames[-1]) == len(crashed.hashes) - 1
    assert len(set(crashed.hashes)) == len(crashed.hashes)


# -- the main file -----------------------------------------------------------------------------------


@pytest.mark.parametrize("lengths", [page_cuts, tail_cuts])
def test_a_main_file_cut_while_the_wal_holds_all(
    tmp_path: Path, lengths: Callable[[bytes], list[int]]
) -> None:
    """A file that was never checkpointed and is cut anywhere: all is there."""
    path = tmp_path / "memory.rlem"
    found = crash(path, 5, checkpointed=0)
    trial = Trial("main")
    truncate(trial, path, found.main, found.wal, found.hashes[-1], lengths(found.main))
    assert trial.tries >= 5
    assert trial.lost == []
    assert set(trial.seen) == {"nothing, all is there"}


@pytest.mark.parametrize("checkpointed", [0, 3])
@pytest.mark.parametrize("length", [None, 0, 1], ids=["gone", "empty", "one byte"])
def test_a_main_file_that_is_gone_while_its_wal_is_there(
    tmp_path: Path, checkpointed: int, length: int | None
) -> None:
    """Never a new memory in its place, which would take the WAL with it."""
    path = tmp_path / "memory.rlem"
    found = crash(path, 5, checkpointed=checkpointed)
    trial = Trial("main")
    truncate(trial, path, found.main, found.wal, found.hashes[-1], [length])
    assert trial.lost == []
    assert Path(f"{path}-wal").read_bytes() == found.wal


def test_a_main_file_cut_while_the_wal_holds_a_part(tmp_path: Path) -> None:
    """Complete, or a clear error: never a memory that lacks what is neither here nor there."""
    path = tmp_path / "memory.rlem"
    found = crash(path, 5)
    trial = Trial("main")
    truncate(
        trial, path, found.main, found.wal, found.hashes[-1], page_cuts(found.main) + tail_cuts(found.main)
    )
    assert trial.lost == []


@pytest.mark.parametrize(
    "lengths", [page_cuts, tail_cuts, lambda _: [1]], ids=["pages", "last page", "a byte"]
)
def test_a_closed_file_cut_is_one_clear_error(tmp_path: Path, lengths: Callable[[bytes], list[int]]) -> None:
    """Without a WAL whatever is missing is an error at opening that names the file and what to do; what is
    left of it is not changed by a byte."""
    path = tmp_path / "memory.rlem"
    with closing(opened(path)) as memory:
        memory.record_many([*walks(8), big("page", 20_000)])
        digest = memory.hash()
    trial = Trial("main")
    main = path.read_bytes()
    truncate(trial, path, main, None, digest, lengths(main))
    assert trial.lost == []
    assert set(trial.seen) <= {"MemoryCorruptError", "MemoryVersionError"}


def test_the_error_says_what_to_do(tmp_path: Path) -> None:
    """It names the file, says that it is damaged, and a way out."""
    path = tmp_path / "memory.rlem"
    with closing(opened(path)) as memory:
        memory.record_many(walks(8))
    path.write_bytes(path.read_bytes()[:20_000])
    with pytest.raises(Exception, match=r"is damaged .*(restore|doctor)") as caught:
        opened(path)
    assert str(path) in str(caught.value)
