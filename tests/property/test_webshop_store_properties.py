"""An imported shop is the shop in memory: for any products, and for any documents and queries."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlem.environments.webshop.data import build_catalogue
from rlem.environments.webshop.search import SearchIndex
from rlem.environments.webshop.store import catalogue as store
from rlem.environments.webshop.store import postings
from rlem.environments.webshop.store.array_file import ArrayFile, ArrayWriter
from rlem.environments.webshop.store.catalogue import StoredCatalogue
from rlem.environments.webshop.store.importing import import_shop
from rlem.environments.webshop.store.postings import PostingsBuilder, StoredRanking

WORDS = st.sampled_from(
    ["red", "blue", "shoe", "shoes", "hat", "hats", "coat", "tea", "kettle's", "3.5", "★", "the"]
)
TEXT = st.lists(WORDS, max_size=50).map(" ".join)
IDS = st.text(alphabet="AB01é\U0001f600\uff21", min_size=1, max_size=3)
SHORT = st.text(alphabet="ab/ ,Z›\ud800", max_size=6)
NAMES = st.lists(st.sampled_from(["easy", "soft", "dark", "red"]), max_size=3)


def stored_ranking(folder: Path, documents: dict[str, str]) -> StoredRanking:
    """The documents, indexed on disk in their order."""
    ids = list(documents)
    builder = PostingsBuilder(folder)
    for text in documents.values():
        builder.add(text)
    ranks = np.empty(len(ids), dtype=np.int32)
    ranks[sorted(range(len(ids)), key=ids.__getitem__)] = np.arange(len(ids), dtype=np.int32)
    with ArrayWriter(folder / "index", folder / "part") as writer:
        writer.add_texts("asins", sorted(ids))
        builder.write(writer, ranks)
        writer.finish({})
    return StoredRanking(ArrayFile(folder / "index"))


@settings(max_examples=150)
@given(
    documents=st.dictionaries(IDS, TEXT, max_size=60),
    queries=st.lists(st.lists(WORDS, max_size=12).map(" ".join), min_size=1, max_size=6),
    limit=st.integers(1, 12),
    sizes=st.tuples(st.integers(1, 5), st.integers(1, 9), st.integers(1, 40)),
)
def test_ranking_is_that_of_the_index_in_memory(
    documents: dict[str, str],
    queries: list[str],
    limit: int,
    sizes: tuple[int, int, int],
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """Same ids in the same order, however the postings are cut into runs, pieces and rows; ties included."""
    index = SearchIndex(documents.items())
    with pytest.MonkeyPatch.context() as patch:
        for name, size in zip(("_ROWS", "_PIECE", "_RUN"), sizes, strict=True):
            patch.setattr(postings, name, size)
        ranking = stored_ranking(tmp_path_factory.mktemp("index"), documents)
        for query in queries:
            assert ranking.search(query, limit) == index.search(query, limit)
        for query in queries:  # nothing is left over from the searches before
            assert ranking.search(query) == index.search(query)


def test_ranking_of_many_documents(tmp_path: Path) -> None:
    """Among thousands of documents with many ties and very unequal lengths the order is the same."""
    rng = random.Random(1)
    vocabulary = [f"w{number}" for number in range(60)]
    weights = [1 / (1 + number) for number in range(60)]
    documents = {
        f"B{number:05}": " ".join(rng.choices(vocabulary, weights, k=rng.choice((3, 8, 30, 700))))
        for number in rng.sample(range(99_999), 3000)
    }
    index, ranking = SearchIndex(documents.items()), stored_ranking(tmp_path, documents)
    for _ in range(150):
        query = " ".join(rng.choices(vocabulary, weights, k=rng.randrange(1, 13)))
        for limit in (1, 10, 50):
            assert ranking.search(query, limit) == index.search(query, limit)


def options(draw: st.DrawFn) -> dict[str, Any] | str | None:
    """Options in the original's form: some None or empty, some with values given twice."""
    names = draw(st.lists(st.sampled_from(["Color", "Size", "color", "Fit"]), max_size=3))
    values = st.lists(st.fixed_dictionaries({"value": SHORT}), max_size=3) | st.none()
    return {name: draw(values) for name in names} or draw(st.sampled_from(["", None]))


@st.composite
def shops(draw: st.DrawFn) -> tuple[list[Any], dict[str, Any], dict[str, Any]]:
    """Products, attributes and human instructions in the original's form."""
    ids = draw(st.lists(IDS | st.just("nan") | st.just("B0123456789"), min_size=1, max_size=7))
    products = [
        {
            "asin": asin,
            "name": draw(SHORT),
            "full_description": draw(SHORT | st.none()),
            "small_description": draw(st.lists(SHORT, max_size=2) | SHORT | st.none()),
            "pricing": draw(
                st.sampled_from(["", None, "$5", "$1,000.5", "$5.5 - $300", "$975 - $990", "$9 - $7"])
            ),
            "customization_options": options(draw),
            "category": draw(SHORT),
            "query": draw(SHORT),
            "product_category": draw(SHORT),
        }
        for asin in ids
    ]
    about = {
        asin: {
            "attributes": draw(NAMES),
            "instruction": draw(SHORT | st.none()),
            "instruction_attributes": draw(NAMES | st.none()),
        }
        for asin in ids
        if draw(st.integers(0, 3))
    }
    wrote = st.fixed_dictionaries(
        {"instruction": SHORT, "instruction_attributes": NAMES, "instruction_options": NAMES}
    )
    human = {asin: draw(st.lists(wrote, max_size=3)) for asin in ids if draw(st.booleans())}
    return products, about, human


@settings(max_examples=80)
@given(shop=shops(), price_seed=st.integers(0, 2))
def test_import_equals_the_catalogue_in_memory(
    shop: tuple[list[Any], dict[str, Any], dict[str, Any]],
    price_seed: int,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """Products, goals (texts, limits, weights, order) and look-ups of both kinds of goals are the same."""
    folder = tmp_path_factory.mktemp("shop")
    files = [folder / name for name in ("products.json", "attributes.json", "human.json")]
    for file, content in zip(files, shop, strict=True):
        file.write_text(json.dumps(content))
    loaded = build_catalogue(*shop, goals="human", price_seed=price_seed)
    if not loaded.products:
        return
    report = import_shop(*files, out=folder / "shop.db")
    for kind in ("synthetic", "human"):
        loaded = build_catalogue(*shop, goals=kind, price_seed=price_seed)  # type: ignore[arg-type]
        stored = StoredCatalogue(report.path, kind, price_seed)  # type: ignore[arg-type]
        assert tuple(stored.products) == loaded.products
        assert tuple(stored.goals) == loaded.goals
        assert tuple(stored.weights) == loaded.weights
        for name in ("by_asin", "by_category", "by_query", "by_attribute"):
            assert dict(getattr(stored, name)) == dict(getattr(loaded, name))
    assert report.rejected == 0


@given(count=st.integers(0, 60))
def test_shuffled_is_the_original_order(count: int) -> None:
    """Shuffling numbers gives the order in which a shuffled list of goals has them."""
    goals = [f"goal {number}" for number in range(count)]
    random.Random(233).shuffle(goals)
    assert [f"goal {number}" for number in store.shuffled(count, random.Random())] == goals
