"""The shop as a web site for people at their own machine: choose a task, shop by hand, see the reward.

Each page that a visit has come to keeps its own address, so the browser's back button, reload and several
tabs work as in any shop: what is done on an earlier page goes on from that page. A purchase ends the visit.
"""

from __future__ import annotations

import os
import re
import secrets
import socket
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from rlem.core.errors import EnvironmentFaultError, MissingExtraError, RlemError, UsageError
from rlem.core.types import Task
from rlem.environments.webshop import html, pages
from rlem.environments.webshop.env import WebShop
from rlem.environments.webshop.html import Around
from rlem.environments.webshop.session import Session, Shop
from rlem.environments.webshop.site_guard import is_own_form, known_hosts

if TYPE_CHECKING:
    from flask import Flask, Response
    from werkzeug.exceptions import HTTPException
    from werkzeug.serving import BaseWSGIServer

MOST_VISITS = 500
"""Visits that a site keeps; the one that was not looked at for longest goes first."""
MOST_PAGES = 300
"""Pages that one visit keeps."""
TASKS_A_SHEET = 50
_MOST_BYTES = 256 * 1024
_NOTES = {
    "empty": "Type what you are looking for, then press Search.",
    "unknown": "That cannot be done on this page. Nothing has changed.",
    "failed": "The original shop fails here, and this one does as it does. Try something else.",
    "over": "You have already bought something, which ends the task. This is how it ended.",
    "full": f"A visit has at most {MOST_PAGES} pages. Buy something, or begin the task again from the list.",
}
_EARLIER = "This is an earlier page of a task that has ended: nothing can be done here any more."
_ERRORS = {
    403: ("Not from here", "Another site sent this. Open the shop in its own tab and try there."),
    404: (
        "Not found",
        "There is nothing at this address. A visit is forgotten when the server is started again, or when "
        f"more than {MOST_VISITS} newer ones have come: choose the task from the list again.",
    ),
    405: ("Not this way", "This address only takes what a button sends. Go on from the list."),
    413: ("Too long", "What was sent is too long for the shop. Go back and send fewer words."),
    421: (
        "Not this shop's address",
        "The shop is not served under this name. Use the address that its server has printed, or start it "
        "with --host and this name.",
    ),
    500: ("The shop has failed", "The terminal of the server shows why. Go back and try something else."),
}
_NO_TASK = "The shop cannot play this task. The terminal of the server shows why. Choose another one."


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


