"""The check can fail: one value changed in a recording is one row that differs, with the field named."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from rlem.environments.checking import FileResult, Report
from rlem.environments.webshop.check.folder import KINDS, check_folder
from rlem.environments.webshop.search import SearchIndex
from rlem.environments.webshop.store.catalogue import StoredCatalogue
from rlem.environments.webshop.store.importing import import_shop

Golden = Callable[[str], Path]
Where = tuple[str | int, ...]

# One changed value a row. What the check calls the field is the end of the path unless it is said.
_EPISODE: list[tuple[Where, str]] = [
    (("steps", 1, "obs", "text"), "obs.text"),
    (("steps", 1, "obs", "text_rich"), "obs.text_rich"),
    (("steps", 1, "obs", "url"), "obs.url"),
    (("steps", 1, "available", "clickables", 0), "available"),
    (("steps", 0, "available", "has_search_bar"), "available"),
    (("steps", 1, "reward"), "reward"),
    (("steps", 1, "done"), "done"),
    (("steps", 1, "info"), "info"),
    (("steps", 1, "session_state", "keywords", 0), "session_state.keywords"),
    (("steps", 1, "session_state", "page"), "session_state.page"),
    (("steps", 1, "session_state", "options"), "session_state.options"),
    (("steps", 1, "session_state", "actions", "search"), "session_state.actions"),
    (("steps", 1, "session_state", "done"), "session_state.done"),
    (("final", "done"), "final.done"),
    (("final", "reward"), "final.reward"),
    (("final", "verbose_info", "r_type"), "final.verbose_info"),
    (("instruction",), "instruction"),
    (("goal_asin",), "goal_asin"),
]
_GOAL: list[tuple[Where, str]] = [
    ((name,), name)
    for name in (
        "asin", "category", "query", "name", "product_category", "instruction_text", "price_upper", "weight",
        "goal_options", "attributes",
    )
]  # fmt: skip
_PAGES = ("init", "search", "item", "item_opts", "Description", "Features", "Reviews", "end")
CHANGES: dict[str, list[tuple[Where, str]]] = {
    "episodes_upstream": _EPISODE,
    "episodes_rememberer_fork": _EPISODE,
    "search": [(("asins", 0), "asins"), (("tokens", 0), "tokens"), (("scores", 0), "scores")],
    "search_stress": [(("asins", 0), "asins")],
    "rewards": [
        (("reward",), "reward"),
        (("base",), "base"),
        (("num_attr_matches",), "num_attr_matches"),
        (("num_option_matches",), "num_option_matches"),
        (("denominator",), "denominator"),
        (("info", "title_score"), "info.title_score"),
        (("info", "query_match"), "info.query_match"),
    ],
    "normalize_color": [(("color",), "color")],
    "title_pos": [(("tokens", 0, 0), "tokens"), (("tokens", 4, 1), "tokens")],
    "fuzz_token_set_ratio": [(("score",), "score")],
    "goals_synthetic": _GOAL,
    "goals_human": _GOAL,
    "prices_synthetic": [(("price",), "price")],
    "prices_human": [(("price",), "price")],
    "products_loaded": [
        ((name,), name)
        for name in (
            "Title",
            "Description",
            "BulletPoints",
            "Price",
            "options",
            "Attributes",
            "query",
            "category",
            "product_category",
            "pricing",
            "instruction_text",
            "instruction_attributes",
            "full_description",
            "small_description",
            "Reviews",
        )
    ],
    "index_doc_tokens": [((name,), name) for name in ("tokens", "norm_byte", "norm_decoded_length")],
    "react_format": [((name, 0), name) for name in _PAGES],
    "site_http": [(("texts", 1), "texts"), (("location",), "location"), (("status",), "status")],
}
LISTED: dict[str, list[tuple[Where, str]]] = {
    "misc_upstream": [
        (("pre_seed_sensitivity", 0, "order_sha256"), "order_sha256"),
        (("pre_seed_sensitivity", 1, "price_upper_sha256"), "price_upper_sha256"),
        (("pre_seed_sensitivity", 2, "prices_sha256"), "prices_sha256"),
        (("reset_none_after_random_seed", 0, "goal_index"), "goal_index"),
        (("string_sessions", 1, "goal_index"), "goal_index"),
        (("random_idx_4_goals_weights_1_2_3_4_20000_draws_seed0", "3"), "counts"),
        (("limit_filter", 1, "indices_in_full_list", 0), "indices_in_full_list"),
        (("limit_filter", 3, "n"), "n"),
        (("edge_flows", 0, "steps", 1, "available", "clickables", 2), "available"),
        (("edge_flows", 1, "exception", "type"), "exception.type"),
        (("option_flows", 0, "steps", 2, "obs", "text"), "obs.text"),
        (("prev_obs_actions", 2, "returned_observations", 3), "returned_observations[3]"),
        (("session_prefix", "url"), "url"),
        (("assigned_instruction_text", "mutates_goal"), "mutates_goal"),
        (("reset_with_instruction_text", "obs"), "obs"),
    ],
    "real_reward_examples_full_webshop": [
        ((0, "reward"), "reward"),
        ((1, "reward_info", "r_type"), "reward_info.r_type"),
    ],
}
LISTED["misc_rememberer_fork"] = LISTED["misc_upstream"]


def other(value: Any) -> Any:
    """Another value of the same kind; nothing becomes something."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return value + 1
    if isinstance(value, str):
        return f"{value}x"
    if isinstance(value, list):
        return [*value, "x"]
    return {**value, "x": "y"} if isinstance(value, dict) else "x"


