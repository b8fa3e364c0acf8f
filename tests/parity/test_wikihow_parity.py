"""The original's app as it was recorded: screens, episodes, task files and a view hierarchy against ours."""

from __future__ import annotations

import json
import random
import re
import shutil
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from rlem.environments.checking import Report
from rlem.environments.wikihow.check.folder import KINDS, check_folder
from rlem.environments.wikihow.grammar import Mismatch, Parsed, parse

Golden = Callable[[str], Path]
ROWS = {
    "microcanon_70.csv": 71,
    "recorded_steps.json": 193,
    "screens_by_type.json": 79,
    "view_hierarchy_category.xml": 23,
}
"""Rows of each recording, besides the task files, which have one each."""


@pytest.fixture(scope="module")
def folder(golden: Golden) -> Path:
    """The recordings."""
    return golden("wikihow")


@pytest.fixture(scope="module")
def report(folder: Path) -> Report:
    """What the check says of them."""
    return check_folder(folder)


def test_no_recorded_row_differs(report: Report) -> None:
    """Every file is known, every row of it tried, and ours agrees with each."""
    assert {file.name: file.different for file in report.files if file.different} == {}
    assert not report.errors
    tried = {file.name: file.tried for file in report.files}
    assert {name: tried.get(name) for name in ROWS} == ROWS
    tasks = [name for name in tried if name.endswith(".textproto")]
    assert len(tasks) >= 7
    assert len(tried) == len(ROWS) + len(tasks)
    assert len(KINDS) == 5
    assert report.inputs == ("view_hierarchy_category.html",)
    assert report.unknown == ()


# Changed copies of screens: the grammar must not let everything through -----------------------------------

FIXED = re.compile(
    r"navigation drawer|search button|More options|statusBar|submenuarrow|class=\"(?!\w{13}\")|Learn why"
    r"|trust w|Last Updated|>References<|>How to|»|by</p>|>Updated<|Expert|>• <|views<|ago<|Featured"
    r"|Articles (about|\()|Follow|Editorial|&lt;<|>Question<|Method|>Part|Privacy|Categories: |Information"
)
"""Lines that are the app's own, not an article's text."""
REFUSED = {"home": 1.0, "loading": 1.0, "search": 0.97, "menu": 0.9, "about": 0.85, "author": 0.9}
"""The least part of changes to fixed lines that must be found out, where it is not that of ``USUAL``."""
USUAL = 0.8


@pytest.fixture(scope="module")
def screens(folder: Path) -> dict[str, list[list[str]]]:
    """Lines of the recorded screens that are complete, by page, each once."""
    found: defaultdict[str, set[str]] = defaultdict(set)
    for texts in json.loads((folder / "screens_by_type.json").read_text(encoding="utf-8")).values():
        for text in texts:
            bare = re.sub(r" \[[-\d, ]+\]$", "", text.strip("\n"), flags=re.MULTILINE)
            parsed = parse(bare)
            if isinstance(parsed, Parsed) and parsed.complete:
                found[parsed.page].add(bare)
    return {page: [text.split("\n") for text in sorted(texts)] for page, texts in found.items()}


def changed(
    lines: list[str], at: int, others: list[str], rng: random.Random
) -> Iterator[tuple[str, list[str]]]:
    """A screen with one change: a line dropped, exchanged with the next, put in from another page, of another
    tag or the other clickability."""
    line = lines[at]
    before, after = lines[:at], lines[at + 1 :]
    yield "drop", before + after
    yield "insert", [*before, rng.choice(others), line, *after]
    flipped = re.sub(
        'clickable="(true|false)"', lambda said: f'clickable="{said[1] == "false"}"'.lower(), line
    )
    yield "flip", [*before, flipped, *after]
    inside = re.sub("<[^>]*>", "", line)
    tag = rng.choice([tag for tag in ("div", "p", "button") if not line.startswith(f"<{tag} ")])
    yield "tag", [*before, re.sub(r"^<\w+", f"<{tag}", line).partition(">")[0] + f">{inside}</{tag}>", *after]
    if after and _bare(after[0]) != _bare(line):
        yield "swap", [*before, after[0], line, *after[1:]]


def _bare(line: str) -> str:
    return re.sub(r' id="\d+"', "", line)


def test_changes_of_recorded_screens_are_refused(screens: dict[str, list[list[str]]]) -> None:
    """Of all single changes to lines of the app's own, few fit the page still: the grammar is no sieve.

    Some must fit: dropping the first line of what is shown is scrolling, dropping "Expert" is no expert.
    """
    rng = random.Random(7)
    refused: Counter[str] = Counter()
    tried: Counter[str] = Counter()
    for page, found in screens.items():
        others = [
            line for other, texts in screens.items() if other != page for text in texts for line in text
        ]
        for lines in found[:6]:
            for at in [number for number, line in enumerate(lines) if FIXED.search(line)]:
                for _, new in changed(lines, at, others, rng):
                    text = "\n".join(
                        re.sub(r' id="\d+"', f' id="{number}"', line, count=1)
                        for number, line in enumerate(new)
                    )
                    parsed = parse(text)
                    tried[page] += 1
                    refused[page] += (
                        isinstance(parsed, Mismatch) or parsed.page != page or not parsed.complete
                    )
    assert set(tried) >= {"home", "search", "article", "author", "category", "about", "menu"}
    for page in tried:
        assert refused[page] / tried[page] >= REFUSED.get(page, USUAL), (page, refused[page], tried[page])


