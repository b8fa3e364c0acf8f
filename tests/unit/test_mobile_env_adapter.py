"""The adapter to Mobile-Env without Mobile-Env: task files, typing, episodes over a device of paper."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlem.core.errors import (
    ClosedError,
    DataError,
    EnvironmentFaultError,
    MissingExtraError,
    UnknownNameError,
    UsageError,
)
from rlem.environments.base import Environment
from rlem.environments.mobile_env import env as adapter
from rlem.environments.mobile_env.device import Answer
from rlem.environments.mobile_env.env import MobileEnv
from rlem.environments.mobile_env.tasks import check_era, read_task_files
from rlem.environments.mobile_env.words import WordPieces, vocabulary_of
from rlem.environments.wikihow.actions import Command, typed
from rlem.environments.wikihow.nodes import Node

FIELD = "selector"
OLD_FIELD = "view_hierarchy_path"


def task_file(folder: Path, name: str, *commands: str, field: str = FIELD, words: str = "kite") -> None:
    """Writes a task file with one place in a view hierarchy."""
    lines = [f"event_sources: {{ view_hierarchy_event: {{ {field}: 'x' }} id: 1 }}", f"vocabulary: '{words}'"]
    lines += [f'command: "{command}"' for command in commands]
    (folder / f"{name}.textproto").write_text("\n".join(lines))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three task files, and something else."""
    task_file(tmp_path, "fly_a_kite-8", "Search a kite.", "Then, fly it.")
    task_file(tmp_path, "a_boat-0", "Search a boat.")
    task_file(tmp_path, "zen-4", "Search zen.")
    (tmp_path / "README.md").write_text("not a task")
    return tmp_path


def screen(*texts: str) -> Node:
    """A screen with one line a text, the first a field."""
    kinds = ["EditText", *["TextView"] * len(texts)]
    rows = [
        Node(f"android.widget.{kind}", (0, 100 * row, 50, 100 * row + 50), text=text)
        for row, (text, kind) in enumerate(zip(texts, kinds, strict=False))
    ]
    return Node("hierarchy", children=rows)


class PaperDevice:
    """A device that gives prepared answers and notes what it is told."""

    def __init__(self, *answers: Answer) -> None:
        self.answers = list(answers)
        self.told: list[object] = []

    def begin(self, number: int, tasks: int) -> Answer:
        """Notes the task."""
        self.told.append((number, tasks))
        return Answer(screen=screen("begin"))

    def send(self, command: Command) -> Answer:
        """The next answer."""
        self.told.append(command)
        return self.answers.pop(0)

    def close(self) -> None:
        """Notes it."""
        self.told.append("closed")


def over(folder: Path, *answers: Answer, faithful: bool = False) -> tuple[MobileEnv, PaperDevice]:
    """An environment over a device of paper."""
    device = PaperDevice(*answers)
    return MobileEnv(folder, device, faithful=faithful), device  # type: ignore[arg-type]


def test_tasks_stand_in_mobile_envs_order(folder: Path) -> None:
    """Tasks are sorted by file name, as Mobile-Env numbers them; all command lines are the instruction."""
    env, device = over(folder)
    assert isinstance(env, Environment)
    assert [task.id for task in env.tasks("all")] == ["a_boat-0", "fly_a_kite-8", "zen-4"]
    assert env.tasks("1:2")[0].instruction == "Search a kite.\nThen, fly it."
    assert [task.kind for task in env.tasks("all")] == ["about", "plain", "author"]
    env.reset("zen-4")
    assert device.told == [(2, 3)]


def test_names_that_do_not_exist(folder: Path) -> None:
    """Unknown sets, ranges and tasks are usage errors; so is a step outside of an episode."""
    env, _ = over(folder)
    with pytest.raises(UnknownNameError, match="all"):
        env.tasks("test")
    with pytest.raises(UsageError):
        env.tasks("0:4")
    with pytest.raises(UsageError, match="unknown task"):
        env.reset("kite")
    with pytest.raises(UsageError, match="reset"):
        env.step("GOBACK")


