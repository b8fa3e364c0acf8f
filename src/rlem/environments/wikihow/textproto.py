"""Protobuf text format, read and written without a schema.

Mobile-Env's schema of a task differs between its versions (``view_hierarchy_path`` became ``selector``,
fields were added). A reader that knows no schema takes all of them: a message is the list of its fields in
order, and what a field means is for whoever asks. So a field name is never wrong here, only the form.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NoReturn, TypeAlias, TypeVar

from rlem.core.errors import DataError

T = TypeVar("T")

MAX_CHARACTERS = 1_000_000
"""Longest text that is read; a task file has about 6,000 characters."""
MAX_DEPTH = 50
"""Deepest nesting that is read; a task file has 7 levels."""


class Word(str):
    """A value without quotes: a name of an enumeration, ``true``, ``inf``."""

    __slots__ = ()


Scalar: TypeAlias = str | int | float
"""A string, a :class:`Word` or a number."""


@dataclass(slots=True)
class Message:
    """Fields in the order of the file. A repeated field stands as often as it was given."""

    fields: list[tuple[str, Scalar | Message]] = field(default_factory=list)

    def add(self, name: str, *values: Scalar | Message) -> Message:
        """Append a field once for each value; gives back this message."""
        self.fields.extend((name, value) for value in values)
        return self

    def messages(self, name: str) -> list[Message]:
        """All messages under a name. Errors: DataError where one is not a message."""
        return [_of_kind(name, value, Message, "a message") for key, value in self.fields if key == name]

    def message(self, name: str) -> Message:
        """The message under a name, an empty one where there is none; of several the last."""
        return (self.messages(name) or [Message()])[-1]

    def strings(self, name: str) -> list[str]:
        """All strings and words under a name. Errors: DataError where one is something else."""
        return [_of_kind(name, value, str, "a text") for key, value in self.fields if key == name]

    def string(self, name: str, default: str = "") -> str:
        """The string or word under a name; of several the last."""
        return (self.strings(name) or [default])[-1]

    def integers(self, name: str) -> list[int]:
        """All whole numbers under a name. Errors: DataError where one is something else."""
        return [_of_kind(name, value, int, "a whole number") for key, value in self.fields if key == name]

    def names(self) -> list[str]:
        """Names of the fields that are present, each once, in order."""
        return list(dict.fromkeys(name for name, _ in self.fields))


def _of_kind(name: str, value: object, kind: type[T], words: str) -> T:
    if not isinstance(value, kind):
        raise DataError(f"field {name!r} should hold {words}, not {type(value).__name__.lower()}")
    return value


_TOKEN = re.compile(
    r"""(?P<space>[\s\ufeff]+|\#[^\n]*)
      | (?P<string>"(?:[^"\\\n]|\\[^\n])*"|'(?:[^'\\\n]|\\[^\n])*')
      | (?P<number>-?\s*(?:0[xX][0-9a-fA-F]+|(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?[fF]?))(?![\w.])
      | (?P<word>-?[^\W\d]\w*(?:\.\w+)*)
      | (?P<mark>[{}<>:;,]|\[|\])""",
    re.VERBOSE,
)
_ESCAPE = re.compile(rb"\\([0-7]{1,3}|[xX][0-9a-fA-F]{1,2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|.)", re.DOTALL)
_SIMPLE = {b"a": b"\a", b"b": b"\b", b"f": b"\f", b"n": b"\n", b"r": b"\r", b"t": b"\t", b"v": b"\v"}
_SELF = frozenset((b'"', b"'", b"\\", b"?"))
_CLOSING = {"{": "}", "<": ">"}


def parse(text: str) -> Message:
    """The message that a text in protobuf text format holds.

    Errors: DataError with line and column for text that is none, too long or too deep.

    >>> parse('goal { id: 3 name: "a" } goal: <id: 4>').messages("goal")[1].integers("id")
    [4]
    """
    if len(text) > MAX_CHARACTERS:
        raise DataError(f"text of {len(text)} characters; at most {MAX_CHARACTERS} are read as protobuf text")
    return _Reader(text).message("", 0)


class _Reader:
    """A recursive descent over tokens; ``kind`` and ``token`` are the one at hand ("" at the end)."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._next = 0
        self.kind = ""
        self.token = ""
        self._advance()

    def _advance(self) -> str:
        """Go to the next token; gives back the one that was at hand."""
        taken = self.token
        while True:
            self._at = self._next
            if self._at == len(self._text):
                self.kind = self.token = ""
                return taken
            match = _TOKEN.match(self._text, self._at)
            if match is None:
                self._fail(f"{self._text[self._at]!r} is not expected here")
            self._next = match.end()
            if match.lastgroup != "space":
                self.kind, self.token = match.lastgroup or "", match[0]
                return taken

    def _fail(self, problem: str) -> NoReturn:
        line = self._text.count("\n", 0, self._at) + 1
        column = self._at - (self._text.rfind("\n", 0, self._at) + 1) + 1
        raise DataError(f"line {line}, column {column}: {problem}")

    def _take(self, mark: str) -> bool:
        if self.kind == "mark" and self.token == mark:
            self._advance()
            return True
        return False

    def message(self, closing: str, depth: int) -> Message:
        """Fields up to the closing bracket, or to the end of the text."""
        if depth > MAX_DEPTH:
            self._fail(f"messages are nested more than {MAX_DEPTH} deep")
        message = Message()
        while not (self.kind == "mark" and self.token == closing):
            if not self.token and not closing:
                return message
            self._field(message, depth, closing)
        self._advance()
        return message

    def _field(self, message: Message, depth: int, closing: str) -> None:
        if self.kind != "word":
            wanted = f"a field name or {closing!r}" if closing else "a field name"
            self._fail(f"{wanted} is expected, not {self.token or 'the end of the text'!r}")
        name = self._advance()
        colon = self._take(":")
        if self._take("["):
            while not self._take("]"):
                message.add(name, self._value(depth, colon=True))
                if not self._take(",") and self.token != "]":
                    self._fail("',' or ']' is expected")
        else:
            message.add(name, self._value(depth, colon))
        self._take(",") or self._take(";")

    def _value(self, depth: int, colon: bool) -> Scalar | Message:
        if self.kind == "mark" and self.token in _CLOSING:
            return self.message(_CLOSING[self._advance()], depth + 1)
        if not colon:
            self._fail(f"':' or '{{' is expected, not {self.token or 'the end of the text'!r}")
        if self.kind == "string":
            return self._string()
        if self.kind == "number":
            return _number("".join(self._advance().split()))
        if self.kind == "word":
            return Word(self._advance())
        return self._fail(f"a value is expected, not {self.token or 'the end of the text'!r}")

    def _string(self) -> str:
        """Strings that follow each other are one string; escapes are bytes of UTF-8."""
        parts: list[bytes] = []
        place = self._at
        while self.kind == "string":
            parts.append(_ESCAPE.sub(self._unescape, self.token[1:-1].encode("utf-8", "surrogatepass")))
            self._advance()
        try:
            return b"".join(parts).decode()
        except UnicodeDecodeError:
            self._at = place
            self._fail("the string is not UTF-8")

    def _unescape(self, match: re.Match[bytes]) -> bytes:
        body = match[1]
        if body[0] in b"01234567":
            return bytes([int(body, 8) & 255])
        if body[:1] in b"xX" and len(body) > 1:
            return bytes([int(body[1:], 16)])
        if body[:1] in b"uU" and len(body) > 1 and int(body[1:], 16) <= 0x10FFFF:
            return chr(int(body[1:], 16)).encode("utf-8", "surrogatepass")
        if body in _SIMPLE or body in _SELF:
            return _SIMPLE.get(body, body)
        return self._fail(f"unknown escape \\{body.decode(errors='replace')}")


def _number(token: str) -> int | float:
    plain = token.rstrip("fF") if not token.lower().startswith(("0x", "-0x")) else token
    try:
        if re.fullmatch(r"-?0[0-7]+", plain):
            return int(plain, 8)
        return int(plain, 0)
    except ValueError:
        return float(plain)


def write(message: Message) -> str:
    """The text of a message, one field a line, as protobuf's own printer lays it out with colons forced.

    >>> print(write(Message().add("id", 3).add("goal", Message().add("name", 'say "a"'))), end="")
    id: 3
    goal: {
      name: "say \\"a\\""
    }
    """
    return "".join(f"{line}\n" for line in _lines(message.fields, ""))


def _lines(fields: Sequence[tuple[str, Scalar | Message]], indent: str) -> Iterator[str]:
    for name, value in fields:
        if isinstance(value, Message):
            yield f"{indent}{name}: {{"
            yield from _lines(value.fields, indent + "  ")
            yield f"{indent}}}"
        elif isinstance(value, str) and not isinstance(value, Word):
            yield f'{indent}{name}: "{_PRINTED.sub(_escape, value)}"'
        else:
            yield f"{indent}{name}: {value}"


_PRINTED = re.compile(r"""[\x00-\x1f\x7f"'\\]""")
_NAMED = {"\n": r"\n", "\r": r"\r", "\t": r"\t", '"': r"\"", "'": r"\'", "\\": r"\\"}


def _escape(match: re.Match[str]) -> str:
    return _NAMED.get(match[0]) or f"\\{ord(match[0]):03o}"
