"""Reading a prompt as text: blocks, pages, elements. Used by the embedded reader alone.

It knows the grammar of our prompts (docs/advice.md, "Grammar of a prompt") and how a page in brackets
looks. It knows no environment: what it calls an option is an element that stands in a row behind a name.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache

STOP_WORDS = frozenset(
    [
        "a",
        "an",
        "and",
        "are",
        "as",
        "at",
        "be",
        "but",
        "by",
        "can",
        "for",
        "from",
        "has",
        "have",
        "i",
        "if",
        "in",
        "into",
        "is",
        "it",
        "its",
        "like",
        "looking",
        "me",
        "my",
        "need",
        "of",
        "on",
        "or",
        "please",
        "so",
        "some",
        "than",
        "that",
        "the",
        "then",
        "there",
        "these",
        "they",
        "this",
        "those",
        "to",
        "want",
        "was",
        "were",
        "which",
        "will",
        "with",
        "would",
        "you",
        "your",
    ]
)

_WORD = re.compile(r"[^\W_]+(?:[.'][^\W_]+)*")
_EXAMPLE = re.compile(r"Example (\d{1,9}):$")
_TEMPLATE = re.compile(r"(\w+)\[<([\w ]+)>\]")
_CALL = re.compile(r"^([A-Z]+)(?:\(<(\w+)>(?:, <(\w+)>)?\))?(?=  )", re.MULTILINE)
# The last arrow with a value counts: an action may have arrows of its own.
_LINE = re.compile(r"(.+) -> (-?\d{1,9}(?:\.\d{1,9})?)(?: \(n=(\d{1,9})[^)]*\))?(?: |$)")
_SECTIONS = ("encouraged:", "discouraged:", "untried:")
_ELEMENT = re.compile(r"\[\[(.+?)\]\](?!\])|\[(.+?)\](?!\])")
_IDENTIFIER = re.compile(r"(?=[a-z\d]*\d)(?=[a-z\d]*[a-z])[a-z\d]{6,}")


@lru_cache(maxsize=4096)
def words(text: str) -> tuple[str, ...]:
    """Words of a text, lower case, in order; numbers and inner dots are kept ("40.00")."""
    return tuple(_WORD.findall(text.casefold()))


def content_words(text: str) -> list[str]:
    """Words without stop words, first occurrences only."""
    return [w for w in dict.fromkeys(words(text)) if w not in STOP_WORDS]


@dataclass(frozen=True, slots=True)
class Element:
    """Something on a page that can be pressed.

    ``kind``: "option" stands in a row behind its group's name, "entry" is an identifier on a line of its
    own with ``text`` below it, "control" is anything else. ``marked``: the page shows it as pressed.
    """

    name: str
    kind: str
    group: str = ""
    text: str = ""
    marked: bool = False


@dataclass(slots=True)
class Block:
    """One situation of the prompt. ``advice``: (action, value, visits); ``untried``: action texts.

    ``first``: the first line of the task; ``instruction``: the step that is due, where the prompt names one.
    """

    task: str = ""
    first: str = ""
    instruction: str = ""
    page: list[str] = field(default_factory=list)
    history: list[str] = field(default_factory=list)
    available: list[str] = field(default_factory=list)
    advice: list[tuple[str, float, int]] = field(default_factory=list)
    untried: list[str] = field(default_factory=list)

    def elements(self) -> dict[str, Element]:
        """The page's elements by lower-case name; available ones that the page does not show included."""
        found: dict[str, Element] = {}
        open_entry: list[str] | None = None
        entries: list[tuple[str, bool, list[str]]] = []
        for line in self.page:
            matches = list(_ELEMENT.finditer(line))
            if not matches:
                if open_entry is not None and line.strip():
                    open_entry.append(line.strip())
                continue
            open_entry = None
            before = line[: matches[0].start()].strip()
            alone = len(matches) == 1 and not before and not line[matches[0].end() :].strip()
            for match in matches:
                name = (match[1] or match[2]).casefold()
                if alone and _IDENTIFIER.fullmatch(name):
                    open_entry = []
                    entries.append((name, match[1] is not None, open_entry))
                else:
                    kind = "control" if alone or not before else "option"
                    marked = match[1] is not None
                    found.setdefault(name, Element(name, kind, group=before.casefold(), marked=marked))
        for name, marked, lines in entries:
            found.setdefault(name, Element(name, "entry", text=" ".join(lines), marked=marked))
        for name in self.available:
            found.setdefault(name.casefold(), Element(name.casefold(), "control"))
        return found


@dataclass(frozen=True, slots=True)
class Reading:
    """A prompt as read: the new input, the examples (most similar first), and the action grammar.

    ``press`` is the verb for elements ("click"), ``free`` the verbs that take free words ("search").
    Both are empty where the prompt says that actions are repeated as they are listed. ``calls`` are the verbs
    of prompts that show screens, with the names of their arguments: ``CLICK(<id>)``.
    """

    new: Block
    examples: list[Block]
    press: str
    free: frozenset[str]
    calls: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def read_prompt(system: str, user: str) -> Reading:
    """Reads a prompt of ours."""
    templates = dict(_TEMPLATE.findall(system)) if "\nActions:" in system else {}
    # The answer form shows <action>; templates are only those that stand at the start of a line.
    verbs = {verb: what for verb, what in templates.items() if f"\n{verb}[<" in system}
    press = next((verb for verb, what in verbs.items() if what == "element"), "")
    blocks: list[tuple[int, Block]] = []
    new = Block()
    current: Block | None = None
    section = ""
    for line in user.splitlines():
        example = _EXAMPLE.match(line)
        if example or line == "New input:":
            current = Block() if example else new
            section = ""
            if example:
                blocks.append((int(example[1]), current))
        elif current is not None:
            section = _read_line(line, section, current)
    for block in [new, *(block for _, block in blocks)]:
        block.task = block.task or _task_on_page(block.page)
    calls = system.partition("\nActions:\n")[2].partition("\n\n")[0]
    return Reading(
        new,
        [b for _, b in sorted(blocks, key=lambda pair: pair[0])],
        press,
        frozenset(verbs) - {press},
        {verb: tuple(filter(None, names)) for verb, *names in _CALL.findall(calls)},
    )


def _read_line(line: str, section: str, block: Block) -> str:
    """Takes one line into the block; returns the section that is open after it."""
    if line.startswith("  "):
        text = line[2:].removeprefix("\\")
        if section == "task":
            block.task = f"{block.task} {text}".strip()
            block.first = block.first or text
        elif section == "instruction":
            block.instruction = f"{block.instruction} {text}".strip()
        elif section in ("observation", "screen"):
            block.page.append(text)
        return section
    if line.startswith("- "):
        if section == "last 5 actions":
            block.history.append(line[2:])
        elif section == "available actions":
            block.available.append(line[2:])
        return section
    head, colon, _ = line.partition(":")
    if section in ("encouraged", "discouraged") and (match := _LINE.match(line)):
        block.advice.append((match[1], float(match[2]), int(match[3] or 1)))
        return section
    if section == "untried" and line and line.casefold() not in _SECTIONS:
        block.untried.append(line)
        return section
    return head.casefold() if colon else section


def _task_on_page(page: Iterable[str]) -> str:
    """A page may carry the task itself, on the line behind "Instruction:"."""
    lines = iter(page)
    for line in lines:
        if line.strip() == "Instruction:":
            return next(lines, "").strip()
    return ""
