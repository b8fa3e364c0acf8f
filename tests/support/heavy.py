"""Tests of heavy extras: skipped where one is absent, unless RLEM_REQUIRE_HEAVY=1 says it must be there."""

from __future__ import annotations

import os
from importlib.util import find_spec

import pytest


def needs(module: str, extra: str) -> pytest.MarkDecorator:
    """Skips a test without the module; where it must be there, the test runs into its absence and fails."""
    absent = find_spec(module) is None and os.environ.get("RLEM_REQUIRE_HEAVY") != "1"
    return pytest.mark.skipif(absent, reason=f"{module} is not installed: pip install 'rlem[{extra}]'")
