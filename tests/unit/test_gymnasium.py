"""rlem's environments inside of Gymnasium: its checker, its vector environments, what they must not share."""

from __future__ import annotations

import copy
import gc
import importlib
import pickle
import re
import subprocess
import sys
import threading
import warnings
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, get_args

import pytest

from rlem.core.errors import ClosedError, MissingExtraError, UnknownNameError, UsageError
from rlem.core.types import Step, Task
from rlem.environments.toy import Corridor
from rlem.environments.webshop.pages import ObservationMode

gymnasium = pytest.importorskip("gymnasium", reason="the extra gymnasium is not installed")
import numpy as np  # noqa: E402 - only where Gymnasium is
from gymnasium.utils.env_checker import check_env  # noqa: E402

from rlem.integrations import gymnasium as module  # noqa: E402
from rlem.integrations.gymnasium import TextEnvironment, UnicodeText, WebShopEnvironment  # noqa: E402

ID = "rlem/WebShop-v0"
SMALL: dict[str, Any] = {"n_products": 60, "tasks": "0:20"}
STRANGE = "naïve 🛒 \x00 \ud800 中"


@pytest.fixture(autouse=True)
def no_shared_shops() -> Iterator[None]:
    """After every test nothing is held open: close frees."""
    yield
    gc.collect()
    assert module._shared == {}


class Strange(Corridor):
    """A corridor whose texts hold any characters, and one very long one."""

    def reset(self, task: Task | str, *, seed: int = 0) -> Step:
        """The first room, strangely described."""
        step = super().reset(task, seed=seed)
        return Step(observation=STRANGE + "x" * 100, actions=step.actions)


def shop_actions(env: Any) -> list[str]:
    """Actions that earn 1.0 in the task at hand."""
    return list(env.unwrapped.environment.oracle(env.unwrapped.environment.tasks("0:1")[0]))


def trace(env: Any, seed: int) -> list[Any]:
    """Everything that an episode with random valid actions gives, ended by Gymnasium."""
    observation, info = env.reset(seed=seed)
    found = [observation, info]
    rng = np.random.default_rng(seed)
    while True:
        action = str(rng.choice(info["available_actions"])).replace("<words>", "<r>")
        observation, reward, terminated, truncated, info = env.step(action)
        found.append((action, observation, reward, terminated, truncated, info))
        if terminated or truncated:
            return found


