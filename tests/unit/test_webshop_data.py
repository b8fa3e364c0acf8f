"""Loading the original's files: what is read, what is drawn, and what is said when a file is broken."""

from __future__ import annotations

import gzip
import json
import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from rlem.core.errors import DataError, UsageError
from rlem.environments.webshop.data import NO_LIMIT, GoalDraws, build_catalogue
from rlem.environments.webshop.files import load_catalogue, load_official_order


def entry(asin: str = "B000000001", **changes: Any) -> dict[str, Any]:
    """A product in the original's form."""
    return {
        "asin": asin,
        "name": "Red Kettle",
        "full_description": "A kettle.",
        "small_description": ["holds water", "is red"],
        "pricing": "$12.5",
        "customization_options": {"Color": [{"value": " Red "}, {"value": "Blue/Green"}]},
        "images": ["kettle.jpg"],
        "category": "garden",
        "query": " Kettles ",
        "product_category": "Home › Kitchen › Kettles",
        "average_rating": "",
        **changes,
    }


def about(*asins: str) -> dict[str, Any]:
    """Attributes and instruction of products in the original's form."""
    one = {
        "attributes": ["easy clean", "fast heat"],
        "instruction": "Find me easy clean kettles",
        "instruction_attributes": ["easy clean"],
    }
    return dict.fromkeys(asins, one)


def write(folder: Path, products: object, attributes: object) -> Path:
    """A folder with the two files."""
    (folder / "products.json").write_text(json.dumps(products), encoding="utf-8")
    (folder / "items_ins_v2.json").write_text(json.dumps(attributes), encoding="utf-8")
    return folder


def test_product_texts_options_and_price() -> None:
    """A product's texts are taken over, its query and options made lower case, a slash spaced."""
    product = build_catalogue([entry()], about("B000000001")).products[0]
    assert (product.title, product.description, product.query) == ("Red Kettle", "A kettle.", "kettles")
    assert product.options == (("color", ("red", "blue | green")),)
    assert (product.price, product.price_text) == (12.5, "$12.5")
    assert product.search_text == "red kettle a kettle. holds water color: red, blue | green"


@pytest.mark.parametrize(
    ("pricing", "text", "low", "high"),
    [
        ("", "$100.0", 100.0, 100.0),
        (None, "$100.0", 100.0, 100.0),
        ("$1,234.50", "$1234.5", 1234.5, 1234.5),
        ("$5.00 - $9.00 - $11.00", "$5.0 to $9.0", 5.0, 9.0),
    ],
)
def test_pricing(pricing: str | None, text: str, low: float, high: float) -> None:
    """Prices are read after each dollar sign, two at most; none means 100 dollars; a range is drawn from."""
    product = build_catalogue([entry(pricing=pricing)], {}).products[0]
    assert product.price_text == text
    assert low <= product.price <= high


def test_skipped_products() -> None:
    """Ids 'nan', longer than ten characters, and repeated ones are skipped."""
    entries = [entry("nan"), entry("B0000000012"), entry("B000000001"), entry("B000000001", name="again")]
    products = build_catalogue(entries, {}).products
    assert [product.title for product in products] == ["Red Kettle"]


def test_synthetic_goals_cover_all_combinations() -> None:
    """One goal for each combination of option values; the weight shares each attribute among its goals."""
    two = {"Size": [{"value": "S"}, {"value": "L"}], "Color": [{"value": "red"}], "none": None}
    catalogue = build_catalogue(
        [entry(customization_options=two), entry("B2", customization_options="")], about("B000000001", "B2")
    )
    texts = sorted(goal.instruction.split(", and price")[0] for goal in catalogue.goals)
    assert texts == [
        "Find me easy clean kettles",
        "Find me easy clean kettles with color: red, and size: l",
        "Find me easy clean kettles with color: red, and size: s",
    ]
    assert [goal.weight for goal in catalogue.goals] == [1 / 3] * 3


def test_products_without_instruction_have_no_goal() -> None:
    """A product that the attributes file lacks is sold, but nobody asks for it."""
    catalogue = build_catalogue([entry(), entry("B2")], about("B2"))
    assert {goal.product.asin for goal in catalogue.goals} == {"B2"}
    assert catalogue.by_asin["B000000001"].attributes == ("DUMMY_ATTR",)


