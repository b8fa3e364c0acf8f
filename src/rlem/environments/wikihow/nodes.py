"""Nodes of a screen: an Android view hierarchy with boxes, and what a tap on a node does."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

Bounds: TypeAlias = tuple[int, int, int, int]
"""x0, y0, x1, y1 in pixels; x1 and y1 are just outside."""

NOWHERE: Bounds = (0, 0, 0, 0)
"""Bounds of a node that is not on the screen."""

PageKind = Literal["home", "search", "article", "author", "category", "categories", "about", "foreign"]


@dataclass(frozen=True, slots=True)
class Page:
    """What can be opened. ``key``: the slug, or the words of a search. ``number``: of the page of results.

    ``foreign`` is a screen of another app (after "Share"); ``categories`` is the list of all of them.
    """

    kind: PageKind
    key: str = ""
    number: int = 1


@dataclass(frozen=True, slots=True)
class Go:
    """A tap opens a page."""

    page: Page


@dataclass(frozen=True, slots=True)
class Jump:
    """A tap scrolls the page to an anchor of the sheet ("References")."""

    anchor: str


@dataclass(frozen=True, slots=True)
class Press:
    """A tap on what belongs to the app itself.

    drawer, menu, share: opens or closes it. search: opens the search box over the page. clear: empties it.
    field: gets the keyboard. submit: searches for what the field of the page holds. bookmark: switches it.
    nothing: takes the tap without effect (a disabled row).
    """

    what: Literal["drawer", "menu", "share", "search", "clear", "field", "submit", "bookmark", "nothing"]


Effect: TypeAlias = Go | Jump | Press


@dataclass(slots=True)
class Node:
    """One node. ``cls`` is the full class ("android.widget.TextView"). ``bounds`` are those of the page (in a
    sheet: y = 0 is the top of the page) or of the window (on a screen)."""

    cls: str
    bounds: Bounds = NOWHERE
    text: str = ""
    resource_id: str = ""
    content_desc: str = ""
    clickable: bool = False
    focusable: bool = False
    scrollable: bool = False
    effect: Effect | None = None
    children: list[Node] = field(default_factory=list)

    def walk(self) -> Iterator[Node]:
        """This node and all below it, in document order."""
        todo = [self]
        while todo:
            node = todo.pop()
            yield node
            todo += reversed(node.children)
