"""Parts of bench/memory.py: recalling, candidates against exact scores, opening."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from time import perf_counter
from typing import Any

from bench._common import p50, quantile, timed
from bench._memory_fresh import COMMITS
from bench._memory_made import STORED
from bench._memory_tables import Asked, Row, Table, fresh, remove, verdict

LOOKED_UP = (STORED, "wikihow")
"""Similarities that score features by tables and tags; the others score words."""

CANDIDATES_FROM = 10_000
"""No smaller memory is held to the target of candidates: it scores all, whatever candidates would find."""

FORGETTING_IMAGE = "UPDATE views SET image = NULL; DELETE FROM images"
FORGETTING_ALL = f"UPDATE views SET mark = NULL; DELETE FROM experiences; {FORGETTING_IMAGE}"


def target_ms(kind: str, size: int) -> float | None:
    """Of the median recall; beyond 500 experiences only the scoring of words has one."""
    if kind in LOOKED_UP:
        return 0.2 if size == 500 else None
    return {500: 1.0, 100_000: 5.0, 1_000_000: 10.0}.get(size)


def recall(asked: Asked) -> Iterator[Table]:
    """Recall by similarity and size, and in the same processes candidates against exact scores."""
    times, candidates = [], []
    for engine in asked.engines:
        for size in asked.sizes:
            for kind in asked.kinds:
                if engine == "PostgreSQL" and kind != "webshop":
                    continue
                begin = perf_counter()
                place, tasks = asked.filled(engine, kind, size)
                build_s = perf_counter() - begin
                unseen = asked.unseen(kind, tasks, asked.queries + COMMITS)
                found = fresh("recall", place, unseen, asked.folder)
                remove(place)
                times.append(
                    _times(f"{kind}, {engine}" if asked.postgres else kind, kind, size, build_s, found)
                )
                candidates.append(_candidates(kind, found))
    yield Table(
        title="Recall",
        note=f"k = 2, {asked.queries} pages of tasks the memory has never seen, their features included; "
        "ms. Floor: a plain sum over as many bytes as all rows and stored features have. After a commit: the "
        "first recall after one more episode. Build: making the episodes and recording them, 2,000 a commit. "
        "MiB: the whole process.",
        rows=times,
    )
    yield Table(
        title="Candidates against exact scores",
        note="The index alone, features made before; ms. Recall@10: of candidates from one row on, whatever "
        "the size (as a rule all are scored up to 100,000); a tie with the tenth is a hit. Usual: what a "
        "memory of this size does.",
        rows=candidates,
    )


def _times(name: str, kind: str, size: int, build_s: float, found: dict[str, Any]) -> Row:
    middle = p50(found["warm_ms"])
    return {
        "similarity": name,
        "N": found["experiences"],
        "p50": middle,
        "p99": quantile(found["warm_ms"], 0.99),
        "target": verdict(middle, target_ms(kind, size)),
        "MB read once": found["scanned"] / 1e6,
        "floor": found["floor_ms"],
        "x floor": middle / found["floor_ms"],
        "first ever": found["first_ms"],
        "after a commit": p50(found["after_ms"]),
        "build s": build_s,
        "MiB": found["rss_mib"],
        "MiB target": verdict(found["rss_mib"], 2500 if size == 1_000_000 else None),
    }


def _candidates(kind: str, found: dict[str, Any]) -> Row:
    usual, forced = found["usual"], found["forced"]
    return {
        "similarity": kind,
        "N": found["experiences"],
        "recall@10": forced["recall_at_10"],
        "target": verdict(
            forced["recall_at_10"], 0.99 if found["experiences"] >= CANDIDATES_FROM else None, least=True
        ),
        "candidates": forced["candidates_mean"],
        "p50": forced["approximate_p50_ms"],
        "exact p50": forced["exact_p50_ms"],
        "x exact": forced["approximate_p50_ms"] / forced["exact_p50_ms"],
        "usual p50": usual["approximate_p50_ms"],
        "usual recall@10": usual["recall_at_10"],
    }


def opening(asked: Asked) -> Iterator[Table]:
    """Opening after a clean close, after a kill, and without what is derived."""
    rows = []
    for size in asked.sizes[1:]:
        for kind in asked.opened:
            place, tasks = asked.filled("SQLite", kind, size)
            tail = max(1, tasks // 50)
            states: dict[str, list[dict[str, Any]]] = {}
            states["clean close"] = [_opened(place, asked) for _ in range(asked.rounds)]
            states["killed, 2 % more"] = []
            for turn in range(asked.rounds):
                dead = asked.unseen(kind, tasks + turn * tail, tail)
                fresh("die", place, dead, asked.folder)
                states["killed, 2 % more"].append(_opened(place, asked))
            for turn in range(min(2, asked.rounds)):
                for state, statements in (
                    ("rows, no image", FORGETTING_IMAGE),
                    ("log only", FORGETTING_ALL),
                )[:: 1 if turn else -1]:
                    with closing(sqlite3.connect(place)) as file:
                        file.executescript(statements)
                    states.setdefault(state, []).append(_opened(place, asked))
            rows += [_opening(kind, size, state, found) for state, found in states.items()]
            remove(place)
    yield Table(
        title="Opening",
        note=f"Each in a fresh process, medians of {asked.rounds} (2 of the last two states); s. Floor: "
        "reading the whole file. Each kill comes after as many more episodes. MiB: the process then. First "
        "recall: ms.",
        rows=rows,
    )


def _opened(place: str, asked: Asked) -> dict[str, Any]:
    """Opened in a fresh process; and the file read in this one."""
    found = fresh("open", place, asked.unseen("webshop", 0, 1), asked.folder)
    read_s = timed(lambda: Path(place).read_bytes()) / 1000
    return {**found, "read_s": read_s, "megabytes": Path(place).stat().st_size / 1e6}


def _opening(kind: str, size: int, state: str, found: list[dict[str, Any]]) -> Row:
    middle = {name: p50([one[name] for one in found]) for name in found[0]}
    clean = size == 100_000 and state == "clean close"
    return {
        "similarity": kind,
        "N": int(middle["experiences"]),
        "state": state,
        "open s": middle["open_s"],
        "target": verdict(middle["open_s"], 1.0 if clean else None),
        "MB on disk": middle["megabytes"],
        "floor": middle["read_s"],
        "x floor": middle["open_s"] / middle["read_s"],
        "first recall": middle["first_ms"],
        "MiB": middle["rss_mib"],
    }
