"""The situations of a memory in slots, scored all at once against a query."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rlem.core.errors import UsageError
from rlem.core.types import Situation
from rlem.similarity.base import Scores, Similarity
from rlem.similarity.growing import Growing
from rlem.similarity.term import Ints, Proposer, Term, strip

DECIMALS = 9
"""Scores are rounded so far: the order of a summation must never decide a rank."""

EXACT_LIMIT = 100_000
"""An index of more slots is searched by candidates."""

_WANTED_AT_LEAST = 10

_WIDER = (1, 4, 16)
"""How many times as many are proposed, one after the other, while a rare page type is hardly among them."""


class SimilarityIndex:
    """Slots of situations under one similarity. Equal texts share a row of a term's bank.

        s(q, i) = sum_j w_j f_j(q, i) / sum_j w_j,   rounded to 9 decimals

    A query costs work in Python by its own features only, whatever the number of slots. ``static``: the
    score of two situations does not depend on what else is stored (see ``Feature.bank``).
    Not thread-safe, except ``features_of``; its owner locks.

    >>> from rlem.similarity.config import webshop
    >>> index = SimilarityIndex(webshop())
    >>> index.add(0, Situation(task="a red kettle", observation="", actions=("search[<words>]",)))
    >>> index.scores(Situation(task="a red kettle", observation="", actions=("click[buy now]",)))[0]
    np.float64(0.5)
    """

    def __init__(self, similarity: Similarity, *, static: bool = False) -> None:
        total = sum(weight for weight, _ in similarity.terms)
        if not similarity.terms or not all(weight > 0 for weight, _ in similarity.terms):
            raise UsageError(f"a similarity needs terms, all of positive weight; got {similarity.terms!r}")
        self._similarity = similarity
        self._terms = [Term(weight / total, feature, static) for weight, feature in similarity.terms]
        self._used = Growing(np.bool_)
        self._count = 0
        self._best_from = EXACT_LIMIT

    @property
    def similarity(self) -> Similarity:
        """What it scores by."""
        return self._similarity

    @property
    def capacity(self) -> int:
        """The highest slot ever used plus one; the length of ``scores``."""
        return self._used.size

    @property
    def best_from(self) -> int:
        """More slots than so many are searched by candidates; lower it to see how well that works."""
        return self._best_from

    @best_from.setter
    def best_from(self, slots: int) -> None:
        self._best_from = slots
        for term in self._terms:
            term.search_from(slots)

    def __len__(self) -> int:
        """Used slots."""
        return self._count

    def features_of(self, situation: Situation) -> dict[str, bytes]:
        """Features by fingerprint, as they may be stored. Those of recent texts are remembered."""
        return {term.fingerprint: term.features_of([situation])[0][1] for term in self._terms}

    def add(self, slot: int, situation: Situation, features: Mapping[str, bytes] | None = None) -> None:
        """Fills a free slot. ``features``: stored ones by fingerprint; missing ones are made.

        Errors: UsageError for a negative slot or one in use.
        """
        self.add_many([slot], [situation], [features or {}])

    def add_many(
        self,
        slots: Sequence[int],
        situations: Sequence[Situation],
        features: Sequence[Mapping[str, bytes]] | None = None,
    ) -> None:
        """Fills free slots; missing features are made in one batch. All slots are filled or none."""
        stored = features if features is not None else [{}] * len(slots)
        if not len(slots) == len(situations) == len(stored):
            raise UsageError(
                f"add_many: {len(slots)} slots, {len(situations)} situations and {len(stored)} features; "
                "there must be as many of each"
            )
        self._check_free(slots)
        made = [term.features_of(situations, stored) for term in self._terms]
        for term, blobs in zip(self._terms, made, strict=True):
            for slot, (key, blob) in zip(slots, blobs, strict=True):
                term.add(slot, key, blob)
        for slot in slots:
            self._used.reach(slot + 1)
            self._used.view[slot] = True
        self._count += len(slots)

    def remove(self, slot: int) -> None:
        """Frees a slot. Errors: UsageError if it is free already."""
        if not (0 <= slot < self.capacity and self._used.view[slot]):
            raise UsageError(f"slot {slot} is free; only a used one can be removed")
        for term in self._terms:
            term.remove(slot)
        self._used.view[slot] = False
        self._count -= 1

    def scores(self, query: Situation) -> Scores:
        """Similarity of the query to every slot, shape (capacity,), in [0, 1]; -1 in free slots."""
        if not self._count:
            return np.full(self.capacity, -1.0)
        # A free slot has row -1: any value will do, it is overwritten below.
        total = self._sum(
            (term.scores(query) * term.weight).take(term.rows, mode="clip") for term in self._terms
        )
        if self._count < self.capacity:
            total[~self._used.view] = -1.0
        return total

    def scores_of(self, query: Situation, slots: Ints) -> Scores:
        """Similarity of the query to these used slots: bit for bit ``scores(query)[slots]``."""
        return self._sum(term.scores_of(query, slots) * term.weight for term in self._terms)

    def candidates(self, query: Situation, wanted: int, propose: Proposer | None = None) -> Ints | None:
        """Slots that very likely hold the ``wanted`` most similar ones, to be scored by ``scores_of``.

        ``propose`` goes before the index's own way to find them. None: score all, because there are no more
        than ``best_from`` or no term can tell.
        """
        if self._count <= self.best_from:
            return None
        proposed = np.zeros(self.capacity, bool)
        least = max(wanted, _WANTED_AT_LEAST)
        for factor in _WIDER:
            found = [term.candidates(query, factor * least, propose) for term in self._terms]
            if all(slots is None for slots in found):
                return None
            proposed[np.concatenate([slots for slots in found if slots is not None])] = True
            slots = np.flatnonzero(proposed)
            if all(term.met_by(query, slots, 2 * wanted) for term in self._terms):
                break
        return slots

    def parts(self, query: Situation, slot: int) -> dict[str, float]:
        """The score of each feature by name (a second feature of one name gets "name 2").

        Errors: UsageError if the slot is free.
        """
        if not (0 <= slot < self.capacity and self._used.view[slot]):
            raise UsageError(f"slot {slot} is free; only a used one has parts")
        parts: dict[str, float] = {}
        for term in self._terms:
            name, copies = term.feature.name, 1
            while name in parts:
                copies += 1
                name = f"{term.feature.name} {copies}"
            parts[name] = round(float(term.scores_of(query, np.array([slot]))[0]), DECIMALS)
        return parts

    def holds(self, fingerprint: str, name: bytes) -> bool:
        """Whether a text of that digest is in the index, under the feature of that fingerprint."""
        return any(term.fingerprint == fingerprint and term.holds(name) for term in self._terms)

    def dump(self) -> dict[str, NDArray[Any]]:
        """Everything but the settings, as named arrays; they are valid until the next change."""
        parts = {"used": self._used.view}
        for place, term in enumerate(self._terms):
            parts |= {f"{place}/{name}": array for name, array in term.dump().items()}
        return parts

    def load(self, parts: Mapping[str, NDArray[Any]]) -> None:
        """Fills an empty index of the same similarity with what ``dump`` gave; nothing is encoded anew.

        Errors: UsageError if the index is not empty.
        """
        if self.capacity:
            raise UsageError(
                f"load: the index has {self.capacity} slots already; only an empty one can be filled"
            )
        self._used.replace(parts["used"])
        self._count = int(np.count_nonzero(self._used.view))
        for place, term in enumerate(self._terms):
            term.load(strip(parts, f"{place}/"))

    def _sum(self, weighted: Iterable[Scores]) -> Scores:
        """The sum, rounded and cut to [0, 1]."""
        total: Scores = functools.reduce(_add, weighted)
        np.round(total, DECIMALS, out=total)
        return np.clip(total, 0.0, 1.0, out=total)

    def _check_free(self, slots: Sequence[int]) -> None:
        if len(set(slots)) < len(slots):
            raise UsageError(f"slots {list(slots)!r}: each may be named once")
        for slot in slots:
            if slot < 0 or (slot < self.capacity and self._used.view[slot]):
                problem = "negative" if slot < 0 else "in use"
                raise UsageError(f"slot {slot} is {problem}; only a free one can be filled")


def _add(total: Scores, part: Scores) -> Scores:
    total += part
    return total
