"""WikiHow as an environment: tasks, rewards, errors, the slips of the original on request."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import pytest

from rlem.agents.simple import RandomAgent
from rlem.core.errors import UnknownNameError, UsageError
from rlem.core.types import Step, Task
from rlem.environments.registry import make
from rlem.environments.wikihow.env import MAX_STEPS, WikiHow
from rlem.environments.wikihow.sets import given_tasks
from rlem.runner.play import Job, play


@cache
def world() -> WikiHow:
    """The default app, made once."""
    return WikiHow.bundled()


def variant(**options: object) -> WikiHow:
    """The same site and tasks with other options."""
    return WikiHow(world().site, world().all_tasks, **options)  # type: ignore[arg-type]


def task_of(kind: str, spec: str = "test") -> Task:
    """The first task of a kind."""
    return next(task for task in world().tasks(spec) if task.kind == kind)


def run(env: WikiHow, task: Task, actions: list[str], seed: int = 0) -> list[Step]:
    """The steps of an episode."""
    return [env.reset(task, seed=seed), *(env.step(action) for action in actions)]


@pytest.mark.parametrize("seed", range(3))
def test_the_oracle_solves_every_task_within_the_limit(seed: int) -> None:
    """All tasks of a site: one reward a sub-goal, in at most 15 steps, counted as success."""
    env = world() if seed == 0 else WikiHow.bundled(seed=seed)
    tasks = [*env.tasks("test"), *env.tasks("train")]
    assert len(tasks) == 110
    player = env.spawn()
    for task in tasks:
        actions = env.oracle(task)
        steps = run(player, task, actions)
        total = sum(step.reward for step in steps)
        assert len(actions) <= MAX_STEPS, task.instruction
        assert total == len(env.definition(task).goals), task.instruction
        assert steps[-1].terminated
        assert not any(step.terminated for step in steps[:-1])
        assert player.succeeded(total, steps[-1])


def test_chance_solves_next_to_nothing() -> None:
    """The random agent, who fills a search with words of the task, ends few of the 70 test tasks: at most 10
    with any of three seeds."""
    for seed in range(3):
        solved = 0
        for index, task in enumerate(world().tasks("test")):
            job = Job(phase="eval", epoch=0, arm="no-memory", seed=seed, task=task, index=index)
            record = play(world().spawn(), RandomAgent(), job, max_steps=MAX_STEPS).record
            assert record.status != "broken", record.cause
            solved += record.success
        assert solved <= 10


def test_the_test_set_is_mixed_as_the_published_one() -> None:
    """25 plain, 18 about, 11 reference, 9 category, 7 author; 188 sub-goals."""
    tasks = world().tasks("test")
    kinds = [task.kind for task in tasks]
    assert {kind: kinds.count(kind) for kind in set(kinds)} == {
        "plain": 25,
        "about": 18,
        "reference": 11,
        "category": 9,
        "author": 7,
    }
    assert sum(len(world().definition(task).goals) for task in tasks) == 188


def test_training_and_test_tasks_share_nothing() -> None:
    """No task, no instruction is in both; S0 and S1 have two tasks of each kind."""
    test = {task.instruction for task in world().tasks("test")}
    assert not test & {task.instruction for task in world().tasks("train")}
    for name in ("S0", "S1"):
        kinds = [task.kind for task in world().tasks(name)]
        assert {kinds.count(kind) for kind in kinds} == {2}
        assert len(kinds) == 10


def test_instructions_follow_the_sub_goals() -> None:
    """Nothing is due at first; then each reward brings the next command."""
    references = (task for task in world().tasks("test") if task.kind == "reference")
    task = next(task for task in references if len(world().oracle(task)) == 3)
    steps = run(world().spawn(), task, world().oracle(task))
    title = world().definition(task).goals[1].target
    assert [step.subtask for step in steps[:3]] == [
        "",
        f'Access the article "How to {title}"',
        "Check the reference list",
    ]
    assert task.instruction.split("\n")[2] == "Then, check the reference list"


def test_an_error_is_shown_above_an_unchanged_screen() -> None:
    """Out of range and malformed actions cost a step, change nothing and say what is wrong."""
    env = world().spawn()
    first = env.reset(task_of("plain"))
    for action, why in (("CLICK(99)", "no element 99"), ("press 3", "no action"), ("INPUT(2)", "a number")):
        step = env.step(action)
        line, _, screen = step.observation.partition("\n")
        assert line.startswith("<!-- error: ")
        assert why in line
        assert screen == first.observation
        assert step.info["valid"] is False
        assert why in str(step.info["error"])
        assert step.reward == 0.0
    assert env.step("SCROLL(LEFT)").observation == first.observation


def test_faithful_clips_ids() -> None:
    """As in the original, an id beyond the end means the last element: no error."""
    env = variant(faithful=True)
    env.reset(task_of("plain"))
    assert env.step("CLICK(99)").info["valid"] is True


def test_success_on_the_very_last_step() -> None:
    """It counts; only the original's slip makes a failure of it."""
    task = task_of("about")
    actions = world().oracle(task)
    padded = ["SCROLL(UP)"] * (MAX_STEPS - len(actions)) + actions
    assert len(padded) == MAX_STEPS
    for faithful, success in ((False, True), (True, False)):
        env = variant(faithful=faithful)
        steps = run(env, task, padded)
        assert steps[-1].terminated
        assert env.succeeded(sum(step.reward for step in steps), steps[-1]) is success
        steps = run(env, task, padded[1:])
        assert env.succeeded(sum(step.reward for step in steps), steps[-1]) is True