def change(content: Any, where: Where) -> Any:
    """The content with the value at a place changed."""
    for key in where[:-1]:
        content = content[key]
    content[where[-1]] = other(content[where[-1]])
    return content


def recording(folder: Path, stem: str) -> Path:
    """The file of a recording."""
    return next(path for path in sorted(folder.iterdir()) if path.name.split(".")[0] == stem)


def text(path: Path) -> str:
    """The content of a file, compressed or not."""
    data = path.read_bytes()
    return (gzip.decompress(data) if path.suffix == ".gz" else data).decode()


def can_change(row: Any, where: Where) -> bool:
    """Whether a row has a value at the place."""
    try:
        for key in where:
            row = row[key]
    except (KeyError, IndexError, TypeError):
        return False
    return row is not None or where[-1] == "info"


def suitable(rows: list[Any], where: Where) -> Any:
    """The first row that has such a value and that no other change took; it is taken from the list."""
    for row in rows:
        if can_change(row, where):
            rows.remove(row)
            return row
    raise AssertionError(f"no row has {where}")


def changed_lines(path: Path, changes: list[tuple[Where, str]]) -> Iterator[Any]:
    """A few rows of a recording: one for each change, and one left as it is."""
    rows = [json.loads(line) for line in text(path).splitlines()[:60]]
    for where, _ in changes:
        row = suitable(rows, where)
        change(row, where)
        yield row
    yield rows[0]


@pytest.fixture(scope="module")
def folder(golden: Golden) -> Path:
    """The recorded data's folder."""
    return golden("webshop/products.json.gz").parent


