"""``rlem train``, ``eval`` and ``report`` as a user runs them: results, stopping, resuming, endpoints."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.support.command import SMALL, TINY, complaint, rlem, start, wait_for_lines, well

from rlem.llm.base import Prompt
from rlem.llm.embedded import EmbeddedReader
from rlem.testing import openai_server
from rlem.testing.openai_server import OpenAIServer

KEY = {"OPENAI_API_KEY": "x"}
MADE = ("config.json", "episodes.jsonl", "memory-0.rlem", "report.html", "learning_curve.png", "summary.json")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, str]:
    """A finished run: its folder, what went to stdout, what went to stderr."""
    cwd = tmp_path_factory.mktemp("train")
    done = rlem("train", "webshop", *SMALL, "--out", "run", cwd=cwd)
    assert done.returncode == 0, done.stderr
    return cwd / "run", done.stdout, done.stderr


def reader_answer(messages: list[dict[str, str]]) -> str:
    """The embedded reader behind an endpoint."""
    system = next((m["content"] for m in messages if m["role"] == "system"), "")
    user = next(m["content"] for m in messages if m["role"] == "user")
    return EmbeddedReader().complete(Prompt(system=system, user=user), seed=0).text


def episodes(folder: Path) -> list[dict[str, Any]]:
    """The records of a run folder."""
    path = folder / "episodes.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


# -- a whole run -------------------------------------------------------------------------------------


def test_a_run_leaves_its_files(run: tuple[Path, str, str]) -> None:
    """All files of the agreed shapes are there, with every episode played once."""
    folder, _, _ = run
    assert {path.name for path in folder.iterdir()} >= set(MADE)
    assert (folder / "learning_curve.png").read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
    assert "<html" in (folder / "report.html").read_text("utf-8")
    summary = json.loads((folder / "summary.json").read_text("utf-8"))
    row = summary["rows"][0]
    assert row["agent"] == "rememberer"
    assert 0 <= row["success_low"] <= row["success"] <= row["success_high"] <= 1
    assert 0 <= row["reward"] <= 1
    paired = summary["paired_difference"]
    assert paired["metric"] == "success"
    assert paired["low"] <= paired["mean"] <= paired["high"]
    assert (paired["tasks"], paired["seeds"]) == (10, 1)
    places = [(e["phase"], e["epoch"], e["arm"], e["task_id"]) for e in episodes(folder)]
    assert len(places) == len(set(places)) == 44


def test_progress_goes_to_stderr_and_the_table_to_stdout(run: tuple[Path, str, str]) -> None:
    """One line a phase on stderr, none broken in two; the result and its files on stdout."""
    folder, out, err = run
    phases = [line for line in err.splitlines() if line.startswith("seed 0")]
    assert len(phases) == 5
    assert all("success" in line and "reward" in line and len(line) <= 80 for line in phases)
    assert "rememberer" in out
    assert "seed 0" not in out
    assert f"{folder.name}/report.html" in out
    assert "" not in err.splitlines()


def test_the_same_command_again_plays_nothing(run: tuple[Path, str, str]) -> None:
    """It exits 0 with the same files, the same table and no new episode."""
    folder, out, _ = run
    names = ("episodes.jsonl", "timings.jsonl", "summary.json", "config.json")
    before = {name: (folder / name).read_bytes() for name in names}
    assert well("train", "webshop", *SMALL, "--out", "run", cwd=folder.parent) == out
    assert {name: (folder / name).read_bytes() for name in names} == before


def test_report_makes_the_files_anew(run: tuple[Path, str, str]) -> None:
    """Deleted results come back the same from the episodes alone."""
    folder, out, _ = run
    summary = (folder / "summary.json").read_bytes()
    for name in ("summary.json", "report.html", "learning_curve.png"):
        (folder / name).unlink()
    assert well("report", "run", cwd=folder.parent) == out
    assert (folder / "summary.json").read_bytes() == summary
    assert (folder / "report.html").exists()
    assert (folder / "learning_curve.png").exists()


def test_eval_plays_a_memory_and_leaves_it_alone(run: tuple[Path, str, str]) -> None:
    """The memory of a run, evaluated by itself, plays as it did at the run's end, and not a byte changes."""
    folder, _, _ = run
    memory = folder / "memory-0.rlem"
    before = memory.read_bytes()
    well(
        "eval", "webshop", "--products", "60", "--test", "10:20", "--memory", memory, "--no-control",
        "--out", "eval", cwd=folder.parent,
    )  # fmt: skip
    assert memory.read_bytes() == before
    last = [e for e in episodes(folder) if (e["phase"], e["epoch"], e["arm"]) == ("eval", 1, "memory")]
    again = episodes(folder.parent / "eval")
    assert [(e["task_id"], e["reward"], e["steps"]) for e in again] == [
        (e["task_id"], e["reward"], e["steps"]) for e in last
    ]


