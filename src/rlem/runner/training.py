"""A run: evaluation before training, then epochs of training and evaluation, resumable at any point.

Episodes are played in batches. A batch recalls from the memory as it is at the batch's start and commits
in task order, so that what a run leaves does not depend on the number of threads. Records are written
before the memory commits; what a kill leaves between the two is made up for on resuming.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from hashlib import sha256
from typing import Protocol

from rlem.agents.base import MEMORY_AGENTS, REFLEXION, Agent
from rlem.api.control import Tally
from rlem.core.errors import RunError, UnknownNameError
from rlem.core.types import Task
from rlem.environments.base import Environment
from rlem.evidence import MEMORY
from rlem.memory.corrections import same_play
from rlem.memory.memory import ExperienceMemory
from rlem.runner.control import chance_of, control_of, count_in, withheld
from rlem.runner.folder import RunFolder
from rlem.runner.play import Job, Played, episode_of, place_of, play
from rlem.runner.records import Arm, EpisodeRecord, Phase, RunConfig, UsageRecord

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
        self._control = control_of(config)
        self._tally: Tally | None = None
        """What the training episodes of the seed at hand say of its memory's effect."""
        self._held: list[Played] = []

    def execute(self) -> None:
        """Plays all that is not played yet."""
        config = self.config
        trained = config.agent != REFLEXION and config.epochs > 0
        stages = [self._training_set(spec) for spec in self._stages()] if trained else []
        test = self._test_set()
        shared = {task.id for stage in stages for task in stage} & {task.id for task in test}
        if shared and not config.retest:
            raise RunError(
                f"training set {config.train_tasks!r} and test set {config.test_tasks!r} share "
                f"{len(shared)} tasks: held-out tasks must not be trained on"
            )
        self._done = {place_of(record): record for record in self.folder.open(self.config)}
        self._learned.clear()
        self._held.clear()
        for seed in config.seeds:
            memory = self._open_memory(seed)
            self._tally = Tally(self._control) if self._control else None
            try:
                if config.agent == REFLEXION:
                    self._trials(seed, test)
                else:
                    self._learn_stages(seed, stages, test, memory)
            finally:
                memory.close()
        self._release()

    def _stages(self) -> list[str]:
        return [self.config.train_tasks, *self.config.later_tasks]

    def _training_set(self, spec: str) -> Sequence[Task]:
        left_out = self.config.without_kinds
        tasks = self._environment.tasks(spec)
        self._check_kinds(left_out, tasks, spec)
        return [task for task in tasks if task.kind not in left_out]

    def _test_set(self) -> Sequence[Task]:
        wanted = self.config.test_kinds
        tasks = self._environment.tasks(self.config.test_tasks)
        self._check_kinds(wanted, tasks, self.config.test_tasks)
        return [task for task in tasks if not wanted or task.kind in wanted]

    def _check_kinds(self, kinds: Sequence[str], tasks: Sequence[Task], spec: str) -> None:
        known = sorted({task.kind for task in tasks})
        for kind in kinds:
            if kind not in known:
                raise UnknownNameError(f"kind of task in {spec!r}:", kind, known)

    # -- phases --------------------------------------------------------------------------------------

    def _learn_stages(
        self, seed: int, stages: Sequence[Sequence[Task]], test: Sequence[Task], memory: ExperienceMemory
    ) -> None:
        """Epochs over one training set after the other, with tests between."""
        epochs = self.config.epochs
        last, every = epochs * len(stages), self.config.test_epochs == "every"
        if every or not last:
            self._evaluate(0, seed, test, memory)
        for number, train in enumerate(stages):
            for epoch in range(number * epochs + 1, (number + 1) * epochs + 1):
                self._train(epoch, seed, train, memory)
                if every or epoch == last:
                    self._evaluate(epoch, seed, test, memory)

    def _trials(self, seed: int, tasks: Sequence[Task]) -> None:
        """Tries each task until it is solved; between trials the agent writes a reflection.

        A task once solved is not played again: its record stands for the later trials, at no cost.
        """
        for trial in range(self.config.epochs + 1):
            jobs = self._jobs("eval", trial, "no-memory", seed, tasks)
            self._observer.phase("eval", trial, "no-memory", seed, len(jobs))
            ready = []
            for job in jobs:
                earlier = [self._done[replace(job, epoch=past).place] for past in range(trial)]
                if earlier and earlier[-1].success and job.place not in self._done:
                    carried = earlier[-1].model_copy(update={"epoch": trial, "usage": UsageRecord()})
                    self._held.append(Played(record=carried, seconds=0.0))
                written = tuple(record.reflection for record in earlier if record.reflection)
                ready.append(replace(job, reflections=written, reflect=trial < self.config.epochs))
            self._release()
            self._play(ready, {"no-memory": self._make_agent(None)}, 0)
            self._release()

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
            if given is not None:
                jobs = [replace(job, muted=self._muted()) for job in jobs]
            shown = None if MEMORY in self._muted() else given
            self._play(jobs, {arm: self._make_agent(shown)}, len(memory) if given is not None else 0)

    def _train(self, epoch: int, seed: int, tasks: Sequence[Task], memory: ExperienceMemory) -> None:
        """Plays the training tasks, batch after batch, and learns each."""
        jobs = [self._by_coin(job) for job in self._jobs("train", epoch, "memory", seed, tasks)]
        first = epoch - (epoch - 1) % self.config.epochs  # of this training set
        if self.config.skip_solved and epoch > first:
            jobs = [job for job in jobs if not self._solved(self._by_coin(replace(job, epoch=first)))]
        self._observer.phase("train", epoch, "memory", seed, len(jobs))
        agents = self._agents(memory)
        for start in range(0, len(jobs), self.config.batch_size):
            end = start + self.config.batch_size
            muted = self._muted()
            if MEMORY in muted:
                agents["memory"] = agents["no-memory"]
            chance = chance_of(self.config, "train")
            batch = [replace(job, muted=muted, chance=chance) for job in jobs[start:end]]
            self._play(batch, agents, len(memory))
            # A broken end of a batch is held, and a later start plays it again: with the memory as it was.
            # So such a batch is learned with the next one, on resuming too.
            last = self._done.get(jobs[:end][-1].place)
            if last is not None and last.status != "broken":
                self._learn(jobs[:end], memory)
        self._release()
        self._learn(jobs, memory)

    def _by_coin(self, job: Job) -> Job:
        """The training job in the arm that the control's coin says."""
        hidden = withheld(self._control, job.seed, job.epoch, job.task)
        return replace(job, arm="no-memory" if hidden else "memory")

    def _agents(self, memory: ExperienceMemory) -> dict[Arm, Agent]:
        agents: dict[Arm, Agent] = {"memory": self._make_agent(memory)}
        if self._control is not None:
            agents["no-memory"] = self._make_agent(None)
        return agents

    def _muted(self) -> frozenset[str]:
        """What the guard has muted so far, by key: it does not change within a batch."""
        return frozenset(self._tally.muted) if self._tally else frozenset()

    def _solved(self, job: Job) -> bool:
        record = self._done.get(job.place)
        return record is not None and record.success

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
            if record is None or job.place in self._learned:
                continue
            self._learned.add(job.place)
            counts = self._tally is not None and count_in(self._tally, record)
            if not record.teaches(self.config.learn):
                continue
            split = self._stages()[(job.epoch - 1) // self.config.epochs]
            prefix = self._prefix(job.seed)
            episode = episode_of(
                record,
                index=job.index,
                model=self._model_name,
                split=split,
                # Where not all is learned, the log lacks outcomes: then it must not tell of the effect.
                control=self._control if counts and self.config.learn == "all" else None,
                prefix=prefix,
            )
            known = memory.find_episode(episode.id)
            if known is None:
                episodes.append(episode)
            elif prefix and not same_play(known, episode):
                raise RunError(
                    f"{memory.location} has learned from this run already, as another folder than "
                    f"{self.folder.path} keeps it: go on in that one, or give another memory"
                )
        if episodes:
            memory.record_many(episodes)

    def _prefix(self, seed: int) -> str:
        """Of episode ids: names run and seed where others may learn in the same memory."""
        if not self.config.memory_url:
            return ""
        # Initial experiences are a place: in another folder it is the same run.
        told = self.config.model_dump_json(exclude={"initial_memory"})
        return f"{sha256(told.encode()).hexdigest()[:12]}-{seed}-"

    # -- playing and writing -------------------------------------------------------------------------

    def _play(self, jobs: Sequence[Job], agents: Mapping[Arm, Agent], memory_size: int) -> None:
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
                size = memory_size if job.arm == "memory" else 0
                limit = self.config.max_steps
                return play(environment, agents[job.arm], job, max_steps=limit, memory_size=size)
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
