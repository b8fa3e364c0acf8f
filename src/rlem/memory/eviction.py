"""Which experience to give up when a memory is full: the one whose loss would cost least.

    loss(i) = useful(task of i) * (1 - r(i))                     the least loss goes
    r(i)    = max_j s(i, j)      over experiences j of other tasks, and of its own task those with the
                                 same best action
    useful  = max_i worth(i) / (greatest worth of all) + 1/10    over the task's experiences
    worth   = (q - sqrt(M2) / n) n / (n + 1)                     of the best verified action, at least 0

Two steps of one way look much alike and say different things: they complete one another. Two ways that
look alike stand in for one another; so redundancy is looked for in other tasks, and a step is worth what
its way is worth. Ties: lower worth, then the task step not visited for longest, then content key; never
arrival. Of the pair that makes an experience redundant the one worth less goes first, so that the
experience of greatest worth always stays.

The similarity is the static one (no IDF): a pair's redundancy does not depend on what else is stored, and
the choice is the same whether kept up to date step by step or computed afresh.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from rlem.core.types import Situation
from rlem.similarity.base import Scores, Similarity
from rlem.similarity.growing import Growing
from rlem.similarity.index import DECIMALS, SimilarityIndex
from rlem.values import Estimate

FLOOR = 0.1
"""What an experience that knows nothing good is worth beside the best one: it warns."""

_SLOT = np.dtype(
    [
        *(("used", "?"), ("stale", "?"), ("nearest", "f8"), ("worth", "f8")),
        *(("last", "i8"), ("task", "i8"), ("action", "i8"), ("key", "u8")),
    ]
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lesson:
    """What eviction looks at in an experience: its best action, that action's worth, and the sequence number
    of the episode that visited it last."""

    action: str
    worth: float
    last: int


def worth(estimate: Estimate) -> float:
    """How much good an action is known to do: its value less one standard error, less for few samples.

    (q - sqrt(M2) / n) n / (n + 1),   0 without samples

    >>> worth(Estimate(1, 1.0, 0.0)), worth(Estimate(3, 1.0, 0.0))
    (0.5, 0.75)
    """
    n = estimate.visits
    return (estimate.value - math.sqrt(max(estimate.m2, 0.0)) / n) * n / (n + 1) if n else 0.0


class Eviction:
    """The experiences of a table by slot, and which of them to give up. Not thread-safe.

    ``nearest`` is r; where ``stale``, its upper bound: whoever made it may have gone. It is looked up
    again only when it would decide.
    """

    def __init__(self, similarity: Similarity) -> None:
        self._index = SimilarityIndex(similarity, static=True)
        self._situations: dict[int, Situation] = {}
        self._slots = Growing(_SLOT)

    def __contains__(self, slot: int) -> bool:
        return slot in self._situations

    def add(self, slot: int, situation: Situation, features: Mapping[str, bytes] | None, new: Lesson) -> None:
        """A situation was put into a free slot."""
        self._index.add(slot, situation, features)
        self._situations[slot] = situation
        self._slots.reach(slot + 1)
        # hash() differs between processes; it is only compared for equality.
        task, action, key = hash(situation.task), hash(new.action), int(situation.key[:16], 16)
        self._slots.view[slot] = (True, False, 0.0, new.worth, new.last, task, action, key)
        self._meet(slot)

    def learned(self, slot: int, new: Lesson) -> None:
        """The experience in a slot changed. Costs two queries if its best action did, else none."""
        row = self._slots.view[slot]
        row["worth"], row["last"] = new.worth, new.last
        if row["action"] != hash(new.action):
            self._part(slot)
            row["action"] = hash(new.action)
            self._meet(slot)

    def remove(self, slot: int) -> None:
        """A slot was emptied."""
        self._part(slot)
        self._index.remove(slot)
        del self._situations[slot]
        self._slots.view[slot] = np.zeros((), _SLOT)

    def choose(self) -> int:
        """The slot to give up; there must be one."""
        slots = np.flatnonzero(self._slots.view["used"])
        rows = self._slots.view[slots]
        tasks, task = np.unique(rows["task"], return_inverse=True)
        best = np.zeros(len(tasks))
        np.maximum.at(best, task, rows["worth"])
        useful = (best / (best.max() or 1.0) + FLOOR)[task]
        while True:
            # A stale r is too high, so its loss is too low: what is least and fresh is least indeed.
            loss = np.round(useful * (1.0 - self._slots.view["nearest"][slots]), DECIMALS)
            tied = np.flatnonzero(loss == loss.min())
            order = np.lexsort([rows[name][tied] for name in ("key", "last", "worth")])
            slot = int(slots[tied[order[0]]])
            if not self._slots.view["stale"][slot]:
                return slot
            self._meet(slot)

    def _scores(self, slot: int) -> Scores:
        """What each other slot says of this one's advice; -1 for free slots and itself."""
        rows = self._slots.view
        scores = self._index.scores(self._situations[slot])
        own = (rows["task"] == rows["task"][slot]) & (rows["action"] != rows["action"][slot])
        scores[own & rows["used"]] = 0.0
        scores[slot] = -1.0
        return scores

    def _meet(self, slot: int) -> None:
        """Looks up a slot's nearest, and makes it the nearest of others where it is."""
        scores, rows = self._scores(slot), self._slots.view
        np.maximum(rows["nearest"], scores, out=rows["nearest"])
        rows["nearest"][slot] = scores.max(initial=0.0)
        rows["stale"][slot] = False

    def _part(self, slot: int) -> None:
        """Marks those whose nearest this slot may be."""
        rows = self._slots.view
        rows["stale"] |= rows["used"] & (self._scores(slot) >= rows["nearest"])
