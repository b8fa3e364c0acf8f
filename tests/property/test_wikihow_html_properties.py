"""Lines of screens against lxml, the serialiser of the original, over any texts."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlem.environments.wikihow.hierarchy import read_hierarchy, write_hierarchy
from rlem.environments.wikihow.html import Leaf, leaf_of, leaves, line, parse_line, to_html
from rlem.environments.wikihow.nodes import Node

_HARD = st.text(st.sampled_from("&{}<>\"'\n\r\t\xa0\x85\u2028;#amp10x "), max_size=12)
_TEXTS = _HARD | st.text(
    st.characters(codec="utf-8", exclude_characters="\ufffe\uffff").filter(
        lambda character: character >= " " or character in "\t\n\r"
    )
)
_CLASSES = st.sampled_from(
    [
        "TextView",
        "Button",
        "ImageButton",
        "ActionMenuItemView",
        "ImageView",
        "IconView",
        "Image",
        "EditText",
        "View",
    ]
)
_NODES = st.builds(
    Node,
    _CLASSES.map("android.widget.".__add__),
    st.tuples(*[st.integers(0, 1920)] * 4),
    text=_TEXTS,
    resource_id=st.sampled_from(["", "a:id/b_c", "_ref-6", "section_0"]) | _TEXTS,
    content_desc=_TEXTS,
    clickable=st.booleans(),
    focusable=st.booleans(),
    scrollable=st.booleans(),
)


def _trees(children: st.SearchStrategy[Node]) -> st.SearchStrategy[Node]:
    def under(node: Node, below: list[Node]) -> Node:
        node.children = below
        return node

    return st.builds(under, _NODES, st.lists(children, max_size=4))


_TREES = st.recursive(_NODES, _trees, max_leaves=12)


@given(node=_NODES, number=st.integers(0, 300))
def test_a_line_is_what_lxml_writes(node: Node, number: int) -> None:
    """Whatever the texts hold, the line is the original's, character by character."""
    html = pytest.importorskip("lxml.html", reason="lxml is not installed: nothing to compare with")
    leaf = leaf_of(node, node.clickable, node.bounds)
    element = html.Element(leaf.tag)
    for name, value in (
        ("class", leaf.class_words),
        ("alt", leaf.alt),
        ("value", leaf.value),
        ("type", leaf.kind),
    ):
        if value:
            element.set(name, value)
    element.text = leaf.text or None
    element.set("id", str(number))
    element.set("clickable", str(node.clickable).lower())
    theirs = html.tostring(element, pretty_print=True, encoding="unicode").strip()
    assert line(leaf, number) == theirs.replace("\n", "&#10;").replace("\r", "&#13;")


@given(node=_NODES)
def test_a_line_is_read_back(node: Node) -> None:
    """Tag, texts and clickability of a leaf stand in its line, and the line is one line."""
    leaf = leaf_of(node, node.clickable, node.bounds)
    written = line(leaf, 7)
    assert "\n" not in written
    element = parse_line(written)
    assert (element.tag, element.text, element.clickable) == (leaf.tag, leaf.text, leaf.clickable)
    attributes = {
        "class": leaf.class_words,
        "alt": leaf.alt,
        "value": leaf.value,
        "type": leaf.kind,
        "id": "7",
    }
    assert {**element.attributes, "clickable": ""} == {k: v for k, v in attributes.items() if v} | {
        "clickable": ""
    }


@given(tree=_TREES)
def test_a_dump_is_read_back(tree: Node) -> None:
    """Writing a tree and reading it gives the tree, below the root that every dump has; so are its lines."""
    root = read_hierarchy(write_hierarchy(tree))
    assert root.children == [tree]
    assert to_html(leaves(root)) == to_html(leaves(tree))


@given(tree=_TREES)
def test_leaves_are_what_can_be_seen(tree: Node) -> None:
    """Leaves are the childless nodes with an area, in order; what is under a clickable node is clickable."""
    seen = [
        n for n in tree.walk() if not n.children and n.bounds[0] < n.bounds[2] and n.bounds[1] < n.bounds[3]
    ]
    found = leaves(tree)
    assert [id(leaf.node) for leaf in found] == [id(node) for node in seen]
    tree.clickable = True
    assert all(leaf.clickable for leaf in leaves(tree))


@given(text=st.text(string.printable + "\0\x01\ud800\uffff", min_size=1))
def test_what_xml_forbids_is_replaced(text: str) -> None:
    """Any text at all gives a line that can be read; characters that no XML may hold become U+FFFD."""
    shown = parse_line(line(Leaf("p", text=text), 0)).text
    assert len(shown) == len(text)
    assert all(a == b or b == "\ufffd" for a, b in zip(text, shown, strict=True))
