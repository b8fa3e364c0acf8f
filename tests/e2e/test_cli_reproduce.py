"""``rlem reproduce`` as a process: a table from a file, resumed after a kill, clear words on wrong input."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

import pytest
from tests.support.command import complaint, rlem, start, well

EXPERIMENT = """
name = "tiny"
environment = "corridor"
baseline = "alone"
train = ["0:10"]

[size]
test = "10:20"
seeds = 3
epochs = 2

[short]
test = "10:14"
seeds = 1
epochs = 1

[[rows]]
name = "alone"
agent = "llm-only"

[[rows]]
name = "with memory"

[[rows]]
name = "chance"
agent = "random"
"""


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """A folder with the experiment's file."""
    (tmp_path / "tiny.toml").write_text(EXPERIMENT)
    return tmp_path


def test_a_table_from_a_file(here: Path) -> None:
    """All rows are played, in processes of their own; the five files are there; memory is ahead."""
    done = rlem("reproduce", "tiny.toml", "--workers", "2", cwd=here)
    assert done.returncode == 0, done.stderr
    folder = here / "experiments" / "tiny"
    results = json.loads((folder / "results.json").read_text())
    rows = {row["name"]: row for row in results["rows"]}
    assert list(rows) == ["alone", "with memory", "chance"]
    assert all(row["missing"] == 0 and row["cells"] == 3 for row in rows.values())
    assert rows["with memory"]["gain"]["mean"] > 0
    assert "not an LLM" in results["model_is"]
    assert "with memory" in done.stdout
    assert "not an LLM" in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 110
    for name in ("report.html", "report.md", "results.csv", "results.tex"):
        assert "with memory" in (folder / name).read_text()
    again = rlem("reproduce", "tiny.toml", "--dry-run", cwd=here)
    assert "0 of them to play" in again.stderr


def test_killed_and_resumed_it_ends_the_same(here: Path) -> None:
    """Killed after its first run, the same command plays the rest; results are those of an unbroken one."""
    with start("reproduce", "tiny.toml", "--workers", "1", cwd=here) as process:
        deadline = time.monotonic() + 120
        while not list(here.glob("experiments/tiny/cells/*/done.json")):
            assert process.poll() is None, "it ended before it could be killed"
            assert time.monotonic() < deadline
            time.sleep(0.01)
        process.kill()
    assert rlem("reproduce", "tiny.toml", "--workers", "1", cwd=here).returncode == 0
    assert rlem("reproduce", "tiny.toml", "--out", "whole", "--workers", "1", cwd=here).returncode == 0
    resumed, whole = (
        (here / folder / "results.json").read_text() for folder in ("experiments/tiny", "whole")
    )
    assert resumed == whole


def test_a_killed_worker_is_said_and_nothing_is_lost(here: Path) -> None:
    """One process of several is killed: one line says so, and the same command plays the rest."""
    with start("reproduce", "tiny.toml", "--workers", "2", cwd=here) as process:
        deadline = time.monotonic() + 120
        while not (locks := list(here.glob("experiments/tiny/cells/*/lock"))) or not locks[0].read_text():
            assert time.monotonic() < deadline
            time.sleep(0.002)
        os.kill(int(locks[0].read_text().split()[0]), signal.SIGKILL)
        _, errors = process.communicate(timeout=120)
    assert process.returncode == 1
    assert "was killed" in errors.splitlines()[-1]
    assert "Traceback" not in errors
    again = rlem("reproduce", "tiny.toml", "--workers", "2", cwd=here)
    assert again.returncode == 0, again.stderr