def test_an_episode(folder: Path) -> None:
    """Screens become lines, actions commands; instructions stay until a new one comes; the end is told."""
    env, device = over(
        folder,
        Answer(screen=screen("kite", "How to Fly"), reward=1.0, instruction="Access it"),
        Answer(screen=screen("a", "b", "c")),
        Answer(screen=None, reward=1.0, ended=True, succeeded=True),
    )
    first = env.reset("fly_a_kite-8")
    assert first.observation == '<input value="begin" type="text" id="0" clickable="false">'
    assert (first.subtask, first.actions[:2]) == ("", ("INPUT(0, <text>)", "CLICK(0)"))
    second = env.step("INPUT(0, kite)")
    assert (second.reward, second.subtask, second.done) == (1.0, "Access it", False)
    third = env.step("SCROLL(DOWN)")
    assert (third.subtask, len(third.observation.splitlines())) == ("Access it", 3)
    last = env.step("CLICK(2)")
    assert last.terminated
    assert last.observation == third.observation  # no screen came any more
    assert env.succeeded(2.0, last)
    assert device.told[1:] == [Command("INPUT", 0, "kite"), Command("SCROLL"), Command("CLICK", 2)]
    with pytest.raises(UsageError, match="end of the episode"):
        env.step("GOBACK")


def test_nonsense_does_not_reach_the_device(folder: Path) -> None:
    """An action that cannot be done is answered with the reason above the same screen, and costs a step."""
    env, device = over(folder)
    before = env.reset("zen-4")
    step = env.step("CLICK(7)")
    assert step.observation.splitlines()[1:] == before.observation.splitlines()
    assert "element 7" in step.observation.splitlines()[0]
    assert (step.reward, step.info["valid"], step.info["steps"]) == (0.0, False, 1)
    assert len(device.told) == 1


def test_faithful_clips_ids(folder: Path) -> None:
    """As in the original, an id beyond the last element then means the last one."""
    env, device = over(folder, Answer(screen=screen("x")), faithful=True)
    env.reset("zen-4")
    assert env.step("CLICK(7)").info["valid"]
    assert device.told[-1] == Command("CLICK", 0)


@pytest.mark.parametrize(
    ("succeeded", "reward", "expected", "faithfully"),
    [(True, 1.0, True, True), (False, 0.0, False, True), (None, 1.0, True, True), (None, 0.0, False, True)],
)
def test_success(
    folder: Path, succeeded: bool | None, reward: float, expected: bool, faithfully: bool
) -> None:
    """Success is what Mobile-Env says; before 4.0 it says nothing, and the end must have paid. In the
    original an exit counts, too."""
    for faithful, wanted in ((False, expected), (True, faithfully)):
        end = Answer(screen=screen("end"), reward=reward, ended=True, succeeded=succeeded)
        env, _ = over(folder, end, faithful=faithful)
        env.reset("zen-4")
        assert env.succeeded(reward, env.step("GOBACK")) is wanted


def test_the_last_allowed_step(folder: Path) -> None:
    """Ending with the 15th action is success, but a failure in the original."""
    for faithful in (False, True):
        answers = [Answer(screen=screen("x"))] * 14
        end = Answer(screen=screen("end"), reward=1.0, ended=True, succeeded=True)
        env, _ = over(folder, *answers, end, faithful=faithful)
        env.reset("zen-4")
        steps = [env.step("GOBACK") for _ in range(env.max_steps)]
        assert steps[-1].terminated
        assert env.succeeded(1.0, steps[-1]) is not faithful


def test_one_device_plays_one_episode(folder: Path) -> None:
    """Whoever resets has the device until the episode ends or is closed; others are refused."""
    env, device = over(folder, Answer(screen=None, ended=True, succeeded=True))
    first, second = env.spawn(), env.spawn()
    first.reset("zen-4")
    first.reset("zen-4")  # once more is no other episode
    with pytest.raises(UsageError, match="one worker"):
        second.reset("zen-4")
    first.close()
    second.reset("zen-4")
    second.step("GOBACK")
    env.reset("zen-4")
    assert "closed" not in device.told
    env.close()
    env.close()
    assert "closed" in device.told
    with pytest.raises(ClosedError):
        env.reset("zen-4")


