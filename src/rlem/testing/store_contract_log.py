"""What a store must do with the log and with its history. Part of StoreContract."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rlem.core.errors import EpisodeConflictError
from rlem.core.types import JSON
from rlem.memory.store import MAIN, Arrival, Change, Store
from rlem.testing.store_cases import (
    TwoStores,
    corrected,
    derived_of,
    dump,
    filled,
    page,
    play,
    state_of,
    strange,
)


class StoreLogContract(TwoStores):
    """The log is the truth."""

    def test_an_episode_comes_back_as_it_was(self, store: Store, other: Store) -> None:
        """Every part of it, with NUL, lone surrogates and numbers at the edge; one without steps as well."""
        with store.write():
            store.append(strange("odd \x00 \ud800"))
            store.append(play("e0", ""))
        assert other.episode("odd \x00 \ud800") == strange("odd \x00 \ud800")
        assert list(other.episodes()) == [play("e0", ""), strange("odd \x00 \ud800")]
        assert other.last() == (2**53, "odd \x00 \ud800")
        key = strange("").transitions[2].situation.key
        assert other.episodes_of(key) == ["odd \x00 \ud800"]
        assert other.find(task="x 6 \x00 \ud800 'é😀") == ["odd \x00 \ud800"]
        assert other.find(source="x 8 \x00 \ud800 'é😀") == ["odd \x00 \ud800"]

    def test_ids_are_taken_once(self, store: Store) -> None:
        """A second episode of an id is an EpisodeConflictError, in the same write and in a later one."""
        with store.write():
            store.append(play("e1", "ab"))
            with pytest.raises(EpisodeConflictError, match="e1"):
                store.append(play("e1", "cd"))
        with store.write(), pytest.raises(EpisodeConflictError, match="e1"):
            store.append(play("e1", "cd"))
        assert list(store.episodes()) == [play("e1", "ab")]

    def test_the_log_has_one_order(self, store: Store) -> None:
        """By sequence, then by id as Python compares texts, wherever reading begins."""
        names = ["b", "", "a", "B", "é", "\ud800", "\ud800a", "\ue000", "😀", "b\x00", "b\ud800", "a" * 300]
        log = [play(name, "a", sequence=sequence) for sequence in (7, -2) for name in names]
        log = [replace(e, id=f"{e.id}{'' if e.sequence > 0 else '-'}") for e in log]
        with store.write():
            for item in log:
                store.append(item)
        log.sort(key=lambda e: (e.sequence, e.id))
        assert list(store.episodes()) == log
        assert store.count() == len(log)
        assert store.last() == (log[-1].sequence, log[-1].id)
        assert store.find() == store.episodes_of(page("a").key) == [e.id for e in log]
        for start, item in enumerate(log):
            assert list(store.episodes(after=(item.sequence, item.id))) == log[start + 1 :]
        assert list(store.episodes(after=(0, "zzz"))) == log[len(names) :]

    def test_a_log_of_some_hundreds_is_read_whole(self, store: Store) -> None:
        """However an engine portions it; the texts of all episodes are shared."""
        log = [play(f"e{number}", "abc"[: number % 4]) for number in range(1, 231)]
        with store.write():
            for item in log:
                store.append(item)
        assert list(store.episodes()) == log
        assert [e.id for e in store.episodes(after=(200, "e200"))] == [f"e{n}" for n in range(201, 231)]
        with store.write():
            store.delete([e.id for e in log[::2]])
        assert list(store.episodes()) == log[1::2]

    def test_the_log_as_it_was_at_a_revision(self, store: Store) -> None:
        """Episodes by when they arrived, with the rewards of then; forgotten ones do not come back."""
        first, second = play("e1"), play("e2")
        with store.write():
            store.append(second)
        with store.write():
            store.append(first)
            store.append(play("e3"))
        with store.write():
            once = corrected(first, 0, 5.0, revision=store.revision())
            store.amend(once)
        with store.write():
            twice = corrected(once, 0, 6.0, revision=store.revision())
            store.amend(twice)
        with store.write():
            store.delete(["e3"])
        assert [list(store.episodes_until(revision)) for revision in range(6)] == [
            [],
            [second],
            [first, second],
            [once, second],
            [twice, second],
            [twice, second],
        ]
        assert store.episode("e1") == twice

    def test_rewards_are_put_right(self, store: Store, other: Store) -> None:
        """An amended episode has the new rewards and corrections and else what it had."""
        with store.write():
            store.append(play("e1", "aba", source="own"))
        wanted = corrected(play("e1", "aba", source="own"), 2, -0.25, revision=2)
        with store.write():
            store.amend(replace(wanted, source="", recorded_s=9.0))
        assert other.episode("e1") == wanted
        with store.write():
            for wrong in (play("e2", "aba"), play("e1", "ab"), play("e1", "abab")):
                with pytest.raises(LookupError, match="e"):
                    store.amend(wrong)
        assert other.episode("e1") == wanted

    def test_a_deleted_episode_leaves_nothing_of_its_own(self, store: Store, other: Store) -> None:
        """What others share stays: their episodes are whole, the experiences of shared situations there.
        The others can be recorded again as if they had never been."""
        filled(store)
        with store.write():
            store.append(strange("odd"))
            store.put_derived(MAIN, [(strange("").transitions[0].situation, state_of(1))])
            store.put_derived("other", [(page("c"), state_of(5)), (page("d"), None)])
        with store.write():
            store.delete(["e3", "odd", "no such episode"])
        for handle in (store, other):
            assert list(handle.episodes()) == [play("e1", recorded_s=5.0), play("e2", "bc", recorded_s=4.0)]
            assert set(derived_of(handle)) == {page(p).key for p in "abc"}
            assert set(derived_of(handle, since=0)) == {page(p).key for p in "abc"}
            assert set(derived_of(handle, "other", 0)) == {page("a").key, page("c").key}
            assert handle.episodes_of(page("d").key) == []
            assert handle.episodes_of(page("c").key) == ["e2"]
        for handle, name in ((store, "odd"), (other, "odd 2"), (store, "odd 3")):
            with handle.write():
                handle.append(strange(name))
            assert store.episode(name) == other.episode(name) == strange(name)
        assert page("d").key not in derived_of(store)

    def test_the_situation_after_a_cut_episode_is_part_of_the_log(self, store: Store) -> None:
        """An experience of it is kept while an episode ends there, though none leaves it."""
        with store.write():
            store.put_settings(MAIN, {})
            store.append(play("e1", "ab", final=page("z"), status="truncated"))
            store.append(play("e2", "az"))
            store.put_derived(MAIN, [(page(p), state_of(1)) for p in "abz"])
        with store.write():
            store.delete(["e2"])
        assert set(derived_of(store)) == {page(p).key for p in "abz"}
        assert store.episodes_of(page("z").key) == []
        with store.write():
            store.delete(["e1"])
        assert derived_of(store) == {}

    def test_episodes_are_found_by_task_source_and_time(self, store: Store) -> None:
        """A task by its text or its id; several conditions must all hold; none asks for all."""
        log = [
            play("e1", task="walk", task_id="t1", source="own", recorded_s=1.0),
            play("e2", task="run", task_id="walk", source="guest", recorded_s=2.0),
            play("e3", task="run", task_id="t3", source="own", recorded_s=3.0),
        ]
        with store.write():
            for item in reversed(log):
                store.append(item)
        assert store.find() == ["e1", "e2", "e3"]
        assert store.find(task="walk") == ["e1", "e2"]
        assert store.find(task="t3") == store.find(task="run", source="own") == ["e3"]
        assert store.find(before_s=3.0) == ["e1", "e2"]
        assert store.find(before_s=3.0, source="own") == ["e1"]
        assert store.find(task="") == store.find(source="") == store.find(task="t1", source="guest") == []

    def test_the_last_rewriting_is_remembered(self, store: Store, other: Store) -> None:
        """By its revision, until there is another one."""
        filled(store)
        assert store.rewritten() == 0
        for revision in (4, 5):
            with store.write():
                store.set_rewritten()
                assert store.rewritten() == revision
            assert other.rewritten() == revision
        with store.write():
            store.append(play("e9"))
        assert other.rewritten() == 5

    def test_wiping_after_a_delete(self, store: Store) -> None:
        """Nothing else changes; a read of one's own that began before is no obstacle."""
        filled(store)
        with store.read():
            assert store.count() == 3
            with store.write():
                store.delete(["e1"])
            store.erase()
        assert store.count() == 2
        before = dump(store)
        store.erase()
        assert dump(store) == before

    def test_history_is_what_was_noted(self, store: Store, other: Store) -> None:
        """Each change with the revision of its write, in the order it was noted."""
        detail: dict[str, JSON] = {"a": [1, {"b": None}], "c": 0.1 + 0.2, "path": "/tmp/\ud800"}
        with store.write():
            store.note("correct", 2.5, detail)
            store.note("forget", 1.5, {})
        with store.write():
            store.note("correct", 0.5, {"n": 1})
        assert other.history() == [
            Change(revision=1, recorded_s=2.5, kind="correct", detail=detail),
            Change(revision=1, recorded_s=1.5, kind="forget", detail={}),
            Change(revision=2, recorded_s=0.5, kind="correct", detail={"n": 1}),
        ]

    def test_arrivals_count_the_episodes_that_are_there(self, store: Store) -> None:
        """By the write that added them, with the earliest time; correcting is no arrival."""
        filled(store)
        assert store.arrivals() == [
            Arrival(revision=1, recorded_s=4.0, episodes=2),
            Arrival(revision=2, recorded_s=3.0, episodes=1),
        ]
        with store.write():
            store.delete(["e2", "e3"])
            store.amend(corrected(play("e1", recorded_s=5.0), 0, 2.0, revision=4))
        assert store.arrivals() == [Arrival(revision=1, recorded_s=5.0, episodes=1)]
