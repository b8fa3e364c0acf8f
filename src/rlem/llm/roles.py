"""Roles: what an action is on its page, in terms that carry over to other pages. Of the embedded reader."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from rlem.llm.reading import words

REPEATED = 0.30
"""Against an action among the last five."""


@dataclass(frozen=True, slots=True)
class Role:
    """What an action is on its page.

    ``named``: how fully the task names it (0 not, 1 in part, 2 wholly). ``best``: of the entries, the one
    that shares most words with the task; ``first``: the topmost. ``due``: the page still has a wholly named
    option in a group without a choice, or, on a screen, something wholly named. ``settled``: the option's own
    group has its choice. ``shape``: how it looks where its own words say nothing (an element of a screen).
    """

    kind: str
    name: str = ""
    named: int = 0
    marked: bool = False
    best: bool = False
    first: bool = False
    due: bool = False
    settled: bool = False
    shape: str = ""


@dataclass(slots=True)
class Choice:
    """An action that could be answered, with its prior and what is said for it."""

    action: str
    role: Role
    prior: float
    reason: str
    score: float = 0.0


class Page(Protocol):
    """A block of the prompt, looked at as its page: in brackets, or as a screen of elements."""

    def choices(self) -> list[Choice]:
        """Every action that the block allows, with its role and its prior."""
        ...

    def advised(self, action: str) -> Role:
        """The role that an advised action had on this page."""
        ...

    def past(self) -> list[str]:
        """The sorts of the last actions."""
        ...

    def alike(self, other: Page) -> float:
        """How alike two pages are, in [0, 1]: a page of another sort says little."""
        ...


def sort_of(role: Role) -> str:
    """What repeats when two actions are of one sort; "" for what may well come several times in a row:
    an option that is due, an entry of a list, an element of a screen."""
    if role.kind == "option":
        return "" if role.named == 2 and not role.settled else "option"
    return "" if role.kind in ("entry", "link") else f"{role.kind} {role.name}"


def match(ours: Role, theirs: Role) -> float:
    """How far what was learned of one role holds for another, in [0, 1]."""
    if ours.kind != theirs.kind:
        return 0.0
    if ours.kind == "free":
        return 1.0 if ours.name == theirs.name else 0.3
    if ours.kind == "control":
        if ours.name != theirs.name and not _same_words(ours.name, theirs.name):
            return 0.0
        return 1.0 if ours.due == theirs.due else 0.3
    if ours.kind == "link":
        return _links(ours, theirs)
    if ours.kind == "entry":
        same = (1.0 if ours.best == theirs.best else 0.3) * (1.0 if ours.first == theirs.first else 0.3)
        return same * (1.0 if ours.marked == theirs.marked else 0.3)
    same = (1.0 if ours.marked == theirs.marked else 0.1) * (1.0 if ours.due == theirs.due else 0.5)
    same *= 1.0 if ours.settled == theirs.settled else 0.2
    return same * (1.0, 0.4, 0.0)[abs(ours.named - theirs.named)]


def _links(ours: Role, theirs: Role) -> float:
    """Elements of screens: named alike, of one shape, and with the wanted one on the screen or not."""
    if ours.named != theirs.named:
        return 0.0
    if ours.named == 0 and ours.name and ours.name == theirs.name:
        same = 1.0
    else:
        form = ours.shape == theirs.shape
        same = (1.0 if form else 0.2) if ours.named else (0.4 if form else 0.0)
    same *= 1.0 if ours.best == theirs.best else 0.4
    return same * (1.0 if ours.due == theirs.due else 0.3)


def _same_words(first: str, second: str) -> bool:
    """Whether most words are the same: "open the red door" and "open the red gate"."""
    a, b = set(words(first)), set(words(second))
    return len(a & b) * 3 >= len(a | b) * 2 > 0
