"""How fast the app of how-to articles is: python3 dev.py bench wikihow [--articles N,N] [--quick]

Steps a second of random actions, by size of the site, with searches and without; the parts of a step by page:
laying the page out (once, then it is kept), its lines, its elements, its whole tree; making a site and
finding titles in it.
Target: 1,000 steps/s.
"""

from __future__ import annotations

import argparse
import random
import sys
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any, TypeVar

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench._common import facts, p50, quantile

from rlem.environments.wikihow.app import SCROLL
from rlem.environments.wikihow.env import WikiHow
from rlem.environments.wikihow.generate import generate
from rlem.environments.wikihow.nodes import Page
from rlem.environments.wikihow.screen import Bar, Screen
from rlem.environments.wikihow.search import TitleSearch
from rlem.environments.wikihow.sheet import VIEWPORT, make_sheet
from rlem.environments.wikihow.site import Site

PAGES = 20
"""Pages of each kind that are shown."""

Result = TypeVar("Result")


def play(app: WikiHow, least: int, seed: int) -> tuple[float, float, float]:
    """At least so many random steps in whole episodes: steps a second, the same without the steps that
    search, and the share of those."""
    rng = random.Random(seed)
    tasks = app.tasks("0:110")
    steps = searches = episodes = 0
    searching = 0.0
    begin = perf_counter()
    while steps < least:
        task = tasks[episodes % len(tasks)]
        episodes += 1
        step = app.reset(task)
        for _ in range(app.max_steps):
            action = rng.choice(step.actions)
            if search := action.startswith("INPUT"):
                action = action.replace("<text>", " ".join(rng.sample(task.instruction.split(), 4)))
            before = perf_counter()
            step = app.step(action)
            steps += 1
            if search:
                searches += 1
                searching += perf_counter() - before
            if step.done:
                break
    took = perf_counter() - begin
    return steps / took, (steps - searches) / (took - searching), searches / steps


def measure_steps(sizes: list[int], rounds: int, steps: int) -> None:
    """All sizes in turns, so that a busy minute does not fall on one of them."""
    apps = {size: WikiHow.bundled(n_articles=size) for size in sizes}
    found: dict[int, list[tuple[float, float, float]]] = {size: [] for size in sizes}
    for seed in range(rounds):
        for size, app in apps.items():
            found[size].append(play(app, steps, seed))
    print(f"\nSteps: random actions, {rounds} rounds of {steps:,} steps, 110 tasks")
    print(f"{'articles':>9} {'steps/s':>9} {'least':>9} {'without searches':>17} {'searches':>9}")
    for size, rows in found.items():
        every, others, share = (p50(column) for column in zip(*rows, strict=True))
        least = min(row[0] for row in rows)
        print(f"{size:9,} {every:9,.0f} {least:9,.0f} {others:17,.0f} {share:9.1%}", flush=True)


def _pages(site: Site) -> dict[str, list[Page]]:
    return {
        "search": [Page("search", article.title) for article in site.articles[:PAGES]],
        "article": [Page("article", article.slug) for article in site.articles[:PAGES]],
        "author": [Page("author", author.slug) for author in site.authors[:PAGES]],
        "category": [Page("category", category.slug) for category in site.categories[:PAGES]],
        "about": [Page("about")],
        "home": [Page("home")],
    }


def clock(work: Callable[..., Result], *arguments: Any) -> tuple[float, Result]:
    """Microseconds that some work takes, and what comes of it."""
    begin = perf_counter()
    result = work(*arguments)
    return 1e6 * (perf_counter() - begin), result


def measure_screens(rounds: int) -> None:
    """Microseconds by page: medians over screens at all scrolls of some pages."""
    site = generate(0, 300)
    search = TitleSearch(site)
    print(
        f"\nScreens: 300 articles, medians of {rounds} rounds over all scrolls of {PAGES} pages, microseconds"
    )
    ways: dict[str, Callable[[Screen], object]] = {
        "lines": lambda screen: screen.html,
        "elements": lambda screen: screen.leaves,
        "tree": lambda screen: screen.root(),
    }
    print(f"{'page':9} {'screens':>8} {'leaves':>7} {'lay out':>9}" + "".join(f"{name:>10}" for name in ways))
    for kind, pages in _pages(site).items():
        found = [search.search(page.key) if kind == "search" else () for page in pages]
        made = [clock(make_sheet, site, page, hits) for page, hits in zip(pages, found, strict=True)]
        bar = Bar("field", "a tent") if kind == "search" else Bar("icon", menu=kind == "article")
        shown = [
            (sheet, scroll, bar)
            for _, sheet in made
            for scroll in range(0, sheet.height - VIEWPORT + 1, SCROLL)
        ]
        leaves = p50([len(Screen(*at).leaves) for at in shown])
        cells = ""
        for way in ways.values():
            times = [clock(way, Screen(*at))[0] for _ in range(rounds) for at in shown]
            cells += f"{p50(times):10,.0f}"
        laid = p50([time for time, _ in made])
        print(f"{kind:9} {len(shown):8,} {leaves:7.0f} {laid:9,.0f}{cells}", flush=True)


def measure_sites(sizes: list[int], rounds: int) -> None:
    """Making a site, its index, and finding titles."""
    print(f"\nSites: medians of {rounds}; queries are titles")
    print(f"{'articles':>9} {'make s':>8} {'index s':>8} {'find p50 ms':>12} {'p99 ms':>8}")
    for size in sizes:
        made = [clock(generate, 0, size) for _ in range(rounds)]
        site = made[0][1]
        indexed = [clock(TitleSearch, site) for _ in range(rounds)]
        asked = [article.title for article in random.Random(0).choices(site.articles, k=300)]
        finding = [clock(indexed[0][1].search, title)[0] / 1000 for title in asked]
        making, indexing = (p50([time for time, _ in times]) / 1e6 for times in (made, indexed))
        print(
            f"{size:9,} {making:8.2f} {indexing:8.2f} {p50(finding):12.3f} {quantile(finding, 0.99):8.3f}",
            flush=True,
        )


def main() -> int:
    """All measurements."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--articles", default="300,10000", help="sizes of sites; default 300,10000")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=5000, help="a round; default 5,000")
    parser.add_argument("--quick", action="store_true", help="seconds: fewer rounds and steps, 300 articles")
    asked = parser.parse_args()
    sizes = [300] if asked.quick else [int(size) for size in asked.articles.split(",")]
    rounds, steps = (3, 1000) if asked.quick else (asked.rounds, asked.steps)
    print(facts())
    measure_steps(sizes, rounds, steps)
    measure_screens(rounds)
    measure_sites(sizes, rounds)
    return 0


if __name__ == "__main__":
    sys.exit(main())
