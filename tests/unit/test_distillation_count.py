"""Counting what the context of Algorithm Distillation would need on a run."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.command import inside
from tests.support.runs import config, episode, shop_run, write_run

from rlem.core.errors import RunError
from rlem.distillation.counting import (
    Count,
    alike,
    count_episodes,
    count_runs,
    episodes_that_fit,
    fitting,
    full_text,
    rows,
    task_text,
)
from rlem.distillation.pages import count_csv, count_markdown
from rlem.runner.records import EpisodeRecord, StepRecord


def words(text: str) -> int:
    """A token a word."""
    return len(text.split())


def train(epoch: int = 1, *, steps: int = 2, seed: int = 0, **changes: Any) -> EpisodeRecord:
    """A training episode of equal steps, five words a page."""
    step = StepRecord(observation="one two three four five", actions=["go", "stay"], action="go")
    return episode(phase="train", epoch=epoch, seed=seed, instruction="walk", steps=[step] * steps, **changes)


def counted(*episodes: EpisodeRecord, **changes: Any) -> Count:
    """What one run of these episodes counts to, in words."""
    return count_episodes({"r": episodes}, words, config(**changes), counter="words")


def test_a_decision_is_observation_actions_action_and_reward() -> None:
    """A decision's text holds all that is said of it, the due step only where there is one."""
    step = StepRecord(observation="a page", actions=["go", "stay"], action="go", reward=0.5)
    assert full_text(step) == "a page\nActions: go, stay\nAction: go\nReward: 0.5\n"
    due = step.model_copy(update={"subtask": "open it", "actions": []})
    assert full_text(due) == "Step: open it\na page\nAction: go\nReward: 0.5\n"


def test_hand_counted_run() -> None:
    """Two episodes of two and three steps: task once an episode, 12 words a decision, 5 of them seen."""
    found = counted(train(), train(2, steps=3))
    task, step = words(task_text(train())), words(full_text(train().steps[0]))
    assert (task, step) == (2, 12)
    (history,) = found.histories
    assert history.full == (2 + 24, 2 + 24 + 2 + 36)
    assert history.observations == (10, 25)
    assert history.ends == {1: 1, 2: 2}
    assert found.decisions == 5


def test_evaluation_and_broken_episodes_are_no_history() -> None:
    """Only what the agent could have learned from is counted; every seed has a history of its own."""
    others = [train().model_copy(update={"phase": "eval"}), train(status="broken"), train(seed=3, steps=1)]
    found = counted(train(), *others)
    assert [(history.seed, history.observations) for history in found.histories] == [(0, (10,)), (3, (5,))]


def test_prompts_are_those_that_memory_sent() -> None:
    """Mean by call and largest mean of an episode, over the episodes with memory of an epoch."""
    used = {"calls": 2, "prompt_tokens": 200}, {"calls": 6, "prompt_tokens": 1800}
    found = counted(
        train(usage=used[0]),
        episode(epoch=1, usage=used[1]),
        episode(epoch=1, arm="no-memory", usage={"calls": 1, "prompt_tokens": 9999}),
        train(2),
    )
    first, second = rows(found)
    assert first.sent is not None
    assert (first.sent.calls, first.sent.mean, first.sent.most) == (8, 250.0, 300.0)
    assert first.ratio == pytest.approx(26 / 250)
    assert (second.sent, second.ratio) == (None, None)


def test_a_run_without_training_is_refused() -> None:
    """There is no history to count where nothing was trained, and the message names the run."""
    with pytest.raises(RunError, match="'r' holds no training episode"):
        counted(episode())


@given(st.lists(st.integers(1, 50), min_size=1, max_size=30), st.integers(0, 3000))
def test_what_fits_a_context_fits(lengths: list[int], context: int) -> None:
    """So many episodes fit and one more does not; beyond the run's end the mean pace decides."""
    history = [sum(lengths[: end + 1]) for end in range(len(lengths))]
    fitting, seen = episodes_that_fit(history, context)
    if seen:
        assert (history[fitting - 1] if fitting else 0) <= context < history[fitting]
    else:
        assert history[-1] <= context
        pace = history[-1] / len(history)
        assert fitting * pace <= context + 1e-6 < (fitting + 1) * pace + 1e-5


