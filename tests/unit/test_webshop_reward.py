"""The reward on small cases worked by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rlem.core.errors import EnvironmentFaultError
from rlem.environments.webshop.data import Goal, Product
from rlem.environments.webshop.matching import alike, normalize_color, token_set_ratio
from rlem.environments.webshop.nouns import rule_nouns
from rlem.environments.webshop.reward import judge

KETTLE = Product(
    asin="B1",
    title="Red Kettle",
    description="Heats fast.",
    bullets=("Easy clean lid",),
    price_text="$20.0",
    price=20.0,
    options=(("color", ("red", "blue")),),
    attributes=("water tight",),
    category="garden",
    query="kettles",
    product_category="Home › Kitchen › Kettles",
)
GOAL = Goal(
    product=KETTLE,
    instruction="a red kettle",
    attributes=("water tight", "easy clean"),
    options=(("color", "red"),),
    price_upper=30.0,
)


def test_full_reward() -> None:
    """The right product with the right option at the right price earns 1."""
    verdict = judge(KETTLE, {"color": "red"}, GOAL)
    assert verdict.total == 1.0
    assert verdict.as_info()["r_att"] == 1.0


@pytest.mark.parametrize(
    ("chosen", "price", "total"),
    [
        ({}, 20.0, 3 / 4),
        ({"color": "blue"}, 20.0, 3 / 4),
        ({"x": "red"}, 30.0, 1.0),
        ({"color": "red"}, 30.01, 3 / 4),
    ],
)
def test_parts(chosen: dict[str, str], price: float, total: float) -> None:
    """Each wish counts the same; the name of a chosen option does not; the limit itself is allowed."""
    assert judge(replace(KETTLE, price=price), chosen, GOAL).total == pytest.approx(total)


@pytest.mark.parametrize(
    ("changes", "factor", "original"),
    [
        ({}, 1.0, 1.0),
        ({"query": "pots"}, 1.0, 1.0),
        ({"query": "pots", "product_category": "Toys", "title": "Kettle"}, 1.0, 1.0),
        ({"query": "pots", "product_category": "Toys", "title": "Blue Pan"}, 0.0, 0.0),
        ({"title": "Blue Pan"}, 1.0, 0.0),
        ({"query": "pots", "title": "Blue Pan"}, 0.0, 0.0),
    ],
)
def test_type_factor(changes: dict[str, str], factor: float, original: float) -> None:
    """The type counts as right by query, categories or title; where the titles have no noun in common, the
    original gives nothing even for the wished query (behaviour 27)."""
    product = replace(KETTLE, **changes)  # type: ignore[arg-type]
    assert judge(product, {}, GOAL).type_factor == factor
    assert judge(product, {}, GOAL, faithful=True).type_factor == original


def test_a_product_is_like_itself() -> None:
    """The original counts repeated nouns of the goal, so that its own product scores below 1
    (behaviour 27)."""
    product = replace(KETTLE, title="Kettle Red Kettle")
    goal = replace(GOAL, product=product)
    assert judge(product, {}, goal).title_score == 1.0
    assert judge(product, {}, goal, faithful=True).title_score == pytest.approx(2 / 3)


@pytest.mark.parametrize(("hits", "factor"), [(0, 0.0), (1, 0.1), (2, 0.5), (5, 1.0)])
def test_type_factor_by_title_score(hits: int, factor: float) -> None:
    """By the title alone: none 0, below a tenth 0.1, up to a fifth 0.5, above it 1."""
    other = replace(KETTLE, query="pots", product_category="Toys", title="other")
    names = {"other": [f"n{i}" for i in range(hits)], "Red Kettle": [f"n{i}" for i in range(20)]}
    assert judge(other, {}, GOAL, nouns=lambda title: names[title]).type_factor == pytest.approx(factor)


def test_what_crashed_the_original_is_answered() -> None:
    """A goal without attributes is judged by the rest; a limit of zero fits no price."""
    assert judge(KETTLE, {"color": "red"}, replace(GOAL, attributes=())).total == 1.0
    assert judge(KETTLE, {"color": "red"}, replace(GOAL, price_upper=0)).total == 3 / 4
    bare = judge(KETTLE, {}, replace(GOAL, attributes=(), options=()))
    assert bare.total == 1.0
    with pytest.raises(EnvironmentFaultError, match=r"^ZeroDivisionError: "):
        judge(KETTLE, {}, replace(GOAL, attributes=()), faithful=True)
    with pytest.raises(EnvironmentFaultError, match=r"^TypeError: "):
        judge(KETTLE, {}, replace(GOAL, price_upper=0), faithful=True)
    assert "r_option" not in bare.as_info()


def test_likeness_has_a_side() -> None:
    """The chosen value is compared with the wish, in this order: the likeness of difflib is not symmetric."""
    for chosen, wish, matches in (
        ("8x40 uhd binoculars", "10x50 uhd binoculars", 1),
        ("10x50 uhd binoculars", "8x40 uhd binoculars", 0),
    ):
        assert judge(KETTLE, {"size": chosen}, replace(GOAL, options=(wish,))).option_matches == matches


def test_colours_and_pairs() -> None:
    """Values are reduced to the first colour in them; pairs are compared with their name."""
    assert normalize_color("light blue 2") == "blue"
    assert normalize_color(("color", "light blue 2")) == ("color", "light blue 2")
    assert alike(("color", "dark green"), "dark")
    assert not alike(("size", "7"), "17")


@pytest.mark.parametrize(
    ("first", "second", "score"), [("", "x", 0), ("a b", "b a", 100), ("ab", "cd", 0), ("★", "a", 0)]
)
def test_token_set_ratio(first: str, second: str, score: int) -> None:
    """Word order and signs do not count; texts without words score 0."""
    assert token_set_ratio(first, second) == score


def test_nouns() -> None:
    """Closed-class words, numbers, signs, single letters and addresses are no nouns; repeats are kept."""
    assert rule_nouns("The 3 Pack of 16ft Cables, for USB-C & more: Cables! www.shop.com x") == (
        "pack",
        "ft",
        "cables",
        "usb",
        "cables",
    )
