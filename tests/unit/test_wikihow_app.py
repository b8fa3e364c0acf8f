"""The app: where taps lead, what it logs, the way back."""

from __future__ import annotations

from functools import cache

import pytest

from rlem.environments.wikihow.app import SCROLL, App, Shelf, address
from rlem.environments.wikihow.generate import generate
from rlem.environments.wikihow.nodes import Effect, Go, Jump, Page, Press
from rlem.environments.wikihow.site import Article


@cache
def shelf() -> Shelf:
    """A site, made once."""
    return Shelf(generate(0, 120))


def article_with(**wanted: bool) -> Article:
    """The first article that has, or lacks, these fields."""
    for article in shelf().site.articles:
        if all(bool(getattr(article, name)) is value for name, value in wanted.items()):
            return article
    raise AssertionError(f"the site has no article with {wanted}")


def points(app: App, effect: Effect) -> list[tuple[int, int]]:
    """Middles of the elements on the screen whose tap does that."""
    screen = app.screen()
    middles = [((x0 + x1) // 2, (y0 + y1) // 2) for x0, y0, x1, y1 in (leaf.bounds for leaf in screen.leaves)]
    return [point for point in middles if screen.hit(*point) == effect]


def press(app: App, effect: Effect) -> list[str]:
    """Taps the first such element."""
    found = points(app, effect)
    assert found, f"no element on the screen does {effect}:\n{app.screen().html}"
    return app.tap(*found[0])


def over(app: App) -> str:
    """What lies over the page."""
    return app.overlay


def search(app: App, words: str) -> list[str]:
    """Types into the search at the top."""
    (point, *_) = points(app, Press("search")) or points(app, Press("field"))
    return app.type(*point, words)


def opened(article: Article) -> App:
    """An app in which the article was found and opened."""
    app = App(shelf())
    search(app, article.title)
    for _ in range(5):
        if points(app, Go(Page("article", article.slug))):
            assert press(app, Go(Page("article", article.slug))) == [
                f"mUrl is: https://www.wikihow.com/{article.slug}?wh_an=1&amp=1"
            ]
            return app
        app.scroll("DOWN")
    raise AssertionError(f"{article.title!r} is not among the first results")


def test_it_starts_at_the_empty_home_page() -> None:
    """Five elements, the search among them."""
    lines = App(shelf()).screen().html.split("\n")
    assert len(lines) == 5
    assert lines[2] == '<img class="search button" alt="Search" id="2" clickable="true">'


def test_a_search_is_logged_and_shown() -> None:
    """The query arrives as word pieces; the bar shows it; results follow."""
    app = App(shelf())
    assert search(app, "Paint (Old) Chairs!") == [
        "mUrl is: https://www.wikihow.com/wikiHowTo?search=paint+%28+old+%29+chairs+%21"
    ]
    assert 'value="paint ( old ) chairs !" type="text" id="1"' in app.screen().html


def test_typing_into_clear_brings_the_same_results_again() -> None:
    """What is typed there is lost; the query stays."""
    app = App(shelf())
    first = search(app, "clean a carpet")
    assert app.type(*points(app, Press("clear"))[0], "something else") == first


def test_typing_where_no_field_is_is_a_tap() -> None:
    """The element is clicked and the text ignored."""
    app = App(shelf())
    search(app, "clean a carpet")
    page = next(Page("article", slug) for slug in shelf().search.search("clean a carpet"))
    app.type(*points(app, Go(page))[0], "words")
    assert app.page == page


def test_empty_typing_opens_the_search_box_over_the_page() -> None:
    """Blanks alone search for nothing; the box stands open with blanks, and going back closes it."""
    app = App(shelf())
    before = app.screen().html
    assert search(app, "   \u00a0") == []
    assert 'class="search src text"' in app.screen().html
    assert app.back() == []
    assert app.screen().html == before


def test_the_references_link_jumps_and_logs() -> None:
    """The line says "url", not "mUrl", and the list is on the screen afterwards."""
    app = opened(article_with(references=True))
    slug = app.page.key
    assert press(app, Jump("References")) == [
        f"url is: https://www.wikihow.com/{slug}?wh_an=1&amp=1#References"
    ]
    assert ">References</" in app.screen().html
    assert app.scrolled > 0


def test_no_link_where_there_are_no_references() -> None:
    """An article without references has no such link in its byline."""
    assert points(opened(article_with(references=False)), Jump("References")) == []


def test_up_the_categories() -> None:
    """From the crumb of an article "<" leads to the categories above, and from the top one to the list."""
    site = shelf().site
    article = next(a for a in site.articles if site.category[a.category].parent)
    app = opened(article)
    slug = article.category
    press(app, Go(Page("category", slug)))
    while parent := site.category[slug].parent:
        assert press(app, Go(Page("category", parent))) == [
            f"mUrl is: https://www.wikihow.com/Category:{parent}?wh_an=1&amp=1"
        ]
        slug = parent
    press(app, Go(Page("categories")))
    assert app.page.kind == "categories"


def test_about_and_author_pages() -> None:
    """The lines of trust and the byline lead there."""
    article = article_with(authors=True)
    app = opened(article)
    assert press(app, Go(Page("about"))) == [
        "mUrl is: https://www.wikihow.com/wikiHow:Delivering-a-Trustworthy-Experience?wh_an=1&amp=1"
    ]
    app.back()
    press(app, Go(Page("author", article.authors[0])))
    assert app.page == Page("author", article.authors[0])


def test_back_restores_page_and_scroll_and_logs_nothing() -> None:
    """Going back shows the very screen that was left, down to the home page, where it does nothing more."""
    app = opened(article_with(authors=True))
    app.scroll("DOWN")
    before = app.screen().html
    app.scroll("UP")
    app.scroll("DOWN")
    search(app, "clean a carpet")
    assert app.back() == []
    assert app.screen().html == before
    for _ in range(3):
        app.back()
    assert app.page == Page("home")


def test_scrolling_stops_at_both_ends_and_sideways_does_nothing() -> None:
    """The page moves by one step, never beyond its top or bottom."""
    app = opened(article_with(authors=True))
    for direction in ("LEFT", "RIGHT", "UP"):
        app.scroll(direction)
        assert app.scrolled == 0
    app.scroll("DOWN")
    assert app.scrolled == SCROLL
    seen = set()
    while app.scrolled not in seen:
        seen.add(app.scrolled)
        app.scroll("DOWN")
    bottom = app.scrolled
    app.scroll("DOWN")
    assert app.scrolled == bottom
    app.scroll("UP")
    assert app.scrolled == max(0, bottom - SCROLL)


def test_the_drawer_lies_over_the_page() -> None:
    """It opens and closes by its button, closes by a tap beside it, and hides the page from taps."""
    app = opened(article_with(authors=True))
    button = points(app, Press("drawer"))[0]
    page = app.page
    app.tap(*button)
    assert over(app) == "drawer"
    app.scroll("DOWN")
    assert app.scrolled == 0
    app.tap(1000, 900)
    assert (over(app), app.page) == ("", page)
    app.tap(*button)
    app.tap(*button)
    assert over(app) == ""
    app.tap(*button)
    press(app, Go(Page("home")))
    assert (app.overlay, app.page) == ("", Page("home"))


def test_menu_share_and_leaving_the_app() -> None:
    """More options, Share article, another app: that is where an episode ends."""
    app = opened(article_with(authors=True))
    press(app, Press("menu"))
    press(app, Press("share"))
    assert over(app) == "share"
    app.back()
    assert over(app) == "menu"
    app.back()
    assert over(app) == ""
    press(app, Press("menu"))
    press(app, Press("share"))
    assert not app.left
    assert press(app, Go(Page("foreign", "Facebook"))) == []
    assert app.left


def test_bookmarks_are_kept_for_the_episode() -> None:
    """The menu offers to remove what was set."""
    app = opened(article_with(authors=True))
    press(app, Press("menu"))
    press(app, Press("bookmark"))
    press(app, Press("menu"))
    assert "Remove bookmark" in app.screen().html


def test_the_field_of_a_category_searches() -> None:
    """The banner of a top category has a field of its own; its button alone searches for nothing."""
    top = next(category for category in shelf().site.categories if not category.parent)
    app = App(shelf())
    app.open(Page("category", top.slug))
    below = [point for point in points(app, Press("field")) if point[1] > 210]
    assert app.tap(*points(app, Press("submit"))[0]) == []
    assert app.type(*below[0], "a kite") == ["mUrl is: https://www.wikihow.com/wikiHowTo?search=a+kite"]


@pytest.mark.parametrize(
    ("page", "tail"),
    [
        (Page("search", "a b", 2), "wikiHowTo?search=a+b&start=30"),
        (Page("author", "Ada-Hollis-RN"), "Author/Ada-Hollis-RN?wh_an=1&amp=1"),
        (Page("article", "Buy-a-Boat-(for-Beginners)"), "Buy-a-Boat-(for-Beginners)?wh_an=1&amp=1"),
        (Page("categories"), "Special:Categorylisting?wh_an=1&amp=1"),
    ],
)
def test_addresses(page: Page, tail: str) -> None:
    """Addresses as the log of the original has them."""
    assert address(page) == f"https://www.wikihow.com/{tail}"


def test_what_is_typed_at_a_menu_closes_it() -> None:
    """The button of the menu takes no text: the page stays as it was, and nothing lies over it."""
    app = opened(article_with(references=True))
    before = app.screen().html
    (point,) = points(app, Press("menu"))
    assert app.type(*point, "repair a tent") == []
    assert app.overlay == ""
    assert app.screen().html == before
