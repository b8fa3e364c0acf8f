"""Laws of the memory over random logs: the log is the truth, everything else can be made anew."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlem.core.types import Episode, Situation, Transition
from rlem.memory.codec import canonical, episode_from_json, episode_to_json
from rlem.memory.config import MemoryConfig
from rlem.memory.memory import ExperienceMemory
from rlem.memory.sqlite import SQLiteStore
from rlem.memory.volatile import InMemoryStore
from rlem.similarity.config import default, weighted
from rlem.similarity.exact import ExactOr
from rlem.testing.memory_cases import taught
from rlem.values import ValueConfig

HALF = weighted((1.0, ExactOr(0.5)))
CONFIGS = st.builds(
    MemoryConfig,
    values=st.sampled_from(
        [
            ValueConfig(),
            ValueConfig(n=1, discount=0.9),
            ValueConfig(n=2, double=True, seed=5),
            ValueConfig(trace_decay=0.5, truncation="bootstrap"),
            ValueConfig(estimate="constant", n=1),
            ValueConfig(compat="reference", n=1),
        ]
    ),
    similarity=st.sampled_from([default(), HALF]),
    max_experiences=st.sampled_from([None, 2, 4]),
    max_actions=st.sampled_from([None, 2]),
)
pages = st.sampled_from(["red door", "a red door", "blue sea", "sea", "", "the sea, the sea"])
situations = st.builds(
    Situation,
    task=st.sampled_from(["find the door", "find the sea"]),
    observation=pages,
    actions=st.just(("go",)),
)
transitions = st.builds(
    Transition,
    situation=situations,
    action=st.sampled_from(["go", "stay", "turn", None]),
    reward=st.integers(-3, 3).map(float),
    reason=st.sampled_from(["", "why not"]),
)
episodes = st.builds(
    Episode,
    id=st.just("x"),
    task=st.sampled_from(["find the door", "find the sea"]),
    transitions=st.lists(transitions, max_size=4).map(tuple),
    status=st.sampled_from(["terminated", "terminated", "truncated", "broken"]),
    trust=st.sampled_from(["verified", "verified", "unverified", "quarantined"]),
    final=st.none() | situations,
)
logs = st.lists(episodes, min_size=1, max_size=8).map(
    lambda items: [replace(item, id=f"e{i}") for i, item in enumerate(items)]
)


@settings(max_examples=40)
@given(logs, CONFIGS, st.data())
def test_forgetting_any_episodes_is_never_having_seen_them(
    log: list[Episode], config: MemoryConfig, data: st.DataObject
) -> None:
    """Whatever is forgotten, one by one and in any order: the hash is that of the rest alone."""
    memory = taught(config, log)
    gone = data.draw(st.lists(st.sampled_from([e.id for e in log]), unique=True, max_size=3))
    for name in gone:
        memory.forget(episode=name)
    assert memory.hash() == taught(config, [e for e in log if e.id not in gone]).hash()


@settings(max_examples=40)
@given(logs, CONFIGS)
def test_learning_bit_by_bit_is_replaying_from_scratch(log: list[Episode], config: MemoryConfig) -> None:
    """Capacity, bootstrapping, double Q and rarity weights included."""
    memory = taught(config, log)
    before, seen = memory.hash(), memory.experiences()
    memory.rebuild()
    assert memory.experiences() == seen
    assert memory.hash() == before
    at_once = ExperienceMemory(InMemoryStore(), config)
    at_once.record_many(log)
    assert at_once.hash() == before


@settings(max_examples=25)
@given(logs, CONFIGS, st.integers(0, 8))
def test_closing_and_reopening_in_the_middle_makes_no_difference(
    log: list[Episode], config: MemoryConfig, at: int
) -> None:
    """State that was stored and taken back learns on like state that never left the process."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "memory.rlem"
        for part, settings_ in ((log[:at], config), (log[at:], None)):
            memory = ExperienceMemory(SQLiteStore(path), settings_)
            for item in part:
                memory.record(item)
            memory.close()
        memory = ExperienceMemory(SQLiteStore(path))
        whole = taught(config, log)
        assert memory.hash() == whole.hash()
        assert memory.experiences() == whole.experiences()
        memory.close()


@settings(max_examples=30)
@given(logs, logs, CONFIGS)
def test_merging_is_symmetric(ours: list[Episode], theirs: list[Episode], config: MemoryConfig) -> None:
    """A with B's log is B with A's log."""
    a = taught(config, [replace(e, id=f"a{e.id}") for e in ours])
    b = taught(config, [replace(e, id=f"b{e.id}") for e in theirs])
    log_a, log_b = list(a.episodes()), list(b.episodes())
    a.insert(log_b)
    b.insert(log_a)
    assert a.hash() == b.hash()


@given(logs)
def test_episodes_survive_their_json(log: list[Episode]) -> None:
    """Decoding what was encoded gives an equal episode and the same text again."""
    for item in log:
        text = canonical(episode_to_json(item))
        again = episode_from_json(json.loads(text))
        assert again == item
        assert canonical(episode_to_json(again)) == text


@settings(max_examples=30)
@pytest.mark.parametrize("double", [False, True])
@given(log=logs)
def test_samples_are_the_visits_that_taught(double: bool, log: list[Episode]) -> None:
    """Every taught transition is one sample, in one table or the other."""
    memory = taught(MemoryConfig(values=ValueConfig(double=double)), log)
    lessons = [
        t
        for e in log
        if e.status != "broken" and e.trust != "quarantined"
        for t in e.transitions
        if t.action is not None
    ]
    assert sum(e.samples for e in memory.experiences()) == len(lessons)
    assert sum(e.visits for e in memory.experiences()) == len(lessons)
