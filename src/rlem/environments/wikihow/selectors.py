"""What a task looks for on a screen: nodes found by a selector or a path, and patterns for their properties.

Two ways to name nodes, as Mobile-Env has them:

- selectors (from version 3.0): CSS with ``#"id"``, ``."class"``, ``[attribute="value"]``, each also with
  ``$`` (ends with) or ``^`` (begins with) or ``*`` (contains) before the value; a blank between two of them
  means "below", ``>`` means "directly below". All nodes found are looked at.
- paths (up to version 2.1): a list of ``class`` or ``class@id``, each below the one before. Only the first
  node found is looked at.

Nodes that are not on the screen are found too: the original looks at the whole tree.

Source: Mobile-Env 4.1 and 2.1.1. Differs: other CSS (element names, pseudo-classes, ``$"package"``,
``@index``) is refused; the task files of WikiHow have none.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple, TypeAlias

from rlem.core.errors import DataError
from rlem.environments.wikihow.nodes import Node

Values: TypeAlias = tuple[str, ...]
"""What a node has for the properties that an event names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ViewEvent:
    """Something to be seen on a screen: any of ``selectors`` or else ``path``, and (property, pattern) pairs
    that must all be found in one node."""

    selectors: tuple[str, ...] = ()
    path: tuple[str, ...] = ()
    properties: tuple[tuple[str, str], ...]

    @property
    def sight(self) -> Sight:
        """Where to look, apart from what is looked for."""
        return Sight(self.selectors, self.path, tuple(name for name, _ in self.properties))


class Sight(NamedTuple):
    """Which nodes are looked at, and for which of their properties."""

    selectors: tuple[str, ...]
    path: tuple[str, ...]
    names: tuple[str, ...]


def _flag(name: str) -> Callable[[Node], str]:
    return lambda node: "true" if getattr(node, name) else "false"


ATTRIBUTES: Mapping[str, Callable[[Node], str]] = {
    "text": lambda node: node.text,
    "resource-id": lambda node: node.resource_id,
    "class": lambda node: node.cls,
    "content-desc": lambda node: node.content_desc,
    "clickable": _flag("clickable"),
    "focusable": _flag("focusable"),
    "scrollable": _flag("scrollable"),
}
"""Attributes of a node in a view hierarchy, as the strings that stand there."""

_COMPARE: Mapping[str, Callable[[str, str], bool]] = {
    "": str.__eq__,
    "$": str.endswith,
    "^": str.startswith,
    "*": str.__contains__,
}
_SHORT = {"#": "resource-id", ".": "class"}
_PART = re.compile(
    r'(?P<short>[#.])(?P<how>[$^*]?)"(?P<value>[^"]+)"'
    r'|\[(?P<name>[\w-]+)(?P<how2>[$^*]?)="(?P<value2>[^"]+)"\]'
    r"|(?P<link>\s*>\s*|\s+)"
)

_Test: TypeAlias = tuple[Callable[[Node], str], Callable[[str, str], bool], str]


@dataclass(frozen=True, slots=True)
class _Level:
    """One level of a selector: all ``tests`` hold of a node; ``direct``: directly below the level before."""

    tests: tuple[_Test, ...]
    direct: bool = False


@lru_cache(maxsize=256)
def parse_selector(text: str) -> tuple[_Level, ...]:
    """The levels of one selector, outermost first. Errors: DataError for what is not understood."""
    levels: list[_Level] = []
    tests: list[_Test] = []
    direct, at = False, 0
    text = text.strip()
    while at < len(text):
        match = _PART.match(text, at)
        if match is None or (match["link"] and not tests):
            raise DataError(
                f'selector {text!r}: {text[at : at + 20]!r} is not understood; see #"id" ."class" >'
            )
        if match["link"]:
            levels.append(_Level(tuple(tests), direct))
            tests, direct = [], ">" in match["link"]
        else:
            name = _SHORT.get(match["short"]) or match["name"]
            value = match["value"] or match["value2"]
            tests.append((attribute(name), _COMPARE[match["how"] or match["how2"] or ""], value))
        at = match.end()
    if not tests:
        raise DataError(f"selector {text!r} names no node")
    return (*levels, _Level(tuple(tests), direct))


@lru_cache(maxsize=256)
def parse_path(path: tuple[str, ...]) -> tuple[_Level, ...]:
    """The levels of a path. ``\\@`` in a class or an id is an ``@``."""
    levels = []
    for step in path:
        names = [part.replace("\\@", "@") for part in re.split(r"(?<!\\)@", step, maxsplit=1)]
        tests = [(ATTRIBUTES["class"], _COMPARE[""], names[0])]
        if len(names) == 2 and names[1]:
            tests.append((ATTRIBUTES["resource-id"], _COMPARE[""], names[1]))
        levels.append(_Level(tuple(tests)))
    return tuple(levels)


def attribute(name: str) -> Callable[[Node], str]:
    """How to read an attribute of a node. Errors: DataError for one that nodes do not have."""
    if name not in ATTRIBUTES:
        raise DataError(f"nodes have no {name!r} that could be looked at; they have {', '.join(ATTRIBUTES)}")
    return ATTRIBUTES[name]


class Tree:
    """All nodes of a screen in document order, each with the place of the one above it."""

    def __init__(self, root: Node) -> None:
        self._nodes: list[Node] = []
        self._above: list[int] = []
        self._read(root, -1)

    def _read(self, node: Node, above: int) -> None:
        here = len(self._nodes)
        self._nodes.append(node)
        self._above.append(above)
        for child in node.children:
            self._read(child, here)

    def find(self, levels: Sequence[_Level]) -> list[Node]:
        """Nodes that the innermost level fits and that stand below nodes that the others fit."""
        places: Sequence[int] = range(len(self._nodes))
        for level in levels:
            if level is not levels[0]:
                places = self._below(set(places), direct=level.direct)
            for read, compare, value in level.tests:
                places = [place for place in places if compare(read(self._nodes[place]), value)]
            if not places:
                break
        return [self._nodes[place] for place in places]

    def _below(self, places: set[int], *, direct: bool) -> list[int]:
        """Places below some others. What is above a node comes before it."""
        found = []
        for place in range(min(places) + 1, len(self._above)):
            above = self._above[place]
            if above in places:
                found.append(place)
                if not direct:
                    places.add(place)
        return found

    def values(self, sight: Sight) -> tuple[Values, ...]:
        """What the nodes of a sight have for its properties, each once, in document order."""
        reads = [attribute(name) for name in sight.names]
        if sight.path:
            nodes = self.find(parse_path(sight.path))[:1]
        else:
            nodes = [node for text in sight.selectors for node in self.find(parse_selector(text))]
        return tuple(dict.fromkeys(tuple(read(node) for read in reads) for node in nodes))
