"""The memory's benchmark on tiny memories: each part gives a table, and its ratios follow from its floors."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from bench import memory as bench
from bench._memory_fresh import scan_ms, scanned_bytes
from bench._memory_made import STORED, Screens, Shop, Source, Sources, similarity
from bench._memory_tables import Asked, Table, cell, verdict

from rlem.similarity.index import SimilarityIndex


@pytest.fixture
def asked(tmp_path: Path) -> Asked:
    """Few of everything."""
    return Asked(
        sizes=(20, 30),
        queries=3,
        rounds=1,
        commits=6,
        threads=(1, 3),
        processes=(2,),
        kinds=(STORED, "default"),
        opened=("default",),
        folder=tmp_path,
        reference_sizes=(10,),
        sources=Sources(60),
    )


def tables(part: str, asked: Asked) -> list[Table]:
    """What a part gives; its text must hold every row and the note."""
    found = list(bench.PARTS[part](asked))
    for table in found:
        assert len({tuple(row) for row in table.rows}) == (1 if table.rows else 0)
        lines = table.text().splitlines()
        assert f"### {table.title}" in lines
        assert sum(line.startswith("| ") for line in lines) == len(table.rows) + 2
    return found


def holds_ratios(rows: Any, above: str, below: str, ratio: str) -> None:
    """The ratio of each row is that of two of its measured figures."""
    for row in rows:
        assert row[above] > 0
        assert row[below] > 0
        assert row[ratio] == pytest.approx(row[above] / row[below])


def test_recall_has_a_row_for_each_size_and_similarity(asked: Asked) -> None:
    """Times against the floor of the same process, and candidates against exact scores."""
    times, candidates = tables("recall", replace(asked, sizes=(20,)))
    assert [(row["similarity"], row["N"]) for row in times.rows] == [(STORED, 20), ("default", 20)]
    holds_ratios(times.rows, "p50", "floor", "x floor")
    assert all(row["p50"] <= row["p99"] for row in times.rows)
    holds_ratios(candidates.rows, "p50", "exact p50", "x exact")
    assert all(row["usual recall@10"] == 1.0 and row["recall@10"] > 0.5 for row in candidates.rows)


def test_opening_has_a_row_for_each_state(asked: Asked) -> None:
    """Clean, killed with more in the log, without image, without anything derived; N tells the tail."""
    (table,) = tables("opening", asked)
    found = [(row["similarity"], row["state"], row["N"]) for row in table.rows]
    assert ("default", "clean close", 30) in found
    assert {("default", state, 35) for state in ("killed, 2 % more", "rows, no image", "log only")} < {*found}
    holds_ratios(table.rows, "open s", "floor", "x floor")


def test_recording_is_held_against_fdatasync(asked: Asked) -> None:
    """Ours, the floor of as many bytes, and plain SQLite; the target is beside the ratio."""
    (table,) = tables("recording", asked)
    assert len(table.rows) == 2
    holds_ratios(table.rows, "ours", "floor", "x floor")
    holds_ratios(table.rows, "ours", "plain", "x plain")
    for row in table.rows:
        assert row["target"] == ("<= 1.5: met" if row["x floor"] <= 1.5 else "<= 1.5: MISSED")


def test_many_writers_lose_nothing(asked: Asked) -> None:
    """Threads and processes commit all episodes; those that are not in the log are counted."""
    (table,) = tables("together", asked)
    assert [row["writers"] for row in table.rows] == ["1 threads", "3 threads", "2 processes"]
    assert all(row["lost"] == 0 and row["target"] == "<= 0: met" for row in table.rows)
    holds_ratios(table.rows, "commits/s", "floor/s", "x floor")


def test_readers_are_measured_alone_and_beside_writers(asked: Asked) -> None:
    """In the same process and in another one."""
    (table,) = tables("readers", replace(asked, commits=30))
    assert [row["reader"] for row in table.rows] == ["a thread beside", "another process"]
    holds_ratios(table.rows, "p99", "p99 alone", "x alone")


def test_changing_forgets_corrects_and_rebuilds(asked: Asked) -> None:
    """Each against its floor; a rebuild tells its episodes per second."""
    (table,) = tables("changing", asked)
    assert [row["what"] for row in table.rows] == ["correct", "forget", "rebuild"]
    assert all(row["x floor"] > 0 and row["ms"] <= row["p95"] for row in table.rows)
    assert [row["episodes/s"] is None for row in table.rows] == [True, True, False]


STAND_IN = """
import sentence_transformers, torch
print("loads of chatter")

