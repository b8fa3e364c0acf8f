"""A page, laid out: its nodes with boxes, as high as it is, whatever part of it a screen may show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from zlib import crc32

from rlem.environments.wikihow.html import Leaf, leaves
from rlem.environments.wikihow.nodes import NOWHERE, Bounds, Effect, Node, Page
from rlem.environments.wikihow.sheet_article import article_nodes
from rlem.environments.wikihow.sheet_boxes import VIEW, WIDTH, group
from rlem.environments.wikihow.sheet_category import categories_nodes, category_nodes
from rlem.environments.wikihow.sheet_pages import about_nodes, author_nodes, search_nodes
from rlem.environments.wikihow.site import Site

VIEWPORT = 1584
"""Height of the part of a page that a screen shows."""
_TAPPED = ("search", "category", "categories", "about")
"""Pages whose root is clickable, and with it all that they show."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sheet:
    """A page with boxes: y = 0 is its top, which stands at 210 of the window when it is not scrolled.

    ``anchors``: where a tap may jump to. ``random``: what "Random" opens from here. ``leaves``: what can be
    seen of it, in document order; ``lowest`` and ``highest``: how low the leaves up to there reach, and how
    high those from there on, to find in them what is shown. ``effects``: what taps do, the deepest node
    first. Nothing of a sheet is changed by showing it, so that threads share sheets.
    """

    page: Page
    title: str
    root: Node
    height: int
    anchors: Mapping[str, int]
    random: Page
    leaves: tuple[Leaf, ...]
    lowest: tuple[int, ...]
    highest: tuple[int, ...]
    effects: tuple[tuple[Bounds, Effect], ...]


def make_sheet(site: Site, page: Page, results: Sequence[str] = (), count: int = 0) -> Sheet:
    """Lays out a page. ``results``: slugs on this page of results; ``count``: hits in all.

    Errors: KeyError for an article, author or category that the site does not have.
    """
    anchors: Mapping[str, int] = {}
    before: list[Node] = []
    content: list[Node] = []
    title = "wikiHow"
    match page.kind:
        case "article":
            it = site.article[page.key]
            title = f"How to {it.title}"
            content, anchors = article_nodes(site, it)
        case "author":
            title = site.author[page.key].name
            content = author_nodes(site, site.author[page.key])
        case "category":
            title = site.category[page.key].name
            before, content = category_nodes(site, site.category[page.key])
        case "search":
            content = search_nodes(site, page, results, count)
        case "categories":
            content = categories_nodes(site)
        case "about":
            content = about_nodes()
    root = _root(page, before, content)
    shown = tuple(leaves(root))
    random = Page("home")
    if site.articles:
        chosen = crc32(f"{page.kind} {page.key}".encode()) % len(site.articles)
        random = Page("article", site.articles[chosen].slug)
    return Sheet(
        page=page,
        title=title,
        root=root,
        height=max(VIEWPORT, root.bounds[3]),
        anchors=anchors,
        random=random,
        leaves=shown,
        lowest=tuple(accumulate((leaf.bounds[3] for leaf in shown), max)),
        highest=tuple(accumulate((leaf.bounds[1] for leaf in reversed(shown)), min))[::-1],
        effects=tuple((node.bounds, node.effect) for node in root.walk() if node.effect)[::-1],
    )


def _root(page: Page, before: Sequence[Node], content: Sequence[Node]) -> Node:
    """The chain of nodes around what a page shows."""
    if page.kind in ("home", "foreign"):
        box = (0, 0, WIDTH, VIEWPORT)
        if page.kind == "foreign":
            return Node(VIEW, box)
        name = "com.wikihow.wikihowapp:id/webView"
        return Node("android.webkit.WebView", box, resource_id=name, clickable=True)
    wrapper = group([group(content, "content_inner")], "content_wrapper")
    bottom = wrapper.bounds[3]
    ends = [Node(VIEW, NOWHERE, "\n"), Node(VIEW, NOWHERE, "\n")]
    if page.kind == "article":
        for index, end in enumerate(ends):
            end.bounds = (0, bottom + 26 * index, WIDTH, bottom + 26 * (index + 1))
    wrapper.children.append(ends[0])
    notice, social = Node(VIEW, resource_id="siteNotice"), Node(VIEW, resource_id="fb-root")
    centre = group([notice, *before, wrapper, ends[1], social], "mw-mf-page-center")
    bars = [Node(VIEW, resource_id=name) for name in ("header_container", "header_top_watch")]
    root = group([*bars, group([centre], "mw-mf-viewport")])
    root.clickable = page.kind in _TAPPED
    root.bounds = (0, 0, WIDTH, root.bounds[3])
    return root
