"""Training on WikiHow with the embedded reader: does memory help, and is a run the same again?"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
from tests.integration.test_runner_resume import DyingFolder, Killed
from tests.support.command import well
from tests.support.stage import execute, outcome, records_of

from rlem.environments.wikihow.env import WikiHow
from rlem.llm.embedded import EmbeddedReader
from rlem.memory.legacy import load_pool
from rlem.runner.folder import RunFolder
from rlem.runner.records import EpisodeRecord, RunConfig
from rlem.runner.setup import make_run, open_memory

SEEDS = [0, 1, 2]
TASKS = 15
MEAN_GAIN = 0.05


@cache
def world() -> WikiHow:
    """The default app, made once."""
    return WikiHow.bundled()


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> list[EpisodeRecord]:
    """A run with the settings of ``rlem train wikihow``: ten training tasks, held-out ones, three seeds."""
    config = RunConfig(
        environment="wikihow",
        agent_options={"k": 3},
        memory_options={"discount": 0.9},
        train_tasks="S0",
        test_tasks=f"0:{TASKS}",
        epochs=3,
        seeds=SEEDS,
    )
    return records_of(execute(config, tmp_path_factory.mktemp("learning") / "run"))


def evaluations(run: list[EpisodeRecord], epoch: int, arm: str) -> dict[tuple[int, str], EpisodeRecord]:
    """Evaluations of an arm by seed and task."""
    return {(r.seed, r.task_id): r for r in run if (r.phase, r.epoch, r.arm) == ("eval", epoch, arm)}


def gain(run: list[EpisodeRecord], epoch: int) -> float:
    """Mean over tasks and seeds of success with memory minus success without, paired."""
    ours, control = evaluations(run, epoch, "memory"), evaluations(run, epoch, "no-memory")
    assert ours.keys() == control.keys()
    pairs = [r.success - control[key].success for key, r in ours.items()]
    assert len(pairs) == TASKS * len(SEEDS)
    return sum(pairs) / len(pairs)


def test_memory_raises_success_on_held_out_tasks(run: list[EpisodeRecord]) -> None:
    """After training the memory arm ends clearly more tasks than the control, with more reward."""
    assert not any(r.status == "broken" for r in run)
    assert gain(run, 0) == 0.0, "an empty memory must not differ from none"
    assert gain(run, 3) > MEAN_GAIN
    reward = {
        arm: sum(r.reward for r in evaluations(run, 3, arm).values()) for arm in ("memory", "no-memory")
    }
    assert reward["memory"] > reward["no-memory"]


def test_what_is_tested_was_not_trained(run: list[EpisodeRecord]) -> None:
    """No task, and no article that a task asks for first, is in training and in test."""
    trained, held_out = (
        {(r.task_id, r.instruction.split("\n")[0]) for r in run if r.phase == phase}
        for phase in ("train", "eval")
    )
    assert len(trained) == 10
    assert not {a for pair in trained for a in pair} & {b for pair in held_out for b in pair}


def test_no_answer_is_refused_or_mended(run: list[EpisodeRecord]) -> None:
    """In the whole run the reader keeps the grammar; that it names a place to type that is none is all."""
    assert {kind for r in run for s in r.steps for kind in s.repairs} <= {"unknown-candidate"}
    assert not any(s.failure for r in run for s in r.steps)


def small(**changes: object) -> RunConfig:
    """A run of a second."""
    fields: dict[str, object] = {
        "environment": "wikihow",
        "train_tasks": "70:74",
        "test_tasks": "0:2",
        "epochs": 1,
        "batch_size": 2,
    }
    return RunConfig.model_validate(fields | changes)


def played(config: RunConfig, folder: RunFolder, workers: int = 1) -> tuple[bytes, list[str]]:
    """What a run in this folder leaves: the bytes of its records, and the hash of its memory."""
    make_run(config, folder, EmbeddedReader(), environment=world(), workers=workers).execute()
    return outcome(folder)


@pytest.mark.parametrize("options", [{}, {"reward_lag": 0.5}], ids=["plain", "lag"])
def test_threads_do_not_change_a_run(tmp_path: Path, options: dict[str, float]) -> None:
    """One thread or four, an app of its own each: the same records to the byte, the same memory."""
    config = small(environment_options=options, test_tasks="0:4")
    one, four = (outcome(execute(config, tmp_path / str(workers), workers=workers)) for workers in (1, 4))
    assert one == four
    assert one[0].count(b"\n") == 4 + 2 * 2 * 4


@pytest.mark.parametrize("moment", ["before", "torn", "after"])
def test_a_killed_run_is_taken_up_again(tmp_path: Path, moment: str) -> None:
    """Killed in training and while testing, started again with other threads: as if nothing had happened."""
    config = small()
    whole = RunFolder(tmp_path / "whole")
    expected = played(config, whole)
    for at in (4, 5, 7):
        folder = DyingFolder(tmp_path / f"killed-{at}", at, moment)
        with pytest.raises(Killed):
            played(config, folder)
        assert outcome(folder)[0] != expected[0]
        assert played(config, RunFolder(folder.path), workers=4) == expected, f"killed {moment} write {at}"


def test_initial_experiences_advise_from_the_first_step_on(
    tmp_path: Path, golden: Callable[[str], Path]
) -> None:
    """With the annotated pool, the first decision of every task, trained or not, is advised by the pool."""
    pool = golden("pools/annotated_pool-auto.q.yaml")
    config = small(train_tasks="70:71", initial_memory=str(pool))
    folder = RunFolder(tmp_path)
    played(config, folder)
    theirs = {episode.task for episode in load_pool(pool).episodes}
    first = [r for r in records_of(folder) if r.arm == "memory" and r.epoch == 0]
    assert len(first) == 2
    for record in first:
        assert record.memory_size == len(open_memory(config, None)) > 30
        advice = record.steps[0].advice
        assert advice
        assert {a.task for a in advice} <= theirs
        assert any(action.startswith("INPUT(2, ") for a in advice for action, _, _ in a.encouraged)
    trained = next(r for r in records_of(folder) if r.phase == "train")
    assert {a.task for a in trained.steps[0].advice} <= theirs
    assert {r.memory_size for r in records_of(folder) if r.arm == "no-memory"} == {0}


def test_the_oracle_solves_everything(tmp_path: Path) -> None:
    """``rlem eval wikihow --agent oracle``: all 70 tasks, 2.686 of reward, within the limit of 15 steps."""
    shown = well("eval", "wikihow", "--agent", "oracle", "--out", "run", cwd=tmp_path)
    records = records_of(RunFolder(tmp_path / "run"))
    assert len(records) == 70
    assert all(r.success and len(r.steps) <= 15 for r in records)
    assert sum(r.reward for r in records) == 188
    assert "100.0" in shown
