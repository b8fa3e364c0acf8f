"""How long episodes and calls are: recorded ones, to know what an experiment costs before it costs.

``python -m rlem.experiments.lengths webshop wikihow`` plays a small part of the bundled experiments with the
embedded reader and writes what comes with rlem, ``measured/NAME.json``.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Iterable
from importlib import resources
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from rlem.agents.base import REFLEXION
from rlem.agents.chain_of_thought import CHAIN_OF_THOUGHT
from rlem.agents.prompted import PromptOptions
from rlem.agents.react import REACT
from rlem.environments.registry import make
from rlem.experiments.cells import Cell, cells_of
from rlem.experiments.initial import prepare
from rlem.experiments.schema import Size, load
from rlem.experiments.work import outcomes, play_cells
from rlem.runner.setup import prompt_options

SIZE = Size(
    test="0:20",
    seeds=1,
    epochs=1,
    rows=("LLM only", "Static exemplars", "Rememberer, empty at first", "k = 1", "k = 2", "k = 4"),
)
"""What is played to measure lengths: each prompted agent, and memory with few and many exemplars."""


class Lengths(BaseModel):
    """Means over recorded test episodes: steps of one, calls a step, tokens a call.

    ``where``: how they were recorded. ``exemplars``: the agent's k.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    agent: str
    exemplars: int
    episodes: int
    steps: float
    calls: float
    prompt_tokens: float
    completion_tokens: float
    where: str


def lengths_of(folder: Path, cells: Iterable[Cell], where: str) -> Lengths | None:
    """Lengths of finished cells, which have an agent and its k in common; None where nobody was asked.

    Reflexion's are those of first trials: what a later one took stands on top of theirs.
    """
    episodes = steps = calls = prompt = completion = 0
    last: Cell | None = None
    for cell in cells:
        last = cell
        for epoch, tasks in outcomes(folder, cell).items():
            if epoch and cell.config.agent == REFLEXION:
                continue
            for outcome in tasks.values():
                episodes += 1
                steps += outcome["steps"]
                calls += outcome["calls"]
                prompt += outcome["prompt_tokens"]
                completion += outcome["completion_tokens"]
    if last is None or not steps or not calls:
        return None
    return Lengths(
        agent=last.config.agent,
        exemplars=prompt_options(last.config).k,
        episodes=episodes,
        steps=round(steps / episodes, 3),
        calls=round(calls / steps, 3),
        prompt_tokens=round(prompt / calls, 1),
        completion_tokens=round(completion / calls, 1),
        where=where,
    )


def shipped(environment: str) -> list[Lengths]:
    """The lengths that come with rlem; none for other environments than the bundled experiments'."""
    file = _measured().joinpath(f"{environment}.json")
    return [Lengths(**item) for item in json.loads(file.read_text("utf-8"))] if file.is_file() else []


def nearest(known: Iterable[Lengths], agent: str, exemplars: int) -> Lengths | None:
    """Those of the agent with the nearest number of exemplars; the larger one where two are as near."""
    own = [item for item in known if item.agent == agent]
    return min(own, key=lambda item: (abs(item.exemplars - exemplars), -item.exemplars), default=None)


def derived(agent: str, base: Lengths, options: PromptOptions) -> Lengths:
    """Upper estimate for an agent that reasons, from the lengths of the same prompt without reasoning.

    Calls are those of docs/agents.md; each text that the agent writes for itself is as long as it may be.
    Thoughts of ReAct stay in the prompt: half of an episode's, on average.
    """
    calls, prompt, answer = base.calls, base.prompt_tokens, base.completion_tokens
    if agent in ("react", "react-memory"):
        answer += REACT.thinking_tokens
        prompt += (base.steps - 1) / 2 * REACT.thinking_tokens
    elif agent == "chain-of-thought":
        answer += CHAIN_OF_THOUGHT.thinking_tokens
    elif agent == "rci":  # three calls a step, three more for the plan; plan, answer and criticism are shown
        calls = 3 + 3 / base.steps
        prompt, answer = prompt + 3 * options.max_tokens, float(options.max_tokens)
    elif agent == REFLEXION:  # one call more after a failed trial; three reflections are shown at most
        calls += 1 / base.steps
        prompt += min(3 * options.max_tokens, options.max_input_tokens // 4)
    return base.model_copy(
        update={
            "agent": agent,
            "calls": calls,
            "prompt_tokens": prompt,
            "completion_tokens": answer,
            "where": f"derived from {base.agent}, not recorded",
        }
    )


def measure(name: str, folder: Path) -> list[Lengths]:
    """Plays a small part of a bundled experiment with the embedded reader; its lengths by row."""
    told, beside = load(name)
    rows = tuple(row.model_copy(update={"curve": False}) for row in told.rows)
    told = told.model_copy(update={"initial": told.initial[:1], "train": told.train[:1], "rows": rows})
    world = make(told.environment, **told.environment_options)
    cells = cells_of(told, SIZE, initials=prepare(told, world, folder / "initial", beside))
    world.close()
    play_cells(cells, folder)
    where = f"embedded reader, tasks {SIZE.test}"
    found = (lengths_of(folder, [c for c in cells if c.row == row], where) for row in SIZE.rows)
    return [lengths for lengths in found if lengths is not None]


def _measured() -> Path:
    return Path(str(resources.files("rlem.experiments"))) / "measured"


def _main(names: Iterable[str]) -> None:
    for name in names:
        with tempfile.TemporaryDirectory() as folder:
            found = measure(name, Path(folder))
        file = _measured() / f"{name}.json"
        file.parent.mkdir(exist_ok=True)
        file.write_text(json.dumps([item.model_dump() for item in found], indent=1) + "\n", "utf-8")
        print(file)


if __name__ == "__main__":
    _main(sys.argv[1:])
