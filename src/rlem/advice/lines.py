"""Reading one line of an answer: ``<action> -> <value> <reason>``, and the many ways models bend it.

Every step is linear in the line: patterns are anchored or have no leading repetition, and the number of
places looked at on one line is bounded.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from rlem.advice.resolve import OPENERS, PUNCTUATION, QUOTES, Resolver

MAX_PLACES = 16
"""Arrows, verbs or separators looked at on one line."""

_ARROW = re.compile(r"(?:-{1,3}|={1,2}|[–—])>|[→⇒➔➜⟶]")
_VALUE = re.compile(
    r"(?P<lead>[\s~≈(\[*_`\"'=:：]{0,20}(?:(?:q|value|score)\s{0,3}[:=]?\s{0,3})?)"
    r"(?P<number>[+\-−]?(?:\d+(?:[.,]\d+)?|[.,]\d+)(?:[eE][+\-]?\d{1,4})?|nan\b|[+\-−]?inf(?:inity)?\b)"
    r"(?P<scale>\s?%|\s?/\s?\d+(?:\.\d+)?)?(?P<tail>[*_`\"')\]]{0,6})",
    re.IGNORECASE,
)
_PLAIN_VALUE = re.compile(r"[+-]?\d*\.?\d+(?:[eE][+\-]?\d{1,4})?", re.ASCII)
_EVIDENCE = re.compile(r"\s?\(n=\d+(?:, -?\d+(?:\.\d+)? to -?\d+(?:\.\d+)?)?\)")
_BULLET = re.compile(r"(?:[-•–·+>]|\*(?!\*))\s+|\(?\d{1,3}[.):]\s+|\d{1,3}[.)](?=\D)|[-•–·](?=\w)")
_LABEL = re.compile(r"(?:(?:my|the|next|best|final)\s)*(?:action|answer|choice)s?\s?\d{0,2}\s?[:：]\s*", re.I)
_MARKS = re.compile(rf"[{re.escape(QUOTES)}]+")
_NEXT = re.compile(r"[,;|/&，；、]\s?(?:(?:and|or|then)\s)?|(?<!\S)(?:and|or|then)\s", re.IGNORECASE)
_DISCOURAGED = re.compile(r"\bdiscouraged\s?[:：]", re.IGNORECASE)
_FULL_STOPS = PUNCTUATION.replace(":", "").replace("：", "")
_EDGES = " \t-–—:：,;|."


@dataclass(slots=True)
class Entry:
    """One action found on a line. ``action`` is None if what was written (``raw``) is not available.

    ``valued``: a value, usable or not, stands behind it. ``reason`` is the rest of the line.
    """

    raw: str
    action: str | None
    value: float | None = None
    reason: str = ""
    valued: bool = False
    repairs: tuple[str, ...] = ()


@dataclass(slots=True)
class _Cut:
    """A way to divide a text: the action's text, what follows it, and the repairs this takes."""

    raw: str
    rest: str
    repairs: tuple[str, ...] = ()


def read_line(line: str, resolver: Resolver) -> tuple[list[Entry], bool]:
    """All actions of a line in order, and whether "Discouraged:" came within it."""
    text = line.strip()
    first = _entry(text, resolver)
    if first is None or first.action is None:
        inner, marks = _undress(text)
        second = _entry(inner, resolver) if marks else None
        if second is not None and (first is None or second.action is not None):
            first = second
            first.repairs = tuple(dict.fromkeys((*marks, *first.repairs)))
    if first is None:
        return [], False
    entries = [first]
    rest = first.reason
    end = _DISCOURAGED.search(rest)
    if end:
        rest = first.reason = rest[: end.start()]
    _split_off(rest, entries, resolver)
    for entry in entries:
        entry.reason = entry.reason.lstrip(_EDGES).rstrip(_EDGES.replace(".", ""))
    return entries, end is not None


def mentions(line: str, resolver: Resolver) -> Iterator[Entry]:
    """Actions named anywhere in a line of prose, as far as they are available."""
    if resolver.grammar.verbs:
        for match in islice(resolver.start.finditer(line), MAX_PLACES):
            entry = _entry(line[match.start() :], resolver)
            if entry is not None and entry.action is not None:
                yield entry
        return
    lower = line.casefold()
    found = [a for a in resolver.actions if "<" not in a and a.strip() and a.casefold() in lower]
    for action in found[:MAX_PLACES]:
        inside = any(action != other and action.casefold() in other.casefold() for other in found)
        if not inside and re.search(rf"(?<!\w){re.escape(action)}(?!\w)", line, re.IGNORECASE):
            yield Entry(raw=action, action=action)


