"""Mobile-Env's own judge without a device: a TaskManager that is shown log lines and screens, step by step.

Import it after ``mobile_env_light.load``.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np

from rlem.environments.wikihow.hierarchy import write_hierarchy
from rlem.environments.wikihow.judge import Verdict
from rlem.environments.wikihow.nodes import Node

_manager: Any = importlib.import_module("android_env.components.task_manager")
_proto: Any = importlib.import_module("android_env.proto.task_pb2")
_text: Any = importlib.import_module("google.protobuf.text_format")
_xml: Any = importlib.import_module("lxml.etree")

_OLD = "selector" not in _proto.EventSource.ViewHierarchyEvent.DESCRIPTOR.fields_by_name
"""Whether this is a version up to 2.1.1, where another part looks at the screen."""
_watcher: Any = importlib.import_module(
    "android_env.components." + ("app_screen_checker" if _OLD else "vh_analyzer_thread")
)
_PIXELS = np.zeros((1920, 1080, 3), np.uint8)


class TheirJudge:
    """Plays the part of :class:`rlem.environments.wikihow.judge.Judge` for one episode of a task file."""

    def __init__(self, task_file: str) -> None:
        self._task = _manager.TaskManager(_text.Parse(task_file, _proto.Task()))
        watcher = _watcher.AppScreenChecker if _OLD else _watcher.ViewHierarchyAnalyzerThread
        self._watcher = watcher.__new__(watcher)  # without the thread that it is or is part of
        self._watcher._lock = self._task._lock
        self._watcher._event_listeners = self._task._view_hierarchy_events

    def observe(self, logs: Sequence[str], root: Node) -> Verdict:
        """What an action gave, by Mobile-Env."""
        for line in logs:
            for event in self._task._log_events:
                event.set(line)
        self._look(_xml.fromstring(write_hierarchy(root).encode()))
        self._task.snapshot_events(_PIXELS)
        reward = self._task.get_current_reward(False)[0] if _OLD else self._task.get_current_reward()
        ended = self._task.check_if_episode_ended(True)
        verdict = Verdict(
            reward=float(reward),
            instructions=tuple(self._task.get_current_instructions()),
            done=ended if _OLD else ended[0],
        )
        self._task.clear_events()
        return verdict

    def _look(self, tree: Any) -> None:
        if _OLD:
            self._watcher._adb_controller = SimpleNamespace(get_view_hierarchy=lambda: tree)
            self._watcher.match_events(self._task._lock)
        else:
            self._watcher.match_events(tree, _PIXELS.shape[:2])
