"""The device: Mobile-Env in the version that is installed, driven through its own wrapper.

Mobile-Env's shapes stay in this file: ``switch_task``, actions as dicts of arrays, frames, and the two
kinds of time steps (those of dm_env up to 3.x; its own, which say how an episode ended, from 4.0).
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rlem.core.clock import Sleep
from rlem.core.errors import DataError, EnvironmentFaultError, MissingExtraError, RlemError
from rlem.environments.mobile_env.words import WordPieces
from rlem.environments.wikihow.actions import Command
from rlem.environments.wikihow.hierarchy import read_hierarchy
from rlem.environments.wikihow.nodes import Node

Android = Any
"""An ``android_env.environment.AndroidEnv``: not typed, and not the same in two versions."""

TRIES = 5
"""So often a screen, a task switch or an action is tried before the device counts as broken."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the device gave for one action.

    ``screen`` is None where an episode ended before a screen could be fetched. ``instruction`` is "" unless
    a new one came. ``succeeded``: how the episode ended, None where Mobile-Env does not say (before 4.0).
    """

    screen: Node | None
    reward: float = 0.0
    instruction: str = ""
    ended: bool = False
    succeeded: bool | None = None


def check_installed() -> None:
    """Errors: MissingExtraError where Mobile-Env is absent. Imports nothing: that takes seconds."""
    if importlib.util.find_spec("android_env") is None:
        raise MissingExtraError("the environment mobile-env", "mobile-env")


def reads_selectors() -> bool:
    """Whether the installed version reads current task files (from 3.0), not those of 1.2 (up to 2.1.1)."""
    fields = _module("android_env.proto.task_pb2").EventSource.ViewHierarchyEvent.DESCRIPTOR.fields_by_name
    return "selector" in fields


def start(folder: Path, words: Iterable[str], options: Mapping[str, Any]) -> Android:
    """Starts an emulator with the tasks of a folder (minutes).

    ``options`` are those of ``android_env.load``. ``words`` can be typed, unless the options name a file.
    """
    load = _module("android_env").load
    with tempfile.TemporaryDirectory(prefix="rlem-words-") as place, _told("starting the emulator"):
        file = Path(place) / "words.txt"
        file.write_text("\n".join(words), encoding="ascii")
        chosen = {"unify_vocabulary": str(file), **options}
        return load(task_path=str(folder), with_view_hierarchy=True, **chosen)


class Device:
    """One device, which plays one episode at a time. ``make`` starts it when it is first needed.

    ``wait_s``: what an app gets to settle after an action, where the version can wait (from 4.0).
    ``pause_s``: between two tries to fetch a screen.
    """

    def __init__(
        self,
        make: Callable[[], Android],
        *,
        wait_s: float = 1.0,
        pause_s: float = 1.0,
        sleep: Sleep = time.sleep,
    ) -> None:
        self._make, self._wait_s, self._pause_s, self._sleep = make, wait_s, pause_s, sleep
        self._patient: _Patient | None = None
        self._wrapper: Any = None

    def begin(self, number: int, tasks: int) -> Answer:
        """Starts the task of that number, of as many as there are.

        Errors: EnvironmentFaultError when the device fails; DataError where it has another number of tasks.
        """
        with _told(f"starting task {number}"):
            patient = self._connected()
            if patient.nb_tasks != tasks:
                raise DataError(
                    f"Mobile-Env has {patient.nb_tasks} tasks, the task folder {tasks}; load the same"
                )
            for _ in range(TRIES):
                patient.forget()
                try:
                    self._wrapper.switch_task(number)
                except AttributeError as error:
                    fault = error
                else:
                    self._wrapper._tokenizer = WordPieces(patient.vocabulary())
                    return patient.answer()
            raise fault

    def send(self, command: Command) -> Answer:
        """Sends an action. Errors: EnvironmentFaultError when the device fails."""
        patient = self._connected()
        action = self._action(command)
        with _told(f"sending {command.verb}"):
            patient.forget()
            for _ in range(TRIES):
                try:
                    self._wrapper.step(action)
                except AttributeError as error:
                    fault = error  # the action was done, what came after it failed: look again, do nothing
                    if not patient.ended:
                        action = {"action_type": np.array(self._wrapper.ActionType.NOTHING)}
                        continue
                return patient.answer()
            raise fault

    def close(self) -> None:
        """Stops the device. May be called twice."""
        patient, self._patient, self._wrapper = self._patient, None, None
        if patient is not None:
            with _told("closing"):
                patient.close()

    def _connected(self) -> _Patient:
        if self._patient is None:
            self._patient = _Patient(self._make(), pause_s=self._pause_s, sleep=self._sleep)
            wrapper = _module("android_env.wrappers").VhIoWrapper
            waits = "wait_sec" in inspect.signature(wrapper).parameters
            more = {"wait_sec": self._wait_s} if waits else {}
            self._wrapper = wrapper(self._patient, WordPieces(()), **more)
        return self._patient

    def _action(self, command: Command) -> dict[str, Any]:
        kinds, directions = self._wrapper.ActionType, self._wrapper.ScrollDirection
        action: dict[str, Any] = {"action_type": np.array(kinds[command.verb])}
        if command.verb == "SCROLL":
            action["direction"] = np.array(directions[command.direction])
        elif command.verb != "GOBACK":
            action["element_id"] = np.array(command.element)
        if command.verb == "INPUT":
            action["text"] = np.array(command.text, dtype=np.object_)
        return action


class _Patient:
    """Mobile-Env as its wrapper sees it, but with a screen wherever one is due, and with what came added up.

    A device now and then gives no view hierarchy. The wrapper then raises (up to 3.x), which loses the
    rewards of the action, or goes on with the boxes of the screen before (4.x). Frames that do nothing are
    sent until there is one. Rewards and instructions are counted here because the wrapper forgets those of
    an action that raises, and the instructions of one that ends an episode.
    """

    def __init__(self, env: Android, *, pause_s: float, sleep: Sleep) -> None:
        self._env, self._pause_s, self._sleep = env, pause_s, sleep
        self._lift = int(_module("android_env.components.action_type").ActionType.LIFT)
        self._last: Any = None
        self.forget()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._env, name)

    def forget(self) -> None:
        """Begins to count anew."""
        self._reward, self._instructions, self._last = 0.0, list[str](), None

    @property
    def ended(self) -> bool:
        """Whether the episode is over."""
        return self._last is not None and bool(self._last.last())

    def switch_task(self, index: int) -> Any:
        self._last = self._env.switch_task(index)
        return self._with_screen()

    def step(self, action: Mapping[str, Any]) -> Any:
        self._take(action)
        return self._with_screen() if int(action["action_type"]) == self._lift else self._last

    def task_instructions(self, latest_only: bool = False) -> Any:
        """Not from here: the wrapper's own count is not used."""
        return "" if latest_only else []

    def answer(self) -> Answer:
        """What came since the last ``forget``."""
        tree = self._tree()
        xml = None if tree is None else _module("lxml.etree").tostring(tree, encoding="unicode")
        return Answer(
            screen=None if xml is None else read_hierarchy(xml),
            reward=self._reward,
            instruction="\n".join(self._instructions),
            ended=self.ended,
            succeeded=bool(self._last.succeeds) if self.ended and hasattr(self._last, "succeeds") else None,
        )

    def _take(self, action: Mapping[str, Any]) -> None:
        self._last = self._env.step(action)
        self._reward += self._last.reward or 0.0
        self._instructions += self._env.task_instructions()

    def _with_screen(self) -> Any:
        lift = {"action_type": np.array(self._lift, np.int32), "touch_position": np.zeros(2, np.float32)}
        for _ in range(TRIES):
            if self.ended or self._tree() is not None:
                return self._last
            self._sleep(self._pause_s)
            self._take(lift)
        raise EnvironmentFaultError(
            f"the device gave no view hierarchy in {TRIES} tries; is the app running?"
        )

    def _tree(self) -> Any:
        """The view hierarchy; None where there is none, or nothing in it."""
        tree = self._last.observation.get("view_hierarchy") if self._last is not None else None
        return tree if tree is not None and len(tree) else None


@contextmanager
def _told(doing: str) -> Iterator[None]:
    """What Mobile-Env raises becomes one kind of error: sockets, pexpect, gRPC and its own have no root."""
    try:
        yield
    except RlemError:
        raise
    except Exception as error:
        raise EnvironmentFaultError(
            f"Mobile-Env failed while {doing}: {type(error).__name__}: {error}. "
            "Its log (logger mobile_env) says more"
        ) from error


def _module(name: str) -> Any:
    """A module of Mobile-Env or of what it needs; imported late, for it takes seconds."""
    check_installed()
    return importlib.import_module(name)
