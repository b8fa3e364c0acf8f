"""Decisions asked again without one experience: what is asked, of which memory, and what is made of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from tests.support.runs import episode
from tests.support.stage import (
    ACTIONS,
    TASK,
    FaultyCorridor,
    Stage,
    Watcher,
    corridor_config,
    execute,
    faulty_run,
    memory_hash,
    records_of,
)

from rlem.core.errors import RunError, UsageError
from rlem.core.types import Situation, Step
from rlem.environments.toy import DOORS, Corridor
from rlem.llm.base import Completion, LanguageModel, Prompt, Usage
from rlem.llm.embedded import EmbeddedReader
from rlem.memory.memory import ExperienceMemory
from rlem.memory.sqlite import SQLiteStore
from rlem.runner.folder import RunFolder
from rlem.runner.influence import (
    Answers,
    Choice,
    Influence,
    Recorded,
    Replayed,
    Without,
    choose,
    rank,
    replay,
    views_of,
)
from rlem.runner.play import Job, play
from rlem.runner.records import RunConfig
from rlem.runner.setup import make_agent, make_environment
from rlem.testing.scripted_model import ScriptedModel

TRIGGER = Corridor().tasks("0:1")[0]
"""The task whose experience decides; it is the first to be trained on."""
DOOR_ACTIONS = [f"open[{door}]" for door in DOORS]
RIGHT = Corridor().oracle(TRIGGER)[0]
WRONG, OTHER = [door for door in DOOR_ACTIONS if door != RIGHT]


def swayed(prompt: Prompt) -> str:
    """Opens one door where the prompt speaks of the trigger, and another one elsewhere."""
    return f"Encouraged:\n{WRONG if TRIGGER.instruction in prompt.user else OTHER} -> 1.0 so"


class ByChance(ScriptedModel):
    """Answers by the seed of the question alone."""

    def complete(self, prompt: Prompt, *, seed: int | None = None, **_: Any) -> Completion:
        """One of the doors."""
        super().complete(prompt)
        return Completion(
            text=f"Encouraged:\n{DOOR_ACTIONS[(seed or 0) % 3]} -> 1.0 so", usage=Usage(calls=1)
        )


def ask(
    folder: RunFolder,
    config: RunConfig,
    model: LanguageModel,
    choice: Choice | None = None,
    workers: int = 1,
) -> Influence:
    """The ranking of a run's experiences."""
    _, decisions = choose(records_of(folder), choice or Choice(), config)
    environment = make_environment(config)
    return rank(
        replay(
            decisions,
            model=model,
            answers=Answers(folder.path / "influence.jsonl"),
            open_memory=lambda seed: ExperienceMemory(SQLiteStore(folder.memory_path(seed), read_only=True)),
            make_agent=lambda memory: make_agent(config, environment, model, memory),
            config=config,
            workers=workers,
        )
    )


# -- what is ranked ----------------------------------------------------------------------------------


@pytest.mark.parametrize("workers", [1, 4])
def test_the_experience_that_alone_decides_ranks_first(tmp_path: Path, workers: int) -> None:
    """It changed every decision that it was shown for; all others changed none, and chance none either."""
    # All experiences are shown: else leaving out another one could bring this one in.
    config = corridor_config(epochs=1, agent_options={"k": 9})
    folder = execute(config, tmp_path, model=ScriptedModel(swayed))
    found = ask(folder, config, ScriptedModel(swayed), workers=workers)
    first, *others = found.rows
    assert first.task == TRIGGER.instruction
    assert first.changed == first.shown > 0
    assert {(change.action, change.without) for change in first.changes} == {(WRONG, OTHER)}
    assert others
    assert [row.changed for row in others] == [0] * len(others)
    assert found.other_by_chance == found.other_action == found.other_exemplars == 0
    assert first.succeeded + first.failed == first.changed
    assert 0 < first.low < 1 == first.high


def test_chance_is_counted_apart(tmp_path: Path) -> None:
    """A model that rolls dice: no experience changes anything, and another seed nearly everything."""
    config = corridor_config(epochs=1)
    folder = execute(config, tmp_path, model=ByChance([""] * 999))
    found = ask(folder, config, ByChance([""] * 999))
    assert found.other_action == 0
    assert found.other_by_chance > 0
    assert [row.changed for row in found.rows] == [0] * len(found.rows)
    assert sum(row.by_chance for row in found.rows) > 0


def test_decisions_that_come_out_otherwise_are_left_out(tmp_path: Path) -> None:
    """Another model answers otherwise: all that is said is so."""
    config = corridor_config(epochs=1)
    folder = execute(config, tmp_path, model=ScriptedModel(swayed))
    found = ask(folder, config, ScriptedModel(lambda prompt: f"Encouraged:\n{RIGHT} -> 1.0 so", name="b"))
    assert found.other_action == found.decisions > 0
    assert (found.compared, found.rows) == (0, ())


