"""Laws of merging: one result, whoever is merged into whom and in whatever grouping."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlem.core.clock import ManualClock
from rlem.core.errors import EpisodeConflictError, UsageError
from rlem.core.types import Correction, Episode, Situation, Transition
from rlem.memory.config import MemoryConfig
from rlem.memory.corrections import corrected, same_play, united
from rlem.memory.history import at
from rlem.memory.memory import ExperienceMemory
from rlem.memory.merging import merge
from rlem.memory.sqlite import SQLiteStore
from rlem.memory.volatile import InMemoryStore
from rlem.testing.memory_cases import VIEWS, episode, taught, walks
from rlem.values import ValueConfig

PLAYS = walks(6)
"""What may be in a log; equal ids stand for equal content."""
CONFIGS = st.sampled_from(list(VIEWS.values()))
rewards = st.integers(-2, 2).map(float)


@st.composite
def memories(draw: st.DrawFn, config: MemoryConfig) -> ExperienceMemory:
    """A memory that played some of PLAYS in an order of its own, and corrected some, at whole seconds."""
    clock = ManualClock()
    memory = ExperienceMemory(InMemoryStore(), config, clock=clock)
    played = draw(st.permutations(PLAYS))[: draw(st.integers(0, len(PLAYS)))]
    for item in played:
        memory.record(item)
    for item in played:
        for step, reward, clock.now_s in draw(
            st.lists(
                st.tuples(st.integers(0, len(item.transitions) - 1), rewards, st.integers(0, 3)), max_size=3
            )
        ):
            found = memory.find_episode(item.id)
            assert found is not None
            if found.transitions[step].reward != reward:
                memory.correct(item.id, {step: reward})
    return memory


def together(config: MemoryConfig, parts: Sequence[ExperienceMemory]) -> ExperienceMemory:
    """A new memory of all."""
    memory = ExperienceMemory(InMemoryStore(), config)
    merge(memory, parts)
    return memory


def grown(memory: ExperienceMemory, others: Sequence[ExperienceMemory]) -> ExperienceMemory:
    """A copy of the memory that took in the others."""
    copy = ExperienceMemory(InMemoryStore(), memory.config)
    copy.insert(memory.episodes())
    merge(copy, others)
    return copy


@settings(max_examples=60)
@given(st.data(), CONFIGS)
def test_the_order_and_grouping_of_a_merge_make_no_difference(
    data: st.DataObject, config: MemoryConfig
) -> None:
    """Three memories with shared episodes, places and corrections of their own: one hash in all groupings."""
    a, b, c = (data.draw(memories(config)) for _ in range(3))
    whole = together(config, [a, b, c]).hash()
    assert together(config, [c, b, a]).hash() == whole
    assert grown(a, [b, c]).hash() == whole
    assert grown(c, [a, b]).hash() == whole
    assert grown(grown(a, [b]), [c]).hash() == whole
    assert grown(a, [grown(b, [c])]).hash() == whole
    assert grown(grown(b, [c]), [grown(a, [b])]).hash() == whole


@settings(max_examples=40)
@given(st.data(), CONFIGS)
def test_merging_what_is_there_changes_nothing(data: st.DataObject, config: MemoryConfig) -> None:
    """A memory merged with itself, or with a part of it merged before, keeps its hash."""
    a, b = data.draw(memories(config)), data.draw(memories(config))
    before = a.hash()
    assert grown(a, [a]).hash() == before
    both = grown(a, [b])
    assert grown(both, [a, b]).hash() == both.hash()


@settings(max_examples=40)
@given(st.data(), CONFIGS)
def test_a_merged_memory_is_what_replaying_its_log_gives(data: st.DataObject, config: MemoryConfig) -> None:
    """Learning what came in between is learning all anew, and the present revision is the present."""
    both = grown(data.draw(memories(config)), [data.draw(memories(config))])
    before = both.hash()
    both.rebuild()
    assert both.hash() == before
    assert at(both, both.revision()).hash() == before


@settings(max_examples=15)
@given(st.data(), st.sampled_from([MemoryConfig(), VIEWS["n=1"]]))
def test_files_merge_like_memories_of_the_process(data: st.DataObject, config: MemoryConfig) -> None:
    """The SQLite engine gives the same hash, now and after it is opened again."""
    a, b = data.draw(memories(config)), data.draw(memories(config))
    whole = together(config, [a, b]).hash()
    with TemporaryDirectory() as folder:
        path = Path(folder) / "merged.rlem"
        for sources in ([a], [b], []):
            store = SQLiteStore(path)
            memory = ExperienceMemory(store, config)
            merge(memory, sources)
            found = memory.hash()
            memory.close()
        assert found == whole


def history(*made: tuple[float, int, float]) -> Episode:
    """An episode of two steps with corrections of (time, step, reward)."""
    plain = episode("one", [("square", "left", 0.0), ("bridge", "wait", 0.0)])
    items = [Correction(step=step, was=0.0, now=now, recorded_s=when) for when, step, now in made]
    return corrected(plain, items)


def test_corrections_of_both_are_made_in_order_of_time() -> None:
    """The last one of each step decides; each says what the reward was before it."""
    ours, theirs = history((1.0, 0, 5.0), (4.0, 1, 7.0)), history((2.0, 0, 6.0), (3.0, 1, 8.0))
    both = united(ours, theirs, 9)
    assert [step.reward for step in both.transitions] == [6.0, 7.0]
    assert [(c.recorded_s, c.was, c.now) for c in both.corrections] == [
        (1.0, 0.0, 5.0),
        (2.0, 5.0, 6.0),
        (3.0, 0.0, 8.0),
        (4.0, 8.0, 7.0),
    ]
    assert [c.revision for c in both.corrections] == [0, 9, 9, 0]


@given(st.lists(st.tuples(st.integers(0, 3).map(float), st.integers(0, 1), rewards), max_size=4))
def test_undoing_all_corrections_gives_the_first_rewards(made: list[tuple[float, int, float]]) -> None:
    """However often they were corrected; and a corrected episode is the same play."""
    item = history(*made)
    assert [step.reward for step in corrected(item, ()).transitions] == [0.0, 0.0]
    assert same_play(item, history())
    assert corrected(item, item.corrections) == item


def test_other_content_under_one_id_is_a_conflict_and_nothing_is_taken_in() -> None:
    """The error names the episode; what came before it in the other log is not there either."""
    ours = taught(None, [episode("b", [("square", "left", 1.0)])])
    theirs = taught(None, [episode("a", [("square", "left", 1.0)]), episode("b", [("square", "right", 1.0)])])
    before = ours.hash(), ours.revision()
    with pytest.raises(EpisodeConflictError, match="'b'"):
        merge(ours, [theirs])
    assert (ours.hash(), ours.revision()) == before
    assert [item.id for item in ours.episodes()] == ["b"]


def test_memories_of_other_settings_need_a_choice() -> None:
    """Refused by name without one; with one, both sides give the same."""
    short = MemoryConfig(values=ValueConfig(n=1, discount=0.5))
    a, b = taught(None, walks(3)), taught(short, walks(5))
    with pytest.raises(UsageError, match="other settings \\(values\\)"):
        merge(a, [b])
    merge(a, [b], config=short)
    assert a.config == short
    assert a.hash() == grown(b, [taught(short, walks(3))]).hash()


def test_a_merge_counts_and_is_noted() -> None:
    """How many are new, how many were there; the history says where they came from."""
    a, b = taught(None, walks(3)), taught(None, walks(5))
    assert merge(a, [b]) == (2, 3)
    assert a.store.history()[-1].detail == {"episodes": 2, "changed": 0, "from": [":memory:"]}
    assert merge(a, [b]) == (0, 5)


def test_an_episode_that_both_have_keeps_its_earlier_place() -> None:
    """Recorded last here and first there, it is first in both merges."""
    first, second = (
        Episode(
            id=name,
            task="t",
            transitions=(
                Transition(situation=Situation(task="t", observation="o"), action="a", reward=value),
            ),
        )
        for name, value in (("x", 1.0), ("y", 2.0))
    )
    one, other = taught(VIEWS["constant"], [first, second]), taught(VIEWS["constant"], [second])
    assert [item.id for item in grown(one, [other]).episodes()] == ["x", "y"]
    late = taught(VIEWS["constant"], [replace(first, id="w"), first, second])
    orders = [[item.id for item in m.episodes()] for m in (grown(late, [other]), grown(other, [late]))]
    assert orders[0] == orders[1] == ["w", "y", "x"]


def test_a_revision_before_a_merge_stays_what_it_was() -> None:
    """A correction that came in between older ones does not hold back then."""
    clock = ManualClock()
    ours, theirs = (ExperienceMemory(InMemoryStore(), clock=clock) for _ in range(2))
    for memory, clock.now_s in ((theirs, 5.0), (ours, 9.0)):
        memory.record_many(walks(3))
        memory.correct("walk-001", {0: clock.now_s})
    then, was = ours.revision(), ours.hash()
    merge(ours, [theirs])
    assert at(ours, then).hash() == was != ours.hash()
