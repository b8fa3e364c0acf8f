"""The original's files into one file that is opened, not loaded (:mod:`.catalogue`). Once, in bounded memory.

What is in memory grows with the number of products (about 250 bytes each) and of distinct words, not with
the files. Everything is written in a folder beside the shop and renamed at the end: an import that was
killed leaves no half shop, and the next one clears up after it. Of several to one place, one goes on.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import numpy as np

import rlem
from rlem.core.clock import Clock, system_clock
from rlem.core.errors import DataError, UsageError
from rlem.environments.webshop.catalogue import iter_products
from rlem.environments.webshop.data import attributes_problem
from rlem.environments.webshop.files import read_order, read_texts
from rlem.environments.webshop.store.array_file import ArrayWriter
from rlem.environments.webshop.store.json_stream import array_items, object_items
from rlem.environments.webshop.store.partial import PartialFolder
from rlem.environments.webshop.store.shelves import Shelves

Progress = Callable[[str, int, int], None]
"""Told the phase, how much of it is done, and its whole."""

LISTED = 20
"""Rejected rows that the report holds; all are in the file beside the shop."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejection:
    """A row that is JSON, but not what it should be. ``byte``: where it begins in the file's text."""

    file: str
    byte: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportReport:
    """What an import made. ``skipped``: rows left out as the original leaves them out, by reason."""

    path: Path
    products: int
    synthetic_goals: int
    human_goals: int
    skipped: Mapping[str, int]
    rejected: int
    rejections: tuple[Rejection, ...]
    rejected_file: Path | None
    terms: int
    postings: int
    file_bytes: int
    seconds: float


@dataclass(frozen=True, slots=True)
class _Row:
    """A product with what other files say of it."""

    file: str
    byte: int
    entry: Any
    about: Mapping[str, Any] = field(default_factory=dict)
    human: tuple[Any, ...] = ()


def import_shop(
    products: str | Path,
    attributes: str | Path,
    human: str | Path | None = None,
    out: str | Path = "shop.db",
    *,
    official_order: str | Path | None = None,
    official_texts: str | Path | None = None,
    force: bool = False,
    progress: Progress | None = None,
    clock: Clock = system_clock,
) -> ImportReport:
    """Makes a shop of the original's files, each .json or .json.gz of any size.

    ``products``: items_shuffle.json; ``attributes``: items_ins_v2.json; ``human``: items_human_ins.json;
    ``official_order``: pub-to-mine.list; ``official_texts``: human_goals.json. ``out`` must not exist,
    unless ``force``. Rows that are no proper product are counted and listed.
    Errors: DataError names the file that cannot be read or breaks off, and the byte; UsageError where
    another import is writing ``out``.
    """
    if human is None and (official_order is not None or official_texts is not None):
        raise UsageError("the official order and texts are of human goals: give the human instructions, too")
    with _Work(Path(out), force, progress, clock) as work:
        extra: dict[str, Any] = {}
        if official_order is not None:
            extra["official_order"] = _readable(read_order, Path(official_order))
        if official_texts is not None:
            extra["official_texts"] = read_texts(Path(official_texts))
        files = [Path(file) for file in (products, attributes, human) if file is not None]
        for file in files:
            if not file.is_file():
                what = "is a folder" if file.is_dir() else "does not exist"
                raise DataError(f"{file} {what}; expected one of the original's files, .json or .json.gz")
        with closing(_Notes(work.folder / "notes")) as notes:
            _note(notes, "attributes", Path(attributes), work)
            if human is not None:
                _note(notes, "human", Path(human), work)
            notes.complete()
            rows = _rows(Path(products), notes, work)
            sizes = {file.name: file.stat().st_size for file in files}
            return work.build(rows, {"files": sizes}, extra, human=human is not None)