@pytest.mark.parametrize("mode", get_args(ObservationMode))
def test_gymnasiums_own_checker_finds_nothing(mode: str) -> None:
    """check_env passes without a warning in every form of observation, made by id."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        env = gymnasium.make(ID, observation_mode=mode, render_mode="ansi", **SMALL)
        check_env(env.unwrapped)
    env.close()


def test_the_checker_passes_any_environment() -> None:
    """The wrapper is not about WebShop: the toy environment passes too."""
    check_env(TextEnvironment(Corridor()), skip_render_check=True)


def test_an_episode_from_reset_to_purchase() -> None:
    """Info names task, instruction and actions; the end has reward, its parts and success."""
    env = gymnasium.make(ID, render_mode="ansi", **SMALL)
    observation, info = env.reset(seed=1, options={"index": 0})
    assert (info["task_id"], info["available_actions"]) == ("webshop:0", ["search[<words>]"])
    assert info["instruction"] in observation
    *before, buy = shop_actions(env)
    for action in before:
        observation, reward, terminated, truncated, info = env.step(action)
        assert (reward, terminated, truncated, info["valid"], info["is_success"]) == (
            0,
            False,
            False,
            True,
            False,
        )
        assert info["available_actions"]
    assert env.render() == observation
    _, reward, terminated, truncated, info = env.step(buy)
    assert (reward, terminated, truncated, info["is_success"]) == (1.0, True, False, True)
    assert info["r_type"] == 1.0
    assert info["available_actions"] == []
    env.close()


def test_what_is_not_understood_is_answered() -> None:
    """Any text is an action; one without sense leaves the page and says so. Another type is misuse."""
    env = gymnasium.make(ID, **SMALL)
    observation, _ = env.reset(options={"task": "webshop:3"})
    for action in ("", "dance", "click[<b>]", STRANGE, "x" * 20_000):
        again, reward, terminated, _, info = env.step(action)
        assert (again, reward, terminated, info["valid"]) == (observation, 0.0, False, False)
    with pytest.raises(UsageError, match="an action is a text; got int 7"):
        env.unwrapped.step(7)
    env.close()


def test_the_step_limit_is_gymnasiums() -> None:
    """Fifteen steps by registration, seen in the spec, changed by max_episode_steps."""
    for limit, options in ((15, {}), (4, {"max_episode_steps": 4})):
        env = gymnasium.make(ID, **SMALL, **options)
        assert env.spec is not None
        assert env.spec.max_episode_steps == limit
        env.reset(seed=0)
        ends = [env.step("search[red]")[2:4] for _ in range(limit)]
        assert ends == [(False, False)] * (limit - 1) + [(False, True)]
        env.close()


def test_tasks_are_chosen_by_id_and_place_or_drawn() -> None:
    """index counts in the task set; task takes any id or Task; without, the set is drawn from."""
    env = TextEnvironment(Corridor(), tasks="10:13")
    assert env.reset(options={"index": 2})[1]["task_id"] == "corridor:12"
    assert env.reset(options={"index": np.int64(0)})[1]["task_id"] == "corridor:10"
    for task in ("corridor:3", Corridor().tasks("3:4")[0]):
        info = env.reset(options={"task": task})[1]
        assert (info["task_id"], info["instruction"]) == (
            "corridor:3",
            Corridor().tasks("3:4")[0].instruction,
        )
    drawn = {env.reset()[1]["task_id"] for _ in range(60)}
    assert drawn == {"corridor:10", "corridor:11", "corridor:12"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"task": "corridor:99"}, "unknown task 'corridor:99'"),
        ({"task": "webshop:1"}, "unknown task"),
        ({"task": None}, "unknown task"),
        ({"index": 10}, "allowed: 0 to 9"),
        ({"index": -1}, "allowed: 0 to 9"),
        ({"index": "one"}, "allowed: 0 to 9"),
        ({"index": 1, "task": "corridor:1"}, "give one of them"),
        ({"tsk": 1}, "did you mean 'task'"),
    ],
)
def test_a_wrong_task_says_what_is_allowed(options: dict[str, Any], message: str) -> None:
    """Misuse of reset's options ends in a UsageError."""
    with pytest.raises(UsageError, match=re.escape(message)):
        TextEnvironment(Corridor()).reset(options=options)


def test_wrong_construction_says_what_is_allowed_and_frees() -> None:
    """Unknown options, task sets and render modes are named; nothing stays open."""
    with pytest.raises(UnknownNameError, match="n_product"):
        WebShopEnvironment(n_product=3)
    with pytest.raises(UsageError, match="0:99999"):
        WebShopEnvironment(n_products=60, tasks="0:99999")
    with pytest.raises(UnknownNameError, match="ansi"):
        TextEnvironment(Corridor(), render_mode="human")


def test_every_observation_is_in_the_space() -> None:
    """Whatever the characters; what is longer than the space allows is cut to it."""
    env = TextEnvironment(Strange(), max_length=50)
    observation, _ = env.reset(seed=0)
    assert observation == (STRANGE + "x" * 100)[:50]
    assert observation in env.observation_space
    assert "x" * 51 not in env.observation_space
    assert "" in env.action_space
    assert b"bytes" not in env.action_space
    env.close()


def test_the_space_behaves_as_gymnasiums_text() -> None:
    """Samples are inside and seeded, masks work, copies are equal, flattening comes back."""
    space = UnicodeText(60, seed=3)
    samples = [space.sample() for _ in range(200)]
    assert all(sample in space for sample in samples)
    assert max(map(len, samples)) <= 40
    space.seed(3)
    assert samples == [space.sample() for _ in range(200)]
    assert len(space.sample(mask=(5, None))) == 5
    assert space == pickle.loads(pickle.dumps(space)) == copy.deepcopy(space)
    assert space != UnicodeText(61)
    assert repr(space) == "UnicodeText(60)"
    flat = gymnasium.spaces.flatten(space, STRANGE)
    assert flat in gymnasium.spaces.flatten_space(space)
    assert gymnasium.spaces.unflatten(space, flat) == STRANGE


