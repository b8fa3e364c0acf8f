"""What a memory must stand: closing, opening, faults, many hands. Part of MemoryContract."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest

import rlem.memory.state as engine
from rlem.core.errors import ClosedError, EpisodeConflictError, UsageError
from rlem.core.types import Episode, Situation, Transition
from rlem.memory.config import MemoryConfig
from rlem.memory.memory import ExperienceMemory
from rlem.memory.store import MAIN, Store
from rlem.testing.memory_cases import (
    VIEWS,
    Steps,
    StoreFixtures,
    counting,
    episode,
    features_in,
    situation,
    taught,
    taught_into,
    walks,
)
from rlem.values import ValueConfig


class EngineContract(StoreFixtures):
    """Nothing is lost, nothing is mixed."""

    @pytest.mark.parametrize("view", VIEWS)
    def test_reopening_restores_everything(self, store: Store, again: Callable[[], Store], view: str) -> None:
        """Opened again, a memory has the same log, values and recall, and goes on as if never closed."""
        memory = taught_into(store, VIEWS[view], walks(12))
        other = ExperienceMemory(again())
        assert other.config.to_json() == VIEWS[view].to_json()
        assert other.hash() == memory.hash()
        assert other.experiences() == memory.experiences()
        query = situation("a street at the river", task="walk home")
        assert other.recall(query, 3) == memory.recall(query, 3)
        for item in walks(20)[12:]:
            other.record(item)
        assert other.hash() == taught(VIEWS[view], walks(20)).hash()

    @pytest.mark.parametrize("values", [ValueConfig(), ValueConfig(n=1)])
    def test_nothing_stored_is_encoded_again(
        self, store: Store, again: Callable[[], Store], values: ValueConfig
    ) -> None:
        """Reopening encodes no text at all, empty texts included; recording encodes each new text once."""
        encoded: list[str] = []
        memory = taught_into(store, MemoryConfig(values=values, similarity=counting(encoded)), walks(12))
        assert len(encoded) == len(set(encoded))
        assert "" in encoded
        encoded.clear()
        other = ExperienceMemory(again(), MemoryConfig(values=values, similarity=counting(encoded)))
        assert other.hash() == memory.hash()
        assert encoded == []

    def test_reopening_a_full_memory_encodes_nothing(self, store: Store, again: Callable[[], Store]) -> None:
        """A capacity does not make reopening dearer."""
        encoded: list[str] = []
        memory = taught_into(store, MemoryConfig(similarity=counting(encoded), max_experiences=3), walks(12))
        encoded.clear()
        other = ExperienceMemory(again(), MemoryConfig(similarity=counting(encoded), max_experiences=3))
        assert other.hash() == memory.hash()
        assert encoded == []

    def test_stale_derived_state_is_made_anew_as_a_whole(
        self, store: Store, again: Callable[[], Store], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """After a change of the learner, one more episode must not mix old values with new ones."""
        memory = taught_into(store, MemoryConfig(), walks(6))
        mark = store.mark(MAIN)
        assert mark is not None
        assert mark.fingerprint.startswith(f"learner-{engine.LEARNER_VERSION} ")
        with store.write():  # what another version of the learner left behind
            rows = list(store.derived(MAIN))
            state = [(s, [*values[:4], 99, *values[5:]]) for s, values in rows if values]
            store.put_derived(MAIN, state, replace=True)
            store.put_mark(MAIN, "learner-0 x", mark.last, mark.count)
        monkeypatch.setattr(engine, "LEARNER_VERSION", 99)
        newer = ExperienceMemory(again())
        assert newer.hash() == memory.hash()
        newer.record(walks(7)[6])
        assert ExperienceMemory(again()).hash() == taught(None, walks(7)).hash()

    def test_a_write_that_adds_nothing_keeps_the_derived_state_valid(self, store: Store) -> None:
        """Taking in what is there already, or an empty batch, does not cost the next opening a replay."""
        memory = taught_into(store, MemoryConfig(), walks(5))
        adds_nothing: list[Callable[[], object]] = [
            lambda: memory.insert(memory.episodes()),
            lambda: memory.record_many([]),
        ]
        for act in adds_nothing:
            assert act() in ((0, 5), [])
            mark = store.mark(MAIN)
            assert mark is not None
            assert mark.revision == store.revision()

    def test_settings_are_part_of_the_memory(self, store: Store, again: Callable[[], Store]) -> None:
        """Other settings are refused with the difference named; none, or equal ones, open it."""
        ExperienceMemory(store, VIEWS["n=1"])
        with pytest.raises(UsageError, match=r"values\.n: asked 2, stored 1"):
            ExperienceMemory(again(), MemoryConfig(values=ValueConfig(n=2, discount=0.9)))
        assert ExperienceMemory(again(), VIEWS["n=1"]).config.values.n == 1
        assert ExperienceMemory(again()).config.values.discount == 0.9

    def test_a_closed_memory_says_so(self, store: Store) -> None:
        """After close every use is a ClosedError, and closing twice is fine."""
        memory = taught_into(store, MemoryConfig(), walks(2))
        memory.close()
        memory.close()
        uses: list[Callable[[], object]] = [
            lambda: memory.record(walks(3)[2]),
            lambda: memory.recall(situation("p")),
            lambda: memory.find_episode("walk-000"),
            memory.hash,
            memory.experiences,
            lambda: len(memory),
            memory.rebuild,
            lambda: memory.forget(task="walk home"),
        ]
        for use in uses:
            with pytest.raises(ClosedError, match="closed"):
                use()

    @pytest.mark.parametrize("spot", ["append", "put_derived", "put_features"])
    def test_a_failed_commit_leaves_everything_as_before(
        self, store: Store, again: Callable[[], Store], monkeypatch: pytest.MonkeyPatch, spot: str
    ) -> None:
        """Memory and store are untouched, whichever part of the write fails, and the next write works."""
        memory = taught_into(store, VIEWS["n=1"], walks(5))
        before, revision = memory.hash(), store.revision()
        lost = episode("lost", [("a page that is never stored", "left", 1.0)])

        def boom(*_: object, **__: object) -> None:
            raise RuntimeError("the disk fell out")

        with monkeypatch.context() as patch:
            patch.setattr(store, spot, boom)
            with pytest.raises(RuntimeError, match="fell out"):
                memory.insert([replace(lost, sequence=2)])
            with pytest.raises(RuntimeError, match="fell out"):
                memory.record(lost)
        assert (memory.hash(), store.revision()) == (before, revision)
        assert not features_in(store, {"a page that is never stored"})
        assert ExperienceMemory(again()).hash() == before
        memory.record(walks(6)[5])
        assert memory.hash() == taught(VIEWS["n=1"], walks(6)).hash()
        assert ExperienceMemory(again()).hash() == memory.hash()
        assert not features_in(store, {"a page that is never stored"})

    def test_a_failed_rebuild_keeps_settings_and_values(
        self, store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Settings and values change together or not at all."""
        memory = taught_into(store, MemoryConfig(), walks(5))
        before = memory.hash()

        def boom(*_: object, **__: object) -> None:
            raise RuntimeError("the disk fell out")

        with monkeypatch.context() as patch:
            patch.setattr(store, "put_derived", boom)
            with pytest.raises(RuntimeError, match="fell out"):
                memory.rebuild(VIEWS["n=1"])
        assert memory.hash() == before
        assert memory.config == MemoryConfig()

    @pytest.mark.parametrize("reward", [math.nan, math.inf, -math.inf, 1e101, 10**400, None, "1"])
    def test_a_reward_that_is_no_number_is_refused(self, store: Store, reward: Any) -> None:
        """NaN, infinity and the like are a UsageError that names episode and step; nothing is stored."""
        memory = ExperienceMemory(store)
        with pytest.raises(UsageError, match="'a', step 1: reward"):
            memory.record(episode("a", [("p", "left", 1.0), ("q", "left", reward)]))
        with pytest.raises(UsageError, match="total_reward"):
            memory.record(episode("a", [("p", "left", 1.0)], total_reward=reward))
        assert memory.episode_count() == 0

    @pytest.mark.parametrize(
        "change",
        [
            {"id": ""},
            {"id": "\ud800"},
            {"status": "done"},
            {"trust": "full"},
            {"task": None},
            {"source": 3},
            {"cause": b""},
        ],
        ids=str,
    )
    def test_an_episode_that_could_not_be_read_back_is_refused(
        self, store: Store, change: dict[str, Any]
    ) -> None:
        """Names, states and texts of the wrong kind are a UsageError; nothing is stored."""
        memory = ExperienceMemory(store)
        with pytest.raises(UsageError):
            memory.record(replace(episode("a", [("p", "left", 1.0)]), **change))
        assert memory.episode_count() == 0

    def test_numbers_are_kept_in_one_form(self, store: Store) -> None:
        """Whole numbers and negative zero hash as the floats they are, here and after a rebuild."""
        memory = taught_into(store, MemoryConfig(), [episode("a", [("p", "left", 1), ("q", "left", -0.0)])])
        other = taught(None, [episode("a", [("p", "left", 1.0), ("q", "left", 0.0)])])
        assert memory.hash() == other.hash()
        memory.rebuild()
        assert memory.hash() == other.hash()

    def test_very_large_rewards_stay_finite(self, store: Store) -> None:
        """The largest allowed rewards neither overflow values and spreads nor break the file."""
        big: Steps = [("p", "left", 1e100), ("q", "left", 1e100)]
        small: Steps = [("p", "left", -1e100), ("q", "left", -1e100)]
        memory = taught_into(store, MemoryConfig(), [episode("a", big), episode("b", small)])
        assert all(math.isfinite(a.m2) for e in memory.experiences() for a in e.actions)
        before = memory.hash()
        memory.rebuild()
        assert memory.hash() == before

    @pytest.mark.parametrize(
        "text", ["", "\x00", "a\x00b", "\ud800", "x\udfffy", "\U0001f600", "'; --", "\r\n\t", "w " * 500_000]
    )
    def test_any_text_comes_back_as_it_was(self, store: Store, again: Callable[[], Store], text: str) -> None:
        """Empty, NUL, lone surrogates, quotes, a megabyte: all survive recording, reopening and forget."""
        page = Situation(task=text, observation=text, actions=(text, text + "!"), subtask=text)
        item = Episode(
            id="odd",
            task=text,
            transitions=(Transition(situation=page, action=text, reward=1.0, reason=text),),
            task_id=text[:99],
            source=text[:99],
            cause=text[:99],
            history=(text,),
            final=page,
            status="truncated",
        )
        memory = taught_into(store, MemoryConfig(), [*walks(2), item])
        other = ExperienceMemory(again())
        found = other.find_episode("odd")
        assert found is not None
        assert replace(found, sequence=0, recorded_s=0.0) == item
        assert found.transitions[0].situation.key == page.key
        assert other.hash() == memory.hash()
        (best,) = other.recall(page, 1)
        assert (best.experience.situation, best.best.action) == (page, text)
        other.forget(episode="odd")
        assert memory.hash() == taught(None, walks(2)).hash()

    def test_ten_thousand_actions_in_one_situation(self, store: Store, again: Callable[[], Store]) -> None:
        """Many actions are no special case: all are kept, the best one is found."""
        steps: Steps = [("p", f"type {i}", float(i == 7000)) for i in range(10_000)]
        memory = ExperienceMemory(store, MemoryConfig(values=ValueConfig(discount=0.0)))
        memory.record(episode("a", steps))
        known = ExperienceMemory(again()).get(situation("p").key)
        assert known is not None
        assert len(known.actions) == known.samples == 10_000
        assert known.best.action == "type 7000"

    @pytest.mark.parametrize("view", VIEWS)
    def test_two_memories_over_one_store_see_each_others_commits(
        self, store: Store, again: Callable[[], Store], view: str
    ) -> None:
        """Whoever writes, both have the same hash; that of one memory that saw it all."""
        one, two = ExperienceMemory(store, VIEWS[view]), ExperienceMemory(again())
        for i, item in enumerate(walks()):
            (one, two)[i % 2].record(item)
            assert one.episode_count() == two.episode_count() == i + 1
        assert one.hash() == two.hash() == taught(VIEWS[view], walks()).hash()

    def test_a_change_of_the_past_by_another_memory_is_noticed(
        self, store: Store, again: Callable[[], Store]
    ) -> None:
        """Forgetting, taking in older episodes and rebuilding, even where the count stays the same."""
        items = walks(8)
        one, two = ExperienceMemory(store), ExperienceMemory(again())
        one.record_many(items[:5])
        two.hash()
        one.forget(episode="walk-004")
        one.record(replace(items[4], id="a-smaller-id", source="new"))
        assert two.hash() == one.hash() == taught(None, list(one.episodes())).hash()
        one.forget(episode="walk-000")
        one.insert([replace(items[0], id="older", sequence=-3)])
        two.record(items[6])
        assert two.hash() == one.hash() == taught(None, list(one.episodes())).hash()
        one.rebuild(VIEWS["n=1"])
        assert two.hash() == one.hash() == taught(VIEWS["n=1"], list(one.episodes())).hash()
        assert two.config.values.n == 1

    def test_threads_lose_nothing(self, store: Store) -> None:
        """Eight threads record and read; the log holds all of their episodes, the values agree."""
        memory = ExperienceMemory(store, VIEWS["n=1"])
        failures: list[BaseException] = []
        start = threading.Barrier(8)

        def work(worker: int) -> None:
            try:
                start.wait()
                for i in range(20):
                    item = walks(1 + i % 4)[-1]
                    memory.record(replace(item, id=f"{worker}-{i}", trust="verified"))
                    memory.recall(situation("the river"), 2)
            except BaseException as error:
                failures.append(error)

        threads = [threading.Thread(target=work, args=(worker,)) for worker in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failures == []
        assert memory.episode_count() == 160
        log = list(memory.episodes())
        assert [e.sequence for e in log] == list(range(1, 161))
        assert {e.id for e in log} == {f"{w}-{i}" for w in range(8) for i in range(20)}
        before = memory.hash()
        memory.rebuild()
        assert memory.hash() == before

    def test_who_recalls_does_not_wait_for_a_commit(
        self, store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """While a write waits for the disk, recall answers."""
        memory = taught_into(store, MemoryConfig(), walks(6))
        with held_commit(store, monkeypatch) as (reached, go):
            writer = threading.Thread(target=memory.record, args=(walks(7)[6],))
            writer.start()
            assert reached.wait(20)
            found: list[object] = []
            reader = threading.Thread(target=lambda: found.append(memory.recall(situation("the river"), 2)))
            reader.start()
            reader.join(20)
            answered = len(found)
            go.set()
            writer.join()
            reader.join()
        assert answered == 1
        assert memory.hash() == taught(None, walks(7)).hash()

    def test_threads_share_a_commit(self, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        """What waits while a commit is on its way to the disk is written by the next one, all of it; an
        episode that cannot be stored spoils no other."""
        memory = taught_into(store, MemoryConfig(), walks(1))
        before = store.revision()
        refused: list[str] = []

        def work(name: str) -> None:
            try:
                memory.record(replace(walks(2)[1], id=name))
            except EpisodeConflictError:
                refused.append(name)

        with held_commit(store, monkeypatch) as (reached, go):
            first = threading.Thread(target=work, args=("first",))
            first.start()
            assert reached.wait(20)
            others = [threading.Thread(target=work, args=(f"other-{i}",)) for i in range(12)]
            for thread in others:
                thread.start()
            wait_until(lambda: len(memory._queue) == 12)
            go.set()
            for thread in [first, *others]:
                thread.join()
        assert store.revision() == before + 2
        assert memory.episode_count() == 14
        with held_commit(store, monkeypatch) as (reached, go):
            first = threading.Thread(target=work, args=("second",))
            first.start()
            assert reached.wait(20)
            others = [threading.Thread(target=work, args=(name,)) for name in ("new", "other-3", "newer")]
            for thread in others:
                thread.start()
            wait_until(lambda: len(memory._queue) == 3)
            go.set()
            for thread in [first, *others]:
                thread.join()
        assert refused == ["other-3"]
        assert {e.id for e in memory.episodes()} >= {"second", "new", "newer"}
        before_hash = memory.hash()
        memory.rebuild()
        assert memory.hash() == before_hash


@contextmanager
def held_commit(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[threading.Event, threading.Event]]:
    """Within it the first write stops just before its end: (it has come so far, let it go)."""
    reached, go = threading.Event(), threading.Event()
    original = store.write

    @contextmanager
    def write() -> Iterator[None]:
        with original():
            yield
            reached.set()
            assert go.wait(60)

    with monkeypatch.context() as patch:
        patch.setattr(store, "write", write)
        yield reached, go


def wait_until(true: Callable[[], bool]) -> None:
    """Returns when it is so; a minute at most."""
    pause = threading.Event()
    for _ in range(6000):
        if true():
            return
        pause.wait(0.01)
    raise AssertionError("it never came to be")
