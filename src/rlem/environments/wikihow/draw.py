"""A screen as a person sees it: where each of its leaves stands, what it says, how it looks."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias

from rlem.environments.wikihow.html import Leaf
from rlem.environments.wikihow.nodes import Bounds, Go, Jump
from rlem.environments.wikihow.screen import BOTTOM, TOP, VIEWPORT, Screen
from rlem.environments.wikihow.sheet_boxes import LETTER, LINE

Look: TypeAlias = Literal[
    "status", "drawer", "search", "clear", "more", "logo", "field",  # the bar
    "picture", "avatar", "icon", "arrow", "row",
    "title", "heading", "number", "lead", "result", "link", "caps", "button", "small", "text",
]  # fmt: skip

_BAR: dict[str, Look] = {
    "Open navigation drawer": "drawer",
    "Close navigation drawer": "drawer",
    "Search": "search",
    "Clear query": "clear",
    "More options": "more",
}
_CLASSES: dict[str, Look] = {
    "statusBarBackground": "status",
    "wikihow toolbar logo": "logo",
    "icon": "icon",
    "category banner submit": "search",
    "submenuarrow": "arrow",
    "title": "row",
}
_HIGH = 20
"""Pixels by which the box of a heading is higher than its text."""
_METHOD = re.compile(r"(Method|Part) (\d+) (?=\1 \2 of )")


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """One leaf. ``bounds``: of the part that is seen, in the window of 1080 x 1794; ``above``: how much of it
    is cut off there; ``rows``: lines of text that the whole box has room for;
    ``indent``: where in the first of them the text begins. ``tappable``: a tap does something,
    or the app says so. ``name``: for those who do not see it. ``over``: it belongs to the drawer or menu.
    """

    number: int
    look: Look
    text: str
    name: str
    rows: int
    bounds: Bounds
    above: int = 0
    indent: int = 0
    tappable: bool = False
    over: bool = False

    @property
    def high(self) -> bool:
        """Whether nothing can stand above it."""
        return self.bounds[1] <= TOP

    @property
    def css(self) -> str:
        """Its place, for the style sheet. Small boxes lie over large ones."""
        x0, y0, x1, y1 = self.bounds
        level = 9 - min(8, (x1 - x0) * (y1 - y0) // 40_000) + 12 * (y1 <= TOP) + 30 * self.over
        return f"{{{_place(self.bounds)};--up:{self.above};--in:{self.indent};z-index:{level}}}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawing:
    """A screen. ``behind``: what can be seen, but not tapped, behind an open menu, which is a window of its
    own. ``panel``: the box of the open drawer or menu. ``thumb``: of the scroll bar, if there is more to see.
    """

    boxes: tuple[Box, ...]
    thumb: Bounds | None = None
    behind: tuple[Box, ...] = ()
    panel: Bounds | None = None

    @property
    def css(self) -> str:
        """The places of all boxes: ``e`` and the number are the ids, of those behind ``b`` and the number."""
        rules = [f"#e{box.number}{box.css}" for box in self.boxes]
        rules += [f"#b{box.number}{box.css}" for box in self.behind]
        for name, bounds in (("panel", self.panel), ("thumb", self.thumb)):
            if bounds:
                rules.append(f"#{name}{{{_place(bounds)}}}")
        return "\n".join(rules)


def draw(screen: Screen) -> Drawing:
    """The boxes of a screen, in the order of their numbers."""
    boxes = tuple(_boxes(screen))
    thumb = None
    if (height := screen.sheet.height) > VIEWPORT:
        top, bottom = (TOP + VIEWPORT * y // height for y in (screen.scroll, screen.scroll + VIEWPORT))
        thumb = (1066, top, 1076, bottom)
    if not screen.overlay:
        return Drawing(boxes=boxes, thumb=thumb)
    if screen.overlay == "drawer":
        return Drawing(boxes=boxes, thumb=thumb, panel=(0, TOP, 735, BOTTOM))
    lefts, tops, _, bottoms = zip(*(box.bounds for box in boxes), strict=True)
    panel = (min(lefts) - 42, min(tops) - 37, 1070, max(bottoms) + 37)
    page = Screen(screen.sheet, screen.scroll, screen.bar, "", screen.bookmarked)
    return Drawing(boxes=boxes, thumb=thumb, behind=tuple(_boxes(page)), panel=panel)


def _boxes(screen: Screen) -> Iterator[Box]:
    look: Look = "text"
    pen = (0, -1)  # where the last text ends: x, and the top of its line
    for number, leaf in enumerate(screen.leaves):
        x0, y0, *_ = leaf.bounds
        effect = screen.hit(*leaf.middle)
        top, bottom = _whole(screen, leaf)
        if look == "number" and leaf.tag == "p" and effect is None:
            look = "lead"
        else:
            look = _look(screen, leaf, bottom - top, isinstance(effect, Go | Jump))
        indent = pen[0] - x0 if pen[1] == top and bottom - top > LINE and pen[0] > x0 else 0
        pen = _pen(leaf, top, bottom, indent)
        text = leaf.text or leaf.alt or leaf.value
        yield Box(
            number=number,
            look=look,
            text="wikiHow" if look == "logo" else _METHOD.sub("", text),
            name=text.strip() or leaf.class_words or f"element {number}",
            rows=_rows(top, bottom),
            bounds=leaf.bounds,
            above=y0 - top,
            indent=indent,
            tappable=leaf.clickable or effect is not None,
            over=bool(screen.overlay) and look in ("row", "icon", "arrow"),
        )


def _whole(screen: Screen, leaf: Leaf) -> tuple[int, int]:
    """Top and bottom of the whole leaf in the window, with what the edges of the viewport cut off."""
    _, y0, _, y1 = leaf.bounds
    if leaf.node is None or y0 < TOP:
        return y0, y1
    top, bottom = (y + TOP - screen.scroll for y in (leaf.node.bounds[1], leaf.node.bounds[3]))
    return (top, bottom) if (max(top, TOP), min(bottom, BOTTOM)) == (y0, y1) else (y0, y1)


def _pen(leaf: Leaf, top: int, bottom: int, indent: int) -> tuple[int, int]:
    """Where the text of a leaf ends, by the measures it was laid out with."""
    x0, _, x1, _ = leaf.bounds
    rows = _rows(top, bottom)
    end = x1 if rows < 2 else x0 + indent + LETTER * len(leaf.text) - (x1 - x0) * (rows - 1)
    return end, bottom - LINE


def _rows(top: int, bottom: int) -> int:
    return (bottom - top + LINE // 2) // LINE


def _look(screen: Screen, leaf: Leaf, height: int, leads: bool) -> Look:
    if look := _CLASSES.get(leaf.class_words):
        return look
    if leaf.alt in _BAR and leaf.bounds[3] <= TOP:
        return _BAR[leaf.alt]
    width = leaf.bounds[2] - leaf.bounds[0]
    page = screen.sheet.page.kind
    if leaf.tag == "input":
        return "field"
    if leaf.tag == "img":
        return "avatar" if page == "author" or width < 200 else "picture"
    if leaf.tag == "button":
        return "button"
    if leaf.text == screen.sheet.title:
        return "title"
    if leaf.text in ("•", "• ", "How to", "Expert") or (page == "search" and width < 900):
        return "small"
    if page == "search" and leads:
        return "result"
    rows = -(-len(leaf.text) * LETTER // width)
    if leads and rows < 3:
        return "caps" if leaf.text.isupper() else "link"
    if leaf.tag == "div" and leaf.text.isdecimal():
        return "number"
    return "heading" if leaf.tag == "div" and leaf.text and height > rows * LINE + _HIGH else "text"


def _place(bounds: Bounds) -> str:
    x0, y0, x1, y1 = bounds
    return f"--x:{x0};--y:{y0};--w:{x1 - x0};--h:{y1 - y0}"
