"""Laws of a bounded memory over random logs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlem.core.types import Episode, Situation, Transition
from rlem.memory.config import MemoryConfig
from rlem.memory.eviction import Eviction, Lesson, worth
from rlem.memory.experience import Experience
from rlem.memory.table import ExperienceTable
from rlem.similarity.config import default, weighted
from rlem.similarity.exact import ExactOr
from rlem.testing.memory_cases import taught
from rlem.values import Estimate, ValueConfig

PAGES = ["red door", "a red door", "blue sea", "sea", "", "the sea, the sea", "door \ud800"]
TASKS = ["find the door", "find the sea", "find the red door", "swim"]
HALF = weighted((1.0, ExactOr(other=0.5)))

situations = st.builds(
    Situation, task=st.sampled_from(TASKS), observation=st.sampled_from(PAGES), actions=st.just(("go",))
)
lessons = st.builds(
    Lesson,
    action=st.sampled_from(["go", "stay", "turn"]),
    worth=st.integers(-2, 3).map(lambda n: n / 2.0),
    last=st.integers(0, 3),
)
transitions = st.builds(
    Transition,
    situation=situations,
    action=st.sampled_from(["go", "stay", "turn", "look", None]),
    reward=st.integers(-3, 3).map(float),
    reason=st.sampled_from(["", "why not"]),
)
episodes = st.builds(
    Episode,
    id=st.just("x"),
    task=st.sampled_from(TASKS),
    transitions=st.lists(transitions, max_size=4).map(tuple),
    trust=st.sampled_from(["verified", "verified", "unverified"]),
)
logs = st.lists(episodes, min_size=1, max_size=8).map(
    lambda items: [replace(item, id=f"e{i}") for i, item in enumerate(items)]
)
bounded = st.builds(
    MemoryConfig,
    values=st.sampled_from([ValueConfig(), ValueConfig(n=1, double=True)]),
    similarity=st.sampled_from([default(), HALF]),
    max_experiences=st.sampled_from([None, 1, 2, 4]),
    max_actions=st.sampled_from([None, 2]),
    max_bytes=st.sampled_from([None, 1, 900, 2500]),
)


@pytest.mark.parametrize("similarity", [default(), HALF], ids=["words", "all alike"])
@settings(max_examples=60)
@given(data=st.data())
def test_choices_kept_up_to_date_are_choices_made_afresh(similarity: object, data: st.DataObject) -> None:
    """After any additions, lessons and removals, what goes next, and next, is what a fresh table gives up."""
    kept, live = Eviction(similarity), dict[int, tuple[Situation, Lesson]]()  # type: ignore[arg-type]
    for item in data.draw(st.lists(situations, min_size=2, max_size=9, unique_by=lambda s: s.key)):
        slot = len(live)
        live[slot] = (item, data.draw(lessons))
        kept.add(slot, item, None, live[slot][1])
    for step in data.draw(st.lists(st.sampled_from(["learn", "drop", "choose"]), max_size=12)):
        slot = data.draw(st.sampled_from(sorted(live)))
        if step == "learn":
            live[slot] = (live[slot][0], data.draw(lessons))
            kept.learned(slot, live[slot][1])
        elif len(live) > 1:
            slot = slot if step == "drop" else kept.choose()
            kept.remove(slot)
            del live[slot]
    fresh = Eviction(similarity)  # type: ignore[arg-type]
    # The slots' numbers and the order of arrival must not count.
    renamed = {len(live) - 1 - place: slot for place, slot in enumerate(live)}
    for place in sorted(renamed):
        fresh.add(place, live[renamed[place]][0], None, live[renamed[place]][1])
    while live:
        place = fresh.choose()
        assert kept.choose() == renamed[place]
        kept.remove(renamed[place])
        fresh.remove(place)
        del live[renamed[place]]


@settings(max_examples=60)
@given(logs, bounded)
def test_a_bounded_memory_holds_its_bounds_and_is_what_a_replay_gives(
    log: list[Episode], config: MemoryConfig
) -> None:
    """After each episode: no bound is passed, bytes are what they are counted afresh, a copy of the state
    learns on like the original, and a rebuild from the log agrees."""
    table = ExperienceTable(config)
    for item in log:
        copy = ExperienceTable(config)
        copy.restore(table.changes())
        for each in (table, copy):
            each.learn(item)
        assert list(copy.experiences()) == list(table.experiences())
        found = list(table.experiences())
        assert len(found) <= (config.max_experiences or len(found))
        assert all(len(e.actions) <= (config.max_actions or 99) for e in found)
        if config.max_bytes is not None:
            tables = 2 if config.values.double else 1
            size = sum(_bytes(e, table.index.features_of(e.situation), tables) for e in found)
            assert table.size_bytes == size <= config.max_bytes
    memory = taught(config, log)
    before = memory.hash()
    memory.rebuild()
    assert memory.hash() == before


def _bytes(found: Experience, features: Mapping[str, bytes], tables: int) -> int:
    """The definition in MemoryConfig, word by word."""
    at = found.situation
    texts = [at.task, at.observation, at.subtask, *at.actions, *found.history]
    for action in found.actions:
        texts += [action.action, action.reason]
    numbers = 7 + len(found.actions) * (7 + 3 * tables)
    encoded = sum(len(text.encode("utf-8", "surrogatepass")) for text in texts)
    return encoded + sum(len(data) for data in features.values()) + 8 * numbers


@settings(max_examples=60)
@given(logs, st.integers(1, 4))
def test_the_experience_of_greatest_worth_stays(log: list[Episode], limit: int) -> None:
    """Whatever goes: the greatest worth known before an eviction is known after it."""
    table = ExperienceTable(MemoryConfig(max_experiences=limit))
    for item in log:
        unbounded = ExperienceTable(MemoryConfig())
        unbounded.restore(table.changes())
        unbounded.learn(item)
        table.learn(item)
        assert len(table) == min(limit, len(unbounded))
        if len(unbounded):
            assert _most(table) == _most(unbounded)


def _most(table: ExperienceTable) -> float:
    return max(
        worth(Estimate(a.verified_visits, a.verified_q_value, a.m2 if a.verified_visits == a.visits else 0.0))
        for e in table.experiences()
        for a in e.actions
    )


@settings(max_examples=30)
@given(logs, bounded)
def test_what_went_comes_back_with_a_larger_bound(log: list[Episode], config: MemoryConfig) -> None:
    """The log is never cut: rebuilt without bounds, the memory is one that never had them."""
    memory = taught(config, log)
    memory.rebuild(replace(config, max_experiences=None, max_actions=None, max_bytes=None))
    assert memory.hash() == taught(memory.config, log).hash()
    memory.rebuild(config)
    assert memory.hash() == taught(config, log).hash()
