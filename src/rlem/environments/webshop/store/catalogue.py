"""An imported shop: a catalogue that is opened, not loaded.

The file (see ``array_file``) holds a compressed record a product and, as arrays, what connects records:
order, look-ups, prices, and how goals come about. A goal is not stored but made when it is asked for:
place -> number before the shuffle -> product and combination of its options. Equal to ``build_catalogue``.
"""

from __future__ import annotations

import json
import random
import zlib
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from rlem.core.errors import ClosedError, DataError, UsageError
from rlem.environments.lazy import LazySequence
from rlem.environments.webshop.data import (
    SHUFFLE_SEED,
    Goal,
    GoalKind,
    Product,
    limit_text,
    options_text,
    price_limit,
)
from rlem.environments.webshop.store.array_file import ArrayFile, Texts
from rlem.environments.webshop.store.postings import StoredRanking

PRICE_SEED = 0
"""The price seed whose draws are stored; others are drawn when they are first needed."""

PRODUCT_FIELDS = tuple(field.name for field in fields(Product) if field.name != "price")
KEPT_RECORDS = 4096
_PIECE = 1 << 16

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """What is stored of one product: itself, its synthetic instruction, and what people wrote.

    ``human``: (instruction without its dot, attributes, options) of each.
    """

    product: Product
    instruction: str
    attributes: tuple[str, ...]
    human: tuple[tuple[str, tuple[str, ...], tuple[str, ...]], ...]