@given(st.lists(st.tuples(st.integers(1, 4), st.integers(0, 6)), min_size=1, max_size=12))
def test_a_history_grows_and_holds_its_observations(plays: list[tuple[int, int]]) -> None:
    """Histories never shrink, and observations alone are never more than the whole."""
    found = counted(*(train(epoch, steps=steps) for epoch, steps in sorted(plays)))
    (history,) = found.histories
    assert all(early <= late for early, late in pairwise(history.full))
    assert all(seen <= full for seen, full in zip(history.observations, history.full, strict=True))
    assert len(history.full) == len(plays) == max(history.ends.values())


def test_runs_that_are_alike_are_histories_of_one_count() -> None:
    """Two runs of one and two episodes: a history each; a row is their mean, prompts are pooled."""
    plays = {
        "a": [train(usage={"calls": 1, "prompt_tokens": 10})],
        "b": [train(usage={"calls": 3, "prompt_tokens": 90}), train()],
    }
    found = count_episodes(plays, words, config(), counter="words")
    assert [(one.run, one.full) for one in found.histories] == [("a", (26,)), ("b", (26, 52))]
    (row,) = rows(found)
    assert (row.episodes, row.full, row.observations) == (1.5, 39.0, 15.0)
    assert row.sent is not None
    assert (row.sent.mean, row.sent.most) == (25.0, 30.0)
    assert fitting(found, 51) == (1.0, False)  # the first fits and is at its end, of the second one fits


def test_a_history_with_nothing_left_to_train_on_stays() -> None:
    """Two histories, of which one ends after epoch 1: later rows hold both, and no row is below the last."""
    plays = {
        "a": [train(), train(2), train(2)],
        "b": [train() for _ in range(4)],
        "c": [train(status="broken"), train(2)],
    }
    found = rows(count_episodes(plays, words, config(), counter="words"))
    assert [(row.epoch, row.episodes, row.full) for row in found] == [
        (1, 5 / 3, 5 * 26 / 3),
        (2, 8 / 3, 8 * 26 / 3),
    ]


def test_epochs_without_training_are_rows() -> None:
    """All is solved in epoch 1 and only tested later: a row each, its history as long as it was."""
    used = {"calls": 1, "prompt_tokens": 13}
    found = rows(counted(train(), episode(epoch=0, usage=used), episode(epoch=3, usage=used)))
    assert [(row.epoch, row.episodes, row.ratio) for row in found] == [
        (1, 1, None),
        (2, 1, None),
        (3, 1, 2.0),
    ]


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 5), st.integers(0, 6)), min_size=1, max_size=12)
)
def test_rows_never_shrink(plays: list[tuple[str, int, int]]) -> None:
    """Whatever epochs histories skip, their means grow; the last row holds all that was played."""
    runs = {
        name: [train(epoch, steps=steps) for own, epoch, steps in sorted(plays) if own == name]
        for name in sorted({name for name, _, _ in plays})
    }
    found = rows(count_episodes(runs, words, config(), counter="words"))
    assert all(one.episodes <= two.episodes and one.full <= two.full for one, two in pairwise(found))
    assert found[-1].episodes == pytest.approx(len(plays) / len(runs))


def test_the_page_says_where_it_stops_fitting() -> None:
    """A line a task set: episodes that fit each context, guesses marked as such; a CSV line an epoch."""
    found = counted(
        *[train(steps=1000) for _ in range(3)], train_tasks="S1", agent_options={"max_input_tokens": 77}
    )
    page = count_markdown([found])
    assert "| webshop | S1 | 1 | 1 | 3 | 36,006 | 15,000 |  |  |  | 0 | ~10 | ~87 |" in page
    assert "words (model: embedded)" in page
    assert "cut at 77 tokens" in page
    head, line = count_csv([found]).splitlines()
    told = dict(zip(head.split(","), line.split(","), strict=True))
    assert (told["tasks"], told["epoch"], told["history_tokens"]) == ("S1", "1", "36006.0")


