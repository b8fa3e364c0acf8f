"""Control in a run: what is withheld in training, what is muted, determinism, and what the report says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from tests.support.command import inside as rlem
from tests.support.runs import config as shop_config
from tests.support.runs import episode, write_run
from tests.support.stage import FaultyCorridor, corridor_config, execute, outcome, records_of

from rlem.api.control import LogEvidence, coin
from rlem.core.types import Control
from rlem.environments.toy import DOORS
from rlem.evidence import LiveEffect
from rlem.llm.base import Prompt
from rlem.llm.embedded import EmbeddedReader
from rlem.memory.memory import ExperienceMemory
from rlem.memory.sqlite import SQLiteStore
from rlem.reports import write_report
from rlem.reports.live import narrowing_svg
from rlem.reports.summary import summarise
from rlem.runner.folder import RunFolder
from rlem.runner.play import Job, play
from rlem.runner.records import EpisodeRecord, RunConfig
from rlem.runner.setup import make_agent
from rlem.testing.scripted_model import ScriptedModel


def controlled_config(**changes: Any) -> RunConfig:
    """Ten tasks, three times, a batch of four; a third is withheld, and a guard tries experiences."""
    fields = {
        "train_tasks": "0:10",
        "test_tasks": "10:12",
        "epochs": 3,
        "batch_size": 4,
        "skip_solved": False,
    }
    return corridor_config(**(fields | {"control": 0.3, "guard": True} | changes))


def trained(records: Sequence[EpisodeRecord]) -> list[EpisodeRecord]:
    """The training episodes."""
    return [record for record in records if record.phase == "train"]


# -- the config ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "kept", "share"), [(True, True, 0.0), (False, False, 0.0), (0, False, 0.0), (0.3, 0.3, 0.3)]
)
def test_control_is_a_flag_or_a_share(given: bool | float, kept: bool | float, share: float) -> None:
    """As given, also after its way through JSON."""
    config = RunConfig(environment="corridor", control=given)
    again = RunConfig.model_validate_json(config.model_dump_json())
    assert (config.control, type(config.control), config.share) == (kept, type(kept), share)
    assert again == config


@pytest.mark.parametrize(
    "wrong", [{"control": 1.5}, {"control": -0.1}, {"control": 1}, {"guard": True}, {"control": float("nan")}]
)
def test_a_control_that_is_no_share_is_refused(wrong: dict[str, Any]) -> None:
    """Shares lie between 0 and 1, and a guard needs one."""
    with pytest.raises(ValidationError, match="control"):
        RunConfig(environment="corridor", **wrong)


def test_records_without_control_stay_as_they_were(tmp_path: Path) -> None:
    """No new name stands in the records of a run that withholds nothing, nor in its memory's log."""
    folder = execute(corridor_config(epochs=1), tmp_path)
    assert b'"tried"' not in folder.episodes_path.read_bytes()
    log = ExperienceMemory(SQLiteStore(folder.memory_path(0), read_only=True))
    assert {e.controlled for e in log.episodes()} == {None}
    log.close()


# -- what is withheld ------------------------------------------------------------------------------------


def test_the_coin_withholds_memory_in_training_alone(tmp_path: Path) -> None:
    """Such episodes have no advice and are learned; tests are played in both arms, each task once."""
    folder = execute(controlled_config(), tmp_path)
    records = records_of(folder)
    arms = {(r.epoch, r.task_id): r.arm for r in trained(records)}
    assert arms == {
        (epoch, task): "no-memory" if coin(0.3, 0, epoch, task) else "memory" for epoch, task in arms
    }
    assert len(arms) == 30
    assert set(arms.values()) == {"memory", "no-memory"}
    for record in records:
        if record.arm == "no-memory":
            assert not any(step.advice for step in record.steps)
            assert record.memory_size == 0
            assert not record.tried
    assert [r.arm for r in records if r.phase == "eval"] == (["memory"] * 2 + ["no-memory"] * 2) * 4
    log = ExperienceMemory(SQLiteStore(folder.memory_path(0), read_only=True))
    assert log.episode_count() == 30
    log.close()


