#!/usr/bin/env python3
"""Every command of the project behind one file that needs nothing but Python and its standard library.

`python3 dev.py` prints the words. A word sets up what it needs by itself: `.venv`, the packages of the
hashed lock, rlem in editable form; a stamp skips that when nothing changed, and a setup that was killed
half-way is begun again. The file must parse on old Pythons, to tell their users which one is needed.
"""

from __future__ import annotations

import contextlib
import difflib
import hashlib
import importlib.util
import os
import shutil
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

MINIMUM_PYTHON = (3, 11)
ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
REQUIREMENTS = ROOT / "requirements"
LOCKED_EXTRAS = (
    *("ann", "embeddings", "gymnasium", "postgres", "prices", "spacy", "tensorboard", "tokenizer", "web"),
)
COVERED_BY = {"core": ("core", "dev"), "dev": ("dev",)}  # the dev lock holds all that the core lock holds
TYPED = ("src", "dev.py", "tools", "examples", "bench")
CACHES = (".hypothesis", ".import_linter_cache", ".mypy_cache", ".pytest_cache", ".ruff_cache")


class DevError(Exception):
    """Something the person at the keyboard has to know; the message says what to do."""


class Word(NamedTuple):
    """One command: its name, the arguments it takes ("" for none), the doing (its docstring is the help)."""

    name: str
    arguments: str
    run: Callable[[list[str]], int]


def say(text: str) -> None:
    """One line on what happens next; on stderr, so that a command's own output stays clean."""
    print(f"dev.py: {text}", file=sys.stderr, flush=True)


# -- running things ----------------------------------------------------------------------------------------


def tool(name: str, venv: Path = VENV) -> str:
    """Path of a program of the virtual environment."""
    return str(venv / ("Scripts" if os.name == "nt" else "bin") / name)


def child_environment() -> dict[str, str]:
    """The caller's environment with `.venv` in front, without what would turn its Python or pip aside."""
    aside = ("PYTHONHOME", "PIP_USER", "PIP_TARGET", "PIP_PREFIX")
    environment = {name: value for name, value in os.environ.items() if name not in aside}
    environment["PATH"] = os.pathsep.join([str(Path(tool("x")).parent), environment.get("PATH", os.defpath)])
    environment["VIRTUAL_ENV"] = str(VENV)
    return environment


def run(command: list[str]) -> int:
    """Runs a command in the project's folder and returns its exit status as a shell would.

    Ctrl-C reaches the command itself; it is waited for, so that it can save what it is doing. SIGTERM is
    handed on. ``close_fds=False`` lets it inherit the lock of a setup (see ``alone``) and nothing else.
    """
    interrupted = False
    with subprocess.Popen(command, cwd=ROOT, env=child_environment(), close_fds=False) as process:
        before = signal.signal(signal.SIGTERM, lambda *_: process.terminate())
        try:
            while process.poll() is None:
                try:
                    process.wait()
                except KeyboardInterrupt:
                    interrupted = True
        finally:
            signal.signal(signal.SIGTERM, before)
    if interrupted:
        raise KeyboardInterrupt
    return process.returncode if process.returncode >= 0 else 128 - process.returncode


def run_all(*commands: list[str]) -> int:
    """Runs all commands, whatever becomes of each; the first exit status that is not 0."""
    return next((status for status in [run(command) for command in commands] if status), 0)


# -- the virtual environment -------------------------------------------------------------------------------


def fingerprint(profile: str) -> str:
    """What an up-to-date environment was made from. The folder counts: a moved environment is broken."""
    digest = hashlib.sha256(str(ROOT).encode("utf-8", "surrogateescape"))
    for path in (ROOT / "pyproject.toml", REQUIREMENTS / f"{profile}.txt"):
        digest.update(b"\0" + path.read_bytes())
    return digest.hexdigest()


def stamp(profile: str) -> Path:
    """The file that says from what the profile was installed."""
    return VENV / f"rlem-setup-{profile}"


def unfinished(venv: Path = VENV) -> Path:
    """The file that stands in an environment while something is being installed into it."""
    return venv / "rlem-setup-unfinished"