@pytest.fixture(scope="module")
def report(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Report:
    """The check of recordings that all hold changed values; half of them compressed."""
    changed = tmp_path_factory.mktemp("changed")
    for number, (stem, changes) in enumerate(CHANGES.items()):
        rows = "".join(json.dumps(row) + "\n" for row in changed_lines(recording(folder, stem), changes))
        if number % 2:
            (changed / f"{stem}.jsonl").write_text(rows, encoding="utf-8")
        else:
            (changed / f"{stem}.jsonl.gz").write_bytes(gzip.compress(rows.encode()))
    for stem, changes in LISTED.items():
        content = json.loads(text(recording(folder, stem)))
        for where, _ in changes:
            change(content, where)
        if isinstance(content, list):
            content = content[:20]
        else:
            content["reset_none_after_random_seed"] = content["reset_none_after_random_seed"][:3]
        (changed / f"{stem}.json").write_text(json.dumps(content), encoding="utf-8")
    return check_folder(folder, changed, show=100)


@pytest.mark.parametrize("stem", sorted(KINDS))
def test_each_changed_value_is_a_row_that_differs(stem: str, report: Report) -> None:
    """Rows with a changed value differ in that field, the others do not."""
    assert not report.errors
    changes = (CHANGES | LISTED)[stem]
    result = next(file for file in report.files if file.name.split(".")[0] == stem)
    found = sorted(difference.fields[0][0].split(": ")[-1] for difference in result.first)
    assert found == sorted(field for _, field in changes)
    assert result.different == len(changes)
    assert result.tried > result.different
    assert all(ours != recorded for row in result.first for _, ours, recorded in row.fields)


def alone(folder: Path, data: Path, name: str, content: bytes) -> FileResult:
    """What the check says of one file; another beside it is replayed all the same."""
    (folder / name).write_bytes(content)
    (folder / "title_pos.jsonl").write_text('{"name": "red", "tokens": [["red", "NOUN"]]}\n')
    report = check_folder(data, folder)
    found = {file.name: file for file in report.files}
    assert set(found) == {name, "title_pos.jsonl"}
    assert (found["title_pos.jsonl"].tried, found["title_pos.jsonl"].different) == (1, 0)
    assert report.different == found[name].different
    assert report.as_json()["files"]["title_pos.jsonl"] == {"tried": 1, "different": 0}
    return found[name]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("rewards.jsonl", b'{"kind": "exact"}\n', r"field 'goal_set' is missing"),
        ("search.jsonl", b'\n{"query": 5, "asins": []}\n', r"wrong kind \(AttributeError"),
        ("search.jsonl", b'{"query": "<c> x", "asins": []}\n', r"'lowered' is missing"),
        ("goals_human.jsonl", b'{"index": 13, "weight": 1}\n', r"'index' is 13; .*goals 0 to 12"),
        ("misc_upstream.json", b'{"new": []}', r"unknown section 'new'"),
        ("prices_human.jsonl", b"[1]\n", r"wrong kind \(TypeError"),
        ("episodes_upstream.jsonl", b'{"session": 0}\n', r"'human_goals' is missing"),
        ("index_doc_tokens.jsonl.gz", gzip.compress(b"null\n"), r"wrong kind"),
    ],
)
def test_a_row_that_cannot_be_replayed_differs(
    name: str, content: bytes, message: str, folder: Path, tmp_path: Path
) -> None:
    """It was tried and differs, with what is wrong as its difference."""
    result = alone(tmp_path, folder, name, content)
    assert (result.tried, result.different) == (1, 1)
    (field, ours, recorded) = result.first[0].fields[0]
    assert re.match(f"cannot be replayed: .*{message}", field), field
    assert ours is recorded is None


COLOUR = b'{"s": "red", "color": "red"}\n'


@pytest.mark.parametrize(
    ("name", "content", "message", "counts"),
    [
        ("normalize_color.jsonl", COLOUR + b'{"s"\n' + COLOUR, r"line 2: not JSON at column", (3, 1)),
        ("normalize_color.jsonl", COLOUR + b"\xff\n" + COLOUR, r"line 2: not UTF-8 at byte 0", (3, 1)),
        ("normalize_color.jsonl", b"x\ny\n" + COLOUR, r"line 1: not JSON .* \(and 1 more fault", (3, 2)),
        ("normalize_color.jsonl", b"[" * 100_000, r"line 1: .*nested too deep", (1, 1)),
        ("normalize_color.jsonl", b"9" * 5_000, r"line 1: .*cannot be read", (1, 1)),
        ("normalize_color.jsonl", b"", r"holds no rows", (0, 1)),
        ("normalize_color.jsonl.gz", b"no gzip", r"line 1: cannot be read", (0, 1)),
        ("normalize_color.jsonl.gz", gzip.compress(COLOUR) + b"end", r"line 2: cannot be read", (1, 1)),
        ("normalize_color.csv", COLOUR, r"ending that cannot be read", (0, 1)),
        ("misc_upstream.json", b"[]", r"expected an object of sections", (0, 1)),
        ("misc_upstream.json", b'{\n"a"\n', r"misc_upstream.json: not JSON at line", (0, 1)),
        ("misc_upstream.json", b"\xff", r"line 1: not UTF-8", (0, 1)),
        ("real_reward_examples_full_webshop.json", b"{}", r"expected a list", (0, 1)),
    ],
)
def test_a_file_that_cannot_be_read_is_an_error(
    name: str, content: bytes, message: str, counts: tuple[int, int], folder: Path, tmp_path: Path
) -> None:
    """It is among the files with what was tried of it, one difference at least, and its error."""
    result = alone(tmp_path, folder, name, content)
    assert (result.tried, result.different) == counts
    assert name in result.error
    assert re.search(message, result.error), result.error
    assert result.as_json() == {"tried": counts[0], "different": counts[1], "error": result.error}