class Visits:
    """All visits by their key; the least recently used one is dropped when there are too many."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._visits: OrderedDict[str, Visit] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._visits)

    def add(self, visit: Visit) -> str:
        """Keeps a visit; returns its key, which nobody can guess."""
        key = secrets.token_urlsafe(9)
        with self._lock:
            self._visits[key] = visit
            while len(self._visits) > self._most:
                self._visits.popitem(last=False)
        return key

    def find(self, key: str) -> Visit | None:
        """The visit of a key, if it is kept."""
        with self._lock:
            if key in self._visits:
                self._visits.move_to_end(key)
            return self._visits.get(key)


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
    try:
        from flask import Flask
        from werkzeug.exceptions import HTTPException
    except ImportError as error:
        raise MissingExtraError("The shop as a web site", "web") from error
    site = _Site(world.shop if isinstance(world, WebShop) else world, tasks, Visits(most_visits))
    app = Flask(__name__, static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = app.config["MAX_FORM_MEMORY_SIZE"] = _MOST_BYTES
    routes: tuple[tuple[str, str, Callable[..., object]], ...] = (
        ("GET", "/", site.home),
        ("POST", "/tasks/<int:number>", site.begin),
        ("GET", "/visits/<key>/<int:place>", site.look),
        ("POST", "/visits/<key>/<int:place>", site.act),
        ("GET", "/healthz", site.health),
    )
    for method, rule, view in routes:
        app.add_url_rule(rule, f"{method} {rule}", view, methods=[method])  # type: ignore[arg-type]
    app.before_request(_guard(host))
    app.after_request(_harden)
    app.register_error_handler(HTTPException, _error_page)
    return app


def open_server(app: Flask, host: str, port: int) -> BaseWSGIServer:
    """A threaded server that listens already; ``port`` 0 takes any free one (see ``server.port``).

    Errors: UsageError where the address cannot be had.
    """
    from werkzeug.serving import WSGIRequestHandler, make_server

    class Quiet(WSGIRequestHandler):
        """Requests are not worth a line in the terminal; errors still are."""

        def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
            pass

    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.create_server(address[:2], family=family) as listener:
            # The server works on a copy of the listener. Given none, it would print and exit on its own.
            server = make_server(host, port, app, threaded=True, request_handler=Quiet, fd=listener.fileno())
    except (OSError, UnicodeError) as error:
        number = getattr(error, "errno", None) or 0
        reason = os.strerror(number) if number > 0 else error
        raise UsageError(
            f"cannot serve at {host}:{port}: {reason}. Choose another --port (0 takes any free one) or --host"
        ) from error
    return server


class _Site:
    """The views. Flask's parts are imported late, as everywhere here."""

    def __init__(self, shop: Shop, tasks: Sequence[Task], visits: Visits) -> None:
        if not tasks:
            raise UsageError("a shop without tasks cannot be served; give at least one task")
        self.shop = shop
        self.tasks = tasks
        self.visits = visits
        _goal(tasks[0], shop)

    def home(self) -> Response:
        """The list of tasks, one sheet of it."""
        from flask import request

        sheets = -(-len(self.tasks) // TASKS_A_SHEET)
        sheet = min(max(request.args.get("page", 1, type=int), 1), sheets)
        first = (sheet - 1) * TASKS_A_SHEET
        tasks = [
            {
                "number": number,
                "instruction": task.instruction,
                "about": f"{task.kind} · {task.id}" if task.kind else task.id,
                "start": _begin(number),
            }
            for number, task in enumerate(self.tasks[first : first + TASKS_A_SHEET], first + 1)
        ]
        text = html.page(
            "tasks.html.j2", Around(home=_home()), title="Tasks · WebShop", tasks=tasks, sheet=sheet,
            sheets=sheets, tasks_text=_count(len(self.tasks), "task"),
            products_text=_count(len(self.shop.catalogue.products), "product"),
        )  # fmt: skip
        return _answer(text)

    def begin(self, number: int) -> Response:
        """Starts a visit to a task, counted from 1 as in the list."""
        from flask import abort, current_app

        if not 1 <= number <= len(self.tasks):
            abort(404)
        try:
            visit = Visit(self.shop, _goal(self.tasks[number - 1], self.shop), number)
        except RlemError as error:
            current_app.logger.warning("task %d cannot be played: %s", number, error)
            return _message(404, "No such task here", _NO_TASK)
        return _go(self.visits.add(visit), 0)

    def look(self, key: str, place: int) -> Response:
        """One page of a visit."""
        from flask import request, url_for

        visit = self._visit(key, place)
        with visit.lock:
            over = place == visit.bought
            notice = _NOTES.get(request.args.get("note", ""), "")
            more = over and visit.number < len(self.tasks)
            around = Around(
                home=_home(),
                label=f"Task {visit.number} of {len(self.tasks)}",
                post_to=url_for("POST /visits/<key>/<int:place>", key=key, place=place),
                notice=_EARLIER if visit.bought is not None and not over else notice,
                trail=visit.trail(place),
                again=_begin(visit.number) if over else "",
                next=_begin(visit.number + 1) if more else "",
            )
            return _answer(html.render(visit.session_at(place), around))

    def act(self, key: str, place: int) -> Response:
        """Takes what a form sends and leads to the page that comes of it."""
        from flask import request

        visit = self._visit(key, place)
        action = request.form.get("action", "")
        if action == html.SEARCH:
            words = _plain(request.form.get("words", ""))
            if not words:
                return _go(key, place, "empty")
            action = f"search[{words}]"
        with visit.lock:
            return _go(key, *visit.act(place, action))

    def health(self) -> Response:
        """Whether the site is up, for programs that wait for it."""
        from flask import jsonify

        return jsonify(status="ok", tasks=len(self.tasks), visits=len(self.visits))

    def _visit(self, key: str, place: int) -> Visit:
        from flask import abort

        visit = self.visits.find(key)
        if visit is None or place >= len(visit):
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


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _home() -> str:
    from flask import url_for

    return url_for("GET /")


def _begin(number: int) -> str:
    """Where a visit to a task begins."""
    from flask import url_for

    return url_for("POST /tasks/<int:number>", number=number)


def _go(key: str, place: int, note: str = "") -> Response:
    """A redirect that makes the browser fetch the page, so that a reload sends nothing twice."""
    from flask import Response, url_for

    address = url_for("GET /visits/<key>/<int:place>", key=key, place=place, note=note or None)
    return Response(status=303, headers={"Location": address})


def _answer(text: str, status: int = 200) -> Response:
    from flask import Response

    # A product text may hold half a surrogate pair, which no encoding can write.
    return Response(text.encode("utf-8", "replace"), status, content_type="text/html; charset=utf-8")


def _message(status: int, title: str, text: str) -> Response:
    """A page of a few words, and the way to the list."""
    return _answer(html.page("message.html.j2", Around(home=_home()), title=title, text=text), status)


def _error_page(error: HTTPException) -> Response:
    code = error.code or 500
    return _message(code, *_ERRORS.get(code, (error.name, error.description or "")))


def _guard(host: str) -> Callable[[], Response | None]:
    """Refuses requests that another site may have made a browser send."""
    is_known = known_hosts(host)

    def check() -> Response | None:
        from flask import abort, request

        headers = request.headers
        host = headers.get("Host", "")
        if not is_known(host):
            return _message(421, *_ERRORS[421])
        sender = headers.get("Origin"), headers.get("Sec-Fetch-Site")
        if request.method == "POST" and not is_own_form(host, *sender):
            abort(403)
        return None

    return check


def _harden(response: Response) -> Response:
    """Nothing may be loaded or run but the page's own style sheet, and nothing is kept by the browser."""
    response.headers["Content-Security-Policy"] = (
        f"default-src 'none'; style-src '{html.style_hash()}'; img-src data:; form-action 'self'; "
        "base-uri 'none'; frame-ancestors 'none'"
    )
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Referrer-Policy"] = "same-origin"
    response.headers["Cache-Control"] = "no-store"
    return response
