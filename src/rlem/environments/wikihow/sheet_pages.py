"""The smaller pages: search results, an author, and why to trust what is written."""

from __future__ import annotations

from collections.abc import Sequence

from rlem.environments.wikihow.nodes import Go, Node, Page
from rlem.environments.wikihow.search import PER_PAGE
from rlem.environments.wikihow.sheet_boxes import (
    BUTTON,
    IMAGE,
    LINE,
    TEXT,
    VIEW,
    Column,
    article,
    group,
    link,
    tappable,
)
from rlem.environments.wikihow.site import Author, Site

_ABSTRACT = 220
"""Letters of an article's beginning on its author's page."""


def search_nodes(site: Site, page: Page, results: Sequence[str], count: int) -> list[Node]:
    """One page of search results, and buttons for the pages beside it. With 50 pixels a line, 40 more for a
    long title and 42 around each row, 24 of 28 recorded screens end at the same line as ours."""
    rows = []
    y = 0
    for slug in results:
        rows.append(_result(site, slug, y))
        y = rows[-1].bounds[3]
    buttons = []
    if page.number > 1:
        buttons.append(_turn("< Previous", Page("search", page.key, page.number - 1), 36, y))
    if page.number * PER_PAGE < count:
        buttons.append(_turn("Next >", Page("search", page.key, page.number + 1), 556, y))
    if not rows:
        rows.append(Node(VIEW, (36, 36, 1044, 86), "No results found"))
    return [group([group(rows, "searchresults_list"), *([group(buttons)] if buttons else [])], "bodyContent")]


def author_nodes(site: Site, it: Author) -> list[Node]:
    """Who somebody is, how articles are checked, and what they wrote."""
    column = Column(y=60)
    picture = Node(IMAGE, (240, 60, 840, 660), it.name)
    column.add(picture)
    column.flow([*([link("Website")] if it.website else []), link("+ Follow")])
    column.y += 30
    column.block(it.name, 80)
    column.block(it.job)
    column.block(it.bio)
    column.block(height=40)
    column.block("wikiHow's Editorial Process", 80, TEXT)
    column.block(
        "Whoever writes here knows the subject, and whoever edits checks each claim against a source that "
        "can be read. Readers say where a page helped them and where it did not; what they report is looked "
        "into, a page says when it was last changed, and what nobody can vouch for is taken out of it.",
        cls=TEXT,
    )
    more = "Learn more about our editorial process and how a page comes to be."
    column.flow([link(more, Go(Page("about")))])
    column.block(height=40)
    column.block(f"Co-authored Articles ({it.total})", 110)
    for slug in it.articles:
        cell = Column(column.y + 58)
        cell.block("How to")
        cell.block(site.article[slug].title, 60)
        text = "".join(piece.text for piece in site.article[slug].intro)
        cell.block(text[:_ABSTRACT].rstrip() + "...")
        column.add(tappable(cell.nodes, f"How to {site.article[slug].title}", article(slug)))
    return [group(column.nodes, "authors_container")]


def about_nodes() -> list[Node]:
    """Why people trust what is written here."""
    head = Column(y=80)
    head.block("Information You Can Trust", 90)
    head.block("A Guide to our Editorial Process", 90)
    body = Column(head.y + 40)
    body.block(
        "A page is worth reading when it says how to do a thing, who says so and how that person knows. We "
        "keep to this order for every article, old or new, and correct what turns out to be wrong."
    )
    body.y += 60
    body.block("Our Mission", 300, IMAGE)
    body.block("Our Mission", 90)
    body.block("Anybody should be able to learn how to do anything, in plain words and at no cost.")
    body.y += 60
    body.block("Our Expert Team", 90)
    body.block(
        "People with years in a trade, a clinic or a classroom read what is written about it. They mark what "
        "they would do differently, and the article is changed before their name is put under it."
    )
    body.y += 400
    body.block("Our Sources", 90)
    body.block("Each claim that could be doubted leads to a source, listed at the end of the article.")
    return [group([group(head.nodes, "trustworthy_head"), *body.nodes], "trustworthy_top")]


def _result(site: Site, slug: str, y: int) -> Node:
    it = site.article[slug]
    title = f"How to {it.title}"
    column = Column(y + 36)
    column.block(title, 90 if len(title) > 50 else 50)
    for words in ([f"{it.views:,} views"], ["Updated", it.ago], [it.badge] if it.badge else []):
        left, top = 60, column.y
        for word in ["• ", *words] if words else []:
            cls = VIEW if word == "• " else TEXT
            right = left + 22 * len(word)
            column.add(Node(cls, (left, top, right, top + 50), word))
            left = right + 10
    column.nodes[0].effect = article(slug)  # the title; what stands below it is not known to react
    return tappable(column.nodes, title, None, (0, y, 1080, column.y + 6))


def _turn(text: str, page: Page, left: int, y: int) -> Node:
    box = (left, y + 40, left + 488, y + 40 + 2 * LINE)
    return Node(BUTTON, box, text, clickable=True, focusable=True, effect=Go(page))
