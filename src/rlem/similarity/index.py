"""The situations of a memory in slots, scored all at once against a query."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from rlem.core.errors import UsageError
from rlem.core.types import Situation
from rlem.similarity.base import Feature, Scores, Similarity
from rlem.similarity.fields import digest
from rlem.similarity.growing import Growing

DECIMALS = 9
"""Scores are rounded so far: the order of a summation must never decide a rank."""

_RECENT_TEXTS = 1024


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
        self._terms = [_Term(weight / total, feature, static) for weight, feature in similarity.terms]
        self._used = Growing(np.bool_)
        self._count = 0
        self._last: tuple[str, list[Scores]] | None = None

    @property
    def similarity(self) -> Similarity:
        """What it scores by."""
        return self._similarity

    @property
    def capacity(self) -> int:
        """The highest slot ever used plus one; the length of ``scores``."""
        return self._used.size

    def __len__(self) -> int:
        """Used slots."""
        return self._count

    def features_of(self, situation: Situation) -> dict[str, bytes]:
        """Features by fingerprint, as they may be stored. Those of recent texts are remembered."""
        return {term.feature.fingerprint: term.features_of([situation])[0] for term in self._terms}

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
            for slot, situation, blob in zip(slots, situations, blobs, strict=True):
                term.add(slot, situation, blob)
        for slot in slots:
            self._used.reach(slot + 1)
            self._used.view[slot] = True
        self._count += len(slots)
        self._last = None

    def remove(self, slot: int) -> None:
        """Frees a slot. Errors: UsageError if it is free already."""
        if not (0 <= slot < self.capacity and self._used.view[slot]):
            raise UsageError(f"slot {slot} is free; only a used one can be removed")
        for term in self._terms:
            term.remove(slot)
        self._used.view[slot] = False
        self._count -= 1
        self._last = None

    def scores(self, query: Situation) -> Scores:
        """Similarity of the query to every slot, shape (capacity,), in [0, 1]; -1 in free slots."""
        if not self._count:
            return np.full(self.capacity, -1.0)
        rows_of_terms = self._row_scores(query)
        total = np.zeros(self.capacity)
        for term, rows in zip(self._terms, rows_of_terms, strict=True):
            # A free slot holds row -1: any value will do, it is overwritten below.
            total += (rows * term.weight)[term.rows]
        np.round(total, DECIMALS, out=total)
        np.clip(total, 0.0, 1.0, out=total)
        if self._count < self.capacity:
            total[~self._used.view] = -1.0
        return total

    def parts(self, query: Situation, slot: int) -> dict[str, float]:
        """The score of each feature by name (a second feature of one name gets "name 2").

        Errors: UsageError if the slot is free.
        """
        if not (0 <= slot < self.capacity and self._used.view[slot]):
            raise UsageError(f"slot {slot} is free; only a used one has parts")
        parts: dict[str, float] = {}
        for term, rows in zip(self._terms, self._row_scores(query), strict=True):
            name, copies = term.feature.name, 1
            while name in parts:
                copies += 1
                name = f"{term.feature.name} {copies}"
            parts[name] = round(float(rows[term.rows[slot]]), DECIMALS)
        return parts

    def _row_scores(self, query: Situation) -> list[Scores]:
        """Scores of the rows of each term; kept until the next query or change, for ``parts``."""
        if self._last is None or self._last[0] != query.key:
            self._last = (query.key, [term.bank.scores(term.features_of([query])[0]) for term in self._terms])
        return self._last[1]

    def _check_free(self, slots: Sequence[int]) -> None:
        if len(set(slots)) < len(slots):
            raise UsageError(f"slots {list(slots)!r}: each may be named once")
        for slot in slots:
            if slot < 0 or (slot < self.capacity and self._used.view[slot]):
                problem = "negative" if slot < 0 else "in use"
                raise UsageError(f"slot {slot} is {problem}; only a free one can be filled")


class _Term:
    """One feature: its bank, the rows of its unique texts with their reference counts, slot to row."""

    def __init__(self, weight: float, feature: Feature, static: bool) -> None:
        self.weight = weight
        self.feature = feature
        self.bank = feature.bank(static=static)
        self._slots = Growing(np.int64, fill=-1)
        self._row_of: dict[bytes, int] = {}
        self._text_of: list[bytes] = []
        self._references: list[int] = []
        self._free: list[int] = []
        self._recent = _Recent()

    @property
    def rows(self) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        """Row of each slot, -1 in free ones."""
        return self._slots.view

    def features_of(
        self, situations: Sequence[Situation], stored: Sequence[Mapping[str, bytes]] | None = None
    ) -> list[bytes]:
        """Features of each situation: stored, else remembered, else made in one call."""
        fingerprint = self.feature.fingerprint
        found: list[bytes | None] = []
        missing: dict[bytes, str] = {}
        keys: list[bytes] = []
        for number, situation in enumerate(situations):
            blob = stored[number].get(fingerprint) if stored is not None else None
            key = b""
            if blob is None:
                text = self.feature.text_of(situation)
                key = digest(text)
                blob = self._recent.get(key)
                if blob is None:
                    missing[key] = text
            found.append(blob)
            keys.append(key)
        made = dict(zip(missing, self.feature.encode(list(missing.values())), strict=True)) if missing else {}
        self._recent.update(made.items())
        return [made[key] if blob is None else blob for key, blob in zip(keys, found, strict=True)]

    def add(self, slot: int, situation: Situation, features: bytes) -> None:
        """Puts the row of the situation's text into the slot."""
        text = digest(self.feature.text_of(situation))
        row = self._row_of.get(text)
        if row is None:
            row = self._free.pop() if self._free else len(self._references)
            self.bank.add(row, features)
            self._row_of[text] = row
            if row == len(self._references):
                self._references.append(0)
                self._text_of.append(text)
            self._text_of[row] = text
        self._references[row] += 1
        self._slots.reach(slot + 1)
        self._slots.view[slot] = row

    def remove(self, slot: int) -> None:
        """Empties the slot and frees its row with the last reference."""
        row = int(self._slots.view[slot])
        self._slots.view[slot] = -1
        self._references[row] -= 1
        if self._references[row] == 0:
            self.bank.remove(row)
            del self._row_of[self._text_of[row]]
            self._free.append(row)


class _Recent:
    """Features of the texts seen last: a query's task text is encoded once an episode."""

    def __init__(self) -> None:
        self._entries: OrderedDict[bytes, bytes] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: bytes) -> bytes | None:
        """The entry, now the most recent one."""
        with self._lock:
            if key in self._entries:
                self._entries.move_to_end(key)
            return self._entries.get(key)

    def update(self, entries: Iterable[tuple[bytes, bytes]]) -> None:
        """Adds entries and drops the least recent ones."""
        with self._lock:
            for key, value in entries:
                self._entries[key] = value
            while len(self._entries) > _RECENT_TEXTS:
                self._entries.popitem(last=False)
