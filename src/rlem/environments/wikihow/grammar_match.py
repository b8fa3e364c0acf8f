"""Templates of screens as data, and the matcher that says where a screen leaves its template.

A template is a regular expression whose letters are lines. Two parts are of screens alone: a
:class:`Window` shows any stretch of what it holds, and a row that an edge of the window cuts may look
otherwise than a whole one (:class:`Top`, :class:`Bottom`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TypeAlias

from rlem.environments.wikihow.html import Element


@dataclass(frozen=True, slots=True)
class Line:
    """One line: its name in messages, tag, clickability (None: either) and patterns that must match whole
    texts. Without a pattern there is no class and no alternative text, and any text or value."""

    name: str
    tag: str
    clickable: bool | None = False
    text: str = ".*"
    css: str = ""
    alt: str = ""
    value: str = ".*"

    def fits(self, element: Element) -> bool:
        """Whether an element is such a line."""
        attributes = element.attributes
        return (
            element.tag in self.tag.split("|")
            and self.clickable in (None, element.clickable)
            and (element.tag == "input") == (attributes.get("type") == "text")
            and _whole(self.css, attributes.get("class", ""))
            and _whole(self.alt, attributes.get("alt", ""))
            and _whole(self.value, attributes.get("value", ""))
            and _whole(self.text, element.text)
        )


@dataclass(frozen=True, slots=True)
class Seq:
    """One part after the other."""

    parts: tuple[Template, ...]


@dataclass(frozen=True, slots=True)
class Either:
    """One of the parts."""

    parts: tuple[Template, ...]


@dataclass(frozen=True, slots=True)
class Many:
    """The part any number of times, at least ``least`` (0 or 1)."""

    part: Template
    least: int = 0


@dataclass(frozen=True, slots=True)
class Window:
    """Any stretch of the part: a page scrolled somewhere."""

    part: Template


@dataclass(frozen=True, slots=True)
class Top:
    """What a window may begin with here, in place of what it cuts."""

    part: Template


@dataclass(frozen=True, slots=True)
class Bottom:
    """What a window may end with here, in place of what it cuts."""

    part: Template


Template: TypeAlias = Line | Seq | Either | Many | Window | Top | Bottom


def seq(*parts: Template) -> Seq:
    """One part after the other."""
    return Seq(parts)


def either(*parts: Template) -> Either:
    """One of the parts."""
    return Either(parts)


def maybe(*parts: Template) -> Either:
    """The parts one after the other, or nothing."""
    return Either((Seq(parts), Seq(())))


@dataclass(frozen=True, slots=True)
class Mismatch:
    """Where a screen leaves a template: line (from 0; the number of lines: it ended), what stands there and
    the names of what was expected."""

    line: int
    found: str
    expected: tuple[str, ...]

    def __str__(self) -> str:
        more = len(self.expected) - _NAMED
        names = ", ".join(self.expected[:_NAMED]) + (f" or one of {more} others" if more > 0 else "")
        return f"line {self.line}: {self.found}; expected {names}"


_NAMED = 8
"""So many expected lines are named in a message."""
END = "the end of the screen"


class Matcher:
    """A template as states: ``free`` are those reached without a line, ``moves`` those reached by one."""

    def __init__(self, template: Template) -> None:
        self.free: list[list[int]] = [[]]
        self.moves: list[list[tuple[Line, int]]] = [[]]
        self.end = self._add(template, 0)

    def match(self, elements: Sequence[Element]) -> Mismatch | None:
        """None if the elements are such a screen."""
        states = self._closed([0])
        for number, element in enumerate(elements):
            fitting: dict[Line, bool] = {}
            after: set[int] = set()
            for state in states:
                for line, target in self.moves[state]:
                    if line not in fitting:
                        fitting[line] = line.fits(element)
                    if fitting[line]:
                        after.add(target)
            if not after:
                return Mismatch(number, repr(element.words), self._expected(states))
            states = self._closed(after)
        return None if self.end in states else Mismatch(len(elements), END, self._expected(states))

    def _state(self) -> int:
        self.free.append([])
        self.moves.append([])
        return len(self.free) - 1

    def _add(self, template: Template, start: int) -> int:
        """States of a template that begins in ``start``; the state in which it ends."""
        match template:
            case Line():
                end = self._state()
                self.moves[start].append((template, end))
            case Seq(parts):
                end = start
                for part in parts:
                    end = self._add(part, end)
            case Either(parts):
                end = self._state()
                for part in parts:
                    self.free[self._add(part, self._after(start))].append(end)
            case Many(part, least):
                first = self._after(start)
                end = self._after(self._add(part, first))
                self.free[end].append(first)
                if not least:
                    self.free[start].append(end)
            case Window(part):
                first = self._after(start)
                last = self._add(part, first)
                inside = range(first, len(self.free))
                end = self._after(last)
                self.free[start].extend(inside)
                for state in inside:
                    self.free[state].append(end)
            case Top(part):  # only a window that begins here leads into it
                end = self._add(part, self._state())
                self.free[start].append(end)
            case Bottom(part):  # only a window that ends here leads out of it
                self._add(part, self._after(start))
                end = start
        return end

    def _after(self, state: int) -> int:
        """A new state that ``state`` leads to without a line."""
        new = self._state()
        self.free[state].append(new)
        return new

    def _closed(self, states: Iterable[int]) -> set[int]:
        """The states and all that they lead to without a line."""
        todo, found = list(states), set(states)
        while todo:
            for state in self.free[todo.pop()]:
                if state not in found:
                    found.add(state)
                    todo.append(state)
        return found

    def _expected(self, states: set[int]) -> tuple[str, ...]:
        names = {line.name for state in sorted(states) for line, _ in self.moves[state]}
        return (*sorted(names), *([END] if self.end in states else ()))


@cache
def _pattern(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.DOTALL)


def _whole(pattern: str, text: str) -> bool:
    return pattern == ".*" or _pattern(pattern).fullmatch(text) is not None
