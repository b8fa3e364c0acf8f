"""The adapter over the real Mobile-Env (AndroidEnv, Coordinator, TaskManager, VhIoWrapper) on a phone that is
our own app inside of this process. The offline environment plays the same actions beside it.

The version is 4.1; RLEM_MOBILE_ENV_VERSION chooses another, for a process has one only.
"""

from __future__ import annotations

import itertools
import os
import random
import re
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from tests.support import mobile_env_light as light

from rlem.core.errors import DataError, EnvironmentFaultError, UnknownNameError, UsageError
from rlem.core.types import Step, Task
from rlem.environments.mobile_env.device import Device, reads_selectors
from rlem.environments.mobile_env.env import MobileEnv
from rlem.environments.mobile_env.tasks import read_task_files
from rlem.environments.mobile_env.words import vocabulary_of
from rlem.environments.wikihow.app import App
from rlem.environments.wikihow.env import WikiHow
from rlem.environments.wikihow.hierarchy import write_hierarchy
from rlem.environments.wikihow.task_files import write_task_files
from rlem.llm.registry import make_model
from rlem.runner.folder import RunFolder
from rlem.runner.records import RunConfig
from rlem.runner.setup import make_run
from rlem.testing.environment_contract import EnvironmentContract

VERSION = os.environ.get("RLEM_MOBILE_ENV_VERSION", light.CURRENT)
OLD = light.OLD
TRIES = 5


@pytest.fixture(scope="module")
def phone() -> ModuleType:
    """The phone's module, with Mobile-Env imported."""
    light.load(*[light.folder(version) for version in dict.fromkeys([VERSION, light.CURRENT])])
    from tests.support import mobile_env_phone

    return mobile_env_phone


@pytest.fixture(scope="module")
def offline() -> WikiHow:
    """The offline environment."""
    return WikiHow.bundled()


class Rig:
    """A Mobile-Env on a phone with the app of an offline environment, and the adapter over it."""

    def __init__(self, phone: Any, offline: WikiHow, tasks: list[Task], folder: Path) -> None:
        self.offline, self.folder, self.tasks = offline, folder, tasks
        for path in write_task_files([offline.definition(task) for task in tasks], folder):
            if VERSION == OLD:  # their places in view hierarchies are found by other means: none is found
                text = re.sub(r"\n *repeatability: NONE", "", path.read_text())
                path.write_text(text.replace("selector: ", "view_hierarchy_path: "))
        files = read_task_files(folder)
        self.app = App(offline.shelf)
        self.simulator = phone.Simulator(self.app, self.dump)
        self.texts = [(folder / f"{file.name}.textproto").read_text() for file in files]
        self.words = list(vocabulary_of(word for file in files for word in file.words))
        self.android: Any = phone.android_env(self.simulator, self.texts, self.words)
        self.env = MobileEnv(folder, Device(lambda: self.android, wait_s=0.0, pause_s=0.0))
        self.spoil: Callable[[str], str | None] = lambda xml: xml

    def dump(self) -> str | None:
        """What the device gives for its screen."""
        return self.spoil(write_hierarchy(self.app.screen().root()))

    def id_of(self, task: Task) -> str:
        """The id of a task by its file."""
        return self.offline.definition(task).stem

    def play(self, task: Task, actions: list[str]) -> tuple[list[Step], list[Step]]:
        """The steps of both environments."""
        ours = [self.offline.reset(task), *map(self.offline.step, actions)]
        return ours, [self.env.reset(self.id_of(task)), *map(self.env.step, actions)]


@pytest.fixture
def rig(phone: Any, offline: WikiHow, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Rig]:
    """A rig with ten tasks, two of each kind."""
    phone.hurry(monkeypatch)
    made = Rig(phone, offline, list(offline.tasks("S0")), tmp_path)
    yield made
    phone.still(made.android)
    made.env.close()


