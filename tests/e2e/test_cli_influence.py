"""``rlem memory influence`` and the event streams of ``rlem train`` and ``eval``, as a user runs them."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from tests.support.command import TINY, complaint, inside, rlem, start, wait_for_lines, well

from rlem.llm.base import Prompt
from rlem.llm.embedded import EmbeddedReader
from rlem.testing.openai_server import OpenAIServer

RUN = ("train", "corridor", "--train", "0:6", "--test", "10:16", "--epochs", "2", "--seeds", "2")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run."""
    cwd = tmp_path_factory.mktemp("influence")
    well(*RUN, "--out", "run", cwd=cwd)
    return cwd / "run"


@pytest.fixture
def run(whole: Path, tmp_path: Path) -> Path:
    """A copy of the run that a test may write to."""
    return Path(shutil.copytree(whole, tmp_path / "run"))


def ranking(folder: Path) -> dict[str, Any]:
    """What influence.json says."""
    return dict(json.loads((folder / "influence.json").read_text()))


def test_the_table_names_experiences_that_explain_knows(run: Path) -> None:
    """Noise floors, a row an experience, files; the memory's bytes stay, and it knows the keys."""
    memories = [run / f"memory-{seed}.rlem" for seed in (0, 1)]
    before = [hashlib.sha256(path.read_bytes()).digest() for path in memories]
    out = well("memory", "influence", "run", "--json", "more.json", cwd=run.parent)
    assert [hashlib.sha256(path.read_bytes()).digest() for path in memories] == before
    assert "Asked again unchanged: 0.0% other action" in out
    assert "Asked with another seed:" in out
    found = ranking(run)
    assert found == json.loads((run.parent / "more.json").read_text())
    assert (found["epoch"], found["seeds"], found["model"]) == (2, [0, 1], "embedded-reader")
    assert sum(row["changed"] for row in found["rows"]) > 0
    top = found["rows"][0]
    keys = re.findall(r"^([0-9a-f]{8})  \d+ of \d+", out, re.MULTILINE)
    assert keys == [row["key"][:8] for row in found["rows"]]
    explained = [rlem("memory", "explain", path, keys[0], cwd=run).stdout for path in memories]
    assert any(f"task: {top['task']}" in text for text in explained)
    page = (run / "influence.md").read_text()
    assert f"| {keys[0]} | {top['changed']} of {top['shown']} |" in page


def test_it_goes_on_where_it_was_killed(run: Path) -> None:
    """SIGKILL in the middle, then the same command: the answers got are kept, the ranking is the same."""
    well("memory", "influence", "run", cwd=run.parent)
    first, lines = ranking(run), (run / "influence.jsonl").read_bytes()
    for name in ("influence.json", "influence.md", "influence.jsonl"):
        (run / name).unlink()
    process = start("memory", "influence", "run", cwd=run.parent)
    wait_for_lines(run / "influence.jsonl", 1, process)
    process.kill()
    process.communicate()
    kept = (run / "influence.jsonl").read_bytes()
    assert lines.startswith(kept)
    well("memory", "influence", "run", cwd=run.parent)
    assert (run / "influence.jsonl").read_bytes() == lines
    assert ranking(run) == first


def test_a_dry_run_asks_nothing(run: Path) -> None:
    """It says how many decisions, calls and tokens, and leaves no file."""
    out = well("memory", "influence", "run", "--dry-run", "--limit", "3", cwd=run.parent)
    assert re.match(r"3 decisions: at most \d+ calls, about [1-9][\d,]* tokens", out)
    assert not list(run.glob("influence*"))


@pytest.mark.parametrize("options", [("--epoch", "1"), ("--phase", "train"), ("--seed", "1", "--limit", "2")])
def test_other_decisions_are_asked(run: Path, options: tuple[str, ...]) -> None:
    """Earlier epochs, training, one seed: every decision comes out again as it was."""
    well("memory", "influence", "run", *options, cwd=run.parent)
    found = ranking(run)
    assert found["decisions"] > 0
    assert (found["other_action"], found["other_exemplars"]) == (0, 0)


