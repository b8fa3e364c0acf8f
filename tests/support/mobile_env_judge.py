"""Mobile-Env's own judge without a device: a TaskManager that is shown log lines and screens, step by step.

Import it after ``mobile_env_light.load``.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from rlem.environments.wikihow.hierarchy import write_hierarchy
from rlem.environments.wikihow.judge import Verdict
from rlem.environments.wikihow.nodes import Node

_manager: Any = importlib.import_module("android_env.components.task_manager")
_views: Any = importlib.import_module("android_env.components.vh_analyzer_thread")
_proto: Any = importlib.import_module("android_env.proto.task_pb2")
_text: Any = importlib.import_module("google.protobuf.text_format")
_xml: Any = importlib.import_module("lxml.etree")

_PIXELS = np.zeros((1920, 1080, 3), np.uint8)


class TheirJudge:
    """Plays the part of :class:`rlem.environments.wikihow.judge.Judge` for one episode of a task file."""

    def __init__(self, task_file: str) -> None:
        self._task = _manager.TaskManager(_text.Parse(task_file, _proto.Task()))
        analyzer = _views.ViewHierarchyAnalyzerThread
        self._analyzer = analyzer.__new__(analyzer)  # without its thread
        self._analyzer._lock = self._task._lock
        self._analyzer._event_listeners = self._task._view_hierarchy_events

    def observe(self, logs: Sequence[str], root: Node) -> Verdict:
        """What an action gave, by Mobile-Env."""
        for line in logs:
            for event in self._task._log_events:
                event.set(line)
        self._analyzer.match_events(_xml.fromstring(write_hierarchy(root).encode()), _PIXELS.shape[:2])
        self._task.snapshot_events(_PIXELS)
        verdict = Verdict(
            reward=float(self._task.get_current_reward()),
            instructions=tuple(self._task.get_current_instructions()),
            done=self._task.check_if_episode_ended(True)[0],
        )
        self._task.clear_events()
        return verdict
