"""Another similarity for a memory that is there: nothing is encoded twice, nothing is mixed."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from rlem.core.errors import DataError, RlemError, UsageError
from rlem.core.types import JSON, Situation
from rlem.memory import state
from rlem.memory.config import MemoryConfig
from rlem.memory.doctor import examine
from rlem.memory.memory import ExperienceMemory
from rlem.memory.settings import change, changed, drop_view, usable_mark, views
from rlem.memory.sqlite import SQLiteStore
from rlem.memory.volatile import InMemoryStore
from rlem.similarity import config as similarities
from rlem.similarity.base import Bank, Similarity
from rlem.similarity.config import preset, weighted, wikihow
from rlem.similarity.dense import DenseBank
from rlem.similarity.exact import Exact
from rlem.similarity.fields import digest
from rlem.similarity.lexical import Lexical
from rlem.testing.memory_cases import (
    CountingFeature,
    counting,
    episode,
    situation,
    taught,
    taught_into,
    texts_of,
    walks,
)
from rlem.values import ValueConfig

LOG = walks(12)
EXACT = MemoryConfig(similarity=weighted((1, Exact("observation"))))
TEXTS = texts_of(step.situation for item in LOG for step in item.transitions)


class StoppedError(Exception):
    """Breaks a change off."""


@dataclass(frozen=True)
class StoppingFeature(CountingFeature):
    """A feature that breaks off after so many texts."""

    limit: int = 3

    def encode(self, texts: Sequence[str]) -> list[bytes]:
        if len(self.encoded) >= self.limit:
            raise StoppedError
        return CountingFeature.encode(self, texts)


@pytest.fixture(autouse=True)
def one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Features are made and stored for one episode at a time."""
    monkeypatch.setattr(state, "CHUNK", 1)


def test_a_change_that_was_broken_off_encodes_only_what_is_left(tmp_path: Path) -> None:
    """Stopped after some texts, nothing has changed; the second run makes each of the others once, and the
    memory is the one that was always so."""
    path = tmp_path / "shop.rlem"
    with closing(SQLiteStore(path)) as store:
        memory = taught_into(store, EXACT, LOG)
        before = memory.hash()
        first: list[str] = []
        task, page = StoppingFeature(Lexical("task"), first), CountingFeature(Lexical("observation"), first)
        stopping = replace(EXACT, similarity=Similarity(((0.5, task), (0.5, page))))
        with pytest.raises(StoppedError):
            memory.rebuild(stopping)
        assert memory.hash() == before
        assert first
        assert len(set(first)) == len(first)
    with closing(SQLiteStore(path)) as store:
        memory = ExperienceMemory(store)
        assert memory.config == EXACT
        second: list[str] = []
        memory.rebuild(replace(EXACT, similarity=counting(second)))
        assert second
        assert sorted(first + second) == sorted(TEXTS)
        assert memory.hash() == taught(None, LOG).hash()
        assert all(item.ok for item in examine(store, full=True))


CHILD = """
import sys, time
from rlem.memory import state
from rlem.memory.memory import ExperienceMemory
from rlem.memory.sqlite import SQLiteStore
from rlem.similarity.lexical import Lexical
from rlem.memory.config import MemoryConfig
encode = Lexical.encode
def slowly(self, texts):
    time.sleep(0.05)
    return encode(self, texts)
Lexical.encode = slowly
state.CHUNK = 1
memory = ExperienceMemory(SQLiteStore(sys.argv[1]))
memory.rebuild(MemoryConfig(), lambda done, total: print(done, flush=True))
"""