class LCSNodeMatcher: ...
class InsPatMatcher: ...

class LambdaMatcherConstructor:
    def __init__(self, matchers, weights):
        self.get_lambda_matcher = None

class HistoryReplay:
    def __init__(self, items, actions, matcher, n_step_flatten=1):
        self.kept = {}

    def update(self, step, reward, action=None, last_step=False):
        if step[0] != "<end >":
            self.kept[step] = reward

    def __getitem__(self, request):
        return [(key, {}, 2.0) for key in self.kept]

    def __len__(self):
        return len(self.kept)

    def save_yaml(self, path):
        open(path, "w").close()

    def load_yaml(self, path):
        assert open(path).read() == ""
"""


def test_the_reference_code_is_timed_beside_ours(asked: Asked, tmp_path: Path) -> None:
    """Rows for recalling, inserting, saving and loading; packages that only an embedding needs may lack."""
    (tmp_path / "history.py").write_text(STAND_IN, encoding="utf-8")
    (table,) = tables("reference", replace(asked, reference=tmp_path))
    assert [(row["what"], row["N"]) for row in table.rows] == [
        ("recall", 10),
        ("insert", 10),
        ("save", 10),
        ("load", 10),
    ]
    holds_ratios(table.rows, "reference ms", "rlem ms", "times faster")
    assert table.rows[0]["same best score"] == "0 of 20"


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (None, "name a checkout of X-LANCE/Rememberer"),
        ("import no_such_requirement", "ModuleNotFoundError: No module named 'no_such_requirement'"),
        ("import os\nos._exit(3)", "it ended with status 3; its last words: nothing"),
    ],
)
def test_a_checkout_that_does_not_run_is_one_line(
    asked: Asked, tmp_path: Path, source: str | None, message: str
) -> None:
    """What is missing stands in the note, with the folder and the Python."""
    if source is not None:
        (tmp_path / "history.py").write_text(source, encoding="utf-8")
    (table,) = bench.PARTS["reference"](replace(asked, reference=tmp_path))
    assert not table.rows
    assert message in table.note
    assert f"[{tmp_path}, {sys.executable}]" in table.note


@pytest.mark.parametrize("source", [Shop(3), Screens()])
def test_episodes_are_the_same_in_every_run_and_all_different(source: Source) -> None:
    """Behind the walks come variants with other tasks and pages; numbers decide everything."""
    found = list(source.episodes(0, 12))
    assert found == list(source.episodes(0, 12))
    assert found[10:] == list(source.episodes(10, 12))
    assert len({episode.task for episode in found}) == len({episode.id for episode in found}) == 12
    assert len({t.situation.key for episode in found for t in episode.transitions}) == 60


def test_the_floor_of_a_scan_counts_rows_and_stored_features() -> None:
    """8 bytes a slot and term, and what the banks hold; twice as many bytes take about twice as long."""
    index = SimilarityIndex(similarity("webshop"))
    before = scanned_bytes(index)
    episode = next(Screens().episodes(0, 1))
    for slot, transition in enumerate(episode.transitions):
        index.add(slot, transition.situation)
    assert scanned_bytes(index) > before + 2 * 8 * len(episode.transitions)
    assert scan_ms(8, rounds=1) > 0


def test_cells_and_verdicts() -> None:
    """Three digits that count; a limit holds at the limit; no limit, no verdict."""
    assert [cell(value) for value in (None, "x", 12345, 0.012345, 1.5, 1234.5)] == [
        "-",
        "x",
        "12,345",
        "0.0123",
        "1.50",
        "1,234",
    ]
    assert verdict(5.0, 5.0) == "<= 5: met"
    assert verdict(5.1, 5.0) == "<= 5: MISSED"
    assert verdict(0.98, 0.99, least=True) == ">= 0.99: MISSED"
    assert verdict(1.0, None) == "-"


def test_the_command_prints_what_it_was_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Only the part named, and the same as JSON; a part that is not known is refused."""
    path = tmp_path / "found.json"
    assert (
        bench.main(["--quick", "--n", "20", "--commits", "4", "--only", "recording", "--json", str(path)])
        == 0
    )
    out = capsys.readouterr().out
    assert out.count("###") == 1
    (table,) = json.loads(path.read_text(encoding="utf-8"))["tables"]
    assert table["title"] == "Recording"
    assert cell(table["rows"][0]["ours"]) in out
    assert bench.main(["--only", "speed"]) == 2
    assert "no part 'speed'; known: recall, opening" in capsys.readouterr().err
