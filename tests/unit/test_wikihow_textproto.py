"""Protobuf text format without a schema."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from rlem.core.errors import DataError
from rlem.environments.wikihow.textproto import MAX_CHARACTERS, Message, Word, parse, write


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('a: "x"', "x"),
        ("a: 'x' \"y\"\n 'z'", "xyz"),
        (r'a: "\303\251 \xc3\xa9 \u00e9 \U0001F600"', "é é é 😀"),
        (r'a: "\a\b\f\n\r\t\v\"\'\\\?"', "\a\b\f\n\r\t\v\"'\\?"),
        ('a: "万事 # no comment"', "万事 # no comment"),
        ("a: 3", 3),
        ("a: -3", -3),
        ("a: 0x1F", 31),
        ("a: 017", 15),
        ("a: 0.2439", 0.2439),
        ("a: .5f", 0.5),
        ("a: 1e3", 1000.0),
        ("a: OR", "OR"),
        ("a: true # comment", "true"),
        ("\ufeff# comment\r\na: -inf;", "-inf"),
    ],
)
def test_scalars(text: str, value: object) -> None:
    """Strings with escapes, numbers and names mean what protobuf's reader takes them for."""
    assert parse(text).fields == [("a", value)]


@pytest.mark.parametrize("text", ["a: {b: 1}", "a {b: 1}", "a < b: 1 >", "a:\n{\n b: 1,\n}", "a: [{b: 1}]"])
def test_a_message_is_written_in_many_ways(text: str) -> None:
    """With or without a colon, in braces or angles, in a list: it is the same message."""
    assert parse(text).messages("a") == [Message([("b", 1)])]


def test_repeated_fields_keep_their_order() -> None:
    """A field that is repeated, one by one or in a list, gives all its values in order."""
    message = parse('c: "x" c: ["y", "z"] b: [] c: "w"')
    assert message.strings("c") == ["x", "y", "z", "w"]
    assert message.string("c") == "w"
    assert message.names() == ["c"]


def test_an_absent_message_is_empty() -> None:
    """What is not there reads as an empty message, no string and no number."""
    message = parse("")
    assert message.message("a") == Message()
    assert message.string("a", "default") == "default"
    assert message.integers("a") == []


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ('a: "x', "line 1, column 4"),
        ("a: 1\nb: {", "line 2, column 5"),
        ("a: 3x", "line 1, column 4"),
        ("a", "line 1, column 2"),
        ("a: [1 2]", "line 1, column 7"),
        ("a: [1,", "line 1, column 7"),
        ("a: {\n  {\n", "line 2, column 3"),
        ("}", "line 1, column 1"),
        ('x: 1\n  a: "\\q"', "line 2, column 6"),
        (r'a: "\xff"', "line 1, column 4"),
        ("a: {" * 51 + "}" * 51, "line 1, column"),
        ("a: @", "line 1, column 4"),
    ],
)
def test_what_is_no_text_format_is_refused_with_its_place(text: str, place: str) -> None:
    """A broken file is a DataError that names line and column."""
    with pytest.raises(DataError, match=place):
        parse(text)


def test_a_text_of_any_length_is_not_read() -> None:
    """A file that cannot be a task file is refused before it is read."""
    with pytest.raises(DataError, match=str(MAX_CHARACTERS)):
        parse(" " * (MAX_CHARACTERS + 1))


@pytest.mark.parametrize("read", [Message.messages, Message.strings, Message.integers])
def test_values_of_another_kind_are_named(read: Callable[[Message, str], object]) -> None:
    """Asking for what a field does not hold is a DataError with the field's name."""
    with pytest.raises(DataError, match="'a'"):
        read(parse("a: 1.5"), "a")


def test_writing_escapes_as_protobuf_does() -> None:
    """Quotes, backslashes and control characters are escaped, letters of any script are not."""
    message = Message().add("a", "é \"'\\\n\r\t\x01").add("b", Word("OR"), 1, 0.5).add("c", Message())
    assert write(message) == 'a: "é \\"\\\'\\\\\\n\\r\\t\\001"\nb: OR\nb: 1\nb: 0.5\nc: {\n}\n'


def test_real_files_are_written_back_byte_by_byte(golden: Callable[[str], Path]) -> None:
    """Reading a task file of the original's and writing it gives the same bytes."""
    paths = sorted(golden("wikihow/tasks").glob("*.textproto"))
    assert len(paths) >= 7
    for path in paths:
        text = path.read_text(encoding="utf-8")
        assert write(parse(text)) == text, path.name
