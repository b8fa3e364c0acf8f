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
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, Protocol

from rlem.core.errors import DataError, UsageError

GoalKind = Literal["synthetic", "human"]
Options = tuple[tuple[str, tuple[str, ...]], ...]
"""Option names with their values, in the order of the product page."""

SHUFFLE_SEED = 233
NO_LIMIT = 1_000_000.0
"""Price limit of goals whose product is too dear for a limit (980 dollars and more)."""

_DEFAULT_PRICE = 100.0
_LIMITS = tuple(range(10, 1000, 10))
MAX_ASIN = 10
"""Products with a longer id are left out."""


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


class Catalogue(Protocol):
    """Products and goals. Read-only: environments in all threads share one.

    The sequences and mappings may be lazy: a store on disk gives what is asked for and keeps little.
    """

    @property
    def goal_kind(self) -> GoalKind:
        """Whether the goals are made of the products' options or written by people."""
        ...

    @property
    def products(self) -> Sequence[Product]:
        """Products in the order of their file."""
        ...

    @property
    def goals(self) -> Sequence[Goal]:
        """Goals in the original's shuffled order: a task's number is its place here."""
        ...

    @property
    def weights(self) -> Sequence[float]:
        """Each goal's share in weighted draws."""
        ...

    @property
    def by_asin(self) -> Mapping[str, Product]:
        """Products by id."""
        ...

    @property
    def by_category(self) -> Mapping[str, tuple[str, ...]]:
        """Product ids by category, in file order."""
        ...

    @property
    def by_query(self) -> Mapping[str, tuple[str, ...]]:
        """Product ids by the query they were found with, in file order."""
        ...

    @property
    def by_attribute(self) -> Mapping[str, tuple[str, ...]]:
        """Product ids by attribute, in file order."""
        ...


@dataclass(frozen=True, kw_only=True)
class LoadedCatalogue:
    """A catalogue in memory."""

    products: tuple[Product, ...]
    goals: tuple[Goal, ...]
    goal_kind: GoalKind

    @cached_property
    def weights(self) -> tuple[float, ...]:
        """Each goal's share in weighted draws."""
        return tuple(goal.weight for goal in self.goals)

    @cached_property
    def by_asin(self) -> Mapping[str, Product]:
        """Products by id."""
        return {product.asin: product for product in self.products}

    @cached_property
    def by_category(self) -> Mapping[str, tuple[str, ...]]:
        """Product ids by category, in file order."""
        return _group(self.products, lambda product: (product.category,))

    @cached_property
    def by_query(self) -> Mapping[str, tuple[str, ...]]:
        """Product ids by the query they were found with, in file order."""
        return _group(self.products, lambda product: (product.query,))

    @cached_property
    def by_attribute(self) -> Mapping[str, tuple[str, ...]]:
        """Product ids by attribute, in file order."""
        return _group(self.products, lambda product: product.attributes)


def build_catalogue(
    products: Sequence[Mapping[str, Any]],
    attributes: Mapping[str, Mapping[str, Any]],
    human: Mapping[str, Sequence[Mapping[str, Any]]] | None = None,
    *,
    goals: GoalKind = "synthetic",
    price_seed: int | random.Random = 0,
) -> LoadedCatalogue:
    """Makes products and goals of the original's three structures.

    ``products``: the entries of items_shuffle*.json; ``attributes``: items_ins_v2*.json;
    ``human``: items_human_ins*.json, needed for ``goals="human"``. ``price_seed`` seeds the prices of
    price ranges and the price limits; the order of the goals does not depend on it. A generator in its
    place is used in the state it has, and left as the original leaves the global one: seeded for the
    shuffle, and after it.
    Errors: DataError names the product and the key that is missing or of the wrong kind; UsageError for
    human goals without ``human``.
    """
    if goals not in ("synthetic", "human"):
        raise UsageError(f"unknown goals {goals!r}; allowed: 'synthetic', 'human'")
    if goals == "human" and human is None:
        raise UsageError("goals='human' needs the human instructions (items_human_ins*.json)")
    rng = price_seed if isinstance(price_seed, random.Random) else random.Random(price_seed)
    loaded: list[Product] = []
    seen: set[str] = set()
    for position, entry in enumerate(products):
        asin = text_of(entry, "asin", position)
        if asin == "nan" or len(asin) > MAX_ASIN or asin in seen:
            continue
        seen.add(asin)
        if problem := attributes_problem(attributes.get(asin, {})):
            raise DataError(f"the attributes of {asin!r}: {problem}")
        loaded.append(parse_product(entry, attributes.get(asin, {}), position, rng))
    if goals == "human":
        made = _human_goals(loaded, human or {}, rng)
    else:
        made = _synthetic_goals(loaded, attributes, rng)
    rng.seed(SHUFFLE_SEED)
    rng.shuffle(made)
    return LoadedCatalogue(products=tuple(loaded), goals=tuple(made), goal_kind=goals)


