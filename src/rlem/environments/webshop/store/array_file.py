"""One file of named arrays: written once from end to end, then mapped into memory and never loaded.

Header (magic, version, place and checksum of the directory), arrays one behind the other, directory (JSON).
What is read comes straight from the page cache, which all processes share. A file is written beside its
name and renamed when it is complete and on the disk, so that a name never stands for half a file.
"""

from __future__ import annotations

import json
import mmap
import os
import struct
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from rlem.core.errors import DataError

MAGIC = b"RLEMSHOP"
VERSION = 1
_HEADER = struct.Struct("<8sIIQQ")
_ALIGNMENT = 64
_PIECE = 1 << 22

Array = NDArray[Any]


class ArrayWriter:
    """Writes arrays to ``path``; nothing stands there before :meth:`finish`. A context manager.

    ``partial``: where the file grows, on the same disk.
    """

    def __init__(self, path: Path, partial: Path) -> None:
        self._path, self._partial = path, partial
        self._arrays: dict[str, tuple[str, int, int, int]] = {}
        self._file: BinaryIO = self._partial.open("wb")
        self._file.write(bytes(_HEADER.size))

    def __enter__(self) -> ArrayWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: TracebackType | BaseException | None) -> None:
        self._file.close()

    def add(self, name: str, array: Array) -> None:
        """Writes a whole array (of one dimension)."""
        self.add_parts(name, array.dtype.str, [array])

    def add_parts(self, name: str, dtype: str, parts: Iterable[Array | bytes]) -> None:
        """Writes an array that comes in parts; bytes are taken as they are."""
        kind = np.dtype(dtype).newbyteorder("<")
        self._file.write(bytes(-self._file.tell() % _ALIGNMENT))
        start, crc = self._file.tell(), 0
        for part in parts:
            data = part if isinstance(part, bytes) else np.ascontiguousarray(part, dtype=kind).tobytes()
            crc = zlib.crc32(data, crc)
            self._file.write(data)
        self._arrays[name] = (kind.str, start, (self._file.tell() - start) // kind.itemsize, crc)

    def add_texts(self, name: str, texts: Iterable[str]) -> None:
        """Writes texts in their order; :class:`Texts` finds one in them if they are sorted."""
        ends = [0]

        def encoded() -> Iterator[bytes]:
            for text in texts:
                data = _encoded(text)
                ends.append(ends[-1] + len(data))
                yield data

        self.add_parts(f"{name}.text", "u1", encoded())
        self.add(f"{name}.ends", np.array(ends, dtype=np.int64))

    def finish(self, about: dict[str, Any], before: Callable[[], object] | None = None) -> None:
        """Completes the file with facts about it, and gives it its name.

        ``before``: done when the file is complete and on the disk, just before it gets its name.
        """
        directory = json.dumps({"about": about, "arrays": self._arrays}).encode()
        start = self._file.tell()
        self._file.write(directory)
        self._file.seek(0)
        self._file.write(_HEADER.pack(MAGIC, VERSION, zlib.crc32(directory), start, len(directory)))
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        if before:
            before()
        self._partial.replace(self._path)
        if os.name == "posix":  # the new name itself must reach the disk
            folder = os.open(self._path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)


class ArrayFile:
    """Arrays of a file that :class:`ArrayWriter` wrote, read-only. Threads and forked processes share it.

    Errors: DataError for a file that is missing, foreign, damaged, or written by a newer rlem.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        try:
            with self.path.open("rb") as file:
                size = os.fstat(file.fileno()).st_size
                start, length, crc = self._header(file.read(_HEADER.size), size)
                file.seek(start)
                directory = file.read(length)
                if zlib.crc32(directory) != crc:
                    raise DataError(f"{self.path} is damaged: import it again")
                self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except OSError as error:
            raise DataError(
                f"{self.path}: cannot be opened ({error.strerror or error}); expected a shop that "
                "'rlem data webshop import' made"
            ) from None
        content = json.loads(directory)
        self.about: dict[str, Any] = content["about"]
        self._arrays: dict[str, tuple[str, int, int, int]] = content["arrays"]

    def __contains__(self, name: str) -> bool:
        return name in self._arrays

    def array(self, name: str) -> Array:
        """An array by name; its content is read when it is looked at."""
        dtype, start, count, _ = self._arrays[name]
        return np.frombuffer(self._map, dtype=np.dtype(dtype), count=count, offset=start)

    def texts(self, name: str) -> Texts:
        """Texts by name."""
        return Texts(self.array(f"{name}.text"), self.array(f"{name}.ends"), self.path)

    def verify(self, progress: Callable[[int, int], object] | None = None) -> None:
        """Reads the whole file against its checksums, which opening does not. Errors: DataError."""
        whole = sum(np.dtype(dtype).itemsize * count for dtype, _, count, _ in self._arrays.values())
        done = 0
        for name, (dtype, start, count, wanted) in self._arrays.items():
            crc, end = 0, start + np.dtype(dtype).itemsize * count
            for at in range(start, end, _PIECE):
                crc = zlib.crc32(self._map[at : min(at + _PIECE, end)], crc)
                done += min(at + _PIECE, end) - at
                if progress:
                    progress(done, whole)
            if crc != wanted:
                raise DataError(f"{self.path} is damaged (in {name}): import it again")

    def _header(self, data: bytes, size: int) -> tuple[int, int, int]:
        if len(data) < _HEADER.size or data[: len(MAGIC)] != MAGIC:
            raise DataError(
                f"{self.path} is not an imported shop: make one with "
                "'rlem data webshop import --products FILE --attributes FILE --out shop.db'"
            )
        _, version, crc, start, length = _HEADER.unpack(data)
        if version != VERSION:
            advice = "upgrade rlem" if version > VERSION else "import the shop again"
            raise DataError(
                f"{self.path} was written by another rlem (format {version}; this one reads {VERSION}): "
                f"{advice}, the file was left as it is"
            )
        if start + length != size:
            raise DataError(
                f"{self.path} is truncated or damaged ({size} bytes; expected {start + length}): import again"
            )
        return start, length, crc


class Texts:
    """Texts of a file, one after the other."""

    def __init__(self, data: NDArray[np.uint8], ends: NDArray[np.int64], path: Path) -> None:
        self._data, self._ends, self._path = data, ends, path

    def __len__(self) -> int:
        return len(self._ends) - 1

    def __getitem__(self, number: int) -> str:
        try:
            return self._bytes(number).decode("utf-8", "surrogatepass")
        except UnicodeDecodeError as error:
            raise damaged(self._path, error) from None

    def __iter__(self) -> Iterator[str]:
        return map(self.__getitem__, range(len(self)))

    def find(self, text: str) -> int | None:
        """The number of a text among sorted ones, or None. Sorted as str sorts: by code points."""
        wanted, low, high = _encoded(text), 0, len(self)
        while low < high:
            middle = (low + high) // 2
            if self._bytes(middle) < wanted:
                low = middle + 1
            else:
                high = middle
        return low if low < len(self) and self._bytes(low) == wanted else None

    def _bytes(self, number: int) -> bytes:
        return self._data[int(self._ends[number]) : int(self._ends[number + 1])].tobytes()


def damaged(path: Path, why: object) -> DataError:
    """The error for what cannot be in a file that was written well."""
    return DataError(f"{path} is damaged ({why}): import it again")


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
