"""What a user sees when something is wrong: one line that says what to do, an exit status, no traceback."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.support.command import SMALL, TINY, complaint, inside, rlem, start, well

from rlem.cli.main import main

TRAIN = ["train", "corridor", *TINY]
USAGE: dict[str, tuple[list[str], str]] = {
    "environment": (["train", "webshp"], "did you mean 'webshop'"),
    "command": (["trian", "webshop"], "Did you mean 'train'"),
    "command of memory": (["memory", "shw", "x"], "Did you mean 'show'"),
    "option": (["train", "webshop", "--prodcts", "3"], "--products"),
    "option without argument": (["memory", "doctor", "x", "--salvage"], "See: rlem memory doctor --help"),
    "no number": (["memory", "correct", "x", "e", "--step", "0", "--reward", "abc"], "not a valid number"),
    "no environment": (["train"], "ENVIRONMENT"),
    "task set": (["train", "webshop", "--products", "60", "--test", "tset"], "did you mean 'test'"),
    "task range": (["train", "webshop", "--products", "60", "--train", "5:2"], "A < B"),
    "agent": (["eval", "corridor", "--agent", "oracel"], "Did you mean 'oracle'"),
    "similarity": ([*TRAIN, "--similarity", "webshp"], "did you mean 'webshop'"),
    "model": ([*TRAIN, "--model", "opnai:x"], "did you mean 'openai:NAME'"),
    "model without name": ([*TRAIN, "--model", "openai:"], "openai:NAME"),
    "address": ([*TRAIN, "--model", "openai:x", "--base-url", "foo"], "http://"),
    "seeds": ([*TRAIN, "--seeds", "x"], "--seeds 'x'"),
    "seeds twice": ([*TRAIN, "--seeds", "0,0"], "different seeds"),
    "no seeds": ([*TRAIN, "--seeds", "0"], "at least 1"),
    "deadline": ([*TRAIN, "--deadline", "0"], "--deadline"),
    "discount": ([*TRAIN, "--discount", "3"], "--discount"),
    "nan": ([*TRAIN, "--temperature", "nan"], "finite"),
    "epochs": ([*TRAIN, "--epochs", "0"], "--epochs"),
    "products": (["train", "webshop", "--products", "-4"], "-4"),
    "rate": ([*TRAIN, "--requests-per-minute", "0"], "--requests-per-minute"),
    "token limit": ([*TRAIN, "--max-total-tokens", "-1"], "--max-total-tokens"),
    "learning": ([*TRAIN, "-n", "2", "--trace-decay", "0.5"], "exclude each other"),
    "no memory": (["eval", "corridor"], "--memory FILE"),
    "llm-only": (["eval", "corridor", "--model", "openai:x"], "llm-only"),
    "option of another": (
        ["env", "list", "wikihow", "--products", "9"],
        "'--products'. Known: --articles, --data",
    ),
    "option of training": (["train", "webshop", "--articles", "9"], "'--articles'"),
    "data of mobile-env": (["env", "list", "mobile-env"], "--data PATH"),
    "no exemplars": (["eval", "corridor", "--agent", "static", "--test", "test"], "--initial FILE"),
    "goals": (["train", "webshop", "--goals", "humn"], "Did you mean 'human'"),
    "trust": (["memory", "import", "a.rlem", "b.jsonl", "--trust", "verifed"], "Did you mean 'verified'"),
}
FILES: dict[str, tuple[list[str], str]] = {
    "data folder": (["train", "webshop", "--data", "nofolder"], "nofolder"),
    "initial": ([*TRAIN, "--initial", "nofile.yaml"], "nofile.yaml"),
    "prices": ([*TRAIN, "--prices", "nofile.toml"], "nofile.toml"),
    "recording": ([*TRAIN, "--model", "recorded:nofile"], "nofile"),
    "memory": (["eval", "corridor", "--memory", "nofile.rlem"], "nofile.rlem"),
    "run": (["report", "norun"], "norun"),
    "import": (["memory", "import", "a.rlem", "nofile.jsonl"], "nofile.jsonl"),
}


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def one_line(capsys: pytest.CaptureFixture[str]) -> str:
    """The whole of stderr, which must be one line."""
    err = capsys.readouterr().err
    assert err.startswith("rlem: "), err
    assert err.count("\n") == 1, err
    return err


@pytest.mark.parametrize("case", USAGE)
def test_a_mistyped_command_line(case: str, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit 2, one line with the right word in it, and nothing is made."""
    arguments, hint = USAGE[case]
    assert main(arguments) == 2
    assert hint in one_line(capsys)
    assert list(here.iterdir()) == []


