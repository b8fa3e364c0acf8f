"""One customer in the shop: the page they are on, what they chose, and what an action does.

Behaves as the original's simulated server and browser, quirks included, so that recorded episodes replay.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Sequence
from typing import Literal

from rlem.core.errors import EnvironmentFaultError, UsageError
from rlem.core.seeds import generator
from rlem.environments.webshop import pages
from rlem.environments.webshop.analysis import terms
from rlem.environments.webshop.data import Catalogue, Goal, Product
from rlem.environments.webshop.nouns import rule_nouns
from rlem.environments.webshop.pages import Node, ObservationMode
from rlem.environments.webshop.reward import Nouns, Verdict, judge
from rlem.environments.webshop.search import Ranking, SearchIndex

PageKind = Literal["start", "search_results", "item_page", "item_sub_page", "done"]
BASE_URL = "http://127.0.0.1:3000"
RESULTS = 50
"""Search results kept of one query."""

RANDOM = "<r>"
"""First word of a search for random products."""

_MAX_CLAUSES = 1024
"""Distinct terms of a search above which the original's engine fails."""

_PAGE_NAMES: tuple[PageKind, ...] = ("search_results", "item_page", "item_sub_page", "done")
_SUB_PAGES = {name.lower(): name for name in (*pages.SUB_PAGES, pages.ATTRIBUTES)}
_SEARCH = "search"
_CARRIED = re.compile(r"[^\[\n]+").fullmatch
_PAGING = (pages.NEXT.lower(), pages.PREV.lower())
_THOUGHT = "think"
"""An action of ReAct's form that is answered and changes nothing."""


class Shop:
    """What all customers share: catalogue, ranking and noun rule. Read-only.

    ``faithful``: with the crashes and slips of the original (the table in docs/webshop.md).
    """

    def __init__(
        self,
        catalogue: Catalogue,
        *,
        nouns: Nouns = rule_nouns,
        ranking: Ranking | None = None,
        faithful: bool = False,
    ) -> None:
        self.catalogue = catalogue
        self.nouns = nouns
        self.faithful = faithful
        self.ranking: Ranking = ranking or SearchIndex(
            (product.asin, product.search_text) for product in catalogue.products
        )

    def find(self, keywords: Sequence[str], rng: random.Random) -> tuple[str, ...]:
        """Ids of the products for a search.

        First word ``<r>``: 50 random ones; ``<c> category``, ``<q> query``, ``<a> attribute``: all that
        have exactly that. Otherwise the ranking, 50 at most.
        Errors: EnvironmentFaultError in a faithful shop where the original fails.
        """
        catalogue, rest = self.catalogue, " ".join(keywords[1:]).strip()
        if self.faithful:
            _fail_as_original(keywords)
        if keywords[0] == RANDOM:
            count = len(catalogue.products)
            drawn = rng.sample(range(count), min(RESULTS, count))
            return tuple(catalogue.products[place].asin for place in drawn)
        if keywords[0] == "<c>":  # one word only, as in the original
            return catalogue.by_category.get(keywords[1].strip(), ()) if len(keywords) > 1 else ()
        if keywords[0] == "<q>":
            return catalogue.by_query.get(rest, ())
        if keywords[0] == "<a>":
            return catalogue.by_attribute.get(rest, ())
        return self.ranking.search(" ".join(keywords), RESULTS)


def _fail_as_original(keywords: Sequence[str]) -> None:
    """Raises what a search raises in the original."""
    if keywords[0] == "<a>":
        raise EnvironmentFaultError("TypeError: the original fails on a search by attribute")
    if keywords[0] == "<c>" and len(keywords) == 1:
        raise EnvironmentFaultError("IndexError: the original fails on a search by no category")
    query = " ".join(keywords)
    if len(query) > _MAX_CLAUSES and keywords[0] not in (RANDOM, "<c>", "<q>"):
        count = len(set(terms(query)))
        if count > _MAX_CLAUSES:
            raise EnvironmentFaultError(
                f"JavaException: the original fails on a search of {count} terms; {_MAX_CLAUSES} are the most"
            )


def parse_action(action: str) -> tuple[str, str] | None:
    """Name and lower-cased argument of an action, or None where it has not the form name[argument].

    The same split as the pattern (.+)\\[(.+)\\] from the start of the text, without its quadratic time.

    >>> parse_action("click[Buy Now] now"), parse_action("search[a [b]]"), parse_action("buy")
    (('click', 'buy now'), ('search[a ', 'b]'), None)
    """
    line = action.split("\n", 1)[0]
    end = line.rfind("]")
    start = line.rfind("[", 1, max(end - 1, 0))
    return (line[:start], line[start + 1 : end].lower()) if start > 0 else None


