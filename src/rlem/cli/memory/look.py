"""``rlem memory show`` and ``explain``."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from rlem.cli.memory.common import FILE, VIEW, count, cut, learning, open_file, short
from rlem.core.errors import UsageError
from rlem.core.types import Situation
from rlem.memory.ranking import Bounds, posterior_of

if TYPE_CHECKING:
    from rlem.api.memory import Memory
    from rlem.memory.config import MemoryConfig
    from rlem.memory.experience import ActionValue, Experience
    from rlem.memory.explain import Contribution
    from rlem.memory.memory import ExperienceMemory

PAGE_CHARS = 6000


@click.command()
@FILE
@click.option("--task", default="", help="Only experiences whose task holds this text.")
@click.option("--limit", type=click.IntRange(1), default=20, show_default=True, help="Experiences shown.")
@click.option("--at", "revision", type=click.IntRange(0), help="As it was at this revision.")
@VIEW
def show(file: Path | str, task: str, limit: int, revision: int | None, view: str) -> None:
    """What a memory holds: its experiences with the value of every tried action.

    Example: rlem memory show runs/webshop-1a2b3c4d/memory-0.rlem --task coffee
    """
    from rlem.api.control import LogEvidence, muted_words
    from rlem.memory.history import at

    with open_file(file, view=view) as present:
        opened = present if revision is None else at(present, revision)
        found = [e for e in opened.experiences() if task.casefold() in e.situation.task.casefold()]
        found.sort(key=lambda e: (-e.samples, e.key))
        table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
        for name in ("key", "visits", "task, due, value (n) of actions"):
            table.add_column(name, overflow="fold")
        for experience in found[:limit]:
            table.add_row(experience.key[:8], str(experience.visits), cut("\n".join(_lines(experience))))
        beside = "" if view == "main" else f", view {view}"
        beside += "" if revision is None else f", at revision {revision}"
        console = Console()
        console.print(
            f"{present.location}{beside}: {count(len(opened), 'experience')} from "
            f"{count(opened.episode_count(), 'episode')}; "
            f"{learning(opened.config)}; {opened.config.similarity.fingerprint}",
            highlight=False,
        )
        muted = LogEvidence(opened).muted_keys()
        if muted:
            console.print(f"{muted_words(muted)} (rlem memory effect)", highlight=False)
        if found:
            console.print(table)
        elif task:
            console.print(f"no experience has {task!r} in its task", highlight=False, markup=False)
        if len(found) > limit:
            console.print(f"... and {len(found) - limit} more (--limit)", highlight=False)


def _lines(experience: Experience) -> Iterator[str]:
    """What `show` says of an experience: task, instruction due, and the four best actions."""
    situation = experience.situation
    yield " ".join(situation.task.split())
    if situation.subtask:
        yield f"due: {' '.join(situation.subtask.split())}"
    best = sorted(experience.actions, key=lambda a: -a.q_value)
    for a in best[:4]:
        yield " ".join(f"  {a.q_value:.2f} ({a.visits})  {a.action}  {a.reason}".splitlines())
    if len(best) > 4:
        yield f"  and {len(best) - 4} more"


@click.command()
@FILE
@click.argument("key", required=False)
@click.option("--action", help="Only this action.")
@click.option("--query", metavar="TASK", help="The advice on this task; with --observation.")
@click.option("--observation", help="The page on which the advice is asked for.")
@click.option("--episode", help="The advice on a situation of this episode; with --step.")
@click.option("--step", type=click.IntRange(0), help="From 0.")
@click.option(
    "-k", "k", type=click.IntRange(1), default=2, show_default=True, help="Experiences of the advice."
)
@click.option(
    "--reward-range",
    type=(float, float),
    metavar="LOW HIGH",
    help="Range of an episode's return, where it is known: for closer intervals.",
)
@VIEW
@click.option("--json", "as_json", is_flag=True, help="As one JSON list.")
def explain(
    file: Path | str,
    key: str | None,
    action: str | None,
    query: str | None,
    observation: str | None,
    episode: str | None,
    step: int | None,
    k: int,
    reward_range: tuple[float, float] | None,
    view: str,
    as_json: bool,
) -> None:
    """Where values and advice come from: every visit with episode, reward, target, n.

    Of one experience: KEY is the start of its key, as `rlem memory show` prints it. Of the advice on a
    situation: --query and --observation, or --episode and --step. Then each experience recalled comes with
    the parts of its similarity, and with the actions that are advised.

    Example: rlem memory explain shop.rlem 3fa9c210 --action 'click[buy now]'
    """
    from rlem.api.memory import Memory

    ways = (key is not None, (query, observation) != (None, None), (episode, step) != (None, None))
    if sum(ways) != 1:
        raise UsageError("say what to explain: KEY, or --query and --observation, or --episode and --step")
    with open_file(file, view=view) as opened:
        memory = Memory(opened, k=k, reward_range=reward_range)  # refuses a range that is none
        if key is not None:
            experience = _by_key(opened, key)
            found = [_described(experience, {a.action: "" for a in experience.actions}, reward_range)]
        else:
            situation = _situation(opened, query, observation, episode, step)
            found = _advised(memory, situation, reward_range)
        if action is not None:
            found = [{**e, "actions": [a for a in e["actions"] if a["action"] == action]} for e in found]
            if key is not None and not found[0]["actions"]:
                known = ", ".join(a.action for a in experience.actions)
                raise UsageError(f"action {action!r} was never tried there; tried were: {known}")
        _add_visits(opened, found)
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    console = Console()
    if not found:
        console.print("nothing is recalled: no experience is there")
    for item in found:
        _print(console, item)


def _by_key(opened: ExperienceMemory, key: str) -> Experience:
    experience = opened.get(key)
    if experience is None:
        several = sum(e.key.startswith(key) for e in opened.experiences())
        raise UsageError(
            f"{several or 'no'} experiences of {opened.location} have a key that starts with {key!r}: "
            + ("give more of it" if several else "give one that `rlem memory show` prints")
        )
    return experience


def _situation(
    opened: ExperienceMemory, task: str | None, observation: str | None, episode: str | None, step: int | None
) -> Situation:
    if episode is None and step is None:
        if task is None or observation is None:
            raise UsageError("--query and --observation belong together: give both")
        return Situation(task=task, observation=observation)
    if episode is None or step is None:
        raise UsageError("--episode and --step belong together: give both")
    found = opened.find_episode(episode)
    if found is None or step >= len(found.transitions):
        there = "there is no such episode" if found is None else f"it has {len(found.transitions)} steps"
        raise UsageError(f"{opened.location} has no step {step} of episode {episode!r}: {there}")
    return found.transitions[step].situation


def _advised(memory: Memory, situation: Situation, bounds: Bounds) -> list[dict[str, Any]]:
    """The experiences that advice on a situation is made of, with the actions that it names."""
    advice = memory.advise(situation)
    found = []
    for recalled in advice.recalled:
        sides = {
            line.action: side
            for side, lines in (("discouraged", advice.discouraged), ("encouraged", advice.encouraged))
            for line in lines
            if line.key == recalled.experience.key
        } or {a.action: _why_not(a) for a in recalled.experience.actions}
        likeness = {"similarity": recalled.similarity, "parts": dict(recalled.parts)}
        found.append({**likeness, **_described(recalled.experience, sides, bounds)})
    return found


def _why_not(action: ActionValue) -> str:
    if not action.verified_visits:
        return "not advised, unverified"
    return "not advised, its verified value is not above 0"


def _described(experience: Experience, sides: Mapping[str, str], bounds: Bounds) -> dict[str, Any]:
    """An experience with these of its actions: the value of each, and what is said of it."""
    actions = [a for a in experience.actions if a.action in sides]
    return {
        "key": experience.key,
        "task": experience.situation.task,
        "observation": experience.situation.observation,
        "subtask": experience.situation.subtask,
        "history": list(experience.history),
        "actions": [
            {**_statistics(a, bounds), "advice": sides[a.action]}
            for a in sorted(actions, key=lambda a: -a.q_value)
        ],
    }


def _statistics(action: ActionValue, bounds: Bounds) -> dict[str, Any]:
    known = posterior_of(action, bounds)
    ends = [known.lower, known.upper]
    return {
        "action": action.action,
        "reason": action.reason,
        "value": action.q_value,
        "n": action.visits,
        "spread": known.spread,
        "interval": ends if all(map(math.isfinite, ends)) else None,
        "mean_reward": action.reward_mean,
        "verified_n": action.verified_visits,
        "verified_value": action.verified_q_value,
    }


def _add_visits(opened: ExperienceMemory, found: Sequence[dict[str, Any]]) -> None:
    """Adds to each action where its value comes from."""
    from rlem.memory.explain import visits

    known = visits(opened.store, opened.config, {item["key"] for item in found})
    for item in found:
        for action in item["actions"]:
            made = known.get((item["key"], action["action"]), [])
            action["visits"] = [_visit(opened.config, one) for one in made]


def _visit(config: MemoryConfig, visit: Contribution) -> dict[str, Any]:
    return {
        "n": visit.n,
        "episode": visit.episode.id,
        "step": visit.step,
        "reward": visit.reward,
        "target": visit.target,
        "return": visit.return_,
        "status": visit.episode.status,
        "source": visit.episode.source,
        "trust": config.trust_of(visit.episode),
        "corrected": any(made.step == visit.step for made in visit.episode.corrections),
    }


def _print(console: Console, item: Mapping[str, Any]) -> None:
    if "similarity" in item:
        parts = ", ".join(f"{name} {score:.3f}" for name, score in item["parts"].items())
        console.print(
            Text(f"{item['key'][:8]}  similarity {item['similarity']:.3f}  ({parts})", style="bold")
        )
    console.print(Text(f"task: {item['task']}"))
    if item["history"]:
        console.print(Text(f"reached by: {' > '.join(item['history'])}"))
    if item["subtask"]:
        console.print(Text(f"instruction due: {item['subtask']}"))
    console.print(Text(short(item["observation"], PAGE_CHARS), style="dim"))
    for action in item["actions"]:
        _print_action(console, action)
    console.print()


def _print_action(console: Console, action: Mapping[str, Any]) -> None:
    line = f"{action['action']}  value {action['value']:.3f}  n={action['n']}"
    if action["interval"] is not None:
        low, high = action["interval"]
        line += "" if action["spread"] is None else f"  spread {action['spread']:.3f}"
        line += f"  95 % {low:.3f} to {high:.3f}"
    line += f"  mean reward {action['mean_reward']:.3f}  verified {action['verified_n']} of {action['n']}"
    console.print()
    console.print(Text(f"{action['advice']}: {line}" if action["advice"] else line, style="bold"))
    if action["reason"]:
        console.print(cut(" ".join(action["reason"].split())))
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 1, 0, 1))
    names = ("n", "episode", "step", "reward", "target", "return", "source", "trust")
    for name in names:
        table.add_column(name, overflow="fold", no_wrap=name not in ("episode", "source"))
    table.add_column("")
    for visit in action["visits"]:
        cells = [f"{v:.3f}" if isinstance(v, float) else str(v) for v in (visit[name] for name in names)]
        table.add_row(*map(cut, cells), "corrected" if visit["corrected"] else "")
    console.print(table)
