"""JSON files of any size, read value by value in bounded memory, plain or gzipped.

A file that breaks or ends too early is a DataError that names the file and the byte of its (uncompressed)
text. Memory: the largest single value, not the file.
"""

from __future__ import annotations

import codecs
import json
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from rlem.core.errors import DataError

CHUNK = 1 << 20
MAX_VALUE = 1 << 28
"""Characters of one value; a longer one is taken for a sign of the wrong file."""

_GZIP = b"\x1f\x8b"
_BLANKS = " \t\n\r"
_WORDS = ("true", "false", "null", "NaN", "Infinity", "-Infinity", ".", "e+", "e-", "E+", "E-")
"""What a file may break off in without a trace: words, and what a number goes on with."""

_TAIL = 16
"""An error so near the end of what is read may be a value that is cut in two: only texts are longer."""


def array_items(path: Path, progress: Callable[[int], None] | None = None) -> Iterator[tuple[int, Any]]:
    """(byte of its first character, value) of each item of a file's one array.

    ``progress`` is told how many bytes of the file (as it lies on disk) were read since it was last called.
    Errors: DataError for what cannot be read, is not JSON, or is not an array.
    """
    reader = _Reader(path, progress)
    reader.expect("[", "an array (a list of products)")
    for _ in reader.until("]"):
        yield reader.value()
    reader.end()


def object_items(path: Path, progress: Callable[[int], None] | None = None) -> Iterator[tuple[int, str, Any]]:
    """(byte of its key, key, value) of each member of a file's one object; see :func:`array_items`."""
    reader = _Reader(path, progress)
    reader.expect("{", "an object (of entries by asin)")
    for _ in reader.until("}"):
        place, key = reader.value()
        if not isinstance(key, str):
            raise reader.error(place, "a key that is not a text", "a text in quotes")
        reader.expect(":", "':'")
        _, value = reader.value()
        yield place, key, value
    reader.end()


class _Reader:
    """A window that slides over the file's text. ``_at`` is the next character in it, ``_byte`` its place."""

    def __init__(self, path: Path, progress: Callable[[int], None] | None) -> None:
        self._path = path
        self._pieces = _text(path, progress)
        self._window = ""
        self._at = 0
        self._byte = 0
        self._decode = json.JSONDecoder().raw_decode

    def skip(self, char: str) -> bool:
        """Steps over blanks, and over the character if it comes next."""
        if self._peek() != char:
            return False
        self._advance(self._at + 1)
        return True

    def expect(self, char: str, what: str) -> None:
        """Steps over the character, which must come next."""
        if not self.skip(char):
            raise self._unexpected(what)

    def until(self, close: str) -> Iterator[None]:
        """Once for each of the parts up to that character; steps over it and the commas between them."""
        first = True
        while not self.skip(close):
            if not first:
                self.expect(",", f"',' or '{close}'")
            first = False
            yield

    def value(self) -> tuple[int, Any]:
        """Place and content of the value that comes next."""
        if not self._peek():
            raise self._unexpected("a value")
        more = CHUNK
        while True:
            at = self._at
            try:
                value, end = self._decode(self._window, self._at)
                if end + _TAIL < len(self._window) or not self._fill(CHUNK):  # else a number may go on
                    place = self._byte
                    self._advance(self._at + end - at)
                    return place, value
                continue
            except json.JSONDecodeError as error:
                cut = error.msg.startswith("Unterminated string") or error.pos >= len(self._window) - _TAIL
                if not cut or len(self._window) - self._at > MAX_VALUE:
                    raise self._broken(error.pos, error.msg) from None
                rest = self._window[error.pos :]
                if not self._fill(more):
                    if error.msg.startswith("Unterminated string") or _is_cut(rest):
                        raise self._ended(f"the value that begins at byte {self._byte}") from None
                    raise self._broken(self._at + error.pos - at, error.msg) from None
                more *= 2  # a value of many pieces is not decoded once for each of them
            except (RecursionError, ValueError) as error:  # nested too deep; a number too long to hold
                raise self._broken(self._at, str(error)) from None

    def end(self) -> None:
        """Nothing but blanks may follow."""
        if self._peek():
            raise self._unexpected("the end of the file")

    def error(self, place: int, found: str, expected: str) -> DataError:
        return DataError(f"{self._path}: not as it should be at byte {place}: {found}; expected {expected}")

    def _broken(self, at: int, why: str) -> DataError:
        byte = self._byte + _size(self._window[self._at : at])
        return DataError(f"{self._path}: not JSON at byte {byte} ({why}); the file is broken there")

    def _ended(self, inside: str) -> DataError:
        byte = self._byte + _size(self._window[self._at :])
        return DataError(
            f"{self._path}: truncated: it ends at byte {byte}, inside of {inside}; get the whole file again"
        )

    def _unexpected(self, expected: str) -> DataError:
        found = self._peek()
        if not found:
            return DataError(
                f"{self._path}: truncated: it ends at byte {self._byte}; expected {expected}: "
                "get the whole file again"
            )
        return self.error(self._byte, repr(self._window[self._at : self._at + 20]), expected)

    def _peek(self) -> str:
        """The next character that is no blank, or "" at the end of the file."""
        while True:
            at = self._at
            while at < len(self._window) and self._window[at] in _BLANKS:
                at += 1
            self._advance(at)
            if at < len(self._window):
                return self._window[at]
            if not self._fill(CHUNK):
                return ""

    def _advance(self, at: int) -> None:
        self._byte += _size(self._window[self._at : at])
        self._at = at

    def _fill(self, count: int) -> bool:
        """Drops what is behind and reads at least so many characters more; False at the end of the file."""
        pieces = [self._window[self._at :]]
        found = 0
        while found < count and (piece := next(self._pieces, "")):
            pieces.append(piece)
            found += len(piece)
        self._window, self._at = "".join(pieces), 0
        return found > 0


