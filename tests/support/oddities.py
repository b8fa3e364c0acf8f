"""What a memory meets in years: files of other versions, clocks that go back, texts that nobody expects."""

from __future__ import annotations

import itertools
import resource
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from time import perf_counter

from tests.support.faults import Place, Trial, big, content, opened, outcome

from rlem.core.types import Episode, Situation, Transition
from rlem.memory.config import MemoryConfig
from rlem.memory.copying import copy_memory
from rlem.memory.memory import ExperienceMemory
from rlem.memory.store import Store
from rlem.memory.volatile import InMemoryStore
from rlem.testing.memory_cases import episode, situation, taught, walks
from rlem.values import ValueConfig

# -- two versions ------------------------------------------------------------------------------------

SCHEMA_1 = Path(__file__).with_name("schema_1.sql")
"""A memory of `schema_1_episodes` as rlem 0.1 wrote it."""
SCHEMA_1_HASH = "6e160d153f530938daddf36095ae463475e9a8cdc146db65abdf40913848293d"


def schema_1_episodes() -> list[Episode]:
    """What the old file holds: walks, and an episode of odd texts."""
    odd = Situation(task="x\udfffy", observation="\U0001f600 '; --", actions=("", "\ud800"), subtask="\t\n")
    last = Episode(
        id="odd",
        task="x\udfffy",
        transitions=(Transition(situation=odd, action="\ud800", reward=1.0, reason="\udfff"),),
        source="\ud800",
        history=("before",),
        final=odd,
        status="truncated",
    )
    return [*walks(9), last]


def old_file(path: Path) -> Path:
    """Makes a file of the first schema there."""
    run(path, SCHEMA_1.read_text("utf-8"))
    return path


def run(path: Path, script: str) -> None:
    """Runs SQL on a file behind rlem's back."""
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(script)


def dump(path: Path) -> str:
    """The SQL that makes a closed memory file anew: so `schema_1.sql` was made."""
    with closing(sqlite3.connect(path)) as connection:
        numbers = [
            f"PRAGMA {name} = {connection.execute(f'PRAGMA {name}').fetchone()[0]};"
            for name in ("application_id", "user_version")
        ]
        return "\n".join([*numbers, *connection.iterdump(), ""])


def newer_file(trial: Trial, path: Path) -> None:
    """A file of a version that is yet to come: refused, for reading as for writing, and left as it is."""
    with closing(opened(path)) as memory:
        memory.record_many(walks(8))
    with closing(sqlite3.connect(path)) as connection:
        version = connection.execute("PRAGMA user_version").fetchone()[0]
    for later, read_only in itertools.product((1, 2, 90), (False, True)):
        run(path, f"PRAGMA user_version = {version + later}")
        before = path.read_bytes()
        seen = outcome(lambda: opened(path, read_only=read_only))  # noqa: B023
        lost = [] if seen.startswith("MemoryVersionError") and "upgrade rlem" in seen else [seen]
        if path.read_bytes() != before:
            lost.append("the file was changed")
        trial.add(lost, seen.partition(":")[0])


def older_file(trial: Trial, folder: Path) -> None:
    """A file of the first version: upgraded, with the same hash and all episodes, and it goes on."""
    path = old_file(folder / "old.rlem")
    expected = taught(None, schema_1_episodes())
    lost = []
    for times in ("first", "second"):
        with closing(opened(path)) as memory:
            if not memory.hash() == expected.hash() == SCHEMA_1_HASH:
                lost.append(f"another hash when opened for the {times} time")
            if content(memory) != content(expected):
                lost.append(f"other episodes when opened for the {times} time")
    with closing(opened(path)) as memory:
        memory.record(big("more", 3000))
        expected.record(big("more", 3000))
        if memory.hash() != expected.hash():
            lost.append("another hash after one more episode")
        memory.rebuild()
        if memory.hash() != expected.hash():
            lost.append("another hash after rebuild")
    trial.add(lost)


# -- clock, texts, numbers ---------------------------------------------------------------------------


def clock_goes_back(trial: Trial, place: Place) -> None:
    """Each commit is an hour before the last one: the order is that of recording, and so are the values."""
    times = itertools.count(1e9, -3600.0)
    config = MemoryConfig(values=ValueConfig(n=1))
    with (
        closing(taught(config, walks(12))) as twin,
        closing(opened(place, config, clock=lambda: next(times))) as memory,
    ):
        for item in walks(6):
            memory.record(item)
        memory.record_many(walks(12)[6:])
        lost = _clock(memory, twin)
        if place != ":memory:":
            with closing(opened(place)) as second:
                second.rebuild()
                lost += _clock(second, twin)
    trial.add(lost)