def test_rank_counts_gain_success_and_chance() -> None:
    """Hand-made: two experiences, one decision each way; the one beyond chance comes first."""
    [record] = choose_records(advice=["a"])
    decision = Recorded(record=record.model_copy(update={"success": True}), index=0, learned=())
    one, two = (Situation(task=name, observation=f"{name}\npage of {name}") for name in "ab")

    def asked(chance: str, first: str, gain: float | None) -> Replayed:
        kept, left = Without(situation=two, action="x"), Without(situation=one, action=first, gain=gain)
        return Replayed(
            decision=decision, same_exemplars=True, again="x", chance=chance, without=(kept, left)
        )

    found = rank([asked("x", "y", 0.5), asked("y", "y", None), asked("x", "x", None), asked("x", "y", 1.0)])
    first, last = found.rows
    assert (first.key, first.shown, first.changed, first.by_chance) == (one.key, 4, 3, 1)
    assert (first.gain, first.gains, first.succeeded, first.failed) == (0.75, 2, 3, 0)
    assert (first.task, first.page) == ("a", "pge of")  # the task's text is no part of how a page begins
    assert (last.changed, last.gain, last.low) == (0, None, 0.0)


# -- how it is asked ---------------------------------------------------------------------------------


def test_nothing_is_asked_twice_and_no_memory_changes(tmp_path: Path) -> None:
    """A second start asks only what a torn line lost; bytes and hash of the memory stay."""
    config = corridor_config(epochs=1)
    folder = execute(config, tmp_path, model=ScriptedModel(swayed))
    before = folder.memory_path(0).read_bytes(), memory_hash(folder)
    model = ScriptedModel(swayed)
    first = ask(folder, config, model)
    assert len(model.prompts) > 0
    assert (folder.memory_path(0).read_bytes(), memory_hash(folder)) == before
    again = ScriptedModel(swayed)
    assert ask(folder, config, again) == first
    assert again.prompts == []
    path = tmp_path / "influence.jsonl"
    path.write_bytes(path.read_bytes()[:-9])
    assert ask(folder, config, again) == first
    assert len(again.prompts) == 1


def test_a_broken_file_of_answers_is_named(tmp_path: Path) -> None:
    """A whole line that is no answer is no answer."""
    path = tmp_path / "influence.jsonl"
    path.write_text("[]\n")
    with pytest.raises(RunError, match=r"influence\.jsonl is no file of answers"):
        Answers(path)


@pytest.mark.parametrize("batch_size", [1, 3])
@pytest.mark.parametrize("phase", ["eval", "train"])
@pytest.mark.parametrize("epoch", [1, 2])
def test_the_memory_of_any_time_gives_the_recorded_decisions(
    tmp_path: Path, phase: Any, epoch: int, batch_size: int
) -> None:
    """The embedded reader answers the same to the same: every decision comes again, none is left out."""
    config = corridor_config(batch_size=batch_size, seeds=[0, 1], train_tasks="0:8", skip_solved=False)
    folder = execute(config, tmp_path)
    found = ask(folder, config, EmbeddedReader(), Choice(phase=phase, epoch=epoch))
    assert found.decisions > 0
    assert (found.other_exemplars, found.other_action) == (0, 0)


@pytest.mark.parametrize("phase", ["eval", "train"])
def test_what_a_control_withheld_stays_withheld(tmp_path: Path, phase: Any) -> None:
    """Episodes without memory were learned, too; what a guard's coins hid is hidden when asked again."""
    config = corridor_config(train_tasks="0:8", skip_solved=False, control=0.3, guard=True)
    folder = execute(config, tmp_path)
    played = records_of(folder)
    assert {record.arm for record in played if record.phase == "train"} == {"memory", "no-memory"}
    assert any(hidden for record in played for hidden in record.tried.values())
    found = ask(folder, config, EmbeddedReader(), Choice(phase=phase))
    assert found.decisions > 0
    assert (found.other_exemplars, found.other_action) == (0, 0)


@pytest.mark.parametrize("faulty", [{"corridor:3"}, {"corridor:2", "corridor:3", "corridor:5"}])
def test_a_batch_with_a_broken_end_was_learned_with_the_next(tmp_path: Path, faulty: set[str]) -> None:
    """The memory of each training episode is found again where episodes broke, at the ends of batches too."""
    config = corridor_config(batch_size=2, epochs=2, train_tasks="0:8", skip_solved=False)
    folder = RunFolder(tmp_path)
    faulty_run(config, folder, FaultyCorridor(faulty)).execute()
    for epoch in (1, 2):
        found = ask(folder, config, EmbeddedReader(), Choice(phase="train", epoch=epoch))
        assert found.decisions > 0
        assert (found.other_exemplars, found.other_action) == (0, 0)


