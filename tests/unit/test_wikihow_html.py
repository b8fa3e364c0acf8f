"""View hierarchies, their leaves and their lines, by hand."""

from __future__ import annotations

import pytest

from rlem.core.errors import DataError
from rlem.environments.wikihow.hierarchy import read_hierarchy, write_hierarchy
from rlem.environments.wikihow.html import leaves, parse_line, to_html
from rlem.environments.wikihow.nodes import Node

_BOX = (0, 0, 10, 10)
_NODE = '<node text="" resource-id="" class="a.View" content-desc="" clickable="false" bounds="[0,0][9,9]"/>'


def html(*children: Node, clickable: bool = False) -> str:
    """Lines of nodes below one root."""
    return to_html(leaves(Node("a.FrameLayout", _BOX, clickable=clickable, children=list(children))))


@pytest.mark.parametrize(
    ("node", "expected"),
    [
        (Node("android.widget.TextView", text="a < b"), '<p id="0" clickable="false">a &lt; b</p>'),
        (Node("a.ImageButton", content_desc="Go"), '<button alt="Go" id="0" clickable="false"></button>'),
        (Node("x.ActionMenuItemView", text="Go"), '<button id="0" clickable="false">Go</button>'),
        (Node("a.widget.Image", text="A", content_desc="B"), '<img alt="B: A" id="0" clickable="false">'),
        (Node("android.widget.ImageView", text="A"), '<img alt="A" id="0" clickable="false">'),
        (
            Node("android.widget.EditText", text='say "no"', resource_id="w:id/search_src_text"),
            "<input class=\"search src text\" value='say \"no\"' type=\"text\" id=\"0\" clickable=\"false\">",
        ),
        (
            Node("a.Image", text="\"a' &{b} &{"),
            '<img alt="&quot;a\' &{b} &amp;{" id="0" clickable="false">',  # as the serialiser has it
        ),
        (Node("a.View", text="\"a\xa0' &{b}"), '<div id="0" clickable="false">"a\xa0\' &amp;{b}</div>'),
        (Node("android.widget.EditText"), '<input type="text" id="0" clickable="false">'),
        (
            Node("android.view.View", text="\n", resource_id="_ref-6"),
            '<div class=" ref-6" id="0" clickable="false">&#10;</div>',
        ),
    ],
)  # fmt: skip
def test_the_line_of_a_node(node: Node, expected: str) -> None:
    """Tag by class, class words by resource id, texts where their tag has them."""
    node.bounds = _BOX
    assert html(node) == expected


def test_clickability_is_inherited_from_any_height() -> None:
    """A leaf below a clickable node is clickable, however far below; its neighbours are not."""
    deep = Node("a.View", _BOX, children=[Node("a.View", children=[Node("a.View", _BOX, text="deep")])])
    deep.clickable = True
    lines = html(deep, Node("a.View", _BOX, text="beside")).split("\n")
    assert lines == ['<div id="0" clickable="true">deep</div>', '<div id="1" clickable="false">beside</div>']


def test_nodes_without_an_area_are_no_leaves() -> None:
    """Off the screen, inverted or flat: dropped, and numbers have no gaps. A parent's box does not matter."""
    boxes = [(0, 0, 0, 0), (42, 210, 498, 58), (0, 5, 9, 5), (0, 5, 9, 6)]
    inside = Node("a.View", (0, 0, 0, 0), children=[Node("a.View", box, text=str(box)) for box in boxes])
    assert html(inside) == '<div id="0" clickable="false">(0, 5, 9, 6)</div>'


def test_bounds_behind_a_line_are_dropped() -> None:
    """Some recordings say them; the element is the same."""
    plain = '<img class="search button" alt="Search" id="1" clickable="true">'
    assert parse_line(plain + " [848, 73, 975, 199]") == parse_line(plain)
    assert parse_line(plain).words == "Search"
    assert list(parse_line(plain).attributes) == ["class", "alt", "id", "clickable"]


@pytest.mark.parametrize(
    "line",
    [
        "",
        "text",
        "<p>",
        "<p></div>",
        "<img></img>",
        "<p id=3></p>",
        '<p id="3"><b></b></p>',
        '<p id="3"></p>x',
        "<p></p>" * 2,
    ],
)
def test_what_is_no_line(line: str) -> None:
    """Anything but one element with text alone is refused, and the message shows what was expected."""
    with pytest.raises(DataError, match=r"not a line of a screen: .*expected one like <p"):
        parse_line(line)


@pytest.mark.parametrize(
    ("xml", "message"),
    [
        ("", "line 1, column 1: not XML: no element found"),
        ("<hierarchy>", "not XML: no element found"),
        ("<hierarchy>\n  <node/>\n</hierarchy>", "line 2, column 3: a node lacks the attribute 'text'"),
        (f"<hierarchy>{_NODE.replace('[9,9]', '')}</hierarchy>", r"bounds '\[0,0\]'; expected the form"),
        (f"<hierarchy>{_NODE.replace('false', 'no')}</hierarchy>", "clickable is 'no'; expected 'true' or"),
        (_NODE, "line 1, column 1: element 'node'; expected 'hierarchy'"),
        ("<hierarchy><b/></hierarchy>", "element 'b'; expected 'node'"),
        ('<!DOCTYPE h [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><hierarchy/>', "a document type is declared"),
        ("<hierarchy>&a;</hierarchy>", "not XML: undefined entity"),
        (f"<hierarchy>{_NODE.replace('/>', '>') * 250}", "nested deeper than 200 levels"),
        (b"\xff\xff<hierarchy/>", "not XML"),
        (b"<?xml version='1.0' encoding='shift_jis'?><hierarchy/>", "cannot be decoded|not XML"),
        (b"<?xml version='1.0' encoding='no-such'?><hierarchy/>", "cannot be decoded|not XML"),
        ("<hierarchy>\ud800</hierarchy>", "cannot be decoded"),
    ],
)  # fmt: skip
def test_hostile_dumps_are_refused(xml: str | bytes, message: str) -> None:
    """What is broken, foreign, too deep or could grow is an error that names line and column."""
    with pytest.raises(DataError, match=message) as caught:
        read_hierarchy(xml)
    assert str(caught.value).startswith("view hierarchy, line ")


def test_a_dump_has_the_attributes_of_a_real_one() -> None:
    """Each node says all that uiautomator says; a root that is the hierarchy itself is not written twice."""
    written = write_hierarchy(Node("a.View", (1, 2, 3, 4), text='"&\t', clickable=True))
    assert written == (
        "<?xml version='1.0' encoding='UTF-8' standalone='yes' ?><hierarchy rotation=\"0\">"
        '<node index="0" text="&quot;&amp;&#9;" resource-id="" class="a.View" '
        'package="com.wikihow.wikihowapp" content-desc="" '
        'checkable="false" checked="false" clickable="true" enabled="true" focusable="false" '
        'focused="false" scrollable="false" long-clickable="false" password="false" selected="false" '
        'bounds="[1,2][3,4]" /></hierarchy>'
    )
    assert write_hierarchy(read_hierarchy(written)) == written
