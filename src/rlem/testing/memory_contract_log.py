"""What a memory must do with its log: keep it, forget, move. Part of MemoryContract."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rlem.core.errors import DataError, EpisodeConflictError, UsageError
from rlem.core.types import Episode
from rlem.memory.config import MemoryConfig
from rlem.memory.memory import ExperienceMemory
from rlem.memory.store import Store
from rlem.memory.transfer import export_episodes, import_episodes
from rlem.memory.volatile import InMemoryStore
from rlem.similarity.config import weighted
from rlem.similarity.exact import ExactOr
from rlem.testing.memory_cases import (
    VIEWS,
    Steps,
    StoreFixtures,
    encouraged,
    episode,
    features_in,
    situation,
    taught,
    taught_into,
    texts_of,
    walks,
)


class LogContract(StoreFixtures):
    """The log is the truth."""

    @pytest.mark.parametrize("view", VIEWS)
    @pytest.mark.parametrize(
        "what", [{"episode": "walk-004"}, {"task": "walk home by way 1"}, {"source": "scout"}], ids=str
    )
    def test_a_forgotten_episode_never_was(self, store: Store, view: str, what: dict[str, Any]) -> None:
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
            known = texts_of(e.situation for e in memory.experiences())
            assert features_in(store, known) == known
            assert not features_in(
                store, texts_of(t.situation for i in items[:12] for t in i.transitions) - known
            )
        for item in items[12:]:
            memory.record(item)
        assert memory.hash() == taught(VIEWS[view], rest + items[12:]).hash()

    def test_forget_wants_one_thing_that_is_there(self, store: Store) -> None:
        """Nothing, two things, or what no episode matches, is a UsageError, and nothing changes."""
        memory = taught_into(store, MemoryConfig(), walks(3))
        before = memory.hash()
        wrongs: list[dict[str, Any]] = [
            {},
            {"task": "a", "source": "b"},
            {"episode": "nobody"},
            {"source": ""},
            {"before_s": -1.0},
        ]
        for wrong in wrongs:
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
