"""What a purchase earns.

reward = r_type (attribute matches + option matches + [price <= limit]) / (#attributes + #options + 1)
Source: Yao et al. 2022 (WebShop), eq. 1; r_type as its code has it
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from rlem.core.errors import EnvironmentFaultError
from rlem.core.types import JSON
from rlem.environments.webshop.data import Goal, Product
from rlem.environments.webshop.matching import alike, normalize_color
from rlem.environments.webshop.nouns import rule_nouns

Nouns = Callable[[str], Sequence[str]]
"""Lower-case nouns of a product name, repeats kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """A purchase judged against a goal; ``total`` in [0, 1] is its reward."""

    attribute_matches: int
    attributes: int
    option_matches: int
    options: int
    price_fits: bool
    query_match: bool
    category_match: bool
    title_score: float
    faithful: bool = False

    @property
    def base(self) -> float:
        """Share of the wishes that are met, before the product's type is judged."""
        met = self.attribute_matches + self.option_matches + self.price_fits
        return met / (self.attributes + self.options + 1)

    @property
    def type_factor(self) -> float:
        """How far it is the right sort of product: 0, 0.1, 0.5 or 1.

        What was found by the wished query is of the right sort. The original (``faithful``) takes that
        back where the titles have little in common.
        """
        if self.query_match and not self.faithful:
            return 1.0
        if self.title_score == 0:
            return 0.0
        if self.title_score < 0.1:
            return 0.1
        return 1.0 if self.query_match or self.category_match or self.title_score > 0.2 else 0.5

    @property
    def total(self) -> float:
        """The reward."""
        return self.base * self.type_factor

    def as_info(self) -> dict[str, JSON]:
        """The verdict for reports, under the original's names."""
        size = self.attributes + self.options + 1
        info: dict[str, JSON] = {
            "r_type": self.type_factor,
            "r_att": self.attribute_matches / max(self.attributes, 1),
            "w_att": self.attributes / size,
            "query_match": self.query_match,
            "category_match": self.category_match,
            "title_score": self.title_score,
            "r_price": self.price_fits,
            "w_price": 1 / size,
        }
        if self.options:
            info["r_option"] = self.option_matches / self.options
            info["w_option"] = self.options / size
        return info


def judge(
    product: Product,
    chosen: Mapping[str, str],
    goal: Goal,
    *,
    nouns: Nouns = rule_nouns,
    faithful: bool = False,
) -> Verdict:
    """Judges buying ``product`` with the ``chosen`` options for ``goal``.

    A limit of zero or less fits no price; a goal without
    attributes is judged by the rest. ``faithful``: as the original judges, which scores titles otherwise.
    Errors: EnvironmentFaultError with ``faithful`` where the original fails: on such limits and goals.
    """
    wanted = goal.product
    if faithful and goal.price_upper <= 0:
        raise EnvironmentFaultError("TypeError: the original fails on a price limit of zero or less")
    if faithful and not goal.attributes:
        raise EnvironmentFaultError("ZeroDivisionError: the original fails on a goal without attributes")
    return Verdict(
        attribute_matches=_attribute_matches(product, goal.attributes),
        attributes=len(goal.attributes),
        option_matches=_option_matches(chosen.values(), goal),
        options=len(goal.options),
        price_fits=product.price <= goal.price_upper,
        query_match=product.query == wanted.query,
        category_match=len(_parts(product) & _parts(wanted)) >= 2,
        title_score=_title_score(nouns(product.title), nouns(wanted.title), faithful),
        faithful=faithful,
    )


def _attribute_matches(product: Product, wanted: Sequence[str]) -> int:
    """Attributes that the product has, or that stand in one of its texts."""
    texts = (product.title.lower(), " ".join(product.bullets).lower(), product.description.lower())
    return sum(
        any(alike(own, attribute) for own in product.attributes) or any(attribute in text for text in texts)
        for attribute in wanted
    )


def _option_matches(chosen: Iterable[str], goal: Goal) -> int:
    """Wanted options that one of the chosen values is like: that value first, for likeness has a side."""
    values = [normalize_color(value) for value in chosen]
    return sum(any(alike(value, normalize_color(option)) for value in values) for option in goal.options)


def _parts(product: Product) -> set[str]:
    return {part.strip() for part in product.product_category.split("›")}


def _title_score(product_nouns: Sequence[str], goal_nouns: Sequence[str], faithful: bool) -> float:
    """Share of the goal's nouns that the product's name has.

    The original counts the goal's repeats, so that a product may score below 1 against itself.
    """
    if not goal_nouns:
        return 0.2
    wanted = set(goal_nouns)
    return len(wanted.intersection(product_nouns)) / len(goal_nouns if faithful else wanted)
