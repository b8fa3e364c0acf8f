"""The app: a stack of pages with a toolbar, overlays, a search box; answers taps with lines of its log.

Facts are those of the recorded original (docs/wikihow.md lists what differs). A line is written when a page
is loaded, not when the reader goes back to it.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from urllib.parse import quote_plus

from rlem.environments.wikihow.actions import Direction, typed
from rlem.environments.wikihow.nodes import Effect, Go, Jump, Page, Press
from rlem.environments.wikihow.screen import VIEWPORT, Bar, Overlay, Screen
from rlem.environments.wikihow.search import PER_PAGE, TitleSearch
from rlem.environments.wikihow.sheet import Sheet, make_sheet
from rlem.environments.wikihow.site import Site

HOST = "https://www.wikihow.com/"
SCROLL = 1296
"""Pixels that one SCROLL moves the page; measured on the original: 1205 to 1440."""

_ABOUT = "wikiHow:Delivering-a-Trustworthy-Experience"
_TAIL = "?wh_an=1&amp=1"
_BLANK = "   "
_SHEETS = 300


class Shelf:
    """The pages of a site, laid out when they are first opened. Shared by threads."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.search = TitleSearch(site)
        self._sheets: OrderedDict[Page, Sheet] = OrderedDict()
        self._lock = threading.Lock()

    def sheet(self, page: Page) -> Sheet:
        """The page, laid out. The most recently used ones are kept."""
        with self._lock:
            if page in self._sheets:
                self._sheets.move_to_end(page)
                return self._sheets[page]
        if page.kind == "search":
            results = self.search.search(page.key, page.number)
            made = make_sheet(self.site, page, results, self.search.count(page.key))
        else:
            made = make_sheet(self.site, page)
        with self._lock:
            self._sheets[page] = made
            if len(self._sheets) > _SHEETS:
                self._sheets.popitem(last=False)
        return made


class App:
    """One reader with the app. Taps are at pixels of the window; every method returns the new log lines."""

    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf
        self.start()

    def start(self) -> list[str]:
        """Starts the app anew: the empty home page."""
        self._pages = [Page("home")]
        self._scrolls = [0]
        self._overlay: Overlay = ""
        self._box: str | None = None  # what the search box over a page holds; None: it is closed
        self._bookmarks: set[Page] = set()
        self._drawn: tuple[Page, int, Overlay, str | None, bool] | None = None
        return []

    @property
    def page(self) -> Page:
        """The page that is open."""
        return self._pages[-1]

    @property
    def overlay(self) -> Overlay:
        """What lies over the page."""
        return self._overlay

    @property
    def scrolled(self) -> int:
        """Pixels by which the page is scrolled."""
        return self._scrolls[-1]

    @property
    def left(self) -> bool:
        """Whether another app has come up."""
        return self.page.kind == "foreign"

    def screen(self) -> Screen:
        """What the window shows now."""
        state = (self.page, self.scrolled, self._overlay, self._box, self.page in self._bookmarks)
        if state != self._drawn:
            sheet = self._shelf.sheet(self.page)
            self._drawn = state
            self._screen = Screen(sheet, self.scrolled, self._bar(), self._overlay, state[-1])
        return self._screen

    def _bar(self) -> Bar:
        if self.page.kind == "home" and self._box is None:
            return Bar(kind="logo")
        if self.page.kind == "search":
            return Bar(kind="field", value=self.page.key)
        menu = self.page.kind == "article"
        if self._box is not None:
            return Bar(kind="field", value=self._box, menu=menu)
        return Bar(kind="icon", menu=menu)

    def tap(self, x: int, y: int) -> list[str]:
        """A tap at a point. One beside an open menu or drawer closes it."""
        effect = self.screen().hit(x, y)
        if self._overlay and (effect is None or not self.screen().over(x, y)):
            toggled = self._overlay == "drawer" and effect == Press("drawer")
            self._overlay = ""
            return [] if toggled or effect is None else self._do(effect)
        return [] if effect is None else self._do(effect)

    def type(self, x: int, y: int, text: str) -> list[str]:
        """A tap, the text, and Enter. Where the tap opens no field, the text is lost."""
        effect = self.screen().hit(x, y)
        if not isinstance(effect, Press) or effect.what not in ("search", "field", "clear"):
            logs = self.tap(x, y)
            self._overlay = "" if self._overlay == "menu" else self._overlay  # typing closes a menu
            return logs
        self._overlay = ""
        words = typed(text)
        if effect.what == "clear" and self.page.kind == "search":
            words = self.page.key  # Enter in the emptied field brings the same page again
        if not words:
            return self._do(effect)
        return self.open(Page("search", words))

    def scroll(self, direction: Direction) -> list[str]:
        """Moves the page up or down, as far as it goes. Sideways nothing moves, nor below an overlay."""
        step = {"DOWN": SCROLL, "UP": -SCROLL}.get(direction, 0)
        if not self._overlay:
            self._to(self.scrolled + step)
        return []

    def back(self) -> list[str]:
        """Closes what is open over the page, else goes back to the page before; at home nothing happens."""
        if self._overlay:
            self._overlay = "menu" if self._overlay == "share" else ""
        elif self._box is not None:
            self._box = None
        elif len(self._pages) > 1:
            self._pages.pop()
            self._scrolls.pop()
        return []

    def _to(self, y: int) -> None:
        bottom = max(0, self._shelf.sheet(self.page).height - VIEWPORT)
        self._scrolls[-1] = min(max(y, 0), bottom)

    def open(self, page: Page) -> list[str]:
        """Loads a page above those that are open; the home page takes the place of all."""
        self._overlay, self._box = "", None
        if page.kind == "home":
            self._pages, self._scrolls = [page], [0]
            return []
        self._pages.append(page)
        self._scrolls.append(0)
        return [f"mUrl is: {address(page)}"] if page.kind != "foreign" else []

    def _do(self, effect: Effect) -> list[str]:
        if isinstance(effect, Go):
            return self.open(effect.page)
        if isinstance(effect, Jump):
            self._to(self._shelf.sheet(self.page).anchors.get(effect.anchor, self.scrolled))
            return [f"url is: {address(self.page)}#{effect.anchor}"]
        return self._press(effect.what)

    def _press(self, what: str) -> list[str]:
        if what == "drawer":
            self._overlay = "" if self._overlay == "drawer" else "drawer"
        elif what == "menu":
            self._overlay = "" if self._overlay else "menu"
        elif what == "share":
            self._overlay = "share"
        elif what == "bookmark":
            self._bookmarks ^= {self.page}
            self._overlay = ""
        elif what == "search":
            self._box = _BLANK
        elif what == "clear" and self.page.kind != "search":
            self._box = None
        elif what == "nothing":
            self._overlay = ""
        return []


def address(page: Page) -> str:
    """The address of a page, as the app's log prints it."""
    if page.kind == "search":
        start = f"&start={(page.number - 1) * PER_PAGE}" if page.number > 1 else ""
        return f"{HOST}wikiHowTo?search={quote_plus(page.key)}{start}"
    tails = {
        "article": page.key,
        "author": f"Author/{page.key}",
        "category": f"Category:{page.key}",
        "about": _ABOUT,
        "categories": "Special:Categorylisting",
    }
    return f"{HOST}{tails.get(page.kind, '')}{_TAIL}"
