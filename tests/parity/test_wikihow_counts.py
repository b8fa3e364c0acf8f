"""How many elements a screen has, page by page: the recorded screens and ours."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from statistics import fmean

import pytest

from rlem.environments.wikihow.app import App, Shelf
from rlem.environments.wikihow.generate import generate
from rlem.environments.wikihow.nodes import Page

_OLD = re.compile(r'class="(header container|header top watch|siteNotice|author social)"')
"""Nodes without content, above the edge of the page, that later versions drop."""


@cache
def shelf() -> Shelf:
    """The default site, made once."""
    return Shelf(generate(0, 300))


def ours(pages: Sequence[Page], scrolls: Sequence[int]) -> list[int]:
    """Numbers of elements of pages, scrolled so often."""
    found = []
    for page in pages:
        app = App(shelf())
        app.open(page)
        for number in range(max(scrolls) + 1):
            if number in scrolls:
                found.append(len(app.screen().leaves))
            app.scroll("DOWN")
    return found


@pytest.mark.parametrize(
    ("kind", "scrolls"),
    [
        ("search", [0]),
        ("article_top", [0]),
        ("article_mid", [1, 2, 3]),
        ("cat", [0]),
        ("cat_scrolled", [1, 2]),
        ("author", [0, 1]),
        ("about", [0]),
    ],
)
def test_screens_have_as_many_elements_as_recorded(
    kind: str, scrolls: list[int], golden: Callable[[str], Path]
) -> None:
    """The mean is the recorded one within 3, and nine of ten are in the recorded range or 2 beside it.

    Recorded categories are long, so those of ours are left out whose end comes soon.
    """
    screens = json.loads(golden("wikihow/screens_by_type.json").read_text(encoding="utf-8"))[kind]
    recorded = [
        len([line for line in text.strip("\n").split("\n") if not _OLD.search(line)]) for text in screens
    ]
    site = shelf().site
    pages = {
        "search": [Page("search", one.title.lower()) for one in site.articles[::5]],
        "article": [Page("article", one.slug) for one in site.articles[::5]],
        "cat": [Page("category", one.slug) for one in site.categories if len(one.articles) > 15],
        "author": [Page("author", one.slug) for one in site.authors],
        "about": [Page("about")],
    }[kind.partition("_")[0]]
    found = sorted(ours(pages, scrolls))
    usual = found[len(found) // 20 : len(found) - len(found) // 20]
    assert abs(fmean(found) - fmean(recorded)) <= 3, (fmean(found), fmean(recorded))
    assert min(recorded) - 2 <= usual[0] <= usual[-1] <= max(recorded) + 2, (usual[0], usual[-1], recorded)
