"""Pages on which what can be pressed stands in brackets, and lists of available actions."""

from __future__ import annotations

from dataclasses import replace

from rlem.llm.reading import Block, Element, Reading, content_words, words
from rlem.llm.roles import REPEATED, Choice, Page, Role, sort_of

_LOWER_DOWN = 0.6  # what stands lower in a list of results counts so much less, place by place


class BracketPage:
    """The page of a block, with what its elements share with the task."""

    def __init__(self, block: Block, reading: Reading) -> None:
        self._block, self._press, self._free = block, reading.press, reading.free
        pressed = {line.partition("[")[2].rpartition("]")[0].casefold() for line in block.history}
        self._elements = {
            name: replace(e, marked=True) if e.kind != "control" and name in pressed else e
            for name, e in block.elements().items()
        }
        self._task_words = words(block.task)
        self._content = content_words(block.task)
        self._joined = f" {' '.join(self._task_words)} "
        options = [e for e in self._elements.values() if e.kind == "option"]
        self._settled = {e.group for e in options if e.marked}
        self._due = any(e.group not in self._settled and self._named(e) == 2 for e in options)
        entries = [e for e in self._elements.values() if e.kind == "entry" and not e.marked]
        self._first = entries[0] if entries else None
        order = [e.name for e in self._elements.values() if e.kind == "entry"]
        self._place = {name: place for place, name in enumerate(order)}
        self._best = max(entries, key=lambda e: self._shared(e.text), default=None)
        self._controls = frozenset(e.name for e in self._elements.values() if e.kind == "control")

    def choices(self) -> list[Choice]:
        """Every available action, with its role and its prior."""
        past = [set(words(line)) for line in self._block.history]
        choices: list[Choice] = []
        for item in self._block.available:
            if item in self._free:
                for variant, query in _queries(self._block.task):
                    role = Role(kind="free", name=variant)
                    choices.append(Choice(f"{item}[{query}]", role, 0.25, "words of the task"))
                continue
            element = self._elements[item.casefold()]
            role = self._role(element)
            prior, reason = self._prior(element, role)
            action = f"{self._press}[{item}]" if self._press else item
            choices.append(Choice(action, role, prior, reason))
        for choice in choices:
            if set(words(choice.action)) and any(set(words(choice.action)) <= old for old in past):
                choice.prior -= REPEATED
        return choices

    def advised(self, action: str) -> Role:
        """The role that an advised action had on this page."""
        verb, bracket, rest = action.partition("[")
        argument = rest.rpartition("]")[0] or rest
        if bracket and verb in self._free:
            whole = len(words(argument)) >= len(self._task_words)
            return Role("free", "all" if whole else "content")
        name = (argument if bracket and verb == self._press else action).casefold()
        return self._role(self._elements.get(name) or Element(name, "control"))

    def past(self) -> list[str]:
        """The sorts of the last actions."""
        return [sort_of(self.advised(line)) for line in self._block.history]

    def alike(self, other: Page) -> float:
        """Share of controls that two pages have in common."""
        if not isinstance(other, BracketPage):
            return 0.0
        union = self._controls | other._controls
        return len(self._controls & other._controls) / len(union) if union else 1.0

    def _shared(self, text: str) -> float:
        """Share of the task's content words that a text has."""
        own = set(words(text))
        return sum(w in own for w in self._content) / max(len(self._content), 1)

    def _named(self, element: Element) -> int:
        """2: its words stand in the task one after the other; 1: at least half of them do; 0: fewer."""
        own = words(element.name)
        if not own:
            return 0
        if f" {' '.join(own)} " in self._joined:
            return 2
        task = set(self._task_words)
        return 1 if sum(w in task for w in own) * 2 >= len(own) else 0

    def _role(self, element: Element) -> Role:
        """The role of an element on this page."""
        if element.kind == "option":
            return Role(
                "option",
                named=self._named(element),
                marked=element.marked,
                due=self._due,
                settled=element.group in self._settled,
            )
        if element.kind == "entry":
            return Role(
                "entry", marked=element.marked, best=element is self._best, first=element is self._first
            )
        return Role("control", element.name, due=self._due)

    def _prior(self, element: Element, role: Role) -> tuple[float, str]:
        """Plain lexical evidence for pressing an element, in [0, .5], and what it is."""
        if role.kind == "entry":
            share = self._shared(element.text)
            worth = 0.5 * share * _LOWER_DOWN ** self._place.get(element.name, 0)
            return worth * (0.4 if role.marked else 1.0), f"shares {share:.0%} of the task's words"
        if role.kind == "option":
            if role.marked or role.settled:
                return 0.0, "chosen already" if role.marked else "another one is chosen"
            return (0.0, 0.15, 0.5)[role.named], ("", "named in part", "named in the task")[role.named]
        own = set(words(element.name)) & set(self._content)
        return (0.15 if own else 0.0), ("shares words with the task" if own else "")


def _queries(task: str) -> list[tuple[str, str]]:
    """Ways to put a task into a search box: all of it, or its content words."""
    return [("all", " ".join(words(task))), ("content", " ".join(content_words(task)))] if task else []
