"""Playing the cells of an experiment side by side. Whatever is killed goes on where it was."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import (
    FIRST_COMPLETED,
    BrokenExecutor,
    Future,
    ProcessPoolExecutor,
    ThreadPoolExecutor,
    wait,
)
from contextlib import AbstractContextManager
from functools import lru_cache
from multiprocessing import active_children, get_context
from pathlib import Path
from signal import SIG_IGN, SIGINT, signal
from threading import current_thread, main_thread
from typing import Any, Protocol, TypeAlias, TypeVar

from rlem.agents.base import REFLEXION
from rlem.core.errors import RunError, UsageError
from rlem.environments.base import Environment
from rlem.experiments.calls import Calls, Purse, asks, open_model
from rlem.experiments.cells import Cell
from rlem.reports.reading import EPISODES, EpisodeFile
from rlem.runner.folder import RunFolder
from rlem.runner.records import EpisodeRecord, RunConfig
from rlem.runner.setup import make_environment, make_run

DONE = "done.json"
"""In a cell's folder once all of it is played: the outcome of each test task after each epoch."""

VERSION = 1
"""Of what stands in it."""

Outcome: TypeAlias = dict[str, Any]
"""One test episode: success, reward, steps, tokens, calls, prompt_tokens, completion_tokens, cost_usd (null:
unknown), broken, memory_size (experiences), kind (of the task)."""

Finished = Callable[[Cell], None]
T = TypeVar("T")


class Pool(Protocol):
    """Where cells are played: processes here, or workers of a Ray cluster."""

    def submit(self, function: Callable[..., None], /, *args: Any) -> Future[None]:
        """Calls a function somewhere."""
        ...


def play_cells(
    cells: Sequence[Cell],
    folder: Path,
    *,
    workers: int = 1,
    ray: str = "",
    finished: Finished | None = None,
    calls: Calls | None = None,
) -> None:
    """Plays the cells that are not done yet. ``finished`` is told of each one, those that were done too.

    Cells with one key are one run. Errors of a cell, and Ctrl-C, stop the others, too; what is played is
    kept. An endpoint is waited for, in threads that share its limits; all else is computed, in processes, or
    on a cluster with the address ``ray`` (:mod:`rlem.experiments.ray_pool`).
    """
    calls = calls or Calls()
    todo: dict[str, list[Cell]] = {}
    for cell in cells:
        if is_done(folder, cell):
            if finished:
                finished(cell)
        else:
            todo.setdefault(cell.key, []).append(cell)
    if not todo:
        return
    calls.check(same[0] for same in todo.values())
    asking = [same[0].config for same in todo.values() if asks(same[0].config) and not calls.replay]
    if ray and asking and (calls.limited or calls.requests_per_minute):
        raise UsageError(
            "limits on money, tokens and requests hold for one process: give them without --ray, or leave "
            "them out and set them where the endpoint is"
        )
    purse = Purse(calls, asking[0].model_options.get("base_url") if asking else None)
    if workers == 1 and not ray:
        for same in todo.values():
            _alone(place_of(folder, same[0]), same[0].config, calls.of(same[0]), purse)
            _tell(same, finished)
        return
    shared = purse if asking and not ray else None
    with _pool(folder, workers, ray, threads=shared is not None) as pool:
        running: dict[Future[None], list[Cell]] = {
            pool.submit(_alone, place_of(folder, same[0]), same[0].config, calls.of(same[0]), shared): same
            for same in todo.values()
        }
        try:
            _await(running, finished)
        except BrokenExecutor as error:
            raise RunError(
                "a process that played was killed, or the memory of this machine did not suffice: run the "
                "same command again, with fewer --workers perhaps; all finished episodes are safe"
            ) from error
        finally:
            purse.stop()


def _await(running: dict[Future[None], list[Cell]], finished: Finished | None) -> None:
    while running:
        ended, _ = wait(running, return_when=FIRST_COMPLETED)
        for future in ended:
            same = running.pop(future)
            future.result()
            _tell(same, finished)


def _pool(folder: Path, workers: int, ray: str, *, threads: bool) -> AbstractContextManager[Pool]:
    if ray:
        from rlem.experiments.ray_pool import RayPool  # a part that not everybody has

        return RayPool(ray, folder, workers=workers)
    return _Threads(workers, thread_name_prefix="rlem-cell") if threads else _Processes(workers)


class _Threads(ThreadPoolExecutor):
    def __exit__(self, *_: object) -> None:
        self.shutdown(cancel_futures=True)


