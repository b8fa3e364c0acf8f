"""Recorded searches, purchases, texts, goals and products, compared row by row with the engine's parts."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Any, cast

from rlem.core.errors import DataError, EnvironmentFaultError
from rlem.environments.webshop import pages
from rlem.environments.webshop.analysis import terms
from rlem.environments.webshop.check.rows import Found, Record, differences
from rlem.environments.webshop.check.shops import Shops
from rlem.environments.webshop.data import Goal, Product
from rlem.environments.webshop.matching import THRESHOLD, OptionText, alike, normalize_color, token_set_ratio
from rlem.environments.webshop.nouns import is_noun, rule_nouns, tokens
from rlem.environments.webshop.original import goal_as_dict
from rlem.environments.webshop.reward import Verdict, judge
from rlem.environments.webshop.search import SearchIndex, rounded_length

_SCORE_DIGITS = 1e-4
"""Recorded scores are rounded to four digits, and equal ones lowered by a millionth a rank."""
_MOST_NOUNS = 60
_CHANGES = {
    "Attributes": "attributes",
    "BulletPoints": "bullets",
    "Title": "title",
    "Description": "description",
    "query": "query",
    "product_category": "product_category",
}
"""Fields that a row may override, and our names for those of the product."""
_ELSEWHERE = {"name", "attributes", "goal_options", "price_upper"}


def search(shops: Shops, row: Record) -> list[Found]:
    """A search, or its exception: words, terms, products, and scores where the ranking tells them."""
    shop = shops.shop(False)
    lowered = row["query"].lower()
    keywords = lowered.split(" ")
    try:
        found = list(shop.find(keywords, random.Random(0)))
    except EnvironmentFaultError as error:
        return _raised(error, row)
    if "exception" in row:
        return [("exception", None, row["exception"])]
    pairs: list[Found] = [("asins", found, row["asins"])]
    if "keywords" in row:
        pairs += [
            ("lowered", lowered, row["lowered"]),
            ("keywords", keywords, row["keywords"]),
            ("tokens", terms(lowered), row["tokens"]),
        ]
    if row.get("scores") and isinstance(shop.ranking, SearchIndex):
        scores = shop.ranking.scores(lowered)
        of = dict(zip(shop.ranking.ids, scores.tolist(), strict=True))
        ours = [of.get(asin, 0.0) for asin in row["asins"]]
        close = [math.isclose(a, b, abs_tol=_SCORE_DIGITS) for a, b in zip(ours, row["scores"], strict=True)]
        pairs.append(("scores", row["scores"] if all(close) else ours, row["scores"]))
    return differences(pairs)


def reward(shops: Shops, row: Record) -> list[Found]:
    """A purchase: the reward and all its parts, or the exception that it raised."""
    product, goal, nouns = _purchase(shops, row)
    try:
        if row["price"] is None:  # no product of a shop is without one
            raise EnvironmentFaultError("TypeError: the original fails on a product without a price")
        verdict = judge(product, row["options"], goal, nouns=nouns, faithful=True)
    except EnvironmentFaultError as error:
        return _raised(error, row)
    if "exception" in row:
        return [("exception", None, row["exception"])]
    return differences(
        [
            ("reward", verdict.total, row["reward"]),
            ("base", verdict.base, row["base"]),
            ("num_attr_matches", verdict.attribute_matches, row["num_attr_matches"]),
            ("num_option_matches", verdict.option_matches, row["num_option_matches"]),
            ("denominator", verdict.attributes + verdict.options + 1, row["denominator"]),
            *_parts(verdict, row["info"]),
        ]
    )


def _raised(error: EnvironmentFaultError, row: Record) -> list[Found]:
    """An exception against the recorded one: by its name, for the words are each program's own."""
    ours, recorded = str(error), row.get("exception")
    same = recorded is not None and ours.split(":")[0] == str(recorded).split(":")[0]
    return [] if same else [("exception", ours, recorded)]


