"""What every experience memory must do, whatever engine keeps it: a pytest suite to inherit from.

    class TestMyStore(MemoryContract):
        def make_store(self, tmp_path): return MyStore(tmp_path / "memory")
        def reopen(self, store): return MyStore(store.location)

Needs pytest.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from rlem.core.clock import ManualClock
from rlem.memory.config import MemoryConfig
from rlem.memory.memory import ExperienceMemory
from rlem.memory.store import Store
from rlem.memory.volatile import InMemoryStore
from rlem.similarity.config import weighted
from rlem.similarity.exact import ExactOr
from rlem.testing.memory_cases import (
    VIEWS,
    Steps,
    encouraged,
    episode,
    situation,
    taught,
    taught_into,
    walks,
)
from rlem.testing.memory_contract_engine import EngineContract
from rlem.testing.memory_contract_log import LogContract
from rlem.testing.memory_contract_views import ViewContract
from rlem.values import ValueConfig


class MemoryContract(LogContract, EngineContract, ViewContract):
    """Inherit, give ``make_store`` and ``reopen``, and let pytest collect the class."""

    def test_recorded_episodes_are_in_the_log_and_in_the_values(self, store: Store) -> None:
        """An episode comes back whole, its situations become experiences with visits, mean and spread."""
        memory = ExperienceMemory(store, clock=ManualClock(7.0))
        first = memory.record(episode("a", [("p", "left", 0.0), ("q", "right", 1.0)]))
        memory.record(episode("b", [("p", "left", 0.0), ("q", "right", 0.0)]))
        assert (first.sequence, first.recorded_s) == (1, 7.0)
        assert [e.id for e in memory.episodes()] == ["a", "b"]
        assert memory.find_episode("a") == first
        assert memory.find_episode("c") is None
        assert len(memory) == 2
        assert memory.episode_count() == 2
        known = memory.get(situation("p").key)
        assert known is not None
        (left,) = known.actions
        assert (left.action, left.visits, left.q_value, left.m2, left.reward_mean) == (
            "left",
            2,
            0.5,
            0.5,
            0.0,
        )
        assert (left.verified_visits, left.verified_q_value) == (2, 0.5)
        assert memory.get(known.key[:12]) == known
        assert [c.return_ for c in memory.contributions(known.key, "left")] == [1.0, 0.0]

    def test_recall_ranks_by_similarity_then_samples_then_key(self, store: Store) -> None:
        """The most similar experience is first; equal ones follow by samples, then by content key."""
        memory = ExperienceMemory(store)
        assert memory.recall(situation("p"), 2) == ()
        memory.record(
            episode("a", [("red door", "left", 1.0), ("blue", "left", 0.0), ("green", "left", 0.0)])
        )
        memory.record(episode("b", [("green", "right", 1.0)]))
        found = memory.recall(situation("a red door"), 9)
        assert [r.experience.situation.observation for r in found][:2] == ["red door", "green"]
        assert found[0].similarity > found[1].similarity == found[2].similarity
        assert memory.recall(situation("a red door"), 0) == ()
        one = [
            r.experience.key
            for r in ExperienceMemory(InMemoryStore(), VIEWS["n=1"]).recall(situation("x"), 1)
        ]
        assert one == []
        memory.record(episode("c", [("blue", "right", 0.0)]))
        tied = [r.experience.key for r in memory.recall(situation("a red door"), 3)[1:]]
        assert tied == sorted(tied)

    def test_recall_and_reading_change_nothing(self, store: Store) -> None:
        """Looking at a memory leaves its hash and its revision as they are."""
        memory = taught_into(store, MemoryConfig(), walks())
        before, revision = memory.hash(), store.revision()
        memory.recall(situation("the bridge"), 3)
        memory.experiences()
        list(memory.episodes())
        assert (memory.hash(), store.revision()) == (before, revision)

    def test_the_hash_covers_content_and_order_but_not_place_and_time(self, store: Store) -> None:
        """Any change of content or order changes the hash; the clock and gaps in the numbering do not."""
        items = walks(4)
        memory = taught_into(store, MemoryConfig(), items)
        late = ExperienceMemory(InMemoryStore(), clock=ManualClock(1e9))
        late.insert(replace(item, sequence=10 * i) for i, item in enumerate(items))
        assert late.hash() == memory.hash()
        changes: list[dict[str, Any]] = [
            {"source": "x"},
            {"split": "x"},
            {"model": "x"},
            {"task_id": "x"},
            {"cause": "x"},
            {"trust": "quarantined"},
            {"history": ("x",)},
            {"total_reward": 1.0},
            {"final": situation("x")},
        ]
        seen = {memory.hash(), taught(None, items[::-1]).hash(), taught(None, items[1:]).hash()}
        for change in changes:
            seen.add(taught(None, [replace(items[0], **change), *items[1:]]).hash())
        assert len(seen) == 3 + len(changes)

    def test_a_full_memory_gives_up_the_less_sampled_of_the_most_redundant_pair(self, store: Store) -> None:
        """Two of the three red pages are alike; the one seen less goes, the different page stays."""
        memory = ExperienceMemory(store, MemoryConfig(max_experiences=2))
        memory.record(episode("a", [("a red door with a brass knob", "left", 1.0)]))
        memory.record(episode("b", [("a red door with a brass knob", "left", 1.0)]))
        memory.record(episode("c", [("ships on the wide ocean", "left", 0.0)]))
        memory.record(episode("d", [("a red door with a brass bell", "left", 1.0)]))
        pages = {e.situation.observation for e in memory.experiences()}
        assert pages == {"a red door with a brass knob", "ships on the wide ocean"}
        assert memory.episode_count() == 4

    def test_the_best_action_is_never_given_up(self, store: Store) -> None:
        """The newcomer is less sampled and redundant, yet its action is worth most: the other one goes."""
        memory = ExperienceMemory(store, MemoryConfig(max_experiences=2))
        for i in range(5):
            memory.record(episode(f"a{i}", [("a red door with a brass knob", "left", 1.0)]))
        memory.record(episode("c", [("ships on the wide ocean", "left", 0.0)]))
        memory.record(episode("d", [("a red door with a brass bell", "left", 3.0)]))
        pages = {e.situation.observation for e in memory.experiences()}
        assert pages == {"a red door with a brass bell", "ships on the wide ocean"}

    def test_an_experience_keeps_its_best_actions(self, store: Store) -> None:
        """With max_actions the best and the failing action stay; a replay from scratch agrees."""
        config = MemoryConfig(max_actions=2)
        items = [episode(f"e{i}", [("p", f"act {i}", float(i % 4))]) for i in range(9)]
        memory = taught_into(store, config, items)
        known = memory.get(situation("p").key)
        assert known is not None
        assert sorted(a.q_value for a in known.actions) == [0.0, 3.0]
        assert known.samples == 2
        assert memory.hash() == taught(config, items).hash()

    @pytest.mark.parametrize(
        "values",
        [
            ValueConfig(n=1),
            ValueConfig(trace_decay=0.3),
            ValueConfig(n=1, double=True),
            ValueConfig(truncation="bootstrap"),
        ],
        ids=["n=1", "trace", "double", "tail"],
    )
    def test_unverified_value_does_not_come_in_by_bootstrapping(
        self, store: Store, values: ValueConfig
    ) -> None:
        """What others claim of a later page must not make an own worthless action look good."""
        similarity = weighted((1.0, ExactOr(0.0)))
        lies = [episode(f"lie{i}", [("q", "right", 100.0)], trust="unverified") for i in range(4)]
        cut: dict[str, Any] = {}
        if values.truncation == "bootstrap":
            cut = {"status": "truncated", "final": situation("q")}
        own: list[Steps] = [[("p", "left", 0.0)], [("p", "left", 0.0), ("q", "left", 0.0)]]
        walked = [episode(f"own{i}", own[not cut], **cut) for i in range(4)]
        memory = taught_into(store, MemoryConfig(values=values, similarity=similarity), [*lies, *walked])
        known = memory.get(situation("p").key)
        assert known is not None
        assert known.best.q_value > 0.0
        assert known.best.verified_q_value == 0.0
        assert encouraged(memory, "p") == []
