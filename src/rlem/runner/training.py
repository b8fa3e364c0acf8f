"""A run: evaluation before training, then epochs of training and evaluation, resumable at any point.

Episodes are played in batches. A batch recalls from the memory as it is at the batch's start and commits
in task order, so that what a run leaves does not depend on the number of threads. Records are written
before the memory commits; what a kill leaves between the two is made up for on resuming.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

from rlem.agents.base import MEMORY_AGENTS, Agent
from rlem.core.errors import RunError
from rlem.core.types import Task
from rlem.environments.base import Environment
from rlem.memory.memory import ExperienceMemory
from rlem.runner.folder import RunFolder
from rlem.runner.play import Job, Played, episode_of, place_of, play
from rlem.runner.records import Arm, EpisodeRecord, Phase, RunConfig

MAX_BROKEN = 5
"""Broken episodes in a row after which a run stops: the cause is not in the episodes."""


class Observer(Protocol):
    """Is told what a run does: for progress displays and event streams."""

    def phase(self, phase: Phase, epoch: int, arm: Arm, seed: int, total: int) -> None:
        """A phase of ``total`` episodes begins (or is found done)."""
        ...

    def episode(self, record: EpisodeRecord, *, replayed: bool) -> None:
        """An episode is done; ``replayed``: it was there from an earlier start of the run."""
        ...


class SilentObserver:
    """Says nothing."""

    def phase(self, phase: Phase, epoch: int, arm: Arm, seed: int, total: int) -> None:
        """Ignored."""

    def episode(self, record: EpisodeRecord, *, replayed: bool) -> None:
        """Ignored."""


MemoryFactory = Callable[[int], ExperienceMemory]
AgentFactory = Callable[[ExperienceMemory | None], Agent]


class Run:
    """A run of one config in one folder.

    ``open_memory(seed)`` opens the memory of a seed; ``make_agent(memory)`` makes the agent with that
    memory, or without (None: the control). Both are closed by whoever made them.
    """

    def __init__(
        self,
        config: RunConfig,
        folder: RunFolder,
        environment: Environment,
        *,
        open_memory: MemoryFactory,
        make_agent: AgentFactory,
        model_name: str,
        workers: int = 1,
        observer: Observer | None = None,
    ) -> None:
        self.config = config
        self.folder = folder
        self._environment = environment
        self._open_memory = open_memory
        self._make_agent = make_agent
        self._model_name = model_name
        self._workers = max(workers, 1)
        self._observer = observer or SilentObserver()
        self._done: dict[tuple[str, int, str, int, str], EpisodeRecord] = {}
        self._learned: set[tuple[str, int, str, int, str]] = set()
        self._held: list[Played] = []

    def execute(self) -> None:
        """Plays all that is not played yet."""
        train = self._tasks(self.config.train_tasks) if self.config.epochs else []
        test = self._tasks(self.config.test_tasks)
        shared = {task.id for task in train} & {task.id for task in test}
        if shared:
            raise RunError(
                f"training set {self.config.train_tasks!r} and test set {self.config.test_tasks!r} share "
                f"{len(shared)} tasks: held-out tasks must not be trained on"
            )
        self._done = {place_of(record): record for record in self.folder.open(self.config)}
        self._learned.clear()
        self._held.clear()
        for seed in self.config.seeds:
            memory = self._open_memory(seed)
            try:
                self._evaluate(0, seed, test, memory)
                for epoch in range(1, self.config.epochs + 1):
                    self._train(epoch, seed, train, memory)
                    self._evaluate(epoch, seed, test, memory)
            finally:
                memory.close()
        self._release()

    def _tasks(self, spec: str) -> Sequence[Task]:
        return self._environment.tasks(spec)

    # -- phases --------------------------------------------------------------------------------------

    def _evaluate(self, epoch: int, seed: int, tasks: Sequence[Task], memory: ExperienceMemory) -> None:
        """Plays the test tasks with the memory frozen, and as control without it."""
        arms: list[tuple[Arm, ExperienceMemory | None]] = [("memory", memory)]
        if self.config.control:
            arms.append(("no-memory", None))
        if self.config.agent not in MEMORY_AGENTS:
            arms = [("no-memory", None)]
        for arm, given in arms:
            jobs = self._jobs("eval", epoch, arm, seed, tasks)
            self._observer.phase("eval", epoch, arm, seed, len(jobs))
            self._play(jobs, self._make_agent(given), len(memory) if given is not None else 0)

    def _train(self, epoch: int, seed: int, tasks: Sequence[Task], memory: ExperienceMemory) -> None:
        """Plays the training tasks, batch after batch, and learns each."""
        jobs = self._jobs("train", epoch, "memory", seed, tasks)
        if self.config.skip_solved and epoch > 1:
            jobs = [job for job in jobs if not self._solved_first(job)]
        self._observer.phase("train", epoch, "memory", seed, len(jobs))
        agent = self._make_agent(memory)
        for start in range(0, len(jobs), self.config.batch_size):
            end = start + self.config.batch_size
            self._play(jobs[start:end], agent, len(memory))
            # A broken end of a batch is held, and a later start plays it again: with the memory as it was.
            # So such a batch is learned with the next one, on resuming too.
            last = self._done.get(jobs[:end][-1].place)
            if last is not None and last.status != "broken":
                self._learn(jobs[:end], memory)
        self._release()
        self._learn(jobs, memory)

    def _solved_first(self, job: Job) -> bool:
        first = self._done.get(("train", 1, "memory", job.seed, job.task.id))
        return first is not None and first.success

    def _jobs(self, phase: Phase, epoch: int, arm: Arm, seed: int, tasks: Sequence[Task]) -> list[Job]:
        return [
            Job(phase=phase, epoch=epoch, arm=arm, seed=seed, task=task, index=index)
            for index, task in enumerate(tasks)
        ]

    def _learn(self, jobs: Sequence[Job], memory: ExperienceMemory) -> None:
        """Commits the written records of these jobs that the memory does not have yet, in their order."""
        episodes = []
        for job in jobs:
            record = self._done.get(job.place)
            if record is None or not record.steps or job.place in self._learned:
                continue
            episode = episode_of(
                record, index=job.index, model=self._model_name, split=self.config.train_tasks
            )
            if memory.find_episode(episode.id) is None:
                episodes.append(episode)
            self._learned.add(job.place)
        if episodes:
            memory.record_many(episodes)

    # -- playing and writing -------------------------------------------------------------------------

    def _play(self, jobs: Sequence[Job], agent: Agent, memory_size: int) -> None:
        """Plays the jobs that have no record yet, in threads, and writes their records in order."""
        missing = []
        for job in jobs:
            if job.place in self._done:
                self._observer.episode(self._done[job.place], replayed=True)
            else:
                missing.append(job)

        def work(job: Job) -> Played:
            environment = self._environment.spawn()
            try:
                return play(environment, agent, job, max_steps=self.config.max_steps, memory_size=memory_size)
            finally:
                environment.close()

        if self._workers == 1 or len(missing) < 2:
            for job in missing:
                self._take(work(job))
            return
        with ThreadPoolExecutor(self._workers, thread_name_prefix="rlem-episode") as pool:
            futures = [pool.submit(work, job) for job in missing]
            try:
                for future in futures:
                    self._take(future.result())
            finally:
                for future in futures:
                    future.cancel()

    def _take(self, played: Played) -> None:
        """Writes a record. Broken ones wait for the next whole one: an outage's are played again."""
        self._held.append(played)
        self._observer.episode(played.record, replayed=False)
        if played.record.status != "broken":
            self._release()
        elif len(self._held) >= MAX_BROKEN:
            cause = played.record.cause
            self._held.clear()
            raise RunError(
                f"{MAX_BROKEN} episodes in a row broke, the last one with: {cause}. Mend the cause, then run "
                "the same command again: it goes on where it stopped"
            )

    def _release(self) -> None:
        if self._held:
            self.folder.append([p.record for p in self._held], [p.seconds for p in self._held])
            for played in self._held:
                self._done[place_of(played.record)] = played.record
            self._held.clear()
