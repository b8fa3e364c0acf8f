"""The environment contract over all environments, and proof that the suite catches what it should."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from rlem.core.errors import UsageError
from rlem.core.types import Step, Task
from rlem.environments.base import Environment
from rlem.environments.toy import Corridor
from rlem.environments.webshop.data import GoalKind
from rlem.environments.webshop.env import WebShop
from rlem.environments.wikihow.env import WikiHow
from rlem.testing.environment_contract import EnvironmentContract


class TestCorridor(EnvironmentContract):
    """The toy environment."""

    def make(self) -> Environment:
        """A corridor of three rooms."""
        return Corridor(rooms=3)


@cache
def bundled() -> WebShop:
    """The bundled shop, opened once."""
    return WebShop.bundled(n_products=200)


@cache
def opened(folder: Path, goals: GoalKind) -> WebShop:
    """A shop over the original's files, opened once."""
    return WebShop.open(folder, goals=goals)


class TestBundledShop(EnvironmentContract):
    """The shop with the generated catalogue."""

    def make(self) -> Environment:
        """An environment over the opened shop."""
        return bundled().spawn()


class TestRealShop(EnvironmentContract):
    """The shop with the original's 1000 products."""

    goals: GoalKind = "synthetic"

    @pytest.fixture(autouse=True)
    def _folder(self, golden: Callable[[str], Path]) -> None:
        """Skips without recorded data."""
        self.folder = golden("webshop/products.json.gz").parent

    def make(self) -> Environment:
        """An environment over the opened shop."""
        return opened(self.folder, self.goals).spawn()

    def some_tasks(self, env: Environment) -> list[Task]:
        """The first tasks: the human goals of the small data set fill no published split."""
        return list(env.tasks("0:6"))


class TestRealShopHumanGoals(TestRealShop):
    """The same shop with the instructions that people wrote."""

    goals: GoalKind = "human"


@cache
def app() -> WikiHow:
    """The app over a generated site, made once."""
    return WikiHow.bundled()


class TestWikiHow(EnvironmentContract):
    """The app of how-to articles."""

    def make(self) -> Environment:
        """Another phone."""
        return app().spawn()

    def ending(self) -> tuple[Task, list[str], list[Step]]:
        """The oracle's way through a task of three sub-goals: no random walk ends a task."""
        env = app().spawn()
        task = next(task for task in env.tasks("S0") if task.kind == "about")
        actions = env.oracle(task)
        return task, actions, self.replay(env, task, actions)

    def page(self, step: Step) -> str:
        """The screen without the line that says what was wrong."""
        first, _, rest = step.observation.partition("\n")
        return rest if first.startswith("<!--") else step.observation


class TestFaithfulWikiHow(TestWikiHow):
    """With the slips of the original: ids are clipped, late rewards, goals that pay again."""

    def make(self) -> Environment:
        """Another phone."""
        return faithful().spawn()


@cache
def faithful() -> WikiHow:
    """The same app, as the original."""
    world = app()
    return WikiHow(world.site, world.all_tasks, repeatability="unlimited", reward_lag=0.3, faithful=True)


class _Endless(Corridor):
    """Never ends: every action is answered with the same page."""

    def step(self, action: str) -> Step:
        return self._look()

    def spawn(self) -> _Endless:
        return _Endless()


class _Deaf(Corridor):
    """Raises on what it does not know."""

    def step(self, action: str) -> Step:
        if not action.startswith("open["):
            raise UsageError(f"cannot do {action!r:.60}")
        return super().step(action)


class _Generous(Corridor):
    """Gives more than it promises."""

    reward_range = (0.0, 0.5)

    def __init__(self) -> None:
        super().__init__(rooms=1)


class _Liar(Corridor):
    """Lists an action that it does not understand."""

    def _look(self, *, valid: bool = True) -> Step:
        step = super()._look(valid=valid)
        return Step(observation=step.observation, actions=(*step.actions, "fly[away]"), info=step.info)


class _Twin(Corridor):
    """Spawns itself."""

    def spawn(self) -> _Twin:
        return self


def _suite(kind: type[Corridor]) -> EnvironmentContract:
    suite = EnvironmentContract()
    suite.make = kind  # type: ignore[method-assign, assignment]
    return suite


def test_suite_fails_when_no_episode_ends() -> None:
    """An environment that never ends fails by the hard case, not by passing quietly."""
    with pytest.raises(pytest.fail.Exception, match="hard case was not reached"):
        _suite(_Endless).test_same_actions_same_steps()
    with pytest.raises(pytest.fail.Exception, match="hard case was not reached"):
        _suite(_Endless).test_rewards_are_as_promised()


def test_suite_catches_exceptions_on_nonsense() -> None:
    """An environment that raises on nonsense fails."""
    with pytest.raises(UsageError):
        _suite(_Deaf).test_nonsense_is_answered()


def test_suite_catches_broken_promises() -> None:
    """Rewards out of range, listed actions that do not work and dependent spawns fail."""
    with pytest.raises(AssertionError):
        _suite(_Generous).test_rewards_are_as_promised()
    with pytest.raises(AssertionError, match="was listed but not understood"):
        _suite(_Liar).test_listed_actions_work()
    with pytest.raises((AssertionError, UsageError)):
        _suite(_Twin).test_spawned_environments_are_independent()
