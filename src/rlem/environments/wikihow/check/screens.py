"""Recorded screens against the grammar, and a recorded view hierarchy against its lines."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path
from typing import Any

from rlem.core.errors import DataError
from rlem.environments.checking import Found, json_content
from rlem.environments.wikihow.grammar import Mismatch, Parsed, parse
from rlem.environments.wikihow.hierarchy import read_hierarchy
from rlem.environments.wikihow.html import leaves, to_html

_PAGES = {
    "search": "search",
    "article_top": "article",
    "article_mid": "article",
    "cat": "category",
    "cat_scrolled": "category",
    "author": "author",
    "home": "home",
    "about": "about",
    "menu": "menu",
}
"""What we call the recorded types of screens. Others are looked at otherwise, or may be anything."""


def screens(path: Path) -> Iterator[tuple[str, Any]]:
    """Screens by type: rows of (type, text)."""
    content = json_content(path)
    if not isinstance(content, dict) or not all(isinstance(found, list) for found in content.values()):
        raise DataError(f"{path}: expected an object with a list of screens for each type")
    for kind, found in content.items():
        for number, text in enumerate(found):
            yield f"{kind} {number}", (kind, text)


def screen(row: tuple[str, str]) -> list[Found]:
    """What differs in a screen: it is none of the app's, or not of the type that it was recorded as."""
    kind, text = row
    parsed = parse(text.strip("\n"))
    if isinstance(parsed, Mismatch):
        return [misfit(parsed)]
    if kind == "drawer" and not parsed.drawer:
        return [("type", f"{parsed.page}, the drawer closed", kind)]
    if kind == "searchfocus" and (not parsed.box or parsed.page == "search"):
        return [("type", _said(parsed), kind)]
    if _PAGES.get(kind, parsed.page) != parsed.page:
        return [("type", _said(parsed), kind)]
    return []


def misfit(mismatch: Mismatch) -> Found:
    """A screen that is none, as a difference: what was expected and what stands there."""
    return f"line {mismatch.line}", str(mismatch).partition("; ")[2], mismatch.found


def hierarchy(path: Path) -> Iterator[tuple[str, Any]]:
    """Lines that a view hierarchy gives, each with the recorded one: rows of (ours, recorded)."""
    beside = path.with_suffix(".html")
    try:
        recorded = beside.read_text(encoding="utf-8").rstrip("\n")
        ours = to_html(leaves(read_hierarchy(path.read_bytes())))
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: it or {beside.name} beside it cannot be read ({error})") from None
    except DataError as error:
        raise DataError(f"{path}: {error}") from None
    for number, pair in enumerate(zip_longest(ours.split("\n"), recorded.split("\n")), 1):
        yield f"line {number}", pair


def line(row: tuple[str | None, str | None]) -> list[Found]:
    """What differs in one line of a view hierarchy."""
    ours, recorded = row
    return [] if ours == recorded else [("line", ours or "no line", recorded or "no line")]


def _said(parsed: Parsed) -> str:
    return f"{parsed.page}{', the search box open' if parsed.box else ''}"
