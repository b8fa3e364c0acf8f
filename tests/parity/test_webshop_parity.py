"""Parity with the original WebShop and the Rememberer authors' fork: their recorded outputs, replayed.

Known differences of a faithful shop: none. What the default does otherwise is counted in
``test_webshop_default.py``; what is not compared at all stands at the top of ``webshop/check/folder.py``.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from rlem.core.errors import UsageError
from rlem.environments.checking import Report
from rlem.environments.webshop.check.folder import KINDS, check_folder
from rlem.environments.webshop.env import WebShop
from rlem.environments.webshop.files import load_catalogue
from rlem.environments.webshop.search import SearchIndex
from rlem.environments.webshop.store.importing import import_shop

Golden = Callable[[str], Path]
Row = dict[str, Any]
LEAST = {
    "episodes_upstream": 200,
    "episodes_rememberer_fork": 200,
    "misc_upstream": 130,
    "misc_rememberer_fork": 130,
    "rewards": 1800,
    "search": 180,
    "search_stress": 900,
    "fuzz_token_set_ratio": 8563,
    "goals_synthetic": 6910,
}
"""Rows that must have been there: an empty recording would agree with anything."""


@pytest.fixture(scope="module")
def folder(golden: Golden) -> Path:
    """The recorded data's folder."""
    return golden("webshop/products.json.gz").parent


@pytest.fixture(scope="module")
def report(folder: Path) -> Report:
    """All recordings, replayed once."""
    return check_folder(folder, folder, show=1)


def lines(path: Path) -> Iterator[str]:
    """Lines of a file, compressed or not, that hold anything."""
    with (
        gzip.open(path, "rt", encoding="utf-8")
        if path.suffix == ".gz"
        else path.open(encoding="utf-8") as file
    ):
        yield from (line for line in file if line.strip())


def entries(path: Path) -> int:
    """How many rows a recording has, counted without the code under test."""
    if ".json" in path.name and ".jsonl" not in path.name:
        content = json.loads("".join(lines(path)))
        if isinstance(content, list):
            return len(content)
        return sum(len(part) if isinstance(part, list) else 1 for part in content.values())
    return sum(1 for _ in lines(path))


def recording(folder: Path, stem: str) -> Path:
    """The file of a recording."""
    return next(path for path in sorted(folder.iterdir()) if path.name.split(".")[0] == stem)


@pytest.mark.parametrize("stem", sorted(KINDS))
def test_nothing_differs(stem: str, report: Report, folder: Path) -> None:
    """Every row of every recording is tried, and none differs."""
    path = recording(folder, stem)
    assert not report.errors
    result = next(file for file in report.files if file.name == path.name)
    assert result.different == 0, f"{result.first!r:.3000}"
    assert result.tried == entries(path)
    assert result.tried >= LEAST.get(stem, 1)


def test_nothing_differs_in_an_imported_shop(report: Report, folder: Path, tmp_path: Path) -> None:
    """The same rows are tried in a shop imported from the same files, and none differs."""
    store = tmp_path / "shop.db"
    products, attributes, human = (
        recording(folder, stem) for stem in ("products", "items_ins_v2_1000", "items_human_ins_1000")
    )
    import_shop(products, attributes, human, store)
    stored = check_folder(store, folder, show=1)
    assert [file for file in stored.files if file.different] == []
    assert [(file.name, file.tried) for file in stored.files] == [
        (file.name, file.tried) for file in report.files
    ]


def test_task_sets_are_inputs(report: Report) -> None:
    """Lists of official goals are no recordings of the shop: they are not counted."""
    lists = {"human_goals_official_order.json.gz", "rememberer_pub-to-mine.list"}
    assert lists <= set(report.inputs)
    assert not lists & {file.name for file in report.files}


def test_every_file_is_accounted_for(report: Report, folder: Path) -> None:
    """Each file of the folder is replayed or is an input."""
    assert report.unknown == ()
    assert {file.name for file in report.files} | set(report.inputs) == {
        path.name for path in folder.iterdir()
    }
    assert "products.json.gz" in report.inputs


def test_environment_gives_the_recorded_observations(folder: Path) -> None:
    """Through the environment's own interface the authors' oracle episodes read and reward the same."""
    env = WebShop.open(folder, faithful=True)
    played = 0
    for line in lines(recording(folder, "episodes_rememberer_fork")):
        episode: Row = json.loads(line)
        if episode["policy"] != "oracle" or episode["human_goals"]:
            continue
        step = env.reset(f"webshop:{episode['goal_index']}")
        task = env.tasks(f"{episode['goal_index']}:{episode['goal_index'] + 1}")[0]
        assert "Instruction: " + task.instruction == episode["instruction"]
        for recorded in episode["steps"]:
            if recorded["action"] is not None:
                step = env.step(recorded["action"])
            assert step.observation == recorded["obs"]["text_rich"]
            assert step.terminated == recorded["done"]
            assert step.reward == (recorded["reward"] or 0.0)
        played += 1
    assert played >= 30


def test_search_does_not_depend_on_document_order(folder: Path) -> None:
    """The ranking of the real products is the same whatever order they are indexed in."""
    products = load_catalogue(folder).products
    forwards = SearchIndex((product.asin, product.search_text) for product in products)
    backwards = SearchIndex((product.asin, product.search_text) for product in reversed(products))
    for query in ("shoes", "machine wash long sleeve", "women's black dress"):
        assert len(forwards.search(query)) >= 30
        assert backwards.search(query) == forwards.search(query)


def test_splits_of_few_human_goals(folder: Path) -> None:
    """Published sets that need more human goals than are there say so."""
    env = WebShop.open(folder, goals="human")
    with pytest.raises(UsageError, match="13 human goals"):
        env.tasks("small/S0")
    with pytest.raises(UsageError):
        env.tasks("test")
    assert len(env.tasks("0:13")) == 13


def test_oracle_on_real_goals(folder: Path) -> None:
    """The oracle earns 1 on every goal that its own product meets, and plays within the step limit."""
    env = WebShop.open(folder)
    full = 0
    for task in (*env.tasks("test"), *env.tasks("S0"), *env.tasks("S1")):
        actions = env.oracle(task)
        assert len(actions) <= env.max_steps
        env.reset(task)
        last = [env.step(action) for action in actions][-1]
        assert last.terminated
        full += env.succeeded(last.reward, last)
        assert last.reward >= 0.8
    assert full == 117  # three goals are rejected by the original's own matching
