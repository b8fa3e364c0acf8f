"""From a model's answer to an action. Every repair is counted by kind; what is unusable says why.

The grammar is ``Encouraged:`` and then lines ``<action> -> <value> <reason>``; the line of highest value
wins, the first one on ties; ``Discouraged:`` ends it. docs/advice.md lists the kinds of repair.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from rlem.advice.actions import GENERIC, Grammar
from rlem.advice.lines import Entry, mentions, read_line
from rlem.advice.resolve import Known, Resolver

REPAIR_KINDS: Mapping[str, str] = {
    "action-in-prose": "no line was an action; one was named in running text",
    "arrow": "another sign than -> between action and value",
    "bad-value": "NaN, infinity or a division by zero: counts as no value",
    "bare-element": "an element's name without its verb and brackets",
    "blank-line": "a blank line before or between the lines",
    "bracket": "a bracket missing or of another kind",
    "bullet": "a bullet or a number before the action",
    "case": "other capitals than the available action's",
    "code-fence": "a code fence around the lines",
    "cut": "a line beyond 4000 characters, or a section beyond 200 lines",
    "header-form": "the header was decorated, worded differently or repeated",
    "inline-header": "a header and an action on one line",
    "label": "a label before the action (Action: ...)",
    "missing-header": "no Encouraged line",
    "missing-value": "no number behind the action",
    "prose": "a line that is no action",
    "quotes": "quotes, backticks or emphasis around the action",
    "section-order": "Discouraged came before Encouraged",
    "several-on-line": "a second action with a value on the same line",
    "spacing": "blanks where the grammar has none, or none where it has some",
    "thought": "a <think> part",
    "trailing-punctuation": "punctuation behind the action",
    "unknown-candidate": "an action that is not available stood beside one that is",
    "value-form": "a number in another form (0.9/1, 1,0, 90%, in brackets, after some words)",
}
"""What the parser mends, by kind."""

_MAX_LINE = 4000
_MAX_LINES = 200
_MAX_REASON = 1000
_MAX_MENTIONS = 64

_THOUGHT_END = re.compile(r"</think(?:ing)?>", re.IGNORECASE)
_THOUGHT = re.compile(r"<think(?:ing)?>", re.IGNORECASE)
_FENCE = re.compile(r"(?:`{3,}|~{3,})\s?[\w+-]{0,20}$")
_HEADER = re.compile(
    r"(?P<marks>[\s#>*_`•-]{0,20})(?P<name>encouraged|discouraged|untried)(?P<extra>\s?actions?)?"
    r"[\s*_`]{0,10}(?P<colon>[:：]|$)[*_`]{0,6}",
    re.IGNORECASE,
)
_OTHER_BLOCK = re.compile(r"(?:example\s\d+|(?:now the )?new input)\s?[:：]", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One usable action of an answer. ``value`` is None where the answer gave none that can be compared."""

    action: str
    value: float | None
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsedAnswer:
    """What an answer says to do. Without an ``action``, ``failure`` is "<kind>: <explanation>".

    ``candidates`` are the usable actions in the answer's order, ``repairs`` counts by kind what had to
    be mended.
    """

    action: str | None
    reason: str = ""
    value: float | None = None
    candidates: tuple[Candidate, ...] = ()
    repairs: Mapping[str, int] = field(default_factory=dict)
    failure: str = ""

    @property
    def failure_kind(self) -> str:
        """empty, no-action, unknown-action, unfilled-action or ambiguous; "" if there is an action."""
        return self.failure.partition(":")[0]


def parse_answer(text: str, *, known: Known = None, grammar: Grammar = GENERIC) -> ParsedAnswer:
    """The action that an answer chooses. Never raises, and takes time linear in the text.

    ``known`` is the list of available actions (templates included), or a test; without it (or with an
    empty list) only the shape is checked. An action that differs from an available one in case, blanks
    or quotes alone is repaired; any other action that is not available is a failure, never executed.

    >>> from rlem.advice.actions import WEBSHOP
    >>> answer = "Encouraged:\\nclick[Buy Now] -> 0.9 it fits\\nDiscouraged:"
    >>> parsed = parse_answer(answer, known=["click[buy now]", "click[< prev]"], grammar=WEBSHOP)
    >>> parsed.action, parsed.value, parsed.reason, parsed.repairs
    ('click[buy now]', 0.9, 'it fits', {'case': 1})
    """
    if not text.strip():
        return ParsedAnswer(action=None, failure="empty: the answer has no text")
    repairs: Counter[str] = Counter()
    resolver = Resolver(grammar, known)
    body = _body(_without_thought(text, repairs), repairs)
    entries, prose = _entries(body, resolver, repairs)
    usable = [entry for entry in entries if entry.action is not None]
    unknown = [entry for entry in entries if entry.action is None]
    if not entries:
        usable = _from_prose(prose, resolver, repairs)
        if len({entry.action for entry in usable}) > 1 and not any(entry.valued for entry in usable):
            names = ", ".join(sorted({repr(entry.action) for entry in usable}))
            failure = f"ambiguous: the answer names {names} but gives no values to choose by"
            return ParsedAnswer(action=None, repairs=dict(repairs), failure=failure)
    if not usable:
        failure = resolver.failure(unknown[0].raw) if unknown else "no-action: no line names an action"
        return ParsedAnswer(action=None, repairs=dict(repairs), failure=failure)
    for entry in usable:
        repairs.update(entry.repairs)
    if unknown:
        repairs["unknown-candidate"] += len(unknown)
    candidates = tuple(_candidate(entry) for entry in usable)
    best = max(candidates, key=lambda c: -math.inf if c.value is None else c.value)  # the first on ties
    return ParsedAnswer(
        action=best.action,
        reason=best.reason,
        value=best.value,
        candidates=candidates,
        repairs=dict(repairs),
    )


