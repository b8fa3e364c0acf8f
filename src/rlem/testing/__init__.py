"""What others need to test against rlem: contract suites, a scripted model, a local endpoint.

The suites need pytest; every name is loaded on first use.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rlem.testing.environment_contract import EnvironmentContract
    from rlem.testing.memory_contract import MemoryContract
    from rlem.testing.openai_server import OpenAIServer
    from rlem.testing.scripted_model import ScriptedModel
    from rlem.testing.store_contract import StoreContract

_EXPORTS = {
    "EnvironmentContract": "rlem.testing.environment_contract",
    "MemoryContract": "rlem.testing.memory_contract",
    "OpenAIServer": "rlem.testing.openai_server",
    "ScriptedModel": "rlem.testing.scripted_model",
    "StoreContract": "rlem.testing.store_contract",
}

__all__ = ["EnvironmentContract", "MemoryContract", "OpenAIServer", "ScriptedModel", "StoreContract"]


def __getattr__(name: str) -> Any:
    if name in _EXPORTS:
        return getattr(importlib.import_module(_EXPORTS[name]), name)
    raise AttributeError(f"module 'rlem.testing' has no attribute {name!r}")
