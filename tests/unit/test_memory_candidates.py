"""A store that finds near vectors itself is asked for candidates; what it gives is scored exactly."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rlem.core.types import JSON, Situation
from rlem.memory.config import MemoryConfig
from rlem.memory.memory import ExperienceMemory
from rlem.memory.volatile import InMemoryStore
from rlem.similarity.base import Bank, Similarity
from rlem.similarity.dense import DenseBank
from rlem.similarity.fields import digest
from rlem.testing.memory_cases import episode, situation


@dataclass(frozen=True)
class Direction:
    """Vectors that depend on the page alone: a stand-in for an encoder."""

    fingerprint: str = "embedding:test"
    name: str = "page"

    def text_of(self, situation: Situation) -> str:
        return situation.observation

    def encode(self, texts: Sequence[str]) -> list[bytes]:
        made = []
        for text in texts:
            vector = np.random.default_rng(zlib.crc32(text.encode())).normal(size=16)
            made.append(np.rint(4000 * vector / np.linalg.norm(vector)).astype("<i2").tobytes())
        return made

    def bank(self, *, static: bool = False) -> Bank:
        return DenseBank()

    def to_config(self) -> dict[str, JSON]:
        return {"name": "exact", "field": "observation"}


class Choosy(InMemoryStore):
    """A store that proposes what it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.proposed: list[str] | None = None
        self.asked: list[tuple[str, int]] = []

    def nearest(self, fingerprint: str, features: bytes, wanted: int) -> list[bytes] | None:
        self.asked.append((fingerprint, wanted))
        return None if self.proposed is None else [digest(text) for text in self.proposed]


def test_candidates_of_the_store_are_scored_exactly() -> None:
    """Beyond the exact limit only what the store proposes is ranked, with the scores it has anyway; where the
    store cannot tell, and in a small memory, nobody misses it."""
    store = Choosy()
    memory = ExperienceMemory(store, MemoryConfig(similarity=Similarity(((1.0, Direction()),))))
    memory.record_many([episode(f"e{i}", [(f"page {i}", "left", 1.0)]) for i in range(300)])
    query = situation("page 7")
    exact = memory.recall(query, 300)
    assert store.asked == []
    memory._state.table.index.best_from = 100
    assert memory.recall(query, 2) == exact[:2]
    assert {fingerprint for fingerprint, _ in store.asked} == {"embedding:test"}
    store.proposed = ["page 7", "page 40", "page 41", "nobody knows this"]
    found = memory.recall(query, 3)
    assert found == tuple(item for item in exact if item.experience.situation.observation in store.proposed)
    assert found[0].similarity == 1.0
