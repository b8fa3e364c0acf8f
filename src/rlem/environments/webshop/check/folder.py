"""Replays recordings of the original WebShop and says what differs: ``rlem env check webshop``.

What a file holds is told by its name. Every recorded field that has a meaning for the shop is compared. Not
compared: hashes and texts of the original's HTML, Lucene's own numbers of documents, tags of words other
than NOUN, what the original drops of a product after loading (page, model, average_rating), addresses of
pictures, the texts of the site's error pages.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from rlem.core.errors import DataError, EnvironmentFaultError, RlemError
from rlem.environments.webshop.check import parts
from rlem.environments.webshop.check.play import Misc, replay_episode, replay_react
from rlem.environments.webshop.check.products import Products, document
from rlem.environments.webshop.check.rows import Found, Record, Unreadable, json_content, json_lines
from rlem.environments.webshop.check.shops import Shops
from rlem.environments.webshop.check.site import Site
from rlem.environments.webshop.original import Variant

Rows = Iterable[tuple[str, Any]]
Progress = Callable[[str, int, int, int], None]
"""Told the file's name, its number, the number of files, and the rows tried in it so far."""

_INPUTS = (
    "products.json", "items_shuffle", "items_ins_v2", "items_human_ins", "human_goals", "pub-to-mine",
    "rememberer_pub-to-mine", "measurements.json", "README",
)  # fmt: skip
_ENDINGS = (".jsonl", ".json", ".jsonl.gz", ".json.gz")


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One row that differs: where it stands, and each field with our value and the recorded one."""

    row: str
    fields: tuple[Found, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class FileResult:
    """What replaying one file gave; ``first`` are the first rows that differ.

    A row that cannot be replayed was tried and differs. ``error`` says where the file itself could not be
    read, which is one more difference.
    """

    name: str
    tried: int
    different: int
    first: tuple[Difference, ...] = ()
    error: str = ""

    def as_json(self) -> dict[str, Any]:
        """Its counts, and its error if there is one."""
        counts: dict[str, Any] = {"tried": self.tried, "different": self.different}
        return {**counts, "error": self.error} if self.error else counts


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What replaying a folder gave: every known recording is among the ``files``. ``inputs`` and ``unknown``
    are the names of files that are none."""

    files: tuple[FileResult, ...]
    inputs: tuple[str, ...]
    unknown: tuple[str, ...]

    @property
    def different(self) -> int:
        """Rows that differ, of all files."""
        return sum(file.different for file in self.files)

    @property
    def errors(self) -> tuple[str, ...]:
        """What could not be read, one a file."""
        return tuple(file.error for file in self.files if file.error)

    def as_json(self) -> dict[str, Any]:
        """Counts by file."""
        return {"files": {file.name: file.as_json() for file in self.files}}


@dataclass(frozen=True, slots=True)
class _Kind:
    """How the files of one name are read, and how a row of theirs is replayed."""

    rows: Callable[[Path], Rows]
    replay: Callable[[Any], list[Found]]


def check_folder(
    data: str | Path, golden: str | Path, *, show: int = 3, progress: Progress | None = None
) -> Report:
    """Replays every recording in the folder ``golden`` in faithful shops over ``data``.

    ``data``: a folder with the original's files, or an imported store. The first ``show`` differing rows of
    each file are kept in full. What cannot be replayed or read differs, and the rest is replayed all the
    same. Errors: DataError where a folder is missing, or has nothing to replay.
    """
    root = Path(golden)
    if not root.is_dir():
        raise DataError(f"{root} is not a folder; expected one with recordings of the original")
    names = sorted(path.name for path in root.iterdir() if not path.name.startswith("."))
    known = [name for name in names if name.split(".")[0] in KINDS]
    inputs = [name for name in names if name not in known and name.startswith(_INPUTS)]
    if not known:
        raise DataError(
            f"{root} holds no recording; known are episodes_upstream, rewards, search, ... (docs/webshop.md)"
        )
    shops = Shops(data)
    shops.catalogue(False)  # what is wrong with the data is said once, not for every recording
    results: list[FileResult] = []
    for number, name in enumerate(known):
        tell = partial(progress, name, number, len(known)) if progress else _nobody
        results.append(_check_file(root / name, shops, show, tell))
    return Report(
        files=tuple(results),
        inputs=tuple(inputs),
        unknown=tuple(name for name in names if name not in known and name not in inputs),
    )


def _nobody(_: int) -> None:
    """Hears no progress."""