class _Processes(ProcessPoolExecutor):
    """Processes that leave Ctrl-C to this one, which ends them: each would go on with the next cell."""

    def __init__(self, workers: int) -> None:
        self._others = set(active_children())
        super().__init__(workers, mp_context=get_context("spawn"))  # not forked: the caller may have threads

    def submit(self, function: Callable[..., T], /, *args: Any, **named: Any) -> Future[T]:
        """As usual; workers, which the first call starts, ignore the signal from their first moment on."""
        if current_thread() is not main_thread():  # where no signal can be set
            return super().submit(function, *args, **named)
        before = signal(SIGINT, SIG_IGN)
        try:
            return super().submit(function, *args, **named)
        finally:
            signal(SIGINT, before)

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:  # what is being played is as after a kill
            for process in set(active_children()) - self._others:
                process.terminate()
        self.shutdown()


def _tell(cells: Iterable[Cell], finished: Finished | None) -> None:
    for cell in cells:
        if finished:
            finished(cell)


def place_of(folder: Path, cell: Cell) -> Path:
    """The folder of a cell's run."""
    return folder / "cells" / cell.key


def is_done(folder: Path, cell: Cell) -> bool:
    """Whether all of it is played."""
    return (place_of(folder, cell) / DONE).is_file()


def outcomes(folder: Path, cell: Cell) -> dict[int, dict[str, Outcome]]:
    """Epoch -> test task -> outcome of a finished cell. What an older version made of its episodes is made
    again."""
    path = place_of(folder, cell)
    data = json.loads((path / DONE).read_text("utf-8"))
    if data.get("version") != VERSION:
        data = _conclude(path, cell.config)
    return {int(epoch): tasks for epoch, tasks in data["epochs"].items()}


def _alone(path: Path, *rest: Any) -> None:
    """Plays a cell, unless another process does so meanwhile: that one is waited for."""
    with RunFolder(path).alone(wait=True):
        if not (path / DONE).is_file():
            _play(path, *rest)
            _conclude(path, rest[0])


def _play(path: Path, config: RunConfig, calls: Calls, purse: Purse | None = None) -> None:
    model = open_model(config, calls, purse)
    folder = RunFolder(path)
    if folder.config_path.exists():  # the cell's key says that it is this run, wherever its files lie now
        folder.config_path.write_text(config.model_dump_json(indent=2) + "\n", encoding="utf-8")
    run = make_run(config, folder, model, environment=_environment(config.model_dump_json()))
    try:
        run.execute()
    finally:
        if model is not None:
            model.close()


def _conclude(path: Path, config: RunConfig) -> dict[str, Any]:
    """Makes the outcomes of a cell from its episodes, and marks it as done by them."""
    found: dict[int, dict[str, Outcome]] = {}
    for _, record in EpisodeFile(path / EPISODES):
        if record.phase == "eval":
            earlier = found.get(record.epoch - 1, {}).get(record.task_id)
            found.setdefault(record.epoch, {})[record.task_id] = _outcome(record, earlier, config)
    part = path / f"{DONE}.part"
    told = {"version": VERSION, "epochs": {str(epoch): tasks for epoch, tasks in found.items()}}
    part.write_text(json.dumps(told, sort_keys=True), encoding="utf-8")
    part.replace(path / DONE)
    return told


def _outcome(record: EpisodeRecord, earlier: Outcome | None, config: RunConfig) -> Outcome:
    """One test episode in numbers. Trials of one task add up in what they cost."""
    usage = record.usage
    counts: Outcome = {
        "calls": usage.calls,
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "cost_usd": usage.cost_usd,
    }
    if earlier is not None and config.agent == REFLEXION:
        for name, value in counts.items():
            counts[name] = None if None in (value, earlier[name]) else value + earlier[name]
    return {
        "success": record.success,
        "reward": record.reward,
        "steps": len(record.steps),
        "tokens": counts["prompt_tokens"] + counts["completion_tokens"],
        **counts,
        "broken": record.status == "broken",
        "memory_size": record.memory_size,
        "kind": record.kind,
    }


def _environment(config: str) -> Environment:
    """The environment of a config; a process opens each only once, and every cell plays on a spawned one."""
    told = RunConfig.model_validate_json(config)
    with _OPENING:
        return _opened(told.environment, json.dumps(told.environment_options, sort_keys=True)).spawn()


_OPENING = threading.Lock()


@lru_cache(maxsize=2)
def _opened(name: str, options: str) -> Environment:
    return make_environment(RunConfig(environment=name, environment_options=json.loads(options)))
