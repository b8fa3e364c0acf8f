"""The scripts of tools/: the CLI reference, the wheel check."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import click
import pytest
from click.testing import CliRunner


@click.group()
def shop() -> None:
    """Sells kettles."""


@shop.command()
@click.option("--colour", default="red", show_default=True, help="Of the kettle. " + "Any will do. " * 12)
def buy(colour: str) -> None:
    """Buys one."""


@shop.command(hidden=True)
def steal() -> None:
    """Nobody needs to know."""


@pytest.fixture
def run(
    script: Callable[[str], ModuleType], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[int, str, str]]:
    """Runs tools/cli_reference.py over the shop above: (exit status, what it printed, the file)."""
    tool = script("tools/cli_reference.py")
    monkeypatch.setitem(sys.modules, "shop_cli", sys.modules.get(__name__) or ModuleType("shop_cli"))
    monkeypatch.setattr(sys.modules["shop_cli"], "shop", shop, raising=False)
    page = tmp_path / "cli.md"

    def call(*arguments: str, columns: str = "80") -> tuple[int, str, str]:
        full = [*arguments, "--cli", "shop_cli:shop", "--output", str(page)]
        result = CliRunner(env={"COLUMNS": columns}).invoke(tool.main, full)
        return result.exit_code, result.output, page.read_text() if page.exists() else ""

    return call


def test_reference_shows_every_visible_command(run: Callable[..., tuple[int, str, str]]) -> None:
    """Each command has a heading, its help and a link; hidden commands have none."""
    status, _, page = run()
    assert status == 0
    assert "- [`rlem buy`](#rlem-buy)" in page
    assert "## rlem buy\n\n```text\nUsage: rlem buy [OPTIONS]\n\n  Buys one." in page
    assert "[default: red]" in page
    assert "steal" not in page


def test_reference_does_not_depend_on_the_terminal(run: Callable[..., tuple[int, str, str]]) -> None:
    """A narrow and a wide terminal give the same page."""
    assert run(columns="40")[2] == run(columns="300")[2] != ""


def test_check_finds_a_stale_reference(run: Callable[..., tuple[int, str, str]], tmp_path: Path) -> None:
    """`--check` accepts what was just written, and fails with a diff and the remedy when the page differs."""
    assert run("--check")[0] == 1
    run()
    assert run("--check")[0] == 0
    (tmp_path / "cli.md").write_text((tmp_path / "cli.md").read_text().replace("Buys one", "Buys two"))
    status, printed, page = run("--check")
    assert status == 1
    assert "-  Buys two." in printed
    assert "python3 dev.py docs" in printed
    assert "Buys two" in page


def test_wheel_must_hold_every_file(script: Callable[[str], ModuleType], tmp_path: Path) -> None:
    """The wheel check names files that are missing and files that only the wheel has, and ignores caches."""
    tool = script("tools/check_wheel.py")
    for name in ("a.py", "data/b.txt", "__pycache__/a.pyc", ".DS_Store"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
    assert tool.packaged_files(tmp_path) == {"a.py", "data/b.txt"}
    assert tool.compare({"a.py", "data/b.txt"}, {"a.py", "old.py"}) == [
        "not in the wheel: data/b.txt  (package-data in pyproject.toml)",
        "only in the wheel: old.py",
    ]
    assert tool.compare({"a.py"}, {"a.py"}) == []


def test_wheel_check_wants_one_wheel(
    script: Callable[[str], ModuleType], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An empty folder is refused with a message, not taken for success."""
    assert script("tools/check_wheel.py").main([str(tmp_path)]) == 2
    assert "one folder with one wheel" in capsys.readouterr().err
