"""Counting what the context of Algorithm Distillation would need on a run."""

from __future__ import annotations

import json
import sys
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
    count_episodes,
    count_run,
    episodes_that_fit,
    full_text,
    rows,
    task_text,
)
from rlem.distillation.pages import count_markdown, fits_sentence
from rlem.runner.records import EpisodeRecord, StepRecord


def words(text: str) -> int:
    """A token a word."""
    return len(text.split())


def train(epoch: int = 1, *, steps: int = 2, seed: int = 0, **changes: Any) -> EpisodeRecord:
    """A training episode of equal steps, five words a page."""
    step = StepRecord(observation="one two three four five", actions=["go", "stay"], action="go")
    return episode(phase="train", epoch=epoch, seed=seed, instruction="walk", steps=[step] * steps, **changes)


def test_a_decision_is_observation_actions_action_and_reward() -> None:
    """A decision's text holds all that is said of it, the due step only where there is one."""
    step = StepRecord(observation="a page", actions=["go", "stay"], action="go", reward=0.5)
    assert full_text(step) == "a page\nActions: go, stay\nAction: go\nReward: 0.5\n"
    due = step.model_copy(update={"subtask": "open it", "actions": []})
    assert full_text(due) == "Step: open it\na page\nAction: go\nReward: 0.5\n"


def test_hand_counted_run() -> None:
    """Two episodes of two and three steps: task once an episode, 12 words a decision, 5 of them seen."""
    found = count_episodes([train(), train(2, steps=3)], words, run="r")
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
    found = count_episodes([train(), *others], words, run="r")
    assert [(history.seed, history.observations) for history in found.histories] == [(0, (10,)), (3, (5,))]


def test_prompts_are_those_that_memory_sent() -> None:
    """Mean by call and largest mean of an episode, over the episodes with memory of an epoch."""
    used = {"calls": 2, "prompt_tokens": 200}, {"calls": 6, "prompt_tokens": 1800}
    episodes = [
        train(usage=used[0]),
        episode(epoch=1, usage=used[1]),
        episode(epoch=1, arm="no-memory", usage={"calls": 1, "prompt_tokens": 9999}),
        train(2),
    ]
    first, second = rows(count_episodes(episodes, words, run="r"))
    assert first.sent is not None
    assert (first.sent.calls, first.sent.mean, first.sent.most) == (8, 250.0, 300.0)
    assert first.ratio == pytest.approx(26 / 250)
    assert (second.sent, second.ratio) == (None, None)


def test_a_run_without_training_is_refused() -> None:
    """There is no history to count where nothing was trained, and the message names the run."""
    with pytest.raises(RunError, match="'bare' holds no training episode"):
        count_episodes([episode()], words, run="bare")


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
    found = count_episodes([train(epoch, steps=steps) for epoch, steps in sorted(plays)], words, run="r")
    (history,) = found.histories
    assert all(early <= late for early, late in pairwise(history.full))
    assert all(seen <= full for seen, full in zip(history.observations, history.full, strict=True))
    assert len(history.full) == len(plays) == max(history.ends.values())


def test_the_page_says_where_it_stops_fitting() -> None:
    """A row an epoch, and a sentence with a number for every context, guesses told from what was seen."""
    found = count_episodes([train(steps=1000) for _ in range(3)], words, run="r", environment="toy")
    assert fits_sentence(found).startswith(
        "Where the full history stops fitting: 8k tokens hold 0 training episodes; "
        "128k tokens hold 10 training episodes (reckoned at this run's pace); "
    )
    assert "| 1 | 3 | 36,006 | 15,000 |  |  |  |" in count_markdown([found])


def test_the_command_leaves_table_data_and_plot(tmp_path: Path) -> None:
    """`rlem distill count` on two run folders writes the three files, and JSON agrees with counting."""
    folders = [write_run(tmp_path / name, shop_run(tasks=2), config()) for name in ("one", "two")]
    out = inside("distill", "count", *folders, "--out", tmp_path / "counted", cwd=tmp_path)
    assert "| epoch | training episodes |" in out.stdout
    data = json.loads((tmp_path / "counted" / "distillation.json").read_text("utf-8"))
    assert [one["run"] for one in data] == ["one", "two"]
    found = count_run(folders[0], lambda text: (len(text) + 2) // 3, counter="")
    assert data[0]["histories"][0]["full"] == list(found.histories[0].full)
    assert "embedded reader" in data[0]["counter"]
    assert (tmp_path / "counted" / "distillation.png").read_bytes().startswith(b"\x89PNG")


def test_counted_beside_the_run_without_out(tmp_path: Path) -> None:
    """Without --out the files lie in the first run's folder."""
    folder = write_run(tmp_path / "one", shop_run(tasks=2), config(model="openai:some"))
    inside("distill", "count", folder, cwd=tmp_path)
    assert "2.6 characters" in (folder / "distillation.md").read_text("utf-8")


def test_training_without_torch_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`rlem distill train` says in one line what to install, and makes no folder."""
    monkeypatch.setitem(sys.modules, "torch", None)
    done = inside("distill", "train", "--out", tmp_path / "d", cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "pip install 'rlem[distillation]'" in done.stderr
    assert not (tmp_path / "d").exists()
