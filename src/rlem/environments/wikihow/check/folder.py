"""Holds recordings of the original WikiHow app against ours: ``rlem env check wikihow``.

What a file holds is told by its name: ``screens_by_type.json`` and ``recorded_steps.json`` go through the
grammar of screens, the latter through the flow of rewards, too; ``*.textproto`` through parser, compiler and
judge; ``view_hierarchy_*.xml`` through the converter, against the ``.html`` beside it; ``microcanon_*.csv``
are test tasks with scores. Not compared: the texts themselves, which are not ours.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from fnmatch import fnmatch
from pathlib import Path

from rlem.core.errors import DataError
from rlem.environments.checking import Kind, Progress, Report, check_files, json_list
from rlem.environments.wikihow.check import screens, steps, tasks

KINDS: Mapping[str, Callable[[], Kind]] = {
    "screens_by_type.json": lambda: Kind(screens.screens, screens.screen),
    "recorded_steps.json": lambda: Kind(json_list, steps.Flow().step),
    "*.textproto": lambda: Kind(tasks.task_file, tasks.task),
    "view_hierarchy_*.xml": lambda: Kind(screens.hierarchy, screens.line),
    "microcanon_*.csv": lambda: Kind(tasks.task_list, tasks.scores),
}
"""How each recording is read and held against ours, by its name."""
_INPUTS = ("view_hierarchy_*.html", "README*")


def check_folder(golden: str | Path, *, show: int = 3, progress: Progress | None = None) -> Report:
    """Holds every recording in the folder ``golden``, and in folders inside it, against ours.

    The first ``show`` differing rows of each file are kept in full. What cannot be read differs, and the rest
    is tried all the same. Errors: DataError where the folder is missing or holds no recording.
    """
    root = Path(golden)
    if not root.is_dir():
        raise DataError(f"{root} is not a folder; expected one with recordings of the original")
    names = sorted(
        path.relative_to(root).as_posix()
        for path in root.rglob("*")
        if not any(part.startswith(".") for part in path.relative_to(root).parts)
        and (_pattern(path.name) or not path.is_dir())
    )
    known = [name for name in names if _pattern(Path(name).name)]
    if not known:
        raise DataError(f"{root} holds no recording; known are {', '.join(KINDS)}")
    inputs = [name for name in names if name not in known and _like(Path(name).name, _INPUTS)]
    return Report(
        files=check_files(root, known, _kind, show=show, progress=progress),
        inputs=tuple(inputs),
        unknown=tuple(name for name in names if name not in known and name not in inputs),
    )


def _kind(path: Path) -> Kind:
    return KINDS[_pattern(path.name)]()


def _pattern(name: str) -> str:
    """The pattern of the kind of a file; "" for one of none."""
    return next((pattern for pattern in KINDS if fnmatch(name, pattern)), "")


def _like(name: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatch(name, pattern) for pattern in patterns)