def test_same_seed_and_actions_same_trace() -> None:
    """Two environments, one after the other or again, give the same episode; another seed another one."""
    first, second = (gymnasium.make(ID, **SMALL) for _ in range(2))
    once = trace(first, 5)
    assert trace(second, 5) == trace(first, 5) == once
    assert trace(second, 6) != once
    first.close()
    second.close()


def test_environments_share_the_shop_and_nothing_else() -> None:
    """Equal options: one catalogue. Interleaved episodes go as if alone; closing one leaves the other."""
    first, second = (gymnasium.make(ID, **SMALL).unwrapped for _ in range(2))
    other = gymnasium.make(ID, **{**SMALL, "n_products": 61}).unwrapped
    assert first.environment.shop is second.environment.shop
    assert first.environment.shop is not other.environment.shop
    start, _ = first.reset(options={"index": 0})
    second.reset(options={"index": 1})
    second.step("search[<r>]")
    again = first.step("dance")
    assert (again[0], again[4]["available_actions"]) == (start, ["search[<words>]"])
    second.close()
    second.close()
    assert first.step("search[red]")[4]["valid"]
    assert len(module._shared) == 2
    first.close()
    other.close()
    assert module._shared == {}


def test_what_is_not_closed_is_freed_with_its_last_user() -> None:
    """Forgetting to close leaks no shop: collected with its last user, it is held no more."""
    env = gymnasium.make(ID, **SMALL)
    env.reset(seed=0)
    shop = weakref.ref(env.unwrapped.environment.shop)
    assert shop() is not None
    assert len(module._shared) == 1
    del env
    gc.collect()
    assert shop() is None
    assert module._shared == {}


def test_the_last_close_frees_the_shop() -> None:
    """Closed, an environment that is still referred to holds no shop: the last close frees it, not one
    before."""
    first, second = (gymnasium.make(ID, render_mode="ansi", **SMALL) for _ in range(2))
    first.reset(seed=0)
    second.reset(seed=0)
    shop = weakref.ref(first.unwrapped.environment.shop)
    catalogue = weakref.ref(first.unwrapped.environment.shop.catalogue)
    first.close()
    gc.collect()
    assert shop() is not None
    assert second.step("search[red]")[4]["valid"]
    second.close()
    gc.collect()
    assert shop() is None
    assert catalogue() is None
    assert first.unwrapped is not second.unwrapped


@pytest.mark.parametrize("make", [lambda: WebShopEnvironment(**SMALL), lambda: TextEnvironment(Corridor())])
def test_a_closed_environment_says_so(make: Callable[[], TextEnvironment]) -> None:
    """Whatever is asked of it, before or after a reset; closing again is fine."""
    for started in (False, True):
        env = make()
        if started:
            env.reset(seed=0)
        env.close()
        env.close()
        for use in (
            lambda env=env: env.reset(seed=0),
            lambda env=env: env.reset(options={"index": 0}),
            lambda env=env: env.reset(options={"task": "webshop:0"}),
            lambda env=env: env.step("search[red]"),
            lambda env=env: env.environment,
        ):
            with pytest.raises(ClosedError, match="closed; make a new one"):
                use()
        assert env.render() is None


