"""The store of an imported shop: what it gives back, and which files it refuses."""

from __future__ import annotations

import gzip
import json
import os
import random
import re
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rlem.core.errors import ClosedError, DataError, UsageError
from rlem.environments.webshop.catalogue import generate
from rlem.environments.webshop.data import build_catalogue
from rlem.environments.webshop.search import SearchIndex
from rlem.environments.webshop.store import array_file, importing
from rlem.environments.webshop.store import partial as partial_folder
from rlem.environments.webshop.store.array_file import ArrayFile, ArrayWriter, Texts
from rlem.environments.webshop.store.catalogue import StoredCatalogue
from rlem.environments.webshop.store.importing import ImportReport, generate_shop, import_shop
from rlem.environments.webshop.store.partial import LOCK, PartialFolder

SIZE = 60


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A generated shop."""
    return generate_shop(SIZE, 3, tmp_path_factory.mktemp("shop") / "shop.db").path


def entry(asin: str = "B1", **changes: Any) -> dict[str, Any]:
    """A product in the original's form."""
    return {
        "asin": asin,
        "name": "Red Kettle",
        "full_description": "A kettle.",
        "small_description": ["holds water"],
        "pricing": "$12.5 - $30",
        "customization_options": {"Color": [{"value": "Red"}, {"value": "Blue"}]},
        "category": "garden",
        "query": "kettles",
        "product_category": "Home › Kettles",
        **changes,
    }


ABOUT = {
    "attributes": ["easy clean"],
    "instruction": "find a kettle",
    "instruction_attributes": ["easy clean"],
}
WROTE = {
    "instruction": "a red kettle.",
    "instruction_attributes": ["easy clean"],
    "instruction_options": ["red"],
}


def imported(folder: Path, products: Any, attributes: Any, human: Any = None, **options: Any) -> ImportReport:
    """Imports these contents."""
    files: dict[str, Path] = {}
    for name, content in (("products", products), ("attributes", attributes), ("human", human)):
        if content is not None:
            files[name] = folder / f"{name}.json"
            files[name].write_text(json.dumps(content), encoding="utf-8")
    return import_shop(
        files["products"], files["attributes"], files.get("human"), folder / "shop.db", **options
    )


def test_equals_the_catalogue_in_memory(shop: Path) -> None:
    """Products, goals, weights, look-ups and ranking are those of the same products in memory."""
    loaded = build_catalogue(*generate(seed=3, n_products=SIZE))
    stored = StoredCatalogue(shop)
    assert list(stored.products) == list(loaded.products)
    assert list(stored.goals) == list(loaded.goals)
    assert list(stored.weights) == list(loaded.weights)
    assert stored.weights[5] == loaded.weights[5]
    assert list(stored.weights[2:9:3]) == list(loaded.weights[2:9:3])
    for name in ("by_asin", "by_category", "by_query", "by_attribute"):
        assert dict(getattr(stored, name)) == dict(getattr(loaded, name))
    index = SearchIndex((product.asin, product.search_text) for product in loaded.products)
    for goal in loaded.goals[:40]:
        assert stored.ranking.search(goal.instruction) == index.search(goal.instruction)


def test_lazy_sequences_behave_as_tuples(shop: Path) -> None:
    """Length, negative numbers, slices and the end are as in a tuple; a missing key is a KeyError."""
    stored = StoredCatalogue(shop)
    goals = stored.goals
    assert goals[-1] == goals[len(goals) - 1]
    assert list(goals[1:4]) == [goals[1], goals[2], goals[3]]
    with pytest.raises(IndexError):
        goals[len(goals)]
    with pytest.raises(KeyError):
        stored.by_asin["nothing"]
    assert stored.by_query.get("nothing", ()) == ()
    assert "nothing" not in stored.by_asin
    assert "nothing" not in stored.by_attribute
    assert len(stored.by_asin) == SIZE


def test_another_price_seed(shop: Path) -> None:
    """Other price seeds, and a generator, give what they give in memory; the generator ends up the same."""
    content = generate(seed=3, n_products=SIZE)
    assert list(StoredCatalogue(shop, price_seed=9).goals) == list(
        build_catalogue(*content, price_seed=9).goals
    )
    ours, theirs = random.Random(4), random.Random(4)
    stored, loaded = StoredCatalogue(shop, price_seed=ours), build_catalogue(*content, price_seed=theirs)
    assert ours.getstate() == theirs.getstate()
    assert list(stored.products) == list(loaded.products)


