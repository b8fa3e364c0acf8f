"""Boxes of a page: texts that flow, blocks that stack, and what holds them.

All are measured in pixels of a page that is 1080 wide; a letter is 22 wide and a line 52 high, which cuts
texts where the recorded screens of the original cut theirs.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rlem.environments.wikihow.nodes import NOWHERE, Bounds, Effect, Go, Node, Page
from rlem.environments.wikihow.site import Piece

VIEW = "android.view.View"
TEXT = "android.widget.TextView"
IMAGE = "android.widget.Image"
BUTTON = "android.widget.Button"
FIELD = "android.widget.EditText"

WIDTH = 1080
LETTER, LINE = 22, 52


def group(children: Iterable[Node], resource_id: str = "", effect: Effect | None = None) -> Node:
    """A View around others, as large as they need."""
    inside = list(children)
    return Node(VIEW, _around(inside), resource_id=resource_id, effect=effect, children=inside)


def link(text: str, effect: Effect | None = None) -> Node:
    """A text that can be tapped: a clickable View around it, as WebView shows links."""
    return tappable([Node(TEXT, text=text)], text, effect)


def tappable(
    children: Iterable[Node], text: str, effect: Effect | None, bounds: Bounds | None = None
) -> Node:
    """A clickable View with a description, around others."""
    node = group(children, effect=effect)
    node.content_desc, node.clickable, node.focusable = text, True, True
    node.bounds = bounds or node.bounds
    return node


def article(slug: str) -> Go:
    """A tap that opens an article."""
    return Go(Page("article", slug))


def category(slug: str) -> Go:
    """A tap that opens a category; no slug: the list of all."""
    return Go(Page("category", slug) if slug else Page("categories"))


def inline(pieces: Sequence[Piece]) -> list[Node]:
    """Texts and links, to be given to :meth:`Column.flow`."""
    return [
        link(piece.text, article(piece.target)) if piece.target else Node(TEXT, text=piece.text)
        for piece in pieces
    ]


class Column:
    """Blocks one under the other from ``y`` on, between two edges."""

    def __init__(self, y: int = 0, left: int = 36, right: int = 1044) -> None:
        self.y, self.left, self.right = y, left, right
        self.nodes: list[Node] = []

    def add(self, node: Node) -> None:
        """Places a node that has its box already; what follows stands under it."""
        self.nodes.append(node)
        self.y = max(self.y, node.bounds[3])

    def block(self, text: str = "", height: int = 0, cls: str = VIEW, resource_id: str = "") -> Node:
        """A box of the column's width, as high as its text needs if no height is given."""
        height = height or LINE * -(-len(text) * LETTER // (self.right - self.left))
        node = Node(cls, (self.left, self.y, self.right, self.y + height), text, resource_id)
        self.add(node)
        return node

    def hang(self, mark: str, nodes: Iterable[Node]) -> None:
        """A bullet or a number, and what flows beside it."""
        text = Column(self.y, self.left + 70, self.right)
        text.flow(nodes)
        self.nodes.append(Node(VIEW, (self.left, self.y, text.left, self.y + LINE), mark))
        self.nodes += text.nodes
        self.y = text.y + 20

    def flow(self, nodes: Iterable[Node]) -> None:
        """Texts, links and buttons one behind the other, in lines. Plain texts wrap anywhere; all else keeps
        to one line where it fits, so that no link covers the middle of another."""
        x, width = 0, self.right - self.left
        for node in nodes:
            length = LETTER * max(1, len(node.text or node.content_desc))
            if node.cls != TEXT and 0 < x < x + length > width:
                x, self.y = 0, self.y + LINE
            rows = -(-(x + length) // width)
            start, stop = (0, width) if rows > 1 else (x, x + length)
            bottom = self.y + LINE * rows
            node.bounds = (self.left + start, self.y, self.left + stop, bottom)
            for child in node.children:
                child.bounds = node.bounds
            self.nodes.append(node)
            self.y, x = bottom - LINE, x + length - width * (rows - 1)
            if node.cls != TEXT and rows > 1:
                x, self.y = 0, bottom
        self.y += LINE


def _around(nodes: Iterable[Node]) -> Bounds:
    boxes = [node.bounds for node in nodes if node.bounds != NOWHERE]
    if not boxes:
        return NOWHERE
    lefts, tops, rights, bottoms = zip(*boxes, strict=True)
    return (min(lefts), min(tops), max(rights), max(bottoms))
