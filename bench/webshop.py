"""How fast the shop is: python3 dev.py bench webshop [--data PATH] [--quick] [--reference PATH]

Steps a second by form of observation, search by size of the catalogue in memory and on disk, opening and
memory in a fresh process, several processes over one store, memory over many episodes; beside them, in
turns, the original itself.
Targets: 5,000 steps/s in text_rich, reset below 1 ms; a store opens in 0.3 s and 150 MB, and a million
products are searched in 20 ms (p50) and 60 ms (p99); no leak over 100,000 episodes.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench._common import choose, facts, p50, quantile, timed
from bench._webshop_fresh import EPISODE_STEPS, GOALS, open_shop
from bench._webshop_processes import measure_processes

from rlem.core.errors import RlemError
from rlem.environments.webshop.catalogue import iter_products
from rlem.environments.webshop.data import build_catalogue
from rlem.environments.webshop.env import WebShop
from rlem.environments.webshop.pages import MODES
from rlem.environments.webshop.search import Ranking, SearchIndex
from rlem.environments.webshop.store.catalogue import StoredCatalogue
from rlem.environments.webshop.store.importing import generate_shop

HERE = Path(__file__).resolve().parent
SMALLEST = 1000
"""Products whose texts the queries come from: every generated shop begins with them."""

PARTS = ("modes", "search", "open", "processes", "leak", "reference")

IN_MEMORY = 100_000
"""Most products of an index that is built in memory."""


@dataclass
class Pace:
    """What one way of playing took, over all rounds."""

    steps_s: list[float] = field(default_factory=list)
    resets_ms: list[float] = field(default_factory=list)
    steps: int = 0
    searches: int = 0
    purchases: int = 0

    def row(self) -> str:
        """Its part of a table."""
        resets = f"{p50(self.resets_ms):9.3f} {quantile(self.resets_ms, 0.99):8.3f}" if self.resets_ms else ""
        return (
            f"{p50(self.steps_s):9,.0f} {min(self.steps_s):9,.0f} {self.searches / self.steps:9.1%} "
            f"{self.purchases / self.steps:10.1%} {resets:>18}"
        )


PACE_HEAD = "  steps/s     least  searches  purchases  reset p50      p99 ms"


def play(shop: WebShop, least: int, seed: int, pace: Pace) -> None:
    """One round: at least so many random valid steps, in whole episodes over the same tasks."""
    rng = random.Random(seed)
    tasks = shop.tasks(f"0:{min(GOALS, len(shop.catalogue.goals))}")
    steps = episodes = 0
    begin = perf_counter()
    while steps < least:
        task = tasks[episodes % len(tasks)]
        episodes += 1
        reset = perf_counter()
        step = shop.reset(task)
        pace.resets_ms.append(1000 * (perf_counter() - reset))
        for _ in range(EPISODE_STEPS):
            action = choose(step, task, rng)
            pace.searches += action.startswith("search[")
            step = shop.step(action)
            steps += 1
            if step.done:
                pace.purchases += 1
                break
    pace.steps_s.append(steps / (perf_counter() - begin))
    pace.steps += steps


def measure_modes(source: str, rounds: int, steps: int) -> None:
    """All forms of observation, in turns, so that a busy minute does not fall on one of them."""
    shop = open_shop(source).shop
    paces = {mode: Pace() for mode in MODES}
    for seed in range(rounds):
        for mode, pace in paces.items():
            play(WebShop(shop, observation_mode=mode), steps, seed, pace)
    tasks = min(GOALS, len(shop.catalogue.goals))
    print(f"\nSteps: {source}, random valid actions, {rounds} rounds of {steps:,} steps, {tasks} tasks")
    print(f"{'observation':19}{PACE_HEAD}")
    for mode, pace in paces.items():
        print(f"{mode:19}{pace.row()}", flush=True)


def queries(count: int) -> list[str]:
    """1 to 12 words of a task's instruction or of a product's title; the same in every run."""
    rng = random.Random(0)
    texts: list[str] = []
    for product, about in iter_products(0, SMALLEST):
        texts += [product["name"], about["instruction"]]
    found = []
    for _ in range(count):
        words = rng.choice(texts).split()
        found.append(" ".join(rng.sample(words, min(rng.randint(1, 12), len(words)))))
    return found


def index_in_memory(products: int) -> SearchIndex:
    """The index of a generated shop; its texts are made in portions, and not kept."""

    def documents() -> Iterator[tuple[str, str]]:
        portion = []
        for product, _ in iter_products(0, products):
            portion.append(product)
            if len(portion) == SMALLEST:
                yield from ((item.asin, item.search_text) for item in build_catalogue(portion, {}).products)
                portion = []
        yield from ((item.asin, item.search_text) for item in build_catalogue(portion, {}).products)

    return SearchIndex(documents())


def measure_search(sizes: Sequence[int], stores: Path, rounds: int, count: int) -> dict[int, Path]:
    """Search by size; returns the stores."""
    asked = queries(count)
    print(f"\nSearch: generated shops, {rounds} rounds of the same {count:,} queries of 1 to 12 words")
    print(f"{'products':>10} {'where':8} {'made in s':>10} {'MB on disk':>11} {'p50 ms':>8} {'p99 ms':>8}")
    made = {}
    for size in sizes:
        made[size] = stores / f"webshop-{size}.db"
        if size <= IN_MEMORY:
            begin = perf_counter()
            index = index_in_memory(size)
            _print_search(
                index, asked, rounds, f"{size:10,} {'memory':8} {perf_counter() - begin:10.1f} {'':11}"
            )
            del index
        seconds = "found"
        if not made[size].exists():
            begin = perf_counter()
            generate_shop(size, 0, made[size])
            seconds = f"{perf_counter() - begin:.1f}"
        megabytes = made[size].stat().st_size / 1e6
        head = f"{size:10,} {'disk':8} {seconds:>10} {megabytes:11,.1f}"
        catalogue = StoredCatalogue(made[size])
        _print_search(catalogue.ranking, asked, rounds, head)
        catalogue.close()
    return made


def _print_search(ranking: Ranking, asked: Sequence[str], rounds: int, head: str) -> None:
    """Medians over the rounds of each round's p50 and p99."""
    ranking.search(asked[0])
    every = [
        [timed(lambda query=query: ranking.search(query)) for query in asked]  # type: ignore[misc]
        for _ in range(rounds)
    ]
    middle, slow = (p50([quantile(times, share) for times in every]) for share in (0.5, 0.99))
    print(f"{head} {middle:8.3f} {slow:8.3f}", flush=True)