def attributes_problem(entry: Any) -> str:
    """What is wrong with a product's entry in items_ins_v2*.json, or nothing.

    >>> attributes_problem({"attributes": "soft"})
    "'attributes' is 'soft'; expected a list of texts"
    """
    if not isinstance(entry, Mapping):
        return f"the entry is a {type(entry).__name__}; expected an object"
    for key in ("attributes", "instruction_attributes"):
        value = entry.get(key, []) if key == "attributes" else entry.get(key) or []
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            return f"{key!r} is {value!r:.60}; expected a list of texts"
    instruction = entry.get("instruction")
    if instruction is not None and not isinstance(instruction, str):
        return f"'instruction' is {instruction!r:.60}; expected a text"
    return ""


def parse_human(entry: Any) -> tuple[str, tuple[str, ...], tuple[str, ...]]:
    """Instruction, attributes and options of one entry of items_human_ins*.json.

    Errors: DataError says what is missing or of the wrong kind.
    """
    try:
        wanted, options = entry["instruction_attributes"], entry["instruction_options"]
        if not isinstance(wanted, list) or not isinstance(options, list):
            raise TypeError("not a list")
        return str(entry["instruction"]).strip("."), tuple(map(str, wanted)), tuple(map(str, options))
    except (KeyError, TypeError) as error:
        raise DataError(
            f"{error}; expected 'instruction' (text), 'instruction_attributes' and 'instruction_options' "
            "(lists)"
        ) from None


class GoalDraws:
    """Draws of goals, each as likely as its weight.

    ``faithful``: as the original's ``random_idx`` draws, which is off by one: goal 0 never comes, goal k
    has the weight of goal k-1, the last goal those of the last two.
    """

    def __init__(self, weights: Sequence[float], *, faithful: bool = False) -> None:
        if not len(weights):
            raise UsageError("there is no goal to draw")
        self._sums = [0.0, *itertools.accumulate(weights)]
        self._faithful = faithful

    def one(self, rng: random.Random) -> int:
        """The number of one goal."""
        place = bisect.bisect(self._sums, rng.uniform(0, self._sums[-1]))
        return min(place if self._faithful else place - 1, len(self._sums) - 2)

    def different(self, count: int, rng: random.Random) -> list[int]:
        """Numbers of ``count`` different goals. Errors: UsageError when so many cannot come."""
        last = len(self._sums) - 2
        steps = enumerate(itertools.pairwise(self._sums))
        most = len({min(k + self._faithful, last) for k, (sooner, later) in steps if later > sooner})
        if count > most:
            raise UsageError(f"cannot draw {count} different goals; at most {most} can come")
        drawn: dict[int, None] = {}
        while len(drawn) < count:
            drawn[self.one(rng)] = None
        return list(drawn)


