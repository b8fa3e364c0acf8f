"""What a memory must do with several views of its log. Part of MemoryContract."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import pytest

import rlem.memory.state as engine
from rlem.core.clock import ManualClock
from rlem.core.errors import UnknownNameError, UsageError
from rlem.memory.config import MemoryConfig
from rlem.memory.memory import ExperienceMemory
from rlem.memory.store import MAIN, Store
from rlem.testing.memory_cases import (
    VIEWS,
    StoreFixtures,
    episode,
    situation,
    taught,
    taught_into,
    walks,
)


class ViewContract(StoreFixtures):
    """One log, several ways to learn from it; rewards that were put right."""

    def test_views_learn_from_one_log(self, store: Store, again: Callable[[], Store]) -> None:
        """Each view has its own settings and values; what is recorded through one, all learn."""
        main = taught_into(store, VIEWS["monte-carlo"], walks(5))
        side = ExperienceMemory(again(), VIEWS["n=1"], view="side")
        assert side.hash() == taught(VIEWS["n=1"], walks(5)).hash()
        for i, item in enumerate(walks(9)[5:]):
            (main, side)[i % 2].record(item)
        assert main.hash() == taught(VIEWS["monte-carlo"], walks(9)).hash()
        assert side.hash() == taught(VIEWS["n=1"], walks(9)).hash()
        assert store.views() == [MAIN, "side"]
        assert ExperienceMemory(again(), view="side").hash() == side.hash()
        assert ExperienceMemory(again()).config == main.config

    def test_a_view_takes_part_in_forgetting(self, store: Store, again: Callable[[], Store]) -> None:
        """What is forgotten through one view is gone from the others' values, and stays gone."""
        main = taught_into(store, VIEWS["monte-carlo"], walks(8))
        side = ExperienceMemory(again(), VIEWS["n=1"], view="side")
        main.forget(episode="walk-002")
        rest = [item for item in walks(8) if item.id != "walk-002"]
        assert side.hash() == taught(VIEWS["n=1"], rest).hash()
        side.forget(source="scout")
        rest = [item for item in rest if item.source != "scout"]
        assert main.hash() == taught(VIEWS["monte-carlo"], rest).hash()
        assert ExperienceMemory(again(), view="side").hash() == side.hash()

    def test_a_view_that_is_not_there_is_named(self, store: Store) -> None:
        """Opening an unknown view without settings says which there are."""
        taught_into(store, MemoryConfig(), walks(1))
        with pytest.raises(UnknownNameError, match=r"'man'.*did you mean 'main'"):
            ExperienceMemory(store, view="man")

    @pytest.mark.parametrize("view", VIEWS)
    def test_a_corrected_reward_flows_into_all_values(
        self, store: Store, again: Callable[[], Store], view: str
    ) -> None:
        """Values are those of a memory that had recorded the right reward; what it was stays on record."""
        items = walks(12)
        memory = taught_into(store, VIEWS[view], items)
        before = memory.revision()
        fixed = memory.correct("walk-003", {0: 7.5, 2: -1.0}, "the judge was wrong")
        steps = list(items[3].transitions)
        steps[0], steps[2] = replace(steps[0], reward=7.5), replace(steps[2], reward=-1.0)
        right = [*items[:3], replace(items[3], transitions=tuple(steps)), *items[4:]]
        assert memory.experiences() == taught(VIEWS[view], right).experiences()
        assert ExperienceMemory(again()).hash() == memory.hash()
        assert [(c.step, c.was, c.now) for c in fixed.corrections] == [
            (0, items[3].transitions[0].reward, 7.5),
            (2, items[3].transitions[2].reward, -1.0),
        ]
        assert memory.find_episode("walk-003") == fixed
        then = {e.id: e for e in store.episodes_until(before)}
        assert then["walk-003"].transitions == items[3].transitions
        memory.rebuild()
        assert memory.experiences() == taught(VIEWS[view], right).experiences()

    def test_corrections_of_what_is_not_there_are_refused(self, store: Store) -> None:
        """An unknown episode, a step it has not, a reward that is no number: UsageError, nothing changes."""
        memory = taught_into(store, MemoryConfig(), walks(3))
        before = memory.hash()
        for wrong, rewards in (("nobody", {0: 1.0}), ("walk-001", {9: 1.0}), ("walk-001", {0: math.nan})):
            with pytest.raises(UsageError):
                memory.correct(wrong, rewards)
        assert memory.hash() == before

    def test_episodes_before_a_time_can_be_forgotten(self, store: Store) -> None:
        """before_s= takes what was recorded earlier, and nothing else."""
        clock = ManualClock()
        memory = ExperienceMemory(store, clock=clock)
        for number, item in enumerate(walks(6)):
            clock.now_s = 100.0 + number
            memory.record(item)
        assert memory.forget(before_s=103.0) == 3
        assert memory.hash() == taught(None, walks(6)[3:]).hash()

    def test_a_large_memory_forgets_without_a_replay(
        self, store: Store, again: Callable[[], Store], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Where values do not bootstrap, only what the episode touched is learned anew, with one result."""
        items = [
            episode(f"e{i:02d}", [(f"page {i}", "left", 1.0), ("the square", f"way {i % 3}", float(i % 4))])
            for i in range(20)
        ]
        monkeypatch.setattr(engine, "IMAGE_FROM", 5)
        before = taught_into(store, MemoryConfig(), items)
        before.rebuild()  # which leaves an image

        def boom(*_: object, **__: object) -> None:
            raise AssertionError("the whole log was replayed")

        with monkeypatch.context() as patch:
            patch.setattr(engine.ViewState, "replay", boom)
            memory = ExperienceMemory(again())  # of which nothing is loaded yet
            memory.forget(episode="e07")
            memory.correct("e03", {1: 9.0})
            memory.insert([replace(items[7], id="older", sequence=-1)])
        log = list(memory.episodes())
        assert [e.id for e in log][:2] == ["older", "e00"]
        assert memory.experiences() == taught(None, log).experiences()
        assert ExperienceMemory(again()).hash() == memory.hash() == before.hash()
        assert {e.situation.observation for e in memory.experiences()} >= {"page 7"}

    def test_an_image_of_the_index_is_followed_by_what_changed_since(
        self, store: Store, again: Callable[[], Store], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A memory opened from an image, with experiences changed, new and evicted after it, recalls and goes
        on like one that learned it all; a damaged image is made anew."""
        monkeypatch.setattr(engine, "IMAGE_FROM", 2)
        for name, config in (("main", VIEWS["n=1"]), ("small", VIEWS["capacity"])):
            memory = ExperienceMemory(store, config, view=name)
            memory.insert([replace(item, sequence=i) for i, item in enumerate(walks(6))])
            memory.rebuild()
            image = store.image(name)
            assert image is not None
            for item in walks(10)[store.count() :]:
                memory.record(item)
            opened = ExperienceMemory(again(), view=name)
            log = list(memory.episodes())
            assert opened.hash() == memory.hash() == taught(config, log).hash()
            for page in ("the old square", "home, a red door", "elsewhere"):
                assert opened.recall(situation(page), 4) == taught(config, log).recall(situation(page), 4)
            with store.write():
                store.put_image(name, {**image.parts, "keys": b"123"})
            assert ExperienceMemory(again(), view=name).hash() == memory.hash()

    def test_history_tells_what_was_done(self, store: Store) -> None:
        """Every change besides recording is noted with its revision and no text of the log."""
        memory = taught_into(store, MemoryConfig(), walks(4))
        memory.insert([replace(walks(5)[4], sequence=9)])
        memory.correct("walk-001", {0: 2.0})
        memory.forget(episode="walk-002")
        memory.rebuild(VIEWS["n=1"])
        kinds = [change.kind for change in store.history()]
        assert kinds == ["insert", "correct", "forget", "settings"]
        revisions = [change.revision for change in store.history()]
        assert revisions == sorted(set(revisions))
        assert "walk" not in str([change.detail for change in store.history()])
        assert sum(a.episodes for a in store.arrivals()) == memory.episode_count() == 4