class Session:
    """One customer. ``shown`` products of a result page can be clicked (3 in the authors' fork, else 10).

    ``show_attributes``: product pages have one more page with the attributes. ``react``: ReAct's rules: a
    search starts from the search page alone, results have one page, ``think[...]`` is answered.
    """

    def __init__(
        self,
        shop: Shop,
        *,
        shown: int = pages.SHOWN,
        show_attributes: bool = False,
        react: bool = False,
    ) -> None:
        self.shop = shop
        self.shown = shown
        self.show_attributes = show_attributes
        self.react = react
        self.goal: Goal | None = None
        self.last_verdict: Verdict | None = None
        self._session_id = ""
        self._rng = random.Random(0)
        self._node_cache: list[Node] | None = None
        self._target_cache: dict[str, tuple[str, str]] | None = None
        self._url_cache: str | None = None
        self._clear()

    def reset(
        self,
        goal: int | Goal,
        *,
        session_id: str | None = None,
        seed: int = 0,
        rng: random.Random | None = None,
    ) -> None:
        """Begins anew with a goal of the catalogue, or one of the caller's own.

        ``seed``, or a generator ``rng`` in its place, is for random searches only.
        """
        if isinstance(goal, int):
            goals = self.shop.catalogue.goals
            if not 0 <= goal < len(goals):
                raise UsageError(f"goal {goal} does not exist; allowed: 0 to {len(goals) - 1}")
            self._session_id, self.goal = str(goal), goals[goal]
        else:
            self._session_id, self.goal = "own", goal
        if session_id is not None:
            self._session_id = session_id
        self.last_verdict = None
        self._rng = rng or generator(seed, "webshop", self._session_id)
        self._clear()

    def step(self, action: str) -> tuple[float, bool, bool]:
        """Sends an action: (reward, whether something was bought, whether the action was understood).

        What is not understood changes nothing. A search is accepted on every page but the last; in a
        faithful shop there, too.
        Errors: EnvironmentFaultError in a faithful shop where the original fails.
        """
        self._said = ""
        parsed = parse_action(action)
        if parsed is not None:
            name, argument = parsed
            if name == _SEARCH and self._accepts_search():
                self._search(argument.split(" "))
                return 0.0, False, True
            if name == "click" and self._can_click(argument):
                if argument == pages.BUY.lower():
                    return self._buy(), True, True
                self._click(argument)
                return 0.0, False, True
            if name == _THOUGHT and self.react:
                self._said = "OK."
                return 0.0, False, True
        self._said = "Invalid action!"
        return 0.0, False, False

    @property
    def clickables(self) -> tuple[str, ...]:
        """What can be clicked here, lower case, in page order: buttons, product ids, option values."""
        return tuple(self._click_targets())

    @property
    def sendable(self) -> tuple[str, ...]:
        """The clickables that an action can carry: not those with ``[`` or a line break in them."""
        return tuple([text for text in self.clickables if _CARRIED(text) and self._can_click(text)])

    def _can_click(self, text: str) -> bool:
        """Whether a click on that is taken. The original takes none on what is called like its button."""
        target = self._click_targets().get(text)
        if target is None or text != _SEARCH:
            return target is not None
        return target[0] == "option" and not self.shop.faithful

    @property
    def has_search_bar(self) -> bool:
        """Whether this is the search page."""
        return self.kind == "start"

    @property
    def url(self) -> str:
        """The address of the current page as the original writes it, unescaped."""
        if self._url_cache is None:
            self._url_cache = self._build_url()
        return self._url_cache

    @property
    def page_results(self) -> tuple[str, ...]:
        """The ids of the current result page; a page before the first or past the last lists nothing."""
        end = (self.page or 0) * pages.PER_PAGE
        return self._results[max(end - pages.PER_PAGE, 0) : end]

    @property
    def total_results(self) -> int:
        """How many products the last search found."""
        return len(self._results)

    def observation(self, mode: ObservationMode = "text_rich") -> str:
        """The current page in one of the forms."""
        if mode == "url":
            return self.url
        if mode == "html":
            from rlem.environments.webshop.html import render

            return render(self, styled=False)
        if mode == "react" and (said := self._react_answer()):
            return said
        return pages.RENDERERS[mode](self._nodes())

    def _react_answer(self) -> str:
        """What ReAct's form says in place of a page, or nothing."""
        if self.kind == "done" and self.last_verdict:
            return pages.score_line(self.last_verdict.total)
        return self._said

    def _accepts_search(self) -> bool:
        if self.react:
            return self.kind == "start"
        return self.kind != "done" or self.shop.faithful

    def _clear(self) -> None:
        self.keywords: list[str] | None = None
        self.page: int | None = None
        self.asin: str | None = None
        self.visited: set[str] = set()
        self.options: dict[str, str] = {}
        self.sub_page = ""
        self._said = ""
        self._results: tuple[str, ...] = ()
        self._go("start")

    def _go(self, kind: PageKind) -> None:
        """Shows a page; what was built for the last one is dropped."""
        self.kind: PageKind = kind
        self._node_cache = self._target_cache = self._url_cache = None

    def _build_url(self) -> str:
        root, sid = BASE_URL, self._session_id
        if self.kind == "start":
            return f"{root}/{sid}"
        words = "+".join(self.keywords or ())
        if self.kind == "search_results":
            return f"{root}/search_results/{sid}/{words}/{self.page}"
        if self.kind == "done":
            return f"{root}/done/{sid}/{self.asin}/{self.options}"
        place = f"{sid}/{self.asin}/{words}/{self.page}"
        if self.kind == "item_page":
            return f"{root}/item_page/{place}/{json.dumps(self.options)}"
        return f"{root}/item_sub_page/{place}/{self.sub_page}/{self.options}"

    def _product(self) -> Product:
        return self.shop.catalogue.by_asin[self.asin or ""]

    def _nodes(self) -> list[Node]:
        if self._node_cache is None:
            self._node_cache = self._build_nodes()
        return self._node_cache

    def _build_nodes(self) -> list[Node]:
        if self.goal is None:
            raise UsageError("the session has no goal yet; call reset first")
        text = self.goal.instruction
        if self.kind == "start":
            return pages.start_page(text)
        if self.kind == "search_results":
            products = [self.shop.catalogue.by_asin[asin] for asin in self.page_results]
            return pages.result_page(text, products, self.page or 0, self.total_results, self.visited)
        if self.kind == "item_page":
            return pages.item_page(
                text, self._product(), self._is_chosen, show_attributes=self.show_attributes
            )
        if self.kind == "item_sub_page":
            return pages.sub_page(text, self._product(), self.sub_page)
        reward = self.last_verdict.total if self.last_verdict else 0.0
        return pages.done_page(self.asin or "", self.options, reward)

    def _is_chosen(self, name: str, value: str) -> bool:
        """Whether an option shows as chosen. The original looks for its text in quotes in the address."""
        if self.shop.faithful:
            return f'"{value}"' in self.url
        return self.options.get(name) == value

    def _click_targets(self) -> dict[str, tuple[str, str]]:
        """What can be clicked: text -> (sort, product id or option name). Later ones replace earlier ones
        of the same text but keep their place, as in the original."""
        if self._target_cache is None:
            targets = {text.lower(): ("button", "") for sort, text in self._nodes() if sort == "button"}
            if self.kind == "search_results":
                if self.react:
                    targets = {text: target for text, target in targets.items() if text not in _PAGING}
                shown = self.page_results[: self.shown]
                targets.update({asin.lower(): ("product", asin) for asin in shown})
            elif self.kind == "item_page":
                for name, values in self._product().options:
                    targets.update(dict.fromkeys(values, ("option", name)))
            self._target_cache = targets
        return self._target_cache

    def _search(self, keywords: list[str]) -> None:
        results = self.shop.find(keywords, self._rng)  # may raise: nothing has changed then
        self.keywords, self._results = keywords, results
        self._show_results(1)

    def _turn_to(self, page: int) -> None:
        """Shows a page of the same search. The original searches anew, which shows with random products."""
        if self.shop.faithful and self.keywords and self.keywords[0] == RANDOM:
            self._results = self.shop.find(self.keywords, self._rng)
        self._show_results(page)

    def _show_results(self, page: int) -> None:
        self.page, self.asin, self.options = page, None, {}
        self._go("search_results")

    def _page_name(self) -> str:
        """The kind of page; as the original guesses it in a faithful shop: the first name that occurs in
        the URL, whose keywords may contain one too."""
        if not self.shop.faithful:
            return self.kind
        url = self.url
        return next((name for name in _PAGE_NAMES if name in url), "")

    def _click(self, target: str) -> None:
        """Follows a click, in the original's order of questions."""
        here = self._page_name()
        sort, value = self._click_targets()[target]
        page = self.page or 0
        if target == pages.BACK.lower():
            self._clear()
        elif target == pages.NEXT.lower() and here == "search_results":
            self._turn_to(page + 1)
        elif target == pages.PREV.lower() and here == "search_results":
            self._turn_to(page - 1)
        elif target == pages.PREV.lower() and here == "item_page":
            self._turn_to(page)
        elif target == pages.PREV.lower() and here == "item_sub_page":
            self._go("item_page")
        elif target in _SUB_PAGES:
            self.sub_page = _SUB_PAGES[target]
            self._go("item_sub_page")
        else:
            if sort == "product":
                self.asin = value
                self.visited.add(value)
            elif sort == "option":
                self.options[value] = target
                self._said = f"You have clicked {target}."
            self._go("item_page")

    def _buy(self) -> float:
        if self.goal is None:
            raise UsageError("the session has no goal yet; call reset first")
        self.last_verdict = judge(
            self._product(), self.options, self.goal, nouns=self.shop.nouns, faithful=self.shop.faithful
        )
        self._go("done")
        return self.last_verdict.total
