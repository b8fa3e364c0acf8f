"""Other versions of rlem, a clock that goes back, odd texts, large pages.

Ten thousand actions in one situation: the memory contract, over every store.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support.faults import Trial, big, opened, outcome
from tests.support.oddities import (
    SCHEMA_1,
    TEXTS,
    clock_goes_back,
    dump,
    large,
    newer_file,
    odd_texts,
    old_file,
    older_file,
    run,
)
from tests.support.postgres import Cluster, debian_cluster

from rlem.api.stores import open_store
from rlem.core.errors import MemoryVersionError

__all__ = ["debian_cluster"]  # a fixture

Place = str | Path


@pytest.fixture(params=["file", "process", "postgres"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """Where a new memory is to be."""
    if request.param == "postgres":
        server: Cluster = request.getfixturevalue("debian_cluster")
        return server.url()
    return tmp_path / "memory.rlem" if request.param == "file" else ":memory:"


# -- two versions ------------------------------------------------------------------------------------


def test_a_newer_file_is_refused_and_left_alone(tmp_path: Path) -> None:
    """For reading and for writing: the error says to upgrade rlem, not a byte of the file changes."""
    trial = Trial("newer")
    newer_file(trial, tmp_path / "memory.rlem")
    assert (trial.tries, trial.lost) == (6, [])


def test_an_old_file_is_upgraded(tmp_path: Path) -> None:
    """A file as rlem 0.1 wrote it: same hash, same episodes, it goes on and can be rebuilt."""
    trial = Trial("older")
    older_file(trial, tmp_path)
    assert trial.lost == []


def test_a_reader_leaves_an_old_file_as_it_is(tmp_path: Path) -> None:
    """Opened read-only it is read, or the error says to open it once for writing."""
    path = old_file(tmp_path / "old.rlem")
    before = path.read_bytes()
    seen = outcome(lambda: opened(path, read_only=True).close())
    assert seen == "nothing" or "without read_only" in seen
    assert path.read_bytes() == before


def test_the_old_file_is_of_the_first_schema(tmp_path: Path) -> None:
    """The fixture says what it is, and its dump is itself: nobody has "upgraded" the fixture."""
    text = SCHEMA_1.read_text("utf-8")
    assert "PRAGMA user_version = 1;" in text
    assert dump(old_file(tmp_path / "old.rlem")) == text


def test_a_file_that_a_newer_rlem_upgrades_while_it_is_open(tmp_path: Path) -> None:
    """The older one stops writing with a clear error; nothing of its write is stored."""
    path = tmp_path / "memory.rlem"
    memory = opened(path)
    memory.record(big("one", 100))
    run(path, "PRAGMA user_version = 99")
    with pytest.raises(MemoryVersionError, match="newer"):
        memory.record(big("two", 100))
    memory.close()
    with pytest.raises(MemoryVersionError):
        opened(path)


# -- clock, texts, sizes -----------------------------------------------------------------------------


def test_a_clock_that_goes_back_changes_nothing(place: Place) -> None:
    """Each commit an hour before the last one: order, values and hash are those of a clock that stands."""
    trial = Trial("clock")
    clock_goes_back(trial, place)
    assert trial.lost == []


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_odd_texts_in_every_field(place: Place, text: str) -> None:
    """They come back as they were, are recalled, copied to another store with equal hashes, and forgotten."""
    trial = Trial("texts")
    odd_texts(trial, open_store(place), text)
    assert trial.lost == []


def test_pages_of_a_megabyte(tmp_path: Path) -> None:
    """Fifty of them: opened anew all are there, one is recalled by its page, one is forgotten."""
    trial = Trial("large")
    large(trial, tmp_path / "memory.rlem", 50)
    assert trial.lost == []