def test_a_failed_reset_gives_the_device_back(folder: Path) -> None:
    """A device that fails at the start of an episode is free for the next one."""
    env, device = over(folder)
    broken = env.spawn()
    device.begin = lambda number, tasks: Answer(screen=None, ended=True)  # type: ignore[method-assign]
    with pytest.raises(EnvironmentFaultError, match="over before it began"):
        broken.reset("zen-4")
    broken.close()
    del device.begin
    env.reset("zen-4")


def test_missing_mobile_env(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without Mobile-Env the install command is told at once, before an emulator is looked for."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match="mobile-env"):
        MobileEnv.open(folder, avd="wikihow")
    with pytest.raises(MissingExtraError, match="mobile-env"):
        MobileEnv.over(object(), folder)


def test_import_is_light() -> None:
    """Importing the adapter imports neither Mobile-Env nor what it needs."""
    heavy = "{'android_env', 'lxml', 'torch'}"
    code = f"import sys, {adapter.__name__}; sys.exit(bool({heavy} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_folders_without_tasks(tmp_path: Path) -> None:
    """No folder, an empty one, a file that is no task, a task without command: each is named."""
    for folder in (tmp_path, tmp_path / "none"):
        with pytest.raises(DataError, match="no task files"):
            read_task_files(folder)
    task_file(tmp_path, "mute-8")
    with pytest.raises(DataError, match=r"mute-8.*no command"):
        read_task_files(tmp_path)
    (tmp_path / "broken.textproto").write_text('command: "x')
    with pytest.raises(DataError, match=r"broken.*line 1"):
        read_task_files(tmp_path)


def test_task_files_of_another_era(tmp_path: Path) -> None:
    """A file that the installed version cannot read is named, with the version that can."""
    task_file(tmp_path, "old-8", "Search.", field=OLD_FIELD)
    old = read_task_files(tmp_path)
    check_era(old, current=False)
    with pytest.raises(DataError, match=r"old-8.*mobile-env-rl==2\.1\.1"):
        check_era(old, current=True)
    task_file(tmp_path, "old-8", "Search.")
    current = read_task_files(tmp_path)
    check_era(current, current=True)
    with pytest.raises(DataError, match=r"old-8.*mobile-env-rl==4\.1"):
        check_era(current, current=False)
    (tmp_path / "old-8.textproto").write_text('command: "No screen is watched."')
    for era in (True, False):
        check_era(read_task_files(tmp_path), current=era)


@given(st.text(max_size=40))
def test_what_is_typed(text: str) -> None:
    """With the default vocabulary every text is typed as the offline app has it: pieces joined at ##."""
    vocabulary = vocabulary_of(["how to", "kites"])
    numbers = WordPieces(vocabulary)(text, add_special_tokens=False)["input_ids"]
    assert " ".join(vocabulary[number] for number in numbers).replace(" ##", "") == typed(text)


def test_longest_pieces_and_unknown_words() -> None:
    """The longest piece is taken first; a word that cannot be spelled is left out, and no other."""
    pieces = WordPieces(["kite", "##s", "##flying", "k", "##ite"])
    assert pieces("Kites kite kiteflying boat") == {"input_ids": [0, 1, 0, 0, 2]}


def test_the_installer_does_nothing_twice(
    script: Callable[[str], ModuleType], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The light installation is made from its lock once, anew when the lock changed or a try was cut off."""
    tool = script("tools/install_mobile_env.py")
    lock, target, calls = tmp_path / "1.0.txt", tmp_path / "1.0", list[list[str]]()
    lock.write_text("nothing==1.0")

    def pip(command: list[str], check: bool) -> None:
        calls.append(command)
        target.mkdir()

    monkeypatch.setattr(tool.subprocess, "run", pip)
    assert tool.install(lock, target)
    assert not tool.install(lock, target)
    lock.write_text("nothing==1.1")
    assert tool.install(lock, target)
    (target / tool.STAMP).unlink()
    assert tool.install(lock, target)
    assert len(calls) == 3
    assert all("--require-hashes" in command for command in calls)