def experiment(folder: Path) -> Path:
    """Runs as ``rlem reproduce`` leaves them: two of the method, one with a changed k, one not finished."""
    whole = {"agent_options": {"k": 3}}
    cells = {
        "a": config(**whole),
        "b": config(**whole, seeds=[1], initial_memory="E0.jsonl"),
        "c": config(agent_options={"k": 1}),
        "d": config(**whole, train_tasks="S1"),
        "e": config(**whole, agent="llm-only", epochs=0),
    }
    for name, settings in cells.items():
        write_run(folder / "cells" / name, shop_run(tasks=1, seeds=settings.seeds), settings)
        if name != "d":
            finish(folder / "cells" / name)
    return folder


def finish(cell: Path, at: int = 0) -> None:
    """Marks a cell as played, at a time in seconds."""
    (cell / "done.json").write_text('{"version": 1, "epochs": {}}')
    os.utime(cell / "done.json", (at, at))


def test_of_an_experiment_the_whole_method_is_counted(tmp_path: Path) -> None:
    """Finished runs with the settings that most have, whatever their seed and initial experience."""
    folder = experiment(tmp_path)
    assert [[run.name for run in group] for group in alike([folder])] == [["a", "b"]]
    finish(folder / "cells" / "d")
    assert [[run.name for run in group] for group in alike([folder])] == [["a", "b"], ["d"]]


def test_of_a_run_played_by_two_versions_the_last_counts(tmp_path: Path) -> None:
    """Cells of one config differ by what played them; initial experiences of one name are the same ones."""
    folder = experiment(tmp_path)
    whole, shared = {"agent_options": {"k": 3}}, "postgresql://host/db?schema=rlem_"
    cells = {
        "A": (config(**whole), 10),
        "B": (config(**whole, seeds=[1], initial_memory="E0.jsonl"), -10),
        "E": (config(**whole, seeds=[2], initial_memory="/old/initial/E0-0123abcd.jsonl"), 20),
        "F": (config(**whole, seeds=[2], initial_memory="/new/initial/E0-89ef4567.jsonl"), 10),
        "G": (config(**whole, seeds=[2], initial_memory="/new/initial/E1-89ef4567.jsonl"), 10),
        "H": (config(**whole, train_tasks="S1", memory_url=f"{shared}1"), 10),
        "I": (config(**whole, train_tasks="S1", memory_url=f"{shared}2"), 20),
        "J": (config(**whole, train_tasks="S1"), 10),
    }
    for name, (settings, at) in cells.items():
        write_run(folder / "cells" / name, shop_run(tasks=1, seeds=settings.seeds), settings)
        finish(folder / "cells" / name, at)
    found = [[run.name for run in group] for group in alike([folder])]
    assert sorted(found) == [["A", "E", "G", "b"], ["I"], ["J"]]


