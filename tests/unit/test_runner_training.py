"""A whole run: its phases and arms, what learns and what never does, determinism, outages."""

from pathlib import Path
from typing import Any

import pytest
from tests.support.stage import (
    FaultyCorridor,
    corridor_config,
    execute,
    faulty_run,
    memory_hash,
    outcome,
    records_of,
)

from rlem.core.errors import BudgetExceededError, ModelRejectedError, RunError
from rlem.llm.base import Prompt
from rlem.memory.memory import ExperienceMemory
from rlem.memory.volatile import InMemoryStore
from rlem.runner.folder import RunFolder
from rlem.runner.play import episode_of, place_of
from rlem.runner.records import EpisodeRecord, RunConfig
from rlem.runner.setup import memory_config
from rlem.testing.scripted_model import ScriptedModel

SHOP: dict[str, Any] = {
    "environment": "webshop",
    "environment_options": {"n_products": 60},
    "train_tasks": "500:504",
    "test_tasks": "0:3",
    "epochs": 1,
    "max_steps": 8,
}


def phases(records: list[EpisodeRecord]) -> list[tuple[str, int, str, int]]:
    """The phases of a run in file order, each with its number of episodes."""
    found: dict[tuple[str, int, str], int] = {}
    for r in records:
        found[r.phase, r.epoch, r.arm] = found.get((r.phase, r.epoch, r.arm), 0) + 1
    return [(*key, count) for key, count in found.items()]


def test_a_run_evaluates_before_training_and_after_every_epoch(tmp_path: Path) -> None:
    """Both arms, in canonical order; every task once a phase."""
    records = records_of(execute(corridor_config(skip_solved=False), tmp_path))
    assert phases(records) == [
        ("eval", 0, "memory", 3),
        ("eval", 0, "no-memory", 3),
        ("train", 1, "memory", 4),
        ("eval", 1, "memory", 3),
        ("eval", 1, "no-memory", 3),
        ("train", 2, "memory", 4),
        ("eval", 2, "memory", 3),
        ("eval", 2, "no-memory", 3),
    ]
    assert len({place_of(r) for r in records}) == len(records)
    assert [r.task_id for r in records if r.phase == "train"] == [f"corridor:{i}" for i in range(4)] * 2


def test_without_control_there_is_one_arm(tmp_path: Path) -> None:
    """control=False saves the arm without memory."""
    records = records_of(execute(corridor_config(control=False), tmp_path))
    assert {r.arm for r in records} == {"memory"}


def test_an_agent_without_memory_has_no_memory_arm(tmp_path: Path) -> None:
    """llm-only is evaluated once, as the arm without memory."""
    records = records_of(execute(corridor_config(agent="llm-only", epochs=0), tmp_path))
    assert phases(records) == [("eval", 0, "no-memory", 3)]


def test_an_empty_memory_plays_as_none(tmp_path: Path) -> None:
    """Before training both arms do the same, step for step: they share their seeds."""
    for config in (corridor_config(epochs=0, test_tasks="0:20"), RunConfig(**SHOP | {"epochs": 0})):
        records = records_of(execute(config, tmp_path / config.environment))
        arms = {
            arm: [r.model_copy(update={"arm": "memory"}) for r in records if r.arm == arm]
            for arm in ("memory", "no-memory")
        }
        assert arms["memory"] == arms["no-memory"] != []


def test_the_control_is_the_same_in_every_epoch(tmp_path: Path) -> None:
    """Without memory nothing changes between evaluations, so differences come from memory alone."""
    records = records_of(execute(corridor_config(test_tasks="10:20"), tmp_path))
    control = [
        [r.model_copy(update={"epoch": 0}) for r in records if r.arm == "no-memory" and r.epoch == epoch]
        for epoch in range(3)
    ]
    assert control[0] == control[1] == control[2] != []