def test_a_memory_that_was_corrected_since_is_noticed(tmp_path: Path) -> None:
    """Where the exemplars say otherwise than they did, nothing is asked, and that is counted."""
    config = corridor_config(epochs=1)
    folder = execute(config, tmp_path)
    opened = ExperienceMemory(SQLiteStore(folder.memory_path(0)))
    for played in list(opened.episodes()):
        opened.correct(played.id, {0: -5.0})
    opened.close()
    found = ask(folder, config, EmbeddedReader())
    assert found.other_exemplars == found.decisions > 0


def test_a_memory_that_forgot_since_is_refused(tmp_path: Path) -> None:
    """What is not in the log any more cannot advise again."""
    config = corridor_config(epochs=1)
    folder = execute(config, tmp_path)
    opened = ExperienceMemory(SQLiteStore(folder.memory_path(0)))
    opened.forget(episode=next(opened.episodes()).id)
    opened.close()
    with pytest.raises(RunError, match="its log lacks 1 of 4 training episodes"):
        ask(folder, config, EmbeddedReader())


def test_what_a_memory_learned_after_the_run_does_not_matter(tmp_path: Path) -> None:
    """Episodes that came later are left out of the memory as it was."""
    config = corridor_config(epochs=1)
    folder = execute(config, tmp_path)
    before = ask(folder, config, EmbeddedReader())
    opened = ExperienceMemory(SQLiteStore(folder.memory_path(0)))
    last = list(opened.episodes())[-1]
    opened.record(type(last)(id="later", task=last.task, transitions=last.transitions, source="shop"))
    opened.close()
    assert ask(folder, config, EmbeddedReader()) == before


# -- what is asked -----------------------------------------------------------------------------------


def test_views_are_those_that_the_agent_had() -> None:
    """History, reasons, rewards and seed come from the records, over unusable answers as well."""
    stage = Stage([Step(observation=f"page {n}", actions=ACTIONS, reward=n / 8) for n in range(1, 5)])
    agent = Watcher([ACTIONS[0], None, ACTIONS[1], None, None, ACTIONS[0]])
    for phase, epoch in (("train", 2), ("eval", 1)):
        agent.views.clear()
        job = Job(phase=phase, epoch=epoch, arm="memory", seed=3, task=TASK, index=5)  # type: ignore[arg-type]
        record = play(stage.spawn(), agent, job, max_steps=6).record
        assert len(agent.views) == 6
        assert views_of(record, corridor_config()) == agent.views


RUN = corridor_config()


def choose_records(advice: Sequence[str] = (), **changes: Any) -> list[Any]:
    """One evaluation record of one step, with exemplars of these keys."""
    steps = [{"observation": "p", "action": "x", "advice": [{"key": k, "similarity": 1.0} for k in advice]}]
    fields: dict[str, Any] = {"steps": steps, "epoch": 1} | changes
    return [episode(**fields)]


def test_a_limit_spreads_over_all_decisions() -> None:
    """Decisions without exemplars, of the control, of broken episodes and of other epochs are none."""
    records = [r for n in range(10) for r in choose_records(["k"], task=f"t{n}")]
    records += choose_records([], task="bare") + choose_records(["k"], arm="no-memory", task="c")
    records += choose_records(["k"], status="broken", task="b") + choose_records(["k"], epoch=0, task="o")
    epoch, found = choose(records, Choice(), RUN)
    assert (epoch, [d.record.task_id for d in found]) == (1, [f"t{n}" for n in range(10)])
    _, some = choose(records, Choice(limit=4), RUN)
    assert [d.record.task_id for d in some] == ["t0", "t2", "t5", "t7"]
    assert choose(records, Choice(limit=99), RUN)[1] == found


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        (Choice(epoch=7), "no evaluation epoch 7; it has 1"),
        (Choice(seed=4), "has no seed 4; it has 0"),
        (Choice(phase="train"), "no training episode with memory"),
    ],
)
def test_what_a_run_has_not_is_named(choice: Choice, message: str) -> None:
    """Epochs, seeds and phases that there are stand in the message."""
    with pytest.raises(UsageError, match=message):
        choose(choose_records(["k"]), choice, RUN)


def test_a_run_in_which_nothing_was_shown_is_refused() -> None:
    """Before any training there is nothing to leave out."""
    with pytest.raises(UsageError, match="no exemplar was shown"):
        choose(choose_records(), Choice(), RUN)