def test_price_limits() -> None:
    """A limit is one of the tens above the price and stands in the text; dear products have none."""
    goal = build_catalogue([entry(pricing="$12.5")], about("B000000001")).goals[0]
    assert goal.price_upper in (30.0, 40.0, 50.0)
    assert goal.instruction.endswith(f", and price lower than {goal.price_upper:.2f} dollars")
    dear = build_catalogue([entry(pricing="$981")], about("B000000001")).goals[0]
    assert dear.price_upper == NO_LIMIT
    assert "price" not in dear.instruction


def test_price_seed_changes_prices_and_not_the_order() -> None:
    """The price seed draws prices and limits; the goals' order and the global generator stay as they are."""
    entries = [entry(f"B{i}", pricing="$10.00 - $500.00") for i in range(20)]
    random.seed(5)
    before = random.getstate()
    first, second = (
        build_catalogue(entries, about(*(f"B{i}" for i in range(20))), price_seed=s) for s in (0, 1)
    )
    assert random.getstate() == before
    assert [goal.product.asin for goal in first.goals] == [goal.product.asin for goal in second.goals]
    assert [product.price for product in first.products] != [product.price for product in second.products]


def test_human_goals() -> None:
    """Human goals drop the final stop, keep options as values, and skip entries without attributes."""
    human = {
        "B000000001": [
            {
                "instruction": "a red kettle.",
                "instruction_attributes": ["easy"],
                "instruction_options": ["red"],
            },
            {"instruction": "no wishes", "instruction_attributes": [], "instruction_options": []},
        ]
    }
    catalogue = build_catalogue([entry()], about("B000000001"), human, goals="human")
    assert len(catalogue.goals) == 1
    assert catalogue.goals[0].instruction.startswith("a red kettle, and price lower than ")
    assert catalogue.goals[0].options == ("red",)


def test_human_goals_need_instructions() -> None:
    """Asking for human goals without their file, or for unknown goals, is a UsageError."""
    with pytest.raises(UsageError, match="items_human_ins"):
        build_catalogue([entry()], {}, goals="human")
    with pytest.raises(UsageError, match="'synthetic', 'human'"):
        build_catalogue([entry()], {}, goals="robot")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("broken", "says"),
    [
        ({"name": 7}, "'name' is 7; expected a text"),
        ({"pricing": "cheap"}, "'pricing' is 'cheap'"),
        ({"pricing": "$1.2.3"}, "'pricing' is"),
        ({"customization_options": {"size": [{"image": "x"}]}}, "customization_options"),
        ({"customization_options": ["size"]}, "customization_options"),
    ],
)
def test_broken_products(broken: dict[str, Any], says: str) -> None:
    """A broken product is named by its position, with what was expected."""
    with pytest.raises(DataError, match="product 1") as caught:
        build_catalogue([entry(), entry("B2", **broken)], {})
    assert says in str(caught.value)


@pytest.mark.parametrize("name", ["asin", "name", "query", "product_category"])
def test_missing_keys(name: str) -> None:
    """A missing key is named."""
    damaged = {key: value for key, value in entry().items() if key != name}
    with pytest.raises(DataError, match=f"product 0 has no '{name}'"):
        build_catalogue([damaged], {})


def test_broken_human_instructions() -> None:
    """A human instruction without its parts is named by product and number."""
    with pytest.raises(DataError, match="human instruction 0 of 'B000000001'"):
        build_catalogue([entry()], {}, {"B000000001": [{"instruction": "x"}]}, goals="human")


def test_files_plain_and_compressed(tmp_path: Path) -> None:
    """Files are found plain or compressed, under the original's names; the full file before a subset."""
    (tmp_path / "items_shuffle.json.gz").write_bytes(gzip.compress(json.dumps([entry()]).encode()))
    (tmp_path / "items_shuffle_1000.json").write_text("broken")
    (tmp_path / "items_ins_v2_1000.json").write_text(json.dumps(about("B000000001")))
    assert len(load_catalogue(tmp_path).goals) == 2


