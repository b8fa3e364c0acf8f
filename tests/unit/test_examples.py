"""The examples run as a reader would run them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def output_of(script: Path) -> str:
    """What a script prints, run by itself: no project on the path, another hash seed each time."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONHASHSEED"}
    command = [sys.executable, "-I", str(script)]
    return subprocess.run(
        command, capture_output=True, text=True, check=True, timeout=60, env=environment
    ).stdout


def test_mini_rlem_learns_with_memory_only(project: Path) -> None:
    """Both arms start alike, memory ends far above its control, and two runs print the same."""
    script = project / "examples" / "mini_rlem.py"
    first = output_of(script)
    rows = {line[:10].strip(): [float(x) for x in line[10:].split()] for line in first.splitlines()[2:]}
    assert set(rows) == {"memory", "no memory"}
    assert rows["memory"][0] == rows["no memory"][0]
    assert rows["memory"][-1] > rows["no memory"][-1] + 0.3
    assert output_of(script) == first