@pytest.mark.parametrize("case", FILES)
def test_a_file_that_is_not_there(case: str, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit 1, one line with the file's name in it, and nothing is made."""
    arguments, name = FILES[case]
    assert main(arguments) == 1
    assert name in one_line(capsys)
    assert list(here.iterdir()) == []


def test_as_a_process_it_is_the_same(tmp_path: Path) -> None:
    """Status and line reach the shell; --debug adds the traceback, before or behind the command."""
    line = complaint(rlem("train", "webshp", cwd=tmp_path), 2)
    known = "corridor, mobile-env, webshop, wikihow"
    assert line == f"rlem: unknown environment 'webshp'; did you mean 'webshop'? Known: {known}"
    for arguments in (("--debug", "train", "webshp"), ("train", "webshp", "--debug")):
        done = rlem(*arguments, cwd=tmp_path)
        assert done.returncode == 2
        assert "Traceback" in done.stderr
        assert done.stderr.splitlines()[-1] == line


def test_a_key_is_needed(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a key the line names the variable it is taken from."""
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    assert main([*TRAIN, "--model", "openai:x"]) == 3
    assert "OPENAI_API_KEY" in one_line(capsys)
    assert list(here.iterdir()) == []


# -- the data folder ---------------------------------------------------------------------------------


def test_a_data_folder_that_lacks_a_file(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The missing file is named."""
    (here / "data").mkdir()
    assert main(["train", "webshop", "--data", "data"]) == 1
    assert "products" in one_line(capsys)


def test_a_data_folder_with_a_broken_file(
    here: Path, golden: Callable[[str], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    """The broken file is named, be it JSON that ends early or gzip that is none."""
    products = golden("webshop/products.json.gz")
    data = here / "data"
    shutil.copytree(products.parent, data)
    for path in [data, *data.iterdir()]:
        path.chmod(0o755)
    text = gzip.decompress(products.read_bytes())
    for broken in (gzip.compress(text[: len(text) // 2], 1), b"not gzip"):
        (data / "products.json.gz").write_bytes(broken)
        assert main(["train", "webshop", "--data", "data", "--train", "S0", "--test", "0:2"]) == 1
        assert "products.json.gz" in one_line(capsys)


# -- the run folder ----------------------------------------------------------------------------------


def test_training_and_test_tasks_may_not_overlap(tmp_path: Path) -> None:
    """Both sets are named, and nothing is played."""
    done = inside("train", "corridor", "--train", "0:4", "--test", "2:6", "--out", "run", cwd=tmp_path)
    message = complaint(done, 1)
    assert "'0:4'" in message
    assert "'2:6'" in message
    assert not (tmp_path / "run" / "episodes.jsonl").exists()


def test_a_folder_of_another_run(tmp_path: Path) -> None:
    """What differs is said; the other run's files stay as they are."""
    assert inside(*TRAIN, "--out", "run", cwd=tmp_path).returncode == 0
    before = {path.name: path.read_bytes() for path in (tmp_path / "run").glob("*.json*")}
    message = complaint(inside(*TRAIN, "--epochs", "2", "--out", "run", cwd=tmp_path), 1)
    assert "epochs: 1 there, 2 now" in message
    assert "--out" in message
    assert {path.name: path.read_bytes() for path in (tmp_path / "run").glob("*.json*")} == before
    # A line in the middle that is no episode is named, whoever reads it; nothing is cut off.
    path = tmp_path / "run" / "episodes.jsonl"
    lines = path.read_text().splitlines(keepends=True)
    broken = "".join([*lines[:3], lines[3][:40] + "\n", *lines[4:]])
    path.write_text(broken)
    for arguments in ([*TRAIN, "--out", "run"], ["report", "run"]):
        assert "line 4" in complaint(inside(*arguments, cwd=tmp_path), 1)
    assert path.read_text() == broken


def test_a_run_folder_that_cannot_be_made(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file in its place, or a place where nothing can be made."""
    (here / "file").write_text("mine")
    places = ["file", "file/run", *(["/sys/rlem-run"] if Path("/sys").is_dir() else [])]
    for place in places:
        assert main([*TRAIN, "--out", place]) == 1
        lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("rlem: ")]
        assert len(lines) == 1
        assert f"run folder {place} cannot be written" in lines[0]
    assert (here / "file").read_text() == "mine"


def test_a_config_that_is_no_config(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The damaged file is named in one line."""
    (here / "run").mkdir()
    (here / "run" / "config.json").write_text("{")
    for arguments in ([*TRAIN, "--out", "run"], ["report", "run"]):
        assert main(arguments) == 1
        err = capsys.readouterr().err
        assert [line for line in err.splitlines() if "config.json" in line] == err.splitlines()[-1:]


# -- the disk ----------------------------------------------------------------------------------------


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 4 MB."""
    if not hasattr(os, "geteuid") or os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("only root can mount a small disk")
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", disk], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("no file system can be mounted here")
    try:
        yield disk
    finally:
        subprocess.run(["umount", "--lazy", disk], check=True)


def test_a_full_disk_ends_with_one_line_and_loses_nothing(small_disk: Path) -> None:
    """Full while the episodes, or the memory, are written: a clear line, and with room it goes on."""
    command = ("train", "webshop", *SMALL, "--out", "run")
    fill, path = small_disk / "fill", small_disk / "run" / "episodes.jsonl"
    kept = b""
    for free in (220_000, 600_000):
        used = sum(file.stat().st_size for file in small_disk.rglob("*") if file.is_file())
        fill.write_bytes(b"\0" * (4 * 2**20 - used - free))
        message = complaint(rlem(*command, cwd=small_disk), 1)
        assert "disk is full" in message or "No space left" in message
        assert "rlem-run" not in message
        fill.unlink()
        now = path.read_bytes() if path.exists() else b""
        assert now.startswith(kept[: kept.rfind(b"\n") + 1])
        kept = now
    well(*command, cwd=small_disk)
    records = path.read_bytes()
    assert records.startswith(kept[: kept.rfind(b"\n") + 1])
    assert [json.loads(line)["status"] for line in records.splitlines()].count("broken") == 0
    assert records.count(b"\n") == 44


def test_output_into_a_closed_pipe_is_no_error(tmp_path: Path) -> None:
    """As in `rlem env list | head -1`: no traceback, no message."""
    process = start("env", "list", cwd=tmp_path)
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    err = process.stderr.read()
    process.stderr.close()
    assert process.wait(60) == 0
    assert err == ""
