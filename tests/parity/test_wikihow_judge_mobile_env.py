"""Our judge beside Mobile-Env's own (its TaskManager): the same lines and screens, step by step.

The version is 4.1; RLEM_MOBILE_ENV_VERSION=2.1.1 chooses the one for task files of 1.2, for a process has one
only. No such file is at hand: current ones are put into that form, with paths in place of selectors.
"""

from __future__ import annotations

import os
import random
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from tests.support import mobile_env_light as light

from rlem.core.types import Task
from rlem.environments.wikihow.actions import Command, listed, parse_action
from rlem.environments.wikihow.app import App
from rlem.environments.wikihow.env import WikiHow
from rlem.environments.wikihow.judge import Judge, Verdict
from rlem.environments.wikihow.screen import Screen
from rlem.environments.wikihow.task_files import from_textproto
from rlem.environments.wikihow.task_writer import to_textproto

VERSION = os.environ.get("RLEM_MOBILE_ENV_VERSION", light.CURRENT)
APP = "com.wikihow.wikihowapp:id"
PATHS = {
    "search_plate": (
        f"android.widget.LinearLayout@{APP}/search_plate",
        f"android.widget.EditText@{APP}/search_src_text",
    ),
    "section_0": ("android.view.View@section_0", "android.widget.TextView"),
    "authors_container": ("android.view.View@authors_container", "android.widget.Image"),
    "cat_navigation": ("android.view.View@cat_navigation", "android.view.View"),
    "trustworthy_top": (
        "android.view.View@trustworthy_top",
        "android.view.View@trustworthy_head",
        "android.view.View",
    ),
}
"""Where to look, as task files of 1.2 say it, by the first id of the selector."""
Moment = tuple[list[str], Screen]
"""What the app logged, and what it shows then."""


@dataclass(frozen=True, slots=True)
class Case:
    """A task with the text of its file, in the environment it can be played in."""

    world: WikiHow
    task: Task
    text: str


@pytest.fixture(scope="module")
def theirs() -> ModuleType:
    """The module with Mobile-Env's judge."""
    light.load(*[light.folder(version) for version in dict.fromkeys([VERSION, light.CURRENT])])
    from tests.support import mobile_env_judge

    return mobile_env_judge


def of_version(text: str) -> str:
    """A task file as this version reads it."""

    def path(selector: re.Match[str]) -> str:
        steps = next(steps for name, steps in PATHS.items() if name in selector[0])
        return " ".join(f'view_hierarchy_path: "{step}"' for step in steps)

    if VERSION == light.CURRENT:
        return text
    return re.sub(r"selector: .*", path, text).replace("repeatability: NONE", "")


@pytest.fixture(scope="module")
def ours_made() -> list[Case]:
    """Tasks of every kind, of the test set and the training sets, as our compiler writes them."""
    world = WikiHow.bundled()
    tasks = world.tasks("0:110")[::5]
    return [Case(world, task, of_version(to_textproto(world.definition(task)))) for task in tasks]


@pytest.fixture(scope="module")
def recorded(golden: Callable[[str], Path]) -> list[Case]:
    """The original's task files, over a site that holds their articles."""
    folder = golden("wikihow/tasks")
    world = WikiHow.open(folder)
    files = {task.id: folder / world.definition(task).file_name for task in world.tasks("test")}
    return [Case(world, task, of_version(files[task.id].read_text())) for task in world.tasks("test")]


def walk(case: Case, rng: random.Random, wise: float, most: int = 30) -> Iterator[Moment]:
    """An episode of the app: the oracle's actions in their order, and with 1 - ``wise`` any other."""
    app, definition = App(case.world.shelf), case.world.definition(case.task)
    plan, words = case.world.oracle(case.task), " ".join(definition.vocabulary).split()
    for _ in range(most):
        leaves = app.screen().leaves
        action = plan.pop(0) if plan and rng.random() < wise else rng.choice(listed(leaves))
        command = parse_action(
            action.replace("<text>", " ".join(rng.sample(words, 2))), len(leaves), clip=True
        )
        assert isinstance(command, Command)
        logs = case.world._send(app, command)
        if app.left:
            return
        yield logs, app.screen()


