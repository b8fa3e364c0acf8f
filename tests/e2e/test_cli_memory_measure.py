"""``rlem memory measure``: how well candidates find what scoring all finds."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rlem.cli.main import main
from rlem.memory.memory import ExperienceMemory
from rlem.memory.sqlite import SQLiteStore
from rlem.testing.memory_cases import episode


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """A memory of four hundred pages."""
    path = tmp_path / "shop.rlem"
    memory = ExperienceMemory(SQLiteStore(path))
    memory.record_many(
        [
            episode(
                f"e{i}", [(f"page {i} of {i % 7} things\nand {i % 31} more", "left", 1.0)], task=f"task {i}"
            )
            for i in range(400)
        ]
    )
    memory.close()
    return path


def test_a_small_memory_is_scored_whole(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Below the limit all experiences are scored, and recall is 1."""
    assert main(["memory", "measure", str(shop), "--queries", "20", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["experiences"], found["candidates_mean"], found["recall_at_10"]) == (400, 400.0, 1.0)


def test_candidates_can_be_forced(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """--from makes it look for candidates; what is printed says how many were scored, and the file stays."""
    before = shop.read_bytes()
    assert main(["memory", "measure", str(shop), "--queries", "20", "--from", "100", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["candidates_mean"] < 400
    assert 0.0 < found["recall_at_10"] <= 1.0
    assert main(["memory", "measure", str(shop), "--queries", "5"]) == 0
    assert "recall@10" in capsys.readouterr().out
    assert shop.read_bytes() == before


def test_an_empty_memory_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """There is nothing to make queries of: said in one line."""
    path = tmp_path / "new.rlem"
    ExperienceMemory(SQLiteStore(path)).close()
    assert main(["memory", "measure", str(path)]) == 2
    assert "nothing to make queries of" in capsys.readouterr().err
