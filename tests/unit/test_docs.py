"""The pages say what is true: their Python runs, their commands exist, their links lead somewhere."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest

from rlem.cli.main import cli

RUNNABLE = ("README.md", "docs/tutorial.md")
PAGES = ("README.md", "CONTRIBUTING.md", "docs/*.md")


def pages(project: Path) -> list[Path]:
    """All pages that people read."""
    return sorted(path for pattern in PAGES for path in project.glob(pattern))


def blocks(page: Path, language: str) -> list[str]:
    """The fenced blocks of a language, in order."""
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text("utf-8"), re.DOTALL | re.MULTILINE)


def commands(page: Path) -> list[list[str]]:
    """The arguments of every `$ rlem ...` line of a page's console blocks, without comments."""
    lines = [line for block in blocks(page, "console") for line in block.splitlines()]
    return [shlex.split(line[7:], comments=True) for line in lines if line.startswith("$ rlem ")]


def complaint(arguments: list[str]) -> str:
    """What the command line would not know of these arguments; "" if it knows all of them."""
    command: click.Command = cli
    known: set[str] = set()
    rest = list(arguments)
    while isinstance(command, click.Group) and rest and not rest[0].startswith("-"):
        names = rest.pop(0).split("|")
        if missing := [name for name in names if name not in command.commands]:
            return f"no command {missing[0]!r}"
        command = command.commands[names[0]]
    for parameter in command.params:
        known |= {*parameter.opts, *parameter.secondary_opts}
    unknown = [part for part in rest if re.match(r"--?[a-z]", part) and part.partition("=")[0] not in known]
    return f"no option {unknown[0]!r}" if unknown else ""


@pytest.mark.parametrize("name", RUNNABLE)
def test_python_of_a_page_runs_from_top_to_bottom(
    project: Path, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The Python blocks of a page run one after the other in one namespace, in an empty folder."""
    found = blocks(project / name, "python")
    if name != "README.md":
        assert found
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, object] = {"__name__": "page"}
    for number, block in enumerate(found):
        exec(compile(block, f"{name}, block {number}", "exec"), namespace)


def test_the_tutorials_first_agent_learns(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As the page promises: from the first success on, every new door is opened."""
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, object] = {"__name__": "page"}
    exec(blocks(project / "docs" / "tutorial.md", "python")[0], namespace)
    rewards = [float(text) for text in capsys.readouterr().out.strip("[]\n").split(",")]
    assert len(rewards) == 6
    assert 1.0 in rewards
    assert set(rewards[rewards.index(1.0) :]) == {1.0}


def test_the_tutorials_phone_is_remembered_with_steps_and_elements(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The WikiHow example plays its task to the end; what was due and what was clicked are in the memory."""
    monkeypatch.chdir(tmp_path)
    (block,) = [code for code in blocks(project / "docs" / "tutorial.md", "python") if "WikiHow" in code]
    exec(f"import rlem\n{block}", {"__name__": "page"})
    out = capsys.readouterr().out
    assert out.startswith("True ")
    assert "('Access the article \"How to" in out
    assert 'clickable="true">How to' in out


def test_commands_on_the_pages_exist(project: Path) -> None:
    """Every rlem command and option in a console block is one that the command line has."""
    found = [(page.name, line) for page in pages(project) for line in commands(page)]
    assert len(found) >= 10
    wrong = [f"{name}: rlem {shlex.join(line)}: {complaint(line)}" for name, line in found if complaint(line)]
    assert wrong == []


def test_a_wrong_command_would_be_found() -> None:
    """The check of commands can fail: unknown words and options are named."""
    assert complaint(["train", "webshop", "--colour", "red"]) == "no option '--colour'"
    assert complaint(["memory", "sing"]) == "no command 'sing'"
    assert complaint(["memory", "show|forget", "FILE"]) == ""


def test_links_between_pages_lead_somewhere(project: Path) -> None:
    """Every relative link names a file of the project; docs/cli.md may still have to be generated."""
    broken = []
    for page in pages(project):
        for target in re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", page.read_text("utf-8")):
            if not (page.parent / target).exists() and target != "cli.md":
                broken.append(f"{page.name}: {target}")
    assert broken == []


def test_every_page_stands_on_the_map(project: Path) -> None:
    """docs/index.md names every page of docs/."""
    index = (project / "docs" / "index.md").read_text("utf-8")
    names = [path.name for path in (project / "docs").glob("*.md") if path.name != "index.md"]
    assert [name for name in names if f"]({name})" not in index] == []
