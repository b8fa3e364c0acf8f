"""What the suites for memories are made of: settings, small logs, and the store of a test. Needs pytest."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from rlem.advice import advise
from rlem.core.clock import ManualClock
from rlem.core.seeds import generator
from rlem.core.types import JSON, Episode, Situation, Transition
from rlem.memory.config import MemoryConfig
from rlem.memory.experience import Experience
from rlem.memory.memory import ExperienceMemory
from rlem.memory.store import Store
from rlem.memory.volatile import InMemoryStore
from rlem.similarity.base import Bank, Feature, Similarity
from rlem.similarity.fields import digest
from rlem.similarity.lexical import Lexical
from rlem.values import ValueConfig

VIEWS: dict[str, MemoryConfig] = {
    "monte-carlo": MemoryConfig(),
    "n=1": MemoryConfig(values=ValueConfig(n=1, discount=0.9)),
    "trace": MemoryConfig(values=ValueConfig(trace_decay=0.5)),
    "double": MemoryConfig(values=ValueConfig(n=2, double=True, seed=3)),
    "constant": MemoryConfig(values=ValueConfig(estimate="constant", n=1)),
    "bootstrap": MemoryConfig(values=ValueConfig(truncation="bootstrap", discount=0.9)),
    "capacity": MemoryConfig(max_experiences=3, max_actions=2, values=ValueConfig(n=1)),
    "reference": MemoryConfig(values=ValueConfig(compat="reference"), max_experiences=4),
}
"""Settings under which the suite runs what must hold for all of them."""

Steps = Sequence[tuple[str, str | None, float]]


def situation(page: str, *, task: str = "walk home", actions: Sequence[str] = ("left", "right")) -> Situation:
    """A situation on a page of that text."""
    return Situation(task=task, observation=page, actions=tuple(actions))


def texts_of(situations: Iterable[Situation]) -> set[str]:
    """Tasks and pages."""
    return {text for s in situations for text in (s.task, s.observation)}


def features_in(store: Store, texts: set[str]) -> set[str]:
    """Of which of these texts the default similarity's features are stored."""
    names = {digest(text): text for text in texts}
    fingerprints = [feature.fingerprint for _, feature in MemoryConfig().similarity.terms]
    return {names[name] for f in fingerprints for name in store.features(f, list(names))}


def episode(name: str, steps: Steps, *, task: str = "walk home", **head: Any) -> Episode:
    """An episode of (page, action, reward) steps."""
    transitions = tuple(
        Transition(situation=situation(page, task=task), action=action, reward=reward)
        for page, action, reward in steps
    )
    return Episode(id=name, task=task, transitions=transitions, **head)


def walks(count: int = 12) -> list[Episode]:
    """A small varied log: loops, tasks, sources, cut and broken episodes, a format failure."""
    pages = ["the old square", "a narrow street", "the bridge over the river", "home, a red door", ""]
    found = []
    for i in range(count):
        steps: list[tuple[str, str | None, float]] = [
            (
                pages[(i + j * (1 + i % 3)) % 5],
                ("left", "right", "wait")[(i * j + i) % 3],
                (i * 7 + j * 3) % 5 - 1.5,
            )
            for j in range(1 + i % 4)
        ]
        if i % 5 == 4:
            steps.insert(1, ("the bridge over the river", None, 0.5))
        task = f"walk home by way {i % 3}"
        found.append(
            episode(
                f"walk-{i:03d}",
                steps,
                task=task,
                source="scout" if i % 4 == 1 else "own",
                status=("terminated", "truncated", "terminated", "broken", "truncated", "terminated")[i % 6],
                trust=("verified", "verified", "unverified", "verified", "quarantined")[i % 5],
                final=situation("a narrow street", task=task) if i % 2 else None,
            )
        )
    return found


@dataclass(frozen=True)
class CountingFeature:
    """A feature that counts the texts it encodes, under the identity of the feature it wraps."""

    inner: Feature
    encoded: list[str]

    @property
    def name(self) -> str:
        return self.inner.name

    @property
    def fingerprint(self) -> str:
        return self.inner.fingerprint

    def text_of(self, situation: Situation) -> str:
        return self.inner.text_of(situation)

    def encode(self, texts: Sequence[str]) -> list[bytes]:
        self.encoded.extend(texts)
        return self.inner.encode(texts)

    def bank(self, *, static: bool = False) -> Bank:
        return self.inner.bank(static=static)

    def to_config(self) -> dict[str, JSON]:
        return self.inner.to_config()


def counting(encoded: list[str]) -> Similarity:
    """The default similarity, noting every text it encodes."""
    features = (Lexical("task"), Lexical("observation"))
    return Similarity(tuple((0.5, CountingFeature(feature, encoded)) for feature in features))


def taught(config: MemoryConfig | None, episodes: Sequence[Episode]) -> ExperienceMemory:
    """A memory in this process that saw exactly these episodes, one after the other."""
    memory = ExperienceMemory(InMemoryStore(), config, clock=ManualClock())
    for item in episodes:
        memory.record(item)
    return memory


def taught_into(store: Store, config: MemoryConfig, episodes: Sequence[Episode]) -> ExperienceMemory:
    """A memory over the store that saw these episodes, one after the other."""
    memory = ExperienceMemory(store, config, clock=ManualClock())
    for item in episodes:
        memory.record(item)
    return memory


def encouraged(memory: ExperienceMemory, page: str) -> list[str]:
    """Actions that advice on the page encourages."""
    (found,) = memory.recall(situation(page), 1)
    assert isinstance(found.experience, Experience)
    return [line.action for line in advise(found, rng=generator(0)).encouraged]


class StoreFixtures:
    """A store for each test, and the same data opened once more."""

    def make_store(self, tmp_path: Path) -> Store:
        """A new empty store."""
        raise NotImplementedError

    def reopen(self, store: Store) -> Store | None:
        """Another store over the data of this one, which may be closed; None where there can be none."""
        raise NotImplementedError

    @pytest.fixture
    def store(self, tmp_path: Path) -> Iterator[Store]:
        """A new store, closed at the end."""
        store = self.make_store(tmp_path)
        yield store
        store.close()

    @pytest.fixture
    def again(self, store: Store) -> Iterator[Callable[[], Store]]:
        """Opens the same data once more."""
        opened: list[Store] = []

        def open_again() -> Store:
            other = self.reopen(store)
            if other is None:
                pytest.skip("this store cannot be opened twice")
            opened.append(other)
            return other

        yield open_again
        for other in opened:
            other.close()