def retry_message(parsed: ParsedAnswer, *, grammar: Grammar = GENERIC) -> str:
    """What is added to the prompt when an unusable answer is asked for once more."""
    example = "click[buy now] -> 0.9 it meets the request"
    if grammar.name == "wikihow":
        example = "CLICK(4) -> 1.0 it is the article asked for"
    elif not grammar.verbs:
        example = "<action> -> 0.9 why"
    return (
        f"Your last answer could not be used ({parsed.failure or 'no-action: no line names an action'}).\n"
        'Answer once more. First the line "Encouraged:", then lines of the form\n'
        "<action> -> <value> <reason>\n"
        f"each with an action that is available now, for example:\nEncouraged:\n{example}"
    )


def _candidate(entry: Entry) -> Candidate:
    return Candidate(action=entry.action or "", value=entry.value, reason=entry.reason[:_MAX_REASON])


def _without_thought(text: str, repairs: Counter[str]) -> str:
    """The text behind a closed thought; what an unclosed thought contains is no answer."""
    ends = [*_THOUGHT_END.finditer(text)]
    if ends:
        repairs["thought"] += 1
        text = text[ends[-1].end() :]
    opened = _THOUGHT.search(text)
    if opened:
        repairs["thought"] += 1
        text = text[: opened.start()]
    return text


def _body(text: str, repairs: Counter[str]) -> list[str]:
    """The lines of the encouraged section, without its header."""
    lines = text.strip().splitlines()
    start = next((i for i, line in enumerate(lines) if _header(line, "encouraged")), None)
    if start is None:
        if lines:
            repairs["missing-header"] += 1
        body = lines
    else:
        for line in lines[:start]:
            repairs["prose" if line.strip() else "blank-line"] += 1
        if any(_header(line, "discouraged") for line in lines[:start]):
            repairs["section-order"] += 1
        body = _inline(lines[start], repairs) + lines[start + 1 :]
    body = body[: _end(body)]
    if len(body) > _MAX_LINES:
        repairs["cut"] += 1
        # With a header the answer comes first; without one it more likely stands at the end.
        body = body[:_MAX_LINES] if start is not None else body[-_MAX_LINES:]
    return body


def _header(line: str, name: str) -> re.Match[str] | None:
    match = _HEADER.match(line)
    return match if match and match["name"].casefold() == name else None


def _inline(line: str, repairs: Counter[str]) -> list[str]:
    """What stands on the header's own line behind it."""
    match = _HEADER.match(line)
    if match is None:
        return []
    if match[0].strip() not in ("Encouraged:", "encouraged:"):
        repairs["header-form"] += 1
    rest = line[match.end() :].strip()
    if not rest:
        return []
    repairs["inline-header"] += 1
    return [rest]


def _end(body: list[str]) -> int:
    """Where the encouraged section is over: another section, or the model goes on inventing input."""
    begun = False
    for i, line in enumerate(body):
        match = _HEADER.match(line)
        if match and (begun or match["name"].casefold() != "encouraged"):
            return i
        if _OTHER_BLOCK.match(line.lstrip(" #*_")):
            return i
        begun = begun or (bool(line.strip()) and not match)
    return len(body)


def _entries(body: list[str], resolver: Resolver, repairs: Counter[str]) -> tuple[list[Entry], list[str]]:
    """The actions of the lines, and the lines that are prose."""
    entries: list[Entry] = []
    prose: list[str] = []
    for line in body:
        if len(line) > _MAX_LINE:
            repairs["cut"] += 1
            line = line[:_MAX_LINE]
        if not line.strip():
            repairs["blank-line"] += 1
        elif _FENCE.match(line.strip()):
            repairs["code-fence"] += 1
        elif _HEADER.match(line):
            repairs["header-form"] += 1
        else:
            found, over = read_line(line, resolver)
            entries += found
            if not found:
                repairs["prose"] += 1
                prose.append(line)
            if over:
                repairs["inline-header"] += 1
                break
    return entries, prose


def _from_prose(prose: list[str], resolver: Resolver, repairs: Counter[str]) -> list[Entry]:
    """Actions named in running text; used only where no line is an action."""
    found: list[Entry] = []
    for line in prose:
        found += mentions(line, resolver)
        if len(found) >= _MAX_MENTIONS:
            break
    if found:
        repairs["action-in-prose"] += 1
    return found
