"""What a memory file is set up to do: learning, similarity, capacity. Stored inside the file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from rlem.core.errors import DataError, UsageError
from rlem.similarity.base import Similarity
from rlem.similarity.config import default, similarity_from_config, similarity_to_config
from rlem.values import ValueConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryConfig:
    """Settings of one memory.

    ``max_experiences`` and ``max_actions`` bound what is derived (None: unbounded); the paper ran with
    500 and 20. The log is never cut by them.
    """

    values: ValueConfig = field(default_factory=ValueConfig)
    similarity: Similarity = field(default_factory=default)
    max_experiences: int | None = None
    max_actions: int | None = None

    def __post_init__(self) -> None:
        for name in ("max_experiences", "max_actions"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise UsageError(f"{name}={value} is not possible: it must be None or at least 1")

    def to_json(self) -> dict[str, Any]:
        """A JSON object that ``from_json`` turns back into an equal config."""
        return {
            "values": asdict(self.values),
            "similarity": similarity_to_config(self.similarity),
            "max_experiences": self.max_experiences,
            "max_actions": self.max_actions,
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
            )
        except (KeyError, TypeError) as error:
            raise DataError(f"the memory's stored settings cannot be read: {error!r}") from error
