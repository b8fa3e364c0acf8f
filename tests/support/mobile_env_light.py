"""A Mobile-Env without emulator, torch and models: the light installation of tools/install_mobile_env.py."""

from __future__ import annotations

import importlib
import os
import re
import subprocess
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

CURRENT, OLD = "4.1", "2.1.1"
"""The version that reads current task files, and the last one that reads those of 1.2."""

_ROOT = Path(__file__).resolve().parents[2]
_USED = (
    "android_env", "android_env.components.action_type", "android_env.components.adb_controller",
    "android_env.components.coordinator", "android_env.components.log_stream",
    "android_env.components.setup_step_interpreter", "android_env.components.simulators.base_simulator",
    "android_env.components.task_manager", "android_env.environment", "android_env.proto.task_pb2",
    "android_env.wrappers", "google.protobuf.text_format", "lxml.etree",
)  # fmt: skip
"""Everything that is used of it, here and in the adapter."""


def folder(version: str) -> Path:
    """Where a version lies. Else skips the test, or fails it where RLEM_REQUIRE_MOBILE_ENV=1 asks for it."""
    found = Path(os.environ.get("RLEM_MOBILE_ENV") or _ROOT / ".mobile-env") / version
    if not (found / "rlem-lock.txt").is_file():
        message = f"Mobile-Env {version} is not installed: python3 tools/install_mobile_env.py"
        if os.environ.get("RLEM_REQUIRE_MOBILE_ENV") == "1":
            pytest.fail(message + ", and RLEM_REQUIRE_MOBILE_ENV=1 asks for it", pytrace=False)
        pytest.skip(message)
    return found


def load(*folders: Path) -> None:
    """Imports what is used of it. Nothing else of this process can import what lies in the folders."""
    before = list(sys.path)
    sys.path += map(str, folders)
    try:
        with _stand_ins(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for name in _USED:
                importlib.import_module(name)
    finally:
        sys.path[:] = before


def pass_with_old(tests: str) -> None:
    """Runs a test file again in a process that has the old version; RLEM_MOBILE_ENV_VERSION says so there."""
    folder(OLD)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", tests],
        cwd=_ROOT,
        env={**os.environ, "RLEM_MOBILE_ENV_VERSION": OLD},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:]
    assert re.search(r"^\d+ passed, 1 skipped", done.stdout, re.MULTILINE), done.stdout[-500:]


@contextmanager
def _stand_ins() -> Iterator[None]:
    """Small modules in place of big ones: what annotations and decorators ask for, numpy for tensors."""

    def same(what: Any) -> Any:
        return what

    names: dict[str, dict[str, Any]] = {
        "torch": {"no_grad": lambda: same, "Tensor": object, "tensor": np.array, "from_numpy": same},
        "torchvision": {},
        "torchvision.io": {},
        "torchvision.ops": {},
        "sentence_transformers": {"SentenceTransformer": object},
        "sentence_transformers.util": {"dot_score": None},
        "transformers": {"PreTrainedTokenizer": object},
        "gym": {"Env": object},
        "gym.spaces": {"Space": object},
    }
    before = {name: sys.modules.get(name) for name in names}
    for name, members in names.items():
        module = ModuleType(name)
        vars(module).update(members)
        parent, _, child = name.rpartition(".")
        if parent:
            setattr(sys.modules[parent], child, module)
        sys.modules[name] = module
    try:
        yield
    finally:
        for name, module_before in before.items():
            del sys.modules[name]
            if module_before is not None:
                sys.modules[name] = module_before