def _parts(verdict: Verdict, recorded: Record) -> list[Found]:
    ours = verdict.as_info()
    fields = dict.fromkeys((*ours, *recorded))
    return [(f"info.{field}", ours.get(field), recorded.get(field)) for field in fields]


def _purchase(shops: Shops, row: Record) -> tuple[Product, Goal, Callable[[str], Sequence[str]]]:
    """Product, goal and noun rule of a recorded purchase.

    The original compares the nouns of ``name`` and searches ``Title``; a row may change one of the two.
    The noun rule is therefore asked by texts that stand for the names.
    """
    catalogue = shops.catalogue(row["goal_set"] == "human")
    own, wish, given = _goal(catalogue.goals, row), row["goal_override"] or {}, row["product_override"] or {}
    bought = catalogue.by_asin.get(row["asin"])
    if bought is None:
        raise DataError(f"field 'asin' is {row['asin']!r}, which is not among the products")
    product = replace(_changed(bought, given), price=cast(float, row["price"]))
    stands_for_goal = f"{product.title} of the goal"
    names = {
        product.title: given.get("name", bought.title),
        stands_for_goal: wish.get("name", own.product.title),
    }
    options = wish.get("goal_options", own.options)
    goal = replace(
        own,
        product=replace(_changed(own.product, wish), title=stands_for_goal),
        attributes=tuple(wish.get("attributes", own.attributes)),
        options=tuple(options.items()) if isinstance(options, dict) else tuple(options),
        price_upper=wish.get("price_upper", own.price_upper),
    )
    return product, goal, lambda title: rule_nouns(names[title])


def _goal(goals: Sequence[Goal], row: Record, field: str = "goal_index") -> Goal:
    number = row[field]
    if not isinstance(number, int) or not 0 <= number < len(goals):
        raise DataError(f"field {field!r} is {number!r}; the data has goals 0 to {len(goals) - 1}")
    return goals[number]


def _changed(product: Product, override: dict[str, Any]) -> Product:
    """A product with the changes of a row."""
    changes: dict[str, Any] = {}
    for key, value in override.items():
        if key in _CHANGES:
            changes[_CHANGES[key]] = tuple(value) if isinstance(value, list) else value
        elif key not in _ELSEWHERE:
            raise DataError(f"an override has the field {key!r}; known: {sorted({*_CHANGES, *_ELSEWHERE})}")
    return replace(product, **changes)


def real_reward(_: Shops, row: Record) -> list[Found]:
    """A reward of the full data: its products are not at hand, so what the row says of them is made into
    one, and the rest (options, price, type, total) is judged."""
    wish, info, bought = row["goal"], row["reward_info"], row["purchased"]
    wanted = tuple(wish["attributes"])
    common = Fraction(info["title_score"]).limit_denominator(_MOST_NOUNS)
    nouns = [f"noun{number}" for number in range(common.denominator)]
    known = {"goal": nouns, "bought": nouns[: common.numerator]}
    blank = Product(
        asin=bought["asin"], title="bought", description="", bullets=(), price_text="",
        price=bought["price"], options=(), attributes=wanted[: round(info["r_att"] * len(wanted))],
        category="", query=wish["query"] if info["query_match"] else "",
        product_category=wish["product_category"] if info["category_match"] else "",
    )  # fmt: skip
    goal = Goal(
        product=replace(blank, title="goal", query=wish["query"], product_category=wish["product_category"]),
        instruction="",
        attributes=wanted,
        options=tuple(wish["goal_options"]),
        price_upper=wish["price_upper"],
    )
    verdict = judge(blank, bought["options"], goal, nouns=lambda title: known[title], faithful=True)
    ours = verdict.as_info()
    pairs: list[Found] = [("reward", verdict.total, row["reward"])]
    return differences([*pairs, *((f"reward_info.{key}", ours.get(key), info[key]) for key in info)])


def colour(_: Shops, row: Record) -> list[Found]:
    """The colour of an option value."""
    return differences([("color", normalize_color(row["s"]), row["color"])])


