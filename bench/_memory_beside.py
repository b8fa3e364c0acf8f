"""Part of bench/memory.py: the reference code's memory and ours over the same phone screens."""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from bench._common import STEPS, p50, timed
from bench._memory_made import Screens, queries
from bench._memory_tables import Asked, Table, remove

from rlem.api.stores import open_store
from rlem.core.types import Episode, Situation
from rlem.memory.config import MemoryConfig
from rlem.memory.memory import ExperienceMemory
from rlem.similarity.config import preset

DRIVER = Path(__file__).resolve().parent / "_memory_reference.py"
QUERIES = 20


class NotTimedError(Exception):
    """Why the reference code cannot be timed; one line."""


def reference(asked: Asked) -> Iterator[Table]:
    """Both at each size; where the checkout does not run, one line says why."""
    rows: list[dict[str, Any]] = []
    stood_in: list[str] = []
    note = "Not timed: "
    try:
        for size in asked.reference_sizes:
            tasks = size // STEPS
            episodes = list(Screens().episodes(0, tasks))
            unseen = queries(list(Screens().episodes(tasks, tasks + QUERIES)))
            theirs = _theirs(asked, episodes, unseen)
            ours = _ours(asked, episodes, unseen)
            stood_in = theirs["stand_ins"]
            same = sum(abs(a - b) < 1e-6 for a, b in zip(theirs["best"], ours["best"], strict=True))
            for what in ("recall", "insert", "save", "load"):
                if f"{what}_ms" in theirs:
                    them, us = theirs[f"{what}_ms"], ours[f"{what}_ms"]
                    rows.append(
                        {
                            "what": what,
                            "N": theirs["held"],
                            "reference ms": them,
                            "rlem ms": us,
                            "times faster": them / us,
                            "same best score": f"{same} of {QUERIES}" if what == "recall" else "-",
                        }
                    )
        note = (
            f"The same {STEPS}-step episodes and {QUERIES} unseen queries, tags by LCS and instruction "
            "pattern; medians, insert: a step of the last fifth of the episodes; ours durable in SQLite. "
            "Save: ours is in the insert; load: opening."
        )
        if stood_in:
            note += f" Not installed, and not needed here: {', '.join(stood_in)} (empty modules stood in)."
    except NotTimedError as error:
        note += f"{error} [{asked.reference}, {asked.reference_python}]"
    yield Table(title="Beside the reference code", note=note, rows=rows)


def _theirs(asked: Asked, episodes: Sequence[Episode], unseen: Sequence[Situation]) -> dict[str, Any]:
    assert asked.reference is not None
    if not (asked.reference / "history.py").is_file():
        raise NotTimedError("there is no history.py; name a checkout of X-LANCE/Rememberer")
    with tempfile.TemporaryDirectory() as name:
        played, questions = Path(name) / "episodes", Path(name) / "queries"
        told = [[[_key(t.situation), t.action, t.reward] for t in e.transitions] for e in episodes]
        played.write_text("".join(json.dumps(one) + "\n" for one in told), encoding="utf-8")
        questions.write_text("".join(json.dumps(_key(one)) + "\n" for one in unseen), encoding="utf-8")
        command = [asked.reference_python, str(DRIVER), str(asked.reference.resolve())]
        try:
            ran = subprocess.run([*command, str(played), str(questions)], capture_output=True, text=True)
        except OSError as error:
            raise NotTimedError(f"that Python cannot be started ({error.strerror})") from None
    if not ran.stdout:
        last = (ran.stderr.strip().splitlines() or ["nothing"])[-1]
        raise NotTimedError(f"it ended with status {ran.returncode}; its last words: {last}")
    answer: dict[str, Any] = json.loads(ran.stdout)
    if "error" in answer:
        raise NotTimedError(answer["error"])
    return _middle(answer)


def _ours(asked: Asked, episodes: Sequence[Episode], unseen: Sequence[Situation]) -> dict[str, Any]:
    place = asked.place("SQLite", "beside")
    memory = ExperienceMemory(open_store(place), MemoryConfig(similarity=preset("wikihow")))
    insert = [timed(partial(memory.record, e)) / STEPS for e in episodes]
    recall = [timed(partial(memory.recall, q)) for q in unseen]
    best = [memory.recall(query)[0].similarity for query in unseen]
    save_ms = timed(memory.close)
    load_ms = timed(lambda: ExperienceMemory(open_store(place)).close())
    remove(place)
    answer = {"insert_ms": insert, "recall_ms": recall, "best": best}
    return _middle({**answer, "save_ms": save_ms, "load_ms": load_ms})


def _middle(answer: dict[str, Any]) -> dict[str, Any]:
    """The medians of what was measured often; of insertions only the last, into a memory almost full."""
    inserts = answer["insert_ms"]
    last = inserts[-max(1, len(inserts) // 5) :]
    return {**answer, "insert_ms": p50(last), "recall_ms": p50(answer["recall_ms"])}


def _key(situation: Situation) -> list[str]:
    """A situation as the reference code has it."""
    return [situation.observation, situation.task, situation.subtask]
