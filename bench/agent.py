"""What a step of the agent costs beside the model: python bench/agent.py [--n EXPERIENCES]

Recall, advice, prompt, token count and parsing around a model that answers at once, on shop pages of tasks
that the memory has never seen. Target: below 3 ms at 500 experiences.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench._common import STEPS, Walker, facts, p50, quantile, timed

from rlem.agents.base import View
from rlem.agents.prompted import PromptedAgent, llm_only, rememberer
from rlem.core.types import Step, Task
from rlem.llm.base import Prompt
from rlem.memory.config import MemoryConfig
from rlem.memory.memory import ExperienceMemory
from rlem.memory.volatile import InMemoryStore
from rlem.similarity.config import preset
from rlem.testing.scripted_model import ScriptedModel


def first_action(prompt: Prompt) -> str:
    """An answer that is valid on the page: its first available action."""
    element = prompt.user.rpartition("Available Actions:\n- ")[2].partition("\n")[0]
    action = "search[red kettle]" if element == "search" else f"click[{element}]"
    return f"Encouraged:\n{action} -> 0.5 the first one"


def views(walker: Walker, count: int) -> list[View]:
    """Steps of tasks that the memory has not seen."""
    found = []
    for number in range(count):
        situation = walker.query(number)
        task = Task(id=str(number), instruction=situation.task)
        step = Step(observation=situation.observation, actions=situation.actions)
        found.append(View(task=task, step=step, step_index=number % STEPS, seed=number))
    return found


def unusable(agent: PromptedAgent, given: list[View]) -> int:
    """How many steps end without an action (should be 0)."""
    return sum(agent.act(view).action is None for view in given)


def main() -> None:
    """Measures the agent with memory and without."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--n", type=int, default=500, help="experiences in memory")
    parser.add_argument("--steps", type=int, default=500, help="steps to time")
    options = parser.parse_args()
    walker = Walker(options.n // STEPS + 2 * options.steps)
    memory = ExperienceMemory(InMemoryStore(), MemoryConfig(similarity=preset("webshop")))
    memory.record_many(walker.episodes(options.n // STEPS))
    model = ScriptedModel(first_action)
    bounds = (0.0, 1.0)
    agents = {
        "rememberer": rememberer(memory, model, "webshop", reward_range=bounds),
        "llm-only": llm_only(model, "webshop"),
    }
    given = views(walker, options.steps)
    print(f"{facts()}; {len(memory):,} experiences, {options.steps} steps, k=2, webshop style")
    for name, agent in agents.items():
        failed = unusable(agent, views(walker, 20))
        times = [timed(_act(agent, view)) for view in given]
        print(
            f"{name:10} median {p50(times):6.3f} ms  p95 {quantile(times, 0.95):6.3f} ms  "
            f"unusable {failed}/20"
        )
    recall = [timed(lambda view=view: memory.recall(view.situation, 16)) for view in given]  # type: ignore[misc]
    print(f"of it recall of 16 candidates: median {p50(recall):.3f} ms")


def _act(agent: PromptedAgent, view: View) -> Callable[[], object]:
    return lambda: agent.act(view)


if __name__ == "__main__":
    main()