class StoredCatalogue:
    """A catalogue over the file that ``rlem data webshop import`` made. Threads share one.

    ``goals``: "synthetic", or "human" where the file has them. ``price_seed``: of prices and price limits.
    Those of seed 0 are stored; others are drawn when first needed (some seconds and 16 bytes a product
    for a million). A generator in its place is used at once, in the state it has, and left as
    ``build_catalogue`` leaves it. Errors: DataError for a file that is none, or lacks the goals.
    """

    def __init__(
        self,
        path: str | Path,
        goals: GoalKind = "synthetic",
        price_seed: int | random.Random = PRICE_SEED,
    ) -> None:
        if goals not in ("synthetic", "human"):
            raise UsageError(f"unknown goals {goals!r}; allowed: 'synthetic', 'human'")
        self._file: ArrayFile | None = ArrayFile(path)
        self._path = Path(path)
        self._goal_kind: GoalKind = goals
        self._price_seed = price_seed
        self._stored_prices = not isinstance(price_seed, random.Random) and price_seed == PRICE_SEED
        if goals == "human" and "human_order" not in self._open:
            raise DataError(f"{path} has no human goals: import the shop again, with --human FILE")
        if tuple(self._open.about["fields"]) != PRODUCT_FIELDS:
            raise DataError(f"{path} was written by another version of rlem: import the shop again")
        self._load = lru_cache(maxsize=KEPT_RECORDS)(self._read)
        if isinstance(price_seed, random.Random):
            self._drawn  # noqa: B018 (drawn now: the generator is the caller's)

    # -- the catalogue -------------------------------------------------------------------------------

    @property
    def goal_kind(self) -> GoalKind:
        """Whether the goals are made of the products' options or written by people."""
        return self._goal_kind

    @cached_property
    def products(self) -> Sequence[Product]:
        """Products in the order of their file."""
        return LazySequence(len(self._array("record_ends")) - 1, lambda place: self._load(place).product)

    @cached_property
    def goals(self) -> Sequence[Goal]:
        """Goals in the original's shuffled order."""
        make = self._human_goal if self._goal_kind == "human" else self._synthetic_goal
        return LazySequence(len(self._array(f"{self._goal_kind}_order")), make)

    @cached_property
    def weights(self) -> Sequence[float]:
        """Each goal's share in weighted draws."""
        if self._goal_kind == "human":
            return LazySequence(len(self.goals), lambda place: 1.0)
        return _Weights(
            self._array("synthetic_order"), self._array("plan_starts"), self._array("plan_weights")
        )

    @cached_property
    def by_asin(self) -> Mapping[str, Product]:
        """Products by id."""
        return _ByAsin(self._open.texts("asins"), self._array("places"), self.products)

    @cached_property
    def by_category(self) -> Mapping[str, tuple[str, ...]]:
        """Product ids by category, in file order."""
        return self._groups("category")

    @cached_property
    def by_query(self) -> Mapping[str, tuple[str, ...]]:
        """Product ids by the query they were found with, in file order."""
        return self._groups("query")

    @cached_property
    def by_attribute(self) -> Mapping[str, tuple[str, ...]]:
        """Product ids by attribute, in file order."""
        return self._groups("attribute")

    # -- what a store has besides --------------------------------------------------------------------

    @cached_property
    def ranking(self) -> StoredRanking:
        """The search engine over these products."""
        return StoredRanking(self._open)

    @cached_property
    def official_order(self) -> tuple[int, ...] | None:
        """Our place of each official human goal, where the import was given ``--order``."""
        return tuple(self._array("official_order").tolist()) if "official_order" in self._open else None

    @cached_property
    def official_texts(self) -> tuple[str, ...] | None:
        """The official human instructions, where the import was given ``--official``."""
        there = "official_texts.ends" in self._open
        return tuple(self._open.texts("official_texts")) if there else None

    @property
    def about(self) -> Mapping[str, Any]:
        """Facts about the import: version of rlem, files, counts."""
        return dict(self._open.about)

    def close(self) -> None:
        """Gives the file back; what was taken out of it stays valid. May be called twice."""
        self._load.cache_clear()
        for name in ("products", "goals", "weights", "by_asin", "by_category", "by_query", "by_attribute"):
            self.__dict__.pop(name, None)
        self.__dict__.pop("ranking", None)
        self._file = None

    # -- records and goals ---------------------------------------------------------------------------

    @property
    def _open(self) -> ArrayFile:
        if self._file is None:
            raise ClosedError(f"the shop {self._path} is closed; open it again")
        return self._file

    def _array(self, name: str) -> NDArray[Any]:
        return self._open.array(name)

    def _groups(self, name: str) -> Mapping[str, tuple[str, ...]]:
        file = self._open
        asins, ranks = file.texts("asins"), file.array("ranks")
        return _Groups(
            file.texts(name),
            file.array(f"{name}_starts"),
            file.array(f"{name}_places"),
            lambda place: asins[int(ranks[place])],
        )

    def _read(self, place: int) -> Record:
        start, end = (int(number) for number in self._array("record_ends")[place : place + 2])
        unpack = zlib.decompressobj(wbits=-15, zdict=self._array("dictionary").tobytes())
        try:
            content = json.loads(unpack.decompress(self._array("records")[start:end].tobytes()))
        except (ValueError, zlib.error) as error:
            raise DataError(f"{self._path}: product {place} is damaged ({error}): import again") from None
        *values, instruction, attributes, human = content
        known = dict(zip(PRODUCT_FIELDS, map(_tuples, values), strict=True))
        product = Product(**known, price=float(self._prices[place]))
        return Record(
            product=product, instruction=instruction, attributes=tuple(attributes), human=_tuples(human)
        )

    def _synthetic_goal(self, place: int) -> Goal:
        number = int(self._array("synthetic_order")[place])
        starts = self._array("plan_starts")
        plan = int(np.searchsorted(starts, number, side="right")) - 1
        record = self._load(int(self._array("plan_products")[plan]))
        options = _combination(record.product, number - int(starts[plan]))
        limit = float(self._limits[plan])
        return Goal(
            product=record.product,
            instruction=f"{record.instruction}{options_text(options)}{limit_text(limit)}",
            attributes=record.attributes,
            options=options,
            price_upper=limit,
            weight=float(self._array("plan_weights")[plan]),
        )

    def _human_goal(self, place: int) -> Goal:
        number = int(self._array("human_order")[place])
        record = self._load(int(self._array("human_products")[number]))
        instruction, attributes, options = record.human[int(self._array("human_entries")[number])]
        limit = float(self._limits[number])
        return Goal(
            product=record.product,
            instruction=instruction + limit_text(limit),
            attributes=attributes,
            options=options,
            price_upper=limit,
        )

    # -- prices --------------------------------------------------------------------------------------

    @property
    def _prices(self) -> Floats:
        return self._array("prices") if self._stored_prices else self._drawn[0]

    @property
    def _limits(self) -> Floats:
        return self._array(f"{self._goal_kind}_limits") if self._stored_prices else self._drawn[1]

    @cached_property
    def _drawn(self) -> tuple[Floats, Floats]:
        """Prices of products and limits of goals, for a seed that is not the stored one."""
        given = self._price_seed
        rng = given if isinstance(given, random.Random) else random.Random(given)
        buyable = "human_products" if self._goal_kind == "human" else "plan_products"
        drawn = draw(self._array("lowest"), self._array("highest"), self._array(buyable), rng)
        if rng is given:  # as build_catalogue leaves it: seeded for the shuffle, and after it
            shuffled(len(self.goals), rng)
        return drawn


