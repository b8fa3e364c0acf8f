"""Actions on the screen of a phone: ``INPUT(id, text)``, ``CLICK(id)``, ``SCROLL(direction)``, ``GOBACK``.

Used by the offline app and by the adapter to a real Mobile-Env: both list the same actions and understand
the same texts.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, get_args

Direction = Literal["UP", "DOWN", "LEFT", "RIGHT"]
DIRECTIONS: tuple[Direction, ...] = get_args(Direction)
FORMS = "INPUT(id, text), CLICK(id), SCROLL(UP, DOWN, LEFT or RIGHT), GOBACK"

_CALL = re.compile(r"(\w+)\(\s*(\w+)\s*(?:,(.*))?\)", re.ASCII | re.DOTALL)
_NUMBER = re.compile(r"\d{1,6}", re.ASCII)
_DIRECTION: dict[str, Direction] = {direction: direction for direction in DIRECTIONS}
_MOST_CHARACTERS = 1000
_SHOWN = 60


class Element(Protocol):
    """What the listing needs to know of an element of the screen."""

    @property
    def tag(self) -> str:
        """HTML tag."""
        ...

    @property
    def alt(self) -> str:
        """Description of a picture or a button."""
        ...


@dataclass(frozen=True, slots=True)
class Command:
    """An action that was understood. ``element`` is -1 where the verb takes none."""

    verb: Literal["INPUT", "CLICK", "SCROLL", "GOBACK"]
    element: int = -1
    text: str = ""
    direction: Direction = "DOWN"


def parse_action(action: str, count: int, *, clip: bool = False) -> Command | str:
    """The command that a text stands for, on a screen of ``count`` elements; else what is wrong with it.

    ``clip``: ids beyond the last element mean the last one, as in the original.

    >>> parse_action("INPUT(2, a red kite)", 5)
    Command(verb='INPUT', element=2, text='a red kite', direction='DOWN')
    >>> parse_action("CLICK(9)", 5)
    'there is no element 9; the screen has elements 0 to 4'
    """
    if action in ("GOBACK", "GOBACK()"):
        return Command("GOBACK")
    match = _CALL.fullmatch(action) if len(action) <= _MOST_CHARACTERS else None
    if match is None or match[1] not in ("INPUT", "CLICK", "SCROLL"):
        return f"this is no action; actions are {FORMS}"
    verb, argument, text = match[1], match[2], match[3] and match[3].strip()
    if verb == "SCROLL":
        direction = _DIRECTION.get(argument)
        if direction is None or text is not None:
            return f"SCROLL takes one of {', '.join(DIRECTIONS)}"
        return Command("SCROLL", direction=direction)
    if not _NUMBER.fullmatch(argument):
        return f"{verb} takes the number of an element first"
    if (verb == "INPUT") != bool(text):
        return "INPUT takes a number and a text" if verb == "INPUT" else "CLICK takes one number"
    element = min(int(argument), count - 1) if clip else int(argument)
    if not 0 <= element < count:
        some = f"the screen has elements 0 to {count - 1}" if count else "the screen has none"
        return f"there is no element {int(argument)}; {some}"
    return Command("INPUT", element, text) if verb == "INPUT" else Command("CLICK", element)


def takes_text(element: Element) -> bool:
    """Whether text can be typed there: a field, or the icon that opens one."""
    return element.tag == "input" or (element.tag == "img" and element.alt == "Search")


def listed(elements: Sequence[Element]) -> tuple[str, ...]:
    """The actions that a screen offers: a click on every element, input where text can be typed, the rest.

    What else is understood (input elsewhere, scrolling sideways) does nothing of use, and is not listed.
    """
    fields = [number for number, element in enumerate(elements) if takes_text(element)]
    return (
        *(f"INPUT({number}, <text>)" for number in fields),
        *_clicks(len(elements)),
        "SCROLL(DOWN)",
        "SCROLL(UP)",
        "GOBACK",
    )


def complaint(action: str, why: str) -> str:
    """The line that stands above the screen after an action that cannot be done: a comment, no element."""
    shown = "".join(c if c.isprintable() else " " for c in action[:_SHOWN]).replace("--", "- -")
    return f"<!-- error: {shown.encode('utf-8', 'replace').decode()}: {why}. Nothing was done. -->"


def typed(text: str) -> str:
    """What arrives in a field: the text as word pieces of an uncased vocabulary, put together again.

    Lower case, accents dropped, every punctuation mark a word of its own, nothing outside of ASCII.
    Source: Mobile-Env's way of typing by tokens (BERT's basic tokens).

    >>> typed("Bypass YouTube's Regional Filter (Café)")
    "bypass youtube ' s regional filter ( cafe )"
    """
    plain = unicodedata.normalize("NFD", text.lower()).encode("ascii", "ignore").decode()
    return " ".join(_TOKEN.findall(plain))


_TOKEN = re.compile(r"[a-z0-9]+|[^\sa-z0-9\x00-\x1f\x7f]")
_CLICKS = tuple(f"CLICK({number})" for number in range(100))


def _clicks(count: int) -> tuple[str, ...]:
    known = _CLICKS[:count]
    return known + tuple(f"CLICK({number})" for number in range(len(known), count))