def test_a_killed_change_goes_on_where_it_was(tmp_path: Path) -> None:
    """kill -9 in mid change: the memory opens as it was, and the rest of the features alone is made."""
    path = tmp_path / "shop.rlem"
    with closing(SQLiteStore(path)) as store:
        before = taught_into(store, EXACT, LOG).hash()
    child = subprocess.Popen([sys.executable, "-c", CHILD, str(path)], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    while (line := child.stdout.readline()) and int(line) < 3:
        time.sleep(0)
    child.send_signal(signal.SIGKILL)
    child.wait()
    child.stdout.close()
    with closing(SQLiteStore(path)) as store:
        memory = ExperienceMemory(store)
        assert (memory.config, memory.hash()) == (EXACT, before)
        encoded: list[str] = []
        memory.rebuild(MemoryConfig(similarity=counting(encoded)))
        assert 0 < len(encoded) < len(TEXTS)
        assert memory.hash() == taught(None, LOG).hash()


def test_progress_counts_features_then_values() -> None:
    """Two runs over all episodes, each up to the end; without another similarity, one."""
    memory = taught(EXACT, LOG)
    seen: list[tuple[int, int]] = []
    memory.rebuild(MemoryConfig(), lambda done, total: seen.append((done, total)))
    assert seen == [(n, 12) for n in range(1, 13)] * 2
    seen.clear()
    memory.rebuild(MemoryConfig(values=ValueConfig(n=1)), lambda done, total: seen.append((done, total)))
    assert seen == [(n, 12) for n in range(1, 13)]


def test_features_of_another_fingerprint_are_never_read() -> None:
    """False features of the same texts under all other names change neither scores nor values."""
    store = InMemoryStore()
    memory = taught_into(store, EXACT, LOG)
    names = [feature.fingerprint for _, feature in MemoryConfig().similarity.terms]
    with store.write():
        store.put_features({(f"{name}x", digest(text)): b"false" for name in names for text in TEXTS})
        store.put_features({("wikihow", digest(text)): b"false" for text in TEXTS})
    memory.rebuild(MemoryConfig())
    expected = taught(None, LOG)
    assert memory.recall(situation("the old bridge"), 9) == expected.recall(situation("the old bridge"), 9)
    assert memory.hash() == expected.hash()
    assert store.features(f"{names[0]}x", [digest(text) for text in TEXTS]) == {}  # nobody uses them


# -- a model whose files change --------------------------------------------------------------------------


@dataclass(frozen=True)
class Model:
    """A feature that depends on what a file holds, as an embedding on its folder."""

    file: str

    def __post_init__(self) -> None:
        if not Path(self.file).is_file():
            raise DataError(f"no model in {self.file!r}.")

    @property
    def name(self) -> str:
        return "task"

    @property
    def fingerprint(self) -> str:
        return f"model:{Path(self.file).read_text()}"

    def text_of(self, situation: Situation) -> str:
        return situation.observation

    def encode(self, texts: Sequence[str]) -> list[bytes]:
        return [digest(Path(self.file).read_text() + text, 16) for text in texts]

    def bank(self, *, static: bool = False) -> Bank:
        return DenseBank()

    def to_config(self) -> dict[str, JSON]:
        return {"name": "model", "file": self.file}


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Its file."""
    monkeypatch.setattr(similarities, "FEATURES", {**similarities.FEATURES, "model": Model})
    path = tmp_path / "model"
    path.write_text("one")
    return path


BOOTSTRAPPED = ValueConfig(n=1, truncation="bootstrap")


def under(model: Path) -> MemoryConfig:
    """Settings whose values depend on the model: V of what follows comes from the most similar experience."""
    return MemoryConfig(similarity=weighted((1, Model(str(model)))), values=BOOTSTRAPPED)


@pytest.mark.parametrize("image_from", [1, 2000])
@pytest.mark.parametrize("read_only", [False, True])
def test_a_model_that_changed_while_nobody_looked_is_a_change(
    tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch, image_from: int, read_only: bool
) -> None:
    """Other files in the model's folder: when it is opened all is derived anew, with an image or without one,
    and nothing of the old vectors is left in scores or values."""
    monkeypatch.setattr(state, "IMAGE_FROM", image_from)
    path = tmp_path / "shop.rlem"
    with closing(SQLiteStore(path)) as store:
        memory = taught_into(store, under(model), LOG)
        memory.rebuild()
        assert (store.image("main") is not None) == (image_from == 1)
    model.write_text("two")
    expected = taught(under(model), LOG)
    with closing(SQLiteStore(path, read_only=read_only)) as store:
        memory = ExperienceMemory(store)
        for page in ("the old square", "the bridge over the river", "elsewhere"):
            assert memory.recall(situation(page), 5) == expected.recall(situation(page), 5)
        assert memory.hash() == expected.hash()
        if not read_only:
            assert all(item.ok for item in examine(store, full=True))


def test_a_model_that_changes_while_it_is_used_is_an_error(model: Path) -> None:
    """A memory that is open under the old files does not compare their vectors with those of the new ones."""
    memory = taught(under(model), LOG)
    memory.recall(situation("the old square"))
    model.write_text("two")
    with pytest.raises(RlemError, match="open it again"):
        memory.recall(situation("a page that was never seen"))
    with pytest.raises(RlemError, match="open it again"):
        memory.record(episode("new", [("a page that was never seen", "left", 1.0)]))


def test_a_model_that_is_gone_is_named_with_the_way_out(tmp_path: Path, model: Path) -> None:
    """Opening says which view, why, and what to run; other views work, and so does what it names."""
    path = tmp_path / "shop.rlem"
    with closing(SQLiteStore(path)) as store:
        taught_into(store, MemoryConfig(), LOG)
        ExperienceMemory(store, under(model), view="by model")
        model.unlink()
        with pytest.raises(DataError, match=r"by model.*no model in .*rlem memory rebuild"):
            ExperienceMemory(store, view="by model")
        assert [(v.name, v.config is None) for v in views(store)] == [("main", False), ("by model", True)]
        assert {item.check for item in examine(store) if not item.ok} == {"settings"}
        ExperienceMemory(store).rebuild(EXACT)
        mended = change(store, "by model", {"similarity": "default"})
        assert mended.config.similarity == preset("default")
        assert mended.config.values == BOOTSTRAPPED
        assert all(item.ok for item in examine(store))


# -- settings ----------------------------------------------------------------------------------------


def test_a_view_is_made_changed_and_taken_away() -> None:
    """It starts from the main view's settings, and learns from the same log; the main one stays as it is."""
    store = InMemoryStore()
    main = taught_into(store, EXACT, LOG)
    before = main.hash()
    made = change(store, "quick", {"values": {"n": 1}, "trust": {"scout": "quarantined"}})
    wanted = replace(EXACT, values=ValueConfig(n=1), sources={"scout": "quarantined"})
    assert made.config == wanted
    assert made.hash() == taught(wanted, LOG).hash()
    changed_again = change(store, "quick", {"similarity": "default", "trust": {"scout": "verified"}})
    assert changed_again.config == MemoryConfig(values=ValueConfig(n=1))
    assert changed_again.hash() == taught(changed_again.config, LOG).hash()
    assert [(v.name, v.episodes, v.experiences) for v in views(store)] == [
        ("main", 12, len(main)),
        ("quick", 12, len(changed_again)),
    ]
    drop_view(store, "quick")
    assert [v.name for v in views(store)] == ["main"]
    assert store.features(Lexical("task").fingerprint, [digest(text) for text in TEXTS]) == {}
    assert main.hash() == before
    assert [(c.kind, c.detail) for c in store.history()][-1] == ("drop-view", {"view": "quick"})


def test_a_view_that_others_left_behind_is_shown_as_stale() -> None:
    """What a rewritten log makes of the other views is told before they are opened."""
    store = InMemoryStore()
    main = taught_into(store, MemoryConfig(), LOG)
    change(store, "quick", {"values": {"n": 1}})
    main.correct("walk-000", {0: 5.0})
    assert [(v.name, v.episodes) for v in views(store)] == [("main", 12), ("quick", 0)]
    assert usable_mark(store, "quick", MemoryConfig(values=ValueConfig(n=1))) is None


def test_views_that_cannot_be_taken_away() -> None:
    """The main one, and one that is not there."""
    store = InMemoryStore()
    taught_into(store, EXACT, LOG)
    with pytest.raises(UsageError, match="every memory has it"):
        drop_view(store, "main")
    with pytest.raises(UsageError, match="did you mean 'main'"):
        drop_view(store, "mian")


def weights(config: MemoryConfig) -> list[float]:
    """Of its similarity."""
    return [weight for weight, _ in config.similarity.terms]


def test_the_task_is_weighed_against_the_page() -> None:
    """Shares within the page stay; 0 and 1 leave one side; what has one side only cannot be weighed."""
    stored = MemoryConfig(similarity=preset("webshop-text")).to_json()
    assert weights(changed(stored, task_weight=0.2)) == pytest.approx([0.2, 0.64, 0.16])
    only = changed(stored, task_weight=1.0)
    assert weights(only) == [1.0]
    with pytest.raises(UsageError, match="one side only"):
        changed(only.to_json(), task_weight=0.3)
    screen = MemoryConfig(similarity=wikihow()).to_json()
    assert weights(changed(screen, task_weight=0.3)) == pytest.approx([0.3, 0.7])
    assert changed(stored, similarity="default", task_weight=0.5) == MemoryConfig()


def test_an_embedding_needs_a_text_to_look_at() -> None:
    """A similarity without the task's text has no place for it; capacities of 0 are none."""
    with pytest.raises(UsageError, match="none looks at the task"):
        changed(MemoryConfig(similarity=wikihow()).to_json(), embedding="somewhere")
    bounded = MemoryConfig(max_experiences=5, max_influence=0.5)
    assert changed(bounded.to_json(), max_experiences=0).max_experiences is None
    assert changed(bounded.to_json(), max_actions=7) == replace(bounded, max_actions=7)