def test_the_guard_tries_each_experience_once_an_episode(tmp_path: Path) -> None:
    """All that is shown in training was let through by a coin, the rest is not; tests throw none."""
    records = records_of(execute(controlled_config(control=0.5), tmp_path))
    held = 0
    for record in records:
        shown = {advice.key for step in record.steps for advice in step.advice}
        if record.phase == "eval":
            assert not record.tried
            continue
        assert shown == {key for key, hidden in record.tried.items() if not hidden}
        place = (record.seed, record.epoch, record.task_id)
        assert record.tried == {key: coin(0.5, *place, key) for key in record.tried}
        held += sum(record.tried.values())
    assert held > 5


def misled(prompt: Prompt) -> str:
    """A model that knows the right doors, and takes a wrong one as soon as it is shown an exemplar."""
    corridor = FaultyCorridor()
    new = prompt.user.rpartition("New input:")[2]
    task = next(t for t in corridor.tasks("0:20") if t.instruction in new)
    room = int(new.partition("Room ")[2].partition(" of")[0])
    door = corridor.oracle(task)[room - 1]
    if "Encouraged" in prompt.user.rpartition("New input:")[0]:
        door = next(f"open {d}" for d in DOORS if f"open {d}" != door)
    return f"Encouraged:\n{door} -> 1.0"


def test_a_memory_that_harms_is_muted_in_training_and_tests(tmp_path: Path) -> None:
    """From some batch on nothing is advised any more, in tests neither, and the report says so."""
    config = controlled_config(control=0.4, epochs=14, test_epochs="last")
    folder = execute(config, tmp_path, model=ScriptedModel(misled))
    records = records_of(folder)
    advised = [any(step.advice for step in record.steps) for record in records]
    last = max(i for i, shown in enumerate(advised) if shown)
    assert 20 < last < len(trained(records)) - 10
    live = summarise(folder.path).live
    assert live is not None
    assert "" in live.muted[0]
    assert live.after_muting > 10
    assert live.shown + live.withheld + live.after_muting == len(trained(records))
    assert "muted for harm: the whole memory" in live.sentence


def test_what_is_muted_is_not_shown_in_a_test(tmp_path: Path) -> None:
    """The next experiences stand in for it; nothing is on trial."""
    config = controlled_config()
    folder, world = execute(config, tmp_path), FaultyCorridor()
    memory = ExperienceMemory(SQLiteStore(folder.memory_path(0), read_only=True))
    agent = make_agent(config, world, EmbeddedReader(), memory)
    job = Job(phase="eval", epoch=1, arm="memory", seed=0, task=world.tasks("10:11")[0], index=0)
    shown: list[list[str]] = []
    for _ in range(3):
        record = play(world, agent, replace(job, muted={key for keys in shown for key in keys}), max_steps=1)
        shown.append([record.record.steps[0].advice[i].key for i in range(2)])
        assert record.record.tried == {}
    assert len({key for keys in shown for key in keys}) == 6
    memory.close()


# -- determinism -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", [None, misled], ids=["embedded", "misled"])
def test_any_number_of_workers_and_a_kill_give_the_same_bytes(tmp_path: Path, model: Any) -> None:
    """Four threads as one; and a run that was killed anywhere goes on to the same records and memory."""
    config = controlled_config(control=0.4, epochs=10, test_epochs="last")

    def played(path: Path, workers: int = 1) -> RunFolder:
        return execute(config, path, workers=workers, model=ScriptedModel(model) if model else None)

    whole = played(tmp_path / "one")
    assert outcome(played(tmp_path / "four", workers=4)) == outcome(whole)
    lines = whole.episodes_path.read_bytes().splitlines(keepends=True)
    for kept in (1, 18, 55, 90):
        cut = tmp_path / f"cut{kept}"
        cut.mkdir()
        (cut / "config.json").write_bytes(whole.config_path.read_bytes())
        (cut / "episodes.jsonl").write_bytes(b"".join(lines[:kept]))
        assert outcome(played(cut, workers=2)) == outcome(whole)


def test_an_agent_without_memory_has_nothing_withheld(tmp_path: Path) -> None:
    """The share changes nothing for it, and there is no effect to report."""
    one, other = (
        execute(controlled_config(agent="random", control=control, guard=False), tmp_path / str(control))
        for control in (True, 0.3)
    )
    assert records_of(one) == records_of(other)
    assert summarise(other.path).live is None


