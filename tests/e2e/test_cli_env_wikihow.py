"""``rlem env`` and ``rlem data`` for WikiHow as a user sees them."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from tests.support.command import complaint, inside, rlem, well

from rlem.environments.wikihow.env import WikiHow
from rlem.environments.wikihow.generate import generate
from rlem.environments.wikihow.site_json import site_from_json
from rlem.environments.wikihow.task_files import load_task_files

SMALL = ("--articles", "150")


def test_a_task_is_played_by_hand(tmp_path: Path) -> None:
    """Slips cost no step; the way of the oracle, typed for short, ends the task with its reward."""
    world = WikiHow.bundled(n_articles=150)
    task = next(task for task in world.tasks("test") if task.kind == "plain")
    search, click = world.oracle(task)
    words = re.fullmatch(r"INPUT\((\d+), (.*)\)", search)
    assert words is not None
    typed = f"hello\n99\n{words[1]} {words[2]}\n{click[6:-1]}\n"
    number = [other.id for other in world.tasks("0:110")].index(task.id)
    done = rlem(
        "env", "play", "wikihow", *SMALL, "--task", f"{number}:{number + 1}", cwd=tmp_path, stdin=typed
    )
    assert done.returncode == 0, done.stderr
    assert "'hello': this is no action" in done.stderr
    assert "'99': there is no element 99" in done.stderr
    assert "Last reward 1, in all 1. Steps left: 14" in done.stderr
    assert re.search(r"^ +\[\d+\] How to ", done.stderr, re.MULTILINE)
    assert "<div" not in done.stderr
    assert done.stdout.strip() == "the task is over: reward 2, success: True"


def test_the_limit_is_the_one_that_was_given(tmp_path: Path) -> None:
    """Steps left are counted from --max-steps, and they end the game."""
    done = rlem(
        "env", "play", "wikihow", *SMALL, "--max-steps", "2", cwd=tmp_path, stdin="0\n0\n"
    )  # fmt: skip
    assert "Steps left: 2" in done.stderr
    assert "the step limit is reached: reward 0" in done.stdout


def test_list_knows_the_sets_of_task_files(tmp_path: Path) -> None:
    """Without data the sets of our site; with a folder of task files that folder alone, for the shop cannot
    be made of it."""
    out = well("env", "list", "wikihow", cwd=tmp_path)
    for name in ("test", "S0", "S1", "train"):
        assert re.search(rf"^  {name} +\S", out, re.MULTILINE)
    well("data", "wikihow", "tasks", *SMALL, "--set", "S0", "--out", "files", cwd=tmp_path)
    listed = well("env", "list", "--data", "files", cwd=tmp_path)
    assert re.findall(r"^\w+$", listed, re.MULTILINE) == ["wikihow"]
    assert "0:10" in listed
    small = well("env", "list", "wikihow", *SMALL, "--site-seed", "3", cwd=tmp_path)
    assert "--articles, --site-seed" in small
    assert "n_articles" not in small
    assert "webshop" in complaint(inside("env", "list", "webshp", cwd=tmp_path), 2)
    assert "nowhere" in complaint(inside("env", "list", "--data", "nowhere", cwd=tmp_path), 1)


def test_task_files_are_the_tasks(tmp_path: Path) -> None:
    """What is written loads as the tasks it was written from, and can be played on a site made for them."""
    said = well(
        "data", "wikihow", "tasks", *SMALL, "--site-seed", "2", "--set", "S1", "--out", "f", cwd=tmp_path
    )
    assert said.split("\n")[:3] == [
        "f: 10 task files",
        "Next: rlem env play wikihow --data f",
        "      rlem train wikihow --data f --train 0:5 --test 5:10",
    ]
    world = WikiHow.bundled(seed=2, n_articles=150)
    loaded = load_task_files(tmp_path / "f")
    assert [task.commands for task in loaded] == [
        tuple(task.instruction.split("\n")) for task in world.tasks("S1")
    ]
    played = rlem("env", "play", "wikihow", *SMALL, "--data", "f", cwd=tmp_path, stdin="quit\n")
    assert loaded[0].commands[0] in played.stderr
    line = complaint(inside("train", "wikihow", *SMALL, "--data", "f", cwd=tmp_path), 2)
    assert "no set 'S0'" in line
    assert "--train A:B and --test C:D" in line
    more = well("data", "wikihow", "tasks", *SMALL, "--set", "80:81", "--out", "f", cwd=tmp_path)
    assert more.startswith("f: 1 task file; 10 others beside: --data takes all\n")
    assert "--train 0:5 --test 5:11" in more


def test_a_task_that_is_left_has_its_reward(tmp_path: Path) -> None:
    """At the end of the input what was earned stands in the last line, on a line of its own."""
    world = WikiHow.bundled(n_articles=150)
    search = world.oracle(world.tasks("test")[0])[0]
    typed = re.sub(r"INPUT\((\d+), (.*)\)", r"\1 \2\n", search)
    done = rlem("env", "play", "wikihow", *SMALL, cwd=tmp_path, stdin=typed)
    assert done.stdout.strip() == "stopped: reward 1, success: False"
    assert done.stderr.endswith("> \n")


def test_stopping_promises_a_run_to_nobody_but_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C while playing or listing says that it stopped, and no more."""

    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("rlem.environments.registry.make", stop)
    for command in (("env", "list"), ("env", "play", "wikihow")):
        assert complaint(inside(*command, cwd=tmp_path), 130) == "rlem: stopped."


