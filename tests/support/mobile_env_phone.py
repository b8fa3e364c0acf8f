"""A phone inside of the process for the real Mobile-Env: simulator, adb and log stream around an app.

Import it after ``mobile_env_light.load``. The app is anything with :class:`App`'s methods; what a finger and
a keyboard do frame by frame becomes its taps, texts and scrolls.
"""

from __future__ import annotations

import importlib
import queue
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any, Literal, Protocol

import numpy as np
import pytest

_components = "android_env.components."
_adb: Any = importlib.import_module(_components + "adb_controller")
_coordinator: Any = importlib.import_module(_components + "coordinator")
_environment: Any = importlib.import_module("android_env.environment")
_logs: Any = importlib.import_module(_components + "log_stream")
_setup: Any = importlib.import_module(_components + "setup_step_interpreter")
_simulators: Any = importlib.import_module(_components + "simulators.base_simulator")
_tasks: Any = importlib.import_module(_components + "task_manager")
_proto: Any = importlib.import_module("android_env.proto.task_pb2")
_text: Any = importlib.import_module("google.protobuf.text_format")

WIDTH, HEIGHT = 1080, 1920
_ACTIVITY = "com.wikihow.wikihowapp/com.wikihow.wikihowapp.MainTabActivity"
_SWIPE = 200
"""Pixels from which a touch is a swipe."""
Direction = Literal["UP", "DOWN", "LEFT", "RIGHT"]


class App(Protocol):
    """An app on the phone. Every method gives the new lines of its log."""

    def start(self) -> list[str]: ...
    def tap(self, x: int, y: int) -> list[str]: ...
    def type(self, x: int, y: int, text: str) -> list[str]: ...
    def scroll(self, direction: Direction) -> list[str]: ...
    def back(self) -> list[str]: ...


class LogStream(_logs.LogStream):  # type: ignore[misc]
    """Log lines for every listener; ``say`` returns when all have dealt with them."""

    def __init__(self) -> None:
        super().__init__()
        self._queues: list[queue.Queue[str | None]] = []

    def _get_stream_output(self) -> Iterator[str]:
        lines: queue.Queue[str | None] = queue.Queue()
        self._queues.append(lines)
        while (line := lines.get()) is not None:
            yield line
            lines.task_done()

    def stop_stream(self) -> None:
        while self._queues:
            self._queues.pop().put(None)

    def say(self, messages: list[str]) -> None:
        for lines in self._queues:
            for message in messages:
                lines.put(f"         1553110400.424  5583  5658 D jd: {message}")
            lines.join()


class Adb(_adb.AdbController):  # type: ignore[misc]
    """The real controller; what it asks adb is answered here."""

    def __init__(self, simulator: Simulator) -> None:
        super().__init__()
        self._simulator = simulator

    def install_apk(self, local_apk_path: str, timeout: float | None = None) -> None:
        """There is no APK to look for."""

    def _execute_command(self, args: list[str], timeout: float | None = None) -> bytes | None:
        said = " ".join(args[1:])
        if said.startswith("uiautomator dump"):
            dump = self._simulator.dump()
            return dump.encode() + b"UI hierchary dumped to: /dev/stdout" if dump is not None else None
        if said.startswith("am stack list"):
            top = f"visible=true topActivity=ComponentInfo{{{_ACTIVITY}}}"
            return f"  taskId=7: {_ACTIVITY} {top}".encode()
        if said.startswith("am start"):
            self._simulator.restart_app()
        elif said.startswith("input keyevent"):
            self._simulator.key(args[-1])
        elif said.startswith("input text"):
            self._simulator.typed(args[-1][1:-1].replace('\\"', '"').replace("\\\\", "\\"))
        answers = {"wm size": f"Physical size: {WIDTH}x{HEIGHT}", "dumpsys input": "  SurfaceOrientation: 0"}
        return answers.get(said, f"Service {args[-1]}: found").encode()


