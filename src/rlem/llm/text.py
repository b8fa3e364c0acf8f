"""Small things done to texts that come from outside."""

from __future__ import annotations

from collections.abc import Sequence

MAX_QUOTED = 300


def cut_at_stop(text: str, stop: Sequence[str]) -> str:
    """The text up to the first of the stop strings.

    >>> cut_at_stop("Action: buy Discouraged: back", ["Discouraged"])
    'Action: buy '
    """
    ends = [at for word in stop if word and (at := text.find(word)) >= 0]
    return text[: min(ends)] if ends else text


def one_line(text: str, limit: int = MAX_QUOTED) -> str:
    """Foreign text made fit for a message: one line, printable, of bounded length."""
    line = " ".join(printable(text[: 4 * limit]).split())
    return line if len(line) <= limit else line[: limit - 3] + "..."


def printable(text: str) -> str:
    """Without control characters (a page must not steer a terminal); line ends and tabs stay.

    >>> printable("buy\\x1b[2J now")
    'buy [2J now'
    """
    return "".join(c if c.isprintable() or c in "\n\t" else " " for c in text)
