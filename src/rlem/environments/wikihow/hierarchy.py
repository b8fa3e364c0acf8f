"""View hierarchies as Android dumps them: XML to nodes and back."""

from __future__ import annotations

import re
from xml.parsers import expat

from rlem.core.errors import DataError
from rlem.environments.wikihow.html import escaped
from rlem.environments.wikihow.nodes import Node

_NEEDED = ("text", "resource-id", "class", "content-desc", "clickable", "bounds")
"""Attributes that every node of a dump has and that mean something to us."""
_ROOT = "hierarchy"
_PACKAGE = "com.wikihow.wikihowapp"
_MOST_LEVELS = 200
"""Real dumps have about 30 levels; trees are walked by recursion."""
_BOUNDS = re.compile(r"\[(-?\d{1,6}),(-?\d{1,6})\]\[(-?\d{1,6}),(-?\d{1,6})\]")


def read_hierarchy(xml: str | bytes) -> Node:
    """The tree of a dump; its root is the ``hierarchy`` element itself, a node without bounds.

    Errors: DataError with line and column where the text is not XML, declares a document type or entities,
    is nested deeper than 200 levels, or a node lacks what every node has.
    """
    return _Reader().read(xml)


def write_hierarchy(root: Node) -> str:
    """The dump of a tree, with the attributes that a real one has. Effects are not written."""
    out = ["<?xml version='1.0' encoding='UTF-8' standalone='yes' ?>", f'<{_ROOT} rotation="0">']
    for index, node in enumerate(root.children if root.cls == _ROOT else [root]):
        _write(node, index, out)
    return "".join([*out, f"</{_ROOT}>"])


def _write(node: Node, index: int, out: list[str]) -> None:
    x0, y0, x1, y1 = node.bounds
    attributes: dict[str, str | bool] = {
        "index": str(index),
        "text": node.text,
        "resource-id": node.resource_id,
        "class": node.cls,
        "package": _PACKAGE,
        "content-desc": node.content_desc,
        "checkable": False,
        "checked": False,
        "clickable": node.clickable,
        "enabled": True,
        "focusable": node.focusable,
        "focused": False,
        "scrollable": node.scrollable,
        "long-clickable": False,
        "password": False,
        "selected": False,
        "bounds": f"[{x0},{y0}][{x1},{y1}]",
    }
    out.append("<node")
    for name, value in attributes.items():
        said = str(value).lower() if isinstance(value, bool) else escaped(value, "").replace("\t", "&#9;")
        out.append(f' {name}="{said}"')
    out.append(">" if node.children else " />")
    for number, child in enumerate(node.children):
        _write(child, number, out)
    if node.children:
        out.append("</node>")


class _Reader:
    """Builds the tree while expat reads. Nothing that a document could make grow is allowed in it."""

    def __init__(self) -> None:
        self.root: Node | None = None
        self.above: list[Node] = []

    def read(self, xml: str | bytes) -> Node:
        try:
            self.parser = expat.ParserCreate("utf-8" if isinstance(xml, str) else None)
            self.parser.StartDoctypeDeclHandler = self.doctype
            self.parser.StartElementHandler = self.start
            self.parser.EndElementHandler = self.end
            self.parser.Parse(xml.encode() if isinstance(xml, str) else xml, True)
        except expat.ExpatError as error:
            raise self.fault(f"not XML: {expat.ErrorString(error.code)}") from None
        except (LookupError, ValueError) as error:  # an encoding that is unknown, or that the text is not in
            raise self.fault(f"cannot be decoded: {error}") from None
        assert self.root is not None  # expat refuses a document without an element
        return self.root

    def fault(self, why: str) -> DataError:
        parser = self.parser
        place = f"line {parser.CurrentLineNumber}, column {parser.CurrentColumnNumber + 1}"
        return DataError(f"view hierarchy, {place}: {why}")

    def doctype(self, *_: object) -> None:
        raise self.fault("a document type is declared; a dump has none, and none is read")

    def start(self, name: str, attributes: dict[str, str]) -> None:
        if name != ("node" if self.above else _ROOT):
            raise self.fault(f"element {name!r}; expected {'node' if self.above else _ROOT!r}")
        if len(self.above) >= _MOST_LEVELS:
            raise self.fault(f"nested deeper than {_MOST_LEVELS} levels")
        node = self.node(attributes) if self.above else Node(_ROOT)
        if self.above:
            self.above[-1].children.append(node)
        else:
            self.root = node
        self.above.append(node)

    def end(self, _: str) -> None:
        self.above.pop()

    def node(self, attributes: dict[str, str]) -> Node:
        for name in _NEEDED:
            if name not in attributes:
                raise self.fault(
                    f"a node lacks the attribute {name!r}; a dump's nodes have {', '.join(_NEEDED)}"
                )
        found = _BOUNDS.fullmatch(attributes["bounds"])
        if found is None:
            raise self.fault(f"bounds {attributes['bounds']!r:.80}; expected the form [0,63][1080,210]")
        x0, y0, x1, y1 = map(int, found.groups())
        return Node(
            attributes["class"],
            (x0, y0, x1, y1),
            text=attributes["text"],
            resource_id=attributes["resource-id"],
            content_desc=attributes["content-desc"],
            clickable=self.flag(attributes, "clickable"),
            focusable=self.flag(attributes, "focusable"),
            scrollable=self.flag(attributes, "scrollable"),
        )

    def flag(self, attributes: dict[str, str], name: str) -> bool:
        said = attributes.get(name, "false")
        if said not in ("true", "false"):
            raise self.fault(f"{name} is {said!r:.80}; expected 'true' or 'false'")
        return said == "true"
