"""Pages of the sites that environments serve to people: templates and one style sheet in the page.

No scripts, nothing to load. All texts are escaped.
"""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from typing import Any

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

_SHARED = ("rlem.environments", "web_templates")
_SHORT_CHARS = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Around:
    """What a site puts around a page. Addresses are the site's own; an empty text leaves the thing out.

    ``home``: the list of tasks; ``label``: which task this is; ``post_to``: where the forms go (empty: to
    the page's own address); ``trail``: the actions that led here; ``next``, ``again``: where a further
    task, or the same, begins.
    """

    home: str = ""
    label: str = ""
    post_to: str = ""
    notice: str = ""
    trail: tuple[str, ...] = ()
    next: str = ""
    again: str = ""


ALONE = Around()
"""A page that no site shows."""


class Pages:
    """The templates of a package, with those that all sites share; ``brand`` stands at the top of a page, and
    ``sheet`` is the package's own style sheet."""

    def __init__(self, package: str, brand: str, sheet: str) -> None:
        self._package, self.brand, self._sheet = package, brand, sheet

    def page(
        self, template: str, around: Around = ALONE, *, styled: bool = True, css: str = "", **values: Any
    ) -> str:
        """A template filled in; ``values`` has at least the ``title``. ``css``: rules of this page alone."""
        return self._environment.get_template(template).render(
            around=around, styled=styled, css=self.css + Markup(css), brand=self.brand, **values
        )

    @cached_property
    def css(self) -> Markup:
        """The style sheet as it stands in every page: our own files, so it is not escaped."""
        shared, own = files(_SHARED[0]) / _SHARED[1] / "site.css", files(self._package) / "templates"
        text = "\n".join(file.read_text(encoding="utf-8") for file in (shared, own / self._sheet))
        return Markup(re.sub(r"\n\s*", "\n", text).strip())

    def css_hash(self, css: str = "") -> str:
        """The style sheet's hash, as a content security policy names it. ``css``: as for :meth:`page`."""
        return "sha256-" + base64.b64encode(hashlib.sha256((self.css + css).encode()).digest()).decode()

    @cached_property
    def _environment(self) -> Environment:
        environment = Environment(
            loader=ChoiceLoader([PackageLoader(self._package), PackageLoader(*_SHARED)]),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        environment.filters |= {"decimal": decimal, "short": lambda text: cut(text, _SHORT_CHARS)}
        return environment


def decimal(number: float) -> str:
    """At most three places, without zeros at the end.

    >>> decimal(2.0), decimal(0.12345)
    ('2', '0.123')
    """
    return f"{number:.3f}".rstrip("0").rstrip(".")


def cut(text: str, most: int) -> str:
    """A text of at most so many characters.

    >>> cut("a long word", 6)
    'a lon…'
    """
    return text if len(text) <= most else text[: most - 1] + "…"


def counted(number: int, noun: str) -> str:
    """A number of things in words.

    >>> counted(1, "task"), counted(1000, "task")
    ('1 task', '1,000 tasks')
    """
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