def test_a_recording_that_breaks_off_is_an_error(folder: Path, tmp_path: Path) -> None:
    """Of a compressed file without its end the rows before are tried; the error says after which line."""
    data = recording(folder, "normalize_color").read_bytes()
    result = alone(tmp_path, folder, "normalize_color.jsonl.gz", data[: len(data) // 2])
    assert result.different == 1
    assert f"line {result.tried + 1}: cannot be read" in result.error


def test_a_directory_in_place_of_a_recording_is_an_error(folder: Path, tmp_path: Path) -> None:
    """It is named, and counts as a difference."""
    (tmp_path / "rewards.jsonl").mkdir()
    report = check_folder(folder, tmp_path)
    assert report.as_json()["files"]["rewards.jsonl"]["different"] == 1
    assert "cannot be read" in report.errors[0]


def test_goals_that_the_data_lacks_differ(folder: Path, tmp_path: Path) -> None:
    """Rows that need human goals differ where there are none; those beside them are replayed."""
    data, changed = tmp_path / "data", tmp_path / "changed"
    data.mkdir()
    changed.mkdir()
    for stem in ("products", "items_ins_v2_1000"):
        path = recording(folder, stem)
        (data / path.name).write_bytes(path.read_bytes())
    for stem in ("rewards", "goals_human", "prices_synthetic"):
        rows = text(recording(folder, stem)).splitlines(keepends=True)
        (changed / f"{stem}.jsonl").write_text("".join(rows[:5] + rows[-5:]), encoding="utf-8")
    report = check_folder(data, changed, show=100)
    counts = {file.name: (file.tried, file.different) for file in report.files}
    human = sum('"human"' in line for line in (changed / "rewards.jsonl").read_text().splitlines())
    assert 0 < human < 10
    assert counts == {
        "rewards.jsonl": (10, human),
        "goals_human.jsonl": (10, 10),
        "prices_synthetic.jsonl": (10, 0),
    }
    assert not report.errors
    reasons = {row.fields[0][0] for file in report.files for row in file.first}
    assert len(reasons) == 1
    assert "the human instructions are missing" in reasons.pop()


def test_scores_of_an_imported_shop_are_compared(folder: Path, tmp_path: Path) -> None:
    """A changed score differs with a shop on disk, too; so does a product that it lacks."""
    store, changed = tmp_path / "shop.db", tmp_path / "changed"
    changed.mkdir()
    import_shop(recording(folder, "products"), recording(folder, "items_ins_v2_1000"), out=store)
    rows = [json.loads(line) for line in text(recording(folder, "search")).splitlines()]
    row, whole = [row for row in rows if len(row.get("scores") or ()) > 3][:2]
    row["scores"][2] += 0.01
    (changed / "search.jsonl").write_text(f"{json.dumps(row)}\n{json.dumps(whole)}\n", encoding="utf-8")
    result = check_folder(store, changed).files[0]
    assert (result.tried, result.different) == (2, 1)
    assert [field for field, _, _ in result.first[0].fields] == ["scores"]
    assert isinstance(result.first[0].fields[0][1], list)
    catalogue = StoredCatalogue(store)
    memory = SearchIndex((product.asin, product.search_text) for product in catalogue.products)
    assert tuple(catalogue.ranking.ids) == memory.ids
    assert catalogue.ranking.scores(whole["query"]).tolist() == memory.scores(whole["query"]).tolist()
    assert not catalogue.ranking.scores("zzzzzz").any()


def test_a_crash_that_was_not_recorded_differs(folder: Path, tmp_path: Path) -> None:
    """A search that fails where the original answered is a difference, not an error."""
    (tmp_path / "search_stress.jsonl").write_text('{"query": "<a> slim fit", "asins": []}\n')
    report = check_folder(folder, tmp_path)
    assert report.errors == ()
    assert report.different == 1
    assert report.files[0].first[0].fields[0][0] == "exception"
    assert "TypeError" in str(report.files[0].first[0].fields[0][1])