def test_what_is_named_twice_counts_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run by two paths, and an experiment beside one of its cells."""
    monkeypatch.chdir(tmp_path)
    one = write_run(tmp_path / "one", shop_run(tasks=1), config(train_tasks="0:5"))
    folder = experiment(tmp_path / "out")
    groups = alike([one, Path("one"), folder, Path("out/cells/a")])
    assert sorted([run.name for run in group] for group in groups) == [["a", "b"], ["one"]]


def test_an_experiment_without_training_is_refused(tmp_path: Path) -> None:
    """Rows without a memory leave no history, and the message names the folder."""
    write_run(tmp_path / "cells" / "x", shop_run(tasks=1), config(agent="llm-only", epochs=0))
    finish(tmp_path / "cells" / "x")
    with pytest.raises(RunError, match="holds no run that trained a memory"):
        alike([tmp_path])


def test_the_command_leaves_table_data_and_plot(tmp_path: Path) -> None:
    """`rlem distill count` on a run and an experiment writes four files, and JSON agrees with counting."""
    one = write_run(tmp_path / "one", shop_run(tasks=2), config(train_tasks="0:5"))
    out = inside("distill", "count", one, experiment(tmp_path / "out"), cwd=tmp_path)
    assert out.returncode == 0, out.stderr
    assert "| webshop | 0:5 | 3 | 2 |" in out.stdout
    data = json.loads((tmp_path / "counted" / "distillation.json").read_text("utf-8"))
    assert [(found["tasks"], len(found["histories"])) for found in data] == [("0:5", 2), ("S0", 2)]
    found = count_runs([one], lambda text: (len(text) + 2) // 3, counter="")
    assert data[0]["histories"][0]["full"] == list(found.histories[0].full)
    assert "embedded reader" in data[0]["counter"]
    assert (tmp_path / "counted" / "distillation.csv").read_text("utf-8").count("\n") == 1 + 2 * 3
    picture = (tmp_path / "counted" / "distillation.svg").read_text("utf-8")
    assert "full history" in picture
    assert ">128k<" in picture


def test_the_page_names_the_tokenizer(tmp_path: Path) -> None:
    """A real model's history is counted by the estimate, and the page says so."""
    folder = write_run(tmp_path / "one", shop_run(tasks=2), config(model="openai:some"))
    inside("distill", "count", folder, "--out", tmp_path / "x", cwd=tmp_path)
    assert "2.6 characters" in (tmp_path / "x" / "distillation.md").read_text("utf-8")


def test_what_is_no_run_is_refused(tmp_path: Path) -> None:
    """A folder that nothing was played in ends in one line that names it, and no folder is made."""
    done = inside("distill", "count", tmp_path, "--out", tmp_path / "x", cwd=tmp_path)
    assert done.returncode == 1
    assert "is not a run folder" in done.stderr
    assert not (tmp_path / "x").exists()


def damage(folder: Path, file: str, text: str | None) -> Path:
    """A run of which one file is gone or holds something else."""
    place = write_run(folder, shop_run(tasks=1), config()) / file
    place.unlink() if text is None else place.write_text(text)
    return folder


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda at: at, "is not a run folder: config.json cannot be read"),
        (lambda at: at / "none", "is not a run folder"),
        (lambda at: damage(at, "config.json", "{"), "config.json is not a run config"),
        (lambda at: damage(at, "episodes.jsonl", None), "the run has no episodes yet"),
        (lambda at: damage(at, "episodes.jsonl", ""), "holds no training episode"),
        (lambda at: damage(at, "episodes.jsonl", "{bad\n{bad\n"), "line 1 is not an episode record"),
        (lambda at: damage(at / "cells" / "x", "config.json", "{").parents[1], "holds no finished run"),
    ],
)
def test_broken_folders_are_named(tmp_path: Path, make: Callable[[Path], Path], said: str) -> None:
    """One line says what is wrong with which folder, and no folder of results is made."""
    done = inside("distill", "count", make(tmp_path), "--out", tmp_path / "x", cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert str(tmp_path) in done.stderr
    assert said in done.stderr
    assert not (tmp_path / "x").exists()


def test_results_need_a_folder(tmp_path: Path) -> None:
    """An --out that is a file is refused before anything is counted."""
    (tmp_path / "file").touch()
    done = inside("distill", "count", tmp_path, "--out", tmp_path / "file", cwd=tmp_path)
    assert done.returncode == 2
    assert "is a file" in done.stderr


def test_training_without_torch_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`rlem distill train` says in one line what to install, and makes no folder."""
    monkeypatch.setitem(sys.modules, "torch", None)
    done = inside("distill", "train", "--out", tmp_path / "d", cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "pip install 'rlem[distillation]'" in done.stderr
    assert not (tmp_path / "d").exists()
