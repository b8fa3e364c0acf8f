"""The phone as a web site for people at their own machine: choose a task, tap, type and scroll, see what it
earns.

A visit has one state, and its page shows it: back and reload do nothing twice, and a form that was made for
an earlier screen is refused.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rlem.core.errors import UsageError
from rlem.core.types import Task
from rlem.environments.web_pages import Pages, counted
from rlem.environments.web_site import MOST_VISITS, TaskSite, go
from rlem.environments.web_site import open_server as open_server
from rlem.environments.wikihow.actions import parse_action
from rlem.environments.wikihow.draw import Drawing, draw
from rlem.environments.wikihow.env import WikiHow

if TYPE_CHECKING:
    from flask import Flask, Response

NUMBERS = "numbers"
"""What the button sends that shows and hides the numbers."""
TEXT = "<text>"
"""Stands in an action for the words of the field that is sent with it."""
_PAGE = "/visits/<key>"
_STALE = "That was made for an earlier screen, so nothing was done. This is the screen now."
_OVER = "The task is over: nothing can be done here any more."


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """An action that was taken. ``words``: what stood there; ``due``: the instruction that came of it."""

    action: str
    words: str
    reward: float
    due: str


class Visit:
    """One person at one task with a phone of their own. Hold ``lock`` while using it."""

    def __init__(self, world: WikiHow, task: Task, number: int) -> None:
        self.task, self.number = task, number
        self.lock = threading.Lock()
        self.world = world.spawn()
        self.step = self.world.reset(task)
        self.log: list[Taken] = []
        self.numbers = True
        self.notice = ""

    @property
    def total(self) -> float:
        """What all actions have earned."""
        return sum(taken.reward for taken in self.log)

    @property
    def over(self) -> bool:
        """Whether the task has ended, or its steps are used up."""
        return self.step.terminated or len(self.log) >= self.world.max_steps

    @property
    def due(self) -> str:
        """The instruction to follow now."""
        return self.step.subtask or self.task.instruction.partition("\n")[0]

    @property
    def ending(self) -> str:
        """How the task has ended, in words; "" while it goes on."""
        if not self.over:
            return ""
        if self.world.succeeded(self.total, self.step):
            return "Done: you have reached the last goal"
        return "You have left the app" if self.step.terminated else "The steps are used up"

    def drawing(self) -> Drawing:
        """The screen."""
        return draw(self.world.app.screen())

    def act(self, action: str, steps: int | None) -> None:
        """Takes an action that was chosen after so many steps; ``notice`` says why nothing was done."""
        self.notice = ""
        if action == NUMBERS:
            self.numbers = not self.numbers
            return
        if self.over or steps != len(self.log):
            self.notice = _OVER if self.over else _STALE
            return
        leaves = self.world.app.screen().leaves
        command = parse_action(action, len(leaves))
        if isinstance(command, str):
            self.notice = f"Nothing was done: {command}."
            return
        leaf = leaves[command.element]
        words = (leaf.text or leaf.alt or leaf.value) if command.element >= 0 else ""
        before = self.step.subtask
        self.step = self.world.step(action)
        due = self.step.subtask
        self.log.append(
            Taken(action=action, words=words, reward=self.step.reward, due="" if due == before else due)
        )


def create_app(
    world: WikiHow, tasks: Sequence[Task], *, host: str = "127.0.0.1", most_visits: int = MOST_VISITS
) -> Flask:
    """A Flask application that offers ``tasks`` (of :meth:`WikiHow.tasks`) on a phone.

    ``host``: as for the shop's. Errors: MissingExtraError without Flask; UsageError where the first task is
    not this site's, or there is none at all.
    """
    site = _Site(world, tasks, most_visits)
    return site.app(host, {f"GET {_PAGE}": site.look, f"POST {_PAGE}": site.act})


class _Site(TaskSite[Visit]):
    """The views. Flask's parts are imported late, as everywhere here."""

    pages = Pages("rlem.environments.wikihow", "WikiHow", "phone.css")
    verb = "Play"
    refusal = "This app cannot play that task. The terminal of the server shows why. Choose another one."

    def __init__(self, world: WikiHow, tasks: Sequence[Task], most_visits: int) -> None:
        if not tasks:
            raise UsageError("an app without tasks cannot be served; give at least one task")
        world.definition(tasks[0])
        self._world = world
        lead = (
            f"{counted(len(tasks), 'task')} in an app of {counted(len(world.site.articles), 'article')}. "
            "Choose one, do what it asks for on the phone, and see what each step earns."
        )
        super().__init__(tasks, lead, most_visits)

    def start(self, number: int) -> Visit:
        """A visit to a task."""
        return Visit(self._world, self.tasks[number - 1], number)

    def about(self, task: Task) -> str:
        """The kind of a task; its id would say the instruction again."""
        return task.kind

    def first(self, key: str) -> Response:
        """The page of the visit."""
        return go(f"GET {_PAGE}", key=key)

    def look(self, key: str) -> Response:
        """The screen as it is now, and what has been done."""
        from flask import url_for

        visit = self.visit(key)
        with visit.lock:
            at = url_for(f"POST {_PAGE}", key=key)
            around = self.around(visit.number, at, over=visit.over, notice=visit.notice)
            drawing = visit.drawing()
            page = self.pages.page(
                "phone.html.j2", around, css=drawing.css, visit=visit, drawing=drawing,
                title=f"{visit.ending or visit.due} · WikiHow", fields=_fields(visit, drawing),
            )  # fmt: skip
            return self.answer(page, css=drawing.css)

    def act(self, key: str) -> Response:
        """Takes what a form sends, and leads to the screen that comes of it."""
        from flask import request

        visit = self.visit(key)
        action = request.form.get("action", "")
        if TEXT in action:
            words = " ".join(request.form.get("text", "").split())
            number = action.partition("(")[2].partition(",")[0]
            action = action.replace(TEXT, words) if words else f"CLICK({number})"
        with visit.lock:
            visit.act(action, request.form.get("steps", type=int))
        return go(f"GET {_PAGE}", key=key, _anchor="phone")


def _fields(visit: Visit, drawing: Drawing) -> list[dict[str, object]]:
    """What text can be typed into; ``shown``: the phone itself shows a field for it."""
    found = []
    for action in visit.step.actions:
        if action.startswith("INPUT("):
            box = drawing.boxes[int(action[6:].partition(",")[0])]
            found.append({"action": action, "box": box, "shown": box.look == "field"})
    return found
