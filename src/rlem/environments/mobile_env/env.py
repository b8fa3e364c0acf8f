"""Mobile-Env's WikiHow on an Android emulator as an rlem environment."""

from __future__ import annotations

import copy
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, get_args

from rlem.core.errors import ClosedError, DataError, EnvironmentFaultError, UnknownNameError, UsageError
from rlem.core.types import JSON, Step, Task
from rlem.environments.mobile_env.device import (
    Android,
    Answer,
    Device,
    check_installed,
    reads_selectors,
    start,
)
from rlem.environments.mobile_env.tasks import TaskFile, check_era, read_task_files
from rlem.environments.mobile_env.words import vocabulary_of
from rlem.environments.ranges import parse_range
from rlem.environments.wikihow.actions import complaint, listed, parse_action
from rlem.environments.wikihow.html import Leaf, leaves, to_html

MAX_STEPS = 15
Proxy = Literal["syscert", "frida", "packpatch", "none"]


class MobileEnv:
    """The real WikiHow app on an emulator, driven by Mobile-Env 1.4 or newer.

    Observations, actions and rewards are those of the environment ``wikihow``; texts, tasks and the judge
    are Mobile-Env's own. The same actions need not give the same steps: a device has timing. One device
    plays one episode at a time; :meth:`spawn` gives a view of the same device, so a run has one worker.

    ``data``: the folder with the task files that ``device`` was loaded with. ``faithful``: as in the
    environment ``wikihow``. Build it with :meth:`open`, or with :meth:`over` a Mobile-Env that runs.
    """

    name = "mobile-env"
    reward_range = (0.0, float("inf"))  # task files of version 1.2 pay a sub-goal again and again
    max_steps = MAX_STEPS

    def __init__(self, data: str | Path, device: Device, *, faithful: bool = False) -> None:
        self._files = read_task_files(Path(data))
        self._numbers = {file.name: number for number, file in enumerate(self._files)}
        self._device = device
        self._faithful = faithful
        self._turn = _Turn()
        self._owner = True
        self._forget()

    @classmethod
    def over(
        cls, env: Android, data: str | Path, *, faithful: bool = False, wait_s: float = 1.0
    ) -> MobileEnv:
        """Over a running ``AndroidEnv``, without a wrapper, loaded with the task files of ``data``."""
        check_installed()
        return cls(data, Device(lambda: env, wait_s=wait_s), faithful=faithful)

    @classmethod
    def open(
        cls,
        data: str | Path,
        *,
        avd: str = "Pixel_2_API_30_x64",
        sdk: str | Path = "~/Android/Sdk",
        avd_home: str | Path = "~/.android/avd",
        headless: bool = True,
        proxy: Proxy = "syscert",
        vocabulary: str | Path | None = None,
        faithful: bool = False,
        wait_s: float = 1.0,
    ) -> MobileEnv:
        """With an emulator of its own, started by the first ``reset``.

        ``avd``: name of the virtual device; the default is that of Mobile-Env's own scripts. ``proxy``: how
        the app is made to trust the proxy that replays the crawled pages. ``vocabulary``: file with the words
        that can be typed, one a line (vocab.txt of bert-base-uncased in the published runs); None: those of
        the tasks, and single characters.
        Errors: MissingExtraError without Mobile-Env; DataError for a folder of task files that the installed
        version cannot read.
        """
        check_installed()
        if proxy not in get_args(Proxy):
            raise UnknownNameError("proxy", proxy, get_args(Proxy))
        if vocabulary is not None and not Path(vocabulary).is_file():
            raise DataError(f"vocabulary {str(vocabulary)!r} is no file; expected is one word a line")
        files = read_task_files(Path(data))
        root = Path(sdk).expanduser()
        options = {
            "avd_name": avd,
            "android_avd_home": str(avd_home),
            "android_sdk_root": str(root),
            "emulator_path": str(root / "emulator" / "emulator"),
            "adb_path": str(root / "platform-tools" / "adb"),
            "run_headless": headless,
            "mitm_config": None if proxy == "none" else {"method": proxy},
        }
        if vocabulary is not None:
            options["unify_vocabulary"] = str(vocabulary)

        def make() -> Android:
            check_era(files, current=reads_selectors())
            return start(Path(data), vocabulary_of(word for file in files for word in file.words), options)

        return cls(data, Device(make, wait_s=wait_s), faithful=faithful)

    def task_sets(self) -> Mapping[str, str]:
        """One set: all task files, in the order of their names."""
        return {"all": f"the {len(self._files)} task files, in the order of their names"}

    def tasks(self, spec: str) -> Sequence[Task]:
        """All tasks, or those A up to (not including) B of a range ``A:B``."""
        numbers = parse_range(spec, len(self._files))
        if numbers is None:
            if spec != "all":
                raise UnknownNameError("task set", spec, ("all", "A:B"))
            numbers = range(len(self._files))
        return [_task(self._files[number]) for number in numbers]

    def reset(self, task: Task | str, *, seed: int = 0) -> Step:
        """Begins an episode of a task; takes the device. ``seed`` changes nothing.

        Errors: UsageError while another episode has the device; EnvironmentFaultError when it fails.
        """
        self._check_open()
        name = task if isinstance(task, str) else task.id
        if name not in self._numbers:
            raise UsageError(f"unknown task {name!r:.80}; see the ids of tasks('all')")
        self._turn.take(self)
        self._forget()
        answer = self._device.begin(self._numbers[name], len(self._files))
        if answer.ended:
            raise EnvironmentFaultError(f"task {name!r} was over before it began; does the app start?")
        self._playing = True
        return self._see(answer)

    def step(self, action: str) -> Step:
        """Sends one action. One that cannot be done is answered with the screen and the reason above it."""
        self._check_open()
        if not self._playing:
            raise UsageError("step before reset or after the end of the episode; call reset(task) first")
        self._steps += 1
        command = parse_action(action, len(self._leaves), clip=self._faithful)
        if isinstance(command, str):
            return self._step(0.0, error=command, action=action)
        return self._see(self._device.send(command))

    def succeeded(self, total_reward: float, last: Step) -> bool:
        """Whether the last sub-goal was met within the limit, its last step included."""
        if self._faithful:
            return last.terminated and last.info.get("steps", 0) != MAX_STEPS
        return last.terminated and bool(last.info.get("finished"))

    def spawn(self) -> MobileEnv:
        """A view of the same device. Whoever resets has the device until the episode ends or is closed."""
        other = copy.copy(self)
        other._owner = False
        other._forget()
        return other

    def close(self) -> None:
        """Ends the episode; the environment that started the device stops it. May be called twice."""
        self._turn.leave(self)
        self._closed = True
        if self._owner:
            self._device.close()

    def _forget(self) -> None:
        """No episode yet."""
        self._closed = self._playing = False
        self._steps, self._subtask, self._leaves = 0, "", list[Leaf]()

    def _see(self, answer: Answer) -> Step:
        """The step of an answer. An episode that ends without a screen shows the one before."""
        if answer.screen is not None:
            self._leaves = leaves(answer.screen)
        self._subtask = answer.instruction or self._subtask
        if not answer.ended:
            return self._step(answer.reward)
        self._playing = False
        self._turn.leave(self)
        # Before 4.0 Mobile-Env does not say how it ended; meeting the last sub-goal pays, an exit does not.
        finished = answer.reward > 0 if answer.succeeded is None else answer.succeeded
        return self._step(answer.reward, finished=finished)

    def _step(
        self, reward: float, *, finished: bool | None = None, error: str = "", action: str = ""
    ) -> Step:
        html = to_html(self._leaves)
        info: dict[str, JSON] = {"valid": not error, "steps": self._steps}
        if error:
            info["error"] = error
        if finished is not None:
            info["finished"] = finished
        return Step(
            observation=f"{complaint(action, error)}\n{html}" if error else html,
            reward=reward,
            terminated=finished is not None,
            actions=() if finished is not None else listed(self._leaves),
            subtask=self._subtask,
            info=info,
        )

    def _check_open(self) -> None:
        if self._closed:
            raise ClosedError("this environment is closed; make a new one or spawn it before closing")


class _Turn:
    """Who has the device."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._holder: MobileEnv | None = None

    def take(self, env: MobileEnv) -> None:
        """Gives the device to an environment, unless another one is playing on it."""
        with self._lock:
            if self._holder not in (None, env):
                raise UsageError(
                    "one device plays one episode at a time: use one worker, or close the other episode"
                )
            self._holder = env

    def leave(self, env: MobileEnv) -> None:
        """Sets the device free if this environment had it."""
        with self._lock:
            if self._holder is env:
                self._holder = None


def _task(file: TaskFile) -> Task:
    return Task(id=file.name, instruction="\n".join(file.commands), kind=file.kind)
