"""What a run's folder keeps of the episodes of its memory: records (``rlem.runner.records``), report."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from rlem.core.errors import DataError
from rlem.memory.transfer import whole

REPORT = ("report.html", "summary.json", "learning_curve.png")
"""Made from the records; `rlem report` makes them again."""


def forget_in_run(folder: Path, seed: int, ids: Collection[str], keys: Collection[str]) -> int:
    """Takes the training records of these episodes out of a run's folder, and from the others of its seed the
    exemplars of these situations; returns how many records went. The report goes if anything does.

    Each file is written whole or not at all. DataError for a record that cannot be read.
    """
    path, timings = folder / "episodes.jsonl", folder / "timings.jsonl"
    # As ``rlem.runner.play.episode_of`` names them.
    named = [re.fullmatch(r"train-(\d+)-\d+-(.*)", name, re.DOTALL) for name in ids]
    gone = {("train", int(found[1]), "memory", seed, found[2]) for found in named if found}
    records = list(_lines(path))
    kept = [record for record in records if _place(record) not in gone]
    forgotten = sum([_without_advice(record, keys) for record in kept if record.get("seed") == seed])
    if len(kept) == len(records) and not forgotten:
        return 0
    for name in REPORT:
        (folder / name).unlink(missing_ok=True)
    _write(path, kept)
    if timings.exists():
        _write(timings, [line for line in _lines(timings) if tuple(line.get("episode", ())) not in gone])
    return len(records) - len(kept)


def _place(record: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(record.get(name) for name in ("phase", "epoch", "arm", "seed", "task_id"))


def _without_advice(record: dict[str, Any], keys: Collection[str]) -> int:
    """Takes the exemplars of these situations out of a record; returns how many."""
    gone = 0
    for step in record.get("steps", ()):
        advice = step.get("advice", [])
        step["advice"] = [item for item in advice if item.get("key") not in keys]
        gone += len(advice) - len(step["advice"])
    return gone


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
