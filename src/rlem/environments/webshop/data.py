"""Products, prices and goals in the form of the original's files.

A catalogue is built in one order, because every draw depends on it: products as they stand in the file,
purchase prices of price ranges, price limits of the goals, then the goals are shuffled.
"""

from __future__ import annotations

import bisect
import itertools
import math
import random
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from rlem.core.errors import DataError, UsageError

GoalKind = Literal["synthetic", "human"]
Options = tuple[tuple[str, tuple[str, ...]], ...]
"""Option names with their values, in the order of the product page."""

SHUFFLE_SEED = 233
NO_LIMIT = 1_000_000.0
"""Price limit of goals whose product is too dear for a limit (980 dollars and more)."""

_DEFAULT_PRICE = 100.0
_LIMITS = tuple(range(10, 1000, 10))
_MAX_ASIN = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Product:
    """One product as its pages show it. ``price`` in dollars is what buying it costs."""

    asin: str
    title: str
    description: str
    bullets: tuple[str, ...]
    price_text: str
    price: float
    options: Options
    attributes: tuple[str, ...]
    category: str
    query: str
    product_category: str

    @property
    def search_text(self) -> str:
        """What the search engine indexes: title, description, first bullet and options, lower case."""
        options = ", and ".join(f"{name}: {', '.join(values)}" for name, values in self.options)
        first = self.bullets[0] if self.bullets else ""
        return f"{self.title} {self.description} {first} {options}".lower()


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """What one task asks for. ``options`` are values, or (name, value) pairs in synthetic goals.

    ``weight`` is the goal's share in weighted draws; ``price_upper`` in dollars.
    """

    product: Product
    instruction: str
    attributes: tuple[str, ...]
    options: tuple[str, ...] | tuple[tuple[str, str], ...]
    price_upper: float
    weight: float = 1.0


@dataclass(frozen=True, kw_only=True)
class Catalogue:
    """Products and goals. Read-only: environments in all threads share one."""

    products: tuple[Product, ...]
    goals: tuple[Goal, ...]
    goal_kind: GoalKind

    @cached_property
    def by_asin(self) -> Mapping[str, Product]:
        """Products by id."""
        return {product.asin: product for product in self.products}

    @cached_property
    def by_category(self) -> Mapping[str, tuple[str, ...]]:
        """Product ids by category, in catalogue order."""
        return _group(self.products, lambda product: product.category)

    @cached_property
    def by_query(self) -> Mapping[str, tuple[str, ...]]:
        """Product ids by the query they were found with, in catalogue order."""
        return _group(self.products, lambda product: product.query)


def build_catalogue(
    products: Sequence[Mapping[str, Any]],
    attributes: Mapping[str, Mapping[str, Any]],
    human: Mapping[str, Sequence[Mapping[str, Any]]] | None = None,
    *,
    goals: GoalKind = "synthetic",
    price_seed: int = 0,
) -> Catalogue:
    """Makes products and goals of the original's three structures.

    ``products``: the entries of items_shuffle*.json; ``attributes``: items_ins_v2*.json;
    ``human``: items_human_ins*.json, needed for ``goals="human"``. ``price_seed`` seeds the prices of
    price ranges and the price limits; the order of the goals does not depend on it.
    Errors: DataError names the product and the key that is missing or of the wrong kind; UsageError for
    human goals without ``human``.
    """
    if goals not in ("synthetic", "human"):
        raise UsageError(f"unknown goals {goals!r}; allowed: 'synthetic', 'human'")
    if goals == "human" and human is None:
        raise UsageError("goals='human' needs the human instructions (items_human_ins*.json)")
    rng = random.Random(price_seed)
    loaded: list[Product] = []
    seen: set[str] = set()
    for position, entry in enumerate(products):
        asin = _text(entry, "asin", position)
        if asin == "nan" or len(asin) > _MAX_ASIN or asin in seen:
            continue
        seen.add(asin)
        loaded.append(_product(entry, attributes.get(asin, {}), position, rng))
    if goals == "human":
        made = _human_goals(loaded, human or {}, rng)
    else:
        made = _synthetic_goals(loaded, attributes, rng)
    random.Random(SHUFFLE_SEED).shuffle(made)
    return Catalogue(products=tuple(loaded), goals=tuple(made), goal_kind=goals)


def draw_goals(goals: Sequence[Goal], count: int, rng: random.Random) -> list[int]:
    """Numbers of ``count`` different goals, drawn by weight as the original draws them.

    Its draw is off by one and kept so: goal 0 never comes, goal k has the weight of goal k-1, the last
    goal those of the last two. Errors: UsageError when more goals are asked for than can come.
    """
    most = max(len(goals) - 1, 0)
    if count > most:
        raise UsageError(f"cannot draw {count} of {len(goals)} goals; at most {most} can come")
    sums = [0.0, *itertools.accumulate(goal.weight for goal in goals)]
    drawn: dict[int, None] = {}
    while len(drawn) < count:
        drawn[min(bisect.bisect(sums, rng.uniform(0, sums[-1])), len(sums) - 2)] = None
    return list(drawn)


def _product(
    entry: Mapping[str, Any], attributes: Mapping[str, Any], position: int, rng: random.Random
) -> Product:
    prices, price_text = _pricing(entry, position)
    bullets = entry.get("small_description", [])
    return Product(
        asin=_text(entry, "asin", position),
        title=_text(entry, "name", position),
        description=_text(entry, "full_description", position),
        bullets=tuple(map(str, bullets)) if isinstance(bullets, list) else (str(bullets or ""),),
        price_text=price_text,
        price=prices[0] if len(prices) == 1 else rng.uniform(prices[0], prices[1]),
        options=_options(entry, position),
        attributes=tuple(attributes.get("attributes", ("DUMMY_ATTR",))),
        category=_text(entry, "category", position),
        query=_text(entry, "query", position).lower().strip(),
        product_category=_text(entry, "product_category", position),
    )


