"""A screen as lines of HTML: the leaves of its view hierarchy, numbered, as Mobile-Env's agents read them.

Source: Mobile-Env's VhIoWrapper and its conversion of view hierarchies. Texts are escaped as lxml's HTML
serialiser escapes them, so that a line of ours and one of theirs are the same characters.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache, lru_cache

from rlem.core.errors import DataError
from rlem.environments.wikihow.nodes import NOWHERE, Bounds, Node

_TAGS = (
    (("TextView",), "p"),
    (("Button", "MenuItemView"), "button"),  # an ImageButton, too
    (("ImageView", "IconView", "Image"), "img"),
    (("EditText",), "input"),
)
"""Tag by the end of a node's class; the first that fits."""
_VOID = ("img", "input")
"""Tags that hold no text and have no end tag."""
_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "\n": "&#10;", "\r": "&#13;"}
_CHARACTERS = {entity: character for character, entity in _ENTITIES.items()}
_ENTITY = re.compile("|".join(_CHARACTERS))
_FORBIDDEN = "\0-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff"
"""Characters that no XML may hold."""
_SPECIAL = re.compile(f'[&<>"\n\r{_FORBIDDEN}]')
_MACRO = re.compile(r"&(?=\{.*\})", re.DOTALL)
_LINE = re.compile(
    r"""<(?P<tag>[a-z][\w.-]*)(?P<attributes>(?:\ [\w-]+=(?:"[^"<>]*"|'[^'<>]*'))*)>
    (?:(?P<text>[^<>]*)</(?P<end>[a-z][\w.-]*)>)?
    (?:\ \[\d+,\ \d+,\ \d+,\ \d+\])?""",  # some recordings say the bounds behind
    re.VERBOSE,
)
_ATTRIBUTE = re.compile(r""" ([\w-]+)=(?:"([^"]*)"|'([^']*)')""")


@dataclass(frozen=True, slots=True)
class Leaf:
    """A node without children that can be seen. ``text`` is what stands inside of its element; an img has its
    text in ``alt``, an input in ``value``. ``kind``: the type of an input. Empty texts are no attributes."""

    tag: str
    class_words: str = ""
    alt: str = ""
    value: str = ""
    kind: str = ""
    text: str = ""
    clickable: bool = False
    bounds: Bounds = NOWHERE
    node: Node | None = None

    @property
    def middle(self) -> tuple[int, int]:
        """The point where a click on it lands."""
        x0, y0, x1, y1 = self.bounds
        return (x0 + x1) // 2, (y0 + y1) // 2


@dataclass(frozen=True, slots=True)
class Element:
    """A line that was parsed: tag, attributes in their order, the text inside."""

    tag: str
    attributes: Mapping[str, str]
    text: str = ""

    @property
    def clickable(self) -> bool:
        """Whether the line says so."""
        return self.attributes.get("clickable") == "true"

    @property
    def words(self) -> str:
        """What a person reads there: its text, value or alternative text."""
        return self.text or self.attributes.get("value", "") or self.attributes.get("alt", "")


def leaves(root: Node) -> list[Leaf]:
    """What can be seen of a tree with bounds of the window, in document order.

    A node counts as clickable if it, or any node above it, is. Kept are nodes without children with
    x0 < x1 and y0 < y1.
    """
    found = []
    todo = [(root, root.clickable)]
    while todo:
        node, clickable = todo.pop()
        if node.children:
            todo += [(child, clickable or child.clickable) for child in reversed(node.children)]
            continue
        x0, y0, x1, y1 = node.bounds
        if x0 < x1 and y0 < y1:
            found.append(leaf_of(node, clickable, node.bounds))
    return found


def leaf_of(node: Node, clickable: bool, bounds: Bounds) -> Leaf:
    """The leaf of a node without children: ``clickable`` with what it inherits, ``bounds`` in the window."""
    tag = _tag(node.cls)
    alt, value, kind, text = node.content_desc, "", "", node.text
    if tag == "img":
        alt, text = ": ".join(filter(None, (alt, text))), ""
    elif tag == "input":
        value, kind, text = text, "text", ""
    return Leaf(tag, _class_words(node.resource_id), alt, value, kind, text, clickable, bounds, node)


def line(leaf: Leaf, number: int) -> str:
    """The line of a leaf: ``<p class="title" id="7" clickable="true">Home</p>``."""
    head, tail = _around_number(
        leaf.tag, leaf.class_words, leaf.alt, leaf.value, leaf.kind, leaf.text, leaf.clickable
    )
    return f"{head}{number}{tail}"


def to_html(leaves: Iterable[Leaf]) -> str:
    """The lines of all leaves, numbered from 0."""
    return "\n".join([line(leaf, number) for number, leaf in enumerate(leaves)])


def parse_line(line: str) -> Element:
    """The element that a line shows. Bounds behind the element are allowed and dropped.

    Errors: DataError for anything but one element with text alone.

    >>> parse_line('<p id="3" clickable="true">Tips &amp; Tricks</p>').text
    'Tips & Tricks'
    """
    found = _LINE.fullmatch(line)
    tag = found["tag"] if found else ""
    if found is None or found["end"] != (None if tag in _VOID else tag):
        raise DataError(
            f'not a line of a screen: {line[:200]!r}; expected one like <p id="3" clickable="true">Home</p>'
        )
    attributes = {
        name: _unescaped(double or single) for name, double, single in _ATTRIBUTE.findall(found["attributes"])
    }
    return Element(tag, attributes, _unescaped(found["text"] or ""))


def escaped(text: str, keep: str = '"') -> str:
    """A text with entities for what would end it, and U+FFFD for what no XML may hold. ``keep``: characters
    that need no entity where the text stands."""

    def entity(found: re.Match[str]) -> str:
        character = found[0]
        return character if character in keep else _ENTITIES.get(character, "\ufffd")

    return _SPECIAL.sub(entity, text)


@cache  # as many as there are classes of widgets
def _tag(cls: str) -> str:
    return next((tag for ends, tag in _TAGS if cls.endswith(ends)), "div")


@lru_cache(maxsize=4096)
def _class_words(resource_id: str) -> str:
    return resource_id.rpartition("/")[2].replace("_", " ")


@lru_cache(maxsize=16384)  # escaping is what takes time, and a screen shows again most of the one before
def _around_number(
    tag: str, class_words: str, alt: str, value: str, kind: str, text: str, clickable: bool
) -> tuple[str, str]:
    """A line up to its number, and from there on."""
    attributes = (("class", class_words), ("alt", alt), ("value", value), ("type", kind))
    shown = "".join(f" {name}={_quoted(said)}" for name, said in attributes if said)
    inside = "" if tag in _VOID else f"{escaped(text)}</{tag}>"
    return f'<{tag}{shown} id="', f'" clickable="{"true" if clickable else "false"}">{inside}'


def _quoted(text: str) -> str:
    """An attribute's value in quotes: in double ones unless it holds double quotes and no single ones.

    The serialiser leaves ``&`` alone where ``&{...}``, a macro of HTML 4, may begin.
    """
    quote, keep = ("'", '"') if '"' in text and "'" not in text else ('"', "")
    if "&{" not in text:
        return f"{quote}{escaped(text, keep)}{quote}"
    return f"{quote}{'&'.join(escaped(part, keep) for part in _MACRO.split(text))}{quote}"


def _unescaped(text: str) -> str:
    return _ENTITY.sub(lambda found: _CHARACTERS[found[0]], text) if "&" in text else text