def same_so_far(ours: list[Step], theirs: list[Step]) -> None:
    """Both show the same; what Mobile-Env pays and says may come one action later, for it has threads."""
    assert [step.observation for step in ours[:-1]] == [step.observation for step in theirs[:-1]]
    assert [step.actions for step in ours[:-1]] == [step.actions for step in theirs[:-1]]
    due, paid = 0.0, 0.0
    for ours_now, theirs_now in zip(ours, theirs, strict=True):
        before, due, paid = due, due + ours_now.reward, paid + theirs_now.reward
        assert before <= paid <= due
    subtasks = ["", *(step.subtask for step in ours)]
    for place, step in enumerate(theirs):
        assert step.subtask in subtasks[place : place + 2]


def test_the_version_is_the_one_asked_for(phone: ModuleType) -> None:
    """The adapter sees which task files the installed version reads."""
    assert reads_selectors() is (VERSION != OLD)


def test_tasks_of_every_kind_are_solved(rig: Rig) -> None:
    """The oracle's actions earn 1 a sub-goal through the adapter, and the last one ends with success."""
    kinds = set()
    for task in rig.tasks:
        ours, theirs = rig.play(task, rig.offline.oracle(task))
        same_so_far(ours, theirs)
        total = sum(step.reward for step in theirs)
        assert total == len(rig.offline.definition(task).goals)
        assert theirs[-1].terminated
        assert not any(step.done for step in theirs[:-1])
        assert rig.env.succeeded(total, theirs[-1])
        kinds.add(task.kind)
    assert len(kinds) == 5


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_random_walks_show_the_same(rig: Rig, seed: int) -> None:
    """Whatever is done, the device's screens and listed actions are those of the offline environment."""
    rng = random.Random(seed)
    task = rng.choice(rig.tasks)
    words = " ".join(rig.offline.definition(task).vocabulary).split()
    ours, theirs = [rig.offline.reset(task)], [rig.env.reset(rig.id_of(task))]
    for _ in range(25):
        if rng.random() < 0.1:
            action = rng.choice(["CLICK(999)", "nonsense", "SCROLL(LEFT)"])
        else:
            action = rng.choice(ours[-1].actions).replace("<text>", f"how to {rng.choice(words)}")
        ours.append(rig.offline.step(action))
        if ours[-1].done and not ours[-1].info["finished"]:
            break  # out of the app: Mobile-Env looks for that every 150 frames only
        theirs.append(rig.env.step(action))
        if ours[-1].done or theirs[-1].done:
            break
    same_so_far(ours[: len(theirs)], theirs)
    assert len(theirs) > 3


def test_screens_that_come_late(rig: Rig) -> None:
    """A device that gives no view hierarchy at first, or an empty one, costs no step, no reward, no end."""
    fails = itertools.cycle([None, '<hierarchy rotation="0"></hierarchy>', "<broken", ""])
    mine = threading.current_thread()

    def spoil(xml: str) -> str | None:
        found = next(fails) if threading.current_thread() is mine else ""  # the judge's thread looks, too
        return xml if found == "" else found

    rig.spoil = spoil
    task = rig.tasks[-1]
    ours, theirs = rig.play(task, rig.offline.oracle(task))
    same_so_far(ours, theirs)
    assert theirs[-1].terminated
    assert sum(step.reward for step in theirs) == sum(step.reward for step in ours)


def test_screens_that_the_wrapper_cannot_read(rig: Rig) -> None:
    """Mobile-Env's wrapper raises at a box left of the screen; the action it was at still counts."""
    task = rig.tasks[-1]
    actions = rig.offline.oracle(task)
    ours = [rig.offline.reset(task), *map(rig.offline.step, actions)]
    theirs = [rig.env.reset(rig.id_of(task))]
    for action in actions:
        left = [2]  # the wrapper reads the last screen of an action: of a tap's two

        def spoil(xml: str, left: list[int] = left) -> str:
            left[0] -= 1
            return re.sub(r"\[0,63\]", "[-9,63]", xml) if left[0] == 0 else xml

        rig.spoil = spoil
        theirs.append(rig.env.step(action))
    same_so_far(ours, theirs)
    assert theirs[-1].terminated


