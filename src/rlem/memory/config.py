"""What a memory file is set up to do: learning, similarity, capacity. Stored inside the file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from rlem.core.errors import DataError, UnknownNameError, UsageError
from rlem.core.types import Episode, Trust
from rlem.memory.codec import TRUSTS
from rlem.similarity.base import Similarity
from rlem.similarity.config import default, similarity_from_config, similarity_to_config
from rlem.values import ValueConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryConfig:
    """Settings of one memory.

    ``max_experiences``, ``max_actions`` (of one experience) and ``max_bytes`` bound what is derived (None:
    unbounded); each given one holds. The paper ran with 500 and 20. The log is never cut by them.

    ``max_bytes`` bounds the sum over experiences of: UTF-8 bytes of their texts (situation, history,
    actions, reasons), bytes of their features, 8 for each number of their statistics. A text or feature
    that several share counts for each, so that the bound does not depend on how a store keeps them.
    Not with compat="reference", which knows no such bound.

    ``sources`` trusts whole sources less than their episodes say
    they are to be ("unverified", "quarantined"). ``max_influence`` in (0, 1] bounds the share of one advice
    that may come from any one source but the owner's own, which has the name ""; None: it is not bounded.
    """

    values: ValueConfig = field(default_factory=ValueConfig)
    similarity: Similarity = field(default_factory=default)
    max_experiences: int | None = None
    max_actions: int | None = None
    max_bytes: int | None = None
    sources: Mapping[str, Trust] = field(default_factory=dict)
    max_influence: float | None = None

    def __post_init__(self) -> None:
        for name in ("max_experiences", "max_actions", "max_bytes"):
            value = getattr(self, name)
            if value is not None and (not isinstance(value, int) or value < 1):
                raise UsageError(f"{name}={value!r} is not possible: it must be None or a number, at least 1")
        if self.max_bytes is not None and self.values.compat == "reference":
            raise UsageError(
                f"max_bytes={self.max_bytes} is not possible with compat='reference': leave it out, or bound "
                "the memory by max_experiences"
            )
        for source, trust in self.sources.items():
            if trust not in TRUSTS:
                raise UnknownNameError(f"trust of source {source!r}:", trust, TRUSTS)
        if self.max_influence is not None and not 0.0 < self.max_influence <= 1.0:
            raise UsageError(
                f"max_influence={self.max_influence} is not possible: it must be None or above 0, at most 1"
            )

    def trust_of(self, episode: Episode) -> Trust:
        """How far an episode is trusted: the lesser of its own trust and its source's."""
        return max(episode.trust, self.sources.get(episode.source, "verified"), key=TRUSTS.index)

    def to_json(self) -> dict[str, Any]:
        """A JSON object that ``from_json`` turns back into an equal config."""
        return {
            "values": asdict(self.values),
            "similarity": similarity_to_config(self.similarity),
            "max_experiences": self.max_experiences,
            "max_actions": self.max_actions,
            "max_bytes": self.max_bytes,
            "sources": dict(self.sources),
            "max_influence": self.max_influence,
        }

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> MemoryConfig:
        """The config of such an object."""
        try:
            return MemoryConfig(
                values=ValueConfig(**data["values"]),
                similarity=similarity_from_config(data["similarity"]),
                max_experiences=data["max_experiences"],
                max_actions=data["max_actions"],
                max_bytes=data.get("max_bytes"),
                sources=data.get("sources", {}),
                max_influence=data.get("max_influence"),
            )
        except (KeyError, TypeError) as error:
            raise DataError(f"the memory's stored settings cannot be read: {error!r}") from error
