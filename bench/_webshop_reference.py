"""Drives a checkout of the original WebShop, with the Python that its requirements are installed for.

bench/webshop.py starts this: python _webshop_reference.py CHECKOUT PRODUCTS. It answers each line on stdin,
"STEPS SEED", with one line of JSON: what it played and how long that took, or {"error": ...}. It knows
nothing of rlem, as that Python may be an old one, and asks of the checkout only what its users call.
"""

from __future__ import annotations

import json
import os
import random
import sys
from time import perf_counter
from typing import Any

EPISODE_STEPS = 15
GOALS = 500


def choose(env: Any, instruction: str, rng: random.Random) -> str:
    """A random action that is valid on the page, by the rule of bench/_common.py."""
    available = env.get_available_actions()
    if available["has_search_bar"]:
        words = instruction.split()
        return f"search[{' '.join(rng.sample(words, min(4, len(words))))}]"
    target = rng.choice([text for text in available["clickables"] if "[" not in text])
    return f"click[{target}]"


def play(env: Any, least: int, seed: int) -> dict[str, Any]:
    """At least so many steps, in whole episodes."""
    rng = random.Random(seed)
    goals = min(GOALS, len(env.server.goals))
    steps = episodes = searches = purchases = 0
    begin = perf_counter()
    while steps < least:
        env.reset(session=episodes % goals)
        episodes += 1
        instruction = env.get_instruction_text()
        for _ in range(EPISODE_STEPS):
            action = choose(env, instruction, rng)
            searches += action.startswith("search[")
            done = env.step(action)[2]
            steps += 1
            if done:
                purchases += 1
                break
    seconds = perf_counter() - begin
    return {"steps": steps, "seconds": seconds, "searches": searches, "purchases": purchases}


def main() -> None:
    """Serves until stdin ends. What the checkout prints goes to stderr."""
    checkout, products = sys.argv[1:3]
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def answer(content: dict[str, Any]) -> None:
        answers.write(json.dumps(content) + "\n")
        answers.flush()

    try:
        os.chdir(checkout)
        sys.path.insert(0, checkout)
        begin = perf_counter()
        from web_agent_site.envs import WebAgentTextEnv  # type: ignore[import-not-found]

        count = None if products == "all" else int(products)
        env = WebAgentTextEnv(observation_mode="text_rich", num_products=count)
        answer({"open_s": perf_counter() - begin, "goals": len(env.server.goals)})
        for line in sys.stdin:
            steps, seed = line.split()
            answer(play(env, int(steps), int(seed)))
    except Exception as error:
        answer({"error": f"{type(error).__name__}: {error}"})


if __name__ == "__main__":
    main()
