"""Recorded products and indexed texts, compared with what the catalogue and the analysis tell of them."""

from __future__ import annotations

from typing import Any

from rlem.environments.checking import Found, Record, differences
from rlem.environments.webshop import pages
from rlem.environments.webshop.analysis import terms
from rlem.environments.webshop.check.shops import Shops
from rlem.environments.webshop.data import Goal, Product, limit_text, options_text
from rlem.environments.webshop.search import rounded_length

_EXACT = 24
"""Lengths below this are their own byte."""


class Products:
    """Replays the rows of products_loaded; what their goals wish for is looked up once."""

    def __init__(self, shops: Shops) -> None:
        self.shops = shops
        self._wishes: dict[str, Goal] | None = None

    def replay(self, row: Record) -> list[Found]:
        """A loaded product. Pictures, and what the original drops after loading, are not part of the shop."""
        ours = self.shops.catalogue(False).by_asin.get(row["asin"])
        if ours is None:
            return [("asin", None, row["asin"])]
        prices = _prices(ours.price_text)
        shown = [text for _, text in pages.item_page("", ours, lambda name, value: False)]
        below = pages.sub_page("", ours, "Reviews")
        bullets = row["small_description"]
        bullets = bullets if isinstance(bullets, list) else [bullets]
        return differences(
            [
                ("Title", ours.title, row["Title"]),
                ("name", ours.title, row["name"]),
                ("Description", ours.description, row["Description"]),
                ("full_description", ours.description, row["full_description"]),
                ("BulletPoints", list(ours.bullets), row["BulletPoints"]),
                ("small_description", list(ours.bullets), bullets),
                ("Price", ours.price_text, row["Price"]),
                ("pricing", prices, row["pricing"]),
                ("price within pricing", min(prices) <= ours.price <= max(prices), True),
                ("options", {name: list(values) for name, values in ours.options}, row["options"]),
                ("customization_options", dict(ours.options), _options(row["customization_options"])),
                ("Attributes", list(ours.attributes), row["Attributes"]),
                ("category", ours.category, row["category"]),
                ("query", ours.query, row["query"]),
                ("product_category", ours.product_category, row["product_category"]),
                *self._wish(ours, row),
                ("Rating", f"Rating: {row['Rating']}" in shown, True),
                ("Reviews", [text for sort, text in below if sort == "text"][1:], row["Reviews"]),
            ]
        )

    def _wish(self, ours: Product, row: Record) -> list[Found]:
        """The instruction that the product's goals begin with, and their attributes.

        A product without goals has no instruction, or one without attributes or with an option of no value.
        """
        if self._wishes is None:
            self._wishes = {goal.product.asin: goal for goal in self.shops.catalogue(False).goals}
        text, attributes = row["instruction_text"], row["instruction_attributes"]
        goal = self._wishes.get(ours.asin)
        if goal is None:
            makes_goals = text and attributes and all(values for _, values in ours.options)
            return [("instruction_text", None, text if makes_goals else None)]
        pairs: Any = goal.options
        end = f"{options_text(pairs)}{limit_text(goal.price_upper)}"
        return [
            ("instruction_text", goal.instruction.removesuffix(end), text),
            ("instruction_attributes", list(goal.attributes), attributes),
        ]


def _prices(text: str) -> list[float]:
    """The price or the two of a range, of their text on the page."""
    return [float(price.removeprefix("$")) for price in text.split(" to ")]


def _options(raw: Any) -> dict[str, tuple[str, ...]]:
    """Option names and values as the pages show them, of their form in the original's file."""
    return {
        name.lower(): tuple(choice["value"].strip().replace("/", " | ").lower() for choice in choices)
        for name, choices in (raw or {}).items()
        if choices is not None
    }


def document(shops: Shops, row: Record) -> list[Found]:
    """The terms of an indexed text, and its length as the index keeps it: one byte, and what that means."""
    ours = shops.catalogue(False).by_asin.get(row["asin"])
    if ours is None:
        return [("asin", None, row["asin"])]
    found = terms(ours.search_text)
    return differences(
        [
            ("tokens", " ".join(found), row["tokens"]),
            ("norm_byte", length_byte(len(found)), row["norm_byte"]),
            ("norm_decoded_length", rounded_length(len(found)), row["norm_decoded_length"]),
        ]
    )


def length_byte(length: int) -> int:
    """The byte that stands for a length: three bits after the first one, above them how far these are moved.

    >>> [length_byte(n) for n in (0, 23, 24, 34, 48, 152)]
    [0, 23, 24, 34, 44, 64]
    """
    rest = max(length - _EXACT, 0)
    shift = rest.bit_length() - 4
    if shift < 0:
        return length
    return _EXACT + ((shift + 1) << 3 | (rest >> shift) & 7)