def fresh(*arguments: str) -> list[Any]:
    """The JSON lines of bench/_webshop_fresh.py in a process of its own."""
    command = [sys.executable, str(HERE / "_webshop_fresh.py"), *arguments]
    answer = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return [json.loads(line) for line in answer.stdout.splitlines()]


def measure_open(sources: Sequence[str], rounds: int) -> None:
    """Seconds and memory of the stages from an empty process to the first search."""
    print(
        f"\nOpening: each in a fresh process, medians of {rounds}; seconds, and MiB of memory (RSS) after it"
    )
    stages = ("import", "open", "first reset", "first search")
    print(f"{'shop':28}" + "".join(f"{stage + ' s':>15} {'MiB':>6}" for stage in stages))
    for source in sources:
        runs = [fresh("open", source) for _ in range(rounds)]
        cells = []
        for place in range(1, len(stages) + 1):
            seconds, memory = (p50([run[place][column] for run in runs]) for column in (1, 2))
            cells.append(f"{seconds:15.3f} {memory:6.0f}")
        print(f"{Path(source).name:28}" + "".join(cells), flush=True)


def measure_leak(source: str, episodes: int) -> None:
    """Memory before and after many episodes; the slope is of the second half."""
    begin = perf_counter()
    points = fresh("leak", source, str(episodes))
    half = points[len(points) // 2 :]
    mean = [sum(point[column] for point in half) / len(half) for column in (0, 1)]
    rise = sum((played - mean[0]) * (memory - mean[1]) for played, memory in half)
    slope = 10_000 * rise / sum((played - mean[0]) ** 2 for played, _ in half)
    print(
        f"\nLeak: {source}, {episodes:,} episodes, a quarter four times, in {perf_counter() - begin:.0f} s\n"
        f"memory {points[0][1]:.1f} MiB before, {half[0][1]:.1f} half-way, {points[-1][1]:.1f} after; "
        f"second half {slope:+.2f} MiB per 10,000 episodes"
    )


class NotTimedError(Exception):
    """Why the original cannot be timed; one line."""


@contextmanager
def reference(checkout: Path, python: str, products: str) -> Iterator[subprocess.Popen[str]]:
    """The original, ready to play, in a process of its own. What it prints goes to a file."""
    script = str(HERE / "_webshop_reference.py")
    with tempfile.TemporaryFile("w+") as chatter:
        try:
            process = subprocess.Popen(
                [python, script, str(checkout.resolve()), products],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=chatter,
                text=True,
            )
        except OSError as error:
            raise NotTimedError(f"{python} cannot be started ({error.strerror})") from None
        try:
            yield process
        except EOFError:
            chatter.seek(0)
            last = (chatter.read().strip().splitlines() or ["nothing"])[-1]
            raise NotTimedError(f"it ended with status {process.wait()}; its last words: {last}") from None
        finally:
            process.kill()
            process.communicate()


def ask(process: subprocess.Popen[str], question: str = "") -> dict[str, Any]:
    """The next answer of the original. Errors: NotTimedError with what it failed on; EOFError."""
    assert process.stdin is not None
    assert process.stdout is not None
    if question:
        try:
            process.stdin.write(question + "\n")
            process.stdin.flush()
        except BrokenPipeError:
            raise EOFError from None
    line = process.stdout.readline()
    if not line:
        raise EOFError
    answer: dict[str, Any] = json.loads(line)
    if "error" in answer:
        raise NotTimedError(answer["error"])
    return answer


def measure_reference(
    checkout: Path, *, python: str, products: str, source: str | None, rounds: int, steps: int
) -> bool:
    """The original and our shop in turns, the same policy; False, and one line, where it does not run."""
    try:
        if not (checkout / "web_agent_site").is_dir():
            raise NotTimedError("there is no folder web_agent_site; name a checkout of princeton-nlp/WebShop")
        theirs, ours = Pace(), Pace()
        with reference(checkout, python, products) as process:
            about = ask(process)
            shop = _ours(checkout, source)
            for seed in range(rounds):
                answer = ask(process, f"{steps} {seed}")
                theirs.steps_s.append(answer["steps"] / answer["seconds"])
                theirs.steps += answer["steps"]
                theirs.searches += answer["searches"]
                theirs.purchases += answer["purchases"]
                play(shop[1], 20 * steps, seed, ours)
    except NotTimedError as error:
        print(f"\nReference: not timed: {error} [{checkout}, {python}]")
        return False
    print(f"\nReference: {rounds} rounds in turns, random valid actions, text_rich as the original has it")
    print(f"{'':19}{PACE_HEAD}")
    print(f"{'the original':19}{theirs.row()}   ({about['goals']:,} goals, open {about['open_s']:.1f} s)")
    print(f"{'rlem':19}{ours.row()}   ({len(shop[1].catalogue.goals):,} goals of {shop[0]})")
    print(f"ratio of the medians: {p50(ours.steps_s) / p50(theirs.steps_s):,.0f}")
    return True


def _ours(checkout: Path, source: str | None) -> tuple[str, WebShop]:
    """Our shop over the checkout's own data, or over what was asked for, and its name."""
    if source is None:
        try:
            shop = WebShop.open(checkout / "data", observation_mode="text_rich_upstream")
            return "the same data", shop
        except RlemError as error:
            print(f"\nReference: the checkout's data cannot be opened, ours is the bundled shop: {error}")
            source = "bundled"
    return source, WebShop(open_shop(source).shop, observation_mode="text_rich_upstream")


def options() -> argparse.Namespace:
    """What was asked for; --quick lowers what was not."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", help="the original's folder, or a store; left out: the bundled shop")
    parser.add_argument("--catalogues", help="sizes of generated shops; default 1000,10000,100000")
    parser.add_argument("--stores", type=Path, help="where generated shops are kept; left out: nowhere")
    parser.add_argument("--steps", type=int, help="steps a round; default 20,000")
    parser.add_argument("--rounds", type=int, help="default 5")
    parser.add_argument("--queries", type=int, help="default 500")
    parser.add_argument("--episodes", type=int, help="of the leak; default 100,000")
    parser.add_argument("--seconds", type=float, help="of searching in several processes; default 10")
    parser.add_argument("--reference", type=Path, help="a checkout of the original that runs")
    parser.add_argument(
        "--reference-python",
        default=sys.executable,
        help="the Python with its requirements; default: this one",
    )
    parser.add_argument("--reference-products", default="1000", help="its num_products, or all; default 1000")
    parser.add_argument("--reference-steps", type=int, help="its steps a round; default 300")
    parser.add_argument("--quick", action="store_true", help="a minute: smaller and fewer of everything")
    parser.add_argument("--only", default="", help=f"of {','.join(PARTS)}; with commas")
    given = parser.parse_args()
    small = {
        "catalogues": "1000,10000",
        "steps": 2000,
        "rounds": 3,
        "queries": 200,
        "episodes": 5000,
        "seconds": 2.0,
    }
    full = {
        "catalogues": "1000,10000,100000",
        "steps": 20_000,
        "rounds": 5,
        "queries": 500,
        "episodes": 100_000,
        "seconds": 10.0,
    }
    for name, value in ((small if given.quick else full) | {"reference_steps": 300}).items():
        if getattr(given, name) is None:
            setattr(given, name, value)
    return given


def largest_store(source: str, stores: Path) -> Path | None:
    """The store that was asked for, else the largest that lies there, if there is one."""
    if Path(source).is_file():
        return Path(source)
    return max(stores.glob("*.db"), key=lambda path: path.stat().st_size, default=None)


def main() -> int:
    """All measurements that were asked for."""
    asked = options()
    source = asked.data or "bundled"
    parts = asked.only.split(",") if asked.only else PARTS
    print(facts())
    if "modes" in parts:
        measure_modes(source, asked.rounds, asked.steps)
    with tempfile.TemporaryDirectory() as scratch:
        stores = asked.stores or Path(scratch)
        stores.mkdir(parents=True, exist_ok=True)
        sizes = [int(size) for size in asked.catalogues.split(",")]
        made = measure_search(sizes, stores, asked.rounds, asked.queries) if "search" in parts else {}
        if "open" in parts:
            known = [str(path) for path in made.values()] or [str(path) for path in stores.glob("*.db")]
            measure_open([source, *known], asked.rounds)
        if "processes" in parts:
            store = largest_store(source, stores)
            if store is None and asked.only:
                store = generate_shop(max(sizes), 0, stores / f"webshop-{max(sizes)}.db").path
            if store is not None:
                measure_processes(store, queries(asked.queries), seconds=asked.seconds)
    if "leak" in parts:
        measure_leak(source, asked.episodes)
    if asked.reference and "reference" in parts:
        timed_ = measure_reference(
            asked.reference,
            python=asked.reference_python,
            products=asked.reference_products,
            source=asked.data,
            rounds=asked.rounds,
            steps=asked.reference_steps,
        )
        return 0 if timed_ else 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
