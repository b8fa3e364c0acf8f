"""Templates, the matcher, and the app's own screens in the grammar of the original's."""

from __future__ import annotations

import random
import re

import pytest

from rlem.core.errors import DataError
from rlem.environments.wikihow.generate import generate
from rlem.environments.wikihow.grammar import PAGES, Mismatch, Parsed, page_type, parse
from rlem.environments.wikihow.grammar_match import (
    END,
    Bottom,
    Line,
    Many,
    Matcher,
    Template,
    Top,
    Window,
    either,
    maybe,
    seq,
)
from rlem.environments.wikihow.html import Element
from rlem.environments.wikihow.nodes import Page
from rlem.environments.wikihow.screen import VIEWPORT, Bar, Overlay, Screen
from rlem.environments.wikihow.sheet import Sheet, make_sheet

A, B, C, D = (Line(name, "p", text=name) for name in "abcd")
SITE = generate(seed=3, n_articles=80)


def elements(text: str) -> list[Element]:
    """Paragraphs, one a letter."""
    return [Element("p", {"clickable": "false"}, letter) for letter in text]


@pytest.mark.parametrize(
    ("template", "fitting", "others"),
    [
        (seq(A, B), "ab", "|a|b|ba|abb"),
        (either(A, seq(B, C)), "a|bc", "|b|abc"),
        (Many(A), "|a|aaa", "b|ab"),
        (Many(either(A, B), 1), "a|abba", "|ac"),
        (Many(seq(A, B), 1), "ab|abab", "aba|"),
        (seq(A, maybe(B), C), "ac|abc", "ab|abbc"),
        (seq(A, Many(maybe(B)), C), "ac|abbc", "a"),  # what may be nothing any number of times ends
        (seq(A, Window(seq(B, C, B)), D), "abcbd|abcd|acd|ad|abd|acbd", "bcd|abbd|accd|a"),
        (Window(seq(Top(C), Many(seq(A, B)))), "abab|ba|cab|c|b", "abc|ccab"),
        (Window(seq(Many(seq(A, B)), Bottom(D), C)), "abd|d|abc|c|bd", "dc|da|dd"),
    ],
)
def test_what_a_template_matches(template: Template, fitting: str, others: str) -> None:
    """Each part means what it says: a window any stretch; a cut row only at the window's edge."""
    matcher = Matcher(template)
    assert [text for text in fitting.split("|") if matcher.match(elements(text))] == []
    assert [text for text in others.split("|") if not matcher.match(elements(text))] == []


def test_a_mismatch_names_the_line_and_what_was_expected() -> None:
    """The first line that no way through the template allows, and all that could have stood there."""
    matcher = Matcher(seq(A, either(B, C), maybe(D)))
    assert matcher.match(elements("ad")) == Mismatch(1, "'d'", ("b", "c"))
    assert matcher.match(elements("a")) == Mismatch(1, END, ("b", "c"))
    assert matcher.match(elements("aba")) == Mismatch(2, "'a'", ("d", END))
    assert str(Mismatch(1, "'d'", ("b", "c"))) == "line 1: 'd'; expected b, c"
    many = Mismatch(0, "'d'", tuple(map(str, range(11))))
    assert str(many).endswith("expected 0, 1, 2, 3, 4, 5, 6, 7 or one of 3 others")


@pytest.mark.parametrize(
    "element",
    [
        Element("div", {"clickable": "true"}, "a"),
        Element("p", {"clickable": "false"}, "a"),
        Element("p", {"clickable": "true"}, "ab"),
        Element("p", {"clickable": "true", "class": "title"}, "a"),
        Element("p", {"clickable": "true", "alt": "x"}, "a"),
        Element("p", {"clickable": "true", "type": "text"}, "a"),
    ],
)
def test_a_line_is_told_by_all_that_it_shows(element: Element) -> None:
    """Tag, text, class, alternative text, type and clickability must all be those of the template."""
    line = Line("a", "p", True, "a")
    assert line.fits(Element("p", {"clickable": "true"}, "a"))
    assert not line.fits(element)