def test_advice_is_on_record_in_the_memory_arm_alone(tmp_path: Path) -> None:
    """After training the memory arm shows exemplars of training tasks; the control shows none."""
    records = records_of(execute(corridor_config(), tmp_path))
    shown = {r.arm: 0 for r in records}
    trained = {r.instruction for r in records if r.phase == "train"}
    for record in (r for r in records if r.phase == "eval" and r.epoch == 2):
        for advice in [a for step in record.steps for a in step.advice]:
            shown[record.arm] += 1
            assert advice.task in trained
    assert shown["memory"] > 0
    assert shown["no-memory"] == 0
    assert all(r.memory_size == 0 for r in records if r.arm == "no-memory" or r.epoch == 0)
    assert all(r.memory_size > 0 for r in records if r.arm == "memory" and r.phase == "eval" and r.epoch)


def test_evaluation_never_writes(tmp_path: Path) -> None:
    """The memory has one hash before and after an evaluation, down to its file's log."""
    folder = execute(corridor_config(), tmp_path / "train")
    config = corridor_config(epochs=0, test_tasks="0:20")
    before = memory_hash(folder)
    hashes: list[str] = []

    def opened(memory: ExperienceMemory) -> ExperienceMemory:
        hashes.append(memory.hash())
        return memory

    target = RunFolder(tmp_path / "eval")
    target.path.mkdir()
    (target.memory_path(0)).write_bytes(folder.memory_path(0).read_bytes())
    faulty_run(config, target, FaultyCorridor(), opened=opened).execute()
    assert hashes == [before]
    assert memory_hash(target) == before
    assert any(step.advice for r in records_of(target) for step in r.steps), "the memory was in use"


def test_the_memory_is_what_the_training_records_say(tmp_path: Path) -> None:
    """Replaying the records of training alone gives the run's memory: evaluation left no trace."""
    config = corridor_config(skip_solved=False)
    folder = execute(config, tmp_path)
    memory = ExperienceMemory(InMemoryStore(), memory_config(config))
    for record in records_of(folder):
        if record.phase == "train":
            index = int(record.task_id.removeprefix("corridor:"))
            memory.record(episode_of(record, index=index, model="embedded-reader", split=config.train_tasks))
    assert memory.episode_count() == 8
    assert memory.hash() == memory_hash(folder)


def perfect(prompt: Prompt) -> str:
    """A model that knows the corridor's right doors."""
    corridor = FaultyCorridor()
    new = prompt.user.rpartition("New input:")[2]
    task = next(t for t in corridor.tasks("0:20") if t.instruction in new)
    room = int(new.partition("Room ")[2].partition(" of")[0])
    return f"Encouraged:\n{corridor.oracle(task)[room - 1]} -> 1.0"


@pytest.mark.parametrize(("skip", "second"), [(True, 0), (False, 4)])
def test_tasks_solved_in_the_first_epoch_are_skipped_afterwards(
    tmp_path: Path, skip: bool, second: int
) -> None:
    """With skip_solved a solved task is not trained on again; without, it is."""
    config = corridor_config(skip_solved=skip)
    records = records_of(execute(config, tmp_path, model=ScriptedModel(perfect)))
    assert all(r.success for r in records)
    assert len([r for r in records if r.phase == "train" and r.epoch == 2]) == second


def test_unsolved_tasks_are_trained_on_again(tmp_path: Path) -> None:
    """Exactly the tasks without success in epoch 1 come again, whatever epoch 2 brought."""
    records = records_of(execute(corridor_config(train_tasks="0:10", epochs=3), tmp_path))

    def trained(epoch: int) -> set[str]:
        return {r.task_id for r in records if r.phase == "train" and r.epoch == epoch}

    failed = {r.task_id for r in records if r.phase == "train" and r.epoch == 1 and not r.success}
    assert trained(2) == trained(3) == failed != set()


def test_tasks_may_not_be_trained_on_and_tested(tmp_path: Path) -> None:
    """An overlap is refused before anything is played; without training epochs it is none."""
    with pytest.raises(RunError, match=r"'0:4'.*'3:6'.*share 1 task"):
        execute(corridor_config(test_tasks="3:6"), tmp_path / "a")
    assert not (tmp_path / "a" / "episodes.jsonl").exists()
    assert records_of(execute(corridor_config(test_tasks="3:6", epochs=0), tmp_path / "b"))


