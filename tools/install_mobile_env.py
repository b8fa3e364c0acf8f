"""Installs just enough of Mobile-Env to test the adapter and the judge against it: no emulator, no torch.

Usage: python tools/install_mobile_env.py [FOLDER]      (default .mobile-env; idempotent, about ten seconds)

Each version that the tests drive gets a folder of its own, apart from .venv, from a lock with hashes:
FOLDER/4.1 holds Mobile-Env and what it imports, FOLDER/2.1.1 what that one needs besides. What rlem itself
brings (numpy, rapidfuzz, pillow) comes from .venv; torch and the like are stood in for by the tests.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOCKS = Path(__file__).resolve().parent / "mobile_env"
STAMP = "rlem-lock.txt"
"""Copy of the lock from which a folder was made; written last."""


def install(lock: Path, target: Path) -> bool:
    """Makes the folder hold what the lock says; whether there was anything to do."""
    stamp = target / STAMP
    if stamp.is_file() and stamp.read_bytes() == lock.read_bytes():
        return False
    shutil.rmtree(target, ignore_errors=True)
    options = ["--quiet", "--disable-pip-version-check", "--no-input", "--no-compile", "--no-deps"]
    command = [sys.executable, "-m", "pip", "install", *options, "--require-hashes"]
    subprocess.run([*command, "--target", str(target), "--requirement", str(lock)], check=True)
    shutil.copyfile(lock, stamp)
    return True


def main(arguments: list[str]) -> int:
    """Installs what is missing; returns the exit status."""
    if len(arguments) > 1 or (arguments and arguments[0].startswith("-")):
        print(__doc__, file=sys.stderr)
        return 2
    folder = Path(arguments[0]) if arguments else ROOT / ".mobile-env"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / ".gitignore").write_text("*\n")
    for lock in sorted(LOCKS.glob("*.txt")):
        try:
            done = install(lock, folder / lock.stem)
        except subprocess.CalledProcessError as error:
            print(f"Mobile-Env {lock.stem}: pip failed; its message stands above", file=sys.stderr)
            return error.returncode
        print(f"Mobile-Env {lock.stem}: {'installed' if done else 'is there'} ({folder / lock.stem})")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
