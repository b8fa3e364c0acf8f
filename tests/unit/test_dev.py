"""dev.py: the words, the set-up that repairs itself, exit statuses."""

from __future__ import annotations

import ast
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture
def dev(script: Callable[[str], ModuleType], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """dev.py over a project of its own, with a blank in its path, whose pip and venv only take notes."""
    module = script("dev.py")
    root = tmp_path / "a project"
    (root / "requirements").mkdir(parents=True)
    (root / "pyproject.toml").write_text("[project]")
    for profile in ("core", "dev"):
        (root / "requirements" / f"{profile}.txt").write_text(f"{profile}==1")
    monkeypatch.setattr(module, "ROOT", root)
    monkeypatch.setattr(module, "REQUIREMENTS", root / "requirements")
    monkeypatch.setattr(module, "VENV", root / ".venv")
    monkeypatch.setattr(module.unfinished, "__defaults__", (root / ".venv",))
    monkeypatch.setattr(module.tool, "__defaults__", (root / ".venv",))
    notes: list[str] = []
    monkeypatch.setattr(module, "notes", notes, raising=False)

    def make_venv(venv: Path) -> None:
        notes.append("venv")
        python = Path(module.tool("python"))
        python.parent.mkdir(parents=True, exist_ok=True)
        python.touch()

    monkeypatch.setattr(module, "make_venv", make_venv)
    monkeypatch.setattr(module, "pip_install", lambda *arguments, **_: notes.append(arguments[0]))
    monkeypatch.setattr(
        module,
        "is_usable",
        lambda venv: Path(module.tool("python")).exists() and not module.unfinished().exists(),
    )
    return module


def test_dev_parses_on_old_pythons(project: Path) -> None:
    """Python 3.8 can read dev.py, and so can tell its user which Python is needed."""
    tree = ast.parse((project / "dev.py").read_text(encoding="utf-8"), feature_version=(3, 8))
    assert any(isinstance(node, ast.FunctionDef) and node.name == "main" for node in tree.body)


def test_old_python_is_told_what_to_do(
    dev: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Under a Python that is too old nothing is set up; the message names the version needed."""
    monkeypatch.setattr(dev.sys, "version_info", (3, 10, 2))
    assert dev.main(["demo"]) == 2
    assert "rlem needs Python 3.11 or newer" in capsys.readouterr().err
    assert dev.notes == []


def test_no_word_prints_all_words(dev: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    """Without a word the help names every word with what it does, and nothing is set up."""
    assert dev.main([]) == 0
    printed = capsys.readouterr().out
    assert all(
        f"\n  {word.name}" in printed and word.run.__doc__.rstrip(".") in printed for word in dev.WORDS
    )
    assert dev.notes == []


def test_wrong_word_gets_a_proposal(dev: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    """A misspelt word names the nearest one; an argument where none is taken is refused."""
    assert dev.main(["tset"]) == 2
    assert "did you mean 'test'?" in capsys.readouterr().err
    assert dev.main(["layers", "x"]) == 2
    assert "takes no arguments" in capsys.readouterr().err


def test_setup_is_done_once(dev: ModuleType) -> None:
    """The second setup of an unchanged project does nothing."""
    dev.ensure("dev")
    assert dev.notes == ["venv", "--require-hashes", "--no-deps"]
    dev.ensure("dev")
    assert len(dev.notes) == 3


def test_developers_environment_serves_the_demo(dev: ModuleType) -> None:
    """What the demo needs is part of what development needs, not the other way round."""
    dev.ensure("core")
    assert not dev.is_current("dev")
    dev.ensure("dev")
    (dev.VENV / "rlem-setup-core").unlink()
    assert dev.is_current("core")


@pytest.mark.parametrize("changed", ["pyproject.toml", "requirements/dev.txt"])
def test_changed_lock_is_installed(dev: ModuleType, changed: str) -> None:
    """A change of the lock or of pyproject.toml is installed into the environment that is there."""
    dev.ensure("dev")
    (dev.ROOT / changed).write_text("changed")
    dev.ensure("dev")
    assert dev.notes == ["venv"] + 2 * ["--require-hashes", "--no-deps"]


def test_moved_project_is_set_up_again(dev: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """The stamp holds for one folder: scripts and the editable install carry its path."""
    dev.ensure("dev")
    before = dev.fingerprint("dev")
    moved = dev.ROOT.rename(dev.ROOT.with_name("moved"))
    monkeypatch.setattr(dev, "ROOT", moved)
    monkeypatch.setattr(dev, "REQUIREMENTS", moved / "requirements")
    assert dev.fingerprint("dev") != before


def test_killed_setup_is_begun_anew(dev: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment in which a setup was cut off counts as neither current nor usable."""

    def killed(*_: str, **__: str) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(dev, "pip_install", killed)
        with pytest.raises(KeyboardInterrupt):
            dev.ensure("dev")
    assert not dev.is_current("dev")
    dev.ensure("dev")
    assert dev.notes == ["venv", "venv", "--require-hashes", "--no-deps"]
    assert dev.is_current("dev")


def test_missing_ensurepip_names_the_package(
    script: Callable[[str], ModuleType], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On Debian without python3-venv the message names that package, and nothing is left behind."""
    dev = script("dev.py")
    monkeypatch.setattr(dev.importlib.util, "find_spec", lambda name: None if name == "ensurepip" else name)
    with pytest.raises(dev.DevError, match="apt install python3-venv"):
        dev.make_venv(tmp_path / "venv")
    assert list(tmp_path.iterdir()) == []


def test_exit_status_is_passed_on(dev: ModuleType) -> None:
    """`run` returns the command's status, and 128 + n for signal n, as a shell does."""
    assert dev.run([sys.executable, "-c", "raise SystemExit(7)"]) == 7
    program = "import os, signal; os.kill(os.getpid(), signal.SIGTERM)"
    assert dev.run([sys.executable, "-c", program]) == 128 + signal.SIGTERM
    quiet = [sys.executable, "-c", ""]
    assert dev.run_all(quiet, [sys.executable, "-c", "raise SystemExit(3)"], quiet) == 3
