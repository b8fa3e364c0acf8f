"""Processes that write one memory at once."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[2] / "src"


def start(program: str, place: str | Path, name: str, count: int) -> subprocess.Popen[str]:
    """A process that waits for the word, then records episodes and prints the id of each stored one."""
    return subprocess.Popen(
        [sys.executable, "-c", program, str(place), name, str(count)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(SOURCE), "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
    )


def go(*processes: subprocess.Popen[str]) -> None:
    """Gives the word when all stand at the line."""
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
