"""``rlem env``, the help texts and the version as a user sees them."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest
from tests.support.command import complaint, inside, rlem, well

import rlem as package
from rlem.cli.main import cli


def _commands(command: click.Command, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    below = command.commands.items() if isinstance(command, click.Group) else ()
    return [path, *(found for name, child in below for found in _commands(child, (*path, name)))]


def test_list_names_every_environment_and_its_task_sets(tmp_path: Path) -> None:
    """What is listed is what train takes."""
    out = well("env", "list", cwd=tmp_path)
    assert re.search(r"^webshop$", out, re.MULTILINE)
    assert re.search(r"^corridor$", out, re.MULTILINE)
    assert re.search(r"^  S0 +\S", out, re.MULTILINE)
    assert re.search(r"^  test +\S", out, re.MULTILINE)


def test_a_task_is_played_by_hand(tmp_path: Path) -> None:
    """An action by its text, one by its number, an impossible one (asked again), then quit."""
    typed = "search[red cable]\nclick[buy the moon]\n99\n1\nquit\n"
    done = rlem("env", "play", "webshop", "--products", "60", "--task", "7:8", cwd=tmp_path, stdin=typed)
    assert done.returncode == 0, done.stderr
    assert "'click[buy the moon]' is not listed here" in done.stderr
    assert "'99' is not listed here" in done.stderr
    pages = done.stderr.split("\nTask: ")[1:]
    assert [("Total results" in page, "[Search]" in page) for page in pages] == [
        (False, True),
        (True, False),
        (False, True),
    ]
    assert done.stdout.strip() == "stopped: reward 0, success: False"


def test_a_played_task_ends_with_its_reward(tmp_path: Path) -> None:
    """The step limit ends the game, too, and says so."""
    done = rlem(
        "env", "play", "webshop", "--products", "60", "--task", "7:8", "--max-steps", "1",
        cwd=tmp_path, stdin="search[red cable]\n",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "the step limit is reached: reward 0" in done.stdout


def test_playing_what_is_not_there(tmp_path: Path) -> None:
    """Unknown environments and task sets are refused with the nearest name."""
    assert "did you mean 'webshop'" in complaint(inside("env", "play", "webshp", cwd=tmp_path), 2)
    assert "did you mean 'test'" in complaint(
        inside("env", "play", "webshop", "--task", "tset", cwd=tmp_path), 2
    )


@pytest.mark.parametrize("path", _commands(cli), ids=" ".join)
def test_every_help_has_an_example(path: tuple[str, ...]) -> None:
    """The help of a command shows how it is called, whole."""
    command: click.Command = cli
    context = click.Context(cli, info_name="rlem")
    for name in path:
        assert isinstance(command, click.Group)
        command = command.commands[name]
        context = click.Context(command, info_name=name, parent=context)
    text = " ".join(command.get_help(context).split("Options:")[0].split())
    calls = text.replace("Usage: " + context.command_path, "", 1)
    assert f"{context.command_path} " in calls + " ", text


def test_help_and_version(tmp_path: Path) -> None:
    """Both exit 0; the version is the package's."""
    assert well("--version", cwd=tmp_path).split() == ["rlem,", "version", package.__version__]
    out = well("--help", cwd=tmp_path)
    assert "rlem train webshop" in out
    for name in cli.commands:
        assert re.search(rf"^  {name} ", out, re.MULTILINE), name
    assert well("train", "-h", cwd=tmp_path).startswith("Usage: rlem train")
