"""``rlem env check`` as a user runs it, on the bundled products and app and recordings of our own making."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
from tests.support.command import complaint, inside, rlem, well

from rlem.environments.webshop.catalogue import generate
from rlem.environments.webshop.check.folder import check_folder
from rlem.environments.webshop.data import build_catalogue
from rlem.environments.wikihow.env import WikiHow
from rlem.environments.wikihow.hierarchy import write_hierarchy
from rlem.environments.wikihow.task_writer import to_textproto
from rlem.environments.wikihow.tasks import compile_task


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundled products as the original's files."""
    folder = tmp_path_factory.mktemp("data")
    products, attributes = generate(n_products=30)
    (folder / "items_shuffle.json").write_text(json.dumps(products), encoding="utf-8")
    (folder / "items_ins_v2.json").write_text(json.dumps(attributes), encoding="utf-8")
    return folder


@pytest.fixture
def golden(tmp_path: Path) -> Path:
    """Recordings that agree with the shop: prices, and two colours, compressed."""
    folder = tmp_path / "golden"
    folder.mkdir()
    products = build_catalogue(*generate(n_products=30)).products
    rows = [json.dumps({"asin": product.asin, "price": product.price}) for product in products]
    (folder / "prices_synthetic.jsonl").write_text("\n".join(rows), encoding="utf-8")
    colours = '{"s": "dark green", "color": "dark"}\n{"s": "tangerine", "color": "tan"}\n'
    (folder / "normalize_color.jsonl.gz").write_bytes(gzip.compress(colours.encode()))
    return folder