@pytest.mark.parametrize("config", [corridor_config(seeds=[3, 5], batch_size=2), RunConfig(**SHOP)])
def test_the_same_config_gives_the_same_bytes_and_memory(tmp_path: Path, config: RunConfig) -> None:
    """Two runs are equal to the byte, and so are the memories by their hash."""
    runs = [outcome(execute(config, tmp_path / name), config.seeds) for name in ("one", "two")]
    assert runs[0] == runs[1]


@pytest.mark.parametrize("fields", [{"train_tasks": "0:10", "test_tasks": "10:15"}, SHOP])
def test_any_number_of_workers_gives_the_same_bytes_and_memory(
    tmp_path: Path, fields: dict[str, Any]
) -> None:
    """Batches of four, played by one thread or by four."""
    config = corridor_config(**fields | {"batch_size": 4})
    runs = [outcome(execute(config, tmp_path / str(n), workers=n)) for n in (1, 4)]
    assert runs[0] == runs[1]


def test_a_batch_recalls_from_its_start(tmp_path: Path) -> None:
    """Within a batch the memory has one size; the next batch knows what this one taught."""
    records = records_of(execute(corridor_config(train_tasks="0:10", batch_size=4, epochs=1), tmp_path))
    sizes = [r.memory_size for r in records if r.phase == "train"]
    assert [len(set(sizes[i : i + 4])) for i in (0, 4, 8)] == [1, 1, 1]
    assert 0 == sizes[0] < sizes[4] < sizes[8]


def test_another_seed_gives_other_bytes(tmp_path: Path) -> None:
    """Seeds matter, and a run of two seeds holds two independent memories."""
    one, other = (execute(corridor_config(seeds=[seed]), tmp_path / str(seed)) for seed in (0, 1))
    both = execute(corridor_config(seeds=[0, 1]), tmp_path / "both")
    assert [s for r in records_of(one) for s in r.steps] != [s for r in records_of(other) for s in r.steps]
    assert outcome(both, [0, 1]) == (
        one.episodes_path.read_bytes() + other.episodes_path.read_bytes(),
        [memory_hash(one, 0), memory_hash(other, 1)],
    )


def test_a_finished_run_executes_again_without_playing(tmp_path: Path) -> None:
    """Nothing is asked, nothing changes, and the observer hears of every episode as replayed."""
    config = corridor_config()
    before = outcome(execute(config, tmp_path))
    silent = ScriptedModel([], name="embedded-reader")
    folder = execute(config, tmp_path, model=silent)
    assert silent.prompts == []
    assert outcome(folder) == before


@pytest.mark.parametrize(
    ("tasks", "batch_size", "workers"),
    [("0:10", 1, 1), ("2:9", 4, 1), ("3:8", 4, 4), ("3:8", 1, 1), ("10:15", 4, 1)],
)
def test_five_broken_episodes_stop_a_run_and_it_goes_on_as_if_nothing_had_been(
    tmp_path: Path, tasks: str, batch_size: int, workers: int
) -> None:
    """The outage is told, leaves no broken record, and after mending the run equals one without outage."""
    config = corridor_config(train_tasks="0:10", test_tasks="10:15", epochs=1, batch_size=batch_size)
    whole = outcome(execute(config, tmp_path / "whole"))
    folder = RunFolder(tmp_path / "run")
    environment = FaultyCorridor({task.id for task in FaultyCorridor().tasks(tasks)})
    run = faulty_run(config, folder, environment, workers=workers)
    with pytest.raises(RunError, match=r"5 episodes in a row broke.*ZeroDivisionError.*same command again"):
        run.execute()
    if folder.episodes_path.exists():
        assert all(r.status != "broken" for r in records_of(folder))
    environment.faulty.clear()
    faulty_run(config, folder, environment, workers=workers).execute()
    assert outcome(folder) == whole


