"""Runs that do more than train once: several training sets, kinds left out, trials, what is learned."""

from pathlib import Path

import pytest
from tests.support.stage import corridor_config, execute, memory_hash, outcome, records_of

from rlem.core.errors import RunError, UnknownNameError
from rlem.llm.base import Prompt
from rlem.memory.memory import ExperienceMemory
from rlem.memory.sqlite import SQLiteStore
from rlem.runner.folder import RunFolder
from rlem.runner.records import EpisodeRecord, RunConfig
from rlem.testing.scripted_model import ScriptedModel

WRONG = "Encouraged:\nopen[no door] -> 1.0"


def trained(records: list[EpisodeRecord], epoch: int) -> list[str]:
    """Training tasks of an epoch, in order."""
    return [r.task_id for r in records if r.phase == "train" and r.epoch == epoch]


def test_later_training_sets_follow_the_first(tmp_path: Path) -> None:
    """Each gets its epochs; solved tasks are skipped within their own set; the log names the set."""
    config = corridor_config(train_tasks="0:4", later_tasks=["4:8"], control=False)
    folder = execute(config, tmp_path)
    records = records_of(folder)
    assert trained(records, 1) == [f"corridor:{i}" for i in range(4)]
    assert trained(records, 3) == [f"corridor:{i}" for i in range(4, 8)]
    for first in (1, 3):
        failed = [r.task_id for r in records if r.phase == "train" and r.epoch == first and not r.success]
        assert trained(records, first + 1) == failed
    assert sorted({r.epoch for r in records if r.phase == "eval"}) == [0, 1, 2, 3, 4]
    memory = ExperienceMemory(SQLiteStore(folder.memory_path(0)))
    assert {e.id[:9]: e.split for e in memory.episodes()} == {
        "train-001": "0:4", "train-002": "0:4", "train-003": "4:8", "train-004": "4:8",
    }  # fmt: skip
    memory.close()


def test_the_first_of_two_sets_is_learned_as_if_it_were_alone(tmp_path: Path) -> None:
    """Up to the end of the first set a run with a later one leaves the same records."""
    alone = records_of(execute(corridor_config(), tmp_path / "alone"))
    staged = records_of(execute(corridor_config(later_tasks=["4:8"]), tmp_path / "staged"))
    assert staged[: len(alone)] == alone
    assert len(staged) > len(alone)


def test_early_tasks_are_tested_again_where_that_is_asked_for(tmp_path: Path) -> None:
    """Training tasks as tests are refused, but for a re-test."""
    with pytest.raises(RunError, match="share 4 tasks"):
        execute(corridor_config(test_tasks="0:4"), tmp_path / "a")
    records = records_of(execute(corridor_config(test_tasks="0:4", retest=True), tmp_path / "b"))
    assert {r.task_id for r in records if r.phase == "eval"} == set(trained(records, 1))


def test_kinds_are_left_out_of_training_and_picked_for_tests(tmp_path: Path) -> None:
    """The runner goes by the kind of a task; an unknown kind is told before anything is played."""
    config = corridor_config(
        train_tasks="0:10", test_tasks="10:20", without_kinds=["baker"], test_kinds=["baker"]
    )
    records = records_of(execute(config, tmp_path / "a"))
    assert {r.kind for r in records if r.phase == "train"} == {"smith", "tailor", "miller"}
    assert {r.kind for r in records if r.phase == "eval"} == {"baker"}
    for fields in ({"without_kinds": ["bakr"]}, {"test_kinds": ["bakr"]}):
        with pytest.raises(UnknownNameError, match="bakr"):
            execute(corridor_config(**fields), tmp_path / "b")
    assert not (tmp_path / "b" / "episodes.jsonl").exists()


def test_tests_at_the_end_only(tmp_path: Path) -> None:
    """The last evaluation is the one that a run with all of them has; so is the memory."""
    every = execute(corridor_config(control=False), tmp_path / "every")
    last = execute(corridor_config(control=False, test_epochs="last"), tmp_path / "last")
    tests = [r for r in records_of(last) if r.phase == "eval"]
    assert tests == [r for r in records_of(every) if r.phase == "eval" and r.epoch == 2]
    assert memory_hash(last) == memory_hash(every)