def test_nothing_is_overwritten_unasked(tmp_path: Path) -> None:
    """Files that exist stop each of the commands before anything is written; --force replaces them."""
    made: list[tuple[str, ...]] = [
        ("tasks", *SMALL, "--set", "S0", "--out", "f"),
        ("task", "Carve a Spoon", "--out", "spoon.textproto"),
        ("site", "--articles", "20", "--out", "site.json"),
    ]
    for command in made:
        assert inside("data", "wikihow", *command, cwd=tmp_path).returncode == 0
        before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
        assert "exists; give another path, or --force" in complaint(
            inside("data", "wikihow", *command, cwd=tmp_path), 2
        )
        assert inside("data", "wikihow", *command, "--force", cwd=tmp_path).returncode == 0
        assert before == {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("options", "file", "commands"),
    [
        ((), "carve_a_spoon-8", 2),
        (("--about",), "carve_a_spoon-0", 3),
        (("--references",), "carve_a_spoon-7", 3),
        (("--author", "Ada Hollis, RN"), "carve_a_spoon-4", 3),
        (("--category", "Wood", "--next", "How to Carve a Bowl"), "carve_a_spoon-6", 4),
        (("--next", "Carve a Bowl"), "carve_a_spoon-8", 3),
    ],
)
def test_a_task_is_made(tmp_path: Path, options: tuple[str, ...], file: str, commands: int) -> None:
    """Printed, or written into a folder under its name, it loads again with all its steps."""
    command = ("data", "wikihow", "task", "How to Carve a Spoon", *options)
    printed = inside(*command, cwd=tmp_path)
    assert printed.returncode == 0, printed.stderr
    assert inside(*command, "--out", ".", cwd=tmp_path).returncode == 0
    assert (tmp_path / f"{file}.textproto").read_text(encoding="utf-8") == printed.stdout
    (task,) = load_task_files(tmp_path)
    assert len(task.commands) == commands
    assert task.commands[1] == 'Then, access the article "How to Carve a Spoon"'


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (("task", "A Spoon", "--about", "--references"), 2, "give one of --author"),
        (("task", "  "), 2, "must have a name"),
        (("tasks", "--out", "f", "--articles", "20"), 2, "too small for the task sets"),
        (("tasks", "--out", "f", *SMALL, "--set", "tset"), 2, "did you mean 'test'"),
        (("task", "Carve\na Spoon"), 2, "must be one line"),
        (("task", "Carve a Spoon", "--author", "Ada\tHollis"), 2, "must be one line"),
        (("site", "--out", "f", "--articles", "0"), 2, "--articles"),
        (("site",), 2, "--out"),
    ],
)
def test_what_cannot_be_made_is_refused(
    tmp_path: Path, arguments: tuple[str, ...], status: int, said: str
) -> None:
    """One line says what is wrong; no file is left."""
    assert said in complaint(inside("data", "wikihow", *arguments, cwd=tmp_path), status)
    assert list(tmp_path.iterdir()) == []


def test_a_task_file_keeps_its_ending(tmp_path: Path) -> None:
    """A name without it gets it, and the file alone can be played; a file is no folder for many."""
    said = well("data", "wikihow", "task", "Carve a Spoon", "--out", "spoon", cwd=tmp_path)
    assert said.startswith("spoon.textproto: search")
    played = rlem("env", "play", "wikihow", *SMALL, "--data", "spoon.textproto", cwd=tmp_path, stdin="quit\n")
    assert "learn how to carve a spoon" in played.stderr
    command = ("data", "wikihow", "tasks", *SMALL, "--out", "spoon.textproto")
    assert "is a file; give a folder" in complaint(inside(*command, cwd=tmp_path), 2)


def test_a_site_of_a_file_is_played(tmp_path: Path) -> None:
    """Its tasks are those of the generated site; a file that is no site is refused in words."""
    well("data", "wikihow", "site", *SMALL, "--site-seed", "4", "--out", "s.json", cwd=tmp_path)
    read, made = WikiHow.open(tmp_path / "s.json"), WikiHow.bundled(seed=4, n_articles=150)
    assert list(read.tasks("0:110")) == list(made.tasks("0:110"))
    played = rlem("env", "play", "wikihow", "--data", "s.json", cwd=tmp_path, stdin="quit\n")
    assert made.tasks("test")[0].instruction.split("\n")[0] in played.stderr
    (tmp_path / "s.json").write_text("{", encoding="utf-8")
    assert "s.json: cannot be read as a site" in complaint(
        inside("env", "play", "wikihow", "--data", "s.json", cwd=tmp_path), 1
    )


def test_the_site_is_written_whole(tmp_path: Path) -> None:
    """The file is the generated site again."""
    said = well(
        "data", "wikihow", "site", "--articles", "30", "--site-seed", "4", "--out", "s.json", cwd=tmp_path
    )
    assert said.startswith("s.json: 30 articles, ")
    text = (tmp_path / "s.json").read_text(encoding="utf-8")
    assert site_from_json(json.loads(text)) == generate(4, 30)
