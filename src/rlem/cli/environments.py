"""``rlem env``: what can be played, and playing it by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from rlem.cli.check import check
from rlem.cli.groups import HelpfulGroup
from rlem.cli.options import NearChoice, environment_config, environment_options
from rlem.cli.serve import serve


@click.group(cls=HelpfulGroup)
def env() -> None:
    """List the environments and their task sets; play by hand; compare with recordings of the original.

    Example: rlem env list
    """


@env.command(name="list")
@click.option("--data", type=click.Path(path_type=Path), help="The shop's data: a folder or a store.")
@click.option("--goals", type=NearChoice(["synthetic", "human"]), help="Goals of --data.")
def list_(data: Path | None, goals: str | None) -> None:
    """Environments with their task sets; with --data, those of that data.

    Example: rlem env list --data DIR --goals human
    """
    from rlem.environments.registry import make, names, option_names

    given = {"data": str(data) if data else None, "goals": goals}
    options = {name: value for name, value in given.items() if value is not None}
    console = Console()
    for name in names():
        if not set(options) <= set(option_names(name)):
            continue
        environment = make(name, **options)
        low, high = environment.reward_range
        console.print(Text(name, style="bold"))
        _print_line(console, "steps", f"{environment.max_steps} an episode")
        _print_line(console, "return", f"{low:g} to {high:g}")
        _print_line(console, "options", ", ".join(option_names(name)))
        for task_set, text in environment.task_sets().items():
            _print_line(console, task_set, text)
        _print_line(console, "A:B", "tasks A up to, not including, B")
        environment.close()


def _print_line(console: Console, name: str, text: str) -> None:
    """A name and what it stands for, in two columns."""
    table = Table.grid(padding=(0, 1))
    table.add_column(width=14)
    table.add_column(overflow="fold")
    table.add_row(Text(name), Text(text))
    console.print(Padding(table, (0, 0, 0, 2)))


@env.command()
@click.argument("environment")
@click.option(
    "--task", "task_set", default="test", show_default=True, help="Task set or range A:B; its first task."
)
@environment_options
@click.option("--seed", type=int, default=0, show_default=True, help="Of the environment.")
def play(environment: str, task_set: str, seed: int, **options: Any) -> None:
    """Play a task at the terminal: type an action or its number.

    Example: rlem env play webshop --task 7:8
    """
    from rlem.agents.simple import HumanAgent
    from rlem.environments.registry import make
    from rlem.runner.play import Job
    from rlem.runner.play import play as play_job

    limit = options.pop("max_steps")
    world = make(environment, **environment_config(options))
    task = world.tasks(task_set)[0]
    job = Job(phase="eval", epoch=0, arm="no-memory", seed=seed, task=task, index=0)
    record = play_job(world, HumanAgent(), job, max_steps=limit or world.max_steps).record
    world.close()
    end = {"terminated": "the task is over", "truncated": "the step limit is reached"}
    click.echo(f"\n{end.get(record.status, 'stopped')}: reward {record.reward:g}, success: {record.success}")


env.add_command(serve)
env.add_command(check)
