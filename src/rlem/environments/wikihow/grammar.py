"""Which page a screen shows, by the templates of all pages; what is no such screen is refused with the place.

The templates stand in :mod:`rlem.environments.wikihow.grammar_pages`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from rlem.core.errors import DataError
from rlem.environments.wikihow.grammar_match import Matcher, Mismatch
from rlem.environments.wikihow.grammar_pages import STATUS_BAR, TEMPLATES
from rlem.environments.wikihow.html import Element, parse_line

__all__ = ["PAGES", "Mismatch", "Parsed", "page_type", "parse"]

PAGES = tuple(TEMPLATES)
"""The kinds of screens: home, search, article, author, category, about ..."""
_NEXT_LINE = re.compile(r"\n(?=<[a-z])")
"""Old recordings hold line breaks inside of a line."""
_BROKEN_OFF = re.compile(r"<(div|p|button)( [^<>]*)?>[^<>]*")
"""A line without its end, the last of some recordings."""


@dataclass(frozen=True, slots=True)
class Parsed:
    """A screen that fits a template: which page, its lines, whether the drawer or the search box is open.

    ``complete``: not so of recordings that break off, which fit but end before the status bar.
    """

    page: str
    elements: tuple[Element, ...]
    complete: bool = True

    @property
    def drawer(self) -> bool:
        """Whether the drawer is open."""
        return self.elements[0].words == "Close navigation drawer"

    @property
    def box(self) -> bool:
        """Whether the toolbar shows the search box."""
        return any(element.attributes.get("class") == "search src text" for element in self.elements)


def parse(screen: str) -> Parsed | Mismatch:
    """The page that a screen shows; where no template fits, the mismatch of the one that fits furthest."""
    lines = _NEXT_LINE.split(screen)
    broken = len(lines) > 1 and _BROKEN_OFF.fullmatch(lines[-1]) is not None
    elements: list[Element] = []
    for number, line in enumerate(lines[:-1] if broken else lines):
        try:
            elements.append(parse_line(line))
        except DataError:
            return Mismatch(number, repr(line[:200]), ("a line of HTML",))
        if elements[-1].attributes.get("id") != str(number):
            return Mismatch(number, repr(line[:200]), (f'id="{number}"',))
    mismatches = []
    for page in PAGES:
        mismatch = _matcher(page).match(elements)
        if mismatch is None or (mismatch.line == len(elements) and STATUS_BAR in mismatch.expected):
            return Parsed(page, tuple(elements), complete=mismatch is None and not broken)
        mismatches.append(mismatch)
    return max(mismatches, key=lambda mismatch: mismatch.line)


def page_type(lines: Sequence[str]) -> str:
    """The page that lines show. Errors: DataError for those of no page, with line and expectation."""
    parsed = parse("\n".join(lines))
    if isinstance(parsed, Mismatch):
        raise DataError(f"not a screen of the app: {parsed}")
    return parsed.page


@cache
def _matcher(page: str) -> Matcher:
    return Matcher(TEMPLATES[page])