def test_stopped_by_ctrl_c_it_ends_at_once(here: Path) -> None:
    """The signal reaches its workers as well, as in a terminal: one line, no process is left, no report, and
    the same command plays the rest."""
    (here / "long.toml").write_text(EXPERIMENT.replace("seeds = 3", "seeds = 9"))
    command = ("reproduce", "long.toml", "--workers", "2", "--out", "out")
    with start(*command, cwd=here, ctrl_c=True) as process:
        deadline = time.monotonic() + 120
        while not list(here.glob("out/cells/*/episodes.jsonl")):
            assert time.monotonic() < deadline
            time.sleep(0.002)
        os.killpg(process.pid, signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert errors.splitlines()[-1].startswith("rlem: stopped. A run goes on")
    assert "Traceback" not in errors
    with pytest.raises(ProcessLookupError):  # noqa: PT012 - helpers of the interpreter end a moment later
        while time.monotonic() < deadline:
            os.killpg(process.pid, 0)
            time.sleep(0.01)
    assert not (here / "out" / "report.html").exists()
    well(*command, cwd=here)


def test_a_start_that_plays_nothing_leaves_the_report(here: Path) -> None:
    """An endpoint that is not there, the folder of a run: what was there before stays, to the byte."""
    well("reproduce", "tiny.toml", "--workers", "1", cwd=here)
    folder = here / "experiments" / "tiny"
    before = {path.name: path.read_bytes() for path in folder.glob("re*.*")}
    dead = ("--model", "openai:m", "--base-url", "http://127.0.0.1:9/v1", "--deadline", "0.5")
    assert "connection failed" in rlem("reproduce", "tiny.toml", *dead, cwd=here).stderr.splitlines()[-1]
    assert "folder of an experiment" in complaint(
        rlem("train", "corridor", "--out", str(folder), cwd=here), 2
    )
    assert "rlem reproduce" in complaint(rlem("report", str(folder), cwd=here), 2)
    assert "no answers of the model" in complaint(
        rlem("reproduce", "tiny.toml", "--replay", "x", cwd=here), 2
    )
    assert {path.name: path.read_bytes() for path in folder.glob("re*.*")} == before
    well("train", "corridor", "--train", "0:1", "--test", "1:2", "--epochs", "1", "--out", "run", cwd=here)
    assert "folder of a run" in complaint(rlem("reproduce", "tiny.toml", "--out", "run", cwd=here), 2)


def test_one_row_is_reported_with_what_is_there(here: Path) -> None:
    """--row plays that row only; rows that were played in the folder before stand beside it."""
    well("reproduce", "tiny.toml", "--row", "alone", "--workers", "1", cwd=here)
    done = rlem("reproduce", "tiny.toml", "--row", "chance", "--workers", "1", cwd=here)
    assert "rows: 1, runs: 3, 3 of them to play" in done.stderr
    assert "played 1: chance, none/0:10, seed 0" in done.stderr
    rows = json.loads((here / "experiments" / "tiny" / "results.json").read_text())["rows"]
    assert [row["name"] for row in rows] == ["alone", "chance"]
    assert rows[1]["gain"] is not None


def test_what_was_mistyped_in_a_row_is_one_line(here: Path) -> None:
    """Found before anything is played, also by --dry-run; a password in an address is refused."""
    (here / "wrong.toml").write_text(EXPERIMENT.replace('agent = "random"', "agent_options = { kk = 1 }"))
    for options in (("--dry-run",), ("--workers", "2")):
        assert "did you mean 'k'" in complaint(rlem("reproduce", "wrong.toml", *options, cwd=here), 2)
    endpoint = ("--model", "openai:m", "--base-url", "http://ann:sesame@127.0.0.1:9/v1")
    for command in (("reproduce", "tiny.toml"), ("train", "corridor")):
        told = complaint(rlem(*command, *endpoint, cwd=here), 2)
        assert "OPENAI_API_KEY" in told
        assert "sesame" not in told
    assert not list(here.glob("**/config.json"))


def test_short_lists_and_wrong_input(here: Path) -> None:
    """--short plays less; list names the bundled ones; what is wrong is told in one line."""
    short = rlem("reproduce", "tiny.toml", "--short", "--dry-run", cwd=here)
    assert "rows: 3, runs: 3, 3 of them" in short.stderr
    assert {line.split()[0] for line in rlem("reproduce", "list", cwd=here).stdout.splitlines()} == {
        "webshop",
        "wikihow",
    }
    unknown = rlem("reproduce", "wikihw", cwd=here)
    assert unknown.returncode == 2
    assert "did you mean 'wikihow'" in unknown.stderr
    (here / "broken.toml").write_text(EXPERIMENT.replace("agent =", "agnet =", 1))
    broken = rlem("reproduce", "broken.toml", cwd=here)
    assert broken.returncode != 0
    assert "unknown key 'agnet'; did you mean 'agent'" in broken.stderr
    assert len(broken.stderr.strip().splitlines()) == 1
