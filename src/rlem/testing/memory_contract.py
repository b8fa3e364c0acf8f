"""What every experience memory must do, whatever engine keeps it: a pytest suite to inherit from.

    class TestMyStore(MemoryContract):
        def make_store(self, tmp_path): return MyStore(tmp_path / "memory")
        def reopen(self, store): return MyStore(store.location)

Needs pytest.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

import rlem.memory.memory as engine
from rlem.advice import advise
from rlem.core.clock import ManualClock
from rlem.core.errors import ClosedError, DataError, EpisodeConflictError, UsageError
from rlem.core.seeds import generator
from rlem.core.types import JSON, Episode, Situation, Transition
from rlem.memory.config import MemoryConfig
from rlem.memory.experience import Experience
from rlem.memory.memory import ExperienceMemory
from rlem.memory.store import InMemoryStore, Store
from rlem.memory.transfer import export_episodes, import_episodes
from rlem.similarity.base import Bank, Feature, Similarity
from rlem.similarity.config import weighted
from rlem.similarity.exact import ExactOr
from rlem.similarity.fields import digest
from rlem.similarity.lexical import Lexical
from rlem.values import ValueConfig

VIEWS: dict[str, MemoryConfig] = {
    "monte-carlo": MemoryConfig(),
    "n=1": MemoryConfig(values=ValueConfig(n=1, discount=0.9)),
    "trace": MemoryConfig(values=ValueConfig(trace_decay=0.5)),
    "double": MemoryConfig(values=ValueConfig(n=2, double=True, seed=3)),
    "constant": MemoryConfig(values=ValueConfig(estimate="constant", n=1)),
    "bootstrap": MemoryConfig(values=ValueConfig(truncation="bootstrap", discount=0.9)),
    "capacity": MemoryConfig(max_experiences=3, max_actions=2, values=ValueConfig(n=1)),
    "reference": MemoryConfig(values=ValueConfig(compat="reference"), max_experiences=4),
}
"""Settings under which the suite runs what must hold for all of them."""

Steps = Sequence[tuple[str, str | None, float]]


def situation(page: str, *, task: str = "walk home", actions: Sequence[str] = ("left", "right")) -> Situation:
    """A situation on a page of that text."""
    return Situation(task=task, observation=page, actions=tuple(actions))


def episode(name: str, steps: Steps, *, task: str = "walk home", **head: Any) -> Episode:
    """An episode of (page, action, reward) steps."""
    transitions = tuple(
        Transition(situation=situation(page, task=task), action=action, reward=reward)
        for page, action, reward in steps
    )
    return Episode(id=name, task=task, transitions=transitions, **head)


def walks(count: int = 12) -> list[Episode]:
    """A small varied log: loops, tasks, sources, cut and broken episodes, a format failure."""
    pages = ["the old square", "a narrow street", "the bridge over the river", "home, a red door", ""]
    found = []
    for i in range(count):
        steps: list[tuple[str, str | None, float]] = [
            (
                pages[(i + j * (1 + i % 3)) % 5],
                ("left", "right", "wait")[(i * j + i) % 3],
                (i * 7 + j * 3) % 5 - 1.5,
            )
            for j in range(1 + i % 4)
        ]
        if i % 5 == 4:
            steps.insert(1, ("the bridge over the river", None, 0.5))
        task = f"walk home by way {i % 3}"
        found.append(
            episode(
                f"walk-{i:03d}",
                steps,
                task=task,
                source="scout" if i % 4 == 1 else "own",
                status=("terminated", "truncated", "terminated", "broken", "truncated", "terminated")[i % 6],
                trust=("verified", "verified", "unverified", "verified", "quarantined")[i % 5],
                final=situation("a narrow street", task=task) if i % 2 else None,
            )
        )
    return found


@dataclass(frozen=True)
class CountingFeature:
    """A feature that counts the texts it encodes, under the identity of the feature it wraps."""

    inner: Feature
    encoded: list[str]

    @property
    def name(self) -> str:
        return self.inner.name

    @property
    def fingerprint(self) -> str:
        return self.inner.fingerprint

    def text_of(self, situation: Situation) -> str:
        return self.inner.text_of(situation)

    def encode(self, texts: Sequence[str]) -> list[bytes]:
        self.encoded.extend(texts)
        return self.inner.encode(texts)

    def bank(self, *, static: bool = False) -> Bank:
        return self.inner.bank(static=static)

    def to_config(self) -> dict[str, JSON]:
        return self.inner.to_config()


def counting(encoded: list[str]) -> Similarity:
    """The default similarity, noting every text it encodes."""
    features = (Lexical("task"), Lexical("observation"))
    return Similarity(tuple((0.5, CountingFeature(feature, encoded)) for feature in features))


def taught(config: MemoryConfig | None, episodes: Sequence[Episode]) -> ExperienceMemory:
    """A memory in this process that saw exactly these episodes, one after the other."""
    memory = ExperienceMemory(InMemoryStore(), config, clock=ManualClock())
    for item in episodes:
        memory.record(item)
    return memory


class MemoryContract:
    """Inherit, give ``make_store`` and ``reopen``, and let pytest collect the class."""

    def make_store(self, tmp_path: Path) -> Store:
        """A new empty store."""
        raise NotImplementedError

    def reopen(self, store: Store) -> Store | None:
        """Another store over the data of this one, which may be closed; None where there can be none."""
        raise NotImplementedError

    @pytest.fixture
    def store(self, tmp_path: Path) -> Iterator[Store]:
        """A new store, closed at the end."""
        store = self.make_store(tmp_path)
        yield store
        store.close()

    @pytest.fixture
    def again(self, store: Store) -> Iterator[Callable[[], Store]]:
        """Opens the same data once more."""
        opened: list[Store] = []

        def open_again() -> Store:
            other = self.reopen(store)
            if other is None:
                pytest.skip("this store cannot be opened twice")
            opened.append(other)
            return other

        yield open_again
        for other in opened:
            other.close()

    # -- recording and recalling ---------------------------------------------------------------------

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

    # -- persistence ---------------------------------------------------------------------------------

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
        mark = store.derived_mark()
        assert mark is not None
        assert mark[0].startswith("learner-1 ")
        with store.write():  # what another version of the learner left behind
            state = [(s, [*values[:4], 99, values[5]]) for s, values in store.derived()]
            store.put_derived("learner-0 x", state, (), replace=True)
        monkeypatch.setattr(engine, "LEARNER_VERSION", 2)
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
            mark = store.derived_mark()
            assert mark is not None
            assert mark[1] == store.revision()

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

    # -- the log is the truth ------------------------------------------------------------------------

    @pytest.mark.parametrize("view", VIEWS)
    @pytest.mark.parametrize(
        "what", [{"episode": "walk-004"}, {"task": "walk home by way 1"}, {"source": "scout"}], ids=str
    )
    def test_a_forgotten_episode_never_was(self, store: Store, view: str, what: dict[str, str]) -> None:
        """After forget the hash is that of a memory that never saw the episodes, and so it goes on."""
        items = walks(14)

        def matches(item: Episode) -> bool:
            return (
                item.id == what.get("episode")
                or item.task == what.get("task")
                or item.source == what.get("source")
            )

        memory = taught_into(store, VIEWS[view], items[:12])
        assert memory.forget(**what) == sum(map(matches, items[:12])) > 0
        rest = [item for item in items[:12] if not matches(item)]
        assert memory.hash() == taught(VIEWS[view], rest).hash()
        if view == "monte-carlo":
            known = {
                digest(t) for e in memory.experiences() for t in (e.situation.task, e.situation.observation)
            }
            assert {name for _, name in store.features()} == known
        for item in items[12:]:
            memory.record(item)
        assert memory.hash() == taught(VIEWS[view], rest + items[12:]).hash()

    def test_forget_wants_one_thing_that_is_there(self, store: Store) -> None:
        """Nothing, two things, or what no episode matches, is a UsageError, and nothing changes."""
        memory = taught_into(store, MemoryConfig(), walks(3))
        before = memory.hash()
        for wrong in ({}, {"task": "a", "source": "b"}, {"episode": "nobody"}, {"source": ""}):
            with pytest.raises(UsageError):
                memory.forget(**wrong)
        assert memory.hash() == before
        with pytest.raises(UsageError, match="nobody"):
            memory.forget(episode="nobody")

    @pytest.mark.parametrize("view", VIEWS)
    def test_rebuilding_there_and_back_restores_the_hash(
        self, store: Store, again: Callable[[], Store], view: str
    ) -> None:
        """Values are a view of the log: other settings give others, the old ones the old."""
        memory = taught_into(store, MemoryConfig(), walks())
        before = memory.hash()
        memory.rebuild(VIEWS[view])
        assert memory.hash() == taught(VIEWS[view], walks()).hash()
        assert ExperienceMemory(again()).hash() == memory.hash()
        memory.rebuild(replace(VIEWS[view], similarity=weighted((1.0, ExactOr(0.5)))))
        memory.rebuild(MemoryConfig())
        assert memory.hash() == before
        memory.rebuild()
        assert memory.hash() == before

    def test_broken_quarantined_and_empty_episodes_teach_nothing(self, store: Store) -> None:
        """They stand in the log; no experience comes from them, nor from a step without an action."""
        memory = ExperienceMemory(store)
        memory.record(episode("a", [("p", "left", 1.0)], status="broken", cause="the page did not load"))
        memory.record(episode("b", [("p", "left", 1.0)], trust="quarantined"))
        memory.record(episode("c", []))
        memory.record(episode("d", [("p", None, 5.0)]))
        assert (len(memory), memory.episode_count()) == (0, 4)
        assert memory.recall(situation("p")) == ()
        assert memory.contributions(situation("p").key, "left") == []

    @pytest.mark.parametrize("view", VIEWS)
    def test_a_format_failure_is_as_if_it_had_not_been(self, store: Store, view: str) -> None:
        """A step without a usable answer changes no value of the steps around it."""
        plain: Steps = [("p", "left", 0.0), ("q", "right", 1.0), ("p", "right", 2.0)]
        failed: Steps = [("x", None, 9.0), *plain[:1], ("q", None, 9.0), *plain[1:], ("q", None, 9.0)]
        memory = taught_into(store, VIEWS[view], [episode("a", failed), episode("b", failed)])
        other = taught(VIEWS[view], [episode("a", plain), episode("b", plain)])
        assert memory.experiences() == other.experiences()

    # -- moving --------------------------------------------------------------------------------------

    def test_export_and_import_give_an_equal_memory(self, store: Store, tmp_path: Path) -> None:
        """With trust="keep" the copy's hash is the original's; importing it again adds nothing."""
        memory = taught_into(store, MemoryConfig(), walks())
        assert export_episodes(memory, tmp_path / "log.jsonl") == 12
        copy = ExperienceMemory(InMemoryStore())
        assert import_episodes(copy, tmp_path / "log.jsonl", trust="keep") == (12, 0)
        assert copy.hash() == memory.hash()
        assert import_episodes(memory, tmp_path / "log.jsonl", trust="keep") == (0, 12)
        assert list(copy.episodes()) == list(memory.episodes())

    def test_what_is_imported_informs_but_never_encourages(self, store: Store, tmp_path: Path) -> None:
        """By default an import is unverified: its values show, no advice encourages by them."""
        giver = taught(
            None,
            [episode("a", [("p", "left", 5.0)]), episode("q", [("p", "left", 5.0)], trust="quarantined")],
        )
        export_episodes(giver, tmp_path / "log.jsonl")
        memory = taught_into(store, MemoryConfig(), [episode("own", [("p", "right", 1.0)])])
        assert import_episodes(memory, tmp_path / "log.jsonl") == (2, 0)
        assert [e.trust for e in memory.episodes()] == ["unverified", "verified", "quarantined"]
        known = memory.get(situation("p").key)
        assert known is not None
        values = {a.action: (a.q_value, a.verified_visits) for a in known.actions}
        assert values == {"left": (5.0, 0), "right": (1.0, 1)}
        assert encouraged(memory, "p") == ["right"]
        assert import_episodes(memory, tmp_path / "log.jsonl") == (0, 2)

    def test_an_episode_that_comes_home_keeps_its_trust(self, store: Store, tmp_path: Path) -> None:
        """Own episodes in somebody else's export are there already: nothing conflicts, nothing is lowered."""
        memory = taught_into(store, MemoryConfig(), [episode("own", [("p", "right", 1.0)])])
        before = memory.hash()
        export_episodes(memory, tmp_path / "out.jsonl")
        friend = ExperienceMemory(InMemoryStore())
        import_episodes(friend, tmp_path / "out.jsonl")
        export_episodes(friend, tmp_path / "back.jsonl")
        assert import_episodes(memory, tmp_path / "back.jsonl") == (0, 1)
        assert memory.hash() == before

    @pytest.mark.parametrize("view", VIEWS)
    def test_merging_does_not_depend_on_the_direction(self, store: Store, view: str) -> None:
        """Logs interleave in canonical order: A into B is B into A."""
        ours = [replace(e, id=f"ours-{e.id}") for e in walks(9)]
        theirs = [replace(e, id=f"theirs-{e.id}") for e in walks(7)[::-1]]
        a, b = taught_into(store, VIEWS[view], ours), taught(VIEWS[view], theirs)
        log_a, log_b = list(a.episodes()), list(b.episodes())
        assert a.insert(log_b) == (7, 0)
        assert b.insert(log_a) == (9, 0)
        assert a.hash() == b.hash()
        places = [(e.sequence, e.id) for e in a.episodes()]
        assert places == sorted(places)

    def test_two_episodes_of_one_id_conflict(self, store: Store) -> None:
        """Another content under a known id is refused, and of the batch nothing is taken in."""
        memory = taught_into(store, MemoryConfig(), walks(3))
        before = memory.hash()
        other = replace(walks(1)[0], source="elsewhere", sequence=9)
        new = replace(walks(5)[4], sequence=8)
        with pytest.raises(EpisodeConflictError, match="walk-000"):
            memory.insert([new, other])
        with pytest.raises(EpisodeConflictError, match="walk-000"):
            memory.record(walks(1)[0])
        with pytest.raises(EpisodeConflictError, match="walk-004"):
            memory.record_many([walks(5)[4], walks(5)[4]])
        assert memory.hash() == before
        assert memory.episode_count() == 3

    @pytest.mark.parametrize(
        "line",
        ["", "[]", "{}", '{"id": "a"}', '{"id": 1, "task": "", "transitions": []}', "\x00", "[" * 100000],
    )
    def test_a_damaged_export_is_refused_whole(self, store: Store, tmp_path: Path, line: str) -> None:
        """A broken line is named, and nothing of the file comes in."""
        memory = taught_into(store, MemoryConfig(), walks(2))
        before = memory.hash()
        export_episodes(taught(None, walks(4)[2:]), tmp_path / "log.jsonl")
        lines = (tmp_path / "log.jsonl").read_text("ascii").splitlines()
        (tmp_path / "log.jsonl").write_text("\n".join([*lines[:2], line, *lines[2:]]) + "\n", "ascii")
        with pytest.raises(DataError, match="line 3"):
            import_episodes(memory, tmp_path / "log.jsonl")
        assert memory.hash() == before

    # -- capacity ------------------------------------------------------------------------------------

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
        """The newcomer is less sampled and redundant, yet knows the best action: the other one goes."""
        memory = ExperienceMemory(store, MemoryConfig(max_experiences=2))
        for i in range(5):
            memory.record(episode(f"a{i}", [("a red door with a brass knob", "left", 1.0)]))
        memory.record(episode("c", [("ships on the wide ocean", "left", 0.0)]))
        memory.record(episode("d", [("a red door with a brass bell", "right", 3.0)]))
        pages = {e.situation.observation for e in memory.experiences()}
        assert pages == {"a red door with a brass bell", "ships on the wide ocean"}

    def test_an_experience_keeps_its_best_actions(self, store: Store) -> None:
        """With max_actions the worst action by value goes; a replay from scratch agrees."""
        config = MemoryConfig(max_actions=2)
        items = [episode(f"e{i}", [("p", f"act {i}", float(i % 4))]) for i in range(9)]
        memory = taught_into(store, config, items)
        known = memory.get(situation("p").key)
        assert known is not None
        assert {a.action: a.q_value for a in known.actions} == {"act 3": 3.0, "act 7": 3.0}
        assert known.samples == 2
        assert memory.hash() == taught(config, items).hash()

    # -- faults --------------------------------------------------------------------------------------

    @pytest.mark.parametrize("spot", ["append", "put_derived", "put_features"])
    def test_a_failed_commit_leaves_everything_as_before(
        self, store: Store, again: Callable[[], Store], monkeypatch: pytest.MonkeyPatch, spot: str
    ) -> None:
        """Memory and store are untouched, whichever part of the write fails, and the next write works."""
        memory = taught_into(store, VIEWS["n=1"], walks(5))
        before, revision, features = memory.hash(), store.revision(), store.features()
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
        assert store.features() == features
        assert ExperienceMemory(again()).hash() == before
        memory.record(walks(6)[5])
        assert memory.hash() == taught(VIEWS["n=1"], walks(6)).hash()
        assert ExperienceMemory(again()).hash() == memory.hash()
        assert digest("a page that is never stored") not in {name for _, name in store.features()}

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

    # -- trust ---------------------------------------------------------------------------------------

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

    # -- many hands ----------------------------------------------------------------------------------

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


def taught_into(store: Store, config: MemoryConfig, episodes: Sequence[Episode]) -> ExperienceMemory:
    """A memory over the store that saw these episodes, one after the other."""
    memory = ExperienceMemory(store, config, clock=ManualClock())
    for item in episodes:
        memory.record(item)
    return memory


def encouraged(memory: ExperienceMemory, page: str) -> list[str]:
    """Actions that advice on the page encourages."""
    (found,) = memory.recall(situation(page), 1)
    assert isinstance(found.experience, Experience)
    return [line.action for line in advise(found, rng=generator(0)).encouraged]