class Simulator(_simulators.BaseSimulator):  # type: ignore[misc]
    """The phone. ``dump`` gives the view hierarchy as XML, None for a failure of the device."""

    def __init__(self, app: App, dump: Callable[[], str | None]) -> None:
        super().__init__()
        self.app, self.dump = app, dump
        self.restarts = 0
        self.fault: Exception | None = None  # raised at the next look at the pixels
        self._touched: list[tuple[int, int]] = []
        self._tapped: tuple[int, int] | None = None  # a tap that waits: a text may follow it
        self._text = ""

    def adb_device_name(self) -> str:
        return "phone"

    def create_adb_controller(self) -> Adb:
        return Adb(self)

    def _restart_impl(self) -> None:
        self.restarts += 1

    def _launch_impl(self) -> None:
        self._adb_controller = Adb(self)

    def _create_log_stream(self) -> LogStream:
        return LogStream()

    def _get_observation(self) -> list[Any]:
        fault, self.fault = self.fault, None
        if fault is not None:
            raise fault
        return [np.zeros((4, 4, 3), np.uint8), np.int64(0)]

    def restart_app(self) -> None:
        self._touched, self._tapped, self._text = [], None, ""
        self._say(self.app.start())

    def send_action(self, action: Any) -> None:
        for frame in action if isinstance(action, list) else [action]:
            x, y, down = self._prepare_action(frame)
            if down:
                self._touched.append((x, y))
            elif self._touched:
                self._lift()
            else:
                self._settle()

    def send_key_event(self, keyevents: list[dict[str, str]]) -> None:
        for event in keyevents:
            self.key(event["value"]) if event["type"] == "keycode" else self.typed(event["value"])

    def typed(self, text: str) -> None:
        self._text += text

    def key(self, code: str) -> None:
        if code == "KEYCODE_DEL":
            self._text = self._text[:-1]
        elif code == "KEYCODE_BACK":
            self._say(self.app.back())
        elif code == "KEYCODE_ENTER" and self._tapped is not None:
            at, self._tapped = self._tapped, None
            text, self._text = self._text, ""
            self._say(self.app.type(*at, text.strip()))

    def _lift(self) -> None:
        (x0, y0), (x1, y1) = self._touched[0], self._touched[-1]
        self._touched = []
        if abs(y1 - y0) > _SWIPE:
            self._say(self.app.scroll("DOWN" if y1 < y0 else "UP"))
        elif abs(x1 - x0) > _SWIPE:
            self._say(self.app.scroll("RIGHT" if x1 < x0 else "LEFT"))
        else:
            self._tapped = x1, y1

    def _settle(self) -> None:
        if self._tapped is not None:
            at, self._tapped = self._tapped, None
            self._say(self.app.tap(*at))

    def _say(self, lines: list[str]) -> None:
        if self._log_stream is not None:
            self._log_stream.say(lines)


def android_env(simulator: Simulator, task_texts: list[str], vocabulary: list[str]) -> Any:
    """A Mobile-Env on the phone, with these task files, as ``android_env.load`` puts it together."""
    managers = [
        _tasks.TaskManager(_text.Parse(text, _proto.Task()), fix_vocabulary_to=vocabulary)
        for text in task_texts
    ]
    made = _coordinator.Coordinator(simulator, managers, max_steps_per_sec=0.0, with_view_hierarchy=True)
    return _environment.AndroidEnv(coordinator=made)


def still(android: Any) -> None:
    """Ends the threads of all tasks; ``close`` ends those of one, and others then run in circles."""
    for manager in android._coordinator._task_manager_list:
        manager.pause_task()
        manager._stop_logcat_thread()


def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Takes out the half second that Mobile-Env sleeps after each step of setting up."""
    clock = SimpleNamespace(sleep=lambda _: None, time=lambda: 0.0)
    monkeypatch.setattr(_setup, "time", clock)