def generate_shop(
    n_products: int,
    seed: int = 0,
    out: str | Path = "shop.db",
    *,
    force: bool = False,
    progress: Progress | None = None,
    clock: Clock = system_clock,
) -> ImportReport:
    """Makes a shop of generated products (see :func:`iter_products`), of any number.

    Errors: UsageError for less than one, and where another import is writing ``out``.
    """
    pairs = iter_products(seed, n_products)
    with _Work(Path(out), force, progress, clock) as work:

        def rows() -> Iterator[_Row]:
            for number, (entry, about) in enumerate(pairs):
                if not number & 255:
                    work.tell("products", number, n_products)
                yield _Row("generated", number, entry, about)
            work.tell("products", n_products, n_products)

        return work.build(rows(), {"generated": n_products, "seed": seed}, {}, human=False)


class _Work:
    """One import: its folder, its count of what was left out, and its end."""

    def __init__(self, out: Path, force: bool, progress: Progress | None, clock: Clock) -> None:
        self.out, self._force = out, force
        self._check_out()
        self._partial = PartialFolder(out)
        self.folder = self._partial.path
        self.rejected_file = out.with_name(out.name + ".rejected.jsonl")
        self.rejections: list[Rejection] = []
        self.rejected = 0
        self._rejects: IO[str] | None = None
        self._held = ExitStack()
        self._progress, self._clock, self._start = progress, clock, clock()

    def __enter__(self) -> _Work:
        with ExitStack() as stack:
            stack.enter_context(self._partial)
            self._check_out()  # again: another import may have ended just before ours had the folder
            rejects = (self.folder / "rejected.jsonl").open("w", encoding="utf-8")
            self._rejects = stack.enter_context(rejects)
            self._held = stack.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        self._held.close()
        if isinstance(error, (OSError, sqlite3.Error)):  # most of all: the disk is full
            raise DataError(f"{self.out}: the import stopped and left nothing ({error})") from error

    def _check_out(self) -> None:
        out = self.out
        if out.is_dir():
            raise UsageError(f"{out} is a folder; give the path of the shop's file in it")
        if out.exists() and not self._force:
            raise UsageError(f"{out} exists; give another path, or --force to replace it")
        if not out.parent.is_dir():
            raise UsageError(f"the folder {out.parent} does not exist: make it first")

    def tell(self, phase: str, done: int, whole: int) -> None:
        """Tells the caller how far it is."""
        if self._progress:
            self._progress(phase, done, whole)

    def reject(self, file: str, byte: int, reason: str) -> None:
        """Notes a row that is left out because it is broken."""
        row = Rejection(file=file, byte=byte, reason=reason)
        self.rejected += 1
        if len(self.rejections) < LISTED:
            self.rejections.append(row)
        assert self._rejects
        self._rejects.write(json.dumps({"file": file, "byte": byte, "reason": reason}) + "\n")

    def build(
        self, rows: Iterable[_Row], about: dict[str, Any], extra: dict[str, Any], *, human: bool
    ) -> ImportReport:
        """Writes the shop of these rows and gives it its name."""
        shelves = Shelves(self.folder, human=human)

        def accepted() -> Iterator[bytes]:
            for row in rows:
                try:
                    record, problems = shelves.take(row.entry, row.about, row.human)
                except DataError as error:
                    self.reject(row.file, row.byte, str(error))
                    continue
                for problem in problems:
                    self.reject(row.file, row.byte, problem)
                if record is not None:
                    yield record

        with ArrayWriter(self.out, self.folder / "shop") as writer:
            shelves.write_records(writer, accepted())
            if not shelves.products:
                raise DataError(f"no product to import ({self.rejected} rows rejected); nothing was written")
            shelves.write_rest(writer, lambda done, whole: self.tell("index", done, whole))
            if "official_order" in extra:
                writer.add("official_order", np.array(extra["official_order"], dtype=np.int64))
            if "official_texts" in extra:
                writer.add_texts("official_texts", extra["official_texts"])
            facts = {**about, **shelves.about(), "rlem": rlem.__version__}
            writer.finish(facts, before=self._list_rejected)
        if not self.rejected:  # a list of the shop that was here before
            self.rejected_file.unlink(missing_ok=True)
        return self._report(shelves)

    def _list_rejected(self) -> None:
        """Puts the list of rejected rows beside the shop's place: before the shop, that none is without."""
        assert self._rejects
        self._rejects.flush()
        os.fsync(self._rejects.fileno())
        self._rejects.close()
        if self.rejected:
            Path(self._rejects.name).replace(self.rejected_file)

    def _report(self, shelves: Shelves) -> ImportReport:
        return ImportReport(
            path=self.out,
            products=shelves.products,
            synthetic_goals=shelves.synthetic_goals,
            human_goals=shelves.human_goals,
            skipped=dict(shelves.skipped),
            rejected=self.rejected,
            rejections=tuple(self.rejections),
            rejected_file=self.rejected_file if self.rejected else None,
            terms=shelves.index.distinct_terms,
            postings=shelves.index.postings,
            file_bytes=self.out.stat().st_size,
            seconds=self._clock() - self._start,
        )


