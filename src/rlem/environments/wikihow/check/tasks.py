"""Recorded task files through parser, compiler and judge, and the list of test tasks with its scores."""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from rlem.core.errors import DataError
from rlem.environments.checking import Found, Record, differences
from rlem.environments.wikihow.env import WikiHow
from rlem.environments.wikihow.generate import generate
from rlem.environments.wikihow.sets import given_tasks
from rlem.environments.wikihow.task_files import from_textproto, wanted
from rlem.environments.wikihow.tasks import SUFFIXES, Goal, TaskDefinition, compile_task, encode_name

_ARTICLES = 60
"""Of the site in which a task is played, besides its own."""

# One task file ------------------------------------------------------------------------------------------


def task_file(path: Path) -> Iterator[tuple[str, Any]]:
    """The one row of a task file: its text with its name."""
    try:
        yield "task", (path.name, path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read ({error})") from None


def task(row: tuple[str, str]) -> list[Found]:
    """What differs in a task: it must be what our compiler makes of its facts, and be played as it says."""
    name, text = row
    found = from_textproto(text, name)
    return compiled_again(found) or played(found)


def compiled_again(task: TaskDefinition) -> list[Found]:
    """A task against the one compiled from its title, targets and words.

    Words may be listed in any order, and titles in patterns not escaped, as in the original's files. Not
    compared: names and descriptions, which nobody is told, and the selectors of what is seen, which files
    before version 3 write otherwise.
    """
    if len(task.goals) < 2:
        return [("goals", "a search and an article at least", len(task.goals))]
    steps = [(goal.kind, "" if goal.kind == "about" else goal.target) for goal in task.goals[2:]]
    said = re.search(r"\((.+)\)", task.goals[0].logs[0] if task.goals[0].logs else "")
    words = dict.fromkeys(_bare(said[1]).split("|")) if said else ()
    again = compile_task(
        task.goals[1].target,
        steps,
        suffix=task.suffix,
        words=tuple(words),
    )
    found = differences((field, getattr(again, field), getattr(task, field)) for field in ("id", "commands"))
    found += differences([("stem", encode_name(again.stem).lower(), encode_name(task.stem).lower())])
    if set(again.vocabulary) != set(task.vocabulary):
        found.append(("vocabulary", sorted(again.vocabulary), sorted(task.vocabulary)))
    for number, (ours, theirs) in enumerate(zip(again.goals, task.goals, strict=True)):
        found += differences(
            (f"goal {number} {field}", getattr(ours, field), getattr(theirs, field))
            for field in ("kind", "command", "target")
        )
        if _plain(ours.logs) != _plain(theirs.logs):
            found.append((f"goal {number} log patterns", ours.logs, theirs.logs))
        if theirs.views and _plain(_texts(ours)) != _plain(_texts(theirs)):
            found.append((f"goal {number} view events", ours.views, theirs.views))
    return found


def _texts(goal: Goal) -> list[str]:
    """Patterns of the texts that are to be seen."""
    return [said for view in goal.views for name, said in view.properties if name == "text"]


def _plain(patterns: Iterable[str]) -> set[tuple[str, ...]]:
    """What patterns stand for: without escapes, codes and commas, alternatives (a|b|...) in any order."""
    return {
        tuple(sorted(set(re.split(r"[(|)]", _bare(pattern.removeprefix(r"\b")).replace(",", "")))))
        for pattern in patterns
    }


def _bare(pattern: str) -> str:
    """A pattern's text without escapes and codes."""
    return unquote(re.sub(r"\\(.)", r"\1", pattern))


def played(task: TaskDefinition) -> list[Found]:
    """A task on a site that holds its articles: the oracle is paid 1 a sub-goal, the last one ends it."""
    site = generate(0, _ARTICLES, wanted=wanted([task]))
    world = WikiHow(site, given_tasks([task]), repeatability="none")
    actions = world.oracle(task.id)
    world.reset(task.id)
    steps = [world.step(action) for action in actions]
    return differences(
        [
            ("reward of the oracle", sum(step.reward for step in steps), float(len(task.goals))),
            ("oracle within the limit of steps", len(steps) <= world.max_steps, True),
            ("end with the last sub-goal", bool(steps) and world.succeeded(0.0, steps[-1]), True),
        ]
    )


# The list of test tasks ---------------------------------------------------------------------------------

_STEPS = re.compile(
    r"search_(?P<search>.+?)-article_(?P<article>.+?)(?P<more>(?:-(?:about_page|check_reference|author_page"
    r"|category_page_.+?|article_.+?))*)"
)
_MORE = re.compile(r"-(about_page|check_reference|author_page|category_page_|article_)")
_FIRST: Mapping[str, Sequence[str]] = {
    "about": ["about_page"],
    "reference": ["check_reference"],
    "category": ["category_page_"],
    "author": ["author_page", ""],  # an article without an author leaves search and article
    "plain": [""],
}
"""What comes after the article, by kind of task."""
_MIX: Mapping[str, Mapping[str, object]] = {
    "microcanon_70.csv": {
        "kinds": {"plain": 25, "about": 18, "reference": 11, "category": 9, "author": 7},
        "sub-goals": {2: 29, 3: 34, 4: 7},
        "n_subgoals": "2.686",
        "gpt35_hist_steps": "5.27",
        "gpt35_hist_reward": "2.50",
        "gpt35_hist_success": "0.886",
        "chatgpt_reward": "1.71",
        "llama13b_reward": "2.04",
    }
}
"""Of the published list of 70 tasks: how many of what, and means of columns (of the sub-goals: the greatest
mean reward there is)."""


def task_list(path: Path) -> Iterator[tuple[str, Any]]:
    """Rows of a list of test tasks, and as the last one all of them together."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = [Record(row) for row in csv.DictReader(file)]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: cannot be read ({error})") from None
    for number, row in enumerate(rows):
        yield f"row {number}", (number, row)
    if path.name in _MIX:
        yield "all rows", (path.name, rows)


def scores(row: tuple[Any, Any]) -> list[Found]:
    """What differs in a row: number, name, form of the id, sub-goals, scores; in all of them: the mix."""
    where, content = row
    return _mix(where, content) if isinstance(where, str) else _listed(where, content)


def _listed(number: int, row: Record) -> list[Found]:
    stem, goals = row["file_id"], int(row["n_subgoals"])
    form = _STEPS.fullmatch(row["task_id"])
    if form is None:
        return [("task_id", "search_...-article_...-...", row["task_id"])]
    more = _MORE.findall(form["more"])
    first = more[0] if more else ""
    expected = _FIRST.get(SUFFIXES.get(stem[-2:], ""), ())
    found = differences(
        [
            ("idx", str(number), row["idx"]),
            ("file_id", form["search"], encode_name(stem[:-2]).lower()),
            ("title in the task_id", form["search"], encode_name(form["article"]).lower()),
            ("n_subgoals", 2 + len(more), goals),
        ]
    )
    if first not in expected:
        found.append(("step after the article", " or ".join(expected), first))
    limits = {"reward": goals + 1, "success": 1}  # a sub-goal may have paid again
    for field, value in row.items():
        most = limits.get(field.rpartition("_")[2])
        if most is not None and not 0 <= float(value) <= most:
            found.append((field, f"0 to {most}", value))
    return found


def _mix(name: str, rows: Sequence[Record]) -> list[Found]:
    stems = [row["file_id"] for row in rows]
    counts: dict[str, object] = {
        "kinds": dict(Counter(SUFFIXES.get(stem[-2:], "") for stem in stems)),
        "sub-goals": dict(Counter(int(row["n_subgoals"]) for row in rows)),
    }
    found: list[Found] = [("order of the files", sorted(stems), stems)]
    for field, said in _MIX[name].items():
        if field in counts:
            found.append((field, said, counts[field]))
        elif field in rows[0]:
            mean = sum(float(row[field]) for row in rows) / len(rows)
            found.append((f"mean {field}", said, f"{mean:.{len(str(said).partition('.')[2])}f}"))
    return differences(found)
