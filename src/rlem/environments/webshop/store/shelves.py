"""What an import gathers of the products, one after the other, until the shop is written."""

from __future__ import annotations

import json
import random
import zlib
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from math import nan, prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rlem.core.errors import DataError
from rlem.environments.webshop.data import MAX_ASIN, parse_human, parse_product, text_of
from rlem.environments.webshop.store.array_file import ArrayWriter
from rlem.environments.webshop.store.catalogue import PRICE_SEED, PRODUCT_FIELDS, draw, shuffled
from rlem.environments.webshop.store.postings import PostingsBuilder

_DICTIONARY = 1 << 15
"""Bytes of the first records that the compression of all others knows: what it can use at most."""


class Shelves:
    """Products in file order, and all that is known of them together. ``folder`` holds the index's runs."""

    def __init__(self, folder: Path, *, human: bool) -> None:
        self.index = PostingsBuilder(folder)
        self.skipped: Counter[str] = Counter()
        self.synthetic_goals = self.human_goals = 0
        self._human = human
        self._asins: dict[str, None] = {}
        self._ends = array("q", [0])
        self._dictionary: bytes | None = None
        self._rows = 0
        self._lowest, self._highest = array("d"), array("d")
        self._groups = {name: _GroupsBuilder() for name in ("category", "query", "attribute")}
        self._plans = _Plans()
        self._human_products, self._human_entries = array("i"), array("i")

    @property
    def products(self) -> int:
        """How many there are."""
        return len(self._asins)

    def take(
        self, entry: Any, about: Mapping[str, Any], human: Sequence[Any]
    ) -> tuple[bytes | None, list[str]]:
        """Takes one product in: its record (None if it is skipped), and what was left out of it and why.

        Errors: DataError for what is no product.
        """
        row, self._rows = self._rows, self._rows + 1
        asin = text_of(entry, "asin", row)
        if not asin:
            raise DataError(f"product {row} has an empty 'asin'; expected a text")
        if reason := self._reason_to_skip(asin):
            self.skipped[reason] += 1
            return None, []
        price = _PriceRange()
        product = parse_product(entry, about, row, price)
        written, problems = self._written(asin, human)
        place = len(self._asins)
        self._asins[asin] = None
        self._lowest.append(product.price)
        self._highest.append(price.highest)
        self._groups["category"].add(place, (product.category,))
        self._groups["query"].add(place, (product.query,))
        self._groups["attribute"].add(place, product.attributes)
        self.index.add(product.search_text)
        instruction = about.get("instruction") or ""
        wanted = tuple(about.get("instruction_attributes") or ())
        if instruction and wanted:
            combinations = prod(len(values) for _, values in product.options)
            self._plans.add(place, combinations, wanted)
            self.synthetic_goals += combinations
        self._human_products.extend([place] * len(written))
        self._human_entries.extend(range(len(written)))
        self.human_goals += len(written)
        content = [getattr(product, name) for name in PRODUCT_FIELDS]
        record = json.dumps([*content, instruction, wanted, written], separators=(",", ":"))
        return record.encode(), problems

    def write_records(self, writer: ArrayWriter, records: Iterable[bytes]) -> None:
        """Writes the records as they come, compressed."""
        writer.add_parts("records", "u1", self._compressed(records))
        writer.add("record_ends", np.array(self._ends, dtype=np.int64))
        writer.add("dictionary", np.frombuffer(self._dictionary or b"\0", dtype=np.uint8))

    def write_rest(self, writer: ArrayWriter, progress: Callable[[int, int], None]) -> None:
        """Writes what connects the records, once all have come."""
        steps = 4
        progress(0, steps)
        asins = list(self._asins)
        places = np.array(sorted(range(len(asins)), key=asins.__getitem__), dtype=np.int32)
        ranks = np.empty_like(places)
        ranks[places] = np.arange(len(asins), dtype=np.int32)
        writer.add_texts("asins", (asins[place] for place in places.tolist()))
        writer.add("places", places)
        writer.add("ranks", ranks)
        for name, groups in self._groups.items():
            groups.write(writer, name)
        progress(1, steps)
        self._write_goals(writer)
        progress(2, steps)
        self.index.write(writer, ranks)
        progress(steps, steps)

    def about(self) -> dict[str, Any]:
        """Facts for the file's directory."""
        return {
            "fields": PRODUCT_FIELDS,
            "products": self.products,
            "synthetic_goals": self.synthetic_goals,
            "human_goals": self.human_goals if self._human else None,
            "price_seed": PRICE_SEED,
        }

    def _reason_to_skip(self, asin: str) -> str:
        """Why the original leaves the product out, or nothing."""
        if asin == "nan":
            return "id 'nan'"
        if len(asin) > MAX_ASIN:
            return f"id of more than {MAX_ASIN} characters"
        return "repeated id" if asin in self._asins else ""

    def _written(self, asin: str, human: Sequence[Any]) -> tuple[list[Any], list[str]]:
        """What people wrote, as records hold it, and what is broken among it."""
        written, problems = [], []
        for number, entry in enumerate(human):
            try:
                found = parse_human(entry)
            except DataError as error:
                problems.append(f"human instruction {number} of {asin!r} is broken: {error}")
                continue
            if found[1]:
                written.append(found)
            else:
                self.skipped["human instruction without attributes"] += 1
        return written, problems

    def _compressed(self, records: Iterable[bytes]) -> Iterator[bytes]:
        held: list[bytes] = []
        for record in records:
            if self._dictionary is not None:
                yield self._packed(record)
                continue
            held.append(record)
            if sum(map(len, held)) >= _DICTIONARY:
                self._dictionary = b"".join(held)[-_DICTIONARY:]
                yield from map(self._packed, held)
        if self._dictionary is None and held:
            self._dictionary = b"".join(held)
            yield from map(self._packed, held)

    def _packed(self, record: bytes) -> bytes:
        pack = zlib.compressobj(wbits=-15, zdict=self._dictionary or b"\0")
        packed = pack.compress(record) + pack.flush()
        self._ends.append(self._ends[-1] + len(packed))
        return packed

    def _write_goals(self, writer: ArrayWriter) -> None:
        lowest, highest = np.array(self._lowest), np.array(self._highest)
        plans = np.array(self._plans.products, dtype=np.int32)
        prices, limits = draw(lowest, highest, plans, random.Random(PRICE_SEED))
        writer.add("lowest", lowest)
        writer.add("highest", highest)
        writer.add("prices", prices)
        writer.add("plan_products", plans)
        writer.add("plan_starts", np.array(self._plans.starts, dtype=np.int64))
        writer.add("plan_weights", self._plans.weights())
        writer.add("synthetic_limits", limits)
        writer.add("synthetic_order", np.asarray(shuffled(self.synthetic_goals, random.Random())))
        if self._human:
            products = np.array(self._human_products, dtype=np.int32)
            writer.add("human_products", products)
            writer.add("human_entries", np.array(self._human_entries, dtype=np.int32))
            writer.add("human_limits", draw(lowest, highest, products, random.Random(PRICE_SEED))[1])
            writer.add("human_order", np.asarray(shuffled(len(products), random.Random())))


