"""Task files of the original: read into tasks, and written so that Mobile-Env takes them.

Files of the current shape (``selector``, ``repeatability``, often only the first command) and of that before
version 3 (``view_hierarchy_path``, all commands, sub-goals that pay again) are read. What is not used: how to
set up the phone, events of recognised text and icons (they never happen), extras. What would need another
engine is refused in words: events that must come together (AND) or in order, other rewards than 1, an end
that is not the last sub-goal.

Differs: where the title in a pattern is not escaped, so that the pattern cannot find the page it stands for
("(for Beginners)", "%27"), the right pattern is added.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rlem.core.errors import DataError
from rlem.environments.wikihow.app import address
from rlem.environments.wikihow.generate import Wanted
from rlem.environments.wikihow.judge import compiled
from rlem.environments.wikihow.nodes import Page, PageKind
from rlem.environments.wikihow.selectors import ViewEvent, attribute, parse_selector
from rlem.environments.wikihow.site import slug_of
from rlem.environments.wikihow.task_writer import to_textproto
from rlem.environments.wikihow.tasks import (
    ADDRESS,
    TEMPLATES,
    Goal,
    GoalKind,
    Repeats,
    TaskDefinition,
    log_pattern,
    then,
    view_events,
)
from rlem.environments.wikihow.textproto import Message, parse

ENDING = ".textproto"
_SILENT = frozenset(
    ("text_recognize", "text_detect", "icon_recognize", "icon_detect", "icon_match", "icon_detect_match")
)
_PAGES: Mapping[GoalKind, PageKind] = {
    "article": "article",
    "reference": "article",
    "author": "author",
    "category": "category",
}
_REPEATS: Mapping[str, Repeats] = {
    "": "unlimited",
    "UNLIMITED": "unlimited",
    "LAST": "last",
    "NONE": "none",
}


def load_task_files(folder: Path, *, autocat: bool = True) -> list[TaskDefinition]:
    """The tasks of all files ``*.textproto`` in a folder, sorted by file name as the original counts them.

    ``autocat``: as :func:`from_textproto`. Errors: DataError names the folder without such files, or the file
    that cannot be read.
    """
    paths = sorted(folder.glob(f"*{ENDING}"), key=lambda path: path.name)
    if not paths:
        raise DataError(f"{folder}: no task files; give a folder with files *{ENDING}")
    tasks = []
    for path in paths:
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(f"{path}: cannot be read: {error}") from error
        tasks.append(from_textproto(text, path.name, autocat=autocat))
    return tasks


def write_task_files(tasks: Iterable[TaskDefinition], folder: Path) -> list[Path]:
    """Writes each task to its file in a folder, which is made if absent; gives back the files."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for task in tasks:
        paths.append(folder / task.file_name)
        paths[-1].write_text(to_textproto(task), encoding="utf-8")
    return paths


def wanted(tasks: Iterable[TaskDefinition]) -> list[Wanted]:
    """The articles that a site must hold so that the tasks can be done on it.

    An article after an author or a category is one of theirs.
    """
    authors: dict[str, dict[str, None]] = {}
    category: dict[str, str] = {}
    for task in tasks:
        title = ""
        by, within = "", ""  # what the page at hand lists articles of
        for goal in task.goals:
            if goal.kind == "article":
                title = goal.target
                authors.setdefault(title, {}).update({by: None} if by else {})
                category[title] = category.get(title) or within
                by = within = ""
            elif goal.kind == "author":
                by, within = goal.target, ""
                authors.setdefault(title, {})[by] = None
            elif goal.kind == "category":
                by, within = "", goal.target
                category[title] = category.get(title) or within
    return [Wanted(title=key, authors=tuple(names), category=category[key]) for key, names in authors.items()]


def from_textproto(text: str, name: str = "", *, autocat: bool = True) -> TaskDefinition:
    """The task that a file holds. ``name`` is the file's.

    ``autocat``: where the file has only the first command, the others are made from its instructions
    ("Then, ..."), as the published runs had them.

    Errors: DataError names the file and what in it cannot be read or judged, and where.
    """
    try:
        return _task(parse(text), name.removesuffix(ENDING), autocat)
    except DataError as error:
        raise DataError(f"{name or 'task file'}: {error}") from error