def _undress(text: str) -> tuple[str, tuple[str, ...]]:
    """The line without bullets, numbers, labels and quotes in front of it."""
    kinds: list[str] = []
    for _ in range(4):
        for pattern, kind in ((_BULLET, "bullet"), (_LABEL, "label"), (_MARKS, "quotes")):
            match = pattern.match(text)
            if match:
                text = text[match.end() :].lstrip()
                kinds.append(kind)
                break
        else:
            break
    return text, tuple(dict.fromkeys(kinds))


def _split_off(rest: str, entries: list[Entry], resolver: Resolver) -> None:
    """Finds further actions with values in the rest of a line, and shortens the reasons before them."""
    places = [(0, 0), *((m.start(), m.end()) for m in islice(_NEXT.finditer(rest), MAX_PLACES))]
    done = 0
    for start, end in places:
        if start < done:
            continue
        following = _entry(rest[end:].lstrip(), resolver)
        if following is None or following.action is None or not following.valued:
            continue
        # Reasons are tails of the rest of the line, so lengths say where the earlier one ends.
        before = entries[-1]
        before.reason = before.reason[: max(0, len(before.reason) - (len(rest) - start))]
        following.repairs = (*following.repairs, "several-on-line")
        entries.append(following)
        done = len(rest) - len(following.reason)


def _entry(text: str, resolver: Resolver) -> Entry | None:
    """The action that the text begins with; None if it begins with none."""
    match = resolver.start.match(text)
    verbs = bool(resolver.grammar.verbs)
    cuts = _generic_cuts(text) if not verbs else _verb_cuts(text, match, resolver) if match else []
    for cut in cuts:
        action, kinds = resolver.resolve(cut.raw)
        if action is not None:
            entry = _finish(cut, action, kinds, resolver)
            if entry.valued or not match or match[2] or not entry.reason.strip(_EDGES):
                return entry
    if verbs:
        for cut in _bare_cuts(text):
            action = resolver.bare(cut.raw)
            if action is not None:
                return _finish(cut, action, ("bare-element",), resolver)
    if cuts:
        entry = _finish(cuts[0], None, (), resolver)
        # Without a bracket and without a value it is a sentence, not an unknown action.
        if entry.valued or (match is not None and match[2]) or entry.raw == text:
            return entry if verbs or entry.valued else None
    return None


def _generic_cuts(text: str) -> list[_Cut]:
    """Any text before an arrow, before a colon with a number, or the whole line may be the action."""
    cuts = [_Cut(text[: m.start()].rstrip(), text[m.start() :]) for m in _arrows(text)]
    for m in islice(re.finditer(r"[:：=]", text), MAX_PLACES):
        if _VALUE.match(text, m.end()):
            cuts.append(_Cut(text[: m.start()].rstrip(), text[m.start() :]))
    cuts.append(_Cut(text, ""))
    for cut in [*cuts]:
        short = cut.raw.rstrip(PUNCTUATION)
        if short != cut.raw:
            cuts.append(_Cut(short, cut.rest, ("trailing-punctuation",)))
    return [cut for cut in cuts if cut.raw]


def _bare_cuts(text: str) -> list[_Cut]:
    cuts = [_Cut(text[: m.start()].rstrip(), text[m.start() :]) for m in _arrows(text)]
    return [*cuts, _Cut(text.rstrip(PUNCTUATION), "")]


