"""Does memory help? The claim of the whole project, with its control, on the bundled shop."""

import pytest
from tests.support.stage import execute, records_of

from rlem.runner.records import EpisodeRecord, RunConfig

SEEDS = [0, 1]
TASKS = 60
MEAN_GAIN = 0.05


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> list[EpisodeRecord]:
    """A run with the settings of ``rlem train webshop``: ten training tasks, held-out ones, two seeds."""
    config = RunConfig(
        environment="webshop",
        agent_options={"k": 3},
        memory_options={"discount": 0.9},
        train_tasks="S0",
        test_tasks=f"600:{600 + TASKS}",
        epochs=2,
        seeds=SEEDS,
    )
    return records_of(execute(config, tmp_path_factory.mktemp("learning") / "run"))


def solved(records: list[EpisodeRecord], epoch: int, arm: str, seed: int) -> dict[str, bool]:
    """Success by held-out task."""
    chosen = (r for r in records if (r.phase, r.epoch, r.arm, r.seed) == ("eval", epoch, arm, seed))
    return {r.task_id: r.success for r in chosen}


def gain(records: list[EpisodeRecord], epoch: int) -> float:
    """Mean over seeds and tasks of success with memory minus success without, paired."""
    pairs = [
        (with_memory, solved(records, epoch, "no-memory", seed)[task])
        for seed in SEEDS
        for task, with_memory in solved(records, epoch, "memory", seed).items()
    ]
    assert len(pairs) == TASKS * len(SEEDS)
    return sum(a - b for a, b in pairs) / len(pairs)


def test_memory_raises_success_on_held_out_tasks(shop: list[EpisodeRecord]) -> None:
    """After training, the memory arm solves clearly more held-out tasks than the control."""
    assert not any(r.status == "broken" for r in shop)
    assert gain(shop, 0) == 0.0, "an empty memory must not differ from none"
    assert gain(shop, 2) > MEAN_GAIN


def test_the_control_does_not_change_over_epochs(shop: list[EpisodeRecord]) -> None:
    """Without memory every held-out task has the same answers in every epoch: the gain is the memory's."""
    for seed in SEEDS:
        epochs = [
            [r.steps for r in shop if (r.phase, r.epoch, r.arm, r.seed) == ("eval", epoch, "no-memory", seed)]
            for epoch in range(3)
        ]
        assert epochs[0] == epochs[1] == epochs[2]
        assert len(epochs[0]) == TASKS