def fuzzy(_: Shops, row: Record) -> list[Found]:
    """A likeness of two texts, and whether the engine's short way decides as the score does."""
    first, second, normalized = (_text(row[field]) for field in ("a", "b", "b_normalized"))
    pairs: list[Found] = [
        ("score", token_set_ratio(first, normalized), row["score"]),
        ("alike", alike(first, normalized), row["score"] > THRESHOLD),
    ]
    if row["kind"].startswith("opt"):
        pairs.append(("b_normalized", normalize_color(second), normalized))
    return differences(pairs)


def _text(value: Any) -> OptionText:
    return cast(OptionText, tuple(value)) if isinstance(value, list) else value


def nouns(_: Shops, row: Record) -> list[Found]:
    """The words of a name, and which of them are nouns; blanks are no words of ours."""
    recorded = [(token, tag == "NOUN") for token, tag in row["tokens"] if token.strip()]
    return differences([("tokens", [(token, is_noun(token)) for token in tokens(row["name"])], recorded)])


def goal(shops: Shops, human: bool, row: Record) -> list[Found]:
    """A goal at its place in the order."""
    catalogue = shops.catalogue(human)
    ours = goal_as_dict(_goal(catalogue.goals, row, "index"), catalogue.goal_kind)
    if math.isclose(ours["weight"], row["weight"], rel_tol=1e-12):  # the original sums in another order
        ours["weight"] = row["weight"]
    return differences([(field, ours[field], row[field]) for field in ours])


def price(shops: Shops, human: bool, row: Record) -> list[Found]:
    """What buying a product costs."""
    bought = shops.catalogue(human).by_asin.get(row["asin"])
    return differences([("price", bought.price if bought else None, row["price"])])


def product(shops: Shops, row: Record) -> list[Found]:
    """A loaded product. Pictures, and what the original drops after loading, are not part of the shop."""
    ours = shops.catalogue(False).by_asin.get(row["asin"])
    if ours is None:
        return [("asin", None, row["asin"])]
    low, high = min(row["pricing"]), max(row["pricing"])
    pairs: list[Found] = [
        ("Title", ours.title, row["Title"]),
        ("name", ours.title, row["name"]),
        ("Description", ours.description, row["Description"]),
        ("BulletPoints", list(ours.bullets), row["BulletPoints"]),
        ("Price", ours.price_text, row["Price"]),
        ("pricing", low <= ours.price <= high, True),
        ("options", {name: list(values) for name, values in ours.options}, row["options"]),
        ("Attributes", list(ours.attributes), row["Attributes"]),
        ("category", ours.category, row["category"]),
        ("query", ours.query, row["query"]),
        ("product_category", ours.product_category, row["product_category"]),
    ]
    shown = [text for _, text in pages.item_page("", ours, lambda name, value: False)]
    pairs.append(("Rating", f"Rating: {row['Rating']}" in shown, True))
    below = pages.sub_page("", ours, "Reviews")
    pairs.append(("Reviews", [text for sort, text in below if sort == "text"][1:], row["Reviews"]))
    return differences(pairs)


def document(shops: Shops, row: Record) -> list[Found]:
    """The terms of an indexed text, and its length as the index keeps it."""
    ours = shops.catalogue(False).by_asin.get(row["asin"])
    found = terms(ours.search_text) if ours else []
    return differences(
        [
            ("tokens", " ".join(found), row["tokens"]),
            ("norm_decoded_length", rounded_length(len(found)), row["norm_decoded_length"]),
        ]
    )


def official_text(_: Shops, row: object) -> list[Found]:
    """An instruction of the official order: a text. Which goal it is, only the full data tells."""
    return [] if isinstance(row, str) and row.strip() else [("text", "a text", row)]


def official_number(_: Shops, row: str) -> list[Found]:
    """A line of the list that maps official goals to another order: one number."""
    return [] if row.isascii() and row.isdigit() else [("number", "a whole number, 0 or more", row)]