def test_the_same_run_object_can_execute_again_after_an_outage(tmp_path: Path) -> None:
    """Nothing held back by the first attempt slips into the second."""
    config = corridor_config(train_tasks="0:10", epochs=1, batch_size=4)
    whole = outcome(execute(config, tmp_path / "whole"))
    folder, environment = RunFolder(tmp_path / "run"), FaultyCorridor({f"corridor:{i}" for i in range(2, 9)})
    run = faulty_run(config, folder, environment)
    with pytest.raises(RunError):
        run.execute()
    environment.faulty.clear()
    run.execute()
    assert outcome(folder) == whole


def test_a_dead_model_stops_even_a_run_of_few_tasks(tmp_path: Path) -> None:
    """Broken episodes in a row are counted over evaluations and arms: two tasks do not hide an outage."""
    config = corridor_config(train_tasks="0:2", test_tasks="10:12")
    with pytest.raises(RunError, match="5 episodes in a row"):
        execute(config, tmp_path, model=ScriptedModel([]))
    assert not (tmp_path / "episodes.jsonl").exists()


@pytest.mark.parametrize(
    ("faulty", "batch_size"), [({1}, 1), ({0, 3}, 2), ({2, 3}, 4), ({10, 12}, 1), ({3, 10, 11}, 2)]
)
def test_single_broken_episodes_are_recorded_and_teach_nothing(
    tmp_path: Path, faulty: set[int], batch_size: int
) -> None:
    """They stand at their place in file and log; the rest of the run goes on."""
    config = corridor_config(batch_size=batch_size, skip_solved=False)
    folder = RunFolder(tmp_path)
    names = {f"corridor:{i}" for i in faulty}
    faulty_run(config, folder, FaultyCorridor(names)).execute()
    records = records_of(folder)
    assert {r.task_id for r in records if r.status == "broken"} == names
    assert [r.task_id for r in records if r.phase == "train"] == [f"corridor:{i}" for i in range(4)] * 2
    assert not any(r.success or r.reward for r in records if r.status == "broken")
    order = [("eval", 0, "memory"), ("eval", 0, "no-memory"), ("train", 1, "memory"), ("eval", 1, "memory")]
    assert [p[:3] for p in phases(records)][:4] == order


@pytest.mark.parametrize("error", [ModelRejectedError("wrong key"), BudgetExceededError("spent")])
def test_a_refused_key_stops_the_run_at_once(tmp_path: Path, error: Exception) -> None:
    """No episode is called broken for it; the records before it are kept."""
    count = 0

    def answer(prompt: Prompt) -> str:
        nonlocal count
        count += 1
        if count > 4:
            raise error
        return "Encouraged:\nopen[oak door] -> 1.0"

    for workers in (1, 4):
        count = 0
        with pytest.raises(type(error)):
            execute(
                corridor_config(batch_size=4),
                tmp_path / str(workers),
                model=ScriptedModel(answer),
                workers=workers,
            )
        records = records_of(RunFolder(tmp_path / str(workers))) if count else []
        assert all(r.status != "broken" for r in records)
        assert len(records) <= 4


class Listener:
    """An observer that keeps what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[Any, ...]] = []

    def phase(self, phase: str, epoch: int, arm: str, seed: int, total: int) -> None:
        """Kept."""
        self.told.append(("phase", phase, epoch, arm, seed, total))

    def episode(self, record: EpisodeRecord, *, replayed: bool) -> None:
        """Kept."""
        self.told.append(("episode", record.task_id, replayed))


def test_an_observer_hears_phases_with_as_many_episodes_as_announced(tmp_path: Path) -> None:
    """Played or found done, the story is the same."""
    from rlem.llm.embedded import EmbeddedReader
    from rlem.runner.setup import make_run

    stories = []
    for replayed in (False, True):
        listener = Listener()
        make_run(
            corridor_config(epochs=1), RunFolder(tmp_path), EmbeddedReader(), observer=listener
        ).execute()
        assert {told[2] for told in listener.told if told[0] == "episode"} == {replayed}
        heads = [told for told in listener.told if told[0] == "phase"]
        assert [head[1:4] for head in heads][2] == ("train", 1, "memory")
        assert sum(head[-1] for head in heads) == len(listener.told) - len(heads)
        stories.append([told[:2] for told in listener.told])
    assert stories[0] == stories[1]
