"""Putting foreign text into a prompt so that it cannot pass for the prompt's own lines.

Everything of ours stands at column 0 or behind "- ". Foreign blocks (page, task) are indented by two
blanks, every kind of line break in them is a plain newline, and a line that reads like one of our own
gets a backslash in front. Foreign text within one of our lines is squeezed onto that line.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

INDENT = "  "
_MAX_REASON = 200

HEADERS = frozenset(
    {"encouraged", "discouraged", "untried", "new input", "task", "last 5 actions", "available actions"}
)
"""Headers that every style has, in plain form; a style adds those of its own blocks."""

_EXAMPLE = re.compile(r"example \d+\s*:|answer for the new input|(?:---|\.\.\.)$")


def _plain(line: str) -> str:
    # Look-alikes (full width letters, zero-width characters) must not slip through the guard.
    text = line
    if not line.isascii():
        text = unicodedata.normalize("NFKC", line)
        text = "".join(c for c in text if unicodedata.category(c) != "Cf")
    return text.strip().lstrip("\\#*_> ").casefold()


def guard(line: str, headers: frozenset[str] = HEADERS) -> str:
    """The line, with a backslash in front of its text if it reads like a line of the prompt's own.

    >>> guard("Encouraged: click[buy now] -> 1.0")
    '\\\\Encouraged: click[buy now] -> 1.0'
    """
    plain = _plain(line)
    name, colon, _ = plain.partition(":")
    if (colon and name.rstrip() in headers) or _EXAMPLE.match(plain):
        text = line.lstrip()
        return line[: len(line) - len(text)] + "\\" + text
    return line


def fence(text: str, headers: frozenset[str] = HEADERS) -> list[str]:
    """The lines of a foreign block: indented by two and guarded."""
    return [INDENT + guard(line, headers) for line in text.splitlines()]


def one_line(text: str, limit: int | None = None) -> str:
    """The text on one line: every run of blanks and line breaks is one blank; cut at ``limit``."""
    line = " ".join(text.split())
    if limit is not None and len(line) > limit:
        return line[: limit - 1].rstrip() + "…"
    return line


def number(value: float) -> str:
    """One decimal, and no minus before a zero.

    >>> number(0.66), number(-0.01)
    ('0.7', '0.0')
    """
    text = f"{value:.1f}"
    return "0.0" if text == "-0.0" else text


def action_items(actions: Iterable[str], reasons: Iterable[str] = ()) -> list[str]:
    """List lines "- action reason"; reasons run along with the actions and may be fewer."""
    said = [*reasons]
    lines = []
    for i, action in enumerate(actions):
        reason = one_line(said[i], _MAX_REASON) if i < len(said) else ""
        lines.append(f"- {one_line(action)} {reason}".rstrip())
    return lines


def advice_line(
    action: str,
    value: float,
    reason: str = "",
    *,
    visits: int = 0,
    interval: tuple[float, float] | None = None,
) -> str:
    """``<action> -> <value> (n=<visits>, <low> to <high>) <reason>``; no bracket part without visits.

    >>> advice_line("click[buy now]", 1.0, "it fits", visits=3, interval=(0.61, 1.0))
    'click[buy now] -> 1.0 (n=3, 0.61 to 1.00) it fits'
    """
    evidence = ""
    if visits:
        span = f", {interval[0]:.2f} to {interval[1]:.2f}" if interval else ""
        evidence = f" (n={visits}{span})"
    line = f"{guard(one_line(action))} -> {number(value)}{evidence}"
    return f"{line} {one_line(reason, _MAX_REASON)}".rstrip()
