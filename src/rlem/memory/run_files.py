"""What a run's folder keeps of the episodes of its memory: records (``rlem.runner.records``), report."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any

from rlem.core.errors import DataError
from rlem.core.types import Episode, Situation, Transition
from rlem.memory.features import situations_of
from rlem.memory.store import Store
from rlem.memory.transfer import whole

REPORT = (
    *("report.html", "summary.json", "learning_curve.png"),
    *("influence.json", "influence.md", "influence.jsonl"),
)
"""Made from the records; `rlem report` and `rlem memory influence` make them again."""


def forget_in_run(
    folder: Path, seed: int, store: Store, ids: Collection[str], gone: Callable[[Episode], bool]
) -> int:
    """Takes training records of a seed out of its run's folder, and from its other records the exemplars of
    which nothing is left; returns how many records went or changed. The report goes if any did.

    ``store``: the seed's memory, which may have forgotten already, and ``ids`` what is to go from it;
    ``gone`` says it of episodes made from records, whose times are those that the memory knows. Each file is
    written whole or not at all. DataError for a record that cannot be read.
    """
    path, timings = folder / "episodes.jsonl", folder / "timings.jsonl"
    for file in (path, timings):  # what a kill left while they were written
        file.with_name(f"{file.name}.part").unlink(missing_ok=True)
    records = list(_lines(path))
    places, keys = _judged(records, seed, store, ids, gone)
    kept = [record for record in records if _place(record) not in places]

    def stays(key: str) -> bool:
        if key not in keys:
            keys[key] = any(name not in ids for name in store.episodes_of(key))
        return keys[key]

    changed = sum([_without_advice(record, stays) for record in kept if record.get("seed") == seed])
    count = len(records) - len(kept) + changed
    if count:
        for name in REPORT:
            (folder / name).unlink(missing_ok=True)
        _write(path, kept)
        if timings.exists():
            left = [line for line in _lines(timings) if tuple(line.get("episode", ())) not in places]
            _write(timings, left)
    return count


def _judged(
    records: list[dict[str, Any]],
    seed: int,
    store: Store,
    ids: Collection[str],
    gone: Callable[[Episode], bool],
) -> tuple[set[tuple[Any, ...]], dict[str, bool]]:
    """Places of the training records that go, and the situations of those that stay."""
    names = {_named(name, seed): name for name in ids}
    times = {_named(item.id, seed): item.recorded_s for item in store.episodes()}
    places: set[tuple[Any, ...]] = set()
    keys: dict[str, bool] = {}
    recorded_s = -math.inf
    for record in records:
        place = _place(record)
        if place[0] != "train" or place[3] != seed:
            continue
        # One that the memory has not any more was recorded after the last one before it that it has.
        recorded_s = times.get(place, recorded_s)
        episode = _episode(record, names.get(place, ""), recorded_s)
        if gone(episode):
            places.add(place)
        else:
            keys.update((situation.key, True) for situation in situations_of([episode]))
    return places, keys


def _named(name: str, seed: int) -> tuple[Any, ...] | None:
    """The place of the record of an episode, as ``rlem.runner.play.episode_of`` names it."""
    found = re.fullmatch(r"train-(\d+)-\d+-(.*)", name, re.DOTALL)
    return ("train", int(found[1]), "memory", seed, found[2]) if found else None


def _episode(record: dict[str, Any], name: str, recorded_s: float) -> Episode:
    """What ``rlem.runner.play.episode_of`` makes of a record, as far as it matters here."""
    task = str(record.get("instruction"))
    return Episode(
        id=name,
        task=task,
        task_id=str(record.get("task_id")),
        source=f"run/{record.get('agent')}",
        recorded_s=recorded_s,
        transitions=tuple(
            Transition(
                situation=Situation(
                    task=task,
                    observation=str(step.get("observation")),
                    actions=tuple(map(str, step.get("actions", ()))),
                    subtask=str(step.get("subtask", "")),
                ),
                action=None,
                reward=0.0,
            )
            for step in record.get("steps", ())
        ),
    )


def _place(record: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(record.get(name) for name in ("phase", "epoch", "arm", "seed", "task_id"))


def _without_advice(record: dict[str, Any], stays: Callable[[str], bool]) -> bool:
    """Takes the exemplars of situations that do not stay out of a record; whether there were some."""
    changed = False
    for step in record.get("steps", ()):
        advice = step.get("advice", [])
        step["advice"] = [item for item in advice if stays(str(item.get("key")))]
        changed |= len(advice) != len(step["advice"])
    return changed


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    """The objects of a file of JSON lines; one that a kill tore at the end is none."""
    with path.open(encoding="ascii") as stream:
        for number, line in enumerate(stream, 1):
            if not line.endswith("\n"):
                return
            try:
                yield dict(json.loads(line))
            except (ValueError, TypeError) as error:
                raise DataError(f"{path}, line {number}: {error}; nothing was taken out of it") from error


def _write(path: Path, objects: list[dict[str, Any]]) -> None:
    with whole(path) as stream:
        for item in objects:
            stream.write(json.dumps(item, separators=(",", ":")) + "\n")
