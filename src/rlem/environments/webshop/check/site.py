"""Recorded pages of the original's web site, compared text by text with ours.

The site's addresses are read by its own rules, for they are its own: what cannot be opened must have
failed there (404 for an address that fits no rule, 500 for one that names what is not there).
"""

from __future__ import annotations

import ast
import hashlib
import json
import random
import re
from collections.abc import Mapping
from pprint import pformat
from typing import Any
from urllib.parse import quote, unquote

from rlem.environments.checking import Found, Record, differences
from rlem.environments.webshop import pages
from rlem.environments.webshop.check.shops import Shops
from rlem.environments.webshop.data import Goal, Product
from rlem.environments.webshop.original import goal_as_dict
from rlem.environments.webshop.reward import judge

_OK, _MOVED, _NOT_FOUND, _FAILED = 200, 302, 404, 500
_COMMENTS = (" Code reference: ", '\n                    <div class="d-flex')
"""How the comments in the pages begin; no reader sees them."""
_HOME = "/abc"
_GOAL_FIELDS = ("asin", "attributes", "category", "goal_options", "instruction_text", "name", "price_upper")


class _NoAddressError(Exception):
    """An address that the site does not have, or cannot show."""

    def __init__(self, status: int) -> None:
        super().__init__(str(status))
        self.status = status


class Site:
    """Replays the rows of one recording; sessions are known from their first page on."""

    def __init__(self, shops: Shops) -> None:
        self.shops = shops
        self._goals: dict[str, Goal] = {}

    def replay(self, row: Record) -> list[Found]:
        """What differs in the answer to one request: status, where it leads, and the texts to be read."""
        theirs = [text for text in row["texts"] if not text.startswith(_COMMENTS)]
        try:
            if row["form"] is not None:
                words = row["form"]["search_query"].lower().split(" ")
                target = f"/search_results{row['url']}/{words}/1"
                return self._moved(row, target)
            if row["url"] == "/":
                return self._moved(row, _HOME)
            ours = self._page(row["url"], theirs)
        except _NoAddressError as refused:
            return differences([("status", refused.status, row["status"])])
        return differences([("status", _OK, row["status"]), ("texts", ours, theirs)])

    def _moved(self, row: Record, target: str) -> list[Found]:
        ours = quote(target, safe="/',:@!$&()*+;=~-._")
        return differences([("status", _MOVED, row["status"]), ("location", ours, row["location"])])

    def _page(self, url: str, recorded: list[str]) -> list[str]:
        """The texts of a page."""
        kind, *parts = unquote(url).lstrip("/").split("/")
        if not parts:
            return self._index(kind, recorded)
        counts = {"search_results": 3, "item_page": 5, "item_sub_page": 6, "done": 3}
        if counts.get(kind) != len(parts):
            raise _NoAddressError(_NOT_FOUND)
        goal = self._goal(parts[0])
        try:
            if kind == "search_results":
                return self._results(goal, parts[1], int(parts[2]))
            product = self.shops.catalogue(True).by_asin[parts[1]]
            options = ast.literal_eval(parts[-1])
            if not isinstance(options, dict):
                raise ValueError(parts[-1])
        except (KeyError, ValueError, SyntaxError):
            raise _NoAddressError(_FAILED) from None
        if kind == "item_page":
            nodes = pages.item_page(goal.instruction, product, lambda name, value: False)
        elif kind == "item_sub_page":
            nodes = pages.sub_page(goal.instruction, product, parts[-2])
        else:
            return self._done(parts[0], goal, product, options, recorded)
        return [text for _, text in nodes]

    def _index(self, session: str, recorded: list[str]) -> list[str]:
        """The search page. A session of another name than fixed_N has drawn its goal, which only the page
        tells."""
        goals = self.shops.catalogue(True).goals
        if number := re.fullmatch(r"fixed_(\d+)", session):
            if int(number[1]) >= len(goals):
                raise _NoAddressError(_FAILED)
            self._goals[session] = goals[int(number[1])]
        else:
            shown = (goal for goal in goals if goal.instruction in recorded)
            self._goals[session] = next(shown, goals[0])
        return [text for _, text in pages.start_page(self._goals[session].instruction)]

    def _goal(self, session: str) -> Goal:
        if session not in self._goals and re.fullmatch(r"fixed_\d+", session):
            self._index(session, [])
        if session not in self._goals:
            raise _NoAddressError(_FAILED)
        return self._goals[session]

    def _results(self, goal: Goal, words: str, page: int) -> list[str]:
        keywords = ast.literal_eval(words) if words.startswith("[") else [words]
        # Not the faithful shop: the site itself can search by attribute, the text environment cannot.
        shop = self.shops.shop(True, faithful=False)
        found = shop.find(keywords, random.Random(0))
        # The site takes any page number; one below zero counts from the end.
        listed = found[(page - 1) * pages.PER_PAGE : page * pages.PER_PAGE]
        products = [shop.catalogue.by_asin[asin] for asin in listed]
        return [text for _, text in pages.result_page(goal.instruction, products, page, len(found))]

    def _done(
        self, session: str, goal: Goal, product: Product, options: Mapping[str, str], recorded: list[str]
    ) -> list[str]:
        """The last page, with what the text environment leaves empty there."""
        verdict = judge(product, options, goal, faithful=True)
        wish, end = goal_as_dict(goal, "human"), pages.done_page(product.asin, options, verdict.total)
        own = (str(list(product.attributes)), product.category, product.query, product.product_category)
        code = hashlib.sha1(session.encode(), usedforsecurity=False).hexdigest()[:10].upper()
        described = [pformat(verdict.as_info())]
        fill = iter([code, *own, _goal_text(wish, recorded), *described])
        texts = [next(fill, text) if text == "None" else text for _, text in end]
        target = texts.index("Target")
        wanted = [wish[field] for field in ("asin", "goal_options", "attributes", "price_upper")]
        wanted += [wish[field] for field in ("instruction_text", "category", "product_category", "query")]
        for label, value in enumerate(wanted):
            texts.insert(target + 2 + 2 * label, str(value))
        return [text for text in texts if text]


def _goal_text(wish: dict[str, Any], recorded: list[str]) -> str:
    """The goal as the page prints it. Its numbering is the site's own and is taken from the page."""
    at = recorded.index("Goal ") + 1 if "Goal " in recorded else len(recorded)
    shown = recorded[at] if at < len(recorded) else "{}"
    try:
        theirs = ast.literal_eval(shown)
    except (ValueError, SyntaxError):
        return pformat(wish)
    same = all(theirs.get(field) == json.loads(json.dumps(wish[field])) for field in _GOAL_FIELDS)
    return shown if same else pformat(wish)