def parse_product(
    entry: Mapping[str, Any], attributes: Mapping[str, Any], position: int, rng: random.Random
) -> Product:
    """A product of its entry and its attributes' entry; ``rng`` draws from a price range.

    Errors: DataError names the ``position`` and the key that is missing or of the wrong kind.
    """
    prices, price_text = _pricing(entry, position)
    bullets = entry.get("small_description", [])
    return Product(
        asin=text_of(entry, "asin", position),
        title=text_of(entry, "name", position),
        description=text_of(entry, "full_description", position),
        bullets=tuple(map(str, bullets)) if isinstance(bullets, list) else (str(bullets or ""),),
        price_text=price_text,
        price=prices[0] if len(prices) == 1 else rng.uniform(prices[0], prices[1]),
        options=_options(entry, position),
        attributes=tuple(attributes.get("attributes", ("DUMMY_ATTR",))),
        category=text_of(entry, "category", position),
        query=text_of(entry, "query", position).lower().strip(),
        product_category=text_of(entry, "product_category", position),
    )


def text_of(entry: Mapping[str, Any], key: str, position: int) -> str:
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
    pricing = text_of(entry, "pricing", position) if "pricing" in entry else ""
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


def price_limit(price: float, rng: random.Random) -> float:
    """A price limit above a price: the larger of two of the next four tens; NO_LIMIT without two of them."""
    start = bisect.bisect_right(_LIMITS, price)
    above = _LIMITS[start : start + 4]
    return float(max(rng.sample(above, 2))) if len(above) >= 2 else NO_LIMIT


def limit_text(limit: float) -> str:
    """A price limit's words in an instruction.

    >>> limit_text(60.0), limit_text(NO_LIMIT)
    (', and price lower than 60.00 dollars', '')
    """
    return "" if limit == NO_LIMIT else f", and price lower than {limit:.2f} dollars"


def options_text(options: Sequence[tuple[str, str]]) -> str:
    """Wished options' words in a synthetic instruction.

    >>> options_text([("color", "red"), ("size", "7")])
    ' with color: red, and size: 7'
    """
    text = ", and ".join(f"{name}: {value}" for name, value in options)
    return f" with {text}" if text else ""


def _synthetic_goals(
    products: Sequence[Product], attributes: Mapping[str, Mapping[str, Any]], rng: random.Random
) -> list[Goal]:
    """One goal for each combination of a product's options, products in order."""
    plans: list[tuple[Product, str, tuple[str, ...], float]] = []
    for product in products:
        found = attributes.get(product.asin, {})
        instruction, wanted = found.get("instruction"), tuple(found.get("instruction_attributes") or ())
        if instruction and wanted:
            plans.append((product, instruction, wanted, price_limit(product.price, rng)))
    uses: Counter[str] = Counter()
    for product, _, wanted, _ in plans:
        combinations = math.prod(len(values) for _, values in product.options)
        uses.update({name: combinations * count for name, count in Counter(wanted).items()})
    goals: list[Goal] = []
    for product, instruction, wanted, limit in plans:
        for options in _combinations(product):
            goals.append(
                Goal(
                    product=product,
                    instruction=f"{instruction}{options_text(options)}{limit_text(limit)}",
                    attributes=wanted,
                    options=options,
                    price_upper=limit,
                    weight=sum(1 / uses[name] for name in wanted) / len(wanted),
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
        for number, entry in enumerate(_human_entries(human, product.asin)):
            try:
                instruction, wanted, options = parse_human(entry)
            except DataError as error:
                raise DataError(
                    f"human instruction {number} of {product.asin!r} is broken: {error}"
                ) from None
            if not wanted:
                continue
            limit = price_limit(product.price, rng)
            goals.append(
                Goal(
                    product=product,
                    instruction=instruction + limit_text(limit),
                    attributes=wanted,
                    options=options,
                    price_upper=limit,
                )
            )
    return goals


def _human_entries(human: Mapping[str, Any], asin: str) -> Sequence[Any]:
    entries = human.get(asin, [])
    if not isinstance(entries, list):
        raise DataError(f"the human instructions of {asin!r} are a {type(entries).__name__}; expected a list")
    return entries


def _group(
    products: Sequence[Product], keys: Callable[[Product], Iterable[str]]
) -> dict[str, tuple[str, ...]]:
    groups: dict[str, list[str]] = {}
    for product in products:
        for key in dict.fromkeys(keys(product)):
            groups.setdefault(key, []).append(product.asin)
    return {name: tuple(asins) for name, asins in groups.items()}
