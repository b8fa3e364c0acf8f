"""How fast the shop is: python bench/shop.py [--data DIR] [--n STEPS]

Random valid actions, observation included. Target: 2,000 steps a second.
"""

from __future__ import annotations

import argparse
import random
import sys
from pathlib import Path
from time import perf_counter

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench._common import choose, facts, p50

from rlem.core.errors import UsageError
from rlem.environments.registry import make

EPISODE_STEPS = 15


def main() -> None:
    """Measures steps a second, several rounds over the same tasks."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", help="folder with the original's files; left out: the bundled shop")
    parser.add_argument("--goals", default="synthetic", choices=["synthetic", "human"])
    parser.add_argument("--n", type=int, default=20_000, help="steps a round")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    begin = perf_counter()
    shop = make("webshop", goals=options.goals, **({"data": options.data} if options.data else {}))
    open_s = perf_counter() - begin
    goals = 500
    while True:
        try:
            tasks = shop.tasks(f"0:{goals}")
            break
        except UsageError:
            goals //= 2
            if not goals:
                raise
    paces, searches, purchases = [], 0, 0
    for round_ in range(options.rounds):
        rng = random.Random(round_)
        steps, place = 0, 0
        begin = perf_counter()
        while steps < options.n:
            task = tasks[place % len(tasks)]
            place += 1
            step = shop.reset(task)
            for _ in range(EPISODE_STEPS):
                action = choose(step, task, rng)
                searches += action.startswith("search[")
                step = shop.step(action)
                steps += 1
                if step.done:
                    purchases += 1
                    break
        paces.append(steps / (perf_counter() - begin))
    name = options.data or "the bundled shop"
    print(f"{facts()}; {name}, text_rich, {options.rounds} rounds of {options.n:,} steps, {len(tasks)} tasks")
    print(
        f"{searches / options.rounds:,.0f} searches and {purchases / options.rounds:,.0f} purchases a round"
    )
    print(f"open {open_s:.2f} s; steps/s: median {p50(paces):,.0f}, least {min(paces):,.0f}")


if __name__ == "__main__":
    main()
