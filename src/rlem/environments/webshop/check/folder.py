"""Replays recordings of the original WebShop and says what differs: ``rlem env check webshop``.

What a file holds is told by its name. Every recorded field that has a meaning for the shop is compared. Not
compared: hashes and texts of the original's HTML, Lucene's own numbers of documents, tags of words other
than NOUN, addresses of pictures, the texts of the site's error pages.
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
from rlem.environments.webshop.check.rows import Found, Record, json_content, json_lines, text_lines
from rlem.environments.webshop.check.shops import Shops
from rlem.environments.webshop.check.site import Site

Rows = Iterable[tuple[str, Any]]
Progress = Callable[[str, int, int, int], None]
"""Told the file's name, its number, the number of files, and the rows tried in it so far."""

_INPUTS = ("products.json", "items_shuffle", "items_ins_v2", "items_human_ins", "measurements.json", "README")
_ENDINGS = (".jsonl", ".json", ".list", ".jsonl.gz", ".json.gz", ".list.gz")


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One row that differs: where it stands, and each field with our value and the recorded one."""

    row: str
    fields: tuple[Found, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class FileResult:
    """What replaying one file gave; ``first`` are the first rows that differ."""

    name: str
    tried: int
    different: int
    first: tuple[Difference, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What replaying a folder gave. ``inputs`` and ``unknown`` are the names of files that were not
    replayed; ``errors`` says what could not be."""

    files: tuple[FileResult, ...]
    inputs: tuple[str, ...]
    unknown: tuple[str, ...]
    errors: tuple[str, ...]

    @property
    def different(self) -> int:
        """Rows that differ, of all files."""
        return sum(file.different for file in self.files)

    def as_json(self) -> dict[str, Any]:
        """Counts by file."""
        return {
            "files": {file.name: {"tried": file.tried, "different": file.different} for file in self.files}
        }


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
    each file are kept in full. A recording that cannot be replayed is an error of the report.
    Errors: DataError where a folder is missing, or has nothing to replay.
    """
    root = Path(golden)
    if not root.is_dir():
        raise DataError(f"{root} is not a folder; expected one with recordings of the original")
    names = sorted(path.name for path in root.iterdir() if not path.name.startswith("."))
    known = [name for name in names if _stem(name) in KINDS]
    inputs = [name for name in names if name not in known and name.startswith(_INPUTS)]
    if not known:
        raise DataError(f"{root} holds no recording; known are {', '.join(sorted(KINDS))} (.jsonl.gz ...)")
    shops = Shops(data)
    shops.catalogue(False)  # what is wrong with the data is said once, not for every recording
    results: list[FileResult] = []
    errors = [
        f"{root / name}: a recording with an ending that cannot be read; known are {', '.join(_ENDINGS)}"
        for name in names
        if name not in known and name.split(".")[0] in KINDS
    ]
    for number, name in enumerate(known):
        tell = partial(progress, name, number, len(known)) if progress else _nobody
        try:
            results.append(_check_file(root / name, KINDS[_stem(name)](shops), show, tell))
        except DataError as error:
            errors.append(str(error))
    return Report(
        files=tuple(results),
        inputs=tuple(inputs),
        unknown=tuple(name for name in names if name not in known and name not in inputs),
        errors=tuple(errors),
    )


def _nobody(_: int) -> None:
    """Hears no progress."""


def _check_file(path: Path, kind: _Kind, show: int, tell: Callable[[int], None]) -> FileResult:
    tried = different = 0
    first: list[Difference] = []
    for place, row in kind.rows(path):
        found = _replayed(path, place, kind, row)
        tried += 1
        if found:
            different += 1
            if len(first) < show:
                first.append(Difference(row=_label(place, row), fields=tuple(found)))
        tell(tried)
    if not tried:
        raise DataError(f"{path}: holds no rows; expected at least one")
    return FileResult(name=path.name, tried=tried, different=different, first=tuple(first))


def _replayed(path: Path, place: str, kind: _Kind, row: Any) -> list[Found]:
    """What differs in a row; a DataError names the file and the line where it cannot be replayed."""
    try:
        return kind.replay(row)
    except EnvironmentFaultError as error:
        return [("exception", str(error), None)]
    except RlemError as error:
        raise DataError(f"{path}: {place}: cannot be replayed: {error}") from error
    except (TypeError, ValueError, LookupError, AttributeError, ArithmeticError, RecursionError) as error:
        what = f"{type(error).__name__}: {error}"
        raise DataError(
            f"{path}: {place}: cannot be replayed; a field is of the wrong kind ({what})"
        ) from error


def _label(place: str, row: Any) -> str:
    """Where a row stands, and its own name if it has one."""
    content = row[1] if isinstance(row, tuple) else row
    if isinstance(content, Record):
        for field in ("id", "i", "name", "index", "asin", "query"):
            if field in content:
                return f"{place} ({field} {content[field]!r:.80})"
    return place


def _stem(name: str) -> str:
    """A file's name without its ending; the whole name where that is none of ours."""
    ending = max((end for end in _ENDINGS if name.endswith(end)), key=len, default="")
    return name.removesuffix(ending) if ending else f"{name}?"


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


def _misc(variant: Any, shops: Shops) -> _Kind:
    misc = Misc(shops, variant)
    return _Kind(misc.rows, misc.replay)


KINDS: dict[str, Callable[[Shops], _Kind]] = {
    "episodes_upstream": lambda shops: _Kind(json_lines, partial(replay_episode, shops, "upstream")),
    "episodes_rememberer_fork": lambda shops: _Kind(json_lines, partial(replay_episode, shops, "fork")),
    "misc_upstream": partial(_misc, "upstream"),
    "misc_rememberer_fork": partial(_misc, "fork"),
    "search": _lines(parts.search),
    "search_stress": _lines(parts.search),
    "rewards": _lines(parts.reward),
    "normalize_color": _lines(parts.colour),
    "title_pos": _lines(parts.nouns),
    "fuzz_token_set_ratio": _lines(parts.fuzzy),
    "goals_synthetic": _by_goals(parts.goal, False),
    "goals_human": _by_goals(parts.goal, True),
    "prices_synthetic": _by_goals(parts.price, False),
    "prices_human": _by_goals(parts.price, True),
    "products_loaded": _lines(parts.product),
    "index_doc_tokens": _lines(parts.document),
    "react_format": _lines(replay_react),
    "site_http": lambda shops: _Kind(json_lines, Site(shops).replay),
    "real_reward_examples_full_webshop": lambda shops: _Kind(_listed, partial(parts.real_reward, shops)),
    "human_goals_official_order": lambda shops: _Kind(_listed, partial(parts.official_text, shops)),
    "rememberer_pub-to-mine": lambda shops: _Kind(text_lines, partial(parts.official_number, shops)),
}
"""How each recording is replayed, by the name of its file without the ending."""