_PARTS = {"attributes": "a product's attributes", "human": "a product's human instructions"}


class _Notes:
    """What files say of products, by id, on disk: they stand there in another order than the products."""

    def __init__(self, path: Path) -> None:
        self._connection = sqlite3.connect(path, isolation_level=None)
        run = self._connection.execute
        run("PRAGMA journal_mode = OFF")
        run("PRAGMA synchronous = OFF")
        run("CREATE TABLE notes (kind TEXT, asin BLOB, content TEXT)")
        run("BEGIN")

    def add(self, kind: str, asin: str, content: Any) -> None:
        """Notes a content; of several for one id the last one counts, as in JSON."""
        row = (kind, asin.encode("utf-8", "surrogatepass"), json.dumps(content))
        self._connection.execute("INSERT INTO notes VALUES (?, ?, ?)", row)

    def complete(self) -> None:
        """Ends the writing."""
        self._connection.execute("COMMIT")
        self._connection.execute("CREATE INDEX by_asin ON notes (asin, kind)")

    def find(self, kind: str, asin: str) -> Any:
        """A content, or None."""
        key = (asin.encode("utf-8", "surrogatepass"), kind)
        found = self._connection.execute(
            "SELECT content FROM notes WHERE asin = ? AND kind = ? ORDER BY rowid DESC LIMIT 1", key
        ).fetchone()
        return json.loads(found[0]) if found else None

    def close(self) -> None:
        """Lets go of the file."""
        self._connection.close()


def _note(notes: _Notes, kind: str, file: Path, work: _Work) -> None:
    """Takes the entries of a file by id; broken ones are rejected."""
    check = attributes_problem if kind == "attributes" else _check_human
    usable, first = False, ""
    for byte, asin, content in object_items(file, _reading(kind, file, work)):
        if problem := check(content):
            reason = f"{asin!r:.40}: {problem}"
            work.reject(file.name, byte, reason)
            first = first or reason
        else:
            usable = True
            notes.add(kind, asin, content)
    if first and not usable:
        raise DataError(f"{file}: no entry can be used as {_PARTS[kind]} ({first}); nothing was written")


def _check_human(content: Any) -> str:
    return "" if isinstance(content, list) else f"the entry is {_kind(content)}; expected a list"


def _kind(value: Any) -> str:
    return f"a {type(value).__name__}"


def _rows(file: Path, notes: _Notes, work: _Work) -> Iterator[_Row]:
    """The products of the file, with what is noted of them."""
    for byte, entry in array_items(file, _reading("products", file, work)):
        asin = entry.get("asin") if isinstance(entry, dict) else None
        about: Mapping[str, Any] = {}
        human: tuple[Any, ...] = ()
        if isinstance(asin, str):
            about = notes.find("attributes", asin) or {}
            human = tuple(notes.find("human", asin) or ())
        yield _Row(file.name, byte, entry, about, human)


def _reading(phase: str, file: Path, work: _Work) -> Callable[[int], None]:
    """Adds up the bytes read of a file and tells them."""
    done, whole = 0, file.stat().st_size

    def read(count: int) -> None:
        nonlocal done
        done += count
        work.tell(phase, done, whole)

    return read


def _readable(read: Callable[[Path], Any], path: Path) -> Any:
    try:
        return read(path)
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read ({error})") from None