def test_no_screen_at_all(rig: Rig) -> None:
    """A device that gives no screen any more is a fault of the environment; the next episode begins anew."""
    task = rig.id_of(rig.tasks[0])
    rig.env.reset(task)
    rig.spoil = lambda xml: None
    with pytest.raises(EnvironmentFaultError, match="no view hierarchy in 5 tries"):
        rig.env.step("CLICK(2)")
    with pytest.raises(EnvironmentFaultError, match="no view hierarchy in 5 tries"):
        rig.env.reset(task)
    rig.spoil = lambda xml: xml
    assert "Search" in rig.env.reset(task).observation


def test_a_switch_that_fails(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where Mobile-Env raises AttributeError when tasks are switched, it is asked again, but not forever."""
    task = rig.id_of(rig.tasks[0])
    switch, left = rig.android.switch_task, [TRIES - 1]

    def fail(index: int) -> Any:
        left[0] -= 1
        if left[0] >= 0:
            raise AttributeError("'NoneType' object has no attribute 'iterdescendants'")
        return switch(index)

    monkeypatch.setattr(rig.android, "switch_task", fail)
    assert rig.env.reset(task).actions
    left[0] = TRIES
    with pytest.raises(EnvironmentFaultError, match="starting task"):
        rig.env.reset(task)


def test_faults_of_the_device(phone: Any, rig: Rig) -> None:
    """What Mobile-Env raises becomes our error; a phone that it restarts ends the episode without success."""
    task = rig.id_of(rig.tasks[0])
    rig.env.reset(task)
    rig.simulator.fault = RuntimeError("the cable is out")
    with pytest.raises(EnvironmentFaultError, match="RuntimeError: the cable is out"):
        rig.env.step("CLICK(2)")
    rig.env.reset(task)
    rig.simulator.fault = ConnectionError("gone")
    last = rig.env.step("CLICK(2)")
    assert last.terminated
    assert not rig.env.succeeded(0.0, last)
    assert rig.simulator.restarts == 0
    assert rig.env.reset(task).actions
    assert rig.simulator.restarts == 1


def test_opening_it(phone: Any, rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """``open`` starts nothing before the first episode; then the real ``load`` reads the tasks and the words,
    and starts the emulator with the paths and the proxy of the original's runs."""
    import android_env.loader  # type: ignore[import-not-found]

    started: list[dict[str, Any]] = []

    def emulator(**options: Any) -> Any:
        started.append(options)
        return rig.simulator

    monkeypatch.setattr(android_env.loader.emulator_simulator, "EmulatorSimulator", emulator)
    with pytest.raises(UnknownNameError, match="proxy"):
        MobileEnv.open(rig.folder, proxy="sycert")  # type: ignore[arg-type]
    with pytest.raises(DataError, match="vocabulary"):
        MobileEnv.open(rig.folder, vocabulary=rig.folder / "vocab.txt")
    env = MobileEnv.open(rig.folder, avd="wikihow", sdk="/opt/sdk", wait_s=0.0)
    assert not started
    task = rig.tasks[-1]
    assert env.reset(rig.id_of(task)).actions
    for action in rig.offline.oracle(task):
        last = env.step(action)
    assert last.terminated
    phone.still(env._device._count)
    env.close()
    launch = started[0]["emulator_launcher_args"]
    assert (launch["avd_name"], launch["run_headless"], launch["writable_system"]) == ("wikihow", True, True)
    assert launch["emulator_path"] == "/opt/sdk/emulator/emulator"
    assert (launch["proxy_address"], launch["proxy_port"]) == ("127.0.0.1", "8080")
    assert started[0]["adb_controller_args"]["adb_path"] == "/opt/sdk/platform-tools/adb"


def test_opening_task_files_of_another_era(rig: Rig) -> None:
    """Task files that this version cannot read are named before an emulator starts."""
    fields = ("selector: ", "view_hierarchy_path: ")
    for path in rig.folder.glob("*.textproto"):
        path.write_text(path.read_text().replace(*(fields if VERSION != OLD else reversed(fields))))
    env = MobileEnv.open(rig.folder, avd="wikihow")
    with pytest.raises(DataError, match=f"is for Mobile-Env {'1.4' if VERSION != OLD else '3.0'}"):
        env.reset(env.tasks("all")[0])


def test_another_task_folder(rig: Rig) -> None:
    """A Mobile-Env that was loaded with other tasks than the folder's is refused."""
    next(rig.folder.glob("*.textproto")).unlink()
    env = MobileEnv(rig.folder, Device(lambda: rig.android, wait_s=0.0))
    with pytest.raises(DataError, match="10 tasks, the task folder 9"):
        env.reset(env.tasks("all")[0])


def test_a_view_of_the_device(rig: Rig) -> None:
    """What ``spawn`` gives plays on the same device, one after the other; closing it stops nothing."""
    for task in rig.tasks[:2]:
        view = rig.env.spawn()
        view.reset(rig.id_of(task))
        for action in rig.offline.oracle(task):
            last = view.step(action)
        assert last.terminated
        view.close()


class TestContract(EnvironmentContract):
    """The adapter is an environment like the others, but for playing side by side."""

    max_walk_steps = 12

    @pytest.fixture(autouse=True)
    def _on_a_rig(self, rig: Rig) -> None:
        self.rig = rig
        self.view = rig.env.spawn()

    def make(self) -> MobileEnv:
        """A view of the one device, which the last one is done with."""
        self.view.close()
        self.view = self.rig.env.spawn()
        return self.view

    def ending(self) -> tuple[Task, list[str], list[Step]]:
        """The oracle's: what a random walk finds on a phone is seldom an end."""
        task = self.rig.tasks[-1]
        actions, env = self.rig.offline.oracle(task), self.make()
        here = next(found for found in env.tasks("all") if found.id == self.rig.id_of(task))
        return here, actions, self.replay(env, here, actions)

    def page(self, step: Step) -> str:
        """The screen without the line that says what was wrong."""
        return re.sub(r"^<!--.*\n", "", step.observation)

    def test_spawned_environments_are_independent(self) -> None:
        """While one plays, the other cannot; it can when the first has ended."""
        task, actions, steps = self.ending()
        one, two = self.view.spawn(), self.view.spawn()
        one.reset(task)
        with pytest.raises(UsageError, match="one worker"):
            two.reset(task)
        assert self.replay(one, task, actions) == steps
        assert self.replay(two, task, actions) == steps

    def test_threads_play_side_by_side(self) -> None:
        """Of episodes in threads one has the device; the others are refused, and spoil nothing."""
        task, actions, steps = self.ending()
        playing = self.make()
        playing.reset(task)
        with ThreadPoolExecutor(1) as pool, pytest.raises(UsageError, match="one worker"):
            pool.submit(playing.spawn().reset, task).result()
        assert [playing.step(action) for action in actions] == steps[1:]


def test_a_run(rig: Rig, tmp_path_factory: pytest.TempPathFactory) -> None:
    """The runner plays evaluation and training on the one device, episode after episode, and it learns."""
    config = RunConfig(
        environment="mobile-env", train_tasks="0:2", test_tasks="2:4", epochs=1, max_steps=3, control=False
    )
    folder = RunFolder(tmp_path_factory.mktemp("run"))
    make_run(config, folder, make_model("embedded"), environment=rig.env).execute()
    records = folder.open(config)
    assert [record.phase for record in records] == ["eval"] * 2 + ["train"] * 2 + ["eval"] * 2
    assert all(record.status != "broken" for record in records), [record.cause for record in records]
    firsts = [record.steps[0].action or "" for record in records]
    assert all(action.startswith("INPUT(2, ") for action in firsts)  # the search comes first
    assert sum(record.reward for record in records) >= len(records)
    assert [record.memory_size > 0 for record in records] == [False] * 3 + [True] * 3


@pytest.mark.skipif(VERSION != light.CURRENT, reason="this is the process of another version")
def test_the_last_version_for_old_task_files() -> None:
    """All of the above holds with Mobile-Env 2.1.1, whose time steps are those of dm_env."""
    light.pass_with_old(__file__)
