"""Installs Ray and torch into .venv, for the tests of the extras `ray` and `distillation`.

Usage: .venv/bin/python tools/install_heavy.py      (idempotent; a minute and about 1 GB on disk)

They stay out of the lock: few need them, and which build of torch fits depends on the machine. The one
pinned below is small where the index gives the build for processors. Without them those tests are skipped.
"""

from __future__ import annotations

import subprocess
import sys
from importlib import metadata
from pathlib import Path

WANTED = {"ray": "2.60.0", "torch": "2.13.0"}
LOCK = Path(__file__).resolve().parent.parent / "requirements" / "dev.txt"


def missing() -> list[str]:
    """What is not there in its version, as pip wants to be told."""
    return [f"{name}=={version}" for name, version in WANTED.items() if installed(name) != version]


def installed(name: str) -> str:
    """The version that is there, without a build's own suffix; "" where there is none."""
    try:
        return metadata.version(name).partition("+")[0]
    except metadata.PackageNotFoundError:
        return ""


def constraints() -> list[str]:
    """The lock's versions: what it holds must not change."""
    lines = LOCK.read_text("utf-8").splitlines()
    return [line.split()[0] for line in lines if "==" in line and not line.startswith((" ", "#"))]


def main() -> int:
    """Installs what is missing; returns the exit status."""
    wanted = missing()
    if not wanted:
        print("Ray and torch are there")
        return 0
    held = Path(sys.prefix) / "rlem-constraints.txt"
    held.write_text("\n".join(constraints()) + "\n", "utf-8")
    options = ["--quiet", "--disable-pip-version-check", "--no-input", "--constraint", str(held)]
    return subprocess.run([sys.executable, "-m", "pip", "install", *options, *wanted], check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