def _verb_cuts(text: str, match: re.Match[str], resolver: Resolver) -> list[_Cut]:
    """Where an action that begins with a verb may end, the likeliest place first."""
    if not resolver.brackets(match[1]):
        end = re.compile(r"\s?(?:\(\)|\[\])").match(text, match.end(1))
        stop = end.end() if end else match.end(1)
        return [_Cut(text[:stop], text[stop:])]
    lefts = [(text[: m.start()].rstrip(), text[m.start() :]) for m in _arrows(text)]
    if not match[2]:
        # Without brackets only a value tells an action from a sentence that begins with a verb.
        return [_Cut(left, rest) for left, rest in lefts[:1] if _VALUE.match(_ARROW.sub("", rest, count=1))]
    opener, closer = match[2], OPENERS[match[2]]
    end_at = _balanced(text, match.end(2) - 1, opener, closer)
    cuts = [_Cut(text[:end_at], text[end_at:])] if end_at is not None else []
    for left, rest in lefts:
        if len(left) < match.end(2):
            continue
        inner = left.rstrip(QUOTES)
        if inner.endswith(closer):
            cuts.append(_Cut(inner, rest, ("quotes",) if inner != left else ()))
        if end_at is None or len(left) < end_at:
            cuts.append(_Cut(left + closer, rest, ("bracket",)))
    if end_at is None:
        last = text.rfind(closer, match.end(2))
        if last >= 0:
            cuts.append(_Cut(text[: last + 1], text[last + 1 :]))
            cuts.append(_Cut(text[: last + 1] + closer, text[last + 1 :], ("bracket",)))
        cuts.append(_Cut(text.rstrip(PUNCTUATION + QUOTES + " ") + closer, "", ("bracket",)))
    return cuts


def _arrows(text: str) -> list[re.Match[str]]:
    """The first arrows of a text; those with a value behind them come first."""
    found = [*islice(_ARROW.finditer(text), MAX_PLACES)]
    return sorted(found, key=lambda m: _VALUE.match(text, m.end()) is None)


def _balanced(text: str, start: int, opener: str, closer: str) -> int | None:
    """Index behind the bracket that closes the one at ``start``; None if none does."""
    depth = 0
    for i in range(start, len(text)):
        if text[i] == opener:
            depth += 1
        elif text[i] == closer:
            depth -= 1
            if depth == 0:
                return i + 1
    return None


def _finish(cut: _Cut, action: str | None, kinds: tuple[str, ...], resolver: Resolver) -> Entry:
    """The entry of a cut: reads value and reason from what follows the action."""
    entry = Entry(raw=cut.raw, action=action)
    repairs = [*cut.repairs, *kinds]
    rest = cut.rest.lstrip()
    core = rest.lstrip(QUOTES).lstrip()
    if core[:1] != rest[:1]:
        repairs.append("quotes")
    after = core.lstrip(_FULL_STOPS).lstrip()
    if after != core and (not after or _ARROW.match(after)):
        repairs.append("trailing-punctuation")
        core = after
    arrow = _ARROW.match(core)
    if arrow:
        if arrow[0] != "->":
            repairs.append("arrow")
        _read_value(core[arrow.end() :], entry, repairs)
    elif core[:1] in (":", "：", "=", "(") and _VALUE.match(core):
        repairs.append("arrow")
        _read_value(core[1:], entry, repairs, strict=False)
    else:
        _late_value(core, entry, repairs, resolver)
    entry.repairs = tuple(dict.fromkeys(repairs))
    return entry


def _late_value(text: str, entry: Entry, repairs: list[str], resolver: Resolver) -> None:
    """No arrow behind the action: perhaps one comes after some words, before any other action."""
    verb = resolver.start.search(text)
    arrow = next((m for m in _arrows(text) if _VALUE.match(text, m.end())), None)
    if arrow and resolver.grammar.verbs and not (verb and verb.start() < arrow.start()):
        repairs.append("value-form")
        _read_value(text[arrow.end() :], entry, repairs)
        return
    repairs.append("missing-value")
    entry.reason = text


def _read_value(text: str, entry: Entry, repairs: list[str], *, strict: bool = True) -> None:
    match = _VALUE.match(text)
    if match is None:
        repairs.append("missing-value")
        entry.reason = text.lstrip()
        return
    entry.valued = True
    entry.value = _number(match["number"], match["scale"])
    plain = not (match["lead"].strip() or match["scale"] or match["tail"])
    if entry.value is None:
        repairs.append("bad-value")
    elif strict and not (plain and _PLAIN_VALUE.fullmatch(match["number"])):
        repairs.append("value-form")
    rest = text[match.end() :]
    note = _EVIDENCE.match(rest)
    entry.reason = rest[note.end() :] if note else rest


def _number(digits: str, scale: str | None) -> float | None:
    """The number meant, or None if it is none that can be compared (NaN, infinity, division by 0)."""
    value = float(digits.replace(",", ".").replace("−", "-"))
    if scale and "%" in scale:
        value /= 100.0
    elif scale:
        whole = float(scale.replace("/", "").strip())
        value = value / whole if whole else math.nan
    return value if math.isfinite(value) else None
