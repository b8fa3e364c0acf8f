"""What an action looks like: verbs of a style, templates with a free argument, and availability."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

_PLACEHOLDER = re.compile(r"<[A-Za-z][A-Za-z _-]*>")
_BRACKETS = re.compile(r"[\[\]<>()]")
_FILL_WORDS = 15


@dataclass(frozen=True, slots=True, kw_only=True)
class Grammar:
    """The verbs of a style. ``verbs`` maps each to its brackets: "[]", "()" or "" (takes no argument).

    Without verbs (generic) an action is any of the available texts. ``bare_verb`` is the verb that is
    left away where the prompt prints elements by name ("buy now" for ``click[buy now]``).
    """

    name: str
    verbs: Mapping[str, str] = field(default_factory=dict)
    bare_verb: str = ""


WEBSHOP = Grammar(name="webshop", verbs={"search": "[]", "click": "[]"}, bare_verb="click")
WIKIHOW = Grammar(name="wikihow", verbs={"INPUT": "()", "CLICK": "()", "SCROLL": "()", "GOBACK": ""})
GENERIC = Grammar(name="generic")


def is_template(action: str) -> bool:
    """Whether the action text has a free argument, as ``search[<words>]``: it stands for every filling.

    >>> is_template("search[<words>]"), is_template("click[< prev]")
    (True, False)
    """
    return _PLACEHOLDER.search(action) is not None


def match_template(template: str, action: str, *, fold: bool = False) -> bool:
    """Whether the action is a filling of the template: every free argument has content of its own.

    A text without free arguments matches itself alone.

    ``fold``: the fixed texts before and after the arguments may differ in case. Linear in the lengths.

    >>> match_template("INPUT(3, <text>)", "INPUT(3, a cake)"), match_template("search[<w>]", "search[ ]")
    (True, False)
    """
    if not is_template(template):
        return action == template
    first, *middle, last = _PLACEHOLDER.split(template)
    end = len(action) - len(last)
    if end < len(first):
        return False
    pairs = ((action[: len(first)], first), (action[end:], last))
    if not all(a == b or (fold and a.casefold() == b.casefold()) for a, b in pairs):
        return False
    rest, contents = action[len(first) : end], []
    for literal in middle:
        content, found, rest = rest.partition(literal) if literal else (rest[:1], "", rest[1:])
        if literal and not found:
            return False
        contents.append(content)
    contents.append(rest)
    names = _PLACEHOLDER.findall(template)
    return all(c.strip() and not any(name in c for name in names) for c in contents)


def is_available(action: str, actions: Sequence[str]) -> bool:
    """Whether an action may be sent where ``actions`` are available: listed, or a filling of a template.

    An unfilled template is not available. An environment that lists no actions allows all of them.

    >>> is_available("search[red kettle]", ("search[<words>]", "click[next >]"))
    True
    >>> is_available("search[<words>]", ("search[<words>]", "click[next >]"))
    False
    """
    if not actions:
        return bool(action)
    return any(match_template(a, action) for a in actions)


def fill_template(template: str, words: str) -> str | None:
    """The template with its arguments filled by (at most 15 of) these words; None where there are none.

    >>> fill_template("search[<words>]", "a red [kettle]")
    'search[a red kettle]'
    """
    filling = " ".join(_BRACKETS.sub(" ", words).split()[:_FILL_WORDS])
    return _PLACEHOLDER.sub(lambda _: filling, template) if filling else None


def bare_element(action: str, grammar: Grammar) -> str:
    """The element's name alone, as the paper's prompts print it: ``click[x]`` is x, a search is ``search``.

    >>> bare_element("click[buy now]", WEBSHOP), bare_element("search[<words>]", WEBSHOP)
    ('buy now', 'search')
    """
    for verb, brackets in grammar.verbs.items():
        if brackets and action.startswith(verb + brackets[0]) and action.endswith(brackets[1]):
            if is_template(action):
                return verb
            if verb == grammar.bare_verb:
                return action[len(verb) + 1 : -1]
    return action