def test_human_goals_and_official_order(tmp_path: Path) -> None:
    """Human goals stand beside the synthetic ones; the official lists are kept."""
    order, texts = tmp_path / "order.list", tmp_path / "texts.json"
    order.write_text("0 1\n1 0\n")
    texts.write_text('["a red kettle", "tea"]')
    without = {**WROTE, "instruction_attributes": []}
    report = imported(
        tmp_path,
        [entry(), entry("B2")],
        {"B1": ABOUT},
        {"B1": [WROTE, without], "B2": [WROTE], "B9": [WROTE]},
        official_order=order,
        official_texts=texts,
    )
    assert (report.synthetic_goals, report.human_goals) == (2, 2)
    assert report.skipped == {"human instruction without attributes": 1}
    stored = StoredCatalogue(report.path, goals="human")
    assert stored.official_order == (1, 0)
    assert stored.official_texts == ("a red kettle", "tea")
    loaded = build_catalogue(
        [entry(), entry("B2")], {"B1": ABOUT}, {"B1": [WROTE, without], "B2": [WROTE]}, goals="human"
    )
    assert list(stored.goals) == list(loaded.goals)
    assert list(stored.weights) == [1.0, 1.0]


def test_human_goals_need_their_file(shop: Path) -> None:
    """A store without human goals says how to get them; an unknown kind is the caller's mistake."""
    with pytest.raises(DataError, match="no human goals: import the shop again, with --human"):
        StoredCatalogue(shop, goals="human")
    with pytest.raises(UsageError, match="allowed: 'synthetic', 'human'"):
        StoredCatalogue(shop, goals="both")  # type: ignore[arg-type]
    stored = StoredCatalogue(shop)
    assert stored.official_order is None
    assert stored.official_texts is None


def test_closed(shop: Path) -> None:
    """A closed store says so; closing twice is no error; what was taken out stays."""
    stored = StoredCatalogue(shop)
    product = stored.products[0]
    stored.close()
    stored.close()
    assert product.title
    for use in (
        lambda: stored.products[0],
        lambda: stored.ranking,
        lambda: stored.by_asin,
        lambda: stored.goals,
    ):
        with pytest.raises(ClosedError, match="closed"):
            use()


def test_threads_share_a_store(shop: Path) -> None:
    """Threads that read and search at once see what one thread sees."""
    stored = StoredCatalogue(shop)
    texts = [goal.instruction for goal in stored.goals]
    expected = [stored.ranking.search(text) for text in texts]
    found: dict[int, Any] = {}

    def work(number: int) -> None:
        order = list(range(len(texts)))
        random.Random(number).shuffle(order)
        results = {at: (stored.goals[at].instruction, stored.ranking.search(texts[at])) for at in order}
        found[number] = [results[at] for at in range(len(texts))]

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(found[number] == list(zip(texts, expected, strict=True)) for number in range(4))


def _sqlite(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE things (name)")
    connection.close()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: None, "cannot be opened"),
        (lambda path: path.write_bytes(b""), "not an imported shop: make one with"),
        (lambda path: path.write_text("my notes\n" * 99), "not an imported shop"),
        (_sqlite, "not an imported shop"),
    ],
)
def test_foreign_files_are_refused(make: Callable[[Path], object], message: str, tmp_path: Path) -> None:
    """A file that is no shop is refused with what to do, and left as it is."""
    path = tmp_path / "file"
    make(path)
    before = path.read_bytes() if path.exists() else None
    with pytest.raises(DataError, match=message):
        StoredCatalogue(path)
    assert (path.read_bytes() if path.exists() else None) == before


def test_damaged_files_are_refused(shop: Path, tmp_path: Path) -> None:
    """A file that is cut short, or whose directory is changed, is refused."""
    data = shop.read_bytes()
    path = tmp_path / "shop.db"
    path.write_bytes(data[:-1])
    with pytest.raises(DataError, match="truncated or damaged"):
        StoredCatalogue(path)
    path.write_bytes(data[:-9] + b"x" + data[-8:])
    with pytest.raises(DataError, match="damaged: import it again"):
        StoredCatalogue(path)


