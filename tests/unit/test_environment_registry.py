"""Environments by name, and the corridor's promise that only experience helps."""

from __future__ import annotations

import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from rlem.core.errors import ClosedError, DataError, UnknownNameError, UsageError
from rlem.environments.ranges import parse_range
from rlem.environments.registry import make, names, option_names
from rlem.environments.toy import DOORS, Corridor
from rlem.environments.webshop.env import WebShop


def test_known_names() -> None:
    """All environments are made by name with their options."""
    assert names() == ("corridor", "mobile-env", "webshop", "wikihow")
    env = make("webshop", n_products=30, observation_mode="text")
    assert isinstance(env, WebShop)
    assert env.observation_mode == "text"
    assert len(env.catalogue.products) == 30
    assert isinstance(make("corridor"), Corridor)


def test_unknown_environment_and_option() -> None:
    """A wrong name is answered with the nearest one, a wrong option with the known ones."""
    with pytest.raises(UnknownNameError, match="did you mean 'webshop'"):
        make("webshp")
    with pytest.raises(UsageError, match="did you mean 'price_seed'"):
        make("webshop", priceseed=3)
    with pytest.raises(UnknownNameError, match="corridor"):
        option_names("maze")
    assert {"data", "goals", "price_seed", "observation_mode"} <= set(option_names("webshop"))


def test_values_that_do_not_fit(tmp_path: Path) -> None:
    """Human goals need a folder; an empty folder is a DataError."""
    with pytest.raises(UsageError, match="data=PATH"):
        make("webshop", goals="human")
    with pytest.raises(DataError, match="items_shuffle"):
        make("webshop", data=str(tmp_path))
    with pytest.raises(UsageError, match="rooms"):
        make("corridor", rooms=0)


@pytest.mark.parametrize(
    ("name", "option", "value"),
    [
        ("wikihow", "n_articles", "a"),
        ("wikihow", "seed", "x"),
        ("wikihow", "reward_lag", "0.5"),
        ("corridor", "rooms", 2.5),
    ],
)
def test_numbers_must_be_numbers(name: str, option: str, value: object) -> None:
    """A text or a fraction in place of a number is a UsageError that names option and value."""
    with pytest.raises(UsageError, match=re.escape(f"{option}={value!r} is no ")):
        make(name, **{option: value})


def test_import_is_light() -> None:
    """The registry loads neither numpy nor the shop until an environment is made."""
    code = "import sys, rlem.environments.registry as r; r.names(); sys.exit('numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("spec", ["", "test", "1:", ":2", "1:2:3", " 1:2", "１:２"])
def test_texts_that_are_no_range(spec: str) -> None:
    """Only digits, a colon and digits are a range."""
    assert parse_range(spec, 10) is None


def test_corridor_splits() -> None:
    """The splits share owners but no task."""
    env = Corridor()
    train, test = env.tasks("train"), env.tasks("test")
    assert len(train) == len(test) == 10
    assert not {task.id for task in train} & {task.id for task in test}
    assert {task.kind for task in train} == {task.kind for task in test}
    assert len(Counter(task.instruction for task in (*train, *test))) == 20


def test_corridor_right_doors() -> None:
    """The right doors earn 1, are the same for an owner's tasks, differ between owners, stand in no text."""
    env = Corridor()
    ways: dict[str, tuple[str, ...]] = {}
    for task in env.tasks("0:20"):
        doors = env.oracle(task)
        assert ways.setdefault(task.kind, tuple(doors)) == tuple(doors)
        steps = [env.reset(task), *(env.step(door) for door in doors)]
        assert [step.reward for step in steps] == [0.0, 0.0, 1.0]
        assert steps[-1].terminated
        assert env.succeeded(1.0, steps[-1])
        assert all(door in steps[0].observation for door in DOORS)
        assert not any(door in task.instruction for door in DOORS)
    assert len(set(ways.values())) > 1


def test_corridor_wrong_door() -> None:
    """A wrong door ends the episode with nothing."""
    env = Corridor()
    step = env.reset("corridor:0")
    wrong = next(action for action in step.actions if action != env.oracle("corridor:0")[0])
    last = env.step(wrong)
    assert (last.terminated, last.reward, env.succeeded(0.0, last)) == (True, 0.0, False)


def test_closed_corridor() -> None:
    """A closed corridor cannot be entered again."""
    env = Corridor()
    env.close()
    with pytest.raises(ClosedError):
        env.reset("corridor:0")