def sheets() -> list[Sheet]:
    """Every kind of page that the app has."""
    pages = [Page(kind) for kind in ("home", "about", "categories", "foreign")]
    pages += [Page("article", article.slug) for article in SITE.articles[:12]]
    pages += [Page("author", author.slug) for author in SITE.authors[:4]]
    pages += [Page("category", category.slug) for category in SITE.categories[:10]]
    found = [make_sheet(SITE, page) for page in pages]
    results = [article.slug for article in SITE.articles[:30]]
    return [
        *found,
        make_sheet(SITE, Page("search", "x", 2), results, 80),
        make_sheet(SITE, Page("search", "x"), [], 0),
    ]


def test_every_screen_of_the_app_fits_the_grammar_of_the_original() -> None:
    """Each page at the top, at the end and anywhere between, with each toolbar and overlay, is parsed as
    that page, and as a whole screen."""
    rng = random.Random(5)
    seen = set()
    for sheet in sheets():
        kind, lowest = sheet.page.kind, sheet.height - VIEWPORT
        for scroll in {0, lowest, rng.randint(0, lowest), rng.randint(0, lowest)}:
            menu = kind == "article"
            bars = [Bar("field", "abc", menu), Bar("field", "", menu)]
            bars.append(Bar("logo") if kind == "home" else Bar("icon", menu=menu))
            for bar in bars:
                overlays: list[Overlay] = ["", "drawer"]
                for overlay in overlays if kind != "foreign" else overlays[:1]:
                    screen = Screen(sheet, scroll, bar, overlay)
                    parsed = parse(screen.html)
                    assert isinstance(parsed, Parsed), f"{sheet.page} at {scroll}: {parsed}"
                    assert (parsed.page, parsed.complete) == (kind, True), (sheet.page, scroll)
                    assert len(parsed.elements) == len(screen.leaves)
                    if kind != "foreign":
                        assert (parsed.drawer, parsed.box) == (overlay == "drawer", bar.kind == "field")
                    seen.add(parsed.page)
    assert {*PAGES} - seen == {"menu", "loading"}


def test_menus_stand_alone() -> None:
    """The menus of the app are the original's: nothing else is on the screen."""
    sheet = make_sheet(SITE, Page("article", SITE.articles[0].slug))
    for overlay, bookmarked in (("menu", False), ("menu", True), ("share", False)):
        screen = Screen(sheet, 0, Bar("icon", menu=True), overlay, bookmarked)  # type: ignore[arg-type]
        assert page_type(screen.html.split("\n")) == "menu"


HOME = """\
<button alt="Open navigation drawer" id="0" clickable="true"></button>
<img class="wikihow toolbar logo" id="1" clickable="false">
<img class="search button" alt="Search" id="2" clickable="true">
<div class="webView" id="3" clickable="true"></div>
<div class="statusBarBackground" id="4" clickable="false"></div>"""


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('id="3" clickable="true"', 'id="3" clickable="false"', "line 3: ''; expected the web view"),
        ('id="3"', 'id="4"', r"line 3: '<div class=.*'; expected id=\"3\""),
        ("<img class=\"search", "<div class=\"search", r"line 2: .*; expected a line of HTML"),
        ("Open navigation", "Shut navigation", r"line 0: 'Shut navigation drawer'; expected "),
        (HOME, "", "line 0: ''; expected a line of HTML"),
        (HOME, "Thank you for shopping with us!", r"line 0: 'Thank .*'; expected a line of HTML"),
    ],
)  # fmt: skip
def test_a_wrong_screen_is_refused_with_line_and_expectation(old: str, new: str, said: str) -> None:
    """parse gives the mismatch, page_type raises it."""
    screen = HOME.replace(old, new, 1)
    mismatch = parse(screen)
    assert isinstance(mismatch, Mismatch)
    assert re.match(said, str(mismatch)), mismatch
    with pytest.raises(DataError, match="not a screen of the app: line"):
        page_type(screen.split("\n"))


def test_recordings_that_break_off_are_not_complete() -> None:
    """What fits up to the status bar, or to a line that lacks its end, is parsed and said to be cut."""
    whole = make_sheet(SITE, Page("article", SITE.articles[0].slug))
    lines = Screen(whole, 0, Bar("icon", menu=True), "").html.split("\n")
    assert page_type(lines) == "article"
    for cut in ("\n".join(lines[:-1]), "\n".join([*lines[:-2], '<div id="99" clickable="false">'])):
        parsed = parse(cut)
        assert isinstance(parsed, Parsed)
        assert (parsed.page, parsed.complete) == ("article", False)
    assert isinstance(parse("\n".join(lines[:3])), Parsed)
    assert isinstance(parse(lines[0]), Mismatch)