def test_other_versions_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A newer file asks for a newer rlem, an older one for another import."""
    for version, advice in (
        (array_file.VERSION + 1, "upgrade rlem"),
        (array_file.VERSION - 1, "import the shop"),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(array_file, "VERSION", version)
            with ArrayWriter(tmp_path / "file", tmp_path / "part") as writer:
                writer.finish({})
        with pytest.raises(DataError, match=advice):
            ArrayFile(tmp_path / "file")


def test_a_damaged_record_names_the_product(tmp_path: Path) -> None:
    """Damage inside of the file is found when the product is read."""
    path = generate_shop(3, 0, tmp_path / "shop.db").path
    start = ArrayFile(path)._arrays["records"][1]
    data = bytearray(path.read_bytes())
    data[start : start + 40] = b"\xff" * 40
    path.write_bytes(data)
    with pytest.raises(DataError, match="product 0 is damaged"):
        StoredCatalogue(path).products[0]


# -- what an import leaves out ---------------------------------------------------------------------------


def test_broken_rows_are_listed_and_not_fatal(tmp_path: Path) -> None:
    """Rows that are no product are listed with place and reason; the good ones are imported."""
    bad: list[Any] = [
        7,
        None,
        ["B3"],
        {},
        entry(None),
        entry("B4", name=5),
        entry("B5", pricing="free"),
        entry("B6", customization_options={"Color": [5]}),
    ]
    rows = [entry("B1"), *bad, entry("B2"), entry("nan"), entry("B123456789X"), entry("B1")]
    human = {"B1": [WROTE, {"instruction": "no lists"}], "B2": "text"}
    report = imported(tmp_path, rows, {"B1": ABOUT, "B2": {"attributes": "easy"}, "B7": 3}, human)
    assert report.products == 2
    assert report.skipped == {"id 'nan'": 1, "id of more than 10 characters": 1, "repeated id": 1}
    assert report.rejected == len(bad) + 2 + 1 + 1
    assert report.rejected_file is not None
    listed = [json.loads(line) for line in report.rejected_file.read_text().splitlines()]
    assert [row["reason"] for row in listed] == [row.reason for row in report.rejections]
    text = (tmp_path / "products.json").read_text()
    for row, content in zip([row for row in listed if row["file"] == "products.json"][1:], bad, strict=True):
        assert text[row["byte"] :].startswith(json.dumps(content))
    assert StoredCatalogue(report.path).by_asin["B2"].attributes == ("DUMMY_ATTR",)


def test_a_repeated_key_counts_as_in_json(tmp_path: Path) -> None:
    """Of two attribute entries for one id the last one counts."""
    (tmp_path / "p.json").write_text(json.dumps([entry()]))
    (tmp_path / "a.json").write_text('{"B1": {"attributes": ["one"]}, "B1": {"attributes": ["two"]}}')
    report = import_shop(tmp_path / "p.json", tmp_path / "a.json", out=tmp_path / "shop.db")
    assert StoredCatalogue(report.path).products[0].attributes == ("two",)


def test_only_so_many_rejections_are_in_the_report(tmp_path: Path) -> None:
    """The report holds the first ones, the file all."""
    report = imported(tmp_path, [entry(), *range(50)], {})
    assert (report.rejected, len(report.rejections)) == (50, importing.LISTED)
    assert report.rejected_file is not None
    assert len(report.rejected_file.read_text().splitlines()) == 50
    again = imported(tmp_path, [entry()], {}, force=True)
    assert again.rejected_file is None
    assert not report.rejected_file.exists()


@pytest.mark.parametrize(
    ("products", "attributes", "message"),
    [
        ("[{", "{}", r"products\.json.*truncated.*byte 2"),
        ("[]", "{}", "no product to import"),
        ("[3]", "{}", r"no product to import \(1 rows rejected\)"),
        ("[]", "[]", r"attributes\.json.*expected an object"),
        ("{}", "{}", r"products\.json.*expected an array"),
    ],
)
def test_files_that_stop_an_import(products: str, attributes: str, message: str, tmp_path: Path) -> None:
    """A file that breaks off or is of another kind ends the import; nothing is left, not even a part."""
    (tmp_path / "products.json").write_text(products)
    (tmp_path / "attributes.json").write_text(attributes)
    with pytest.raises(DataError, match=message):
        import_shop(tmp_path / "products.json", tmp_path / "attributes.json", out=tmp_path / "shop.db")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["attributes.json", "products.json"]


def test_wrong_paths(tmp_path: Path, shop: Path) -> None:
    """An existing shop is not replaced without force; missing files and folders are named."""
    with pytest.raises(UsageError, match="--force"):
        generate_shop(1, 0, shop)
    with pytest.raises(UsageError, match="does not exist: make it first"):
        generate_shop(1, 0, tmp_path / "no" / "shop.db")
    with pytest.raises(UsageError, match="is a folder"):
        generate_shop(1, 0, tmp_path)
    with pytest.raises(DataError, match=r"nothing\.json does not exist"):
        import_shop(tmp_path / "nothing.json", tmp_path / "nothing.json", out=tmp_path / "shop.db")
    with pytest.raises(DataError, match=r"cannot be read"):
        import_shop(shop, shop, shop, tmp_path / "shop.db", official_order=tmp_path / "nothing.list")
    with pytest.raises(UsageError, match="give the human instructions, too"):
        import_shop(shop, shop, out=tmp_path / "shop.db", official_order=tmp_path / "nothing.list")
    with pytest.raises(UsageError, match="at least 1"):
        generate_shop(0, 0, tmp_path / "shop.db")
    assert list(tmp_path.iterdir()) == []


def test_swapped_files_are_noticed(tmp_path: Path) -> None:
    """A file of which no entry can be used is taken for what it is: the wrong one."""
    (tmp_path / "products.json").write_text("[]")
    (tmp_path / "human.json").write_text('{"B1": [{"instruction": "x"}], "B2": []}')
    with pytest.raises(DataError, match=r"human\.json: no entry can be used as a product's attributes"):
        import_shop(tmp_path / "products.json", tmp_path / "human.json", out=tmp_path / "shop.db")
    assert not (tmp_path / "shop.db").exists()


def test_damage_inside_is_found(tmp_path: Path) -> None:
    """One wrong byte in any array: verify names the array, and playing gives no traceback of ours."""
    path = generate_shop(30, 0, tmp_path / "shop.db").path
    ArrayFile(path).verify()
    whole = path.read_bytes()
    file = ArrayFile(path)
    for name, (_, start, count, _) in file._arrays.items():
        if not count:
            continue
        path.unlink()  # the mapped file stays as it is
        path.write_bytes(whole[:start] + bytes([whole[start] ^ 0xFF]) + whole[start + 1 :])
        with pytest.raises(DataError, match=re.escape(f"damaged (in {name})")):
            ArrayFile(path).verify()


def test_damaged_texts_and_postings_are_named(tmp_path: Path) -> None:
    """What cannot be in a file is an error that says so where it is met."""
    path = generate_shop(30, 0, tmp_path / "shop.db").path
    arrays, whole = ArrayFile(path)._arrays, bytearray(path.read_bytes())
    start, count = arrays["posting_documents"][1:3]
    whole[start : start + 4 * count] = b"\x7f" * (4 * count)
    path.unlink()
    path.write_bytes(whole)
    stored = StoredCatalogue(path)
    with pytest.raises(DataError, match=r"is damaged .*import it again"):
        stored.ranking.search(stored.products[0].title)
    with pytest.raises(DataError, match="is damaged"):
        Texts(np.array([0xFF], dtype=np.uint8), np.array([0, 1]), path)[0]


def test_a_failed_import_keeps_the_shop_that_was_there(tmp_path: Path) -> None:
    """With force, the old shop goes only when the new one is complete."""
    path = generate_shop(5, 0, tmp_path / "shop.db").path
    before = path.read_bytes()
    (tmp_path / "products.json").write_text("[")
    (tmp_path / "attributes.json").write_text("{}")
    with pytest.raises(DataError, match="truncated"):
        import_shop(tmp_path / "products.json", tmp_path / "attributes.json", out=path, force=True)
    assert path.read_bytes() == before


def test_a_folder_of_the_users_survives(tmp_path: Path) -> None:
    """What has the working folder's name, but is no import's, is refused by name and left as it is."""
    partial = tmp_path / "shop.db.partial"
    partial.mkdir()
    (partial / "thesis.tex").write_text("years of work")
    with pytest.raises(UsageError, match=r"shop\.db\.partial is no folder of an import"):
        generate_shop(3, 0, tmp_path / "shop.db")
    assert [path.name for path in partial.iterdir()] == ["thesis.tex"]
    assert (partial / "thesis.tex").read_text() == "years of work"
    (tmp_path / "other.db.partial").write_text("a file")
    with pytest.raises(UsageError, match=r"other\.db\.partial is in the way"):
        generate_shop(3, 0, tmp_path / "other.db")
    assert (tmp_path / "other.db.partial").read_text() == "a file"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["other.db.partial", "shop.db.partial"]


def test_what_a_killed_import_left_is_cleared(tmp_path: Path) -> None:
    """Its folder is known by the lock file, which nobody holds any more; so is an empty folder."""
    partial = tmp_path / "shop.db.partial"
    (partial / "sub").mkdir(parents=True)
    for name in (LOCK, "notes", "shop", "sub/run-0"):
        (partial / name).write_text("half")
    assert generate_shop(3, 0, tmp_path / "shop.db").products == 3
    partial.mkdir()
    assert generate_shop(3, 0, tmp_path / "shop.db", force=True).products == 3
    assert [path.name for path in tmp_path.iterdir()] == ["shop.db"]


def test_one_import_at_a_time(tmp_path: Path) -> None:
    """Whoever comes second is refused and takes nothing away; afterwards the folder is free again."""
    with PartialFolder(tmp_path / "shop.db") as first:
        (first.path / "shop").write_text("half")
        with pytest.raises(UsageError, match=r"another import is writing .*shop\.db"):
            generate_shop(3, 0, tmp_path / "shop.db")
        assert (first.path / "shop").read_text() == "half"
        assert generate_shop(3, 0, tmp_path / "other.db").products == 3
    assert not first.path.exists()
    assert generate_shop(3, 0, tmp_path / "shop.db").products == 3


@pytest.mark.skipif(os.name != "posix", reason="takes an open file away")
def test_an_import_that_ends_while_another_begins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A lock file that was taken away between opening and locking it locks nothing: another one is made."""
    stale: list[Path] = []
    lock = partial_folder._lock

    def late(file: Any) -> bool:
        if not stale:
            stale.append(Path(file.name))
            stale[0].unlink()
            stale[0].parent.rmdir()
        return lock(file)

    monkeypatch.setattr(partial_folder, "_lock", late)
    with PartialFolder(tmp_path / "shop.db") as folder:
        assert (folder.path / LOCK).exists()
        with pytest.raises(UsageError, match="another import"):
            PartialFolder(tmp_path / "shop.db").__enter__()
    assert stale
    assert list(tmp_path.iterdir()) == []


