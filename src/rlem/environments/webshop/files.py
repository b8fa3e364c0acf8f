"""The original's files on disk: which file is which, and clear words when one is missing or broken."""

from __future__ import annotations

import gzip
import json
import random
import zlib
from pathlib import Path
from typing import Any

from rlem.core.errors import DataError
from rlem.environments.webshop.data import GoalKind, LoadedCatalogue, build_catalogue

_PRODUCTS = ("products.json", "items_shuffle")
_ATTRIBUTES = ("items_ins_v2",)
_HUMAN = ("items_human_ins",)
_OFFICIAL = ("human_goals",)
_MAPPING = ("pub-to-mine", "rememberer_pub-to-mine")


def load_catalogue(
    folder: str | Path, *, goals: GoalKind = "synthetic", price_seed: int | random.Random = 0
) -> LoadedCatalogue:
    """Reads a folder with the original's files, each as .json or .json.gz.

    products (products or items_shuffle*), attributes (items_ins_v2*) and, for human goals, instructions
    (items_human_ins*). Where several fit, the shortest name is taken (the full file, not a subset's).
    Errors: DataError names the file, the position and what was expected.
    """
    root = Path(folder)
    if not root.is_dir():
        what = "is not a folder" if root.exists() else "does not exist"
        raise DataError(
            f"{root} {what}; expected a folder with products.json (or items_shuffle*.json), or a store made "
            "by rlem data webshop import"
        )
    products_file = _find(root, _PRODUCTS, "the products")
    products = _read(products_file, list, "a list of products")
    attributes = _read(_find(root, _ATTRIBUTES, "the attributes"), dict, "an object of attributes by asin")
    human = None
    if goals == "human":
        file = _find(root, _HUMAN, "the human instructions")
        human = _read(file, dict, "an object of instructions by asin")
    try:
        return build_catalogue(products, attributes, human, goals=goals, price_seed=price_seed)
    except DataError as error:
        raise DataError(
            f"{products_file.parent}: {error} (rlem data webshop import lists such rows and leaves them out)"
        ) from error


def load_official_order(folder: str | Path) -> tuple[int, ...] | None:
    """Place in our goal order of each official human goal (Rememberer's pub-to-mine.list), if it is there."""
    found = _candidates(Path(folder), _MAPPING, (".list",))
    return read_order(found[0]) if found else None


def read_order(path: Path) -> tuple[int, ...]:
    """The numbers at the ends of a file's lines. Errors: DataError for a line without one."""
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read ({error}); expected one goal number a line") from None
    numbers = []
    for place, line in enumerate(lines, 1):
        if line.strip():
            last = line.split()[-1]
            if not last.isdecimal():
                raise DataError(f"{path}: line {place} ends in {last!r:.40}; expected a goal number")
            numbers.append(int(last))
    return tuple(numbers)


def load_official_texts(folder: str | Path) -> tuple[str, ...] | None:
    """Instructions of the official human goals (human_goals.json of the original's baselines), if there."""
    found = _candidates(Path(folder), _OFFICIAL, (".json", ".json.gz"))
    if not found:
        return None
    return read_texts(found[0])


def read_texts(path: Path) -> tuple[str, ...]:
    """A file with a list of texts. Errors: DataError for anything else."""
    return tuple(map(str, _read(path, list, "a list of texts")))


def _candidates(root: Path, stems: tuple[str, ...], endings: tuple[str, ...]) -> list[Path]:
    """Files whose names begin with one of the stems; earlier stems first, then shorter names."""
    files = sorted(root.iterdir(), key=lambda path: (len(path.name), path.name))
    return [
        path for stem in stems for path in files if path.name.startswith(stem) and path.name.endswith(endings)
    ]


def _find(root: Path, stems: tuple[str, ...], what: str) -> Path:
    found = _candidates(root, stems, (".json", ".json.gz"))
    if not found:
        wanted = " or ".join(f"{stem.removesuffix('.json')}*.json[.gz]" for stem in stems)
        raise DataError(f"{root}: {what} are missing; expected a file {wanted}")
    return found[0]


def _read(path: Path, kind: type, what: str) -> Any:
    """The JSON content of a file, or a DataError that says where it breaks."""
    try:
        data = path.read_bytes()
        if path.suffix == ".gz":
            data = gzip.decompress(data)
        content = json.loads(data.decode("utf-8"))
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise DataError(f"{path}: not JSON at {place} ({error.msg}); expected {what}") from None
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not UTF-8 at byte {error.start}; expected {what}") from None
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path}: cannot be read ({error}); expected {what}") from None
    if not isinstance(content, kind):
        raise DataError(f"{path}: holds a {type(content).__name__}; expected {what}")
    return content
