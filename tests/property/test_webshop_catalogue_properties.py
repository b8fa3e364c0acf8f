"""The generated shop for any seed and size."""

from __future__ import annotations

from itertools import islice

from hypothesis import given, settings
from hypothesis import strategies as st

from rlem.environments.webshop.catalogue import TITLE_WORDS, generate, iter_products

seeds = st.integers(min_value=0, max_value=2**63 - 1)


@settings(max_examples=30, deadline=None)
@given(seed=seeds, small=st.integers(1, 40), more=st.integers(0, 40))
def test_prefix_stability(seed: int, small: int, more: int) -> None:
    """A shop of n products is the beginning of every larger shop of that seed."""
    assert list(iter_products(seed, small)) == list(islice(iter_products(seed, small + more), small))


@settings(max_examples=30, deadline=None)
@given(seed=seeds, n_products=st.integers(1, 80))
def test_records_belong_together(seed: int, n_products: int) -> None:
    """Asins are unique, both structures name the same products, and every wish is found in its product."""
    products, attributes = generate(seed, n_products)
    assert len(products) == len(attributes) == n_products
    assert list(attributes) == [product["asin"] for product in products]
    for product in products:
        about = attributes[product["asin"]]
        text = " ".join([product["name"], product["full_description"], *product["small_description"]]).lower()
        assert about["instruction_attributes"]
        assert all(wish in about["attributes"] and wish in text for wish in about["instruction_attributes"])
        assert TITLE_WORDS[0] <= len(product["name"].split()) <= TITLE_WORDS[1]
        assert not set("{}[]") & set(f"{text} {about['instruction']}")


@settings(max_examples=20, deadline=None)
@given(seed=seeds)
def test_asins_stay_unique_in_large_shops(seed: int) -> None:
    """The numbering of products is one to one, checked far beyond the first thousand."""
    from rlem.environments.webshop import catalogue

    offset = catalogue.derive_seed(seed, "asin")
    indexes = [*range(2000), *range(999_000, 1_000_000)]
    assert len({catalogue._asin(index, offset) for index in indexes}) == len(indexes)