def is_current(profile: str) -> bool:
    """Whether `.venv` already holds what the profile asks for."""
    if unfinished().exists() or not Path(tool("python")).exists():
        return False
    return any(
        stamp(covering).is_file() and stamp(covering).read_text() == fingerprint(covering)
        for covering in COVERED_BY[profile]
    )


def is_usable(venv: Path) -> bool:
    """Whether the environment is whole: no killed setup, a Python new enough, and pip."""
    if unfinished(venv).exists() or not Path(tool("python", venv)).exists():
        return False
    probe = f"import sys, pip; sys.exit(sys.version_info < {MINIMUM_PYTHON})"
    answer = subprocess.run([tool("python", venv), "-c", probe], capture_output=True, check=False)
    return answer.returncode == 0


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """Keeps two setups apart: the second waits.

    The pip that we start inherits the lock, so a pip that outlives a killed dev.py still holds it.
    """
    if os.name == "nt":
        yield
        return
    import fcntl  # absent on Windows

    folder = ROOT / ".cache"
    folder.mkdir(exist_ok=True)
    with (folder / "setup.lock").open("w") as file:
        os.set_inheritable(file.fileno(), True)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            say("waiting for another setup of this folder to finish")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def make_venv(venv: Path) -> None:
    """A new, empty environment, marked as unfinished until its packages are in."""
    missing = [name for name in ("venv", "ensurepip") if importlib.util.find_spec(name) is None]
    if missing:
        raise DevError(
            f"this Python ({sys.executable}) cannot make virtual environments: its module "
            f"{missing[0]} is missing. On Debian and Ubuntu it is a package of its own: "
            "sudo apt install python3-venv. Then run the same command again."
        )
    if venv.exists():
        say(f"{venv.name} is unfinished or broken: making it anew")
        shutil.rmtree(venv)
    say(f"making {venv.name} with Python {sys.version.split()[0]}")
    venv.mkdir()
    unfinished(venv).touch()
    # Not sys.executable: that may be the Python of the very environment that is being replaced.
    base = getattr(sys, "_base_executable", None) or sys.executable
    if run([base, "-m", "venv", str(venv)]):
        raise DevError(f"{base} -m venv failed; its message stands above")


def pip_install(*arguments: str, venv: Path = VENV) -> None:
    """pip without chatter; its warnings and errors are shown."""
    options = ["--quiet", "--disable-pip-version-check", "--no-input"]
    status = run([tool("python", venv), "-m", "pip", "install", *options, *arguments])
    if status == 0:
        return
    if status < 128:  # no signal: pip has put things back by itself, no need to begin anew
        unfinished(venv).unlink(missing_ok=True)
    raise DevError("pip could not install; its message stands above. Run the same command to try again.")


def ensure(profile: str) -> None:
    """Makes `.venv` hold the profile's lock and rlem itself; does nothing when it already does."""
    if is_current(profile):
        return
    with alone():
        if is_current(profile):
            return
        if not is_usable(VENV):
            make_venv(VENV)
        unfinished().touch()
        lock_file = REQUIREMENTS / f"{profile}.txt"
        say(f"installing the packages of requirements/{lock_file.name} (about a minute the first time)")
        # --no-compile halves the time: Python compiles what is imported when it is imported.
        pip_install("--require-hashes", "--no-compile", "--requirement", str(lock_file))
        say("installing rlem itself, in editable form")
        pip_install("--no-deps", "--no-build-isolation", "--editable", str(ROOT))
        stamp(profile).write_text(fingerprint(profile))
        unfinished().unlink()


# -- the words ---------------------------------------------------------------------------------------------


def setup(_: list[str]) -> int:
    """Make or mend .venv with all that development needs."""
    ensure("dev")
    say(f"ready: {VENV.name} holds the developer's packages and rlem")
    return 0


def demo(arguments: list[str]) -> int:
    """Train an agent on the bundled shop: `rlem train webshop`, report included."""
    ensure("core")
    say(" ".join(["rlem train webshop", *arguments]))
    return run([tool("rlem"), "train", "webshop", *arguments])


def test(arguments: list[str]) -> int:
    """Run the tests, e.g. `test tests/unit -k name`."""
    ensure("dev")
    return run([tool("python"), "-m", "pytest", *arguments])


