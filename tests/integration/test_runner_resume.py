"""A run killed at any moment and started again leaves what an uninterrupted one leaves."""

import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from tests.support.stage import FaultyCorridor, corridor_config, execute, faulty_run, outcome, records_of

from rlem.core.errors import RunError
from rlem.core.types import Episode
from rlem.memory.memory import ExperienceMemory
from rlem.runner.folder import RunFolder
from rlem.runner.records import EpisodeRecord, RunConfig

CHILD = """
import sys, time
from pathlib import Path
from rlem.llm.embedded import EmbeddedReader
from rlem.runner.folder import RunFolder
from rlem.runner.records import RunConfig
from rlem.runner.setup import make_run

class Slow(EmbeddedReader):
    def complete(self, prompt, **options):
        time.sleep(0.002)
        return super().complete(prompt, **options)

config = RunConfig.model_validate_json(sys.argv[1])
make_run(config, RunFolder(Path(sys.argv[2])), Slow(), workers=int(sys.argv[3])).execute()
"""


class Killed(BaseException):
    """The process is gone: nothing may catch this."""


class DyingFolder(RunFolder):
    """A run folder whose process dies at one of its writes: before it, in the middle of it, or after it."""

    def __init__(self, path: Path, at: int, moment: str) -> None:
        super().__init__(path)
        self._left, self._moment = at, moment

    def append(self, records: Sequence[EpisodeRecord], seconds: Sequence[float]) -> None:
        """As the folder's, until the process dies."""
        self._left -= 1
        if self._left >= 0:
            super().append(records, seconds)
            return
        if self._moment != "before":
            super().append(records, seconds)
        if self._moment == "torn":
            with self.episodes_path.open("r+b") as stream:
                stream.truncate(self.episodes_path.stat().st_size - 40)
        raise Killed


def config_of(batch_size: int) -> RunConfig:
    """A short run of a handful of batches."""
    return corridor_config(
        train_tasks="0:5", test_tasks="10:11", batch_size=batch_size, skip_solved=False, control=False
    )


def appends(folder: RunFolder) -> int:
    """Writes of a run without faults."""
    return len(records_of(folder))


@pytest.mark.parametrize(("batch_size", "moment"), [(1, "after"), (2, "torn"), (4, "before"), (4, "after")])
def test_a_kill_at_any_write_of_records_is_made_up_for(tmp_path: Path, batch_size: int, moment: str) -> None:
    """Whichever write the process dies at: the same command ends with the same bytes and memory."""
    config = config_of(batch_size)
    whole = execute(config, tmp_path / "whole")
    expected = outcome(whole)
    for at in range(0, appends(whole), 2 if batch_size == 1 else 1):
        path = tmp_path / f"killed-{at}"
        with pytest.raises(Killed):
            faulty_run(config, DyingFolder(path, at, moment), FaultyCorridor()).execute()
        assert outcome(execute(config, path)) == expected, f"killed {moment} write {at}"


