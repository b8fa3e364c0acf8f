"""The shop's pages as HTML of our own: the ``html`` observation and what people see in a browser.

No scripts, no images, nothing to load: the one style sheet stands in the page. Every action is a form
button that carries the text the environment takes. All texts of products and people are escaped.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from rlem.environments.web_pages import ALONE, Around, Pages, cut, decimal
from rlem.environments.webshop import pages
from rlem.environments.webshop.data import NO_LIMIT

if TYPE_CHECKING:
    from rlem.environments.webshop.reward import Verdict
    from rlem.environments.webshop.session import Session

SEARCH = pages.SEARCH_ACTION
"""Value of the search button; the words stand in the field ``words`` of the same form."""

PAGES = Pages("rlem.environments.webshop", "WebShop", "shop.css")
_TABS = (*pages.SUB_PAGES, "Attributes")
_WHY_NOT = "This cannot be clicked: the action form click[...] has no way to write it."
# Brackets end an action's argument early; a browser sends other texts back than these.
_UNSENDABLE = re.compile(r"[\[\x00-\x08\x0a-\x1f\x7f\ud800-\udfff]")
_TITLE_CHARS = 80


class Part(NamedTuple):
    """One row of the reward table; ``points`` is what it adds, ``weight`` the most that it could."""

    name: str
    words: str
    met: str
    weight: float
    points: float


def render(session: Session, around: Around = ALONE, *, styled: bool = True) -> str:
    """The page that a customer is on. ``styled=False`` leaves the style sheet out, for readers without eyes.

    Errors: UsageError where the session has no goal yet.
    """
    clickables = frozenset(session.sendable)  # asks for a goal first
    assert session.goal is not None
    values: dict[str, Any] = {
        "instruction": session.goal.instruction,
        "action_of": _actions(clickables),
        "why_not": _WHY_NOT,
        "opened": session.kind == "done",
    }
    return PAGES.page(
        _TEMPLATES[session.kind], around, styled=styled, **values, **_CONTENTS[session.kind](session)
    )


def style_sheet() -> str:
    """The style sheet as it stands in every page."""
    return PAGES.css


def style_hash() -> str:
    """The style sheet's hash, as a content security policy names it."""
    return PAGES.css_hash()


def _actions(clickables: frozenset[str]) -> Callable[[str], str]:
    """A function from the text of a button to its action; empty where it cannot be sent."""

    def action(text: str) -> str:
        target = text.lower()
        sendable = target in clickables and target and not _UNSENDABLE.search(target)
        return f"click[{target}]" if sendable else ""

    return action


def _start(session: Session) -> dict[str, Any]:
    return {"title": "Search · WebShop"}


def _results(session: Session) -> dict[str, Any]:
    words = " ".join(session.keywords or ())
    by_asin = session.shop.catalogue.by_asin
    return {
        "title": f"{cut(words, _TITLE_CHARS)} · WebShop",
        "words": words,
        "searchable": not session.react,
        "turns": [text for text in (pages.PREV, pages.NEXT) if text.lower() in session.clickables],
        "page": session.page,
        "total": session.total_results,
        "products": [by_asin[asin] for asin in session.page_results[: session.shown]],
        "visited": session.visited,
    }


def _item(session: Session) -> dict[str, Any]:
    product = session.shop.catalogue.by_asin[session.asin or ""]
    return {
        "title": f"{cut(product.title or product.asin, _TITLE_CHARS)} · WebShop",
        "product": product,
        "chosen": session.options,
        "tabs": [name for name in _TABS if name.lower() in session.clickables],
    }


def _sub_page(session: Session) -> dict[str, Any]:
    product = session.shop.catalogue.by_asin[session.asin or ""]
    name = session.sub_page
    title = f"{name}: {cut(product.title or product.asin, _TITLE_CHARS)} · WebShop"
    return {"title": title, "product": product, "name": name}


def _done(session: Session) -> dict[str, Any]:
    verdict = session.last_verdict
    assert verdict is not None
    assert session.goal is not None
    product = session.shop.catalogue.by_asin[session.asin or ""]
    same = {True: "the same", False: "another"}
    return {
        "title": f"Score {decimal(verdict.total)} · WebShop",
        "product": product,
        "chosen": session.options,
        "reward": verdict.total,
        "parts": _parts(verdict, product.price, session.goal.price_upper),
        "base": verdict.base,
        "factor": verdict.type_factor,
        "kind": f"{same[verdict.query_match]} search term, {same[verdict.category_match]} category, "
        f"{verdict.title_score:.0%} of the title's nouns",
    }


def _parts(verdict: Verdict, price: float, limit: float) -> list[Part]:
    """The wishes of the instruction: how many are met and what they add."""
    size = verdict.attributes + verdict.options + 1
    allowed = f"limit ${limit:,.2f}" if limit < NO_LIMIT else "no limit"
    rows = [
        ("Attributes", "", verdict.attribute_matches, verdict.attributes),
        ("Options", "", verdict.option_matches, verdict.options),
        ("Price", f"${price:,.2f}, {allowed}", int(verdict.price_fits), 1),
    ]
    return [
        Part(name, words, f"{met} of {wished}", wished / size, met / size)
        for name, words, met, wished in rows
        if wished
    ]


_TEMPLATES: Mapping[str, str] = {
    "start": "start.html.j2",
    "search_results": "results.html.j2",
    "item_page": "item.html.j2",
    "item_sub_page": "sub_page.html.j2",
    "done": "done.html.j2",
}
_CONTENTS: Mapping[str, Callable[[Session], dict[str, Any]]] = {
    "start": _start,
    "search_results": _results,
    "item_page": _item,
    "item_sub_page": _sub_page,
    "done": _done,
}