def test_recordings_that_agree(data: Path, golden: Path, tmp_path: Path) -> None:
    """All rows are tried, none differs, the status is 0; the JSON holds the counts and nothing else."""
    arguments = ("env", "check", "webshop", "--data", data, "--golden", golden)
    done = rlem(*arguments, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert [line.split() for line in done.stdout.splitlines()] == [
        ["file", "tried", "differ"],
        ["normalize_color.jsonl.gz", "2", "0"],
        ["prices_synthetic.jsonl", "30", "0"],
        ["all", "32", "0"],
    ]
    assert json.loads(well(*arguments, "--json", cwd=tmp_path)) == {
        "files": {
            "normalize_color.jsonl.gz": {"tried": 2, "different": 0},
            "prices_synthetic.jsonl": {"tried": 30, "different": 0},
        }
    }


def test_a_difference_is_shown_in_full(data: Path, golden: Path, tmp_path: Path) -> None:
    """A differing row is named with line, field and both values, and the status is 1; --show limits that."""
    lines = '{"s": "large", "color": "large"}\n' + '{"s": "navy blue", "color": "navy"}\n' * 3
    (golden / "normalize_color.jsonl").write_text(lines, encoding="utf-8")
    arguments = ("env", "check", "webshop", "--data", data, "--golden", golden)
    done = inside(*arguments, "--show", "2", cwd=tmp_path)
    assert done.returncode == 1
    assert ["normalize_color.jsonl", "4", "3"] in [line.split() for line in done.stdout.splitlines()]
    assert done.stdout.count("normalize_color.jsonl: line") == 2
    assert "normalize_color.jsonl: line 2\n  color, from character 0\n    ours:     'blue'\n" in done.stdout
    assert "    recorded: 'navy'\n" in done.stdout
    counts = json.loads(inside(*arguments, "--json", cwd=tmp_path).stdout)["files"]
    assert counts["normalize_color.jsonl"] == {"tried": 4, "different": 3}


def test_an_unknown_file_is_mentioned(data: Path, golden: Path, tmp_path: Path) -> None:
    """What no name tells about is not replayed, and that is said; it is no error."""
    (golden / "holiday.txt").write_text("sun")
    done = inside("env", "check", "webshop", "--data", data, "--golden", golden, "--json", cwd=tmp_path)
    assert done.returncode == 0
    assert "holiday.txt" in done.stderr
    assert len(json.loads(done.stdout)["files"]) == 2


def test_a_row_that_cannot_be_replayed_differs(data: Path, golden: Path, tmp_path: Path) -> None:
    """It is counted and shown with its reason, the rows beside it are replayed, the status is 1."""
    with (golden / "prices_synthetic.jsonl").open("a", encoding="utf-8") as file:
        file.write('\n{"price": 3}\n')
    arguments = ("env", "check", "webshop", "--data", data, "--golden", golden)
    done = inside(*arguments, cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr == ""
    assert "prices_synthetic.jsonl: line 31\n  cannot be replayed: field 'asin' is missing" in done.stdout
    assert "recorded:" not in done.stdout
    counts = json.loads(inside(*arguments, "--json", cwd=tmp_path).stdout)["files"]
    assert counts["prices_synthetic.jsonl"] == {"tried": 31, "different": 1}


def test_a_broken_file_is_an_error(data: Path, golden: Path, tmp_path: Path) -> None:
    """It is named on stderr, stands in table and JSON, the others are replayed, the status is 1."""
    (golden / "rewards.jsonl").write_text("{\n")
    (golden / "search.jsonl.gz").write_bytes(b"no gzip")
    arguments = ("env", "check", "webshop", "--data", data, "--golden", golden)
    done = inside(*arguments, "--json", cwd=tmp_path)
    assert done.returncode == 1
    first, second = done.stderr.splitlines()
    assert first.startswith("rlem: ")
    assert "rewards.jsonl: line 1: not JSON" in first
    assert "search.jsonl.gz: line 1: cannot be read" in second
    files = json.loads(done.stdout)["files"]
    assert files["normalize_color.jsonl.gz"] == {"tried": 2, "different": 0}
    assert files["prices_synthetic.jsonl"] == {"tried": 30, "different": 0}
    assert (files["rewards.jsonl"]["tried"], files["rewards.jsonl"]["different"]) == (1, 1)
    assert (files["search.jsonl.gz"]["tried"], files["search.jsonl.gz"]["different"]) == (0, 1)
    assert files["search.jsonl.gz"]["error"] in second
    table = [line.split() for line in inside(*arguments, cwd=tmp_path).stdout.splitlines()]
    assert ["search.jsonl.gz", "0", "1"] in table
    assert ["all", "33", "2"] in table


def test_folders_that_are_not_there(data: Path, golden: Path, tmp_path: Path) -> None:
    """A folder that is missing, empty or of the wrong kind is refused in one line."""

    def refused(data_folder: Path, golden_folder: Path) -> str:
        done = inside(
            "env", "check", "webshop", "--data", data_folder, "--golden", golden_folder, cwd=tmp_path
        )
        assert done.stdout == ""
        return complaint(done, 1)

    empty = tmp_path / "empty"
    empty.mkdir()
    message = refused(data, empty)
    assert "holds no recording; known are episodes_upstream, rewards, search, ..." in message
    assert "title_pos" not in message
    assert "holds no recording" in refused(data, data)
    assert "is not a folder" in refused(data, tmp_path / "nowhere")
    assert "does not exist" in refused(tmp_path / "nowhere", golden)
    assert "products are missing" in refused(empty, golden)


def test_wrong_use(data: Path, golden: Path, tmp_path: Path) -> None:
    """A missing option, an unknown environment and a negative number are wrong use: status 2."""
    both = ("--data", data, "--golden", golden)
    assert "--golden" in complaint(inside("env", "check", "webshop", "--data", data, cwd=tmp_path), 2)
    assert "'webshop'" in complaint(inside("env", "check", "webshp", *both, cwd=tmp_path), 2)
    assert "-1" in complaint(inside("env", "check", "webshop", *both, "--show", "-1", cwd=tmp_path), 2)


def test_progress_is_told_row_by_row(data: Path, golden: Path) -> None:
    """Whoever waits hears of every row: file, its number, how many files, rows so far."""
    heard: list[tuple[str, int, int, int]] = []
    check_folder(data, golden, progress=lambda *news: heard.append(news))
    assert heard[:2] == [("normalize_color.jsonl.gz", 0, 2, 1), ("normalize_color.jsonl.gz", 0, 2, 2)]
    assert heard[-1] == ("prices_synthetic.jsonl", 1, 2, 30)
    assert len(heard) == 32


@pytest.fixture
def app(tmp_path: Path) -> Path:
    """Recordings of the app of how-to articles: its home, and the nodes and lines of its first screen."""
    folder = tmp_path / "app"
    (folder / "tasks").mkdir(parents=True)
    world = WikiHow.bundled(n_articles=200)
    world.reset(world.tasks("test")[0])
    screen = world.app.screen()
    (folder / "screens_by_type.json").write_text(json.dumps({"home": [screen.html]}), encoding="utf-8")
    (folder / "view_hierarchy_home.xml").write_text(write_hierarchy(screen.root()), encoding="utf-8")
    (folder / "view_hierarchy_home.html").write_text(screen.html, encoding="utf-8")
    task = compile_task("Mend a Kite", [("about", "")])
    (folder / "tasks" / task.file_name).write_text(to_textproto(task), encoding="utf-8")
    return folder


def test_recordings_of_the_app_that_agree(app: Path, tmp_path: Path) -> None:
    """All rows are tried, none differs, the status is 0; unknown files are named; the JSON has the counts."""
    (app / "holiday.txt").write_text("sun")
    done = rlem("env", "check", "wikihow", "--golden", app, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert [line.split() for line in done.stdout.splitlines()] == [
        ["file", "tried", "differ"],
        ["screens_by_type.json", "1", "0"],
        ["tasks/mend_a_kite-0.textproto", "1", "0"],
        ["view_hierarchy_home.xml", "5", "0"],
        ["all", "7", "0"],
    ]
    assert done.stderr == "Not known, not replayed: holiday.txt\n"
    counts = json.loads(inside("env", "check", "wikihow", "--golden", app, "--json", cwd=tmp_path).stdout)
    assert counts["files"]["view_hierarchy_home.xml"] == {"tried": 5, "different": 0}


def test_differences_of_the_app_are_shown_in_full(app: Path, tmp_path: Path) -> None:
    """A screen of no page is shown with the line and what was expected there; the status is 1."""
    path = app / "screens_by_type.json"
    path.write_text(path.read_text().replace("toolbar logo", "toolbar image"))
    done = inside("env", "check", "wikihow", "--golden", app, cwd=tmp_path)
    assert done.returncode == 1
    assert "screens_by_type.json: home 0\n  line 1" in done.stdout
    assert "    ours:     'expected " in done.stdout
    path.write_text("[")
    done = inside("env", "check", "wikihow", "--golden", app, "--json", cwd=tmp_path)
    assert done.returncode == 1
    assert "screens_by_type.json: not JSON" in done.stderr
    assert json.loads(done.stdout)["files"]["screens_by_type.json"]["different"] == 1


def test_data_is_for_the_shop_alone(data: Path, app: Path, golden: Path, tmp_path: Path) -> None:
    """The shop needs --data, the app refuses it: wrong use, status 2."""
    done = inside("env", "check", "wikihow", "--data", data, "--golden", app, cwd=tmp_path)
    assert "--data is for webshop" in complaint(done, 2)
    assert "--data" in complaint(inside("env", "check", "webshop", "--golden", golden, cwd=tmp_path), 2)