@pytest.mark.parametrize(("batch_size", "before"), [(1, True), (4, True), (4, False)])
def test_a_kill_around_any_commit_of_the_memory_is_made_up_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, batch_size: int, before: bool
) -> None:
    """Records are written before the memory commits: what a kill leaves between is learned on resuming."""
    config = config_of(batch_size)
    real = ExperienceMemory.record_many
    commits = 0

    def dying(at: int) -> Callable[[ExperienceMemory, Sequence[Episode]], list[Episode]]:
        def record_many(self: ExperienceMemory, episodes: Sequence[Episode]) -> list[Episode]:
            nonlocal commits
            commits += 1
            if commits <= at:
                return real(self, episodes)
            if not before:
                real(self, episodes)
            raise Killed

        return record_many

    expected = outcome(execute(config, tmp_path / "whole"))
    count = 2 * -(-5 // batch_size)
    for at in range(count):
        commits, path = 0, tmp_path / f"killed-{at}"
        with monkeypatch.context() as patch:
            patch.setattr(ExperienceMemory, "record_many", dying(at))
            with pytest.raises(Killed):
                execute(config, path)
        assert outcome(execute(config, path)) == expected, f"killed at commit {at}"


@pytest.mark.parametrize(("batch_size", "faulty"), [(2, "corridor:1"), (4, "corridor:3"), (4, "corridor:4")])
def test_a_kill_beside_broken_episodes_is_made_up_for(tmp_path: Path, batch_size: int, faulty: str) -> None:
    """Records that wait behind a broken episode are played again, with the memory they were played with."""
    config = config_of(batch_size)
    whole = RunFolder(tmp_path / "whole")
    faulty_run(config, whole, FaultyCorridor({faulty})).execute()
    assert any(r.status == "broken" for r in records_of(whole))
    for at in range(appends(whole) - 2):
        path = tmp_path / f"killed-{at}"
        with pytest.raises(Killed):
            faulty_run(config, DyingFolder(path, at, "after"), FaultyCorridor({faulty})).execute()
        folder = RunFolder(path)
        faulty_run(config, folder, FaultyCorridor({faulty})).execute()
        assert outcome(folder) == outcome(whole), f"killed at write {at}"


@pytest.mark.parametrize(("batch_size", "workers"), [(1, 1), (4, 4)])
def test_a_process_killed_again_and_again_ends_with_the_same_run(
    tmp_path: Path, batch_size: int, workers: int
) -> None:
    """SIGKILL at random moments; the finished run is the uninterrupted one to the byte."""
    config = corridor_config(
        train_tasks="0:10", test_tasks="10:20", batch_size=batch_size, seeds=[0, 1], control=False, epochs=1
    )
    expected = outcome(execute(config, tmp_path / "whole"), config.seeds)
    lines = expected[0].count(b"\n")
    folder, rng = RunFolder(tmp_path / "killed"), random.Random(7)
    kills = 0
    for target in sorted(rng.sample(range(1, lines - 6), 3)):
        kills += kill_at(target + rng.randrange(3), config, folder, workers, rng)
    assert kills >= 2, "the run must have been killed in the middle for this test to mean anything"
    assert outcome(execute(config, folder.path, workers=workers), config.seeds) == expected


def kill_at(target: int, config: RunConfig, folder: RunFolder, workers: int, rng: random.Random) -> bool:
    """Runs a child until that many records are there, then kills it; whether it was still at work."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    arguments = [config.model_dump_json(), str(folder.path), str(workers)]
    child = subprocess.Popen([sys.executable, "-c", CHILD, *arguments], env=environment)
    deadline = time.monotonic() + 60
    try:
        while child.poll() is None and written(folder) < target:
            assert time.monotonic() < deadline, "the child writes no records"
            time.sleep(0.001)
        time.sleep(rng.random() * 0.004)
    finally:
        child.kill()
        code = child.wait()
    assert code in (0, -9), "the child failed by itself"
    return code == -9


def written(folder: RunFolder) -> int:
    """Records in the file so far."""
    return folder.episodes_path.read_bytes().count(b"\n") if folder.episodes_path.exists() else 0


def test_another_config_does_not_touch_the_run(tmp_path: Path) -> None:
    """A resumed run must be the same run: the field that differs is named, records and memory stay."""
    folder = execute(config_of(1), tmp_path)
    before = outcome(folder)
    with pytest.raises(RunError, match="batch_size: 1 there, 2 now"):
        execute(config_of(2), tmp_path)
    assert outcome(folder) == before


def test_a_lost_memory_is_learned_again_from_the_records(tmp_path: Path) -> None:
    """Records come first: a memory file that vanished is made again, equal."""
    folder = execute(config_of(2), tmp_path)
    before = outcome(folder)
    for path in tmp_path.glob("memory-0.rlem*"):
        path.unlink()
    assert outcome(execute(config_of(2), tmp_path)) == before
