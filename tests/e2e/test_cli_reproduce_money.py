"""``rlem reproduce`` and money: told before it is spent, limited, and played again without a key."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.command import complaint, inside, rlem, start, well

from rlem.llm.base import Prompt
from rlem.llm.embedded import EmbeddedReader
from rlem.testing.openai_server import OpenAIServer

EXPERIMENT = """
name = "tiny"
environment = "corridor"
baseline = "alone"
train = ["0:6"]

[size]
test = "10:16"
seeds = 2
epochs = 1

[[rows]]
name = "alone"
agent = "llm-only"

[[rows]]
name = "with memory"
curve = true
"""
PRICES = '["m"]\ninput_usd_per_million = 2.0\noutput_usd_per_million = 10.0\n'
MODEL = ("reproduce", "tiny.toml", "--model", "openai:m", "--prices", "prices.toml")


def answer(messages: list[dict[str, str]]) -> str:
    """The embedded reader behind an endpoint."""
    prompt = Prompt(system=messages[0]["content"], user=messages[1]["content"])
    return EmbeddedReader().complete(prompt, seed=0).text


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """A folder with the experiment's file and prices."""
    (tmp_path / "tiny.toml").write_text(EXPERIMENT)
    (tmp_path / "prices.toml").write_text(PRICES)
    return tmp_path


@pytest.fixture
def server() -> Iterator[OpenAIServer]:
    """A local endpoint."""
    with OpenAIServer(answer) as running:
        yield running


def files(folder: Path) -> dict[str, bytes]:
    """Episodes and outcomes of all runs, and the results."""
    found = [*folder.glob("cells/*/episodes.jsonl"), *folder.glob("cells/*/done.json")]
    return {str(path.relative_to(folder)): path.read_bytes() for path in [*found, folder / "results.json"]}


def test_killed_limited_and_replayed(here: Path, server: OpenAIServer) -> None:
    """Killed in the middle, then stopped by a limit with a report of what there is, then finished: played
    again with neither key nor server, all files are the same to the byte. No answer was paid twice."""
    command = (*MODEL, "--base-url", server.base_url)
    with start(*command, "--workers", "2", cwd=here) as process:
        while len(server.requests) < 10:
            assert process.poll() is None
        process.send_signal(signal.SIGKILL)
    stopped = rlem(*command, "--max-cost-usd", "0.05", "--workers", "2", cwd=here)
    assert stopped.returncode == 3
    said = stopped.stderr.splitlines()[-1]
    assert "max_cost_usd is 0.05" in said
    assert "run the same command with a higher one to go on" in said
    folder = here / "experiments" / "tiny"
    assert "with memory" in (folder / "report.html").read_text()
    rows = json.loads((folder / "results.json").read_text())["rows"]
    assert sum(row["missing"] for row in rows) > 0
    told = json.loads(well(*command, "--dry-run", "--json", cwd=here))
    assert 0 < told["total"]["runs"] < 4
    well(*command, "--workers", "2", cwd=here)
    kept = sum(file.read_bytes().count(b'"usage"') for file in (folder / "answers").iterdir())
    assert kept <= len(server.requests) <= kept + 2  # what the kill found under way in two runs
    server.__exit__(None, None, None)
    well(*command, "--replay", folder, "--out", "again", "--workers", "2", cwd=here)
    first = files(folder)
    assert len(first) == 9
    assert first == files(here / "again")


def test_a_dry_run_tells_what_it_will_cost(here: Path) -> None:
    """Runs, episodes, calls, tokens and dollars by row, and what they rest on; nothing is played."""
    small = ("reproduce", "webshop", "--short", "--seeds", "1", "--test", "0:30")
    done = rlem(*small, "--model", "openai:m", "--dry-run", cwd=here)
    lines = {line.split("  ")[0]: line for line in done.stdout.splitlines()}
    assert lines["LLM only"].split()[2:5] == ["1", "30", "0"]
    assert "embedded reader" in lines["LLM only"]
    assert "cost unknown: give --prices FILE" in done.stdout
    priced = well(
        "reproduce", "webshop", "--short", "--model", "openai:m", "--prices", "prices.toml", "--dry-run",
        "--json", cwd=here,
    )  # fmt: skip
    told = json.loads(priced)
    assert told["total"]["cost_usd"] == pytest.approx(sum(row["cost_usd"] for row in told["rows"]))
    assert told["total"]["cost_usd"] > 1
    free = well("reproduce", "webshop", "--short", "--dry-run", cwd=here)
    assert "0.00" in free.splitlines()[-3]
    assert not list(here.glob("experiments/*/cells"))


def test_other_data_sets_and_rows(here: Path) -> None:
    """Real data takes the place of the bundled: sets by name or range, rows by name."""
    well("data", "webshop", "generate", "--products", "150", "--out", "shop.db", cwd=here)
    command = ("reproduce", "webshop", "--short", "--data", "shop.db", "--row", "LLM only", "--row", "n = 1")
    sets = ("--train", "30:32,32:34", "--test", "0:3", "--seeds", "1")
    done = rlem(*command, *sets, "--dry-run", cwd=here)
    assert done.returncode == 0, done.stderr
    assert "rows: 2, runs: 3, 3 of them" in done.stderr
    only, trained = (line.split() for line in done.stdout.splitlines()[1:3])
    assert only[2:5] == ["1", "3", "0"]
    assert trained[3:6] == ["2", "6", "8"]
    assert "--test" in complaint(inside(*command, "--test", "500:510", "--dry-run", cwd=here), 2)
    assert "official goals are human" in complaint(
        inside(*command, "--test", "official:0:100", "--dry-run", cwd=here), 2
    )
    assert "unknown option of environment 'corridor': '--data'" in complaint(
        inside("reproduce", "tiny.toml", "--data", "shop.db", cwd=here), 2
    )
    well("data", "webshop", "generate", "--products", "20", "--out", "small.db", cwd=here)
    few = (*command[:3], "--data", "small.db", "--row", "n = 1", "--train", "5:7", "--test", "0:3")
    assert "initial experiences 'E0': task range '600:601' does not fit" in complaint(
        inside(*few, cwd=here), 2
    )


def test_what_is_wrong_is_told_in_one_line(here: Path, server: OpenAIServer) -> None:
    """No price, no recording, an unknown row: each says what to give."""
    base = ("reproduce", "tiny.toml", "--model", "openai:m", "--base-url", server.base_url)
    assert "price of model 'm' is unknown" in complaint(inside(*base, "--max-cost-usd", "1", cwd=here), 2)
    assert "has no recorded answers" in complaint(inside(*base, "--replay", "nowhere", cwd=here), 1)
    assert "give --replay" in complaint(
        inside("reproduce", "tiny.toml", "--model", "recorded:x", cwd=here), 2
    )
    assert "did you mean 'alone'" in complaint(inside(*base, "--row", "alnoe", cwd=here), 2)
    assert not server.requests
