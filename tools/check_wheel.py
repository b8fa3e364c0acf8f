"""Tries the built wheel as a user gets it: in a fresh environment, outside of the source tree.

Usage: python tools/check_wheel.py DIST      (by `python3 dev.py build`, which builds the wheel first)

What it checks: the locked core packages satisfy the wheel's own requirements, ``import rlem`` takes the
installed package, ``rlem --version`` answers, and every file of src/rlem was packed, data included.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "src" / "rlem"


def packaged_files(package: Path) -> set[str]:
    """The files of a package, as paths within it; without what Python and editors leave there."""
    return {
        path.relative_to(package).as_posix()
        for path in package.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and not path.name.startswith(".")
    }


def compare(expected: set[str], found: set[str]) -> list[str]:
    """One line for each file that is missing in the wheel or that only the wheel has."""
    missing = [f"not in the wheel: {name}  (package-data in pyproject.toml)" for name in expected - found]
    surplus = [f"only in the wheel: {name}" for name in found - expected]
    return sorted(missing) + sorted(surplus)


def output_of(command: list[str], folder: Path) -> str:
    """What a command prints; its errors go to the screen and end this program."""
    return subprocess.run(command, cwd=folder, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


def check(wheel: Path, folder: Path) -> list[str]:
    """Installs the wheel in ``folder`` and returns what is wrong with it, one line each."""
    home = folder / "fresh venv"  # with a blank, as on some machines
    venv.create(home, with_pip=True)
    programs = home / ("Scripts" if sys.platform == "win32" else "bin")
    python = str(programs / "python")
    pip = [python, "-m", "pip", "--disable-pip-version-check", "--no-input"]
    lock = ROOT / "requirements" / "core.txt"
    subprocess.run([*pip, "install", "--quiet", "--require-hashes", "-r", str(lock)], cwd=folder, check=True)
    subprocess.run([*pip, "install", "--quiet", "--no-deps", str(wheel)], cwd=folder, check=True)
    subprocess.run([*pip, "check"], cwd=folder, check=True)

    installed = Path(output_of([python, "-I", "-c", "import rlem; print(rlem.__file__)"], folder)).parent
    version = output_of([str(programs / "rlem"), "--version"], folder)
    problems = compare(packaged_files(PACKAGE), packaged_files(installed))
    if not installed.is_relative_to(home.resolve()):
        problems.append(f"import rlem took {installed}, not the installed wheel")
    if wheel.name.split("-")[1] not in version:
        problems.append(f"rlem --version says {version!r}, the wheel is {wheel.name}")
    return problems


def main(arguments: list[str]) -> int:
    """Checks the one wheel of a folder; returns the exit status."""
    wheels = sorted(Path(arguments[0]).resolve().glob("*.whl")) if len(arguments) == 1 else []
    if len(wheels) != 1:
        print(f"one folder with one wheel is needed, got {arguments} with {len(wheels)}", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory(prefix="rlem-wheel-") as name:
        try:
            problems = check(wheels[0], Path(name).resolve())
        except subprocess.CalledProcessError as error:
            problems = [f"exit status {error.returncode} of: {' '.join(map(str, error.cmd))}"]
    for problem in problems:
        print(problem, file=sys.stderr)
    print(f"{wheels[0].name}: {'not good' if problems else 'good: installs, imports, runs, is complete'}")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