def _text(entry: Mapping[str, Any], key: str, position: int) -> str:
    """A text of a product; None counts as empty."""
    try:
        value = entry[key]
    except KeyError:
        raise DataError(f"product {position} has no {key!r}; expected a text") from None
    except (TypeError, IndexError):
        raise DataError(f"product {position} is a {type(entry).__name__}; expected an object") from None
    if value is None:
        return ""
    if not isinstance(value, str):
        raise DataError(f"product {position}: {key!r} is {value!r:.60}; expected a text")
    return value


def _pricing(entry: Mapping[str, Any], position: int) -> tuple[tuple[float, ...], str]:
    """Price or price range, and its text on the page."""
    pricing = _text(entry, "pricing", position) if "pricing" in entry else ""
    if not pricing:
        return (_DEFAULT_PRICE,), f"${_DEFAULT_PRICE}"
    try:
        prices = tuple(float(re.sub(r"[^\d.]", "", part)) for part in pricing.split("$")[1:])[:2]
    except ValueError:
        prices = ()
    if not prices:
        raise DataError(
            f"product {position}: 'pricing' is {pricing!r:.60}; expected '$9.5' or '$9.5 - $20.0'"
        )
    return prices, " to ".join(f"${price}" for price in prices)


def _options(entry: Mapping[str, Any], position: int) -> Options:
    options: dict[str, tuple[str, ...]] = {}
    try:
        for name, contents in (entry.get("customization_options") or {}).items():
            if contents is not None:
                values = (content["value"].strip().replace("/", " | ").lower() for content in contents)
                options[name.lower()] = tuple(values)
    except (AttributeError, KeyError, TypeError):
        raise DataError(
            f"product {position}: 'customization_options' is broken; expected {{name: [{{'value': text}}]}}"
        ) from None
    return tuple(options.items())


def _price_limit(price: float, rng: random.Random) -> tuple[float, str]:
    """A price limit above a price, and its words in the instruction."""
    above = [limit for limit in _LIMITS if limit > price][:4]
    if len(above) < 2:
        return NO_LIMIT, ""
    limit = sorted(rng.sample(above, 2))[1]
    return float(limit), f", and price lower than {limit:.2f} dollars"


def _synthetic_goals(
    products: Sequence[Product], attributes: Mapping[str, Mapping[str, Any]], rng: random.Random
) -> list[Goal]:
    """One goal for each combination of a product's options, products in order."""
    plans: list[tuple[Product, str, tuple[str, ...], float, str]] = []
    for product in products:
        found = attributes.get(product.asin, {})
        instruction, wanted = found.get("instruction"), tuple(found.get("instruction_attributes") or ())
        if instruction and wanted:
            plans.append((product, instruction, wanted, *_price_limit(product.price, rng)))
    uses: Counter[str] = Counter()
    for product, _, wanted, _, _ in plans:
        combinations = math.prod(len(values) for _, values in product.options)
        uses.update({name: combinations * count for name, count in Counter(wanted).items()})
    goals: list[Goal] = []
    for product, instruction, wanted, limit, limit_text in plans:
        weight = sum(1 / uses[name] for name in wanted) / len(wanted)
        for options in _combinations(product):
            text = ", and ".join(f"{name}: {value}" for name, value in options)
            goals.append(
                Goal(
                    product=product,
                    instruction=instruction + (f" with {text}" if text else "") + limit_text,
                    attributes=wanted,
                    options=options,
                    price_upper=limit,
                    weight=weight,
                )
            )
    return goals


def _combinations(product: Product) -> list[tuple[tuple[str, str], ...]]:
    """Every choice of one value for each option, options by name."""
    ordered = sorted(product.options)
    names = [name for name, _ in ordered]
    return [
        tuple(zip(names, values, strict=True))
        for values in itertools.product(*(values for _, values in ordered))
    ]


def _human_goals(
    products: Sequence[Product], human: Mapping[str, Sequence[Mapping[str, Any]]], rng: random.Random
) -> list[Goal]:
    """One goal for each instruction that people wrote, products in order."""
    goals: list[Goal] = []
    for product in products:
        for number, entry in enumerate(human.get(product.asin, ())):
            try:
                instruction = str(entry["instruction"])
                wanted = tuple(map(str, entry["instruction_attributes"]))
                options = tuple(map(str, entry["instruction_options"]))
            except (KeyError, TypeError) as error:
                raise DataError(
                    f"human instruction {number} of {product.asin!r} is broken ({error}); expected "
                    "'instruction' (text), 'instruction_attributes' and 'instruction_options' (lists)"
                ) from None
            if not wanted:
                continue
            limit, limit_text = _price_limit(product.price, rng)
            goals.append(
                Goal(
                    product=product,
                    instruction=instruction.strip(".") + limit_text,
                    attributes=wanted,
                    options=options,
                    price_upper=limit,
                )
            )
    return goals


def _group(products: Sequence[Product], key: Callable[[Product], str]) -> dict[str, tuple[str, ...]]:
    groups: dict[str, list[str]] = {}
    for product in products:
        groups.setdefault(key(product), []).append(product.asin)
    return {name: tuple(asins) for name, asins in groups.items()}
