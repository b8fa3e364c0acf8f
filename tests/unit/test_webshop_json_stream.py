"""Reading JSON files value by value: what comes out, and what is said of a file that breaks off."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlem.core.errors import DataError
from rlem.environments.webshop.store import json_stream
from rlem.environments.webshop.store.json_stream import array_items, object_items

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=8,
)


def written(folder: Path, data: bytes, name: str = "file.json") -> Path:
    """A file with these bytes."""
    path = folder / name
    path.write_bytes(data)
    return path


@given(
    items=st.lists(VALUES, max_size=6), chunk=st.integers(2, 40), plain=st.booleans(), pretty=st.booleans()
)
def test_items_as_json_reads_them(
    items: list[Any], chunk: int, plain: bool, pretty: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """However the file is cut into pieces, items are those of the json module, each at its byte."""
    text = json.dumps(items, ensure_ascii=False, indent=1 if pretty else None).encode("utf-8", "replace")
    data = text if plain else gzip.compress(text)
    path = written(tmp_path_factory.mktemp("json"), data)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_stream, "CHUNK", chunk)
        found = list(array_items(path))
    assert [value for _, value in found] == json.loads(text)
    for place, value in found:
        assert json.JSONDecoder().raw_decode(text[place:].decode())[0] == value


@given(items=st.dictionaries(st.text(max_size=6), VALUES, max_size=6), chunk=st.integers(1, 40))
def test_members_as_json_reads_them(
    items: dict[str, Any], chunk: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """The members of an object come with their keys, at the bytes where the keys begin."""
    text = json.dumps(items, ensure_ascii=False).encode("utf-8", "replace")
    path = written(tmp_path_factory.mktemp("json"), text)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_stream, "CHUNK", chunk)
        found = list(object_items(path))
    assert {key: value for _, key, value in found} == json.loads(text)
    assert all(text[place : place + 1] == b'"' for place, _, _ in found)


def test_every_truncation_is_an_error_that_names_the_byte(tmp_path: Path) -> None:
    """Wherever a file ends too early, the message says at which byte, and no broken value comes out."""
    text = json.dumps([{"a": "é\\ü"}, [1.5, True, None], "x\u4f60"], ensure_ascii=False).encode()
    whole = json.loads(text)
    for end in range(len(text)):
        path = written(tmp_path, text[:end])
        got: list[Any] = []
        with pytest.raises(DataError, match=rf"file\.json: .*byte {end}\b") as caught:
            got.extend(value for _, value in array_items(path))
        assert "truncated" in str(caught.value)
        assert got == whole[: len(got)]


def test_truncated_gzip(tmp_path: Path) -> None:
    """A gzip file that breaks off is named as such, with the byte of its text that was reached."""
    data = gzip.compress(json.dumps([{"number": n * n, "text": f"{n:x}" * 9} for n in range(2000)]).encode())
    path = written(tmp_path, data[: len(data) // 2], "file.json.gz")
    with pytest.raises(DataError, match=r"file\.json\.gz: truncated: the gzip file ends at byte \d{4,} of"):
        list(array_items(path))


def test_gzip_of_two_members_is_one_text(tmp_path: Path) -> None:
    """Gzip files may be joined; padding after them is no error."""
    data = gzip.compress(b"[1, ") + gzip.compress(b"2]") + b"\0\0"
    assert [value for _, value in array_items(written(tmp_path, data))] == [1, 2]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"[1, nope]", r"not JSON at byte 4 \(Expecting value\)"),
        (b"[1 2]", r"at byte 3: '2\]'; expected ',' or '\]'"),
        (b"[1, 2] 3", r"at byte 7: '3'; expected the end of the file"),
        (b'{"a": 1}', r"at byte 0: .*expected an array"),
        (b"", r"truncated: it ends at byte 0"),
        (b'["\xff"]', r"not UTF-8 at byte 2"),
        (b'["\xc3\xa9", nope, "' + b"x" * 99 + b'"]', r"not JSON at byte 7 "),
        (b"[" * 100_000, r"not JSON at byte \d"),
        (b"[" + b"9" * 5000 + b"]", r"not JSON at byte 1 "),
        (b"\x1f\x8b\x08garbage", r"the gzip data is broken after byte 0"),
    ],
)
def test_broken_files(text: bytes, message: str, tmp_path: Path) -> None:
    """What is no JSON array is refused with the place and the reason."""
    with pytest.raises(DataError, match=message):
        list(array_items(written(tmp_path, text)))


def test_broken_objects(tmp_path: Path) -> None:
    """Keys are texts, and a colon follows."""
    with pytest.raises(DataError, match=r"byte 1: a key that is not a text"):
        list(object_items(written(tmp_path, b"{1: 2}")))
    with pytest.raises(DataError, match=r"byte 4: '2}'; expected ':'"):
        list(object_items(written(tmp_path, b'{"a"2}')))
    with pytest.raises(DataError, match="cannot be read"):
        list(object_items(tmp_path / "absent.json"))


def test_an_error_in_the_middle_does_not_read_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A break early in a large file is found without reading the rest."""
    monkeypatch.setattr(json_stream, "CHUNK", 1000)
    read: list[int] = []
    path = written(tmp_path, b"[1, broken, " + b"2, " * 100_000 + b"3]")
    with pytest.raises(DataError, match="byte 4"):
        list(array_items(path, read.append))
    assert sum(read) <= 2000


def test_progress_adds_up(tmp_path: Path) -> None:
    """The bytes told are those of the file as it lies on disk."""
    path = written(tmp_path, gzip.compress(b"[1, 2, 3]"))
    read: list[int] = []
    list(array_items(path, read.append))
    assert sum(read) == path.stat().st_size
