"""From the action text a model wrote to the action that can be sent, or to a reason why there is none."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Sequence

from rlem.advice.actions import (
    Grammar,
    fill_template,
    is_template,
    match_template,
)
from rlem.advice.text import one_line

Known = Sequence[str] | Callable[[str], bool] | None
"""What is available: the list of actions, a test, or None (then only the shape is checked)."""

OPENERS = {"[": "]", "(": ")", "［": "］", "（": "）", "【": "】", "{": "}"}
QUOTES = "\"'`“”‘’«»「」*_\\"
PUNCTUATION = ".,;:!?。，；：！？"
_LOOSE = re.compile(r"[\s\"'`“”‘’]+")
_SHOWN = 120


def loose(text: str) -> str:
    """What is left of a text when case, blanks and quotes do not count."""
    return _LOOSE.sub("", text).casefold()


class Resolver:
    """Finds the available action that a text means. Differences of case, blanks and quotes are mended."""

    def __init__(self, grammar: Grammar, known: Known) -> None:
        self.grammar = grammar
        self.test = known if callable(known) else None
        self.actions: tuple[str, ...] = tuple(known) if known is not None and not callable(known) else ()
        self._listed = frozenset(self.actions)
        self._templates = [a for a in self.actions if is_template(a)]
        self._by_loose: dict[str, list[str]] = {}
        for action in self._listed.difference(self._templates):
            self._by_loose.setdefault(loose(action), []).append(action)
        verbs = sorted(grammar.verbs, key=len, reverse=True)
        names = "|".join(map(re.escape, verbs)) or "(?!)"
        self.start = re.compile(rf"\b({names})(?:\s*([\[(［（【{{])|\b)", re.IGNORECASE)
        """A verb, with its opening bracket (group 2) if it has one."""
        self._canonical = {verb.casefold(): verb for verb in verbs}

    def brackets(self, verb: str) -> str:
        """The brackets of a verb written in any case; "" if it takes no argument."""
        return self.grammar.verbs[self._canonical[verb.casefold()]]

    @property
    def checks(self) -> bool:
        """Whether it is known what is available."""
        return bool(self.actions) or self.test is not None

    def is_known(self, action: str) -> bool:
        """Whether the action can be sent as it stands."""
        if self.test is not None:
            return self.test(action)
        if not self.actions:
            return self._well_formed(action)
        if action in self._listed:
            return not is_template(action)  # a template as it stands is not filled
        return any(match_template(template, action) for template in self._templates)

    def resolve(self, text: str) -> tuple[str | None, tuple[str, ...]]:
        """The action meant, with the kinds of repair it took; None if nothing available is meant."""
        if self.is_known(text):
            return text, ()
        shaped, kinds = self.shape(text)
        if self.is_known(shaped):
            return shaped, kinds
        near = self._by_loose.get(loose(shaped), [])
        if len(near) == 1:
            return near[0], (*kinds, _difference(shaped, near[0]))
        for template in self._templates:
            if match_template(template, shaped, fold=True):
                return _refill(template, shaped), kinds or ("case",)
        return None, ()

    def shape(self, text: str) -> tuple[str, tuple[str, ...]]:
        """The text as the grammar spells it: verb, brackets and blanks put right."""
        bare = text.strip().strip(QUOTES).strip()
        kinds = [] if bare == text.strip() else ["quotes"]
        match = self.start.match(bare)
        if not match:
            return bare, tuple(kinds or ["spacing"] * (bare != text))
        verb, brackets = self._canonical[match[1].casefold()], self.brackets(match[1])
        if verb != match[1]:
            kinds.append("case")
        if not brackets:
            rest = bare[match.end(1) :].strip()
            whole = verb if rest in ("", "()", "[]") else bare
            return whole, tuple(kinds or ["spacing"] * (whole != text))
        argument = bare[match.end() :]
        argument = argument.removesuffix(OPENERS[match[2]]) if match[2] else argument.lstrip(" :")
        if match[2] != brackets[0]:
            kinds.append("bracket")
        whole = f"{verb}{brackets[0]}{self._argument(verb, argument)}{brackets[1]}"
        return whole, tuple(kinds or ["spacing"] * (whole != text))

    def bare(self, text: str) -> str | None:
        """The available action whose element name alone was given, where the style prints bare names."""
        if not self.grammar.bare_verb or not self.checks:
            return None
        brackets = self.grammar.verbs[self.grammar.bare_verb]
        name = text.strip().strip(QUOTES).strip()
        if name.casefold() in self._canonical:  # a verb alone lacks its argument
            return None
        action, _ = self.resolve(f"{self.grammar.bare_verb}{brackets[0]}{name}{brackets[1]}")
        return action

    def failure(self, text: str) -> str:
        """Why the action text cannot be used, with the nearest available action named."""
        shown = one_line(text, _SHOWN)
        shaped, _ = self.shape(text)
        if is_template(shaped) or self._is_empty(shaped):
            return f"unfilled-action: {shown!r} lacks its argument; put words of your own in its place"
        near = difflib.get_close_matches(shaped[:_SHOWN], self.actions, n=1, cutoff=0.0)
        hint = f"; the nearest available action is {near[0]!r}" if near else ""
        return f"unknown-action: {shown!r} is not available{hint}"

    def _argument(self, verb: str, argument: str) -> str:
        # Element arguments are separated by a comma and one blank: INPUT(3, words).
        argument = argument.strip()
        if self.grammar.verbs[verb] != "()":
            return argument
        head, comma, tail = argument.partition(",")
        return f"{head.strip()}, {tail.strip()}" if comma else argument

    def _is_empty(self, shaped: str) -> bool:
        match = self.start.match(shaped)
        if match is None or not self.brackets(match[1]):
            return False
        return not shaped[match.end() :].strip("[](){} ")

    def _well_formed(self, action: str) -> bool:
        # Nothing is known of what is available: the shape alone decides.
        if is_template(action) or not action.strip():
            return False
        if not self.grammar.verbs:
            return action == action.strip()
        match = self.start.match(action)
        if not match or match[1] not in self.grammar.verbs:
            return False
        brackets = self.grammar.verbs[match[1]]
        if not brackets:
            return action == match[1]
        plain = action.startswith(match[1] + brackets[0]) and action.endswith(brackets[1])
        return plain and bool(action[match.end() : -1].strip())


def _refill(template: str, action: str) -> str:
    """The action with the fixed texts spelled as in the template (they differ in case at most)."""
    empty = fill_template(template, "\x00") or ""
    first, _, last = empty.partition("\x00")
    last = last.rpartition("\x00")[2]
    return first + action[len(first) : len(action) - len(last)] + last


def _difference(text: str, action: str) -> str:
    if text.casefold() == action.casefold():
        return "case"
    return "spacing" if "".join(text.split()).casefold() == "".join(action.split()).casefold() else "quotes"
