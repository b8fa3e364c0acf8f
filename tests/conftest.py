"""What all tests share: recorded data, scripts outside of the package, Hypothesis profiles."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import HealthCheck, settings

ROOT = Path(__file__).resolve().parent.parent

# They import the real Mobile-Env, which only the tests that need it put on the path: no place for doctests.
collect_ignore = ["support/mobile_env_judge.py", "support/mobile_env_phone.py"]

# "ci" is the default: a verdict must not depend on luck. Explore with --hypothesis-profile=dev.
# too_slow is about the machine, which may be busy with other things.
_SLOW_MACHINE = [HealthCheck.too_slow]
settings.register_profile(
    "ci", derandomize=True, deadline=None, max_examples=60, suppress_health_check=_SLOW_MACHINE
)
settings.register_profile("dev", deadline=None, max_examples=300, suppress_health_check=_SLOW_MACHINE)
settings.load_profile("ci")


@pytest.fixture(scope="session")
def project() -> Path:
    """The project's folder."""
    return ROOT


@pytest.fixture(scope="session")
def script() -> Callable[[str], ModuleType]:
    """Loads a Python file of the project that is not part of the package: ``script("dev.py")``."""

    def load(path: str) -> ModuleType:
        spec = importlib.util.spec_from_file_location(Path(path).stem, ROOT / path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    return load


@pytest.fixture(scope="session")
def golden() -> Callable[[str], Path]:
    """Path of recorded outputs of other programs: ``golden("webshop/rewards.jsonl.gz")``.

    They stand outside of the project, under RLEM_GOLDEN (default ../shared/data). Where the file is absent
    the test is skipped, or fails if RLEM_REQUIRE_GOLDEN=1 (set by .ci/run where the folder exists).
    """

    def find(path: str) -> Path:
        found = Path(os.environ.get("RLEM_GOLDEN") or ROOT.parent / "shared" / "data") / path
        if found.exists():
            return found
        message = f"recorded data {path} is not under RLEM_GOLDEN (default ../shared/data)"
        if os.environ.get("RLEM_REQUIRE_GOLDEN") == "1":
            pytest.fail(message + ", and RLEM_REQUIRE_GOLDEN=1 asks for it", pytrace=False)
        pytest.skip(message)

    return find
