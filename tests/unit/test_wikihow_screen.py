"""Screens: the bar, the page below it, what is open over them; as lines, as a tree, under a finger."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from rlem.environments.wikihow.generate import generate
from rlem.environments.wikihow.hierarchy import read_hierarchy
from rlem.environments.wikihow.html import parse_line
from rlem.environments.wikihow.nodes import NOWHERE, Bounds, Effect, Go, Node, Page, Press
from rlem.environments.wikihow.screen import Bar, Overlay, Screen
from rlem.environments.wikihow.sheet import VIEWPORT, make_sheet
from rlem.environments.wikihow.site import Article, Category, Site

SITE = generate(0, 60)
ARTICLE = make_sheet(SITE, Page("article", SITE.articles[0].slug))
TOP = next(category for category in SITE.categories if not category.parent)
CATEGORY = make_sheet(SITE, Page("category", TOP.slug))
HOME = make_sheet(SITE, Page("home"))
BAR = Bar("icon", menu=True)
DRAWER = ["Home", "Random", "Browse Categories", "Contribute", "Bookmarks", "About wikiHow"]


def middle(screen: Screen, text: str) -> tuple[int, int]:
    """Where a finger taps the first leaf with a text."""
    x0, y0, x1, y1 = next(leaf.bounds for leaf in screen.leaves if text in (leaf.text, leaf.alt))
    return (x0 + x1) // 2, (y0 + y1) // 2


def test_home_is_five_lines() -> None:
    """The original's, whose web part was never crawled."""
    assert Screen(HOME, 0, Bar("logo")).html.splitlines() == [
        '<button alt="Open navigation drawer" id="0" clickable="true"></button>',
        '<img class="wikihow toolbar logo" id="1" clickable="false">',
        '<img class="search button" alt="Search" id="2" clickable="true">',
        '<div class="webView" id="3" clickable="true"></div>',
        '<div class="statusBarBackground" id="4" clickable="false"></div>',
    ]


def test_another_app_is_one_line() -> None:
    """Nothing there can be tapped."""
    screen = Screen(make_sheet(SITE, Page("foreign", "Email")), 0, BAR)
    assert screen.html == '<div id="0" clickable="false"></div>'
    assert screen.hit(500, 100) is None