def test_what_cannot_be_asked_is_said_in_one_line(run: Path) -> None:
    """No run, an agent that recalls nothing, no memory, an unknown epoch: one line each, nothing written."""
    cwd = run.parent
    assert "not a run folder" in complaint(inside("memory", "influence", "nowhere", cwd=cwd), 1)
    message = complaint(inside("memory", "influence", "run", "--epoch", "9", cwd=cwd), 2)
    assert "no evaluation epoch 9; it has 0, 1, 2" in message
    assert "no exemplar was shown" in complaint(
        inside("memory", "influence", "run", "--epoch", "0", cwd=cwd), 2
    )
    (run / "memory-1.rlem").unlink()
    assert "has no memory-1.rlem" in complaint(inside("memory", "influence", "run", cwd=cwd), 1)
    well("eval", "corridor", "--agent", "random", "--test", "0:2", "--out", "dice", cwd=cwd)
    assert "'random' recalls nothing" in complaint(inside("memory", "influence", "dice", cwd=cwd), 2)
    assert not list(cwd.glob("*/influence*"))


def test_an_endpoint_is_asked_under_a_limit(tmp_path: Path) -> None:
    """The run's own model; a token limit stops it, with the answers kept; a second start asks the rest."""

    def answer(messages: list[dict[str, str]]) -> str:
        system, user = (
            next(m["content"] for m in messages if m["role"] == role) for role in ("system", "user")
        )
        return EmbeddedReader().complete(Prompt(system=system, user=user), seed=0).text

    env = {"OPENAI_API_KEY": "x"}
    with OpenAIServer(answer) as server:
        url = ("--base-url", server.base_url)
        well(
            "train", "corridor", *TINY, "--model", "openai:test", *url, "--out", "run", cwd=tmp_path, env=env
        )
        before = len(server.requests)
        done = rlem("memory", "influence", "run", "--max-total-tokens", "3000", cwd=tmp_path, env=env)
        assert "3000" in complaint(done, 3)
        kept = (tmp_path / "run" / "influence.jsonl").read_bytes().count(b"\n")
        assert 0 < kept <= len(server.requests) - before
        well("memory", "influence", "run", cwd=tmp_path, env=env)
    found = ranking(tmp_path / "run")
    assert (found["model"], found["other_action"], found["other_by_chance"]) == ("openai:test", 0, 0)
    lines = [json.loads(line) for line in (tmp_path / "run" / "influence.jsonl").read_text().splitlines()]
    assert len({line["question"] for line in lines}) == len(lines) > kept


def test_a_run_tells_events_over_a_kill(tmp_path: Path) -> None:
    """Killed and run again, the file holds each event once, from the start to the end."""
    command = (*RUN, "--out", "run", "--events", "run/events.jsonl")
    process = start(*command, cwd=tmp_path)
    wait_for_lines(tmp_path / "run" / "events.jsonl", 9, process)
    process.kill()
    process.communicate()
    well(*command, cwd=tmp_path)
    lines = [json.loads(line) for line in (tmp_path / "run" / "events.jsonl").read_text().splitlines()]
    kinds = [line["event"] for line in lines]
    assert (kinds[0], kinds[-1]) == ("run-started", "run-finished")
    assert (kinds.count("run-started"), kinds.count("run-finished")) == (1, 1)
    episodes = (tmp_path / "run" / "episodes.jsonl").read_bytes().count(b"\n")
    places = {(e["phase"], e["epoch"], e["arm"], e["seed"], e["task_id"]) for e in lines if "task_id" in e}
    assert kinds.count("episode") == len(places) == episodes


def test_eval_tells_events_and_scalars(tmp_path: Path) -> None:
    """An agent without memory: the control's scalars; a file of another run's events is refused."""
    pytest.importorskip("tensorboardX")
    from rlem.runner.tensorboard import scalars_in

    command = ("eval", "corridor", "--agent", "llm-only", "--test", "0:4", "--events", "e.jsonl")
    well(*command, "--tensorboard", "board", "--out", "run", cwd=tmp_path)
    assert {(tag, step) for tag, step, _ in scalars_in(tmp_path / "board" / "seed-0")} == {
        (f"eval/no-memory/{name}", 0) for name in ("success", "reward", "tokens")
    }
    done = rlem("train", "corridor", *TINY, "--events", "e.jsonl", "--out", "other", cwd=tmp_path)
    assert "events of another run" in complaint(done, 2)
    assert not (tmp_path / "other" / "config.json").exists()