@pytest.mark.parametrize("page", ["search", "article", "author", "category", "about", "menu", "home"])
def test_lines_of_the_toolbar_are_all_guarded(page: str, screens: dict[str, list[list[str]]]) -> None:
    """No change to the first line, and none to clickability or tag of the last, is let through."""
    rng = random.Random(3)
    lines = screens[page][0]
    for at, kinds in ((0, {"insert", "flip", "tag", "swap"}), (len(lines) - 1, {"flip", "tag"})):
        for kind, new in changed(lines, at, ['<p id="0" clickable="true">boat</p>'], rng):
            text = "\n".join(
                re.sub(r' id="\d+"', f' id="{number}"', line, count=1) for number, line in enumerate(new)
            )
            assert kind not in kinds or isinstance(parse(text), Mismatch), (kind, at)


# Changed copies of the recordings ---------------------------------------------------------------------------


def _json(name: str, change: Callable[[Any], object]) -> Callable[[Path], None]:
    def edit(folder: Path) -> None:
        path = folder / name
        content = json.loads(path.read_text(encoding="utf-8"))
        change(content)
        path.write_text(json.dumps(content), encoding="utf-8")

    return edit


def _text(pattern: str, old: str, new: str) -> Callable[[Path], None]:
    def edit(folder: Path) -> None:
        path = sorted(folder.glob(pattern))[0]
        text = path.read_text(encoding="utf-8")
        assert old in text
        path.write_text(text.replace(old, new, 1), encoding="utf-8")

    return edit


def _paid(number: int) -> Callable[[Path], None]:
    """A reward of 1 more in one row, in its total and in those after it."""

    def change(rows: list[dict[str, Any]]) -> None:
        rows[number]["last"] = str(float(rows[number]["last"]) + 1)
        for row in rows[number:]:
            if not row["actions"]:
                break
            row["total"] = str(float(row["total"]) + 1)

    return _json("recorded_steps.json", change)


def _drop_line(kind: str, number: int) -> Callable[[Path], None]:
    def change(screens: dict[str, list[str]]) -> None:
        lines = screens[kind][0].split("\n")
        screens[kind][0] = "\n".join(lines[:number] + lines[number + 1 :])

    return _json("screens_by_type.json", change)


@pytest.mark.parametrize(
    ("name", "edit", "rows"),
    [
        ("recorded_steps.json", _json("recorded_steps.json", lambda rows: rows[4].update(last="0.0")), 1),
        ("recorded_steps.json", _json("recorded_steps.json", lambda rows: rows[5].update(total="3.0")), 2),
        ("recorded_steps.json", _json("recorded_steps.json", lambda rows: rows[5].update(instr="")), 1),
        ("recorded_steps.json", _json("recorded_steps.json", lambda rows: rows[7].update(instr="Rest")), 1),
        ("recorded_steps.json", _json("recorded_steps.json", lambda rows: rows.pop(9)), 1),
        ("recorded_steps.json", _paid(4), 3),
        ("recorded_steps.json", _paid(1), 2),
        ("screens_by_type.json", _drop_line("search", 7), 1),
        ("screens_by_type.json", _drop_line("article_top", 4), 1),
        ("screens_by_type.json", _drop_line("author", 1), 1),
        ("screens_by_type.json", _drop_line("home", 0), 1),
        ("screens_by_type.json", _json("screens_by_type.json", lambda all: all.update(cat=all["author"])), 6),
        ("microcanon_70.csv", _text("*.csv", "cc cream-about_page,3", "cc cream,2"), 2),
        ("view_hierarchy_category.xml", _text("*.xml", "Restart-Your", "Stop-Your"), 1),
        ("view_hierarchy_category.xml", _text("*.html", "statusBarBackground", "bar"), 1),
        ("tasks/180_on_a_scooter-8.textproto", _text("tasks/180*", "180-on-a-Scooter", "180-on-a-Boat"), 1),
        ("tasks/apply_cc_cream-0.textproto", _text("tasks/apply*", "about_page", "other_page"), 1),
    ],
)  # fmt: skip
def test_a_changed_copy_is_found_out(
    name: str, edit: Callable[[Path], None], rows: int, folder: Path, tmp_path: Path
) -> None:
    """One change in one recording: so many rows of that file differ, and none of the others."""
    for path in folder.iterdir():
        if name.split("/")[0].split(".")[0] in path.name:
            (shutil.copytree if path.is_dir() else shutil.copy)(path, tmp_path / path.name)
    for path in [tmp_path, *tmp_path.rglob("*")]:
        path.chmod(0o755 if path.is_dir() else 0o644)
    edit(tmp_path)
    report = check_folder(tmp_path, show=100)
    found = {file.name: file for file in report.files if file.different}
    assert set(found) == {name}
    assert found[name].different == rows, found[name].first
    assert not report.errors
