"""The environment contract as tests. Subclass it, supply ``make``, and let pytest collect it.

    class TestMyEnvironment(EnvironmentContract):
        def make(self) -> Environment:
            return MyEnvironment()

The suite fails where the hard case was never reached: an episode that ends, an answer to nonsense, a
listed action. An environment that a random walk cannot finish overrides ``fill`` or ``ending``.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from rlem.core.errors import UnknownNameError, UsageError
from rlem.core.types import Step, Task
from rlem.environments.base import Environment

NONSENSE = (
    "", " ", "\n", "\x00\x07\x1b[2J", "]", "[", "[]", "[][]", "search[]", "click[", "nonsense[of no use]",
    "🛒" * 50, "\ud800", "x" * 10_000, "[" * 10_000, "a[" * 3_000 + "]" * 3_000, "click[\x85\u2028]", "Ω[ẞ]",
)  # fmt: skip
"""Actions that no environment understands: each must be answered with a step of reward 0."""


class EnvironmentContract:
    """What every environment must do. The subclass supplies ``make``."""

    max_walk_steps = 60
    walks = 12
    """Random walks of so many steps are tried until an episode ends."""

    def make(self) -> Environment:
        """A new environment, independent of any other."""
        raise NotImplementedError

    def fill(self, action: str, task: Task, rng: random.Random) -> str:
        """The action with its free argument filled: a few words of the instruction."""
        start, end = action.find("<"), action.find(">")
        if start < 0 or end < start:
            return action
        words = task.instruction.replace("[", " ").replace("]", " ").split() or ["word"]
        return action[:start] + " ".join(rng.sample(words, min(3, len(words)))) + action[end + 1 :]

    def ending(self) -> tuple[Task, list[str], list[Step]]:
        """A task with actions that bring its episode to ``terminated``, and the steps they gave.

        Found by random walks over listed actions; fails when none ends.
        """
        env = self.make()
        tasks = self.some_tasks(env)
        for number in range(self.walks):
            task = tasks[number % len(tasks)]
            actions, steps = self.walk(env, task, random.Random(number))
            if steps[-1].terminated:
                return task, actions, steps
        pytest.fail(
            f"no episode ended in {self.walks} random walks: the contract's hard case was not reached"
        )

    def walk(self, env: Environment, task: Task, rng: random.Random) -> tuple[list[str], list[Step]]:
        """A random walk over listed actions: the actions, and the steps from reset on."""
        steps, actions = [env.reset(task)], list[str]()
        while not steps[-1].done and len(actions) < self.max_walk_steps:
            assert steps[-1].actions, (
                f"no actions are listed on a page that is not the end: {steps[-1]!r:.300}"
            )
            actions.append(self.fill(rng.choice(steps[-1].actions), task, rng))
            steps.append(env.step(actions[-1]))
        return actions, steps

    def page(self, step: Step) -> str:
        """What an observation shows of the world; an environment that puts a complaint there takes it off."""
        return step.observation

    def some_tasks(self, env: Environment) -> list[Task]:
        """Up to six tasks of the sets that this environment's data can give."""
        found: dict[str, Task] = {}
        for name in env.task_sets():
            try:
                found.update((task.id, task) for task in env.tasks(name)[:3])
            except UsageError:  # a set of the published protocol that a small data set does not hold
                continue
        assert found, f"none of the task sets {list(env.task_sets())} gives a task"
        return list(found.values())[:6]

    def replay(self, env: Environment, task: Task, actions: Sequence[str], *, seed: int = 0) -> list[Step]:
        """The steps of an episode with given actions."""
        return [env.reset(task, seed=seed), *(env.step(action) for action in actions)]

    def test_is_an_environment(self) -> None:
        """It has all members of the protocol, a name, a step limit and an ordered reward range."""
        env = self.make()
        assert isinstance(env, Environment)
        assert env.name
        assert env.max_steps > 0
        assert env.reward_range[0] < env.reward_range[1]

    def test_task_sets_hold_tasks(self) -> None:
        """Tasks have an id of their own and an instruction; each set has one line of description."""
        env = self.make()
        assert all(text and "\n" not in text for text in env.task_sets().values())
        tasks = self.some_tasks(env)
        assert all(task.id and task.instruction for task in tasks)
        assert len({task.id for task in tasks}) == len(tasks)

    def test_ranges_are_understood(self) -> None:
        """``A:B`` gives B - A tasks, the same ones every time."""
        env = self.make()
        assert len(env.tasks("0:2")) == 2
        assert list(env.tasks("0:2"))[1:] == list(env.tasks("1:2"))

    @pytest.mark.parametrize("spec", ["2:1", "0:0", "0:999999999"])
    def test_impossible_ranges_are_usage_errors(self, spec: str) -> None:
        """A range that is empty or leaves the tasks is a UsageError."""
        with pytest.raises(UsageError):
            self.make().tasks(spec)

    @pytest.mark.parametrize("spec", ["no-such-set", "", "1:", "-1:2", "a:b"])
    def test_unknown_task_set(self, spec: str) -> None:
        """An unknown name of a task set is an UnknownNameError."""
        with pytest.raises(UnknownNameError):
            self.make().tasks(spec)

    def test_unknown_task(self) -> None:
        """A task id that does not exist is a UsageError."""
        with pytest.raises(UsageError):
            self.make().reset("no such task")

    def test_step_before_reset(self) -> None:
        """A step before reset is a UsageError."""
        with pytest.raises(UsageError):
            self.make().step("anything")

    def test_step_after_the_end(self) -> None:
        """A step after the end is a UsageError, and reset begins anew after it."""
        task, actions, steps = self.ending()
        env = self.make()
        self.replay(env, task, actions)
        with pytest.raises(UsageError):
            env.step(actions[-1])
        assert env.reset(task) == steps[0]

    def test_same_actions_same_steps(self) -> None:
        """The same task, seed and actions give the same steps, in another environment and in the same."""
        task, actions, steps = self.ending()
        env = self.make()
        assert self.replay(env, task, actions) == steps
        assert self.replay(env, task, actions) == steps

    def test_reset_by_id_and_in_mid_episode(self) -> None:
        """A task's id does as well as the task; reset in the middle of an episode begins anew."""
        task, actions, steps = self.ending()
        env = self.make()
        assert env.reset(task.id) == steps[0]
        for action in actions[:-1]:
            env.step(action)
        assert env.reset(task) == steps[0]
        assert self.replay(env, task, actions) == steps

    def test_listed_actions_work(self) -> None:
        """Every action listed on the way to an end is understood (``info["valid"]`` is not false)."""
        task, actions, steps = self.ending()
        env = self.make()
        tried = 0
        for depth, step in enumerate(steps[:-1]):
            for listed in step.actions[:8]:
                self.replay(env, task, actions[:depth])
                answer = env.step(self.fill(listed, task, random.Random(0)))
                assert answer.info.get("valid", True) is True, f"{listed!r} was listed but not understood"
                tried += 1
        assert tried, "no listed action was ever tried"

    def test_nonsense_is_answered(self) -> None:
        """Actions without meaning give a step of reward 0 that does not end the episode, on every page."""
        task, actions, steps = self.ending()
        env = self.make()
        for depth in range(len(actions)):
            env.reset(task)
            for action in actions[:depth]:
                env.step(action)
            for nonsense in NONSENSE:
                answer = env.step(nonsense)
                assert isinstance(answer, Step)
                assert answer.reward == 0.0
                assert not answer.done, f"{nonsense!r:.60} ended the episode"
                assert self.page(answer) == self.page(steps[depth])
                assert answer.actions == steps[depth].actions

    def test_rewards_are_as_promised(self) -> None:
        """The sum of an episode's rewards lies in the promised range, and success is a plain truth value."""
        env = self.make()
        low, high = env.reward_range
        ended = 0
        for number, task in enumerate(self.some_tasks(env)):
            _, steps = self.walk(env, task, random.Random(100 + number))
            total = sum(step.reward for step in steps)
            assert low <= total <= high
            assert isinstance(env.succeeded(total, steps[-1]), bool)
            ended += steps[-1].terminated
        if not ended:
            self.ending()  # fails with its own words if no episode can end at all

    def test_spawned_environments_are_independent(self) -> None:
        """Two environments from one do not see each other, and outlive the one they came from."""
        task, actions, steps = self.ending()
        parent = self.make()
        one, two = parent.spawn(), parent.spawn()
        assert one.reset(task) == steps[0]
        for action, expected in zip(actions, steps[1:], strict=True):
            two.reset(task)
            two.step(NONSENSE[0])
            assert one.step(action) == expected
        parent.close()
        assert self.replay(two, task, actions) == steps

    def test_threads_play_side_by_side(self) -> None:
        """Episodes played in threads give the steps they give alone."""
        task, actions, steps = self.ending()
        parent = self.make()
        players = [parent.spawn() for _ in range(4)]
        with ThreadPoolExecutor(len(players)) as pool:
            played = list(pool.map(lambda env: self.replay(env, task, actions), players))
        assert all(result == steps for result in played)

    def test_close_twice(self) -> None:
        """Closing twice is fine; playing on after it is a UsageError."""
        env = self.make()
        task = self.some_tasks(env)[0]
        env.reset(task)
        env.close()
        env.close()
        with pytest.raises(UsageError):
            env.step("anything")
