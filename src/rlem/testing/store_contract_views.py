"""What a store must do with views and what is derived under them. Part of StoreContract."""

from __future__ import annotations

import random
from typing import Any

from rlem.core.types import Episode, Transition
from rlem.memory.store import MAIN, Image, Mark, Store
from rlem.testing.store_cases import (
    TwoStores,
    derived_of,
    dump,
    filled,
    image_of,
    page,
    state_of,
)


class StoreViewContract(TwoStores):
    """What is derived is kept by view."""

    def test_views_have_settings_of_their_own(self, store: Store, other: Store) -> None:
        """They are listed by name, changed one by one, and what was read is nobody's to change."""
        settings = {"values": {"n": 1, "discount": 0.1 + 0.2}, "name": "\ud800 é", "limit": None}
        with store.write():
            store.put_settings("z", {"a": [1]})
            store.put_settings(MAIN, settings)
        assert other.views() == [MAIN, "z"]
        assert other.settings(MAIN) == settings
        found = store.settings("z")
        assert found is not None
        found["a"].append(2)
        assert store.settings("z") == {"a": [1]}
        with other.write():
            other.put_settings("z", {})
        assert store.settings("z") == {}
        assert store.settings("y") is None

    def test_a_view_that_goes_takes_along_what_was_derived_under_it(self, store: Store) -> None:
        """Not the features, not another view; one of its name starts anew."""
        before = dump(filled(store))
        with store.write():
            store.drop_view(MAIN)
            store.drop_view("no such view")
        assert store.views() == ["other"]
        assert store.settings(MAIN) is None
        assert store.mark(MAIN) is None
        assert store.image(MAIN) is None
        assert dump(store)["features"] == before["features"]
        assert derived_of(store, "other") == before["derived"]["other"]
        with store.write():
            store.put_settings(MAIN, {})
        assert derived_of(store) == {}
        assert derived_of(store, since=0) == {}
        assert store.mark(MAIN) is None
        assert store.image(MAIN) is None

    def test_experiences_are_kept_by_view(self, store: Store, other: Store) -> None:
        """All of a view or those of some keys, each once and with its situation; removed ones are not
        there; a view that is not there has none."""
        filled(store)
        assert derived_of(other) == {page(p).key: (page(p), state_of(i)) for i, p in enumerate("abc")}
        assert derived_of(other, "other") == {page("a").key: (page("a"), state_of(9))}
        wanted = [page(p).key for p in "cdaz"]
        assert sorted(state[0] for _, state in store.derived(MAIN, wanted) if state) == [0, 2]
        assert list(store.derived(MAIN, [])) == list(store.derived("nobody")) == []
        with other.write():
            other.put_derived(MAIN, [(page("a"), state_of(5)), (page("d"), state_of(6))])
        assert derived_of(store)[page("a").key] == (page("a"), state_of(5))
        assert derived_of(store)[page("d").key] == (page("d"), state_of(6))
        assert derived_of(store, "other")[page("a").key] == (page("a"), state_of(9))

    def test_what_changed_since_a_revision(self, store: Store) -> None:
        """The last state of each experience that was written later; None for one that was removed."""
        filled(store)
        assert derived_of(store, since=1) == {
            page(p).key: (page(p), None if p == "d" else state_of(i)) for i, p in enumerate("abcd")
        }
        assert derived_of(store, since=2) == {page("d").key: (page("d"), None)}
        assert derived_of(store, since=3) == {}
        with store.write():
            store.put_derived(MAIN, [(page("d"), state_of(1)), (page("b"), None)])
        assert derived_of(store, since=3) == {
            page("d").key: (page("d"), state_of(1)),
            page("b").key: (page("b"), None),
        }

    def test_all_experiences_of_a_view_are_replaced(self, store: Store) -> None:
        """Only the given ones are left; its image goes, the other view and the marks stay."""
        before = dump(filled(store))
        with store.write():
            store.put_image("other", {"rows": b"x"})
            store.put_derived(MAIN, iter([(page("b"), state_of(4))]), replace=True)
        assert derived_of(store) == derived_of(store, since=0) == {page("b").key: (page("b"), state_of(4))}
        assert store.image(MAIN) is None
        assert image_of(store, "other") == (4, {"rows": b"x"})
        assert derived_of(store, "other") == before["derived"]["other"]
        assert store.mark(MAIN) == before["marks"][MAIN]

    def test_an_experience_needs_a_situation_of_the_log(self, store: Store) -> None:
        """One of a situation that no episode has is left out."""
        filled(store)
        with store.write():
            store.put_derived(MAIN, [(page("nowhere"), state_of(1)), (page("gone"), None)])
        assert set(derived_of(store, since=0)) == {page(p).key for p in "abcd"}

    def test_more_experiences_than_fit_one_statement(self, store: Store) -> None:
        """Two thousand situations are stored, asked for by key and deleted."""
        pages = [page(f"page {number}") for number in range(2000)]
        steps = tuple(Transition(situation=s, action="go", reward=0.0) for s in pages)
        with store.write():
            store.put_settings(MAIN, {})
            store.append(Episode(id="long", task="walk", transitions=steps))
            store.put_derived(MAIN, ((s, state_of(i)) for i, s in enumerate(pages)))
        found = list(store.derived(MAIN, [s.key for s in pages[10:]]))
        assert sorted(state[0] for _, state in found if state) == list(range(10, 2000))
        with store.write():
            store.delete(["long"])
        assert derived_of(store, since=0) == {}

    def test_a_mark_is_of_its_write(self, store: Store, other: Store) -> None:
        """Fingerprint, place and count as given, with the revision of the write that put it."""
        filled(store)
        assert other.mark(MAIN) == Mark(fingerprint="made so", revision=2, last=(3, "e3"), count=3)
        assert other.mark("other") is None
        with store.write():
            store.put_mark("other", "é", None, 0)
            store.put_mark(MAIN, "so", (2**53, "\ud800\x00"), 1)
        assert other.mark("other") == Mark(fingerprint="é", revision=4, last=None, count=0)
        assert other.mark(MAIN) == Mark(fingerprint="so", revision=4, last=(2**53, "\ud800\x00"), count=1)

    def test_an_image_is_kept_whole(self, store: Store, other: Store) -> None:
        """Named parts of any length, of any kind of memory, with the revision they were put at; a later one
        takes the place of all."""
        filled(store)
        assert other.image(MAIN) == Image(revision=2, parts={"rows": b"abc"})
        numbers: Any = memoryview(bytearray(range(240))).cast("d", (5, 6))
        large = random.Random(1).randbytes(3_000_001)
        with store.write():
            store.put_image("other", {"numbers": numbers, "none": memoryview(b""), "large": large})
        assert image_of(other, "other") == (
            4,
            {"numbers": bytes(range(240)), "none": b"", "large": large},
        )
        assert image_of(other, MAIN) == (2, {"rows": b"abc"})
        with other.write():
            other.put_image("other", {})
        assert image_of(store, "other") == (5, {})

    def test_what_is_derived_can_be_dropped(self, store: Store) -> None:
        """Of all views, or of all but one, which loses only its image; settings, log and features stay."""
        before = dump(filled(store))
        with store.write():
            store.put_image("other", {"rows": b"x"})
            store.drop_derived(keep_view=MAIN)
        after = dump(store)
        assert after["images"] == {MAIN: None, "other": None}
        assert after["marks"][MAIN] == before["marks"][MAIN]
        assert after["derived"] == {MAIN: before["derived"][MAIN], "other": {}}
        for same in ("settings", "episodes", "features", "history"):
            assert after[same] == before[same]
        with store.write():
            store.drop_derived()
        after = dump(store)
        assert after["derived"] == after["changed"] == {MAIN: {}, "other": {}}
        assert after["marks"] == {MAIN: None, "other": None}

    def test_features_are_kept_by_fingerprint_and_text(self, store: Store, other: Store) -> None:
        """What is there stays as it is; those asked for are given, as far as they are there."""
        many = {("f", number.to_bytes(16, "big")): b"%d" % number for number in range(1200)}
        with store.write():
            store.put_features({**many, ("g", b"one"): b"1", ("g", b"two"): b""})
        with store.write():
            store.put_features({("g", b"one"): b"other", ("g", b"three"): b"\x00\xff"})
        assert other.features("g", [b"one", b"two", b"three", b"four"]) == {
            b"one": b"1",
            b"two": b"",
            b"three": b"\x00\xff",
        }
        assert other.features("f", [name for _, name in many]) == {name: d for (_, name), d in many.items()}
        assert other.features("f", []) == other.features("h", [b"one"]) == {}

    def test_features_can_be_dropped(self, store: Store) -> None:
        """One by one, or all of other fingerprints than those to keep."""

        def left() -> set[tuple[str, bytes]]:
            return {(f, name) for f in "fgh" for name in store.features(f, [b"1", b"2"])}

        with store.write():
            store.put_features({(f, name): b"x" for f in "fgh" for name in (b"1", b"2")})
        with store.write():
            store.drop_features()
            store.drop_features([("f", b"1"), ("f", b"3")])
        assert left() == {("f", b"2"), ("g", b"1"), ("g", b"2"), ("h", b"1"), ("h", b"2")}
        with store.write():
            store.drop_features([("g", b"1")], other_than=["g", "f"])
        assert left() == {("f", b"2"), ("g", b"2")}
        with store.write():
            store.drop_features(other_than=[])
        assert left() == set()
