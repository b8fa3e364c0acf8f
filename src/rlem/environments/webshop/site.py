"""The shop as a web site for people at their own machine: choose a task, shop by hand, see the reward.

Each page that a visit has come to keeps its own address, so the browser's back button, reload and several
tabs work as in any shop: what is done on an earlier page goes on from that page. A purchase ends the visit.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rlem.core.errors import EnvironmentFaultError, UsageError
from rlem.core.types import Task
from rlem.environments.web_pages import counted
from rlem.environments.web_site import MOST_VISITS, TaskSite, go
from rlem.environments.web_site import TASKS_A_SHEET as TASKS_A_SHEET
from rlem.environments.web_site import open_server as open_server
from rlem.environments.webshop import html, pages
from rlem.environments.webshop.env import WebShop
from rlem.environments.webshop.session import Session, Shop

if TYPE_CHECKING:
    from flask import Flask, Response

MOST_PAGES = 300
"""Pages that one visit keeps."""
_NOTES = {
    "empty": "Type what you are looking for, then press Search.",
    "unknown": "That cannot be done on this page. Nothing has changed.",
    "failed": "The original shop fails here, and this one does as it does. Try something else.",
    "over": "You have already bought something, which ends the task. This is how it ended.",
    "full": f"A visit has at most {MOST_PAGES} pages. Buy something, or begin the task again from the list.",
}
_EARLIER = "This is an earlier page of a task that has ended: nothing can be done here any more."
_PAGE = "/visits/<key>/<int:place>"


class Visit:
    """One person at one task. Its pages form a tree: place 0 is the search page, each action on a page
    leads to a further place. Hold ``lock`` while using it."""

    def __init__(self, shop: Shop, goal: int, number: int) -> None:
        self.number = number
        self.bought: int | None = None
        self.lock = threading.Lock()
        self._goal = goal
        self._session = Session(shop, shown=pages.PER_PAGE)
        self._session.reset(goal)
        self._at = 0
        self._ways: list[tuple[int, str]] = [(-1, "")]  # by place: the place before, the action that led here
        self._places: dict[tuple[int, str], int] = {}

    def __len__(self) -> int:
        return len(self._ways)

    def trail(self, place: int) -> tuple[str, ...]:
        """The actions from the search page to a place."""
        actions: list[str] = []
        while place > 0:
            place, action = self._ways[place]
            actions.append(action)
        return tuple(actions[::-1])

    def session_at(self, place: int) -> Session:
        """The shop as it is at a place; actions are taken again where another place was looked at last."""
        if place != self._at:
            self._session.reset(self._goal)
            for action in self.trail(place):
                self._session.step(action)
            self._at = place
        return self._session

    def act(self, place: int, action: str) -> tuple[int, str]:
        """Takes an action at a place. Returns the place it leads to, and a key of the notes or ""."""
        if self.bought is not None:
            return self.bought, "over"
        if (place, action) in self._places:
            return self._places[place, action], ""
        if len(self) >= MOST_PAGES and action != f"click[{pages.BUY.lower()}]":
            return place, "full"
        try:
            _, bought, understood = self.session_at(place).step(action)
        except EnvironmentFaultError:  # a faithful shop fails where the original does
            self._at = -1
            return place, "failed"
        if not understood:
            return place, "unknown"
        self._ways.append((place, action))
        self._at = self._places[place, action] = len(self) - 1
        if bought:
            self.bought = self._at
        return self._at, ""


def create_app(
    world: WebShop | Shop,
    tasks: Sequence[Task],
    *,
    host: str = "127.0.0.1",
    most_visits: int = MOST_VISITS,
) -> Flask:
    """A Flask application that offers ``tasks`` (of :meth:`WebShop.tasks`) in a shop.

    ``host``: the name or address that it will be served at. Requests must name it, or this machine, as
    their host; with an address that stands for all (0.0.0.0, ::) they may name any. A task further on
    that is not this shop's is a page that says so.
    Errors: MissingExtraError without Flask; UsageError where the first task is not this shop's, or there
    is none at all.
    """
    site = _Site(world.shop if isinstance(world, WebShop) else world, tasks, most_visits)
    return site.app(host, {f"GET {_PAGE}": site.look, f"POST {_PAGE}": site.act})


class _Site(TaskSite[Visit]):
    """The views. Flask's parts are imported late, as everywhere here."""

    pages = html.PAGES
    verb = "Shop"
    refusal = "The shop cannot play this task. The terminal of the server shows why. Choose another one."

    def __init__(self, shop: Shop, tasks: Sequence[Task], most_visits: int) -> None:
        if not tasks:
            raise UsageError("a shop without tasks cannot be served; give at least one task")
        _goal(tasks[0], shop)
        self.shop = shop
        lead = (
            f"{counted(len(tasks), 'task')} in a shop of {counted(len(shop.catalogue.products), 'product')}. "
            "Choose one, buy what it asks for, and see what the purchase earns."
        )
        super().__init__(tasks, lead, most_visits)

    def start(self, number: int) -> Visit:
        """A visit to a task."""
        return Visit(self.shop, _goal(self.tasks[number - 1], self.shop), number)

    def first(self, key: str) -> Response:
        """The search page."""
        return _go(key, 0)

    def look(self, key: str, place: int) -> Response:
        """One page of a visit."""
        from flask import request, url_for

        visit = self._at(key, place)
        with visit.lock:
            over = place == visit.bought
            notice = _NOTES.get(request.args.get("note", ""), "")
            around = self.around(
                visit.number,
                url_for(f"POST {_PAGE}", key=key, place=place),
                over=over,
                notice=_EARLIER if visit.bought is not None and not over else notice,
                trail=visit.trail(place),
            )
            return self.answer(html.render(visit.session_at(place), around))

    def act(self, key: str, place: int) -> Response:
        """Takes what a form sends and leads to the page that comes of it."""
        from flask import request

        visit = self._at(key, place)
        action = request.form.get("action", "")
        if action == html.SEARCH:
            words = _plain(request.form.get("words", ""))
            if not words:
                return _go(key, place, "empty")
            action = f"search[{words}]"
        with visit.lock:
            return _go(key, *visit.act(place, action))

    def _at(self, key: str, place: int) -> Visit:
        from flask import abort

        visit = self.visit(key)
        if place >= len(visit):
            abort(404)
        return visit


def _goal(task: Task, shop: Shop) -> int:
    """The number of a task's goal in the catalogue."""
    found = re.fullmatch(r"webshop:(\d{1,9})", task.id, re.ASCII)
    if found is None or int(found[1]) >= len(shop.catalogue.goals):
        raise UsageError(
            f"task {task.id!r:.80} is not of this shop; allowed: webshop:0 to "
            f"webshop:{len(shop.catalogue.goals) - 1}"
        )
    return int(found[1])


def _plain(words: str) -> str:
    """Search words as an action can carry them: brackets and control characters count as blanks."""
    return " ".join(re.sub(r"[\[\]\x00-\x1f\x7f]", " ", words).split())


def _go(key: str, place: int, note: str = "") -> Response:
    return go(f"GET {_PAGE}", key=key, place=place, note=note or None)
