"""One process over a memory, started by bench/memory.py: python _memory_fresh.py WHAT PLACE EPISODES

EPISODES: a file of JSON lines, episodes that the memory has never seen. It prints one line of JSON.

- open: seconds to open it and the memory (RSS) then, milliseconds of the first recall
- recall: the same; recalls of pages of unseen tasks; recalls right after a commit; candidates against exact
  scores; and what reading the index's arrays once takes here
- write: says "ready", waits for a line, records all episodes, each in a commit of its own
- read: says "ready", waits for a line, recalls until the next one
- die: records all and is killed
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
from bench._common import p50, timed
from bench._memory_made import queries
from bench._webshop_fresh import rss_mib

from rlem.api.stores import open_store
from rlem.core.types import Episode, Situation
from rlem.memory.codec import episode_from_json
from rlem.memory.measure import measure
from rlem.memory.memory import ExperienceMemory
from rlem.similarity.index import SimilarityIndex

COMMITS = 20
BLOCK_BYTES = 1 << 26
"""Read at once for the floor: more than a processor's caches hold."""


def index_of(memory: ExperienceMemory) -> SimilarityIndex:
    """The search index under a memory; nobody but a benchmark needs it."""
    return memory._state.table.index


def scanned_bytes(index: SimilarityIndex) -> int:
    """Bytes that scoring everything reads if it reads each stored feature, and each slot's row, once."""
    arrays = index.dump()
    return sum(a.nbytes for name, a in arrays.items() if name.endswith("/rows") or "/bank/" in name)


def scan_ms(count: int, rounds: int = 5) -> float:
    """Milliseconds to read so many bytes of memory by a plain sum; the median."""
    block = np.ones(max(1, min(count, BLOCK_BYTES) // 8))
    turns = max(1, round(count / block.nbytes))
    return p50([timed(lambda: [block.sum() for _ in range(turns)]) for _ in range(rounds)])


def recalls(memory: ExperienceMemory, asked: list[Situation]) -> list[float]:
    """Milliseconds of each."""
    return [timed(partial(memory.recall, query)) for query in asked]


def opened(place: str, asked: list[Situation]) -> tuple[ExperienceMemory, dict[str, Any]]:
    """The memory, and what opening it took."""
    begin = perf_counter()
    memory = ExperienceMemory(open_store(place))
    open_s = perf_counter() - begin
    about = {"experiences": len(memory), "open_s": open_s, "rss_mib": rss_mib()}
    return memory, {**about, "first_ms": recalls(memory, asked[:1])[0]}


def recall(place: str, episodes: list[Episode]) -> dict[str, Any]:
    """All about recalling; the last COMMITS episodes are recorded."""
    unseen, news = queries(episodes[:-COMMITS]), episodes[-COMMITS:]
    memory, about = opened(place, unseen)
    warm = recalls(memory, unseen[1:])
    rss = rss_mib()
    after = []
    for episode, query in zip(news, unseen, strict=False):
        memory.record(episode)
        after += recalls(memory, [query])
    index, some = index_of(memory), unseen[: max(20, len(unseen) // 3)]
    count = scanned_bytes(index)
    floor = scan_ms(count)
    usual, forced = measure(index, some), measure(index, some, best_from=1)
    memory.close()
    return {
        **about,
        "warm_ms": warm,
        "after_ms": after,
        "rss_mib": rss,
        "scanned": count,
        "floor_ms": floor,
        "usual": asdict(usual),
        "forced": asdict(forced),
    }


def ready() -> None:
    """Says so, and waits for the word to begin."""
    print(json.dumps("ready"), flush=True)
    sys.stdin.readline()


def write(memory: ExperienceMemory, episodes: list[Episode]) -> dict[str, Any]:
    """One commit an episode."""
    ready()
    begin = perf_counter()
    for episode in episodes:
        memory.record(episode)
    return {"seconds": perf_counter() - begin}


def read(memory: ExperienceMemory, asked: list[Situation], stop: Callable[[], bool]) -> list[float]:
    """Milliseconds of recalls, one after the other until told to stop."""
    times: list[float] = []
    while not stop():
        times += recalls(memory, [asked[len(times) % len(asked)]])
    return times


def main() -> None:
    """Does what it is asked and prints what came out."""
    what, place, path = sys.argv[1:4]
    lines = Path(path).read_text(encoding="utf-8").splitlines()
    episodes = [episode_from_json(json.loads(line)) for line in lines]
    asked = queries(episodes)
    if what == "recall":
        print(json.dumps(recall(place, episodes)))
        return
    memory, answer = opened(place, asked)
    if what == "write":
        answer = write(memory, episodes)
    elif what == "read":
        ready()
        told = threading.Event()

        def listen() -> None:
            sys.stdin.readline()
            told.set()

        threading.Thread(target=listen, daemon=True).start()
        answer = {"times_ms": read(memory, asked, told.is_set)}
    elif what == "die":
        for episode in episodes:
            memory.record(episode)
        os.kill(os.getpid(), signal.SIGKILL)
    memory.close()
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