# -- the log and the report ------------------------------------------------------------------------------


def test_the_memory_of_a_run_tells_its_effect_where_all_is_learned(tmp_path: Path) -> None:
    """The log says what the report says; where failures are not learned it does not speak."""
    for learn in ("all", "solved"):
        folder = execute(controlled_config(learn=learn), tmp_path / learn)
        log = ExperienceMemory(SQLiteStore(folder.memory_path(0), read_only=True))
        found, live = LogEvidence(log).effect(), summarise(folder.path).live
        log.close()
        assert live is not None
        assert live.shown + live.withheld == 30
        if learn == "solved":
            assert found is None
        else:
            assert found is not None
            assert (found.control, found.left_out) == (Control(chance=0.3, guard=True), 0)
            assert (found.estimate, found.low, found.high) == (live.estimate, live.low, live.high)


def test_the_report_has_the_effect_so_far(tmp_path: Path) -> None:
    """Over all seeds in file order, as fed by hand; on a run that is still going, too."""
    records, by_hand = [], LiveEffect(control=0.25)
    for seed in (0, 1):
        for number in range(40):
            hidden, solved = number % 4 == 0, number % 3 == 0
            arm = "no-memory" if hidden else "memory"
            records.append(
                episode(phase="train", epoch=1, arm=arm, seed=seed, task=f"t{number}", success=solved)
            )
            by_hand = by_hand.after(float(solved), withheld=hidden)
    folder = write_run(tmp_path / "run", records, shop_config(control=0.25), torn='{"phase":')
    paths = write_report(folder)
    live, found = paths.summary.live, by_hand.interval()
    assert live is not None
    assert (live.estimate, live.low, live.high) == (found.estimate, found.low, found.high)
    assert (live.shown, live.withheld) == (60, 20)
    assert live.curve[-1] == (80, found.estimate, found.low, found.high)
    assert len(live.curve) <= 81
    page = paths.report_html.read_text()
    assert live.sentence[1:].replace("'", "&#39;") in page
    assert narrowing_svg(live) in page
    assert page.count("<polygon") == 1
    assert summarise(records[:2], shop_config(control=0.25)).live is not None
    assert summarise(records, shop_config()).live is None
    none = summarise([], shop_config(control=0.25)).live
    assert none is not None
    assert none.sentence == "memory's effect in training so far is not known: no episode was played yet"
    assert narrowing_svg(none) == ""


def test_broken_training_episodes_count_as_failures() -> None:
    """Whatever their record says of success."""
    record = episode(phase="train", epoch=1, task="t", success=True)
    whole, broken = (
        summarise([record.model_copy(update={"status": status})], shop_config(control=0.5)).live
        for status in ("terminated", "broken")
    )
    assert whole is not None
    assert broken is not None
    assert whole.estimate > broken.estimate


# -- the command line ------------------------------------------------------------------------------------


def test_the_command_line_withholds_reports_and_tells(tmp_path: Path) -> None:
    """--control takes a share, --guard needs one; the memory's own command tells the effect."""
    run = ("train", "corridor", "--train", "0:10", "--test", "10:12", "--epochs", "2", "--seeds", "1")
    done = rlem(*run, "--no-skip-solved", "--control", "0.3", "--guard", "--out", "run", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "memory's effect in training so far:" in done.stdout
    told = rlem("memory", "effect", "run/memory-0.rlem", cwd=tmp_path).stdout
    assert "memory's effect: " in told
    assert "muted for harm: nothing" in told
    plain = rlem(*run, "--control", "--out", "plain", cwd=tmp_path)
    assert plain.returncode == 0, plain.stderr
    assert "effect in training" not in plain.stdout
    silent = rlem("memory", "effect", "plain/memory-0.rlem", cwd=tmp_path).stdout
    assert "memory was never withheld, so its effect is not known" in silent
    as_json = rlem("memory", "effect", "run/memory-0.rlem", "--json", cwd=tmp_path).stdout
    assert '"muted": []' in as_json
    for wrong in (("--guard",), ("--control", "2"), ("--control", "0.2", "--guard", "--no-control")):
        refused = rlem(*run, *wrong, "--out", "wrong", cwd=tmp_path)
        assert refused.returncode == 2
        assert not (tmp_path / "wrong").exists()
