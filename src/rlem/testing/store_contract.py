"""What every store must do, whatever engine it is: a pytest suite to inherit from.

    class TestMyStore(StoreContract):
        def make_store(self, tmp_path): return MyStore(tmp_path / "memory")
        def reopen(self, store): return MyStore(store.location)

Needs pytest.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest

from rlem.memory.store import MAIN, Store
from rlem.memory.volatile import InMemoryStore
from rlem.testing.store_cases import (
    WAIT_S,
    change_everything,
    corrected,
    dump,
    elsewhere,
    fail,
    filled,
    page,
    play,
    state_of,
)
from rlem.testing.store_contract_log import StoreLogContract
from rlem.testing.store_contract_views import StoreViewContract


class StoreContract(StoreLogContract, StoreViewContract):
    """Inherit, give ``make_store`` and ``reopen``, and let pytest collect the class."""

    def test_a_new_store_is_empty(self, store: Store) -> None:
        """No write was committed, nothing is there, and asking for it is no error."""
        state = dump(store)
        assert (state["revision"], state["rewritten"], state["count"], state["last"]) == (0, 0, 0, None)
        assert not any(state[name] for name in ("episodes", "history", "arrivals", "settings"))
        assert not store.read_only
        assert store.episode("e1") is None
        assert store.settings(MAIN) is None
        assert store.mark(MAIN) is None
        assert store.image(MAIN) is None
        assert store.episodes_of(page("a").key) == store.find() == []

    def test_each_write_that_ends_well_is_one_revision(self, store: Store, other: Store) -> None:
        """Within it its own thread counts it already, others when it is committed; an empty one counts."""
        for number in (1, 2):
            with store.write():
                assert store.revision() == number
                assert elsewhere(other.revision) == number - 1
            assert store.revision() == other.revision() == number
        with other.write():
            assert other.revision() == 3
        assert store.revision() == 3

    def test_a_write_that_fails_changes_nothing(self, store: Store) -> None:
        """Whatever was done in it, all is as before for all readers, and the next write works."""
        before = dump(filled(store))
        for _ in range(2):
            fail(store, change_everything)
            assert dump(store) == before
        with store.write():
            change_everything(store)
        after = dump(store)
        assert after["revision"] == before["revision"] + 1
        assert all(after[name] != value for name, value in before.items() if name != "count")

    def test_what_a_failed_write_stored_is_stored_by_the_next_one(self, store: Store) -> None:
        """Nothing is taken for stored because a write that came to nothing had stored it."""
        fail(store, lambda write: write.append(play("e1", "ab")))
        with store.write():
            store.append(play("e2", "xy"))
        with store.write():
            store.append(play("e3", "ab"))
        assert [e.transitions for e in store.episodes()] == [play("", p).transitions for p in ("xy", "ab")]

    def test_a_write_sees_what_it_changed(self, store: Store) -> None:
        """All methods that read give the open write's state within it, in a read() as well."""
        filled(store)
        with store.write():
            change_everything(store)
            inside = dump(store)
        assert dump(store) == inside
        assert store.episode("e9") == play("e9", "axy")

    def test_readers_do_not_wait_for_a_write(self, store: Store, other: Store) -> None:
        """While a write is open, other threads read what was committed last, by the same handle and by
        another one; when it has ended, they see it."""
        before = dump(filled(store))
        with store.write():
            change_everything(store)
            assert elsewhere(lambda: dump(store)) == before
            assert elsewhere(lambda: dump(other)) == before
            assert elsewhere(lambda: store.episode("e9")) is None
            assert elsewhere(lambda: [d[0] for d in store.derived(MAIN, [page("a").key])]) == [page("a")]
        after = dump(store)
        assert after["revision"] == before["revision"] + 1
        assert elsewhere(lambda: dump(store)) == dump(other) == after

    def test_a_read_sees_one_state(self, store: Store, other: Store) -> None:
        """From its beginning to its end, though others commit, and though other threads read and end."""
        before = dump(filled(store))

        def change() -> Mapping[str, Any]:
            with other.write():
                change_everything(other)
            return dump(store)

        with store.read():
            after = elsewhere(change)
            assert after["revision"] == before["revision"] + 1
            assert dump(store) == before
            with store.read():
                assert store.revision() == before["revision"]
            assert elsewhere(lambda: dump(store)) == after
            assert dump(store) == before
        assert dump(store) == after

    def test_reads_of_many_threads_do_not_disturb_each_other(self, store: Store) -> None:
        """Three threads hold a state each, of before, between and after two writes."""
        begun = [threading.Event() for _ in range(3)]
        done = threading.Event()

        def look(number: int) -> tuple[int, int]:
            with store.read():
                begun[number].set()
                assert done.wait(WAIT_S)
                return store.revision(), store.count()

        with ThreadPoolExecutor(3) as pool:
            found = []
            for number in range(3):
                found.append(pool.submit(look, number))
                assert begun[number].wait(WAIT_S)
                with store.write():
                    store.append(play(f"e{number}"))
            done.set()
            assert [look.result(WAIT_S) for look in found] == [(0, 0), (1, 1), (2, 2)]

    def test_writes_are_exclusive(self, store: Store, other: Store) -> None:
        """Six threads over two handles add to one number, thirty times in all: none is lost."""

        def count_up(number: int) -> None:
            handle = (store, other)[number % 2]
            for _ in range(5):
                with handle.write():
                    known = handle.settings(MAIN) or {"sum": 0}
                    handle.put_settings(MAIN, {"sum": known["sum"] + 1})

        with ThreadPoolExecutor(6) as pool:
            list(pool.map(count_up, range(6)))
        assert store.settings(MAIN) == other.settings(MAIN) == {"sum": 30}
        assert store.revision() == 30

    def test_a_closed_store_keeps_what_it_has(self, store: Store) -> None:
        """It may be closed twice; who opens it again finds everything."""
        before = dump(filled(store))
        again = self.reopen(store)
        if again is None:
            pytest.skip("this store cannot be opened twice")
        store.close()
        store.close()
        assert dump(again) == before
        again.close()

    @pytest.mark.parametrize("seed", range(6))
    def test_random_writes_give_what_a_simple_model_gives(
        self, store: Store, other: Store, seed: int
    ) -> None:
        """Forty random writes, by two handles and some of them failing, read as from the store in memory."""
        rng = random.Random(seed)
        model = InMemoryStore()
        for number in range(40):
            handle = rng.choice((store, other))
            fails, choices = rng.random() < 0.2, rng.randrange(2**32)
            for target in (handle, model):
                changes = partial(_random_write, rng=random.Random(choices), number=number)
                if fails:
                    fail(target, changes)
                else:
                    with target.write():
                        changes(target)
            assert store.revision() == other.revision() == model.revision()
            if number % 4 == 0:
                assert dump(rng.choice((store, other))) == dump(model)
        assert dump(store) == dump(other) == dump(model)


def _random_write(store: Store, rng: random.Random, number: int) -> None:
    """Some changes, the same for the same generator and the same state."""
    for view in (MAIN, "other"):
        store.put_settings(view, {"n": number})
    for part in range(rng.randrange(4)):
        pages = "".join(rng.choices("abcdefgh", k=rng.randrange(4)))
        final = page(rng.choice("abcz")) if rng.random() < 0.3 else None
        sequence = rng.randrange(9)
        store.append(play(f"e{number}.{part}", pages, sequence=sequence, final=final))
    known = store.find()
    if known and rng.random() < 0.4:
        store.delete(rng.sample(known, rng.randrange(1 + len(known))))
    for episode in list(store.episodes()):
        if episode.transitions and rng.random() < 0.2:
            store.amend(corrected(episode, 0, rng.random(), revision=store.revision()))
    for view in (MAIN, "other"):
        some = rng.sample("abcdefghz", rng.randrange(6))
        states = [(page(p), state_of(number) if rng.random() < 0.7 else None) for p in some]
        store.put_derived(view, states, replace=rng.random() < 0.1)