def lint(arguments: list[str]) -> int:
    """Check code and layout (ruff)."""
    ensure("dev")
    return run_all(
        [tool("ruff"), "check", *arguments],
        [tool("ruff"), "format", "--check", *arguments],
    )


def format_code(arguments: list[str]) -> int:
    """Mend what can be mended: import order, layout."""
    ensure("dev")
    return run_all([tool("ruff"), "check", "--fix", *arguments], [tool("ruff"), "format", *arguments])


def types(_: list[str]) -> int:
    """Check the types (mypy --strict)."""
    ensure("dev")
    paths = [ROOT / name for name in TYPED]  # mypy refuses a folder without Python files
    checked = [path.name for path in paths if path.is_file() or any(path.rglob("*.py"))]
    return run([tool("python"), "-m", "mypy", *checked])


def layers(_: list[str]) -> int:
    """Check that imports point down (import-linter)."""
    ensure("dev")
    return run([tool("lint-imports")])


def docs(arguments: list[str]) -> int:
    """Write docs/cli.md from the CLI's own help, or check that it is up to date."""
    ensure("dev")
    return run([tool("python"), "tools/cli_reference.py", *arguments])


def build(_: list[str]) -> int:
    """Build the wheel and try it in a fresh environment."""
    ensure("dev")
    shutil.rmtree(ROOT / "dist", ignore_errors=True)
    say("building the source archive, and from it the wheel, into dist/")
    status = run([tool("python"), "-m", "build", "--quiet", "--no-isolation", "--outdir", "dist"])
    return status or run([tool("python"), "tools/check_wheel.py", "dist"])


def check(_: list[str]) -> int:
    """All of the above that check: what a change must pass."""
    outcomes = []
    for name in ("lint", "types", "layers", "docs", "test", "build"):
        say(f"check: {name}")
        begin = time.monotonic()
        status = find(name).run(["--check"] if name == "docs" else [])
        outcomes.append((name, status, time.monotonic() - begin))
    for name, status, seconds in outcomes:
        say(f"{name:8} {'failed' if status else 'ok':6} {seconds:6.1f} s")
    return next((status for _, status, _ in outcomes if status), 0)


def bench(arguments: list[str]) -> int:
    """Run a benchmark of bench/, or list them."""
    known = sorted(path.stem for path in (ROOT / "bench").glob("*.py") if not path.stem.startswith("_"))
    if not arguments:
        say(f"benchmarks: {', '.join(known) or 'none'}. Run one with: python3 dev.py bench NAME")
        return 0
    name, *rest = arguments
    if name not in known:
        raise DevError(f"no benchmark {name!r} in bench/. Known: {', '.join(known) or 'none'}")
    ensure("dev")
    return run([tool("python"), f"bench/{name}.py", *rest])


def importtime(_: list[str]) -> int:
    """Measure how long `import rlem` takes."""
    ensure("core")
    program = (
        "import sys, time; begin = time.perf_counter(); import rlem; "
        "print(1000 * (time.perf_counter() - begin), len(sys.modules))"
    )
    command = [tool("python"), "-I", "-c", program]
    outputs = [subprocess.check_output(command, text=True) for _ in range(21)]
    times_ms = sorted(float(output.split()[0]) for output in outputs)
    print(
        f"import rlem: median {statistics.median(times_ms):.1f} ms of {len(times_ms)} fresh interpreters "
        f"(least {times_ms[0]:.1f}, most {times_ms[-1]:.1f}); {outputs[0].split()[1]} modules loaded in all"
    )
    return 0