def test_data_of_the_original_is_played(golden: Callable[[str], Path], tmp_path: Path) -> None:
    """--data takes a folder of the original's products and goals."""
    data = golden("webshop/products.json.gz").parent
    well(
        "train", "webshop", "--data", data, "--train", "500:501", "--test", "0:1", "--epochs", "1",
        "--seeds", "1", "--out", "run", cwd=tmp_path,
    )  # fmt: skip
    assert len(episodes(tmp_path / "run")) == 5
    assert json.loads((tmp_path / "run" / "config.json").read_text())["environment_options"]["data"] == str(
        data
    )


# -- stopped and resumed -----------------------------------------------------------------------------


def test_killed_twice_and_resumed_it_is_the_same_run(run: tuple[Path, str, str], tmp_path: Path) -> None:
    """SIGKILL while testing and while training: in the end the episodes are those of an undisturbed run."""
    whole, _, _ = run
    command = ("train", "webshop", *SMALL, "--out", "run")
    path = tmp_path / "run" / "episodes.jsonl"
    for count in (5, 22):
        process = start(*command, cwd=tmp_path)
        wait_for_lines(path, count, process)
        process.kill()
        process.communicate()
        assert process.returncode == -signal.SIGKILL
        assert path.read_bytes().count(b"\n") < 44
    well(*command, cwd=tmp_path)
    assert path.read_bytes() == (whole / "episodes.jsonl").read_bytes()
    assert well("memory", "show", "run/memory-0.rlem", cwd=tmp_path) == well(
        "memory", "show", "run/memory-0.rlem", cwd=whole.parent
    )


def test_a_torn_last_line_is_played_again(run: tuple[Path, str, str], tmp_path: Path) -> None:
    """Half a line, as a power cut leaves it, costs that episode and no other."""
    whole, _, _ = run
    folder = tmp_path / "run"
    folder.mkdir()
    data = (whole / "episodes.jsonl").read_bytes()
    (folder / "config.json").write_bytes((whole / "config.json").read_bytes())
    lines = data.splitlines(keepends=True)
    (folder / "episodes.jsonl").write_bytes(b"".join(lines[:42]) + lines[42][:99])
    well("train", "webshop", *SMALL, "--out", "run", cwd=tmp_path)
    assert (folder / "episodes.jsonl").read_bytes() == data


def test_ctrl_c_says_one_line_and_the_run_can_go_on(run: tuple[Path, str, str], tmp_path: Path) -> None:
    """Exit status 130, how to go on, no traceback; going on, here with threads, ends as the whole run did."""
    whole, _, _ = run
    command = ("train", "webshop", *SMALL, "--out", "run", "--workers", "3")
    path = tmp_path / "run" / "episodes.jsonl"
    process = start(*command, cwd=tmp_path, ctrl_c=True)
    wait_for_lines(path, 3, process)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in err
    last = err.splitlines()[-1]
    assert last.startswith("rlem: stopped")
    assert "same command again" in last
    assert path.read_bytes().count(b"\n") < 44
    well(*command, cwd=tmp_path)
    assert path.read_bytes() == (whole / "episodes.jsonl").read_bytes()


# -- a model endpoint --------------------------------------------------------------------------------


def test_an_endpoint_trains_end_to_end_and_its_recording_replays(tmp_path: Path) -> None:
    """The key goes with every request; without server and key the recording gives the same episodes."""
    small = ("--products", "60", "--train", "0:2", "--test", "10:13", "--epochs", "1", "--seeds", "1")
    with OpenAIServer(reader_answer) as server:
        well(
            "train", "webshop", *small, "--model", "openai:test", "--base-url", server.base_url,
            "--record", "answers.jsonl", "--out", "first", cwd=tmp_path, env=KEY,
        )  # fmt: skip
        requests = server.requests
    assert requests
    assert {r.headers["authorization"] for r in requests} == {"Bearer x"}
    first = episodes(tmp_path / "first")
    assert len(first) == 14
    assert sum(e["usage"]["calls"] for e in first) == len(requests)
    assert all(e["usage"]["prompt_tokens"] > 0 for e in first)
    well(
        "train", "webshop", *small, "--model", "recorded:answers.jsonl", "--out", "second", "--workers", "3",
        cwd=tmp_path,
    )  # fmt: skip
    assert (tmp_path / "second" / "episodes.jsonl").read_bytes() == (
        tmp_path / "first" / "episodes.jsonl"
    ).read_bytes()