def _clock(memory: ExperienceMemory, twin: ExperienceMemory) -> list[str]:
    log = list(memory.episodes())
    facts = {
        "order": [e.id for e in log] == [e.id for e in walks(12)],
        "places": [e.sequence for e in log] == list(range(1, 13)),
        "times": [e.recorded_s for e in log] == [1e9 - 3600.0 * n for n in range(12)],
        "hash": memory.hash() == twin.hash(),
    }
    return [f"clock going back: {fact} is wrong" for fact, right in facts.items() if not right]


TEXTS = {
    "NUL": "a\x00b\x00",
    "lone surrogates": "x\udfffy\ud800",
    "1 MB of both": ("w" * 500 + "\x00 \ud800 ") * 1_990,
}


def odd_texts(trial: Trial, store: Store, text: str) -> None:
    """Such a text in every field: it comes back as it was, is recalled, survives a copy to another store."""
    page = Situation(task=text, observation=text, actions=(text, text + "!"), subtask=text)
    item = Episode(
        id="odd",
        task=text,
        transitions=(Transition(situation=page, action=text, reward=1.0, reason=text),),
        task_id=text,
        source=text,
        split=text,
        model=text,
        cause=text,
        history=(text, ""),
        final=replace(page, observation=text + "."),
        status="truncated",
    )
    with closing(ExperienceMemory(store)) as memory:
        memory.record_many([*walks(2), item])
        (best,) = memory.recall(page, 1)
        copy = InMemoryStore()
        facts = {
            "content": content(memory)["odd"] == item,
            "recall": (best.experience.situation, best.best.action) == (page, text),
            "hash": memory.hash() == taught(None, [*walks(2), item]).hash(),
            "copy": copy_memory(store, copy).hash == memory.hash(),
        }
        memory.forget(episode="odd")
        facts["forget"] = memory.hash() == taught(None, walks(2)).hash()
    trial.add([f"odd text: {fact} is wrong" for fact, right in facts.items() if not right])


def many_actions(trial: Trial, store: Store, count: int = 10_000) -> None:
    """So many actions in one situation: all are kept, the best one is found, one more is learned."""
    with closing(ExperienceMemory(store, MemoryConfig(values=ValueConfig(discount=0.0)))) as memory:
        memory.record(episode("a", [("p", f"type {i}", float(i == count // 2)) for i in range(count)]))
        memory.record(episode("b", [("p", "another", 0.5)]))
        (best,) = memory.recall(situation("p"), 1)
        facts = {
            "number": len(best.experience.actions) == count + 1,
            "visits": best.experience.visits == count + 1,
            "best": best.best.action == f"type {count // 2}",
        }
        before = memory.hash()
        memory.rebuild()
        facts["hash"] = memory.hash() == before
    trial.add([f"many actions: {fact} is wrong" for fact, right in facts.items() if not right])


def page(number: int) -> Episode:
    """An episode with a page of 1 MB, most of it one word."""
    found = big(f"p{number:05}", 200)
    item = found.transitions[0]
    long = replace(item.situation, observation=item.situation.observation + "x" * 1_000_000)
    return replace(found, transitions=(replace(item, situation=long),))


def large(trial: Trial, path: Path, megabytes: int) -> dict[str, float]:
    """A memory of so many pages of 1 MB: opened anew, all are there, one is recalled, one is forgotten.
    Returns seconds of opening, milliseconds of a recall, megabytes of the file and of the process."""
    with closing(opened(path)) as memory:
        for begin in range(0, megabytes, 10):
            memory.record_many([page(n) for n in range(begin, min(begin + 10, megabytes))])
        digest = memory.hash()
    wanted = page(megabytes // 2)
    begin_s = perf_counter()
    with closing(opened(path)) as memory:
        figures = {"open s": perf_counter() - begin_s}
        (best,) = memory.recall(wanted.transitions[0].situation, 1)
        begin_s = perf_counter()
        memory.recall(wanted.transitions[0].situation, 1)
        figures["recall ms"] = 1000 * (perf_counter() - begin_s)
        figures["file MB"] = path.stat().st_size / 1e6
        facts = {
            "number": memory.episode_count() == len(memory) == megabytes,
            "recall": best.experience.situation == wanted.transitions[0].situation,
            "hash": memory.hash() == digest,
        }
        memory.forget(episode=wanted.id)
        facts["forget"] = memory.find_episode(wanted.id) is None
        facts["number after"] = memory.episode_count() == megabytes - 1
    figures["peak RSS MB"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
    trial.add([f"large memory: {fact} is wrong" for fact, right in facts.items() if not right])
    return figures
