"""The generated shop: schema, determinism, winnable goals, and the difficulty that agents are measured on."""

from __future__ import annotations

import gzip
import hashlib
import json
import math
import os
import random
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from rlem.core.errors import UsageError
from rlem.environments.webshop.catalogue import (
    MAX_COMBINATIONS,
    TITLE_WORDS,
    generate,
    iter_products,
)
from rlem.environments.webshop.catalogue_words import load_words
from rlem.environments.webshop.data import build_catalogue
from rlem.environments.webshop.matching import alike, normalize_color
from rlem.environments.webshop.reward import judge
from rlem.environments.webshop.search import SearchIndex

Record = dict[str, Any]
ROOT = Path(__file__).resolve().parents[2]
PINNED = "c19050ac0bb64ec6"
BUTTONS = {"search", "back to search", "< prev", "next >", "description", "features", "reviews", "buy now"}


@pytest.fixture(scope="module")
def shop() -> tuple[list[Record], dict[str, Record]]:
    """The default shop of 1000 products."""
    return generate()


def digest(records: object) -> str:
    """Short hash of the JSON text."""
    text = json.dumps(records, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def option_values(product: Record) -> Iterator[tuple[str, str]]:
    """All (name, value) pairs of a product."""
    for name, contents in (product["customization_options"] or {}).items():
        for content in contents:
            yield name, content["value"]


def texts(product: Record, about: Record) -> list[str]:
    """Every text that a reader or a shopper sees."""
    return [
        product["name"],
        product["full_description"],
        *product["small_description"],
        *(text for pair in option_values(product) for text in pair),
        about["instruction"],
    ]


def test_first_products_are_pinned() -> None:
    """Products 0 to 9 of seed 0 never change silently: recorded runs name them by asin."""
    assert digest(generate(0, 10)) == PINNED


def test_another_process_with_another_hash_seed_makes_the_same_shop() -> None:
    """Nothing depends on the order of sets or on the process."""
    code = (
        "import hashlib, json; from rlem.environments.webshop.catalogue import generate;"
        "print(hashlib.sha256(json.dumps(generate(3, 40), ensure_ascii=False).encode()).hexdigest()[:16])"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "4711", "PYTHONPATH": str(ROOT / "src")}
    answer = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert answer.stdout.strip() == digest(generate(3, 40))


def test_a_larger_shop_begins_with_the_smaller_one() -> None:
    """Product i is the same whatever the number of products."""
    large = list(iter_products(5, 300))
    assert list(iter_products(5, 60)) == large[:60]


def test_seeds_make_different_shops() -> None:
    """Two seeds share no title and no asin."""
    one, other = generate(0, 200)[0], generate(1, 200)[0]
    assert not {product["name"] for product in one} & {product["name"] for product in other}
    assert not {product["asin"] for product in one} & {product["asin"] for product in other}


def test_streaming_does_not_wait_for_the_end() -> None:
    """The first product of a shop of a million comes at once, and equals that of a small shop."""
    assert next(iter_products(0, 1_000_000)) == next(iter_products(0, 10))


@pytest.mark.parametrize("n_products", [0, -3])
def test_an_empty_shop_is_refused_at_once(n_products: int) -> None:
    """The message names the number; the error comes with the call, not with the first product."""
    with pytest.raises(UsageError, match=str(n_products)):
        iter_products(0, n_products)


def test_generation_leaves_the_global_generator_alone() -> None:
    """Randomness is the product's own."""
    random.seed(1)
    before = random.getstate()
    generate(0, 20)
    assert random.getstate() == before


def test_schema(shop: tuple[list[Record], dict[str, Record]]) -> None:
    """Every record has the original's keys with the original's types."""
    products, attributes = shop
    for product in products:
        assert re.fullmatch(r"B0\d[0-9A-Z]{7}", product["asin"])
        assert re.fullmatch(r"(\$\d+\.\d\d( - \$\d+\.\d\d)?)?", product["pricing"])
        assert isinstance(product["full_description"], str)
        assert product["small_description"]
        assert all(isinstance(bullet, str) and bullet for bullet in product["small_description"])
        assert product["customization_options"] == "" or isinstance(product["customization_options"], dict)
        assert product["images"]
        assert len(product["product_category"].split(" › ")) == 3
        assert product["query"] == product["query"].strip().lower()
        assert isinstance(product["page"], int)
        assert product["average_rating"] == "" or 1 <= product["average_rating"] <= 5
    assert attributes.keys() == {product["asin"] for product in products}
    assert len(attributes) == len(products) == 1000
    assert json.loads(json.dumps(shop)) == [products, attributes]


def test_titles_have_the_stated_length(shop: tuple[list[Record], dict[str, Record]]) -> None:
    """8 to 25 words, and no title twice."""
    titles = [product["name"] for product in shop[0]]
    lengths = {len(title.split()) for title in titles}
    assert TITLE_WORDS[0] <= min(lengths)
    assert max(lengths) <= TITLE_WORDS[1]
    assert len(set(titles)) == len(titles)


def test_no_template_shows_through(shop: tuple[list[Record], dict[str, Record]]) -> None:
    """No brace, double blank, blank at an end or blank before a comma or full stop in any text."""
    products, attributes = shop
    for product in products:
        for text in texts(product, attributes[product["asin"]]):
            assert not re.search(r"[{}\[\]]|  | [.,]|^ | $", text), text


def test_instruction_attributes_stand_in_the_product(shop: tuple[list[Record], dict[str, Record]]) -> None:
    """They are a part of the attributes and occur literally in title, bullets or description."""
    products, attributes = shop
    for product in products:
        about = attributes[product["asin"]]
        wanted = about["instruction_attributes"]
        seen = " \n ".join(texts(product, {"instruction": ""})).lower()
        assert 1 <= len(wanted) <= 3
        assert set(wanted) <= set(about["attributes"])
        assert all(attribute in seen for attribute in wanted)
        assert all(attribute in about["instruction"] for attribute in wanted)


def test_instructions_hide_the_brand_and_the_title(shop: tuple[list[Record], dict[str, Record]]) -> None:
    """A shopper knows what a thing is, not what it is called by its maker."""
    products, attributes = shop
    first, middle, last = ("|".join(part) for part in load_words().brand_parts)
    brand = re.compile(rf"\b(?:{first})(?:{middle})(?:{last})\b", re.IGNORECASE)
    for product in products:
        instruction = attributes[product["asin"]]["instruction"]
        assert brand.search(product["name"])
        assert not brand.search(instruction)
        assert product["name"].lower() not in instruction


def test_options_are_playable(shop: tuple[list[Record], dict[str, Record]]) -> None:
    """2 to 7 values a group, no value twice in a product, none named like a button, few combinations."""
    for product in shop[0]:
        groups = product["customization_options"] or {}
        values = [value.lower() for _, value in option_values(product)]
        assert len(set(values)) == len(values)
        assert not BUTTONS & set(values)
        assert all(2 <= len(contents) <= 7 for contents in groups.values())
        assert math.prod(len(contents) for contents in groups.values()) <= MAX_COMBINATIONS


def test_the_shop_has_what_makes_the_real_one_hard(shop: tuple[list[Record], dict[str, Record]]) -> None:
    """Options on about 80 %, awkward values, missing texts and prices, traits only in bullets, many kinds."""
    products, attributes = shop
    share = sum(bool(product["customization_options"]) for product in products) / len(products)
    assert 0.75 < share < 0.87
    values = {value for product in products for _, value in option_values(product)}
    for mark in ("/", '"', "(", "é"):
        assert any(mark in value for value in values), mark
    assert 50 < sum(product["full_description"] == "" for product in products) < 300
    assert 10 < sum(product["pricing"] == "" for product in products) < 100
    assert 40 < sum(" - " in product["pricing"] for product in products) < 160
    only_bullets = sum(
        attribute not in f"{product['name']} {product['full_description']}".lower()
        for product in products
        for attribute in attributes[product["asin"]]["instruction_attributes"]
    )
    assert only_bullets > 300
    kinds = Counter(product["query"] for product in products)
    assert len(kinds) >= 60
    assert max(kinds.values()) < 120
    assert len({product["category"] for product in products}) >= 10


def test_every_option_value_wins_its_own_goal() -> None:
    """No value holds a colour name inside a word ("with stand"), which the reward would cut down to it."""
    for kind in load_words().kinds:
        for name, values in kind.options:
            for value in values:
                shown = value.replace("/", " | ")
                assert alike((name.lower(), shown), normalize_color(shown)), (kind.query, name, value)


def test_vocabulary_is_consistent() -> None:
    """Queries are unique, prices stay under the last price limit, no value is in two groups of a kind."""
    kinds = load_words().kinds
    assert len({kind.query for kind in kinds}) == len(kinds)
    for kind in kinds:
        values = [value for _, group in kind.options for value in group]
        assert len(set(values)) == len(values), kind.query
        assert all(value == value.lower().strip() for value in values), kind.query
        assert 0 < kind.price[0] < kind.price[1] < 600
        assert len(kind.features) >= 6
        assert all(trait.phrase == trait.phrase.lower() and trait.lines for trait in kind.features)


def test_goals_are_winnable_and_neither_trivial_nor_hopeless() -> None:
    """The goal product with its options earns 1; without them part; search finds it as often as stated."""
    catalogue = build_catalogue(*generate())
    index = SearchIndex((product.asin, product.search_text) for product in catalogue.products)
    assert 8_000 <= len(catalogue.goals) <= 12_000
    goals = random.Random(0).sample(catalogue.goals, 250)
    ranks = []
    for goal in goals:
        options = dict(goal.options)  # type: ignore[arg-type]
        assert judge(goal.product, options, goal).total == 1.0
        if options:
            assert 0 < judge(goal.product, {}, goal).total < 1
        found = index.search(goal.instruction)
        ranks.append(found.index(goal.product.asin) if goal.product.asin in found else len(found))
    assert 0.6 < sum(rank < 3 for rank in ranks) / len(ranks) < 0.85
    assert 0.85 < sum(rank < 10 for rank in ranks) / len(ranks) < 0.98


def test_no_title_is_a_real_one(
    shop: tuple[list[Record], dict[str, Record]], golden: Callable[[str], Path]
) -> None:
    """Nothing was copied: no title, description, bullet or asin of the original's data."""
    with gzip.open(golden("webshop/products.json.gz"), "rt", encoding="utf-8") as file:
        real = json.load(file)
    for key in ("asin", "name", "full_description"):
        theirs = {str(product[key]).strip().lower() for product in real} - {""}
        assert not theirs & {product[key].strip().lower() for product in shop[0]}
    theirs_joined = " \n ".join(str(product["small_description"]) for product in real).lower()
    ours = {bullet.lower() for product in shop[0] for bullet in product["small_description"]}
    assert not [bullet for bullet in ours if bullet in theirs_joined]
