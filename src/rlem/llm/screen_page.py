"""Screens given as lines of HTML, one element a line, whose actions name elements by their number."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from html import unescape

from rlem.llm.reading import Block, Reading, content_words, words
from rlem.llm.roles import REPEATED, Choice, Page, Role, sort_of

_TYPING = (0.10, 0.25)  # prior of typing words of the step into a field; into one that the step mentions
_LOWER_DOWN = 0.95  # what stands lower on the screen counts so much less, element by element
_DEAD = 0.2  # of an element that says it cannot be clicked
_OTHER_STEP = 0.3  # alikeness of two screens on which another kind of step is due
_FEW_WORDS = 3
_STEM = 5  # letters
_ENOUGH = 150  # characters by which an element is known again

_LINE = re.compile(r"<(\w+)((?: [\w-]+=\"[^\"]*\"| [\w-]+='[^']*')*)>(.*?)(?:</\w+>)?", re.DOTALL)
_ATTRIBUTE = re.compile(r" ([\w-]+)=(?:\"([^\"]*)\"|'([^']*)')")
_ACTION = re.compile(r"([A-Z]+)(?:\((\w+)(?:, (.*?))?\)(?= |$))?")
_QUOTED = re.compile(r'"([^"]+)"')
_NAME = re.compile(r"(?<=[a-z,] )[A-Z].*")
_DIRECTIONS = ("DOWN", "UP")


@dataclass(frozen=True, slots=True)
class Item:
    """One element of a screen. ``label``: what it says, or else what it stands for. ``look``: its form.
    ``line``: how the screen shows it."""

    number: str
    tag: str
    label: str
    names: str
    live: bool
    line: str

    @property
    def look(self) -> str:
        """Form without words: tag, letters all large or not, alive or not."""
        case = "large" if self.label.isupper() and len(self.label) > 1 else "plain"
        return f"{self.tag} {case} {'live' if self.live else 'dead'}"


@lru_cache(maxsize=20_000)
def item_of(line: str) -> Item | None:
    """The element that a line shows; None where it shows none."""
    line = line.strip()
    match = _LINE.fullmatch(line)
    if match is None:
        return None
    given = {name: unescape(one or two) for name, one, two in _ATTRIBUTE.findall(match[2])}
    label = unescape(match[3]) or given.get("alt", "")  # the value of a field is what was typed, not its name
    live = given.get("clickable") != "false"
    return Item(given.get("id", ""), match[1], label.strip(), given.get("class", ""), live, line)


class ScreenPage:
    """The screen of a block, with what its elements share with the step that is due."""

    def __init__(self, block: Block, reading: Reading) -> None:
        self._block, self._calls = block, reading.calls
        self._items = [item for line in block.page if (item := item_of(line)) and item.number]
        self._at = {item.number: place for place, item in enumerate(self._items)}
        step = block.instruction or block.first or block.task
        self._step = words(step)
        self._target, self._plain = _target(step)
        shares = [self._share(item.label) for item in self._items]
        self._best = max(range(len(shares)), key=lambda place: (shares[place], -place), default=-1)
        if not shares or not shares[self._best]:
            self._best = -1
        self._due = any(self._named(item.label) == 2 for item in self._items)
        self._features = frozenset(_features(self._items))

    def choices(self) -> list[Choice]:
        """Every action of the grammar: clicks, words into fields, directions, verbs alone."""
        done = {_said(line) for line in self._block.history}
        typings = sum(sort.startswith("free") for sort in self.past())
        choices: list[Choice] = []
        for verb, arguments in self._calls.items():
            choices += self._of_verb(verb, arguments)
        for choice in choices:
            if choice.role.kind == "free":
                choice.prior /= 1 + typings  # what was typed did not end the task
            elif choice.role.kind == "link" and self._label_of(choice) in done:
                choice.prior -= REPEATED
        return choices

    def _label_of(self, choice: Choice) -> str:
        """What the history would say of a choice: the action and its element."""
        match = _ACTION.match(choice.action)
        place = self._at.get(match[2] or "", -1) if match else -1
        return _said(f"{choice.action} {self._items[place].line if place >= 0 else ''}")

    def _of_verb(self, verb: str, arguments: tuple[str, ...]) -> Iterator[Choice]:
        if not arguments:
            yield Choice(verb, self.advised(verb), 0.0, "")
        elif len(arguments) > 1:
            for item in self._items:
                if _is_field(item):
                    prior = _TYPING[bool(set(words(f"{item.label} {item.names}")) & set(self._step))]
                    for name, text in self._queries():
                        action = f"{verb}({item.number}, {text})"
                        yield Choice(action, Role("free", name), prior, "words of the step")
        elif arguments[0] == "id":
            for place, item in enumerate(self._items):
                prior, reason = self._prior(place, item)
                yield Choice(f"{verb}({item.number})", self._role(place), prior, reason)
        else:
            for direction in _DIRECTIONS:
                action = f"{verb}({direction})"
                yield Choice(action, self.advised(action), 0.0, "")

    def advised(self, action: str) -> Role:
        """The role that an advised action had on this screen."""
        match = _ACTION.match(action)
        if match is None:
            return Role("control", action.casefold(), due=self._due)
        if match[3] is not None:
            whole = len(words(match[3])) >= len(self._step)
            return Role("free", "all" if whole else "target")
        place = self._at.get(match[2] or "", -1)
        return self._role(place) if place >= 0 else Role("control", match[0].casefold(), due=self._due)

    def past(self) -> list[str]:
        """The sorts of the last actions."""
        sorts = []
        for line in self._block.history:
            match = _ACTION.match(line)
            clicked = match is not None and match[3] is None and match[2] is not None and match[2].isdigit()
            sorts.append("" if clicked else sort_of(self.advised(line)))
        return sorts

    def alike(self, other: Page) -> float:
        """Share of what two screens have in common, less where another kind of step is due."""
        if not isinstance(other, ScreenPage):
            return 0.0
        union = self._features | other._features
        share = len(self._features & other._features) / len(union) if union else 1.0
        return share * (1.0 if self._step[:_FEW_WORDS] == other._step[:_FEW_WORDS] else _OTHER_STEP)

    def _queries(self) -> list[tuple[str, str]]:
        """Ways to put the step into a field: its target, or all of its words."""
        return [("target", " ".join(self._target)), ("all", " ".join(self._step))] if self._step else []

    def _share(self, label: str) -> float:
        """How well a label fits the target: shared words over all words of both; words that only begin alike
        ("references", "reference") count half."""
        own, target = set(words(label)), set(self._target)
        shared = len(own & target)
        near = sum(any(_begin_alike(a, b) for b in target - own) for a in own - target)
        return (shared + near / 2) / len(own | target) if own and target else 0.0

    def _named(self, label: str) -> int:
        """2: it names the target (all but two words of it; or words of a step that names nothing, one after
        the other); 1: half of its words are the target's."""
        own = words(label)
        if not content_words(label):
            return 0
        line = f" {' '.join(own)} "
        if line in f" {' '.join(self._target)} " and len(own) + 2 >= len(self._target):
            return 2
        if self._plain and len(own) > 1 and line in f" {' '.join(self._step)} ":
            return 2
        near = sum(
            any(word == wanted or _begin_alike(word, wanted) for wanted in self._target) for word in own
        )
        return 1 if near * 2 >= len(own) else 0

    def _role(self, place: int) -> Role:
        """The role of an element on this screen."""
        item = self._items[place]
        before = self._items[place - 1].label if place else ""
        return Role(
            "link",
            name=item.label.casefold() or item.names,
            named=self._named(item.label),
            best=place == self._best,
            due=self._due,
            shape=f"{item.look} after {before if len(before) < 3 else ''}",
        )

    def _prior(self, place: int, item: Item) -> tuple[float, str]:
        """Plain lexical evidence for a click, in [0, .5], and what it is."""
        share = self._share(item.label)
        worth = 0.5 if self._named(item.label) == 2 else 0.5 * share * _LOWER_DOWN**place
        if not worth:
            return 0.0, ""
        return worth * (1.0 if item.live else _DEAD), f"shares {share:.0%} of the step's words"


