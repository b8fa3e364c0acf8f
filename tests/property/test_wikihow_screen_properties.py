"""Screens of generated sites, all pages, scrolls and overlays: the fast way is the slow one, and the grammar
of the recorded screens holds."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

from hypothesis import given
from hypothesis import strategies as st

from rlem.environments.wikihow.generate import generate
from rlem.environments.wikihow.grammar import page_type
from rlem.environments.wikihow.html import Leaf, leaves, to_html
from rlem.environments.wikihow.nodes import Effect, Node, Page
from rlem.environments.wikihow.screen import Bar, Overlay, Screen
from rlem.environments.wikihow.search import TitleSearch
from rlem.environments.wikihow.sheet import VIEWPORT, Sheet, make_sheet
from rlem.environments.wikihow.site import Site

SEEDS = 3
OVERLAYS: tuple[Overlay, ...] = ("", "", "drawer", "menu", "share")


@cache
def _site(seed: int) -> tuple[Site, TitleSearch, list[Page]]:
    site = generate(seed, 80)
    pages = [
        *(Page("article", article.slug) for article in site.articles),
        *(Page("author", author.slug) for author in site.authors),
        *(Page("category", category.slug) for category in site.categories),
        *(Page("search", article.title) for article in site.articles[:20]),
        *(Page("search", "how to make a", 2), Page("search", "xyzzy"), Page("home"), Page("about")),
        *(Page("categories"), Page("foreign", "Email")),
    ]
    return site, TitleSearch(site), pages


@cache
def _sheet(seed: int, page: Page) -> Sheet:
    site, search, _ = _site(seed)
    if page.kind == "search":
        return make_sheet(site, page, search.search(page.key, page.number), search.count(page.key))
    return make_sheet(site, page)


@st.composite
def screens(draw: st.DrawFn, overlays: tuple[Overlay, ...] = OVERLAYS) -> Screen:
    """Any screen that the app can come to show."""
    seed = draw(st.integers(0, SEEDS - 1))
    page = draw(st.sampled_from(_site(seed)[2]))
    sheet = _sheet(seed, page)
    menu = page.kind == "article"
    icon = Bar("logo" if page.kind == "home" else "icon", menu=menu)
    box = Bar(
        "field", page.key if page.kind == "search" else draw(st.sampled_from(["   ", "a <b> & c"])), menu
    )
    return Screen(
        sheet,
        draw(st.integers(0, sheet.height - VIEWPORT)),
        box if page.kind == "search" or draw(st.booleans()) else icon,
        draw(st.sampled_from(overlays if menu else [over for over in overlays if over in ("", "drawer")])),
        draw(st.booleans()),
    )


def _plain(found: list[Leaf] | tuple[Leaf, ...]) -> list[Leaf]:
    return [replace(leaf, node=None) for leaf in found]


@given(screens())
def test_leaves_and_lines_are_those_of_the_whole_tree(screen: Screen) -> None:
    """Pruned and cut from the sheet, exactly what the filter of the original finds in the full hierarchy."""
    slow = leaves(screen.root())
    assert _plain(tuple(screen.leaves)) == _plain(slow)
    assert screen.html == to_html(slow)


@given(screens())
def test_every_screen_is_one_of_its_page_by_the_grammar(screen: Screen) -> None:
    """The grammar is the one that the recorded screens fit."""
    expected = "menu" if screen.overlay in ("menu", "share") else screen.sheet.page.kind
    assert page_type(screen.html.split("\n")) == expected


@given(screens())
def test_all_boxes_lie_in_the_window(screen: Screen) -> None:
    """What is seen is not empty, and what belongs to the page stands between the bar and the lower edge."""
    of_page = {id(leaf.node) for leaf in screen.sheet.leaves}
    for leaf in screen.leaves:
        x0, y0, x1, y1 = leaf.bounds
        assert 0 <= x0 < x1 <= 1080
        assert (210 if id(leaf.node) in of_page else 0) <= y0 < y1 <= 1794


@given(screens(overlays=("",)))
def test_a_tap_on_the_middle_of_what_is_seen_does_what_that_does(screen: Screen) -> None:
    """The effect of a leaf is that of its node or the nearest above it; none is covered by another."""
    does: dict[int, Effect | None] = {}

    def look(node: Node, above: Effect | None) -> None:
        does[id(node)] = node.effect or above
        for child in node.children:
            look(child, node.effect or above)

    look(screen.sheet.root, None)
    for leaf in screen.leaves:
        x0, y0, x1, y1 = leaf.bounds
        expected = does.get(id(leaf.node))
        if expected is not None:
            assert screen.hit((x0 + x1) // 2, (y0 + y1) // 2) == expected


@given(screens())
def test_a_page_is_seen_whole_by_scrolling(screen: Screen) -> None:
    """Each leaf of a page is on some screen of it, a viewport apart."""
    sheet = screen.sheet
    seen: set[int] = set()
    last = sheet.height - VIEWPORT
    for scroll in sorted({*range(0, last, VIEWPORT), last}):
        seen |= {id(leaf.node) for leaf in Screen(sheet, scroll, screen.bar).leaves}
    assert {id(leaf.node) for leaf in sheet.leaves} - seen == set()