def test_missing_files_are_named(tmp_path: Path) -> None:
    """A missing folder or file is a DataError that says what was expected."""
    with pytest.raises(DataError, match="does not exist"):
        load_catalogue(tmp_path / "nowhere")
    with pytest.raises(DataError, match="items_shuffle"):
        load_catalogue(tmp_path)
    (tmp_path / "products.json").write_text("[]")
    with pytest.raises(DataError, match="items_ins_v2"):
        load_catalogue(tmp_path)
    (tmp_path / "items_ins_v2.json").write_text("{}")
    with pytest.raises(DataError, match="items_human_ins"):
        load_catalogue(tmp_path, goals="human")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b'[{"asin": }]', "line 1, column 11"),
        (b"\xff\xfe", "not UTF-8 at byte 0"),
        (b'{"a": 1}', "holds a dict; expected a list of products"),
        (b'["kettle"]', "product 0 is a str; expected an object"),
    ],
)
def test_broken_files(tmp_path: Path, content: bytes, says: str) -> None:
    """A broken file is named with the place and what was expected."""
    write(tmp_path, [], {})
    (tmp_path / "products.json").write_bytes(content)
    with pytest.raises(DataError) as caught:
        load_catalogue(tmp_path)
    assert says in str(caught.value)
    assert str(tmp_path) in str(caught.value)


def test_torn_compressed_file(tmp_path: Path) -> None:
    """A compressed file that was cut off is a DataError."""
    write(tmp_path, [], {})
    (tmp_path / "products.json").unlink()
    (tmp_path / "products.json.gz").write_bytes(gzip.compress(json.dumps([entry()]).encode())[:-9])
    with pytest.raises(DataError, match=r"products\.json\.gz"):
        load_catalogue(tmp_path)


def test_official_order(tmp_path: Path) -> None:
    """The official order is read where it is there; a broken line is a DataError."""
    assert load_official_order(tmp_path) is None
    (tmp_path / "pub-to-mine.list").write_text("3\n1\n\n2\n")
    assert load_official_order(tmp_path) == (3, 1, 2)
    (tmp_path / "pub-to-mine.list").write_text("three\n")
    with pytest.raises(DataError, match="line 1 ends in 'three'"):
        load_official_order(tmp_path)


def test_draws_by_weight() -> None:
    """Goals come as often as their weights say; in the original each comes as often as the one before it
    should, and the first never (behaviour 9)."""
    weights = (1.0, 2.0, 3.0, 4.0)
    for faithful, expected in ((False, (0.1, 0.2, 0.3, 0.4)), (True, (0.0, 0.1, 0.2, 0.7))):
        draws, rng = GoalDraws(weights, faithful=faithful), random.Random(3)
        counts = Counter(draws.one(rng) for _ in range(20_000))
        assert [counts[number] / 20_000 for number in range(4)] == pytest.approx(expected, abs=0.015)
        most = 4 - faithful
        assert sorted(draws.different(most, rng)) == list(range(faithful, 4))
        with pytest.raises(UsageError, match=f"at most {most}"):
            draws.different(most + 1, rng)
    with pytest.raises(UsageError, match="no goal"):
        GoalDraws(())


def test_goals_without_weight_do_not_come() -> None:
    """A goal of weight zero is never drawn, and not counted among those that can come."""
    draws = GoalDraws((0.0, 1.0, 0.0, 1.0))
    assert sorted(draws.different(2, random.Random(0))) == [1, 3]
    with pytest.raises(UsageError, match="at most 2"):
        draws.different(3, random.Random(0))
    found = GoalDraws((0.0, 1.0, 0.0, 1.0), faithful=True).different(2, random.Random(0))
    assert sorted(found) == [2, 3]
    assert GoalDraws((0.5,), faithful=True).different(1, random.Random(0)) == [0]


def test_a_generator_in_place_of_the_price_seed() -> None:
    """Prices are drawn from its state, and it is left as the original leaves the global one: seeded with
    233 and after the shuffle (behaviour 8)."""
    entries = [entry(f"B{number}", pricing="$5.0 - $9.0") for number in range(20)]
    asked = about(*(item["asin"] for item in entries))
    rng = random.Random(7)
    first = build_catalogue(entries, asked, price_seed=rng)
    assert first == build_catalogue(entries, asked, price_seed=7)
    after = random.Random(233)
    after.shuffle(list(range(len(first.goals))))
    assert rng.getstate() == after.getstate()
    assert first.goals != build_catalogue(entries, asked, price_seed=8).goals