def lock(arguments: list[str]) -> int:
    """Make requirements/*.txt again after a change of dependencies."""
    maker = ROOT / ".venv-lock"
    with alone():
        if not is_usable(maker):
            make_venv(maker)
        pip_install("--upgrade", "uv", venv=maker)
        unfinished(maker).unlink(missing_ok=True)
    REQUIREMENTS.mkdir(exist_ok=True)
    extras = [part for extra in LOCKED_EXTRAS for part in ("--extra", extra)]
    for profile, content in {
        "dev": ["--group", "dev", *extras],
        "core": ["--group", "build", "--constraint", "requirements/dev.txt"],
    }.items():
        target = f"requirements/{profile}.txt"
        say(f"locking {target}")
        options = ["--quiet", "--no-config", "--universal", "--fork-strategy", "fewest", "--generate-hashes"]
        options += ["--python-version", ".".join(map(str, MINIMUM_PYTHON)), "--no-annotate"]
        options += ["--no-emit-index-url", "--no-emit-find-links"]
        options += ["--custom-compile-command", "python3 dev.py lock", "--output-file", target]
        command = [tool("uv", maker), "pip", "compile", "pyproject.toml", *content, *options, *arguments]
        if status := run(command):
            return status
        if "://" in (ROOT / target).read_text():
            raise DevError(f"{target} names an address; a lock holds names, versions and hashes only")
    return 0


def clean(arguments: list[str]) -> int:
    """Remove caches and builds (never runs/); --all: .venv as well."""
    names = ["build", "dist", *CACHES] + (
        [".venv", ".venv-lock", ".mobile-env"] if "--all" in arguments else []
    )
    found = [ROOT / name for name in names] + list((ROOT / "src").glob("*.egg-info"))
    for folder in ("src", "tests", "tools", "bench", "examples"):
        found += (ROOT / folder).rglob("__pycache__")
    for path in found:
        shutil.rmtree(path, ignore_errors=True)
    say("removed caches and builds" + (" and the virtual environments" if "--all" in arguments else ""))
    return 0


WORDS = (
    Word("demo", "[OPTION ...]", demo),
    Word("test", "[PYTEST ARGUMENT ...]", test),
    Word("setup", "", setup),
    Word("format", "[PATH ...]", format_code),
    Word("lint", "[PATH ...]", lint),
    Word("types", "", types),
    Word("layers", "", layers),
    Word("docs", "[--check]", docs),
    Word("build", "", build),
    Word("check", "", check),
    Word("bench", "[NAME [OPTION ...]]", bench),
    Word("importtime", "", importtime),
    Word("lock", "[--upgrade ...]", lock),
    Word("clean", "[--all]", clean),
)


def find(name: str) -> Word:
    """The word of that name."""
    for word in WORDS:
        if word.name == name:
            return word
    near = difflib.get_close_matches(name, [word.name for word in WORDS], n=1)
    hint = f"did you mean {near[0]!r}?" if near else "`python3 dev.py` lists them."
    raise DevError(f"no word {name!r}; {hint}")


def help_text() -> str:
    """What `python3 dev.py` prints."""
    lines = [
        "rlem: the project's commands. They need Python 3.11 or newer and nothing else;",
        "the first one makes .venv and installs the locked packages there.",
        "",
        "usage: python3 dev.py WORD [ARGUMENT ...]       (everything runs in the project's folder)",
        "",
    ]
    for word in WORDS:
        lines.append(f"  {word.name + ' ' + word.arguments:<27}{(word.run.__doc__ or '').rstrip('.')}")
    lines += ["", "New here? `python3 dev.py demo` shows what rlem does; CONTRIBUTING.md tells the rest."]
    return "\n".join(lines)


def refuse_old_python() -> None:
    """Stops with the remedy under a Python that is too old."""
    if sys.version_info >= MINIMUM_PYTHON:
        return
    wanted = ".".join(map(str, MINIMUM_PYTHON))
    newer = [name for name in (f"python3.{minor}" for minor in range(11, 20)) if shutil.which(name)]
    remedy = f"Try: {newer[-1]} dev.py ..." if newer else "Install a newer one and run dev.py with it."
    raise DevError(f"rlem needs Python {wanted} or newer; this is {sys.version.split()[0]}. {remedy}")


def main(arguments: list[str]) -> int:
    """Runs one word; returns the exit status."""
    try:
        refuse_old_python()
        if not arguments or arguments[0] in ("help", "-h", "--help"):
            print(help_text())
            return 0
        word = find(arguments[0])
        if arguments[1:] and not word.arguments:
            raise DevError(f"{word.name!r} takes no arguments, but got {' '.join(arguments[1:])!r}")
        return word.run(arguments[1:])
    except DevError as error:
        say(str(error))
        return 2
    except KeyboardInterrupt:
        say("interrupted")
        return 130


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
