"""What the sites have in common that show an environment to people at their own machine.

A list of tasks, visits by keys that nobody can guess, pages for what goes wrong, and the refusal of requests
that another site has made a browser send. Flask's parts are imported late.
"""

from __future__ import annotations

import os
import secrets
import socket
import threading
from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from rlem.core.errors import MissingExtraError, RlemError, UsageError
from rlem.core.types import Task
from rlem.environments.web_guard import is_own_form, known_hosts
from rlem.environments.web_pages import Around, Pages

if TYPE_CHECKING:
    from flask import Flask, Response
    from werkzeug.exceptions import HTTPException
    from werkzeug.serving import BaseWSGIServer

Visit = TypeVar("Visit")

MOST_VISITS = 500
"""Visits that a site keeps; the one that was not looked at for longest goes first."""
TASKS_A_SHEET = 50
_MOST_BYTES = 256 * 1024
_ERRORS = {
    403: ("Not from here", "Another site sent this. Open this one in its own tab and try there."),
    404: (
        "Not found",
        "There is nothing at this address. A visit is forgotten when the server is started again, or when "
        f"more than {MOST_VISITS} newer ones have come: choose the task from the list again.",
    ),
    405: ("Not this way", "This address only takes what a button sends. Go on from the list."),
    413: ("Too long", "What was sent is too long. Go back and send fewer words."),
    421: (
        "Not this site's address",
        "The site is not served under this name. Use the address that its server has printed, or start it "
        "with --host and this name.",
    ),
    500: ("The site has failed", "The terminal of the server shows why. Go back and try something else."),
}


class Visits(Generic[Visit]):
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


class TaskSite(ABC, Generic[Visit]):
    """A site that offers tasks. ``verb``: of the button that begins one; ``lead``: below the heading of the
    list; ``refusal``: what is said of a task that cannot be played."""

    pages: Pages
    verb: str
    refusal: str

    def __init__(self, tasks: Sequence[Task], lead: str, most_visits: int) -> None:
        self.tasks, self.lead = tasks, lead
        self.visits: Visits[Visit] = Visits(most_visits)

    @abstractmethod
    def start(self, number: int) -> Visit:
        """A visit to a task, counted from 1. Errors: RlemError where it cannot be played."""

    @abstractmethod
    def first(self, key: str) -> Response:
        """The way to the first page of a visit."""

    def about(self, task: Task) -> str:
        """What the list says of a task below its instruction."""
        return f"{task.kind} · {task.id}" if task.kind else task.id

    def app(self, host: str, views: Mapping[str, Callable[..., Response]]) -> Flask:
        """The application. ``views`` by method and rule ("GET /visits/<key>"), which are their names, too.

        Errors: MissingExtraError without Flask.
        """
        try:
            from flask import Flask
            from werkzeug.exceptions import HTTPException
        except ImportError as error:
            raise MissingExtraError("The site", "web") from error
        app = Flask(__name__, static_folder=None)
        app.config["MAX_CONTENT_LENGTH"] = app.config["MAX_FORM_MEMORY_SIZE"] = _MOST_BYTES
        own: dict[str, Callable[..., Any]] = {
            "GET /": self.home,
            "POST /tasks/<int:number>": self.begin,
            "GET /healthz": self.health,
        }
        for name, view in (own | dict(views)).items():
            method, rule = name.split()
            app.add_url_rule(rule, name, view, methods=[method])
        app.before_request(self._guard(host))
        app.after_request(self._harden)
        app.register_error_handler(HTTPException, self._error_page)
        return app

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
                "about": self.about(task),
                "start": begin_at(number),
            }
            for number, task in enumerate(self.tasks[first : first + TASKS_A_SHEET], first + 1)
        ]
        return self.show(
            "tasks.html.j2",
            title=f"Tasks · {self.pages.brand}",
            tasks=tasks,
            sheet=sheet,
            sheets=sheets,
            lead=self.lead,
            verb=self.verb,
        )

    def begin(self, number: int) -> Response:
        """Starts a visit to a task, counted from 1 as in the list."""
        from flask import abort, current_app

        if not 1 <= number <= len(self.tasks):
            abort(404)
        try:
            visit = self.start(number)
        except RlemError as error:
            current_app.logger.warning("task %d cannot be played: %s", number, error)
            return self._message(404, "No such task here", self.refusal)
        return self.first(self.visits.add(visit))

    def health(self) -> Response:
        """Whether the site is up, for programs that wait for it."""
        from flask import jsonify

        return jsonify(status="ok", tasks=len(self.tasks), visits=len(self.visits))

    def visit(self, key: str) -> Visit:
        """The visit of a key; else a page that says so."""
        from flask import abort

        visit = self.visits.find(key)
        if visit is None:
            abort(404)
        return visit

    def around(self, number: int, post_to: str, *, over: bool, **more: Any) -> Around:
        """What stands around a page of the task of a number; ``over``: with ways to go on from its end."""
        return Around(
            home=home_at(),
            label=f"Task {number} of {len(self.tasks)}",
            post_to=post_to,
            again=begin_at(number) if over else "",
            next=begin_at(number + 1) if over and number < len(self.tasks) else "",
            **more,
        )

    def show(self, template: str, status: int = 200, **values: Any) -> Response:
        """A page of the site."""
        return self.answer(self.pages.page(template, Around(home=home_at()), **values), status)

    def answer(self, text: str, status: int = 200, css: str = "") -> Response:
        """A page that was rendered, with the ``css`` of its own."""
        from flask import Response

        # Texts from outside may hold half a surrogate pair, which no encoding can write.
        page = Response(text.encode("utf-8", "replace"), status, content_type="text/html; charset=utf-8")
        page.headers["Content-Security-Policy"] = self._policy(css)
        return page

    def _message(self, status: int, title: str, text: str) -> Response:
        """A page of a few words, and the way to the list."""
        return self.show("message.html.j2", status, title=title, text=text)

    def _error_page(self, error: HTTPException) -> Response:
        code = error.code or 500
        return self._message(code, *_ERRORS.get(code, (error.name, error.description or "")))

    def _guard(self, host: str) -> Callable[[], Response | None]:
        """Refuses requests that another site may have made a browser send."""
        is_known = known_hosts(host)

        def check() -> Response | None:
            from flask import abort, request

            headers = request.headers
            host = headers.get("Host", "")
            if not is_known(host):
                return self._message(421, *_ERRORS[421])
            sender = headers.get("Origin"), headers.get("Sec-Fetch-Site")
            if request.method == "POST" and not is_own_form(host, *sender):
                abort(403)
            return None

        return check

    def _policy(self, css: str = "") -> str:
        return (
            f"default-src 'none'; style-src '{self.pages.css_hash(css)}'; img-src data:; form-action 'self'; "
            "base-uri 'none'; frame-ancestors 'none'"
        )

    def _harden(self, response: Response) -> Response:
        """Nothing may be loaded or run but the page's own style sheet, and nothing is kept by the browser."""
        response.headers.setdefault("Content-Security-Policy", self._policy())
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["Referrer-Policy"] = "same-origin"
        response.headers["Cache-Control"] = "no-store"
        return response


def home_at() -> str:
    """The address of the list of tasks."""
    from flask import url_for

    return url_for("GET /")


def begin_at(number: int) -> str:
    """Where a visit to a task begins."""
    from flask import url_for

    return url_for("POST /tasks/<int:number>", number=number)


def go(view: str, **values: Any) -> Response:
    """A redirect that makes the browser fetch a view's page, so that a reload sends nothing twice."""
    from flask import Response, url_for

    address = url_for(view, **values)
    return Response(status=303, headers={"Location": address})


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
