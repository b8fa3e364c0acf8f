"""The task files of a folder: what the agent is told of them, and which Mobile-Env reads them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rlem.core.errors import DataError
from rlem.environments.wikihow.tasks import SUFFIXES
from rlem.environments.wikihow.textproto import parse

SUFFIX = ".textproto"
_ERAS = {"view_hierarchy_path": False, "selector": True}
"""The field that names a place in a view hierarchy: before Mobile-Env 3.0, and since."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskFile:
    """A task file. ``words``: its vocabulary.

    ``current``: whether Mobile-Env from 3.0 on reads it (False: versions up to 2.1.1 do; None: both).
    """

    name: str
    commands: tuple[str, ...]
    words: tuple[str, ...]
    kind: str = ""
    current: bool | None = None


def read_task_files(folder: Path) -> tuple[TaskFile, ...]:
    """The tasks of a folder in Mobile-Env's order: that of the file names.

    Errors: DataError where there are none, or a file is no task.
    """
    paths = sorted(folder.glob(f"*{SUFFIX}"), key=lambda path: path.name)
    if not paths:
        raise DataError(
            f"no task files in {str(folder)!r}; expected are files named *{SUFFIX}, "
            "as in the folder of a WikiHow task set"
        )
    return tuple(_read(path) for path in paths)


def check_era(files: Sequence[TaskFile], *, current: bool) -> None:
    """Errors: DataError names the first file that the installed Mobile-Env does not read."""
    for file in files:
        if file.current is not None and file.current != current:
            other, fits = ("1.4 to 2.1.1", "2.1.1") if current else ("3.0 and newer", "4.1")
            raise DataError(
                f"task file {file.name + SUFFIX!r} is for Mobile-Env {other}, another one is installed: "
                f"pip install mobile-env-rl=={fits}, or take the other release of the task set"
            )


def _read(path: Path) -> TaskFile:
    try:
        task = parse(path.read_text(encoding="utf-8"))
        commands = task.strings("command")
        views = [source.message("view_hierarchy_event") for source in task.messages("event_sources")]
        words = tuple(task.strings("vocabulary"))
    except (DataError, OSError, UnicodeDecodeError) as error:
        raise DataError(f"task file {str(path)!r} cannot be read: {error}") from error
    if not commands:
        raise DataError(f"task file {str(path)!r} has no command: nothing to tell the agent")
    eras = {_ERAS[name] for view in views for name in view.names() if name in _ERAS}
    return TaskFile(
        name=path.name.removesuffix(SUFFIX),
        commands=tuple(commands),
        words=words,
        kind=SUFFIXES.get(path.stem[-2:], "other"),
        current=next(iter(eras)) if len(eras) == 1 else None,
    )
