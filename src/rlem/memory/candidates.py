"""What a store can do besides: choose candidates for recall itself, where it has an index of vectors."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

DENSE = "embedding:"
"""Fingerprints of features that are vectors (16-bit whole numbers, compared by cosine) start so."""


@runtime_checkable
class CandidateStore(Protocol):
    """A store that finds near vectors among the features it keeps. Scores are for the caller to compute."""

    def nearest(self, fingerprint: str, features: bytes, wanted: int) -> list[bytes] | None:
        """Digests of the texts whose vectors have about the greatest cosine to this one, best first, at
        most ``wanted``; None where the store cannot tell faster than by looking at all."""
        ...
