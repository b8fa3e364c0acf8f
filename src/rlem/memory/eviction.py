"""Which experience to give up when a memory is full: one of the most redundant pair.

Among all pairs the most similar one is the most redundant. Of it the less sampled experience goes (ties:
by content key), unless it knows a better action than every experience it is redundant with: then the
better sampled one goes, and the best action stays. The similarity is the static one (no IDF), so that a
pair's redundancy does not depend on what else is stored, and the choice is the same whether the pairs
were kept up to date one by one or computed afresh.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from rlem.core.types import Situation
from rlem.similarity.base import Similarity
from rlem.similarity.index import SimilarityIndex


class Redundancy:
    """For every slot, how similar its nearest neighbour is; kept up to date on insertion and removal."""

    def __init__(self, similarity: Similarity) -> None:
        self._index = SimilarityIndex(similarity, static=True)
        self._situations: dict[int, Situation] = {}
        self._nearest: NDArray[np.float64] = np.full(16, -1.0)

    def add(self, slot: int, situation: Situation, features: Mapping[str, bytes] | None) -> None:
        """A situation was put into a slot."""
        self._index.add(slot, situation, features)
        self._situations[slot] = situation
        others = self._scores(slot)
        if len(others) > len(self._nearest):
            grown = np.full(2 * len(others), -1.0)
            grown[: len(self._nearest)] = self._nearest
            self._nearest = grown
        head = self._nearest[: len(others)]
        np.maximum(head, others, out=head)
        self._nearest[slot] = others.max()

    def remove(self, slot: int) -> None:
        """A slot was emptied."""
        similar = self._scores(slot)
        self._index.remove(slot)
        del self._situations[slot]
        self._nearest[slot] = -1.0
        for other in np.flatnonzero((similar >= 0.0) & (similar >= self._nearest[: len(similar)])):
            if int(other) in self._situations:
                self._nearest[other] = self._scores(int(other)).max(initial=-1.0)

    def choose(
        self,
        samples: NDArray[np.int64],
        key_rank: NDArray[np.uint64],
        best_value: Callable[[int], float],
    ) -> int:
        """The slot to give up."""
        tied = np.flatnonzero(self._nearest == self._nearest.max())
        for slot in tied[np.lexsort((key_rank[tied], samples[tied]))]:
            partners = np.flatnonzero(self._scores(int(slot)) == self._nearest[slot])
            if max(best_value(int(p)) for p in partners) >= best_value(int(slot)):
                return int(slot)
        raise AssertionError("of a most similar pair, the one with the lower best value can always go")

    def _scores(self, slot: int) -> NDArray[np.float64]:
        """Similarity of a slot's situation to all others; -1 for free slots and itself."""
        scores = self._index.scores(self._situations[slot])
        scores[slot] = -1.0
        return scores