def test_a_refused_key_is_named_and_nothing_is_lost(tmp_path: Path) -> None:
    """A key that dies in the middle: exit 3, the episodes so far stay, and a good key goes on from there."""
    with OpenAIServer(reader_answer, ["ok"] * 8) as server:
        command = (
            "train", "corridor", *TINY, "--model", "openai:test", "--base-url", server.base_url,
            "--workers", "1", "--out", "run",
        )  # fmt: skip
        server.then(*["401"] * 5)
        message = complaint(rlem(*command, cwd=tmp_path, env=KEY), 3)
        assert "key" in message
        assert "test" in message
        before = (tmp_path / "run" / "episodes.jsonl").read_bytes()
        assert 0 < before.count(b"\n") < 10
        server._script.clear()
        well(*command, cwd=tmp_path, env=KEY)
    after = (tmp_path / "run" / "episodes.jsonl").read_bytes()
    assert after.startswith(before)
    assert after.count(b"\n") == 10


def test_an_endpoint_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The run ends with one line, soon, stores no broken episodes, and goes on once the server is there."""
    with OpenAIServer() as server:
        port = int(server.base_url.split(":")[2].split("/")[0])
    url = f"http://127.0.0.1:{port}/v1"
    command = (
        "train", "corridor", *TINY, "--model", "openai:test", "--base-url", url, "--deadline", "1",
        "--out", "run",
    )  # fmt: skip
    begin = time.monotonic()
    message = complaint(rlem(*command, cwd=tmp_path, env=KEY), 1)
    assert time.monotonic() - begin < 30
    assert f"127.0.0.1:{port}" in message
    assert "same command again" in message
    assert episodes(tmp_path / "run") == []
    real = openai_server._Server
    monkeypatch.setattr(openai_server, "_Server", lambda address, handler: real((address[0], port), handler))
    with OpenAIServer(reader_answer):
        well(*command, cwd=tmp_path, env=KEY)
    assert [e["status"] for e in episodes(tmp_path / "run")].count("broken") == 0


def test_a_model_that_talks_nonsense_for_ever(tmp_path: Path) -> None:
    """It is no reason to play all tasks: the run stops after some and says what the model did."""
    with OpenAIServer(lambda messages: "I am a teapot.") as server:
        done = rlem(
            "train", "corridor", *TINY, "--model", "openai:test", "--base-url", server.base_url,
            "--out", "run", cwd=tmp_path, env=KEY,
        )  # fmt: skip
        assert len(server.requests) < 100
    message = complaint(done, 1)
    assert "unusable answers in a row" in message


def test_a_token_limit_stops_cleanly_and_counts_what_was_spent(tmp_path: Path) -> None:
    """Exit 3 naming the option; the same limit again spends nothing more; a larger one goes on to the end."""
    with OpenAIServer(reader_answer) as server:
        command = (
            "train", "corridor", *TINY, "--model", "openai:test", "--base-url", server.base_url,
            "--workers", "1", "--out", "run",
        )  # fmt: skip
        message = complaint(rlem(*command, "--max-total-tokens", "2000", cwd=tmp_path, env=KEY), 3)
        assert "--max-total-tokens" in message
        assert "2000" in message
        some = episodes(tmp_path / "run")
        assert 0 <= len(some) < 10
        message = complaint(rlem(*command, "--max-total-tokens", "5000", cwd=tmp_path, env=KEY), 3)
        more = episodes(tmp_path / "run")
        assert len(some) < len(more) < 10
        assert sum(e["usage"]["prompt_tokens"] + e["usage"]["completion_tokens"] for e in more) <= 5000
        complaint(rlem(*command, "--max-total-tokens", "2000", cwd=tmp_path, env=KEY), 3)
        assert episodes(tmp_path / "run") == more
        well(*command, "--max-total-tokens", "1000000", cwd=tmp_path, env=KEY)
    assert len(episodes(tmp_path / "run")) == 10


def test_a_money_limit_needs_a_price(tmp_path: Path) -> None:
    """A limit in dollars for a model without a price is refused before anything is spent."""
    with OpenAIServer(reader_answer) as server:
        done = rlem(
            "train", "corridor", *TINY, "--model", "openai:test", "--base-url", server.base_url,
            "--max-cost-usd", "1", "--out", "run", cwd=tmp_path, env=KEY,
        )  # fmt: skip
        assert server.requests == []
    assert "price" in complaint(done, 2)
    assert not (tmp_path / "run").exists()
