"""WikiHow as an rlem environment: tasks in an app of how-to articles, offline."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path

from rlem.core.errors import ClosedError, UsageError
from rlem.core.types import JSON, Step, Task
from rlem.environments.lazy import LazySequence
from rlem.environments.wikihow.actions import Command, complaint, listed, parse_action
from rlem.environments.wikihow.app import App, Shelf
from rlem.environments.wikihow.judge import Judge, Repeatability, check_options
from rlem.environments.wikihow.sets import TaskSets, given_tasks, task_sets
from rlem.environments.wikihow.site import Site
from rlem.environments.wikihow.tasks import TaskDefinition

MAX_STEPS = 15


class WikiHow:
    """An app with a search, articles, authors and categories; a task names what to look up, in order.

    Each sub-goal is paid with 1; the last one ends the episode, and that is success, whatever was left out.
    Leaving the app ends the episode without it. Source: Zhang et al. 2023 (Mobile-Env); the protocol is that
    of Zhang et al. 2023 (RLEM): 15 steps. Build it with :meth:`bundled` or :meth:`open`.

    ``repeatability``: whether a sub-goal can be paid again ("file": as the task says). ``reward_lag``:
    probability that what an action earned is paid one action later, as on the asynchronous platform.
    ``reward_range``: 0 to the most sub-goals of a task; without bound where one can be paid again.
    ``faithful``: as the original, ids out of range mean the last element, an episode that ends with the last
    allowed step is a failure, and one that ends by leaving the app is a success.
    """

    name = "wikihow"
    max_steps = MAX_STEPS

    def __init__(
        self,
        site: Site,
        tasks: TaskSets,
        *,
        repeatability: Repeatability = "file",
        reward_lag: float = 0.0,
        faithful: bool = False,
    ) -> None:
        check_options(repeatability, reward_lag)
        self.shelf = Shelf(site)
        self.all_tasks = tasks
        self._repeatability: Repeatability = repeatability
        self._lag = reward_lag
        self._faithful = faithful
        goals = [goal for task in tasks.all for goal in task.goals]
        once = repeatability == "none" or (
            repeatability == "file" and all(goal.repeatability == "none" for goal in goals)
        )
        most = max((len(task.goals) for task in tasks.all), default=1)
        self.reward_range = (0.0, float(most) if once else float("inf"))
        self._app: App | None = None
        self._closed = False

    @classmethod
    def bundled(cls, *, seed: int = 0, n_articles: int = 300, **options: object) -> WikiHow:
        """The app over a site made from ``seed``, with tasks made for it. ``options``: of the class."""
        from rlem.environments.wikihow.generate import generate

        site = generate(seed, n_articles)
        return cls(site, task_sets(site, seed), **options)  # type: ignore[arg-type]

    @classmethod
    def open(cls, path: str | Path, *, seed: int = 0, n_articles: int = 300, **options: object) -> WikiHow:
        """The app with the original's task files (a folder, or one), over a site made to hold their articles;
        or over the site of a ``.json`` file, with tasks made for it.

        Errors: DataError names the file that cannot be read.
        """
        from rlem.environments.wikihow.generate import generate
        from rlem.environments.wikihow.site_json import read_site
        from rlem.environments.wikihow.task_files import load_task_files, wanted

        if Path(path).suffix == ".json":
            site = read_site(Path(path))
            return cls(site, task_sets(site, site.seed), **options)  # type: ignore[arg-type]
        tasks = load_task_files(Path(path))
        site = generate(seed, n_articles, wanted=wanted(tasks))
        return cls(site, given_tasks(tasks), **options)  # type: ignore[arg-type]

    @property
    def site(self) -> Site:
        """What the app shows."""
        return self.shelf.site

    @property
    def app(self) -> App:
        """The app of the running episode, for those who draw it. Before ``reset``: UsageError."""
        if self._app is None:
            raise UsageError("step before reset; call reset(task) first")
        return self._app

    def task_sets(self) -> Mapping[str, str]:
        """The named sets."""
        return self.all_tasks.describe()

    def tasks(self, spec: str) -> Sequence[Task]:
        """Tasks of a named set, or those A up to (not including) B of all.

        Errors: UnknownNameError for an unknown name; UsageError for a range without tasks.
        """
        numbers = self.all_tasks.numbers(spec)
        return LazySequence(len(numbers), lambda place: _task(self.all_tasks.all[numbers[place]]))

    def definition(self, task: Task | str) -> TaskDefinition:
        """A task with its sub-goals. Not for agents. Errors: UsageError for an unknown id."""
        name = task if isinstance(task, str) else task.id
        found = self.all_tasks.by_id.get(name)
        if found is None:
            raise UsageError(f"unknown task {name!r:.80}; see the ids of tasks('test')")
        return found

    def reset(self, task: Task | str, *, seed: int = 0) -> Step:
        """Begins an episode of a task at the app's empty home page. ``seed`` matters to ``reward_lag``."""
        self._check_open()
        definition = self.definition(task)
        self._judge = Judge(definition, repeatability=self._repeatability, reward_lag=self._lag, seed=seed)
        self._app = App(self.shelf)
        self._steps, self._over = 0, False
        return self._see(0.0)

    def step(self, action: str) -> Step:
        """Sends one action. One that cannot be done is answered by the screen below a line that says why."""
        self._check_open()
        app = self.app
        if self._over:
            raise UsageError("step after the end of the episode; call reset(task) first")
        self._steps += 1
        leaves = app.screen().leaves
        command = parse_action(action, len(leaves), clip=self._faithful)
        if isinstance(command, str):
            logs, error = [], command
        else:
            logs, error = self._send(app, command), ""
        verdict = self._judge.observe(logs, app.screen())
        self._over = verdict.done or app.left
        return self._see(verdict.reward, finished=verdict.done, error=error, action=action)

    def _send(self, app: App, command: Command) -> list[str]:
        if command.verb == "GOBACK":
            return app.back()
        if command.verb == "SCROLL":
            return app.scroll(command.direction)
        x, y = app.screen().leaves[command.element].middle
        return app.type(x, y, command.text) if command.verb == "INPUT" else app.tap(x, y)

    def succeeded(self, total_reward: float, last: Step) -> bool:
        """Whether the last sub-goal was met within the limit, its last step included."""
        if self._faithful:
            return last.terminated and last.info.get("steps", 0) != MAX_STEPS
        return last.terminated and bool(last.info.get("finished"))

    def oracle(self, task: Task | str) -> list[str]:
        """Actions that meet every sub-goal. Knows the goals: for tests and the oracle agent alone."""
        from rlem.environments.wikihow.oracle import plan

        return plan(self.spawn(), self.definition(task))

    def spawn(self) -> WikiHow:
        """Another phone with the same site."""
        other = copy.copy(self)
        other._app, other._closed = None, False
        return other

    def close(self) -> None:
        """Ends the episode. May be called twice."""
        self._app, self._closed = None, True

    def _see(self, reward: float, *, finished: bool = False, error: str = "", action: str = "") -> Step:
        screen = self.app.screen()
        info: dict[str, JSON] = {"valid": not error, "steps": self._steps}
        if error:
            info["error"] = error
        if self._over:
            info["finished"] = finished
        return Step(
            observation=f"{complaint(action, error)}\n{screen.html}" if error else screen.html,
            reward=reward,
            terminated=self._over,
            actions=() if self._over else listed(screen.leaves),
            subtask=self._judge.subtask,
            info=info,
        )

    def _check_open(self) -> None:
        if self._closed:
            raise ClosedError("this environment is closed; make a new one or spawn it before closing")


def _task(definition: TaskDefinition) -> Task:
    return Task(id=definition.id, instruction="\n".join(definition.commands), kind=definition.kind)
