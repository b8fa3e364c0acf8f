"""Exports and imports, and the JSON they are made of."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rlem.core.errors import DataError, MemoryReadOnlyError, UsageError
from rlem.core.types import Trust
from rlem.memory.codec import canonical, episode_from_json, episode_to_json, finite
from rlem.memory.config import MemoryConfig
from rlem.memory.memory import ExperienceMemory, new_episode_id
from rlem.memory.transfer import export_episodes, import_episodes, read_episodes
from rlem.memory.volatile import InMemoryStore
from rlem.testing.memory_cases import taught, walks


def test_an_export_is_plain_json_lines(tmp_path: Path) -> None:
    """A header with format, version and settings, then an episode a line, in order; progress is told."""
    memory = taught(None, walks(3))
    told: list[tuple[int, int]] = []
    assert (
        export_episodes(memory, tmp_path / "log.jsonl", lambda done, total: told.append((done, total))) == 3
    )
    head, *lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text("ascii").splitlines()]
    assert (head["format"], head["version"]) == ("rlem-episodes", 1)
    assert MemoryConfig.from_json(head["settings"]).to_json() == memory.config.to_json()
    assert [line["id"] for line in lines] == ["walk-000", "walk-001", "walk-002"]
    assert told == [(1, 3), (2, 3), (3, 3)]
    assert [p.name for p in tmp_path.iterdir()] == ["log.jsonl"]


def test_an_export_that_fails_leaves_the_old_one(tmp_path: Path) -> None:
    """Written beside and put in place at the end: whole or not at all, whatever goes wrong."""
    memory = taught(None, walks(3))
    path = tmp_path / "log.jsonl"
    path.write_text("the old one")

    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        export_episodes(memory, path, stop)
    assert path.read_text() == "the old one"
    assert [p.name for p in tmp_path.iterdir()] == ["log.jsonl"]
    for wrong in (tmp_path / "no" / "log.jsonl", path / "log.jsonl", tmp_path):
        with pytest.raises(MemoryReadOnlyError, match="could not be written"):
            export_episodes(memory, wrong)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "empty"),
        (b"hello\n", "line 1"),
        (b"{}\n", "no export of rlem"),
        (b'{"format":"other","version":1}\n', "no export of rlem"),
        (b'{"format":"rlem-episodes","version":"1"}\n', "no export of rlem"),
        (b'{"format":"rlem-episodes","version":2}\n', "newer rlem"),
        (b'{"format":"rlem-episodes","version":1}\n{"id":"a"', "line 2"),
        (b"\xff\xfe\n", "cannot be read"),
    ],
)
def test_what_is_no_export_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    """The message names the file and the line."""
    path = tmp_path / "log.jsonl"
    path.write_bytes(content)
    memory = ExperienceMemory(InMemoryStore())
    with pytest.raises(DataError, match=message) as caught:
        import_episodes(memory, path)
    assert str(path) in str(caught.value)
    with pytest.raises(DataError, match="cannot be read"):
        import_episodes(memory, tmp_path / "nowhere")


def test_trust_on_import(tmp_path: Path) -> None:
    """unverified by default, verified if the caller vouches, as it was if asked; quarantine stays."""
    trusts: tuple[Trust, ...] = ("verified", "unverified", "quarantined")
    items = [replace(item, trust=trust) for item, trust in zip(walks(3), trusts, strict=True)]
    export_episodes(taught(None, items), tmp_path / "log.jsonl")

    def imported(**how: Any) -> list[str]:
        memory = ExperienceMemory(InMemoryStore())
        import_episodes(memory, tmp_path / "log.jsonl", **how)
        return [e.trust for e in memory.episodes()]

    assert imported() == ["unverified", "unverified", "quarantined"]
    assert imported(trust="verified") == ["verified", "verified", "quarantined"]
    assert imported(trust="keep") == list(trusts)
    assert [e.trust for e in read_episodes(tmp_path / "log.jsonl")] == list(trusts)


@pytest.mark.parametrize(
    "change",
    [
        {"id": None},
        {"task": 1},
        {"status": "over"},
        {"trust": "yes"},
        {"transitions": {}},
        {"transitions": [1]},
        {"transitions": [{"situation": {}, "action": "a", "reward": 1}]},
        {"transitions": [{"situation": None, "action": "a", "reward": 1}]},
        {"history": "abc"},
        {"history": [1]},
        {"last_reward": "1"},
        {"total_reward": float("nan")},
        {"total_reward": 1e101},
        {"total_reward": True},
        {"sequence": 1.5},
        {"sequence": 2**60},
        {"sequence": None},
        {"final": []},
    ],
    ids=str,
)
def test_a_json_object_that_is_no_episode_is_refused(change: dict[str, Any]) -> None:
    """A DataError, whichever part is of the wrong kind."""
    data = episode_to_json(walks(2)[1])
    assert episode_from_json(data) == walks(2)[1]
    with pytest.raises(DataError):
        episode_from_json(data | change)


@pytest.mark.parametrize("part", ["action", "reward", "reason", "situation"])
def test_a_transition_with_a_wrong_part_is_refused(part: str) -> None:
    """A list is neither an action nor a reward nor a reason nor a situation."""
    data = episode_to_json(walks(2)[1])
    data["transitions"][0][part] = [7]
    with pytest.raises(DataError):
        episode_from_json(data)


def test_numbers_are_kept_or_refused() -> None:
    """finite() takes what is a number up to 1e100, in any of its types, and nothing else."""
    import numpy as np

    assert [finite(x) for x in (1, True, 0.5, np.float32(0.5), np.int64(3), 1e100)] == [
        1,
        1,
        0.5,
        0.5,
        3,
        1e100,
    ]
    assert str(finite(-0.0)) == "0.0"
    assert [finite(x) for x in ("1", None, float("nan"), float("inf"), 10**400, 1j, [1])] == [None] * 7


def test_canonical_json() -> None:
    """Sorted, without blanks, ASCII; no NaN."""
    assert canonical({"b": [1.0, "ü\ud800"], "a": None}) == '{"a":null,"b":[1.0,"\\u00fc\\ud800"]}'
    with pytest.raises(ValueError, match="JSON compliant"):
        canonical([float("nan")])


@pytest.mark.parametrize("wrong", [{"max_experiences": 0}, {"max_actions": -1}], ids=str)
def test_impossible_capacities_are_refused(wrong: dict[str, int]) -> None:
    """A capacity is None or at least 1."""
    with pytest.raises(UsageError, match=next(iter(wrong))):
        MemoryConfig(**wrong)  # type: ignore[arg-type]


def test_episode_ids_are_fresh() -> None:
    """32 hex digits, another one each time."""
    names = {new_episode_id() for _ in range(100)}
    assert len(names) == 100
    assert all(len(name) == 32 and int(name, 16) >= 0 for name in names)