def _target(step: str) -> tuple[tuple[str, ...], bool]:
    """The words that a step is about: what it quotes, else names (from a capital on), else its content words,
    and whether it is the last of these."""
    quoted = _QUOTED.search(step)
    if quoted:
        return words(quoted[1]), False
    named = _NAME.search(step)
    return (words(named[0]), False) if named else (tuple(content_words(step)), True)


def _said(line: str) -> str:
    """A line of the history, in words; a long one is cut there."""
    return " ".join(words(line))[:_ENOUGH]


def _begin_alike(a: str, b: str) -> bool:
    """Whether two words differ in their ends alone."""
    return min(len(a), len(b)) >= _STEM and a[:_STEM] == b[:_STEM] and abs(len(a) - len(b)) <= 2


def _is_field(item: Item) -> bool:
    """Whether words can be typed there: a field, or what is called Search."""
    return item.tag == "input" or words(item.label) == ("search",)


def _features(items: list[Item]) -> Iterator[str]:
    """What tells sorts of screens apart: class words without digits, and labels of few words."""
    for item in items:
        if item.names and not any(c.isdigit() for c in item.names):
            yield f"{item.tag} {item.names}"
        if 0 < len(item.label.split()) <= _FEW_WORDS and not any(c.isdigit() for c in item.label):
            yield item.label.casefold()
