"""The pages of categories: one of them, and the list of all."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import quote
from zlib import crc32

from rlem.environments.wikihow.nodes import Node, Press
from rlem.environments.wikihow.sheet_boxes import (
    BUTTON,
    FIELD,
    IMAGE,
    TEXT,
    VIEW,
    WIDTH,
    Column,
    article,
    category,
    group,
    inline,
    link,
    tappable,
)
from rlem.environments.wikihow.site import Category, Site

_MOST = 104
"""Articles that a category shows, as the original's; no reader comes to the end of them within 15 steps."""
_PITCH = 622
"""From one row of cells to the next."""
_SIDES = ((10, 13, 42, 498), (532, 535, 561, 1021))
"""Of the left and the right cell: its edge, that of its picture, both of its text."""


def category_nodes(site: Site, it: Category) -> tuple[list[Node], list[Node]]:
    """What stands above the content (the banner of a top category), and the content."""
    banner = [] if it.parent else [_banner(it)]
    y = banner[0].bounds[3] if banner else 0
    top = Node(VIEW, (0, y + 20, WIDTH, y + 150), resource_id="cat_navigation")
    arrow = tappable(
        [Node(TEXT, (36, y + 40, 80, y + 130), "<"), Node(VIEW, (80, y + 40, 120, y + 130))],
        "<",
        category(it.parent),
    )
    arrow.resource_id = "cat_parent"
    top.children = [arrow, Node(VIEW, (140, y + 40, 1044, y + 130), it.name)]
    text = Column(top.bounds[3] + 20)
    text.flow(inline(it.description))
    body = [group(text.nodes, "cat_description")]
    y = text.y + 40
    if it.topics and not it.parent:
        body.append(_topics(site, it, y))
        y = body[-1].bounds[3]
    for heading, slugs, name in (
        ("Featured Articles", it.featured, "cat_featured"),
        (f"Articles about {it.name}", it.articles[:_MOST], "cat_all"),
    ):
        if slugs:
            title = Node(VIEW, (36, y + 30, 1044, y + 110), heading)
            part = group([title, *_cells(site, it, slugs, y + 130)], name)
            body.append(group([part], "cat_container") if name == "cat_all" else part)
            y = part.bounds[3]
    return banner, [group([top]), group([group(body, "mw-content-text")], "bodyContent")]


def categories_nodes(site: Site) -> list[Node]:
    """The list of the top categories, each with those below it."""
    column = Column(y=40)
    column.block("Categories", 110)
    for top in site.categories:
        if not top.parent:
            column.y += 20
            column.flow([link(top.name, category(top.slug))])
    return [group(column.nodes, "bodyContent")]


def _banner(it: Category) -> Node:
    field = Node(FIELD, (150, 230, 830, 330), resource_id="category_banner_search_input")
    field.effect = Press("field")
    submit = Node(BUTTON, (830, 230, 930, 330), resource_id="category_banner_submit", effect=Press("submit"))
    for node in (field, submit):
        node.clickable = node.focusable = True
    title = Node(VIEW, (36, 90, 1044, 200), it.name, "category_banner_title")
    inside = group([title, group([field, submit], "category_banner_search")], "category_banner_overlay")
    return Node(VIEW, (0, 0, WIDTH, 420), resource_id="category_banner_wrap", children=[inside])


def _topics(site: Site, it: Category, y: int) -> Node:
    cells = []
    for index, slug in enumerate(it.topics):
        name = site.category[slug].name
        left, top = _SIDES[index % 2][1], y + 130 + 300 * (index // 2)
        picture = Node(IMAGE, (left, top, left + 512, top + 205), f"-crop-250-100-150px-{quote(slug)}")
        words = Node(VIEW, (left, top + 205, left + 512, top + 270), name)
        cells.append(tappable([picture, words], name, category(slug)))
    title = Node(VIEW, (36, y + 30, 1044, y + 110), "Featured Topics")
    return group([title, group(cells, "topics_grid")], "cat_topics")


def _cells(site: Site, here: Category, slugs: Sequence[str], y: int) -> list[Node]:
    cells = []
    for index, slug in enumerate(slugs):
        left, picture, *text = _SIDES[index % 2]
        top = y + _PITCH * (index // 2)
        shown = Node(
            IMAGE,
            (picture, top + 3, picture + 512, top + 412),
            f"-crop-375-300-375px-nowatermark-{quote(slug)}-Step-{len(slug) % 9 + 1}.jpg",
            f"62e{crc32(f'{here.slug} {slug}'.encode()):010x}",
        )
        around = Node(VIEW, (picture, top + 3, picture + 512, top + 428), children=[shown])
        how_to = Node(TEXT, (text[0], top + 457, text[0] + 95, top + 494), "How to")
        it = site.article[slug]
        title = Node(VIEW, (text[0], top + 499, text[1], top + 612), it.title)
        whole = (picture, top + 3, picture + 512, top + 612)
        inside = [tappable([around, how_to, title], f"How to {it.title}", None, whole)]
        if it.authors and it.coauthored:
            inside.append(Node(VIEW, (picture + 13, top + 16, picture + 134, top + 69), "Expert"))
        bounds = (left, top, left + 517, top + 615)
        cells.append(Node(VIEW, bounds, effect=article(slug), children=inside))
    return cells