def _is_cut(rest: str) -> bool:
    """Whether what no value could be made of is the beginning of one."""
    return any(word.startswith(rest) for word in _WORDS)


def _size(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


def _text(path: Path, progress: Callable[[int], None] | None) -> Iterator[str]:
    """The file's text in pieces, none empty. Errors: DataError at the byte that is not UTF-8."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    done = 0
    for data in _bytes(path, progress):
        pending = len(decoder.getstate()[0])
        try:
            piece = decoder.decode(data)
        except UnicodeDecodeError as error:
            raise DataError(f"{path}: not UTF-8 at byte {done - pending + error.start}") from None
        done += len(data)
        if piece:
            yield piece
    pending = len(decoder.getstate()[0])
    if pending:
        raise DataError(f"{path}: truncated: it ends at byte {done}, inside of a character")


def _bytes(path: Path, progress: Callable[[int], None] | None) -> Iterator[bytes]:
    """The file's bytes in pieces, uncompressed if it is gzipped (whatever its name is)."""
    inflate = None
    done = 0
    try:
        with path.open("rb") as file:
            while data := file.read(CHUNK):
                if progress:
                    progress(len(data))
                if not done and inflate is None and data.startswith(_GZIP):
                    inflate = zlib.decompressobj(wbits=31)
                if inflate is None:
                    done += len(data)
                    yield data
                    continue
                while data:
                    if inflate.eof:  # another member may follow, or padding
                        data = data.lstrip(b"\0")
                        if not data:
                            break
                        inflate = zlib.decompressobj(wbits=31)
                    plain = inflate.decompress(data, CHUNK)
                    data = inflate.unconsumed_tail or inflate.unused_data
                    done += len(plain)
                    yield plain
    except zlib.error as error:
        raise DataError(f"{path}: the gzip data is broken after byte {done} of its text ({error})") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error})") from None
    if inflate is not None and not inflate.eof:
        raise DataError(
            f"{path}: truncated: the gzip file ends at byte {done} of its text; get the whole file again"
        )