def test_leaving_the_app_ends_the_episode_without_success() -> None:
    """Share to another app: over, and only the original takes it for a success."""
    task = task_of("about")
    way = world().oracle(task)[:2]
    for faithful in (False, True):
        env = variant(faithful=faithful)
        run(env, task, way)
        for label in ("More options", "Share article...", "Facebook"):
            lines = env.app.screen().html.split("\n")
            number = next(n for n, line in enumerate(lines) if label in line)
            step = env.step(f"CLICK({number})")
        assert step.terminated
        assert env.succeeded(2.0, step) is faithful
        with pytest.raises(UsageError):
            env.step("GOBACK")


def test_goals_may_come_in_any_order_and_the_last_one_ends_it() -> None:
    """Searching for the second article first and opening it ends a four-goal task with what was met."""
    task = next(t for t in world().tasks("test") if len(world().definition(t).goals) == 4)
    title = world().definition(task).goals[3].target
    env = world().spawn()
    env.reset(task)
    env.step(f"INPUT(2, {title})")
    for _ in range(5):
        lines = env.app.screen().html.split("\n")
        hits = [n for n, line in enumerate(lines) if f">How to {title}<" in line]
        if hits:
            break
        env.step("SCROLL(DOWN)")
    step = env.step(f"CLICK({hits[0]})")
    assert step.terminated
    assert env.succeeded(1.0, step)


def test_rewards_can_lag_and_still_add_up() -> None:
    """With lag the same actions earn the same sum, some of it one action later, by luck of the seed."""
    task = task_of("reference")
    actions = [*world().oracle(task), "SCROLL(UP)"]
    plain = [step.reward for step in run(world().spawn(), task, actions[:-1])]
    late = 0
    for seed in range(8):
        env = variant(reward_lag=0.5)
        step, rewards = env.reset(task, seed=seed), [0.0]
        for action in actions:
            step = env.step(action)
            rewards.append(step.reward)
            if step.terminated:
                break
        assert sum(rewards) == sum(plain)
        late += rewards[: len(plain)] != plain
        assert [
            s.reward for s in run(variant(reward_lag=0.5), task, actions[: len(rewards) - 1], seed)
        ] == rewards
    assert 0 < late < 8


def test_unlimited_repeatability_pays_again() -> None:
    """A second search with a keyword pays again where sub-goals may repeat, and the range says so."""
    task = task_of("plain")
    words = world().definition(task).vocabulary[1]
    for mode, total in (("none", 1.0), ("unlimited", 2.0)):
        env = variant(repeatability=mode)
        first = env.reset(task)
        assert first.reward == 0.0
        rewards = [env.step(f"INPUT(2, {words})").reward, env.step(f"INPUT(1, {words} again)").reward]
        assert sum(rewards) == total
        assert (env.reward_range[1] == float("inf")) is (mode == "unlimited")


def test_the_range_of_returns_heeds_the_files() -> None:
    """Where a file lets a sub-goal be paid again the return has no bound, unless the option forbids it."""
    again = replace(
        world().all_tasks.all[0],
        goals=tuple(replace(goal, repeatability="unlimited") for goal in world().all_tasks.all[0].goals),
    )
    tasks = given_tasks([again])
    assert WikiHow(world().site, tasks).reward_range == (0.0, float("inf"))
    assert WikiHow(world().site, tasks, repeatability="none").reward_range == (0.0, float(len(again.goals)))
    assert world().reward_range == (0.0, 4.0)


def test_options_are_checked() -> None:
    """A lag that is no probability, a mode that does not exist, a site that is too small."""
    with pytest.raises(UsageError, match="reward_lag"):
        make("wikihow", reward_lag=2.0)
    with pytest.raises(UnknownNameError):
        make("wikihow", repeatability="sometimes")
    with pytest.raises(UsageError, match="at least"):
        make("wikihow", n_articles=20)


def test_sites_and_tasks_are_functions_of_the_seed() -> None:
    """The same seed gives the same tasks and screens, another one others."""
    again, other = WikiHow.bundled(), WikiHow.bundled(seed=9)
    assert list(again.tasks("test")) == list(world().tasks("test"))
    assert list(other.tasks("test")) != list(world().tasks("test"))
    task = task_of("category")
    actions = world().oracle(task)
    assert run(again, task, actions) == run(world().spawn(), task, actions)
