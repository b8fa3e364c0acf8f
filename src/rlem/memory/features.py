"""Features of texts on their way between the similarity that makes them and the store that keeps them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from rlem.core.types import Episode, Situation
from rlem.memory.images import chunks
from rlem.memory.store import FeatureKey, Store
from rlem.similarity.base import Similarity
from rlem.similarity.fields import digest
from rlem.similarity.index import SimilarityIndex

_BATCH = 500


class FeatureBook:
    """Features under one similarity. ``new`` holds those that were made here and are not stored yet."""

    def __init__(self, store: Store, similarity: Similarity) -> None:
        self.new: dict[FeatureKey, bytes] = {}
        self._store = store
        self._features = [feature for _, feature in similarity.terms]
        self._fetched: dict[FeatureKey, bytes] = {}

    @property
    def fingerprints(self) -> set[str]:
        """Fingerprints of all features of the similarity."""
        return {feature.fingerprint for feature in self._features}

    def keys_of(self, situations: Iterable[Situation]) -> set[FeatureKey]:
        """What the features of these situations are kept under."""
        return {
            (feature.fingerprint, digest(feature.text_of(situation)))
            for situation in situations
            for feature in self._features
        }

    def of(
        self, index: SimilarityIndex, situations: Sequence[Situation], *, stored: bool
    ) -> list[dict[str, bytes]]:
        """Features of each situation, by fingerprint; what is not at hand is made.

        ``stored``: look it up in the store first. What is new is not there.
        """
        if stored:
            self.fetch(situations)
            self.make(situations)
        found: list[dict[str, bytes]] = []
        for situation in situations:
            features: dict[str, bytes] = {}
            made: Mapping[str, bytes] | None = None
            for feature in self._features:
                key = (feature.fingerprint, digest(feature.text_of(situation)))
                data = self._fetched.get(key, self.new.get(key))
                if data is None:
                    made = made or index.features_of(situation)
                    data = self.new[key] = made[feature.fingerprint]
                features[feature.fingerprint] = data
            found.append(features)
        return found

    def fetch(self, situations: Collection[Situation]) -> None:
        """Fetches what is stored of these, in place of what was fetched before."""
        self._fetched = {}
        for feature in self._features:
            names = list({digest(feature.text_of(situation)) for situation in situations})
            stored = self._store.features(feature.fingerprint, names)
            self._fetched.update(((feature.fingerprint, name), data) for name, data in stored.items())

    def make(self, situations: Collection[Situation]) -> int:
        """Makes what was not fetched of these, each text once; returns how many were made."""
        count = 0
        for feature in self._features:
            texts = {}
            for situation in situations:
                text = feature.text_of(situation)
                key = (feature.fingerprint, digest(text))
                if key not in self._fetched and key not in self.new:
                    texts[key] = text
            for batch in chunks(texts.items(), _BATCH):
                made = feature.encode([text for _, text in batch])
                self.new.update((key, data) for (key, _), data in zip(batch, made, strict=True))
            count += len(texts)
        return count


def situations_of(episodes: Iterable[Episode]) -> list[Situation]:
    """The situations that episodes left, each once."""
    return list(dict.fromkeys(t.situation for episode in episodes for t in episode.transitions))