def test_a_shop_made_meanwhile_is_not_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without force, a shop that another import made between the first look and the lock stays."""
    out = tmp_path / "shop.db"
    enter = PartialFolder.__enter__

    def late(self: PartialFolder) -> PartialFolder:
        out.write_text("another one's")
        return enter(self)

    monkeypatch.setattr(PartialFolder, "__enter__", late)
    with pytest.raises(UsageError, match="--force"):
        generate_shop(3, 0, out)
    assert out.read_text() == "another one's"
    assert list(tmp_path.iterdir()) == [out]


def test_gzipped_files_and_progress(tmp_path: Path) -> None:
    """Gzipped files are read as they are; progress goes up to the whole in every phase."""
    for name, content in (("p.json.gz", [entry()]), ("a.json.gz", {"B1": ABOUT})):
        (tmp_path / name).write_bytes(gzip.compress(json.dumps(content).encode()))
    told: dict[str, tuple[int, int]] = {}

    def tell(phase: str, done: int, whole: int) -> None:
        assert done >= told.get(phase, (0, 0))[0]
        told[phase] = (done, whole)

    import_shop(tmp_path / "p.json.gz", tmp_path / "a.json.gz", out=tmp_path / "shop.db", progress=tell)
    assert set(told) == {"attributes", "products", "index"}
    assert all(done == whole for done, whole in told.values())
