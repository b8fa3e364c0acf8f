"""rlem: LLM agents that learn from their own past.

Reinforcement Learning with Experience Memory (Zhang et al., NeurIPS 2023) keeps experience outside the
model: a memory of (task, observation, action) -> Q value, learned from reward, shown to a frozen LLM as
encouraged and discouraged actions.

    >>> import rlem
    >>> memory = rlem.open(":memory:")
    >>> with memory.episode(task="buy a red kettle") as episode:
    ...     advice = episode.advise("a page with two buttons", ["click[buy]", "click[back]"])
    ...     episode.record("click[buy]", reward=1.0)
    >>> print(memory.recall(task="buy a blue kettle", observation="a page with two buttons")[0].best.action)
    click[buy]

Importing this package reads no file, prints nothing and loads nothing heavy.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rlem.api.episode import OpenEpisode
    from rlem.api.memory import Memory
    from rlem.api.opening import open
    from rlem.core.errors import RlemError
    from rlem.core.types import Episode, Situation, Step, Task, Transition

__version__ = "0.1.0"

_EXPORTS = {
    "Episode": "rlem.core.types",
    "Memory": "rlem.api.memory",
    "OpenEpisode": "rlem.api.episode",
    "RlemError": "rlem.core.errors",
    "Situation": "rlem.core.types",
    "Step": "rlem.core.types",
    "Task": "rlem.core.types",
    "Transition": "rlem.core.types",
    "open": "rlem.api.opening",
}

__all__ = [
    "Episode",
    "Memory",
    "OpenEpisode",
    "RlemError",
    "Situation",
    "Step",
    "Task",
    "Transition",
    "__version__",
    "open",
]


def __getattr__(name: str) -> Any:
    """Loads public names on first use, so that ``import rlem`` stays instant."""
    if name in _EXPORTS:
        return getattr(importlib.import_module(_EXPORTS[name]), name)
    raise AttributeError(f"module 'rlem' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
