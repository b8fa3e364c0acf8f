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
        coordinator = _module("android_env.components.coordinator").Coordinator
        if _takes(coordinator, "max_cached_task_managers"):  # else each task that was played keeps threads
            chosen["coordinator_args"] = {"max_cached_task_managers": 1}
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
        self._count: _Count | None = None
        self._wrapper: Any = None

    def begin(self, number: int, tasks: int) -> Answer:
        """Starts the task of that number, of as many as there are.

        Errors: EnvironmentFaultError when the device fails; DataError where it has another number of tasks.
        """
        with _told(f"starting task {number}"):
            count = self._connected()
            if count.nb_tasks != tasks:
                raise DataError(
                    f"Mobile-Env has {count.nb_tasks} tasks, the task folder {tasks}; load the same folder"
                )
            answer = self._until_seen(lambda: self._wrapper.switch_task(number))
            self._wrapper._tokenizer = WordPieces(count.vocabulary())
            return answer

    def send(self, command: Command) -> Answer:
        """Sends an action. Errors: EnvironmentFaultError when the device fails."""
        with _told(f"sending {command.verb}"):
            self._connected()
            action = self._action(command)
            return self._until_seen(lambda: self._wrapper.step(action))

    def close(self) -> None:
        """Stops the device. May be called twice."""
        count, self._count, self._wrapper = self._count, None, None
        if count is not None:
            with _told("closing"):
                count.close()

    def _connected(self) -> _Count:
        if self._count is None:
            self._count = _Count(self._make())
            wrapper = _module("android_env.wrappers").VhIoWrapper
            more = {"wait_sec": self._wait_s} if _takes(wrapper, "wait_sec") else {}
            self._wrapper = wrapper(self._count, WordPieces(()), **more)
        return self._count

    def _until_seen(self, act: Callable[[], object]) -> Answer:
        """Acts once, then does nothing until there is a screen.

        A device now and then gives no view hierarchy. Mobile-Env's wrapper then raises AttributeError (up to
        3.x), or goes on with the boxes of the screen before (4.x).
        """
        count = self._connected()
        count.forget()
        for _ in range(TRIES):
            fault: AttributeError | None = None
            try:
                act()
            except AttributeError as error:
                fault = error
            if count.ended or (fault is None and count.tree is not None):
                return count.answer()
            if count.moved:
                act = self._do_nothing
            self._sleep(self._pause_s)
        if fault is not None and not (count.moved and count.tree is None):
            raise fault
        raise EnvironmentFaultError(f"no view hierarchy in {TRIES} tries; is the app running?") from fault

    def _do_nothing(self) -> None:
        self._wrapper.step({"action_type": np.array(self._wrapper.ActionType.NOTHING)})

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


class _Count:
    """Mobile-Env as its wrapper sees it, which adds up what comes.

    The wrapper forgets rewards when an action raises, and instructions when it ends an episode.
    """

    def __init__(self, env: Android) -> None:
        self._env = env
        self._last: Any = None
        self.forget()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._env, name)

    def forget(self) -> None:
        """Begins to count anew."""
        self._reward, self._instructions, self._last = 0.0, list[str](), None

    def switch_task(self, index: int) -> Any:
        self._last = self._env.switch_task(index)
        return self._last

    def step(self, action: Mapping[str, Any]) -> Any:
        self._last = self._env.step(action)
        self._reward += self._last.reward or 0.0
        self._instructions += self._env.task_instructions()
        return self._last

    def task_instructions(self, latest_only: bool = False) -> Any:
        """Not from here: the wrapper's own count is not used."""
        return "" if latest_only else []

    @property
    def moved(self) -> bool:
        """Whether anything came since the last ``forget``."""
        return self._last is not None

    @property
    def ended(self) -> bool:
        """Whether the episode is over."""
        return self.moved and bool(self._last.last())

    @property
    def tree(self) -> Any:
        """The view hierarchy; None where there is none, or nothing in it."""
        tree = self._last.observation.get("view_hierarchy") if self.moved else None
        return tree if tree is not None and len(tree) else None

    def answer(self) -> Answer:
        """What came since the last ``forget``."""
        xml = None if self.tree is None else _module("lxml.etree").tostring(self.tree, encoding="unicode")
        return Answer(
            screen=None if xml is None else read_hierarchy(xml),
            reward=self._reward,
            instruction=self._instructions[-1] if self._instructions else "",
            ended=self.ended,
            succeeded=bool(self._last.succeeds) if self.ended and hasattr(self._last, "succeeds") else None,
        )


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


def _takes(function: Callable[..., object], option: str) -> bool:
    return option in inspect.signature(function).parameters


def _module(name: str) -> Any:
    """A module of Mobile-Env or of what it needs; imported late, for it takes seconds."""
    check_installed()
    return importlib.import_module(name)
