"""The command line as a process, as a user runs it."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from rlem.cli.main import main

SMALL = ("--products", "60", "--train", "0:4", "--test", "10:20", "--epochs", "1", "--seeds", "1")
"""A run of 44 episodes in the bundled shop."""
TINY = ("--train", "0:2", "--test", "10:12", "--epochs", "1", "--seeds", "1")
"""A run of 10 episodes in the corridor."""


def _environment(more: Mapping[str, str] | None) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name not in ("OPENAI_API_KEY", "COLUMNS")}
    return kept | {"NO_PROXY": "127.0.0.1", "PYTHONIOENCODING": "utf-8"} | dict(more or {})


def start(
    *arguments: str | Path, cwd: Path, env: Mapping[str, str] | None = None, ctrl_c: bool = False
) -> subprocess.Popen[str]:
    """Starts ``rlem ARGUMENTS``. ``ctrl_c``: it heeds SIGINT even where the tests' shell does not, in a
    process group of its own, as in a terminal."""
    return subprocess.Popen(
        [sys.executable, "-m", "rlem", *map(str, arguments)],
        cwd=cwd,
        env=_environment(env),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        preexec_fn=(lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)) if ctrl_c else None,
        start_new_session=ctrl_c,
    )


def rlem(
    *arguments: str | Path, cwd: Path, env: Mapping[str, str] | None = None, stdin: str = ""
) -> subprocess.CompletedProcess[str]:
    """Runs ``rlem ARGUMENTS`` to its end."""
    return subprocess.run(
        [sys.executable, "-m", "rlem", *map(str, arguments)],
        cwd=cwd,
        env=_environment(env),
        input=stdin,
        capture_output=True,
        encoding="utf-8",
        timeout=120,
        check=False,
    )


def inside(*arguments: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    """As ``rlem``, but in this process: for the many small cases. An error that gets out fails the test."""
    out, err = io.StringIO(), io.StringIO()
    words = [str(argument) for argument in arguments]
    with contextlib.chdir(cwd), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = main(words)
    return subprocess.CompletedProcess(words, status, out.getvalue(), err.getvalue())


def well(*arguments: str | Path, cwd: Path, env: Mapping[str, str] | None = None) -> str:
    """Runs a command that must succeed; its standard output."""
    done = rlem(*arguments, cwd=cwd, env=env)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout


def complaint(done: subprocess.CompletedProcess[str], status: int) -> str:
    """The one line of a command that must fail with this status, without a traceback."""
    assert done.returncode == status, (done.returncode, done.stdout, done.stderr)
    assert "Traceback" not in done.stderr, done.stderr
    lines = [line for line in done.stderr.splitlines() if line.startswith(("rlem: ", "Error"))]
    assert len(lines) == 1, done.stderr
    assert done.stderr.splitlines()[-1] == lines[0], done.stderr
    return lines[0]


def wait_for_lines(path: Path, count: int, process: subprocess.Popen[str], timeout_s: float = 60.0) -> int:
    """Waits until a file has that many lines and returns how many; the process must still be running."""
    end = time.monotonic() + timeout_s
    while time.monotonic() < end:
        found = path.read_bytes().count(b"\n") if path.exists() else 0
        if found >= count:
            return found
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.002)
    raise AssertionError(f"{path} did not get {count} lines within {timeout_s} s")
