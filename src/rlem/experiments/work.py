"""Playing the cells of an experiment, side by side in processes. Whatever is killed goes on where it was."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from contextlib import AbstractContextManager
from functools import lru_cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Protocol, TypeAlias

from rlem.agents.base import REFLEXION
from rlem.environments.base import Environment
from rlem.experiments.cells import Cell
from rlem.reports.reading import EPISODES, EpisodeFile
from rlem.runner.folder import RunFolder
from rlem.runner.records import EpisodeRecord, RunConfig
from rlem.runner.setup import make_environment, make_run

DONE = "done.json"
"""In a cell's folder once all of it is played: the outcome of each test task after each epoch."""

Outcome: TypeAlias = dict[str, Any]
"""One test episode: success, reward, steps, tokens, calls, prompt_tokens, completion_tokens, cost_usd (null:
unknown), broken, memory_size (experiences), kind (of the task)."""

Finished = Callable[[Cell], None]


class Pool(Protocol):
    """Where cells are played: processes here, or workers of a Ray cluster."""

    def submit(self, function: Callable[..., None], /, *args: Any) -> Future[None]:
        """Calls a function somewhere."""
        ...


def play_cells(
    cells: Sequence[Cell], folder: Path, *, workers: int = 1, ray: str = "", finished: Finished | None = None
) -> None:
    """Plays the cells that are not done yet. ``finished`` is told of each one, those that were done too.

    Cells with one key are one run. ``ray``: address of a cluster (:mod:`rlem.experiments.ray_pool`).
    Errors of a cell stop what has not begun; what is played is kept.
    """
    todo: dict[str, list[Cell]] = {}
    for cell in cells:
        if is_done(folder, cell):
            if finished:
                finished(cell)
        else:
            todo.setdefault(cell.key, []).append(cell)
    if not todo:
        return
    if workers == 1 and not ray:
        for same in todo.values():
            _alone(place_of(folder, same[0]), same[0].config)
            _tell(same, finished)
        return
    with _pool(folder, workers, ray) as pool:
        running: dict[Future[None], list[Cell]] = {
            pool.submit(_alone, place_of(folder, same[0]), same[0].config): same for same in todo.values()
        }
        try:
            while running:
                ended, _ = wait(running, return_when=FIRST_COMPLETED)
                for future in ended:
                    same = running.pop(future)
                    future.result()
                    _tell(same, finished)
        finally:
            for future in running:
                future.cancel()


def _pool(folder: Path, workers: int, ray: str) -> AbstractContextManager[Pool]:
    if ray:
        from rlem.experiments.ray_pool import RayPool  # a part that not everybody has

        return RayPool(ray, folder, workers=workers)
    # Spawned, not forked: the caller may have threads.
    return ProcessPoolExecutor(workers, mp_context=get_context("spawn"))


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
    """Epoch -> test task -> outcome of a finished cell."""
    data = json.loads((place_of(folder, cell) / DONE).read_text("utf-8"))
    return {int(epoch): tasks for epoch, tasks in data.items()}


def _alone(path: Path, *rest: Any) -> None:
    """Plays a cell, unless another process does so meanwhile: that one is waited for."""
    with RunFolder(path).alone(wait=True):
        if not (path / DONE).is_file():
            _play(path, *rest)


def _play(path: Path, config: RunConfig) -> None:
    from rlem.llm.registry import make_model

    model = None
    if config.model != "none":
        base_url = config.model_options.get("base_url")
        model = make_model(config.model, base_url=base_url, api_key=os.environ.get("OPENAI_API_KEY"))
    folder = RunFolder(path)
    run = make_run(config, folder, model, environment=_environment(config.model_dump_json()))
    try:
        run.execute()
    finally:
        if model is not None:
            model.close()
    found: dict[int, dict[str, Outcome]] = {}
    for _, record in EpisodeFile(path / EPISODES):
        if record.phase == "eval":
            earlier = found.get(record.epoch - 1, {}).get(record.task_id)
            found.setdefault(record.epoch, {})[record.task_id] = _outcome(record, earlier, config)
    part = path / f"{DONE}.part"
    part.write_text(json.dumps(found, sort_keys=True), encoding="utf-8")
    part.replace(path / DONE)


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
    return _opened(told.environment, json.dumps(told.environment_options, sort_keys=True)).spawn()


@lru_cache(maxsize=2)
def _opened(name: str, options: str) -> Environment:
    return make_environment(RunConfig(environment=name, environment_options=json.loads(options)))
