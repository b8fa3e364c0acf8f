"""Recorded searches, purchases, texts, goals and products, compared row by row with the engine's parts."""

from __future__ import annotations

import bisect
import math
import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Any, cast

from rlem.core.errors import DataError, EnvironmentFaultError
from rlem.environments.checking import Found, Record, differences
from rlem.environments.webshop.analysis import terms
from rlem.environments.webshop.check.shops import Shops
from rlem.environments.webshop.data import Goal, Product
from rlem.environments.webshop.matching import THRESHOLD, OptionText, alike, normalize_color, token_set_ratio
from rlem.environments.webshop.nouns import is_noun, rule_nouns, tokens
from rlem.environments.webshop.original import goal_as_dict
from rlem.environments.webshop.reward import Verdict, judge
from rlem.environments.webshop.search import Ranking, SearchIndex
from rlem.environments.webshop.store.postings import StoredRanking

_SCORE_DIGITS = 1e-4
"""Recorded scores are rounded to four digits, and equal ones lowered by a millionth a rank."""
_UNRANKED = ("<r>", "<c>", "<q>", "<a>")
"""How searches begin that list products without a score."""

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
    """A search with all that was recorded of it: words, terms, products and, of a ranked one, scores."""
    if found := products_found(shops, row):
        return found
    lowered = row["query"].lower()
    pairs: list[Found] = []
    if "exception" not in row:
        pairs += [
            ("lowered", lowered, row["lowered"]),
            ("keywords", lowered.split(" "), row["keywords"]),
            ("tokens", terms(lowered), row["tokens"]),
        ]
        if not lowered.startswith(_UNRANKED):
            ours = _scores(shops.shop(False).ranking, lowered, row["asins"])
            pairs_of = zip(ours, row["scores"], strict=True)
            close = all(math.isclose(one, other, abs_tol=_SCORE_DIGITS) for one, other in pairs_of)
            pairs.append(("scores", row["scores"] if close else ours, row["scores"]))
    return differences(pairs)


def _scores(ranking: Ranking, query: str, asins: Sequence[str]) -> list[float]:
    """What our search engine, in memory or stored, gives these products; 0 for one that it lacks."""
    if not isinstance(ranking, SearchIndex | StoredRanking):
        raise DataError("the data's search engine tells no scores")
    scores, ids = ranking.scores(query), ranking.ids
    places = [bisect.bisect_left(ids, asin) for asin in asins]
    known = [place < len(ids) and ids[place] == asin for place, asin in zip(places, asins, strict=True)]
    return [float(scores[place]) if there else 0.0 for place, there in zip(places, known, strict=True)]


def products_found(shops: Shops, row: Record) -> list[Found]:
    """The products of a search, or its exception."""
    shop = shops.shop(False)
    try:
        found = list(shop.find(row["query"].lower().split(" "), random.Random(0)))
    except EnvironmentFaultError as error:
        return _raised(error, row)
    if "exception" in row:
        return [("exception", None, row["exception"])]
    return differences([("asins", found, row["asins"])])


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
    if bought is None:
        return [("asin", None, row["asin"])]
    return differences([("price", bought.price, row["price"])])