def _check_file(path: Path, shops: Shops, show: int, tell: Callable[[int], None]) -> FileResult:
    tried = different = 0
    first: list[Difference] = []
    faults: list[str] = []
    try:
        kind = _kind(path)(shops)
        for place, row in kind.rows(path):
            tried += 1
            if isinstance(row, Unreadable):
                faults.append(f"{path}: {place}: {row.why}")
            if found := _replayed(kind, row):
                different += 1
                if len(first) < show:
                    first.append(Difference(row=_label(place, row), fields=tuple(found)))
            tell(tried)
        if not tried:
            raise DataError(f"{path}: holds no rows; expected at least one")
    except DataError as fault:  # the file's own: those of rows are differences
        different += 1
        faults.append(str(fault))
    more = f" (and {len(faults) - 1} more faults)" if len(faults) > 1 else ""
    error = faults[0] + more if faults else ""
    return FileResult(name=path.name, tried=tried, different=different, first=tuple(first), error=error)


def _kind(path: Path) -> Callable[[Shops], _Kind]:
    stem = path.name.split(".")[0]
    if path.name.removeprefix(stem) not in _ENDINGS:
        raise DataError(
            f"{path}: a recording with an ending that cannot be read; known are {', '.join(_ENDINGS)}"
        )
    return KINDS[stem]


def _replayed(kind: _Kind, row: Any) -> list[Found]:
    """What differs in a row; of one that cannot be replayed, why."""
    if isinstance(row, Unreadable):
        return _cannot(row.why)
    try:
        return kind.replay(row)
    except EnvironmentFaultError as error:
        return [("exception", str(error), None)]
    except RlemError as error:
        return _cannot(str(error))
    except Exception as error:  # whatever it is: one broken row must not keep the others from being replayed
        return _cannot(f"a field is of the wrong kind ({type(error).__name__}: {error!s:.200})")


def _cannot(why: str) -> list[Found]:
    return [(f"cannot be replayed: {why}", None, None)]


def _label(place: str, row: Any) -> str:
    """Where a row stands, and its own name if it has one."""
    content = row[1] if isinstance(row, tuple) else row
    if isinstance(content, Record):
        for field in ("id", "i", "name", "index", "asin", "query"):
            if field in content:
                return f"{place} ({field} {content[field]!r:.80})"
    return place


def _listed(path: Path) -> Iterator[tuple[str, Any]]:
    content = json_content(path)
    if not isinstance(content, list):
        raise DataError(f"{path}: holds a {type(content).__name__}; expected a list")
    for number, entry in enumerate(content):
        yield f"entry {number}", entry


def _lines(replay: Callable[[Shops, Any], list[Found]]) -> Callable[[Shops], _Kind]:
    return lambda shops: _Kind(json_lines, partial(replay, shops))


def _by_goals(replay: Callable[[Shops, bool, Any], list[Found]], human: bool) -> Callable[[Shops], _Kind]:
    return lambda shops: _Kind(json_lines, partial(replay, shops, human))


def _episodes(variant: Variant, shops: Shops) -> _Kind:
    def replay(row: Any) -> list[Found]:
        return replay_episode(shops, variant, row, human=row["human_goals"])

    return _Kind(json_lines, replay)


def _misc(variant: Variant, shops: Shops) -> _Kind:
    misc = Misc(shops, variant)
    return _Kind(misc.rows, misc.replay)


KINDS: dict[str, Callable[[Shops], _Kind]] = {
    "episodes_upstream": partial(_episodes, "upstream"),
    "episodes_rememberer_fork": partial(_episodes, "fork"),
    "misc_upstream": partial(_misc, "upstream"),
    "misc_rememberer_fork": partial(_misc, "fork"),
    "search": _lines(parts.search),
    "search_stress": _lines(parts.products_found),
    "rewards": _lines(parts.reward),
    "normalize_color": _lines(parts.colour),
    "title_pos": _lines(parts.nouns),
    "fuzz_token_set_ratio": _lines(parts.fuzzy),
    "goals_synthetic": _by_goals(parts.goal, False),
    "goals_human": _by_goals(parts.goal, True),
    "prices_synthetic": _by_goals(parts.price, False),
    "prices_human": _by_goals(parts.price, True),
    "products_loaded": lambda shops: _Kind(json_lines, Products(shops).replay),
    "index_doc_tokens": _lines(document),
    "react_format": _lines(replay_react),
    "site_http": lambda shops: _Kind(json_lines, Site(shops).replay),
    "real_reward_examples_full_webshop": lambda shops: _Kind(_listed, partial(parts.real_reward, shops)),
}
"""How each recording is replayed, by the name of its file without the ending."""