@pytest.mark.parametrize("learn", ["all", "rewarded", "solved"])
def test_what_is_learned(tmp_path: Path, learn: str) -> None:
    """All episodes, or only those that earned something, or that were solved: the log holds no others."""
    config = corridor_config(train_tasks="0:10", learn=learn, environment_options={"rooms": 1})
    folder = execute(config, tmp_path)
    played = [r for r in records_of(folder) if r.phase == "train"]
    wanted = sum(learn == "all" or r.success for r in played)  # in the corridor a reward is a success
    assert 0 < sum(r.success for r in played) < len(played)
    memory = ExperienceMemory(SQLiteStore(folder.memory_path(0)))
    assert memory.episode_count() == wanted
    memory.close()


def reflecting(prompt: Prompt) -> str:
    """A model that finds the door once it has written about it, and writes when it is asked to."""
    if "Write your reflection now." in prompt.user:
        return "The iron door."
    if "reflections" not in prompt.user:
        return WRONG.replace("no door", "glass door")
    return "Encouraged:\nopen[iron door] -> 1.0"


def trials(**changes: object) -> RunConfig:
    """Three trials of ten tasks."""
    fields = {
        "agent": "reflexion",
        "epochs": 2,
        "test_tasks": "0:10",
        "train_tasks": "0:4",
        "model": "scripted",
    }
    return corridor_config(**fields | changes)


def test_a_task_is_tried_until_it_is_solved(tmp_path: Path) -> None:
    """Failed trials leave a reflection that the next one reads; a solved task is not played again and costs
    nothing more; the last trial writes none."""
    model = ScriptedModel(reflecting)
    records = records_of(execute(trials(), tmp_path, model=model))
    by_trial = [{r.task_id: r for r in records if r.epoch == trial} for trial in range(3)]
    assert [len(found) for found in by_trial] == [10, 10, 10]
    assert all(r.arm == "no-memory" and r.phase == "eval" for r in records)
    solved = [{name for name, r in found.items() if r.success} for found in by_trial]
    assert solved[0] <= solved[1] <= solved[2]
    assert solved[0] != solved[1]
    for trial in (1, 2):
        for name, record in by_trial[trial].items():
            earlier = by_trial[trial - 1][name]
            carried = record.model_copy(update={"epoch": trial - 1, "usage": earlier.usage})
            assert (record.usage.calls == 0) == earlier.success
            assert not earlier.success or carried == earlier
    assert all(bool(r.reflection) == (not r.success and r.epoch < 2) for r in records if r.usage.calls)
    assert sum(r.usage.calls for r in records) == len(model.prompts)


def test_trials_go_on_after_a_kill_as_if_nothing_had_been(tmp_path: Path) -> None:
    """Cut anywhere, the same command leaves the same bytes: reflections are in the records."""
    whole = execute(trials(), tmp_path / "whole", model=ScriptedModel(reflecting)).episodes_path.read_bytes()
    lines = whole.splitlines(keepends=True)
    for kept in (0, 3, 10, 14, 25):
        path = tmp_path / str(kept)
        folder = RunFolder(path)
        execute(trials(test_tasks="0:10"), path, model=ScriptedModel(reflecting))
        folder.episodes_path.write_bytes(b"".join(lines[:kept]))
        execute(trials(), path, model=ScriptedModel(reflecting))
        assert folder.episodes_path.read_bytes() == whole, kept


def test_trials_give_the_same_bytes_for_any_number_of_workers(tmp_path: Path) -> None:
    """One thread or four."""
    one, four = (
        execute(trials(), tmp_path / str(n), workers=n, model=ScriptedModel(reflecting)) for n in (1, 4)
    )
    assert one.episodes_path.read_bytes() == four.episodes_path.read_bytes()


def test_stages_are_resumed_to_the_byte(tmp_path: Path) -> None:
    """A run with a later set, cut in the midst of it, goes on to the same records and memory."""
    config = corridor_config(later_tasks=["4:8"], learn="solved")
    whole = outcome(execute(config, tmp_path / "whole"))
    lines = whole[0].splitlines(keepends=True)
    for kept in (9, len(lines) - 5):
        folder = RunFolder(tmp_path / str(kept))
        folder.open(config)
        folder.episodes_path.write_bytes(b"".join(lines[:kept]))
        assert outcome(execute(config, folder.path)) == whole