def _task(message: Message, stem: str, autocat: bool) -> TaskDefinition:
    slots = message.message("event_slots")
    if _named(slots.message("score_listener")):
        raise DataError("score_listener: tasks with scores cannot be judged; rewards are known")
    reached = list(_reached(slots.message("reward_listener")))
    if not reached:
        raise DataError("reward_listener: the task has no sub-goals")
    _check_end(slots.message("episode_end_listener"), reached[-1])
    lines = message.strings("command")
    instructions = _instructions(slots.message("instruction_listener"))
    following = [instructions.get(slot.id, "") for slot in reached[:-1]]
    sources = {_id(source): source for source in message.messages("event_sources")}
    goals: list[Goal] = []
    for slot, command in zip(reached, [(lines or [""])[0], *following], strict=True):
        goals.append(_goal(slot, command, sources, goals))
    if autocat and len(lines) == 1 and all(following):
        lines += map(then, following)
    return TaskDefinition(
        id=message.string("id"),
        name=message.string("name"),
        description=message.string("description"),
        commands=tuple(lines),
        vocabulary=tuple(message.strings("vocabulary")),
        stem=stem or message.string("id"),
        goals=tuple(goals),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Slot:
    """A virtual event that pays. ``id`` 0: it has none."""

    id: int
    sources: tuple[int, ...]
    repeatability: Repeats


def _named(slot: Message) -> list[int]:
    """Ids of the events that a slot refers to, anywhere inside."""
    events = slot.messages("events")
    return [found for event in events for found in event.integers("id") or _named(event.message("event"))]


def _children(slot: Message) -> list[Message]:
    """The events of a slot that count."""
    kind = slot.string("type", "SINGLE")
    events = slot.messages("events")
    for field in ("prerequisite", "cache_until"):
        if slot.integers(field):
            raise DataError(f"event {_id(slot)}: {field} cannot be judged")
    if kind not in ("SINGLE", "OR") and len(events) > 1:
        raise DataError(f"event {_id(slot)}: type {kind} cannot be judged; OR and SINGLE can")
    return events[:1] if kind == "SINGLE" else events


def _id(slot: Message) -> int:
    return (slot.integers("id") or [0])[-1]


def _reached(slot: Message) -> Iterator[_Slot]:
    """The events that pay, in order: those whose own events are all sources."""
    children = _children(slot)
    if any("event" in child.names() for child in children):
        for child in children:
            if child.integers("id"):
                raise DataError(f"event {_id(slot)}: both sources and events inside it; cannot be judged")
            yield from _reached(child.message("event"))
    elif children:
        for transformation in slot.strings("transformation"):
            if transformation.replace(" ", "") != "y=1":
                raise DataError(f"event {_id(slot)}: reward {transformation!r}; only 'y = 1' can be judged")
        ids = [found for child in children for found in child.integers("id")]
        repeats = slot.string("repeatability")
        if repeats not in _REPEATS:
            raise DataError(f"event {_id(slot)}: repeatability {repeats!r}; known: {', '.join(_REPEATS)}")
        yield _Slot(id=_id(slot) or ids[0], sources=tuple(ids), repeatability=_REPEATS[repeats])


def _check_end(slot: Message, last: _Slot) -> None:
    ends = _named(slot)
    if ends != [last.id] and not (len(last.sources) == 1 and ends == list(last.sources)):
        raise DataError(f"episode_end_listener: events {ends}; it must be the last sub-goal, event {last.id}")


def _instructions(slot: Message) -> Mapping[int, str]:
    """What to do next, by the id of the event that was reached."""
    found: dict[int, str] = {}
    for child in slot.messages("events"):
        event = child.message("event")
        found.update(_instructions(event))
        text = (slot.strings("transformation") or [""])[-1]
        for key in child.integers("id"):
            said = _literal(text)
            found[key] = "\n".join(said) if isinstance(said, list) else said
    return found


def _literal(text: str) -> str | list[str]:
    """The text, or list of texts, of ``y = ...``. Nothing is evaluated but literals."""
    try:
        value = ast.literal_eval(text.removeprefix("y").strip().removeprefix("=").strip())
    except (ValueError, SyntaxError, MemoryError, RecursionError) as error:
        raise DataError(f"instruction_listener: {text!r:.80} is no text") from error
    if isinstance(value, str) or (isinstance(value, list) and all(isinstance(said, str) for said in value)):
        return value
    raise DataError(f"instruction_listener: {text!r:.80} is no text")


def _goal(slot: _Slot, command: str, sources: Mapping[int, Message], before: Sequence[Goal]) -> Goal:
    logs: list[str] = []
    views: list[ViewEvent] = []
    for number in slot.sources:
        if number not in sources:
            raise DataError(f"event {slot.id}: there is no event source {number}")
        try:
            _read_source(sources[number], logs, views)
        except DataError as error:
            raise DataError(f"event source {number}: {error}") from error
    if not logs and not views:
        raise DataError(f"event {slot.id}: only text recognition would tell that it is reached")
    kind = _kind(logs[0] if logs else "")
    target, sure = _target(kind, command, logs, before)
    if sure:
        logs += _mended(kind, target, logs)
        views += _mended_views(kind, target, views)
    return Goal(
        kind=kind,
        command=command,
        logs=tuple(logs),
        views=tuple(views),
        target=target,
        repeatability=slot.repeatability,
    )


def _read_source(source: Message, logs: list[str], views: list[ViewEvent]) -> None:
    if source.string("repeatability", "NONE") != "NONE":
        raise DataError(f"repeatability {source.string('repeatability')} cannot be judged; NONE can")
    field = next((name for name in source.names() if name not in ("id", "repeatability")), "")
    inner = source.message(field)
    if field == "log_event":
        compiled(inner.string("pattern"))
        logs.append(inner.string("pattern"))
    elif field == "view_hierarchy_event":
        views.append(_view(inner))
    elif field not in _SILENT:
        raise DataError(f"{field!r} cannot be judged; log_event and view_hierarchy_event can")


def _view(event: Message) -> ViewEvent:
    selectors = [part for text in event.strings("selector") for part in _SEPARATE.split(text)]
    for selector in selectors:
        parse_selector(selector)
    properties = []
    for one in event.messages("properties"):
        name = one.string("property_name")
        attribute(name)
        if "pattern" not in one.names():
            raise DataError(f"property {name!r} has no pattern; numbers cannot be compared")
        compiled(one.string("pattern"))
        properties.append((name, one.string("pattern")))
    return ViewEvent(
        selectors=tuple(selectors),
        path=tuple(event.strings("view_hierarchy_path")),
        properties=tuple(properties),
    )


_SEPARATE = re.compile(r',(?=(?:[^"]*"[^"]*")*[^"]*$)')

_MARKS: tuple[tuple[GoalKind, str], ...] = (
    ("reference", "#References"),
    ("search", f"{ADDRESS}wikiHowTo"),
    ("author", f"{ADDRESS}Author/"),
    ("category", f"{ADDRESS}Category:"),
    ("about", f"{ADDRESS}wikiHow:"),
    ("other", f"{ADDRESS}Special:"),
    ("article", f"\\bmUrl is: {ADDRESS}"),
)


def _kind(pattern: str) -> GoalKind:
    return next((kind for kind, mark in _MARKS if mark in pattern), "other")


def _target(kind: GoalKind, command: str, logs: Sequence[str], before: Sequence[Goal]) -> tuple[str, bool]:
    """The title or name that a sub-goal is about, and whether a command says so (or else an address)."""
    if kind in ("about", "other"):
        return "", False
    if kind == "reference":
        titles = [goal.target for goal in before if goal.kind == "article"]
        return (titles[-1], True) if titles else (_from_address(logs[0]), False)
    found = re.fullmatch(re.escape(TEMPLATES[kind].command).replace(r"\{\}", "(.+)"), command, re.DOTALL)
    return (found[1], True) if found else (_from_address(logs[0]), False)


def _from_address(pattern: str) -> str:
    """What the address in a pattern stands for, with blanks for dashes."""
    page = pattern.partition(ADDRESS)[2].partition("\\?")[0].removeprefix("Author/").removeprefix("Category:")
    return re.sub(r"\\(.)", r"\1", page).replace("-", " ")


def _mended(kind: GoalKind, target: str, logs: Sequence[str]) -> list[str]:
    """The right pattern where none of those given finds the page's own address."""
    if kind == "search" or not logs:
        return []
    right = log_pattern(kind, target)
    said = "url" if kind == "reference" else "mUrl"
    line = f"{said} is: {address(Page(_PAGES[kind], slug_of(target)))}#References"
    return [] if any(compiled(log).search(line) for log in logs) else [right]


def _mended_views(kind: GoalKind, target: str, views: Sequence[ViewEvent]) -> list[ViewEvent]:
    """The same for what is seen."""
    sight = TEMPLATES[kind].sight
    if kind == "search" or not views or sight is None:
        return []
    text = sight[1].format(target)
    patterns = [pattern for view in views for name, pattern in view.properties if name == "text"]
    return [] if any(compiled(pattern).search(text) for pattern in patterns) else [*view_events(kind, target)]
