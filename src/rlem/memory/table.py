"""The derived state of a memory: experiences in slots, their search index, and the learning that fills them.

The table of a large memory does not hold its experiences, only what searching them needs; an experience is
loaded when somebody looks at it. Two tables fed the same episodes under the same config are equal, whatever
was fed and taken back before.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from rlem.core.types import Episode, Situation
from rlem.memory.capacity import fixed_bytes, learned_bytes, prune
from rlem.memory.config import MemoryConfig
from rlem.memory.entry import Entry, pack, unpack
from rlem.memory.eviction import Eviction, Lesson, worth
from rlem.memory.experience import Experience
from rlem.memory.images import chunks
from rlem.memory.learner import Learner
from rlem.memory.store import Derived
from rlem.similarity.growing import Growing
from rlem.similarity.index import SimilarityIndex
from rlem.similarity.term import Proposer


class FeatureSource(Protocol):
    """Gives features of situations, by fingerprint."""

    def __call__(
        self, index: SimilarityIndex, situations: Sequence[Situation], *, stored: bool
    ) -> Sequence[Mapping[str, bytes]]:
        """Those of each; what is missing the index makes. ``stored``: they are likely to be stored."""
        ...


Loader = Callable[[Collection[str]], Iterable[Derived]]
"""Fetches experiences by their keys from where they are kept."""

MOST_LOADED = 20_000
"""So many experiences that could be loaded again are held at most."""

_BATCH = 500
_BLOCK = 64


class ExperienceTable:
    """Experiences by key, their similarity index, and the learner that fills them. Not thread-safe."""

    def __init__(
        self,
        config: MemoryConfig,
        features: FeatureSource | None = None,
        load: Loader = lambda keys: (),
        propose: Proposer | None = None,
    ) -> None:
        self.config = config
        self.index = SimilarityIndex(config.similarity)
        self.learner = Learner(config, self)
        self.changed: dict[str, Situation] = {}
        """Situations by key of what changed, appeared or went since ``saved``."""
        self._features = features
        self._load = load
        self._propose = propose
        self._slot_of: dict[str, int] = {}
        self._key_of: list[str] = []  # by slot; "" in free ones
        self._free: list[int] = []
        self._loaded: dict[int, Entry] = {}  # by slot
        self._samples = Growing(np.int64)
        self._key_rank = Growing(np.uint64)
        self._ages = Growing(np.int64)
        self._age = 0
        self._fixed, self._learned = Growing(np.int64), Growing(np.int64)  # bytes, where they are bounded
        self._visited: dict[str, Entry] = {}  # in the episode that is being learned
        self._eviction: Eviction | None = None  # made when the table first overflows

    def __len__(self) -> int:
        return len(self._slot_of)

    def __contains__(self, key: str) -> bool:
        return key in self._slot_of

    # -- reading -------------------------------------------------------------------------------------

    def keys(self) -> Collection[str]:
        """Keys of all experiences."""
        return self._slot_of.keys()

    def entry(self, key: str) -> Entry | None:
        """The experience of a key."""
        slot = self._slot_of.get(key)
        if slot is None:
            return None
        if slot not in self._loaded:
            self.fill(self._load([key]))
        return self._loaded[slot]

    def experiences(self, keys: Iterable[str] | None = None) -> Iterator[Experience]:
        """Snapshots of these experiences, or of all, in order of their keys. They do not stay loaded."""
        for chunk in chunks(sorted(self._slot_of if keys is None else keys), _BATCH):
            missing = [key for key in chunk if self._slot_of[key] not in self._loaded]
            fetched = {s.key: unpack(s, state)[0] for s, state in self._load(missing) if state is not None}
            for key in chunk:
                yield (self._loaded.get(self._slot_of[key]) or fetched[key]).experience()

    def search(self, query: Situation, k: int) -> list[tuple[str, float, int]]:
        """Key, score and slot of the k most similar experiences.

        Order: similarity, then samples, then content key (insertion order under compat="reference").
        """
        k = min(k, len(self))
        if k < 1:
            return []
        slots = self.index.candidates(query, k, self._propose)
        if slots is None or len(slots) < k:
            scores = self.index.scores(query)
            slots = self._best(scores, k)
            scores = scores[slots]
        else:
            scores = self.index.scores_of(query, slots)
        order = self._order(scores, slots)[:k]
        return [
            (self._key_of[slot], score, slot)
            for slot, score in zip(slots[order].tolist(), scores[order].tolist(), strict=True)
        ]

    def _best(self, scores: NDArray[np.float64], k: int) -> NDArray[np.int64]:
        """Slots of the k best scores, with all that equal the last of them and perhaps a few more."""
        blocks = np.maximum.reduceat(scores, np.arange(0, len(scores), _BLOCK))
        bar = 0.0  # free slots have -1
        if len(blocks) > k:  # k blocks hold a score of at least this one
            bar = max(bar, float(np.partition(blocks, len(blocks) - k)[len(blocks) - k]))
        return np.flatnonzero(scores >= bar)

    def _order(self, scores: NDArray[np.float64], slots: NDArray[np.int64]) -> NDArray[np.int64]:
        last = (self._ages if self._reference else self._key_rank).view[slots]
        return np.lexsort((last, -self._samples.view[slots], -scores))

    def loaded(self, slot: int) -> Entry:
        """The experience in a slot, which must be loaded."""
        return self._loaded[slot]

    def has_loaded(self, key: str) -> bool:
        """Whether the experience of that key is loaded."""
        return self._slot_of.get(key) in self._loaded

    def missing(self, found: Iterable[tuple[str, float, int]]) -> list[str]:
        """Which of the experiences found are not loaded."""
        return [key for key, _, slot in found if slot not in self._loaded]

    def fill(self, items: Iterable[Derived]) -> None:
        """Loads experiences. ValueError, TypeError or LookupError if one is damaged."""
        for situation, state in items:
            slot = self._slot_of.get(situation.key)
            if slot is not None and state is not None:
                self._loaded.setdefault(slot, unpack(situation, state)[0])

    def nearest(self, situation: Situation, wanted: Callable[[Entry], float | None]) -> float | None:
        """What ``wanted`` says of the most similar experience of which it says anything."""
        if not self._slot_of:
            return None
        scores = self.index.scores(situation)
        looked = 0
        while looked < len(self):
            slots = self._best(scores, 8 * looked + 1)
            slots = slots[self._order(scores[slots], slots)]
            for slot in slots[looked:].tolist():
                entry = self.entry(self._key_of[slot])
                known = wanted(entry) if entry else None
                if known is not None:
                    return known
            looked = len(slots)
        return None

    # -- learning ------------------------------------------------------------------------------------

    def learn(self, episode: Episode) -> None:
        """Learns one episode, the next one in canonical order."""
        self._visited.clear()
        self.learner.learn(episode)
        if self._bounded and not self._reference:
            self._bound()

    def relearn(self, situations: Collection[Situation], episodes: Iterable[Episode]) -> None:
        """Makes these experiences anew from all the episodes that visited one of them, in canonical order.

        Only where learning is local and nothing is evicted (``incremental``).
        """
        # Not from the store: with a deleted episode went the experiences that only it gave.
        keys = {situation.key for situation in situations}
        for situation in situations:
            if situation.key in self._slot_of:
                self._loaded[self._slot_of[situation.key]] = Entry(situation)
                self.touch(self._loaded[self._slot_of[situation.key]])
        for episode in episodes:
            self.learner.learn(episode, only=keys)
        for key in keys:
            entry = self.entry(key)
            if entry is not None and not entry.visits:
                self._remove(entry.situation)

    @property
    def incremental(self) -> bool:
        """Whether an episode can be taken out, or put in before others, without replaying them all."""
        return self.learner.local and not self._bounded

    @property
    def _bounded(self) -> bool:
        config = self.config
        return not (config.max_experiences is config.max_actions is config.max_bytes is None)

    @property
    def _reference(self) -> bool:
        return self.config.values.compat == "reference"

    def insert(self, situation: Situation) -> Entry:
        """A new, empty experience."""
        features = self._features_of([situation], stored=False)[0]
        slot = self._take_slot(situation.key, self._age)
        self._age += 1
        self.index.add(slot, situation, features)
        self._weigh(slot, situation, features)
        entry = self._loaded[slot] = Entry(situation)
        return entry

    def touch(self, entry: Entry) -> None:
        """Notes that an experience was changed."""
        key = entry.situation.key
        entry.snapshot = None
        self._samples.view[self._slot_of[key]] = entry.samples
        self.changed[key] = entry.situation
        self._visited[key] = entry

    # -- capacity ------------------------------------------------------------------------------------

    @property
    def size_bytes(self) -> int:
        """Size of all experiences as ``MemoryConfig.max_bytes`` counts it; 0 where that is not set."""
        return int(self._fixed.view.sum() + self._learned.view.sum())

    def _bound(self) -> None:
        """Brings the table back to its capacities after an episode."""
        for key in sorted(self._visited):
            entry = self._visited[key]
            prune(entry, self.config)
            self.touch(entry)
            if self.config.max_bytes is not None:
                self._learned.view[self._slot_of[key]] = learned_bytes(entry)
            if self._eviction is not None:
                self._teach(self._eviction, entry)
        while self._is_overfull():
            if self._eviction is None:
                self._eviction = Eviction(self.config.similarity)
                for key in self._slot_of:
                    if (known := self.entry(key)) is not None:
                        self._teach(self._eviction, known)
            evicted = self.entry(self._key_of[self._eviction.choose()])
            assert evicted is not None
            self._remove(evicted.situation)

    def _is_overfull(self) -> bool:
        most, most_bytes = self.config.max_experiences, self.config.max_bytes
        return (most is not None and len(self) > most) or (
            most_bytes is not None and self.size_bytes > most_bytes
        )

    def _teach(self, eviction: Eviction, entry: Entry) -> None:
        """Tells eviction what there is to know about an experience now."""
        # What nobody verified is no reason to keep an experience, or claims would drive out knowledge.
        best = max(entry.actions.values(), key=lambda stats: worth(stats.verified))
        lesson = Lesson(action=best.action, worth=worth(best.verified), last=entry.last_visit)
        slot = self._slot_of[entry.situation.key]
        if slot in eviction:
            eviction.learned(slot, lesson)
        else:
            features = self._features_of([entry.situation], stored=True)[0]
            eviction.add(slot, entry.situation, features, lesson)

    def _weigh(self, slot: int, situation: Situation, features: Mapping[str, bytes]) -> None:
        """Notes the bytes of a new experience."""
        if self.config.max_bytes is not None:
            self._fixed.view[slot] = fixed_bytes(situation, features or self.index.features_of(situation))

    def _features_of(self, situations: Sequence[Situation], *, stored: bool) -> Sequence[Mapping[str, bytes]]:
        if self._features is None or not situations:
            return [{}] * len(situations)
        return self._features(self.index, situations, stored=stored)

    # -- slots ---------------------------------------------------------------------------------------

    def _take_slot(self, key: str, age: int) -> int:
        slot = self._free.pop() if self._free else len(self._key_of)
        if slot == len(self._key_of):
            self._key_of.append("")
        for array in (self._samples, self._key_rank, self._ages, self._fixed, self._learned):
            array.reach(slot + 1)
        self._slot_of[key] = slot
        self._key_of[slot] = key
        self._samples.view[slot] = 0
        self._key_rank.view[slot] = int(key[:16], 16)
        self._ages.view[slot] = age
        return slot

    def _remove(self, situation: Situation) -> None:
        slot = self._slot_of.pop(situation.key)
        self._key_of[slot] = ""
        self._loaded.pop(slot, None)
        self.index.remove(slot)
        self._free.append(slot)
        self._fixed.view[slot] = self._learned.view[slot] = 0
        if self._eviction is not None:
            self._eviction.remove(slot)
        self.changed[situation.key] = situation

    # -- persistence ---------------------------------------------------------------------------------

    def changes(self) -> Iterator[Derived]:
        """What changed since ``saved``, in order of the keys, as a store keeps it."""
        for key in sorted(self.changed):
            slot = self._slot_of.get(key)
            if slot is None:
                yield self.changed[key], None
            else:
                yield self.changed[key], pack(self._loaded[slot], int(self._ages.view[slot]))

    def saved(self) -> None:
        """What changed is where it can be loaded from: it need not be held any more."""
        self.changed.clear()
        self.trim()

    def trim(self) -> None:
        """Lets go of experiences that were loaded long ago, where too many are held."""
        if len(self._loaded) > MOST_LOADED + len(self.changed):
            old = [slot for slot in self._loaded if self._key_of[slot] not in self.changed]
            for slot in old[: len(old) - MOST_LOADED // 2]:
                del self._loaded[slot]

    def restore(self, items: Iterable[Derived]) -> None:
        """Puts experiences as they are kept in place of those that the table has of their keys.

        ValueError, TypeError or LookupError if one is damaged.
        """
        self._eviction = None
        for batch in chunks(items, _BATCH):
            slots, situations = [], []
            for situation, state in batch:
                present = situation.key in self._slot_of
                if state is None:
                    if present:
                        self._remove(situation)
                    continue
                entry, age = unpack(situation, state)
                slot = self._slot_of[situation.key] if present else self._take_slot(situation.key, age)
                self._samples.view[slot] = entry.samples
                self._ages.view[slot] = age
                self._loaded.pop(slot, None)
                if self.config.max_bytes is not None:
                    self._learned.view[slot] = learned_bytes(entry)
                self._age = max(self._age, age + 1)
                if len(self._loaded) < MOST_LOADED:
                    self._loaded[slot] = entry
                if not present:
                    slots.append(slot)
                    situations.append(situation)
            features = self._features_of(situations, stored=True)
            self.index.add_many(slots, situations, features)
            for slot, situation, found in zip(slots, situations, features, strict=True):
                self._weigh(slot, situation, found)
        self.changed.clear()

    def image(self) -> dict[str, NDArray[Any]]:
        """All that searching needs, as arrays."""
        keys = "".join(key or "0" * 32 for key in self._key_of)
        arrays: dict[str, NDArray[Any]] = {
            "keys": np.frombuffer(bytes.fromhex(keys), np.uint8),
            "free": np.array(self._free, np.int64),
            "samples": self._samples.view,
            "ages": self._ages.view,
            "fixed": self._fixed.view,
            "learned": self._learned.view,
        }
        return {**arrays, **{f"index/{name}": array for name, array in self.index.dump().items()}}

    def load_image(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Fills an empty table with what ``image`` gave. ValueError or LookupError if it is damaged."""
        keys = arrays["keys"].tobytes().hex()
        self._key_of = [keys[start : start + 32] for start in range(0, len(keys), 32)]
        self._free = arrays["free"].tolist()
        for slot in self._free:
            self._key_of[slot] = ""
        self._slot_of = {key: slot for slot, key in enumerate(self._key_of) if key}
        if not len(self._key_of) == len(arrays["samples"]) == len(arrays["ages"]):
            raise ValueError("an image whose arrays are not of one length")
        self._samples.replace(arrays["samples"])
        self._ages.replace(arrays["ages"])
        self._fixed.replace(arrays["fixed"])
        self._learned.replace(arrays["learned"])
        self._key_rank.replace(arrays["keys"].view(">u8")[::2].astype(np.uint64))
        self._age = int(self._ages.view.max(initial=-1)) + 1
        prefix = "index/"
        self.index.load(
            {name.removeprefix(prefix): a for name, a in arrays.items() if name.startswith(prefix)}
        )
        if len(self.index) != len(self):
            raise ValueError("an image whose index has another number of experiences")