def test_threads_make_and_play_side_by_side() -> None:
    """Eight threads make, play and close; all see the trace that one alone sees."""
    alone = gymnasium.make(ID, **SMALL)
    expected = trace(alone, 9)
    alone.close()
    found: list[list[Any]] = []

    def play() -> None:
        env = gymnasium.make(ID, **SMALL)
        found.append(trace(env, 9))
        env.close()

    threads = [threading.Thread(target=play) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [expected] * 8


@pytest.mark.parametrize(("mode", "copied"), [("sync", True), ("async", True), ("async", False)])
def test_vector_environments(mode: str, copied: bool) -> None:
    """Four at once give what four alone give: observations, infos, rewards and the end, also through
    the shared memory of worker processes."""
    options = {"context": "spawn", "copy": copied} if mode == "async" else None
    count = 4 if mode == "sync" else 2
    many = gymnasium.make_vec(ID, num_envs=count, vectorization_mode=mode, vector_kwargs=options, **SMALL)
    alone = [gymnasium.make(ID, **SMALL) for _ in range(count)]
    observations, infos = many.reset(seed=[7 + number for number in range(count)])
    starts = [env.reset(seed=7 + number) for number, env in enumerate(alone)]
    assert tuple(observations) == tuple(start for start, _ in starts)
    assert list(infos["task_id"]) == [info["task_id"] for _, info in starts]
    for actions in (
        ["search[red]", "dance", "search[<r>]", ""],
        ["click[next >]", "search[a]", "?", "click[x]"],
    ):
        observations, rewards, _, truncated, infos = many.step(tuple(actions[:count]))
        steps = [env.step(action) for env, action in zip(alone, actions, strict=False)]
        assert tuple(observations) == tuple(step[0] for step in steps)
        assert list(infos["available_actions"]) == [step[4]["available_actions"] for step in steps]
        assert list(infos["valid"]) == [step[4]["valid"] for step in steps]
        assert not rewards.any()
        assert not truncated.any()
    many.close()
    for env in alone:
        env.close()


def test_long_and_strange_texts_pass_the_shared_memory() -> None:
    """Lone surrogates, emoji, nothing at all and the longest text come out as they went in."""
    import multiprocessing

    from gymnasium.vector.utils import create_shared_memory, read_from_shared_memory, write_to_shared_memory

    space = UnicodeText(500)
    memory = create_shared_memory(space, 3, multiprocessing.get_context("spawn"))
    texts = read_from_shared_memory(space, memory, 3)
    assert copy.deepcopy(texts) == ("", "", "")
    for index, text in enumerate(("🛒" * 500, STRANGE, "x")):
        write_to_shared_memory(space, index, "older and longer", memory)
        write_to_shared_memory(space, index, text, memory)
    assert tuple(texts) == ("🛒" * 500, STRANGE, "x")
    assert len(texts) == 3


@pytest.mark.parametrize(
    "code",
    [
        "import gymnasium; "
        "env = gymnasium.make('rlem.integrations.gymnasium:rlem/WebShop-v0', n_products=60, tasks='0:5')",
        "import gymnasium, rlem.integrations.gymnasium as m; gymnasium.register_envs(m); "
        "env = gymnasium.make('rlem/WebShop-v0', n_products=60, tasks='0:5')",
    ],
)
def test_it_is_found_by_module_and_by_import(code: str) -> None:
    """In a fresh process: the id with its module needs no import of rlem; the bare id needs one."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", f"{code}; print(env.reset(seed=0)[1]['task_id'])"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("webshop:")


def test_loading_it_twice_registers_once(recwarn: pytest.WarningsRecorder) -> None:
    """A second load keeps quiet: Gymnasium would warn of an id that is overridden."""
    spec = gymnasium.spec(ID)
    importlib.import_module(module.__name__)
    assert gymnasium.spec(ID) == spec
    assert not recwarn.list


def test_without_gymnasium_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """The import ends in the install command, and the plain environments need none of it."""
    monkeypatch.setitem(sys.modules, "gymnasium", None)
    monkeypatch.delitem(sys.modules, module.__name__)
    with pytest.raises(MissingExtraError, match=r"pip install 'rlem\[gymnasium\]'"):
        importlib.import_module(module.__name__)


def test_the_examples_of_the_page_run(project: Path, tmp_path: Path) -> None:
    """docs/gymnasium.md: each Python block is a program that runs as it stands; the first prints a reward."""
    page = (project / "docs" / "gymnasium.md").read_text("utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    outputs = []
    for block in blocks:
        (tmp_path / "example.py").write_text(block, "utf-8")
        command = [sys.executable, str(tmp_path / "example.py")]
        outputs.append(
            subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout
        )
    assert len(blocks) == 3
    assert re.fullmatch(r"webshop:\d+ reward [01]\.\d+ success (True|False)\n", outputs[0])