def compare(theirs: Any, text: str, moments: Iterator[Moment], seen: Counter[str]) -> None:
    """Both judges say the same at every moment up to the end. ``seen``: what was there to be compared."""
    mine, their = Judge(from_textproto(text)), theirs.TheirJudge(text)
    told: list[tuple[Sequence[str], Verdict]] = []
    for logs, screen in moments:
        expected = their.observe(logs, screen.root())
        verdict = mine.observe(logs, screen)
        told.append((logs, expected))
        assert verdict == expected, (verdict, told[-3:])
        seen["steps"] += 1
        seen["pays"] += verdict.reward > 0
        seen["pays twice at once"] += verdict.reward > 1
        seen["instructs"] += bool(verdict.instructions)
        if verdict.done:
            seen["ends"] += 1
            return


def test_walks_on_our_task_files(theirs: Any, ours_made: list[Case]) -> None:
    """On task files of ours, straight and wandering episodes are judged as Mobile-Env judges them."""
    seen: Counter[str] = Counter()
    for case in ours_made:
        for seed, wise in enumerate((1.0, 0.6, 0.3)):
            compare(theirs, case.text, walk(case, random.Random(seed), wise), seen)
    assert {case.task.kind for case in ours_made} == {"plain", "about", "author", "category", "reference"}
    assert seen["steps"] > 500
    assert seen["ends"] > 30
    assert seen["instructs"] > 60


def test_walks_on_recorded_task_files(theirs: Any, recorded: list[Case]) -> None:
    """The same on the original's task files."""
    seen: Counter[str] = Counter()
    for case in recorded:
        for seed, wise in enumerate((1.0, 0.7, 0.5, 0.3)):
            compare(theirs, case.text, walk(case, random.Random(seed), wise), seen)
    assert len(recorded) == 7
    assert seen["steps"] > 200
    assert seen["ends"] > 15


@pytest.mark.parametrize("repeatability", ["NONE", "LAST", ""])
@pytest.mark.parametrize("shown", ["lines and screens", "screens", "lines"])
def test_moments_out_of_order(theirs: Any, ours_made: list[Case], repeatability: str, shown: str) -> None:
    """Lines and screens of an episode in any order, several lines at once, near misses among them, under each
    repeatability: the same rewards, instructions and end."""
    seen: Counter[str] = Counter()
    written = f"repeatability: {repeatability}" if repeatability else ""
    for case in ours_made[::3]:
        rng = random.Random(case.task.id + repeatability + shown)
        assert ("repeatability: NONE" in case.text) is (VERSION == light.CURRENT)
        text = case.text.replace("repeatability: NONE", written)
        moments = [moment for seed in range(2) for moment in walk(case, random.Random(seed), 0.6, 15)]
        home = App(case.world.shelf).screen()
        for _ in range(2):
            compare(theirs, text, _shuffled(moments, home, rng, shown), seen)
    assert seen["pays"] > 10
    assert seen["ends"] > 3
    if shown == "lines":
        assert seen["pays twice at once"]


def _shuffled(moments: list[Moment], home: Screen, rng: random.Random, shown: str) -> Iterator[Moment]:
    lines = [line for logs, _ in moments for line in logs]
    lines += [line.replace("mUrl", "url") for line in lines] + [line.lower() for line in lines]
    lines += [line[:45] for line in lines] + [f"x{line}" for line in lines] + ["", "nothing of use"]
    for _ in range(25):
        logs = rng.choices(lines, k=rng.choice([0, 0, 1, 2, 30])) if shown != "screens" else []
        yield logs, rng.choice(moments)[1] if shown != "lines" else home


def test_the_comparison_can_fail(theirs: Any, ours_made: list[Case]) -> None:
    """A judge of another repeatability is found out: without one, each new line of a search pays again."""
    case = ours_made[0]
    screen = App(case.world.shelf).screen()
    address = "mUrl is: https://www.wikihow.com/wikiHowTo?search=" + "+".join(
        case.world.definition(case.task).vocabulary
    )
    moments = [([f"{address}+{number}"], screen) for number in range(3)]
    unlimited = case.text.replace("repeatability: NONE", "")
    seen: Counter[str] = Counter()
    compare(theirs, unlimited, iter(moments), seen)
    assert seen["pays"] == 3
    once = Judge(from_textproto(case.text), repeatability="none")
    assert [once.observe(*moment).reward for moment in moments] == [1.0, 0.0, 0.0]


@pytest.mark.skipif(VERSION != light.CURRENT, reason="this is the process of another version")
def test_task_files_of_version_1() -> None:
    """All of the above holds for task files in the form of 1.2, beside the judge of Mobile-Env 2.1.1."""
    light.pass_with_old(__file__)
