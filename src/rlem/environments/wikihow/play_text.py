"""The phone's screen for a person at the terminal: a numbered list, and short forms of the actions."""

from __future__ import annotations

import re

from rlem.core.errors import DataError, UsageError
from rlem.core.types import Step, Task
from rlem.environments.wikihow.actions import parse_action
from rlem.environments.wikihow.html import Element, parse_line

_BAR = frozenset(
    ("Open navigation drawer", "Close navigation drawer", "Search", "Clear query", "More options")
)
_BAR_CLASSES = ("wikihow toolbar logo", "search src text")
_SHORT = {"u": "SCROLL(UP)", "d": "SCROLL(DOWN)", "b": "GOBACK"}
_NUMBER = re.compile(r"(\d+)(?:\s+(.+))?", re.ASCII | re.DOTALL)
_CALL = re.compile(r"\s*(\w+)(.*)", re.DOTALL)
_MARKS = {"img": "picture", "button": "button", "input": "field", "p": "link", "div": "link"}
_SILENT = ("", "•")
"""Texts of elements that a list can do without."""


class PhoneText:
    """How a screen is shown as a list; ``max_steps``: after which the episode ends.

    >>> PhoneText(15).expand("0 a red kite", Step(observation='<input id="0" clickable="true">'))
    'INPUT(0, a red kite)'
    """

    hint = "5: click 5; 5 some words: type there; u, d: scroll; b: back"

    def __init__(self, max_steps: int) -> None:
        self._max_steps = max_steps

    def show(self, task: Task, step: Step, *, last: float, total: float, index: int) -> str:
        """The task, the instruction that is due, the rewards, and the screen's elements by their numbers."""
        due = step.subtask or task.instruction.partition("\n")[0]
        head = [
            "Task: " + task.instruction.replace("\n", "\n      "),
            f"Now:  {due}",
            f"Last reward {last:g}, in all {total:g}. Steps left: {self._max_steps - index}",
        ]
        return "\n".join([*head, "", *_listed(step)])

    def expand(self, typed: str, step: Step) -> str:
        """The action that a short form stands for. Errors: UsageError for what cannot be done here."""
        if number := _NUMBER.fullmatch(typed):
            action = f"INPUT({number[1]}, {number[2]})" if number[2] else f"CLICK({number[1]})"
        elif call := _CALL.fullmatch(typed):
            action = _SHORT.get(typed.lower(), call[1].upper() + call[2])
        else:
            action = typed
        understood = parse_action(action, len(_lines(step)))
        if isinstance(understood, str):
            raise UsageError(f"{typed!r}: {understood}. For short: {self.hint}")
        return action


def _lines(step: Step) -> list[str]:
    return [line for line in step.observation.split("\n") if line and not line.startswith("<!--")]


def _listed(step: Step) -> list[str]:
    """The bar in one line, then what else can be read, each in a line."""
    elements = [(number, _parsed(line)) for number, line in enumerate(_lines(step))]
    inert = any(e.tag in ("p", "div") and e.words.strip() and not e.clickable for _, e in elements)
    bar, rows, blank = [], [], []
    for number, element in elements:
        words = " ".join(element.words.split())
        if element.attributes.get("alt") in _BAR or element.attributes.get("class") in _BAR_CLASSES:
            bar.append(f"[{number}] {_bar_words(element)}")
        elif words not in _SILENT or element.tag == "input":
            # Where all texts are clickable, saying so of each would be noise.
            marked = element.tag == "img" or (
                element.clickable and (inert or element.tag in ("button", "input"))
            )
            mark = f"({_MARKS.get(element.tag, 'link')})" if marked else ""
            rows.append(f"{f'[{number}]':>5} " + "   ".join(filter(None, (words, mark))))
        else:
            blank.append(f"[{number}]")
    if rows and not inert:
        rows.insert(0, "(every line can be clicked)")
    if blank:
        rows.append(f"(without words: {' '.join(blank)})")
    return [*(["  ".join(bar), ""] if bar else []), *rows] or ["(an empty screen)"]


def _bar_words(element: Element) -> str:
    if element.tag == "input":
        return f"<{element.words.strip()}> (field)"
    return element.words or "wikiHow"


def _parsed(line: str) -> Element:
    """The element of a line; one that cannot be read is shown as it is."""
    try:
        return parse_line(line)
    except DataError:
        return Element("div", {}, line)
