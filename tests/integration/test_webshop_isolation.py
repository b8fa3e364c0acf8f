"""Several shops, customers and threads in one process never touch each other, and leave nothing behind."""

from __future__ import annotations

import gc
import json
import random
import tracemalloc
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from rlem.core.errors import DataError, EnvironmentFaultError
from rlem.core.types import Step
from rlem.environments.webshop.catalogue import generate
from rlem.environments.webshop.env import WebShop
from rlem.environments.webshop.store.importing import generate_shop

PRODUCTS = 80
ACTIONS = 30
Makers = dict[str, Callable[[], WebShop]]
Name = tuple[str, int]
"""A shop and the number of a customer in it."""


@pytest.fixture(scope="module")
def shops(tmp_path_factory: pytest.TempPathFactory) -> Makers:
    """Shops that differ in products, prices, manners or where they stand; each call makes one anew."""
    store = tmp_path_factory.mktemp("store") / "shop.db"
    generate_shop(PRODUCTS, 0, store)
    bundled = partial(WebShop.bundled, n_products=PRODUCTS)
    return {
        "first": bundled,
        "other products": partial(bundled, seed=1, observation_mode="text"),
        "other prices": partial(bundled, price_seed=7, observation_mode="react"),
        "faithful": partial(bundled, faithful=True, observation_mode="url"),
        "page": partial(bundled, observation_mode="html"),
        "store": partial(WebShop.open, store),
    }


@dataclass
class Customer:
    """Plays one goal after the other with actions of its own generator; what is random comes from there."""

    env: WebShop
    number: int

    def play(self) -> Iterator[Step]:
        """ACTIONS steps, beginnings of episodes included."""
        rng = random.Random(self.number)
        step = None
        for _ in range(ACTIONS):
            if step is None or step.done:
                step = self.env.reset(f"webshop:{rng.randrange(50)}", seed=self.number)
            else:
                words = rng.choice(["<r>", "steel kettle", "soft chair for the garden", "red", "0"])
                step = self.env.step(rng.choice(step.actions).replace("<words>", words))
            yield step


def alone(shops: Makers) -> dict[Name, list[Step]]:
    """What two customers of each shop see when nobody else is there."""
    return {
        (name, number): list(Customer(make(), number).play())
        for name, make in shops.items()
        for number in range(2)
    }


def together(shops: Makers) -> dict[Name, Customer]:
    """The same customers, two in each shop."""
    customers: dict[Name, Customer] = {}
    for name, make in shops.items():
        env = make()
        customers |= {(name, number): Customer(env.spawn(), number) for number in range(2)}
    return customers


@pytest.mark.parametrize("seed", range(3))
def test_turns_do_not_mix(shops: Makers, seed: int) -> None:
    """Customers of several shops who take turns in any order see what each sees alone."""
    rng = random.Random(seed)
    plays = {name: customer.play() for name, customer in together(shops).items()}
    seen: dict[Name, list[Step]] = {name: [] for name in plays}
    turns = [name for name in plays for _ in range(ACTIONS)]
    rng.shuffle(turns)
    for name in turns:
        seen[name].append(next(plays[name]))
    assert seen == alone(shops)
    assert len({steps[0].observation for steps in seen.values()}) > len(shops)  # they are not all the same


def test_threads_do_not_mix(shops: Makers) -> None:
    """The same in threads of one process."""
    expected = alone(shops)
    customers = together(shops)
    with ThreadPoolExecutor(8) as pool:
        for _ in range(4):
            seen = dict(zip(customers, pool.map(_play, customers.values()), strict=True))
            assert seen == expected


def test_a_store_shows_what_the_shop_in_memory_shows(shops: Makers) -> None:
    """The same products and prices make the same pages, in memory or on disk."""
    for number in range(5):
        assert _play(Customer(shops["store"](), number)) == _play(Customer(shops["first"](), number))


def _play(customer: Customer) -> list[Step]:
    return list(customer.play())


def test_global_randomness_is_left_alone(shops: Makers) -> None:
    """Neither making a shop nor playing draws from the global generators or seeds them."""
    random.seed(5)
    before, numpy_before = random.getstate(), repr(np.random.get_state())
    first = alone(shops)
    assert (random.getstate(), repr(np.random.get_state())) == (before, numpy_before)
    random.seed(6)
    assert alone(shops) == first


def test_faithful_and_default_side_by_side() -> None:
    """A shop that fails as the original does leaves the one beside it and its own customers as they were."""
    faithful, default = (WebShop.bundled(n_products=PRODUCTS, faithful=choice) for choice in (True, False))
    other = faithful.spawn()
    for env in (faithful, default, other):
        env.reset("webshop:3")
    shown = other.step("search[kettle]")
    for search in ("search[<a> soft]", "search[<c>]"):
        with pytest.raises(EnvironmentFaultError):
            faithful.step(search)
        assert default.step(search).info["valid"]
    assert other.step("no action").observation == shown.observation
    assert faithful.step("search[kettle]").observation == shown.observation
    assert default.step("search[kettle]").info["valid"]


@pytest.mark.parametrize("name", ["first", "store"])
def test_nothing_grows_with_episodes(shops: Makers, name: str) -> None:
    """Two thousand episodes: the second thousand leaves less behind than one small object a step."""
    env = shops[name]()
    tasks = env.tasks("0:50")
    steps = 0

    def episodes(count: int) -> None:
        nonlocal steps
        for number in range(count):
            rng = random.Random(number % 250)  # bounded caches are full after the first thousand
            step = env.reset(tasks[number % len(tasks)], seed=number)
            for turn in range(10):
                if step.done:
                    break
                words = rng.choice(["<r>", "kettle", "soft chair", "red steel lamp"])
                # Each search is new: what keeps searches or their results would show.
                words += f" {number}x{turn}" if words != "<r>" else ""
                step = env.step(rng.choice(step.actions).replace("<words>", words))
                steps += 1

    episodes(1000)
    gc.collect()
    objects, played = len(gc.get_objects()), steps
    tracemalloc.start()
    try:
        episodes(20)
        gc.collect()
        begin, _ = tracemalloc.get_traced_memory()
        episodes(1000)
        gc.collect()
        end, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    played = steps - played
    assert played > 4000
    assert len(gc.get_objects()) - objects < played / 20
    assert end - begin < 8 * played  # the smallest object takes 16 bytes, one in a list 8 more


@pytest.mark.parametrize("missing", ["products.json", "items_ins_v2.json", "items_human_ins.json"])
def test_a_missing_file_is_named(tmp_path: Path, missing: str) -> None:
    """A data folder without one of its files is refused by that file's name; the others stay usable."""
    products, attributes = generate(n_products=5)
    asin = products[0]["asin"]
    goal = {"instruction": "a kettle.", "instruction_attributes": ["steel"], "instruction_options": []}
    contents = {
        "products.json": products,
        "items_ins_v2.json": attributes,
        "items_human_ins.json": {asin: [goal]},
    }
    for folder in ("whole", "part"):
        (tmp_path / folder).mkdir()
        for name, content in contents.items():
            if folder == "whole" or name != missing:
                (tmp_path / folder / name).write_text(json.dumps(content), encoding="utf-8")
    whole = WebShop.open(tmp_path / "whole", goals="human")
    with pytest.raises(DataError, match=f"part.*{missing.removesuffix('.json')}"):
        WebShop.open(tmp_path / "part", goals="human")
    assert whole.reset("webshop:0").actions
