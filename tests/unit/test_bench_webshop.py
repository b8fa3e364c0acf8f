"""The benchmark beside the original: a stand-in of its shape is driven; what is missing is one line. And
several processes over one store, for a moment."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import pytest
from bench import _webshop_processes as processes
from bench import webshop
from bench.webshop import measure_reference, queries

from rlem.environments.webshop.store.importing import generate_shop

STAND_IN = '''
import random
print("loads of chatter")

class Server:
    goals = [{}] * 7

class WebAgentTextEnv:
    """A shop with a search page, a result page and a product page."""

    def __init__(self, observation_mode, num_products):
        assert (observation_mode, num_products) == ("text_rich", 1000)
        self.server, self.page = Server(), 0
        random.seed(0)

    def reset(self, session=None):
        assert 0 <= session < 7
        self.page = 0
        return "", None

    def get_instruction_text(self):
        return "Instruction: find me a red chair"

    def get_available_actions(self):
        clickables = [["search"], ["b000000001", "a [b]"], ["buy now"]][self.page]
        return {"has_search_bar": self.page == 0, "clickables": clickables}

    def step(self, action):
        print("more chatter")
        assert action.startswith(("search[", "click[b000000001]", "click[buy now]")[self.page])
        self.page += 1
        return "", 0.0, self.page == 3, None
'''


def checkout(folder: Path, source: str) -> Path:
    """A folder in the shape of the original's."""
    package = folder / "web_agent_site" / "envs"
    package.mkdir(parents=True)
    (folder / "web_agent_site" / "__init__.py").touch()
    (package / "__init__.py").write_text(source, encoding="utf-8")
    return folder


def measured(folder: Path, *, python: str = sys.executable) -> bool:
    """A small measurement of that folder."""
    return measure_reference(folder, python=python, products="1000", source=None, rounds=2, steps=10)


def test_the_original_is_timed_beside_ours(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Rows for both, with the shares of searches and purchases, the number of goals, and the ratio."""
    assert measured(checkout(tmp_path, STAND_IN))
    lines = capsys.readouterr().out.splitlines()
    (theirs,) = [line for line in lines if line.startswith("the original ")]
    assert "33.3%      33.3%" in theirs
    assert "7 goals" in theirs
    assert any(line.startswith("rlem ") for line in lines)
    assert any(line.startswith("ratio of the medians: ") for line in lines)
    assert any("data cannot be opened, ours is the bundled shop" in line for line in lines)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("import no_such_requirement", "ModuleNotFoundError: No module named 'no_such_requirement'"),
        ("import os\nos._exit(3)", "it ended with status 3; its last words: nothing"),
        ("import sys, os\nprint('no Java')\nsys.stdout.flush()\nos._exit(1)", "its last words: no Java"),
        ("class WebAgentTextEnv:\n    def __init__(self, **_):\n        1 / 0", "ZeroDivisionError"),
        (STAND_IN.replace("self.page += 1", "1 / 0"), "ZeroDivisionError"),
    ],
)
def test_an_original_that_does_not_run_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], source: str, message: str
) -> None:
    """What is missing stands in one line that names the folder and the Python."""
    assert not measured(checkout(tmp_path, source))
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "not timed" in line]
    assert message in line
    assert str(tmp_path) in line
    assert sys.executable in line


def test_wrong_places_are_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A folder that is no checkout, and a Python that is none."""
    assert not measured(tmp_path)
    assert "name a checkout of princeton-nlp/WebShop" in capsys.readouterr().out
    assert not measured(checkout(tmp_path, STAND_IN), python=str(tmp_path / "python"))
    assert "cannot be started (No such file or directory)" in capsys.readouterr().out


def test_queries_are_the_same_in_every_run() -> None:
    """1 to 12 words each, from instructions and titles, without chance."""
    found = queries(300)
    assert found == queries(300)
    assert {len(query.split()) for query in found} == set(range(1, 13))


def rows(text: str, columns: int) -> list[list[float]]:
    """The rows of a table that begin with so many numbers."""
    number = r" +([\d,.]+)"
    found = [re.match(r" *(\d+)" + number * (columns - 1), line) for line in text.splitlines()]
    return [[float(cell.replace(",", "")) for cell in row.groups()] for row in found if row]


def test_several_processes_over_one_store(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A row for each number at once and for each process: searches, p50 below p99, memory where what is
    written is private, what is private in the share, the share in all of it; the number of cores is there."""
    store = generate_shop(60, 0, tmp_path / "shop.db").path
    processes.measure_processes(store, queries(20), counts=(1, 2), seconds=0.2, episodes=1)
    head, _, *table = capsys.readouterr().out.strip().splitlines()
    assert f"shop.db, {store.stat().st_size / 1e6:,.1f} MB, on {processes.cores()} cores" in head
    assert 1 <= processes.cores() <= (os.cpu_count() or 1)
    text = "\n".join(table)
    summary, each = text.split("process ")
    assert [row[0] for row in rows(summary, 4)] == [1, 2]
    assert all(row[1] > 0 and 0 < row[2] <= row[3] for row in rows(summary, 4))
    if not Path("/proc/self/smaps_rollup").exists():
        assert text.count("not measured") == 2 * 5 + 2
        return
    measured = rows(each, 8)
    assert [row[0] for row in measured] == [1, 2]
    assert all(1 < row[5] <= row[4] <= row[6] <= row[7] < 1000 for row in measured)
    one, two = (re.search(r"([\d,]+) +([\d.]+)x$", line) for line in summary.splitlines()[1:3])
    assert one is not None
    assert two is not None
    assert float(one[2]) == 1
    assert float(two[1].replace(",", "")) == pytest.approx(sum(row[6] for row in measured), abs=1)


def test_memory_that_the_system_does_not_tell(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without smaps_rollup the cells say so; the times stay."""
    store = generate_shop(3, 0, tmp_path / "shop.db").path
    monkeypatch.setattr(processes, "at_work", lambda *_: [processes.Work([2.0, 1.0], None)])
    processes.measure_processes(store, ["x"], counts=(1,))
    text = capsys.readouterr().out
    assert text.count("not measured") == 6
    assert [row[2:4] for row in rows(text, 4)] == [[1.5, 2.0]] * 2


def test_the_part_is_run_where_a_store_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Asked for by name it makes a store; otherwise it takes the largest that there is, or is left out."""
    measured: list[Path] = []
    monkeypatch.setattr(webshop, "measure_processes", lambda store, *_, **__: measured.append(store))
    monkeypatch.setattr(webshop, "measure_modes", lambda *_: None)
    monkeypatch.setattr(webshop, "PARTS", ("modes", "processes"))

    def run(*arguments: str) -> list[Path]:
        measured.clear()
        monkeypatch.setattr(sys, "argv", ["webshop", "--stores", str(tmp_path), *arguments])
        assert webshop.main() == 0
        return measured

    assert run() == []
    assert run("--only", "processes", "--catalogues", "4,20") == [tmp_path / "webshop-20.db"]
    generate_shop(5, 0, tmp_path / "small.db")
    assert run() == [tmp_path / "webshop-20.db"]
    assert run("--data", str(tmp_path / "small.db")) == [tmp_path / "small.db"]
    capsys.readouterr()
