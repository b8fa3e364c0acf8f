"""``rlem env check wikihow`` on recordings of our own making: the app agrees with itself, and what is broken
is found out."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rlem.core.errors import DataError
from rlem.environments.checking import FileResult
from rlem.environments.wikihow.check.folder import check_folder
from rlem.environments.wikihow.env import WikiHow
from rlem.environments.wikihow.generate import generate
from rlem.environments.wikihow.hierarchy import write_hierarchy
from rlem.environments.wikihow.sets import given_tasks
from rlem.environments.wikihow.task_files import write_task_files
from rlem.environments.wikihow.tasks import compile_task

SITE = generate(seed=1, n_articles=60)
_KEPT = 5


def record(world: WikiHow, name: str) -> list[dict[str, Any]]:
    """An episode of the oracle as the original's runs were recorded."""
    actions = world.oracle(name)
    step = world.reset(name)
    task = "\n".join(world.definition(name).commands)
    rows = [
        {"task": task, "actions": [], "screen": step.observation, "instr": "", "last": "0.0", "total": "0.0"}
    ]
    total = 0.0
    for number, action in enumerate(actions[:-1], 1):
        step = world.step(action)
        total += step.reward
        row = {"instr": step.subtask, "last": str(step.reward), "total": str(total)}
        rows.append({"task": task, "screen": step.observation, **row})
        rows[-1]["actions"] = actions[max(0, number - _KEPT) : number]
    return rows


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one recording of each kind."""
    folder = tmp_path_factory.mktemp("recordings")
    articles = [article for article in SITE.articles if article.authors and article.references]
    author = SITE.author[articles[0].authors[0]]
    category = SITE.category[articles[1].category]
    tasks = [
        compile_task(articles[0].title, [("author", author.name)]),
        compile_task(articles[1].title, [("category", category.name)]),
        compile_task(articles[2].title, [("reference", "")]),
        compile_task(articles[3].title, [("about", "")]),
    ]
    world = WikiHow(SITE, given_tasks(tasks), repeatability="none")
    rows = [row for task in tasks for row in record(world, task.id)]
    (folder / "recorded_steps.json").write_text(json.dumps(rows), encoding="utf-8")
    screens = {"home": [rows[0]["screen"]], "search": [rows[1]["screen"]], "article_top": [rows[2]["screen"]]}
    (folder / "screens_by_type.json").write_text(json.dumps(screens), encoding="utf-8")
    write_task_files(tasks, folder / "tasks")
    world.reset(tasks[0].id)
    world.step("CLICK(0)")
    (folder / "view_hierarchy_drawer.xml").write_text(
        write_hierarchy(world.app.screen().root()), encoding="utf-8"
    )
    (folder / "view_hierarchy_drawer.html").write_text(world.app.screen().html + "\n", encoding="utf-8")
    with (folder / "microcanon_4.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["idx", "file_id", "task_id", "n_subgoals", "some_reward"])
        writer.writerows([n, task.stem, task.id, len(task.goals), 2.0] for n, task in enumerate(tasks))
    return folder


@pytest.fixture
def copy(recordings: Path, tmp_path: Path) -> Path:
    """A copy to break."""
    return Path(shutil.copytree(recordings, tmp_path / "copy"))


def results(folder: Path) -> dict[str, FileResult]:
    """What the check says, by file."""
    return {file.name: file for file in check_folder(folder, show=100).files}


def test_the_app_agrees_with_itself(recordings: Path) -> None:
    """Every kind of recording is tried, and no row of ours differs."""
    found = results(recordings)
    assert all(file.different == 0 for file in found.values()), [file.first for file in found.values()]
    tried = {name: file.tried for name, file in found.items() if not name.startswith("tasks/")}
    assert sum(name.startswith("tasks/") for name in found) == 4
    assert set(tried) == {
        "microcanon_4.csv", "recorded_steps.json", "screens_by_type.json", "view_hierarchy_drawer.xml"
    }  # fmt: skip
    assert tried["screens_by_type.json"] == 3
    assert tried["recorded_steps.json"] >= 4 * 3
    report = check_folder(recordings)
    assert report.inputs == ("view_hierarchy_drawer.html",)
    assert report.unknown == report.errors == ()


def test_files_are_known_by_name_wherever_they_stand(copy: Path) -> None:
    """Task files may stand anywhere; hidden files do not count; others are listed as unknown."""
    (copy / "more").mkdir()
    file = next((copy / "tasks").iterdir())
    shutil.copy(file, copy / "more" / file.name)
    (copy / "notes.txt").write_text("x")
    (copy / ".hidden.textproto").write_text("x")
    report = check_folder(copy)
    assert {item.name: item.different for item in report.files}[f"more/{file.name}"] == 0
    assert report.unknown == ("notes.txt",)


def _edit(name: str, change: Callable[[Any], object]) -> Callable[[Path], None]:
    def edit(folder: Path) -> None:
        content = json.loads((folder / name).read_text())
        change(content)
        (folder / name).write_text(json.dumps(content))

    return edit


def _replace(pattern: str, old: str, new: str) -> Callable[[Path], None]:
    def edit(folder: Path) -> None:
        path = sorted(folder.glob(pattern))[0]
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new, 1))

    return edit


def _steps(number: int, **values: object) -> Callable[[Path], None]:
    return _edit("recorded_steps.json", lambda rows: rows[number].update(values))


def _screens(**types: str) -> Callable[[Path], None]:
    """Screens of one type said to be of another."""

    def change(found: dict[str, Any]) -> None:
        found.update({new: found[old] for new, old in types.items()})

    return _edit("screens_by_type.json", change)


def _paid_again(rows: list[dict[str, Any]]) -> None:
    """A payment that comes out of nowhere, and stays in all totals after it."""
    rows[2]["last"] = "3.0"
    for row in rows[2:4]:
        row["total"] = str(float(row["total"]) + 2)


@pytest.mark.parametrize(
    ("edit", "name", "field"),
    [
        (_steps(1, last="2.0"), "recorded_steps.json", "total"),
        (_steps(2, total="7.0"), "recorded_steps.json", "total"),
        (_edit("recorded_steps.json", _paid_again), "recorded_steps.json", "last"),
        (_steps(2, last="-1.0"), "recorded_steps.json", "last"),
        (_steps(1, instr=""), "recorded_steps.json", "instr"),
        (_steps(2, instr="Buy a boat"), "recorded_steps.json", "instr"),
        (_steps(0, instr="Check the reference list"), "recorded_steps.json", "instr"),
        (_steps(1, task="Search an article to learn how to rest."), "recorded_steps.json", "task"),
        (_steps(0, task="Rest."), "recorded_steps.json", "command 0"),
        (_steps(1, actions=[]), "recorded_steps.json", "screen at the start"),
        (_steps(2, actions=["CLICK(3)"]), "recorded_steps.json", "number of actions"),
        (_steps(1, actions=["click 3"]), "recorded_steps.json", "action"),
        (_steps(1, screen="<p></p>"), "recorded_steps.json", "line 0"),
        (_steps(1, last="much"), "recorded_steps.json", "cannot be replayed"),
        (_edit("recorded_steps.json", lambda rows: rows[1].pop("total")), "recorded_steps.json", "cannot be"),
        (_edit("recorded_steps.json", lambda rows: rows.pop(1)), "recorded_steps.json", "number of actions"),
        (_replace("screens*", r"\n<div class=\"web", r"\n<p class=\"web"), "screens_by_type.json", "line 3"),
        (_replace("screens*", "Updated", "Outdated"), "screens_by_type.json", "line "),
        (_screens(author="home"), "screens_by_type.json", "type"),
        (_screens(drawer="home"), "screens_by_type.json", "type"),
        (_screens(searchfocus="search"), "screens_by_type.json", "type"),
        (_edit("screens_by_type.json", lambda all: all.update(home=[5])), "screens_by_type.json", "cannot"),
        (_replace("*.html", ">Home<", ">House<"), "view_hierarchy_drawer.xml", "line"),
        (_replace("*.xml", 'clickable="true"', 'clickable="false"'), "view_hierarchy_drawer.xml", "line"),
        (_replace("*.csv", "search_", "seek_"), "microcanon_4.csv", "task_id"),
        (_replace("*.csv", "0,", "9,"), "microcanon_4.csv", "idx"),
        (_replace("*.csv", ",3,", ",2,"), "microcanon_4.csv", "n_subgoals"),
        (_replace("*.csv", ",2.0", ",8.0"), "microcanon_4.csv", "some_reward"),
        (_replace("tasks/*-0*", "Then, access", "Then, excess"), "tasks/", "commands"),
        (_replace("tasks/*-0*", "Trustworthy-Exp", "Doubtful-Exp"), "tasks/", "goal 2 log patterns"),
        (_replace("tasks/*-7*", "#References", "#Sources"), "tasks/", "cannot be replayed"),
        (_replace("tasks/*-6*", "vocabulary: ", "vocabulary: \"more\" vocabulary: "), "tasks/", "vocabulary"),
        (_replace("tasks/*-6*", "id: ", "id: {"), "tasks/", "cannot be replayed"),
        (_replace("tasks/*-4*", "episode_end_listener", "score_listener"), "tasks/", "cannot be replayed"),
    ],
)  # fmt: skip
def test_a_broken_copy_is_found_out(edit: Callable[[Path], None], name: str, field: str, copy: Path) -> None:
    """One thing changed in a recording differs, in that file alone, and the field is named."""
    edit(copy)
    broken = [file for file in results(copy).values() if file.different]
    assert [file.name for file in broken if not file.name.startswith(name)] == []
    fields = [found[0] for file in broken for row in file.first for found in row.fields]
    assert any(found.startswith(field) for found in fields), fields


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("recorded_steps.json", b"{}", "expected a list"),
        ("recorded_steps.json", b"[]", "holds no rows"),
        ("screens_by_type.json", b"[]", "expected an object"),
        ("screens_by_type.json", b"[", "not JSON"),
        ("more.textproto", b"\xff", "cannot be read"),
        ("view_hierarchy_drawer.xml", b"<hierarchy>", "line 1, column 12: not XML"),
        ("view_hierarchy_alone.xml", b"<hierarchy/>", "view_hierarchy_alone.html beside it cannot be read"),
        ("microcanon_4.csv", b"\xff", "cannot be read"),
    ],
)
def test_what_cannot_be_read_is_an_error(name: str, content: bytes, message: str, copy: Path) -> None:
    """The file is named with what is wrong; the others are tried all the same."""
    (copy / name).write_bytes(content)
    report = check_folder(copy)
    assert len(report.errors) == 1
    assert name in report.errors[0]
    assert message in report.errors[0]
    assert report.different == 1


def test_a_payment_may_come_late_and_again(copy: Path) -> None:
    """Two rewards at once after none, with the instruction of both; and a reward for what was paid before."""
    path = copy / "recorded_steps.json"
    rows = json.loads(path.read_text())
    first, second = rows[1], rows[2]
    assert (first["last"], second["last"]) == ("1.0", "1.0")
    first.update(instr="", last="0.0", total="0.0")
    second.update(last="2.0")
    path.write_text(json.dumps(rows))
    assert results(copy)["recorded_steps.json"].different == 0
    again = {**second, "actions": [*second["actions"], "INPUT(1, boat)"], "last": "1.0", "total": "3.0"}
    path.write_text(json.dumps([*rows[:3], again]))
    assert results(copy)["recorded_steps.json"].different == 0
    again["instr"] = ""
    path.write_text(json.dumps([*rows[:3], again]))
    assert results(copy)["recorded_steps.json"].different == 1


def test_folders_without_recordings_are_refused(tmp_path: Path) -> None:
    """A folder that is missing or holds nothing that is known."""
    with pytest.raises(DataError, match="is not a folder"):
        check_folder(tmp_path / "none")
    with pytest.raises(DataError, match=r"holds no recording; known are screens_by_type.json, "):
        check_folder(tmp_path)


def test_progress_is_told_row_by_row(recordings: Path) -> None:
    """Whoever waits hears of every row: file, its number, how many files, rows so far."""
    heard: list[tuple[str, int, int, int]] = []
    report = check_folder(recordings, progress=lambda *news: heard.append(news))
    assert len(heard) == sum(file.tried for file in report.files)
    assert heard[0] == ("microcanon_4.csv", 0, 8, 1)
    assert heard[-1][:3] == ("view_hierarchy_drawer.xml", 7, 8)
