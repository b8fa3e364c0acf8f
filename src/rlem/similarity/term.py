"""One term of a similarity index: the rows of its unique texts, and which slots show them."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rlem.core.errors import DataError
from rlem.core.types import Situation
from rlem.similarity.base import Feature, Scores
from rlem.similarity.fields import digest
from rlem.similarity.growing import Growing

Ints = NDArray[np.int64]

Proposer = Callable[[str, bytes, int], Sequence[bytes] | None]
"""Chooses candidates in place of a bank: of a feature's fingerprint, the query's features and how many texts
are wanted it gives digests of texts; None: the bank must."""

OVER_FETCH = 40
"""Texts that a term proposes for a slot that is wanted, where its bank names no number of its own: measured
by bench/search.py."""

_RECENT_TEXTS = 1024
_DIGEST_BYTES = 16

_CLASSES = 64
"""Up to so many rows are taken for classes (page types), each shown by many slots."""

_SLOTS_OF_A_ROW = 64
"""A text that more slots share (a start page) gives only its newest ones as candidates."""


class Term:
    """A feature with its weight, its bank, the row of each slot, and the slots of each row.

    The slots of a row are linked to a chain, newest first: slots come and go without sorting anything.
    Not thread-safe, except ``features_of``; its owner locks.
    """

    def __init__(self, weight: float, feature: Feature, static: bool) -> None:
        self.weight = weight
        self.feature = feature
        self.fingerprint = feature.fingerprint
        self._bank = feature.bank(static=static)
        self._usual_from: int | None = getattr(self._bank, "best_from", None)
        self.over_fetch: int = getattr(self._bank, "over_fetch", OVER_FETCH)
        self._row_of: dict[bytes, int] = {}
        self._free: list[int] = []
        self._recent = _Recent()
        self._last: tuple[bytes, Scores] | None = None
        self._asked: tuple[Situation, bytes] | None = None
        # by slot, -1 where there is none
        self._rows, self._next, self._before = (Growing(np.int64, fill=-1) for _ in range(3))
        # by row
        self._first = Growing(np.int64, fill=-1)
        self._digests = Growing(np.uint8, width=_DIGEST_BYTES)
        self._place = Growing(np.int64)  # of a row among those asked for; only valid within one question
        self._arrays = {
            "rows": self._rows,
            "next": self._next,
            "before": self._before,
            "first": self._first,
            "digests": self._digests,
        }

    @property
    def rows(self) -> Ints:
        """Row of each slot, -1 in free ones."""
        return self._rows.view

    def features_of(
        self, situations: Sequence[Situation], stored: Sequence[Mapping[str, bytes]] | None = None
    ) -> list[tuple[bytes, bytes]]:
        """Digest of each text, and its features: stored, else remembered, else made in one call."""
        texts = [self.feature.text_of(situation) for situation in situations]
        keys = [digest(text, _DIGEST_BYTES) for text in texts]
        found: dict[bytes, bytes] = {}
        missing: dict[bytes, str] = {}
        for number, (key, text) in enumerate(zip(keys, texts, strict=True)):
            blob = stored[number].get(self.fingerprint) if stored is not None else None
            blob = self._recent.get(key) if blob is None else blob
            if blob is not None:
                found[key] = blob
            elif key not in found:
                missing[key] = text
        missing = {key: text for key, text in missing.items() if key not in found}
        if missing:
            if self.feature.fingerprint != self.fingerprint:
                raise DataError(
                    f"the similarity {self.fingerprint} has become {self.feature.fingerprint} while it was "
                    "in use: close the memory and open it again, and it is derived anew"
                )
            found.update(zip(missing, self.feature.encode(list(missing.values())), strict=True))
        self._recent.update(found.items())
        return [(key, found[key]) for key in keys]

    def add(self, slot: int, key: bytes, features: bytes) -> None:
        """Puts the row of a text into a slot."""
        row = self._row_of.get(key)
        if row is None:
            row = self._free.pop() if self._free else self._first.size
            self._bank.add(row, features)
            self._row_of[key] = row
            for array in (self._first, self._digests, self._place):
                array.reach(row + 1)
            self._digests.view[row] = np.frombuffer(key, np.uint8)
            self._last = None
        for array in (self._rows, self._next, self._before):
            array.reach(slot + 1)
        after = self._first.view[row]
        if after >= 0:
            self._before.view[after] = slot
        self._rows.view[slot] = row
        self._next.view[slot] = after
        self._first.view[row] = slot

    def remove(self, slot: int) -> None:
        """Empties a slot, and its row with the last slot."""
        row, before, after = (int(array.view[slot]) for array in (self._rows, self._before, self._next))
        if before >= 0:
            self._next.view[before] = after
        else:
            self._first.view[row] = after
        if after >= 0:
            self._before.view[after] = before
        for array in (self._rows, self._next, self._before):
            array.view[slot] = -1
        if self._first.view[row] < 0:
            self._bank.remove(row)
            del self._row_of[self._digests.view[row].tobytes()]
            self._free.append(row)
            self._last = None

    def scores(self, query: Situation) -> Scores:
        """Similarity to every row. Kept until the text asked or a row changes: tasks last an episode."""
        features = self._features(query)
        if self._last is None or self._last[0] != features:
            self._last = (features, self._bank.scores(features))
        return self._last[1]

    def scores_of(self, query: Situation, slots: Ints) -> Scores:
        """Similarity to these slots, each row scored once."""
        rows = self._rows.view[slots]
        features = self._features(query)
        known = self._last is not None and self._last[0] == features
        if known or len(slots) >= self._first.size:
            taken: Scores = self.scores(query)[rows]
            return taken
        places = np.arange(len(rows))
        self._place.view[rows] = places
        place = self._place.view[rows]
        once = place == places
        scores: Scores = self._bank.scores_of(features, rows[once])[(np.cumsum(once) - 1)[place]]
        return scores

    def search_from(self, rows: int) -> None:
        """Lets the bank look for candidates from so many rows on, if it would begin later."""
        if self._usual_from is not None:
            self._bank.best_from = min(self._usual_from, rows)  # type: ignore[attr-defined]

    def holds(self, key: bytes) -> bool:
        """Whether the text of that digest has a row."""
        return key in self._row_of

    def candidates(self, query: Situation, wanted: int, propose: Proposer | None = None) -> Ints | None:
        """Slots of the rows that propose themselves for ``wanted`` slots: of a number of the best ones.

        ``propose`` goes before the bank. None if the feature only tells a few classes apart.
        """
        if self._few:
            return None
        wanted = min(wanted * self.over_fetch, self._first.size // 8)
        features = self._features(query)
        names = propose(self.fingerprint, features, wanted) if propose is not None else None
        if names is not None:
            rows: Ints | None = np.array([self._row_of[n] for n in names if n in self._row_of], np.int64)
        else:
            rows = self._bank.best(features, wanted)
        if rows is None:
            rows = np.argpartition(-self._used_scores(query), wanted)[:wanted]
        found, slots = [], self._first.view[rows]
        for _ in range(_SLOTS_OF_A_ROW):
            slots = slots[slots >= 0]
            if not len(slots):
                break
            found.append(slots)
            slots = self._next.view[slots]
        return np.concatenate([np.zeros(0, np.int64), *found])

    def met_by(self, query: Situation, slots: Ints, wanted: int) -> bool:
        """Whether so many of these slots are of the best class; True if there are no classes."""
        if not self._few:
            return True
        scores = self._used_scores(query)
        return int(np.count_nonzero(scores[self._rows.view[slots]] >= scores.max())) >= wanted

    def dump(self) -> dict[str, NDArray[Any]]:
        """Everything as named arrays."""
        parts = {name: array.view for name, array in self._arrays.items()}
        return parts | {f"bank/{name}": array for name, array in self._bank.dump().items()}

    def load(self, parts: Mapping[str, NDArray[Any]]) -> None:
        """Fills an empty term with what ``dump`` gave."""
        for name, array in self._arrays.items():
            array.replace(parts[name])
        self._place.reach(self._first.size)
        used = self._first.view >= 0
        self._free = np.flatnonzero(~used).tolist()
        raw = self._digests.view.tobytes()
        self._row_of = {
            raw[_DIGEST_BYTES * row : _DIGEST_BYTES * (row + 1)]: row for row in np.flatnonzero(used).tolist()
        }
        self._bank.load(strip(parts, "bank/"))

    @property
    def _few(self) -> bool:
        return self._first.size <= _CLASSES

    def _used_scores(self, query: Situation) -> Scores:
        """Scores of the rows, -1 in free ones."""
        return np.where(self._first.view >= 0, self.scores(query)[: self._first.size], -1.0)

    def _features(self, query: Situation) -> bytes:
        if self._asked is None or self._asked[0] is not query:  # one recall asks several times
            self._asked = (query, self.features_of([query])[0][1])
        return self._asked[1]


def strip(parts: Mapping[str, NDArray[Any]], prefix: str) -> dict[str, NDArray[Any]]:
    """The parts whose names begin so, without the beginning."""
    return {name.removeprefix(prefix): part for name, part in parts.items() if name.startswith(prefix)}


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