def draw(
    lowest: Floats, highest: Floats, buyable: NDArray[np.int32], rng: random.Random
) -> tuple[Floats, Floats]:
    """Prices of all products, then price limits for these ones, in the original's order of draws.

    ``highest`` is nan for a product with one price.
    """
    prices = lowest.copy()
    for place in np.flatnonzero(~np.isnan(highest)).tolist():
        prices[place] = rng.uniform(float(lowest[place]), float(highest[place]))
    limits = (price_limit(price, rng) for price in prices[buyable].tolist())
    return prices, np.fromiter(limits, np.float64, len(buyable))


def shuffled(count: int, rng: random.Random) -> array[int]:
    """The numbers below ``count`` in the original's shuffled order; seeds ``rng`` and uses it."""
    order = array("i" if count < 1 << 31 else "q", range(count))
    rng.seed(SHUFFLE_SEED)
    rng.shuffle(order)
    return order


def _combination(product: Product, number: int) -> tuple[tuple[str, str], ...]:
    """The choice of option values of this number: options by name, the last one's values turn fastest."""
    chosen: list[tuple[str, str]] = []
    for name, values in sorted(product.options, reverse=True):
        number, at = divmod(number, len(values))
        chosen.append((name, values[at]))
    return tuple(reversed(chosen))


def _tuples(value: Any) -> Any:
    return tuple(map(_tuples, value)) if isinstance(value, list) else value


class _Weights(Sequence[float]):
    """Weights of synthetic goals; quick to walk through, for draws need all of them."""

    def __init__(self, order: NDArray[Any], starts: NDArray[np.int64], weights: Floats) -> None:
        self._order, self._starts, self._weights = order, starts, weights

    def __len__(self) -> int:
        return len(self._order)

    @overload
    def __getitem__(self, index: int) -> float: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[float]: ...

    def __getitem__(self, index: int | slice) -> float | Sequence[float]:
        if isinstance(index, slice):
            return tuple(self._of(self._order[index]))
        return self._of(self._order[range(len(self))[index]][np.newaxis])[0]

    def __iter__(self) -> Iterator[float]:
        for at in range(0, len(self), _PIECE):
            yield from self._of(self._order[at : at + _PIECE])

    def _of(self, numbers: NDArray[Any]) -> list[float]:
        plans = np.searchsorted(self._starts, numbers, side="right") - 1
        found: list[float] = self._weights[plans].tolist()
        return found


class _ByAsin(Mapping[str, Product]):
    """Products by id: binary search, then the record."""

    def __init__(self, asins: Texts, places: NDArray[np.int32], products: Sequence[Product]) -> None:
        self._asins, self._places, self._products = asins, places, products
        self._find = lru_cache(maxsize=KEPT_RECORDS)(asins.find)

    def __getitem__(self, asin: str) -> Product:
        rank = self._find(asin)
        if rank is None:
            raise KeyError(asin)
        return self._products[int(self._places[rank])]

    def __contains__(self, asin: object) -> bool:
        return isinstance(asin, str) and self._asins.find(asin) is not None

    def __iter__(self) -> Iterator[str]:
        return iter(self._asins)

    def __len__(self) -> int:
        return len(self._asins)


class _Groups(Mapping[str, tuple[str, ...]]):
    """Product ids by a name that several products have."""

    def __init__(
        self,
        names: Texts,
        starts: NDArray[np.int64],
        places: NDArray[np.int32],
        asin: Callable[[int], str],
    ) -> None:
        self._names, self._starts, self._places, self._asin = names, starts, places, asin

    def __getitem__(self, name: str) -> tuple[str, ...]:
        number = self._names.find(name)
        if number is None:
            raise KeyError(name)
        start, end = int(self._starts[number]), int(self._starts[number + 1])
        return tuple(map(self._asin, self._places[start:end].tolist()))

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self._names.find(name) is not None

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)
