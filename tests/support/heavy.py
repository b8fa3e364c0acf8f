"""Tests of heavy extras: skipped where one is absent, unless RLEM_REQUIRE_HEAVY=1 says it must be there."""

from __future__ import annotations

import os
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import pytest


def _absent(module: str) -> bool:
    return find_spec(module) is None and os.environ.get("RLEM_REQUIRE_HEAVY") != "1"


def _reason(module: str, extra: str) -> str:
    return f"{module} is not installed: pip install 'rlem[{extra}]'"


def needs(module: str, extra: str) -> pytest.MarkDecorator:
    """Skips a test without the module; where it must be there, the test runs into its absence and fails."""
    return pytest.mark.skipif(_absent(module), reason=_reason(module, extra))


def imported(module: str, extra: str) -> Any:
    """The module; without it, skips all tests of the file that asks, or fails where it must be there."""
    if _absent(module):
        pytest.skip(_reason(module, extra), allow_module_level=True)
    return import_module(module)