class _PriceRange(random.Random):
    """Notes the range that a price would be drawn from, and draws its lower end."""

    highest = nan

    def uniform(self, a: float, b: float) -> float:
        self.highest = b
        return a


class _Plans:
    """Products with an instruction: where their goals begin, and what their attributes weigh."""

    def __init__(self) -> None:
        self.products, self.starts = array("i"), array("q", [0])
        self._wishes, self._ends = array("i"), array("q", [0])
        self._numbers: dict[str, int] = {}
        self._uses: list[int] = []

    def add(self, place: int, combinations: int, wanted: Iterable[str]) -> None:
        """Adds a product whose goals are so many combinations of options."""
        self.products.append(place)
        self.starts.append(self.starts[-1] + combinations)
        for name in wanted:
            number = self._numbers.setdefault(name, len(self._numbers))
            if number == len(self._uses):
                self._uses.append(0)
            self._uses[number] += combinations
            self._wishes.append(number)
        self._ends.append(len(self._wishes))

    def weights(self) -> NDArray[np.float64]:
        """Weight of each product's goals: the mean over the attributes of 1 / goals that have it."""
        found = np.zeros(len(self.products))
        for plan in range(len(found)):
            wanted = self._wishes[self._ends[plan] : self._ends[plan + 1]]
            if self.starts[plan + 1] > self.starts[plan]:
                found[plan] = sum(1 / self._uses[number] for number in wanted) / len(wanted)
        return found


class _GroupsBuilder:
    """Names that several products have, with those products in file order."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}
        self._of, self._places = array("i"), array("i")

    def add(self, place: int, names: Iterable[str]) -> None:
        """Adds a product to the groups of these names."""
        for name in dict.fromkeys(names):
            self._of.append(self._numbers.setdefault(name, len(self._numbers)))
            self._places.append(place)

    def write(self, writer: ArrayWriter, name: str) -> None:
        """Writes names (sorted), where each one's products begin, and the products."""
        names = sorted(self._numbers)
        ranks = np.empty(len(names), dtype=np.int32)
        ranks[[self._numbers[text] for text in names]] = np.arange(len(names), dtype=np.int32)
        of = ranks[np.array(self._of, dtype=np.int32)]
        writer.add_texts(name, names)
        starts = np.concatenate(([0], np.cumsum(np.bincount(of, minlength=len(names)))))
        writer.add(f"{name}_starts", starts.astype(np.int64))
        writer.add(f"{name}_places", np.array(self._places, dtype=np.int32)[np.argsort(of, kind="stable")])
