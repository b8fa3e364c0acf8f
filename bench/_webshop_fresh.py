"""What a shop costs in a process of its own; bench/webshop.py starts this and reads its JSON lines.

python bench/_webshop_fresh.py open PATH|bundled     seconds and memory of import, open, reset, search
python bench/_webshop_fresh.py leak PATH|bundled N   memory over N episodes
python bench/_webshop_fresh.py together PATH N SEED  one of several over a shop (bench/_webshop_processes.py)
"""

from __future__ import annotations

import json
import random
import sys
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rlem.core.types import Task
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


def play_episode(shop: WebShop, task: Task, rng: random.Random) -> None:
    """Random valid actions to the end or the step limit."""
    step = shop.reset(task)
    for _ in range(EPISODE_STEPS):
        action = rng.choice(step.actions)
        if action.startswith("search["):
            words = task.instruction.split()
            action = f"search[{' '.join(rng.sample(words, min(4, len(words))))}]"
        step = shop.step(action)
        if step.done:
            break


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
            play_episode(shop, tasks[number % different % goals], random.Random(number % different))
        print(json.dumps([episodes * point // POINTS, rss_mib()]), flush=True)


def shares() -> dict[str, float] | None:
    """Memory in MiB: what only this process has, what of that it has written (the rest are pages of files
    that no other process has mapped now), with its share of what it shares (PSS), and with all of that
    (RSS). None where the system does not tell."""
    rollup = Path("/proc/self/smaps_rollup")
    if not rollup.exists():
        return None
    rows = [line.split() for line in rollup.read_text().splitlines()[1:]]
    kib = {row[0].rstrip(":"): int(row[1]) for row in rows}
    found = {
        "private": kib["Private_Clean"] + kib["Private_Dirty"],
        "written": kib["Private_Dirty"],
        "pss": kib["Pss"],
        "rss": kib["Rss"],
    }
    return {name: size / 1024 for name, size in found.items()}


def together(source: str, episodes: int, seed: int) -> None:
    """Reads the queries, plays, says that it is ready; then answers each line on stdin: a number of seconds
    with the milliseconds of each search in that time, "memory" with what it has."""
    asked = json.loads(sys.stdin.readline())
    rng = random.Random(seed)
    rng.shuffle(asked)
    shop = open_shop(source)
    tasks = shop.tasks(f"0:{min(GOALS, len(shop.catalogue.goals))}")
    for _ in range(episodes):
        play_episode(shop, rng.choice(tasks), rng)
    search = shop.shop.ranking.search
    search(asked[0])
    print(json.dumps("ready"), flush=True)
    for line in sys.stdin:
        if line.strip() == "memory":
            print(json.dumps(shares()), flush=True)
            continue
        times: list[float] = []
        end = perf_counter() + float(line)
        while not times or perf_counter() < end:
            begin = perf_counter()
            search(asked[len(times) % len(asked)])
            times.append(1000 * (perf_counter() - begin))
        print(json.dumps(times), flush=True)


if __name__ == "__main__":
    if sys.argv[1] == "open":
        opened(sys.argv[2])
    elif sys.argv[1] == "together":
        together(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
    else:
        leak(sys.argv[2], int(sys.argv[3]))
