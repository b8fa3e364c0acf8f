"""What a shop costs in a process of its own; bench/webshop.py starts this and reads its JSON lines.

python bench/_webshop_fresh.py open PATH|bundled     seconds and memory of import, open, reset, search
python bench/_webshop_fresh.py leak PATH|bundled N   memory over N episodes
"""

from __future__ import annotations

import json
import random
import sys
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rlem.environments.webshop.env import WebShop

POINTS = 20
"""Places at which memory is read while episodes are played."""

EPISODE_STEPS = 15
GOALS = 500


def rss_mib() -> float:
    """Memory of this process in MiB; where the system does not tell the present one, the greatest so far."""
    status = Path("/proc/self/status")
    if status.exists():
        found = next(line for line in status.read_text().splitlines() if line.startswith("VmRSS:"))
        return int(found.split()[1]) / 1024
    if sys.platform == "win32":
        return float("nan")
    import resource

    greatest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return greatest / (1024 * 1024 if sys.platform == "darwin" else 1024)


def open_shop(source: str) -> WebShop:
    """The bundled shop, a folder or a store."""
    from rlem.environments.webshop.env import WebShop

    return WebShop.bundled() if source == "bundled" else WebShop.open(source)


def opened(source: str) -> None:
    """One line a stage: its name, seconds, memory after it."""
    begin = perf_counter()

    def tell(stage: str) -> None:
        nonlocal begin
        print(json.dumps([stage, perf_counter() - begin, rss_mib()]), flush=True)
        begin = perf_counter()

    tell("start")
    import rlem.environments.webshop.env  # noqa: F401  measured

    tell("import")
    shop = open_shop(source)
    tell("open")
    shop.reset("webshop:0")
    tell("first reset")
    shop.step("search[soft red chair]")
    tell("first search")


def leak(source: str, episodes: int) -> None:
    """One line for each of POINTS stretches of episodes: how many were played, memory after them.

    The same quarter is played four times: bounded caches are full after the first, and only a leak rises.
    """
    shop = open_shop(source)
    goals = min(GOALS, len(shop.catalogue.goals))
    tasks = shop.tasks(f"0:{goals}")
    different = max(1, episodes // 4)
    for point in range(POINTS + 1):
        for number in range(point and episodes * (point - 1) // POINTS, episodes * point // POINTS):
            rng = random.Random(number % different)
            task = tasks[number % different % goals]
            step = shop.reset(task)
            for _ in range(EPISODE_STEPS):
                action = rng.choice(step.actions)
                if action.startswith("search["):
                    words = task.instruction.split()
                    action = f"search[{' '.join(rng.sample(words, min(4, len(words))))}]"
                step = shop.step(action)
                if step.done:
                    break
        print(json.dumps([episodes * point // POINTS, rss_mib()]), flush=True)


if __name__ == "__main__":
    if sys.argv[1] == "open":
        opened(sys.argv[2])
    else:
        leak(sys.argv[2], int(sys.argv[3]))
