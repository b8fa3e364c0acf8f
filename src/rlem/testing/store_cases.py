"""What the suite for stores is made of: episodes, a store with something of everything, all that can be read.
Needs pytest."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any, TypeVar

import pytest

from rlem.core.types import Control, Controlled, Correction, Episode, Situation, Transition
from rlem.memory.store import MAIN, Store
from rlem.testing.memory_cases import StoreFixtures

WAIT_S = 60.0
"""Whoever has not read by then is waiting for a write."""

Result = TypeVar("Result")


def page(text: str, **parts: Any) -> Situation:
    """A situation on a page of that text."""
    return Situation(**{"task": "walk", "observation": text, "actions": ("left", "right"), **parts})


def play(name: str, pages: str = "ab", *, reward: float = 1.0, **head: Any) -> Episode:
    """An episode over pages, a letter each; its sequence is the number in its name."""
    steps = tuple(Transition(situation=page(p), action=f"to {p}", reward=reward) for p in pages)
    number = int("".join(c for c in name if c.isdecimal()) or 0)
    return Episode(**{"id": name, "task": "walk", "transitions": steps, "sequence": number, **head})


def strange(name: str, letter: str = "x") -> Episode:
    """An episode with every part filled, and with texts that engines trip over."""
    texts = [f"{letter} {number} \x00 \ud800 'é😀" for number in range(12)]
    here = Situation(task=texts[0], observation=texts[1], actions=(texts[2], ""), subtask=texts[3])
    steps = (
        Transition(situation=here, action=texts[4], reward=-1e100, reason=texts[5]),
        Transition(situation=here, action=None, reward=0.1 + 0.2, reason=""),
        Transition(situation=replace(here, subtask=""), action="", reward=0.0),
    )
    return Episode(
        id=name,
        task=texts[6],
        transitions=steps,
        status="truncated",
        task_id=texts[7],
        source=texts[8],
        split=texts[9],
        model=texts[10],
        trust="quarantined",
        cause=texts[11],
        final=replace(here, observation="the end"),
        history=("before", texts[4]),
        last_reward=0.5,
        total_reward=1.5,
        corrections=(
            Correction(step=1, was=9.0, now=0.1 + 0.2, reason=texts[1], revision=1, recorded_s=2.5),
        ),
        controlled=Controlled(
            control=Control(chance=0.1 + 0.2, low=-1.0, high=2.5, guard=True),
            withheld=False,
            tried=((here.key, True), ("0", False)),
            success=True,
        ),
        sequence=2**53,
        recorded_s=1e9 + 1 / 3,
    )


def corrected(episode: Episode, step: int, now: float, *, revision: int) -> Episode:
    """The episode with the reward of a step put right."""
    steps = list(episode.transitions)
    made = Correction(step=step, was=steps[step].reward, now=now, reason="typo", revision=revision)
    steps[step] = replace(steps[step], reward=now)
    return replace(episode, transitions=tuple(steps), corrections=(*episode.corrections, made))


def state_of(number: float) -> list[Any]:
    """A state as a table may give it."""
    return [number, ["to a"], [1, 0.1, 0.0], "\ud800 é \x00"]


def derived_of(store: Store, view: str = MAIN, since: int | None = None) -> dict[str, tuple[Situation, Any]]:
    """The experiences of a view by key, or what changed in it since."""
    found = list(store.derived(view) if since is None else store.derived_since(view, since))
    by_key = {situation.key: (situation, state) for situation, state in found}
    assert len(by_key) == len(found)
    return by_key


def image_of(store: Store, view: str) -> tuple[int, dict[str, bytes]] | None:
    """The image of a view."""
    found = store.image(view)
    return (found.revision, {name: bytes(data) for name, data in found.parts.items()}) if found else None


def dump(store: Store, digests: Sequence[bytes] = (b"one", b"two")) -> dict[str, Any]:
    """All that can be read of a store."""
    with store.read():
        views = store.views()
        return {
            "revision": store.revision(),
            "rewritten": store.rewritten(),
            "episodes": list(store.episodes()),
            "count": store.count(),
            "last": store.last(),
            "history": store.history(),
            "arrivals": store.arrivals(),
            "features": {name: store.features(name, digests) for name in ("f", "g")},
            "settings": {view: store.settings(view) for view in views},
            "marks": {view: store.mark(view) for view in views},
            "images": {view: image_of(store, view) for view in views},
            "derived": {view: derived_of(store, view) for view in views},
            "changed": {view: derived_of(store, view, 0) for view in views},
        }


def filled(store: Store) -> Store:
    """The store with something of everything in it, in three writes."""
    with store.write():
        store.put_settings(MAIN, {"n": 1})
        store.put_settings("other", {})
        store.append(play("e1", "ab", recorded_s=5.0))
        store.append(play("e2", "bc", recorded_s=4.0))
    with store.write():
        store.append(play("e3", "cd", recorded_s=3.0))
        store.put_derived(MAIN, [(page(p), state_of(i)) for i, p in enumerate("abcd")])
        store.put_derived("other", [(page("a"), state_of(9))])
        store.put_mark(MAIN, "made so", (3, "e3"), 3)
        store.put_image(MAIN, {"rows": b"abc"})
        store.put_features({("f", b"one"): b"1", ("g", b"two"): b"2"})
        store.note("rebuild", 7.5, {"n": 1})
    with store.write():
        store.put_derived(MAIN, [(page("d"), None)])
    return store


def change_everything(store: Store) -> None:
    """One of each method that changes something, inside an open write."""
    store.put_settings(MAIN, {"n": 2})
    store.append(play("e9", "axy"))
    store.amend(corrected(play("e1"), 0, 5.0, revision=store.revision()))
    store.delete(["e2"])
    store.set_rewritten()
    store.note("forget", 1.0, {})
    store.put_derived(MAIN, [(page("x"), state_of(7)), (page("a"), None)])
    store.put_mark(MAIN, "made otherwise", None, 0)
    store.put_image(MAIN, {"rows": b"z"})
    store.put_features({("f", b"two"): b"3"})
    store.drop_features([("f", b"one")])
    store.drop_view("other")


def fail(store: Store, changes: Callable[[Store], None]) -> None:
    """A write that ends with an error after it made some changes."""

    def write() -> None:
        with store.write():
            changes(store)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write()


def elsewhere(work: Callable[[], Result]) -> Result:
    """What another thread gets, which must not have to wait for this one."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(work).result(WAIT_S)


class TwoStores(StoreFixtures):
    """What the parts of the contract share: the store, and the same data opened once more."""

    @pytest.fixture
    def other(self, again: Callable[[], Store]) -> Store:
        """The same data, opened once more."""
        return again()