@pytest.mark.parametrize(
    ("bar", "lines"),
    [
        (Bar("icon"), [("search button", (953, 73, 1080, 199), Press("search"))]),
        (
            BAR,
            [
                ("search button", (848, 73, 975, 199), Press("search")),
                ("", (975, 73, 1080, 199), Press("menu")),
            ],
        ),
        (
            Bar("field", "tents "),
            [
                ("search src text", (168, 73, 953, 199), Press("field")),
                ("search close btn", (953, 73, 1080, 199), Press("clear")),
            ],
        ),
        (
            Bar("field", "   ", menu=True),
            [
                ("search src text", (168, 73, 848, 199), Press("field")),
                ("search close btn", (848, 73, 975, 199), Press("clear")),
                ("", (975, 73, 1080, 199), Press("menu")),
            ],
        ),
    ],
)
def test_the_bar_has_its_buttons(bar: Bar, lines: list[tuple[str, Bounds, Effect]]) -> None:
    """Where they stand in the original; each does its own under its middle, the first opens the drawer."""
    screen = Screen(CATEGORY, 0, bar)
    shown = [leaf for leaf in screen.leaves if 63 <= leaf.bounds[1] < 210][1:]
    assert [(leaf.class_words, leaf.bounds) for leaf in shown] == [line[:2] for line in lines]
    assert [screen.hit((x0 + x1) // 2, 140) for _, (x0, _, x1, _), _ in lines] == [line[2] for line in lines]
    assert screen.hit(73, 136) == Press("drawer")
    values = [leaf.value for leaf in shown if leaf.tag == "input"]
    assert values == ([bar.value] if bar.kind == "field" else [])


def test_an_open_search_box_leaves_the_page_as_it_is() -> None:
    """One line more, and each line of the page unchanged but for its number."""
    closed = Screen(ARTICLE, 0, BAR).html.splitlines()
    opened = Screen(ARTICLE, 0, Bar("field", "   ", menu=True)).html.splitlines()
    assert len(opened) == len(closed) + 1
    assert [parse_line(line).words for line in opened[4:]] == [parse_line(line).words for line in closed[3:]]


def test_an_open_drawer_adds_twelve_lines() -> None:
    """Six icons and titles before the status bar; its button now says "Close"."""
    closed = Screen(ARTICLE, 0, BAR).html.splitlines()
    opened = Screen(ARTICLE, 0, BAR, "drawer").html.splitlines()
    assert len(opened) == len(closed) + 12
    assert opened[1 : len(closed) - 1] == closed[1:-1]
    rows = [parse_line(line) for line in opened[len(closed) - 1 : -1]]
    assert [row.words for row in rows[1::2]] == DRAWER
    assert [row.attributes["class"] for row in rows] == ["icon", "title"] * 6
    assert parse_line(opened[0]).words == "Close navigation drawer"


def test_rows_of_the_drawer_open_pages() -> None:
    """Two of them lead nowhere; beside the drawer nothing of the page can be tapped, but the bar can."""
    screen = Screen(ARTICLE, 0, BAR, "drawer")
    assert [screen.hit(*middle(screen, row)) for row in DRAWER] == [
        *(Go(Page("home")), Go(ARTICLE.random), Go(Page("categories"))),
        *(Press("nothing"), Press("nothing"), Go(Page("about"))),
    ]
    assert screen.over(*middle(screen, "Random"))
    assert (screen.hit(900, 1000), screen.over(900, 1000)) == (None, False)
    assert (screen.hit(900, 140), screen.over(900, 140)) == (Press("search"), False)
    assert screen.hit(600, 1700) == Press("nothing")


@pytest.mark.parametrize(
    ("overlay", "bookmarked", "rows"),
    [
        (
            "menu",
            False,
            [
                ("Bookmark", Press("bookmark")),
                ("Bookmark and save offline", Press("bookmark")),
                ("Share article...", Press("share")),
            ],
        ),
        ("menu", True, [("Remove bookmark", Press("bookmark")), ("Share article...", Press("share"))]),
        (
            "share",
            False,
            [
                ("Share article...", Press("nothing")),
                *((name, Go(Page("foreign", name))) for name in ("Facebook", "Pinterest", "Twitter")),
                *((name, Go(Page("foreign", name))) for name in ("Email", "Text Message")),
            ],
        ),
    ],
)
def test_a_menu_stands_alone(overlay: Overlay, bookmarked: bool, rows: list[tuple[str, Effect]]) -> None:
    """Neither bar nor page are in the hierarchy while it is open; beside it nothing can be tapped."""
    screen = Screen(ARTICLE, 700, BAR, overlay, bookmarked)
    titles = [leaf.text for leaf in screen.leaves if leaf.class_words == "title"]
    assert titles == [text for text, _ in rows]
    others = [leaf.class_words for leaf in screen.leaves if leaf.class_words != "title"]
    assert others == (["submenuarrow"] if overlay == "menu" else ["icon"] * 5)
    assert [screen.hit(*middle(screen, text)) for text in titles] == [effect for _, effect in rows]
    for x, y in ((73, 136), (200, 1000)):
        assert (screen.hit(x, y), screen.over(x, y)) == (None, False)


def test_a_page_is_shifted_and_cut_at_the_edges() -> None:
    """Boxes on the screen are those of the page, 210 lower and higher by the scroll; what is cut keeps its
    visible part, what is off has no place at all."""
    whole = {id(leaf.node): leaf.bounds for leaf in ARTICLE.leaves}
    for leaf in Screen(ARTICLE, 700, BAR).leaves:
        if id(leaf.node) in whole:
            x0, y0, x1, y1 = whole[id(leaf.node)]
            assert leaf.bounds == (x0, max(210, y0 - 490), x1, min(1794, y1 - 490))
    hidden = [node for node in Screen(ARTICLE, 700, BAR).root().walk() if node.text == "trust wikiHow"]
    assert [node.bounds for node in hidden] == [NOWHERE]


def test_what_is_open_over_a_point_of_the_page_counts_with_the_scroll() -> None:
    """The same link is hit where it is shown."""
    top = Screen(ARTICLE, 0, BAR)
    x, y = middle(top, "trust wikiHow")
    assert top.hit(x, y) == Go(Page("about"))
    assert Screen(ARTICLE, 10, BAR).hit(x, y - 10) == Go(Page("about"))
    assert Screen(ARTICLE, 300, BAR).hit(x, y) != Go(Page("about"))


@pytest.mark.parametrize(("page", "clickable"), [("search", True), ("about", True), ("author", False)])
def test_clickability_is_inherited_from_the_root(page: str, clickable: bool) -> None:
    """On search, category and about pages every line of the page says that it can be clicked."""
    key = {"author": SITE.authors[0].slug}.get(page, "tent")
    sheet = make_sheet(SITE, Page(page, key), [SITE.articles[0].slug], 1)  # type: ignore[arg-type]
    shown = [leaf for leaf in Screen(sheet, 0, Bar("icon")).leaves if leaf.bounds[1] >= 210]
    assert all(leaf.clickable for leaf in shown) == clickable
    assert shown


def test_screens_do_not_change_their_sheet() -> None:
    """Threads share sheets."""
    before = make_sheet(SITE, Page("article", SITE.articles[0].slug))
    for scroll in (0, 500, ARTICLE.height - VIEWPORT):
        screen = Screen(ARTICLE, scroll, BAR, "drawer")
        _ = (screen.html, screen.leaves, screen.hit(500, 500))
        tree = screen.root()
        tree.children.clear()
    assert before == ARTICLE


def test_the_chain_of_nodes_is_that_of_a_recorded_screen(golden: Callable[[str], Path]) -> None:
    """Classes and resource ids from the window to the articles of a top category, and inside of a cell."""
    recorded = read_hierarchy(golden("wikihow/view_hierarchy_category.xml").read_bytes())
    ours = Screen(CATEGORY, 0, Bar("icon")).root()

    def path(root: Node, name: str) -> list[tuple[str, str]]:
        def look(node: Node, above: list[tuple[str, str]]) -> list[tuple[str, str]]:
            here = [*above, (node.cls, node.resource_id)]
            found = here if node.resource_id.endswith(name) else []
            return found or next(filter(None, (look(child, here) for child in node.children)), [])

        found = look(root, [])
        return found[next(i for i, (cls, _) in enumerate(found) if cls.endswith("FrameLayout")) :]

    for name in (
        "search_button",
        "cat_all",
        "cat_parent",
        "topics_grid",
        "banner_submit",
        "statusBarBackground",
    ):
        assert path(ours, name) == path(recorded, name), name

    def cell(root: Node) -> list[str]:
        part = next(node for node in root.walk() if node.resource_id == "cat_all")
        whole = next(
            node for node in part.children if [child.text for child in node.children] == ["", "Expert"]
        )
        return [node.cls for node in whole.walk()]

    assert cell(ours) == cell(recorded)


def test_search_results_are_cut_where_the_recorded_ones_are(golden: Callable[[str], Path]) -> None:
    """With the titles and lines of a recorded screen ours has as many leaves, for most of those recorded."""
    recorded = json.loads(golden("wikihow/screens_by_type.json").read_text("utf-8"))["search"]
    alike, tried = 0, 0
    for screen in dict.fromkeys(recorded):
        lines = [parse_line(line) for line in screen.split("\n")]
        rows: list[list[str]] = []
        for words in (line.text for line in lines[3:-1] if "class" not in line.attributes):
            if words.startswith("How to"):
                rows.append([words])
            elif rows:
                rows[-1].append(words)
        whole = all(len(row) in (6, 8) for row in rows[:-1]) and len(rows[-1]) <= 8
        if not whole or lines[3].attributes.get("class"):
            continue  # a title of another form, or old nodes above the first one
        ours = make_sheet(
            _site(rows), Page("search", "q"), [str(number) for number in range(len(rows) + 1)], 9
        )
        tried += 1
        alike += len(Screen(ours, 0, Bar("field", "q")).leaves) == len(lines)
    assert tried >= 10
    assert alike / tried >= 0.85


def _site(rows: list[list[str]]) -> Site:
    """A site that holds the articles of recorded rows; the last is shown in part, so its badge is guessed."""
    articles = [
        Article(
            slug=str(number),
            title=row[0].removeprefix("How to "),
            category="c",
            updated="",
            ago="2 years ago",
            views=1000,
            badge="Expert Co-Authored" if len(row) == 8 else "",
        )
        for number, row in enumerate([*rows, ["How to End"]])
    ]
    return Site(articles=tuple(articles), authors=(), categories=(Category(slug="c", name="C"),))
