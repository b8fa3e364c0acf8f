"""Time travel: a memory as it was, what was done to it, differences, branches."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.support.postgres import Cluster, debian_cluster, opened

from rlem.api.opening import open as open_memory
from rlem.core.clock import ManualClock
from rlem.core.errors import DataError, UsageError
from rlem.memory.config import MemoryConfig
from rlem.memory.copying import copy_memory
from rlem.memory.history import at, diff, log
from rlem.memory.memory import ExperienceMemory
from rlem.memory.sqlite import SQLiteStore
from rlem.memory.store import Store
from rlem.memory.volatile import InMemoryStore
from rlem.testing.memory_cases import VIEWS, episode, taught, walks
from rlem.values import ValueConfig

__all__ = ["debian_cluster"]  # a fixture

NewStore = Callable[[], Store]


@pytest.fixture(params=["sqlite", "volatile", "postgres"])
def new_store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[NewStore]:
    """Makes an empty store each time, in a file, in the process or on a server."""
    made: list[Store] = []
    server: Cluster | None = None
    if request.param == "postgres":
        server = request.getfixturevalue("debian_cluster")

    def make() -> Store:
        if server is not None:
            made.append(opened(server.url()))
        elif request.param == "sqlite":
            made.append(SQLiteStore(tmp_path / f"{len(made)}.rlem"))
        else:
            made.append(InMemoryStore())
        return made[-1]

    yield make
    for store in made:
        store.close()


def recorded(store: Store, count: int = 6, config: MemoryConfig | None = None) -> ExperienceMemory:
    """A memory that recorded so many episodes, one a write, at 1, 2, 3 ... seconds."""
    clock = ManualClock()
    memory = ExperienceMemory(store, config, clock=clock)
    for item in walks(count):
        clock.now_s += 1
        memory.record(item)
    return memory


# -- at ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("view", VIEWS)
def test_the_memory_of_each_revision_is_the_one_that_was(new_store: NewStore, view: str) -> None:
    """After each write, its hash is kept; later on, each revision gives that hash."""
    memory = ExperienceMemory(new_store(), VIEWS[view], clock=ManualClock())
    hashes = {memory.revision(): memory.hash()}
    for item in walks(8):
        memory.record(item)
        hashes[memory.revision()] = memory.hash()
    memory.correct("walk-003", {0: 9.0})
    hashes[memory.revision()] = memory.hash()
    memory.insert([replace(item, id=f"late-{item.id}") for item in walks(2)])
    hashes[memory.revision()] = memory.hash()
    assert len(set(hashes.values())) == len(hashes)
    assert {revision: at(memory, revision).hash() for revision in hashes} == hashes


def test_what_was_forgotten_is_in_no_revision(new_store: NewStore) -> None:
    """The past of a memory that forgot is the past of one that never saw it."""
    memory = recorded(new_store())
    before = memory.revision()
    memory.forget(episode="walk-002")
    kept = [item for item in walks(6) if item.id != "walk-002"]
    assert at(memory, before).hash() == taught(None, kept).hash() == memory.hash()


def test_looking_back_changes_nothing(new_store: NewStore) -> None:
    """Neither the revision nor the hash; what is done to the past stays there."""
    memory = recorded(new_store())
    before = memory.revision(), memory.hash()
    past = at(memory, memory.revision())
    past.record(episode("new", [("the old square", "left", 1.0)]))
    assert (memory.revision(), memory.hash()) == before


@pytest.mark.parametrize("revision", [-1, 100])
def test_a_revision_that_was_not_reached_is_refused(new_store: NewStore, revision: int) -> None:
    """The error says which there are."""
    memory = recorded(new_store())
    with pytest.raises(UsageError, match=f"no revision {revision}: it has 0 to {memory.revision()}"):
        at(memory, revision)


# -- log ---------------------------------------------------------------------------------------------


def test_the_log_names_each_revision_once(new_store: NewStore) -> None:
    """What was recorded, taken in, corrected, forgotten, set: in order, with how much and when."""
    memory = recorded(new_store(), 3)
    memory.insert([replace(item, id=f"late-{item.id}") for item in walks(2)], origin={"from": "/there"})
    memory.correct("walk-001", {0: 9.0})
    memory.forget(episode="walk-002")
    memory.rebuild(replace(memory.config, max_actions=5))
    memory.rebuild()
    found = [
        (change.kind, change.detail.get("episodes"), change.detail.get("from")) for change in log(memory)
    ]
    assert found == [
        ("record", 1, None),
        ("record", 1, None),
        ("insert", 2, "/there"),
        ("correct", None, None),
        ("forget", 1, None),
        ("settings", None, None),
        ("rebuild", None, None),
    ]
    revisions = [change.revision for change in log(memory)]
    assert revisions == sorted(set(revisions))
    assert [change.recorded_s for change in log(memory)][:2] == [1.0, 2.0]


# -- diff --------------------------------------------------------------------------------------------


def test_a_memory_does_not_differ_from_itself(new_store: NewStore) -> None:
    """No episode, no value; the difference is falsy."""
    memory = recorded(new_store())
    assert not diff(memory, memory)
    assert not diff(memory, at(memory, memory.revision()))


def test_a_new_episode_moves_the_values_that_it_visited(new_store: NewStore) -> None:
    """One action moved, by that episode; an experience appeared; the largest move comes first."""
    memory = ExperienceMemory(new_store())
    memory.record(episode("one", [("square", "left", 1.0)]))
    before = at(memory, memory.revision())
    memory.record(episode("two", [("square", "left", 0.0), ("bridge", "wait", -3.0)]))
    found = diff(before, memory)
    assert (found.appeared, found.gone, found.corrected, found.settings) == (("two",), (), (), ())
    appeared, moved = found.experiences
    assert (appeared.kind, moved.kind) == ("appeared", "moved")
    assert [(a.action, a.before, a.moved, a.episodes) for a in appeared.actions] == [
        ("wait", None, -3.0, ("two",))
    ]
    (action,) = moved.actions
    assert action.before is not None
    assert action.after is not None
    assert (action.before.q_value, action.before.visits) == (1.0, 1)
    assert (action.after.q_value, action.after.visits) == (-1.0, 2)
    assert action.episodes == ("two",)


def test_the_way_back_is_the_opposite(new_store: NewStore) -> None:
    """What appeared is gone, and the values move back."""
    memory = recorded(new_store())
    past = at(memory, memory.revision() - 2)
    there, back = diff(past, memory), diff(memory, past)
    assert there.appeared == back.gone != ()
    assert [(e.key, [(a.action, a.moved) for a in e.actions]) for e in there.experiences] == [
        (e.key, [(a.action, -a.moved) for a in e.actions]) for e in back.experiences
    ]
    assert {"appeared": "gone", "moved": "moved"}[there.experiences[0].kind] == back.experiences[0].kind


def test_a_corrected_reward_shows_by_its_episode(new_store: NewStore) -> None:
    """The episode is in both logs, with other content, and moved what it visited up to there."""
    memory = ExperienceMemory(new_store())
    memory.record(episode("one", [("square", "left", 0.0), ("bridge", "wait", 0.0), ("home", "wait", 0.0)]))
    before = at(memory, memory.revision())
    memory.correct("one", {1: 2.0})
    found = diff(before, memory)
    assert (found.appeared, found.gone, found.corrected) == ((), (), ("one",))
    moved = {e.situation.observation: [(a.moved, a.episodes) for a in e.actions] for e in found.experiences}
    assert moved == {"square": [(2.0, ("one",))], "bridge": [(2.0, ("one",))]}


def test_a_value_may_move_through_others(new_store: NewStore) -> None:
    """Where values bootstrap, a correction elsewhere moves the value of a place the episode never saw."""
    memory = ExperienceMemory(new_store(), MemoryConfig(values=ValueConfig(n=1)))
    memory.record(episode("one", [("bridge", "wait", 0.0)]))
    memory.record(episode("two", [("square", "left", 0.0), ("bridge", "left", 0.0)]))
    before = at(memory, memory.revision())
    memory.correct("one", {0: 5.0})
    found = {e.situation.observation: e.actions[0].episodes for e in diff(before, memory).experiences}
    assert found == {"bridge": ("one",), "square": ()}


def test_other_settings_are_named(new_store: NewStore) -> None:
    """One log under two discounts: no episode differs, the values do, through others."""
    memory = recorded(new_store())
    other = taught(MemoryConfig(values=ValueConfig(discount=0.5)), walks(6))
    found = diff(memory, other)
    assert (found.appeared, found.gone, found.corrected, found.settings) == ((), (), (), ("values",))
    assert found.experiences
    assert {a.episodes for e in found.experiences for a in e.actions} == {()}


def test_one_action_under_several_names_is_told_apart(new_store: NewStore) -> None:
    """compat="reference" lists an action once for each reason; a new one does not hide an old one."""
    memory = ExperienceMemory(new_store(), VIEWS["reference"])
    steps = episode("one", [("square", "left", 1.0)])
    memory.record(steps)
    before = at(memory, memory.revision())
    other = replace(steps.transitions[0], reason="because", reward=0.0)
    memory.record(replace(steps, id="two", transitions=(other,)))
    (change,) = diff(before, memory).experiences
    assert [(a.action, a.before is None, a.episodes) for a in change.actions] == [("left", True, ("two",))]


# -- branch ------------------------------------------------------------------------------------------


def test_a_branch_lives_on_by_itself(new_store: NewStore) -> None:
    """It begins equal; what either does then, the other does not see."""
    memory, target = recorded(new_store()), new_store()
    made = copy_memory(memory.store, target, kind="branch")
    branch = ExperienceMemory(target)
    assert made.hash == branch.hash() == memory.hash()
    branch.record(episode("mine", [("the old square", "left", 1.0)]))
    memory.forget(episode="walk-000")
    assert memory.find_episode("mine") is None
    assert branch.find_episode("walk-000") is not None


def test_a_branch_of_an_earlier_revision_is_the_memory_of_then(new_store: NewStore) -> None:
    """Corrections made since are not in it, and its own history says where it came from."""
    memory = recorded(new_store())
    then, was = memory.revision(), memory.hash()
    memory.correct("walk-001", {0: 9.0})
    memory.record(episode("more", [("the old square", "left", 1.0)]))
    target = new_store()
    copy_memory(memory.store, target, kind="branch", revision=then)
    branch = ExperienceMemory(target)
    assert branch.hash() == was
    (change,) = log(branch)
    assert (change.kind, change.detail["episodes"], change.detail["revision"]) == ("insert", 6, then)


def test_corrections_that_came_along_are_part_of_the_branchs_beginning(new_store: NewStore) -> None:
    """The branch at its own revision is the branch: it does not undo what was corrected before it."""
    memory = recorded(new_store())
    memory.correct("walk-001", {0: 9.0})
    branch = ExperienceMemory(new_store())
    copy_memory(memory.store, branch.store, kind="branch")
    assert at(branch, branch.revision()).hash() == branch.hash() == memory.hash()


def test_all_views_come_along(new_store: NewStore) -> None:
    """Another view of the source gives the same values in the copy."""
    memory = recorded(new_store())
    config = MemoryConfig(values=ValueConfig(n=1, discount=0.5))
    view = ExperienceMemory(memory.store, config, view="short")
    target = new_store()
    copy_memory(memory.store, target, kind="branch")
    assert ExperienceMemory(target, view="short").hash() == view.hash() != memory.hash()


def test_nothing_is_branched_into_a_memory_that_holds_something(new_store: NewStore) -> None:
    """The error names merging; both stay as they are."""
    memory, other = recorded(new_store()), recorded(new_store(), 2)
    before = memory.hash(), other.hash()
    with pytest.raises(DataError, match="merge"):
        copy_memory(memory.store, other.store, kind="branch")
    assert (memory.hash(), other.hash()) == before


def test_a_branch_of_a_revision_that_is_not_there_leaves_no_trace(new_store: NewStore) -> None:
    """Nothing in the target, no note in the source."""
    memory, target = recorded(new_store()), new_store()
    with pytest.raises(UsageError, match="no revision 99"):
        copy_memory(memory.store, target, kind="branch", revision=99)
    assert target.views() == []
    assert "branch" not in [change.kind for change in log(memory)]


# -- the public face ---------------------------------------------------------------------------------


def test_the_public_face_does_the_same(tmp_path: Path) -> None:
    """log, at, diff, branch, correct and merge of what ``rlem.open`` gives."""
    with open_memory(tmp_path / "shop.rlem", k=3) as shop:
        for item in walks(4):
            shop.experience_memory.record(item)
        then = shop.log()[2].revision
        past = shop.at(then)
        assert past.hash() == taught(None, walks(3)).hash()
        assert len(past.recall(task="walk home", observation="the old square")) == 3
        assert past.diff(shop).appeared == ("walk-003",)
        assert shop.branch(tmp_path / "trial.rlem", revision=then).hash == past.hash()
        shop.correct("walk-001", {0: 9.0}, "seen again")
        with open_memory(tmp_path / "trial.rlem") as trial:
            trial.experience_memory.rebuild(MemoryConfig(values=ValueConfig(n=1)))
            assert trial.merge(shop, settings_of=trial) == (1, 3)
            assert trial.experience_memory.config.values.n == 1
            assert not trial.at(trial.log()[-1].revision).diff(trial)
            assert shop.merge(trial, settings_of=trial) == (0, 4)
            assert shop.hash() == trial.hash()
