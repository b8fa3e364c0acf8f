"""``rlem env``: what can be played, and playing it by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.text import Text

from rlem.cli.check import check
from rlem.cli.groups import HelpfulGroup
from rlem.cli.options import environment_config, environment_options
from rlem.cli.serve import serve


@click.group(cls=HelpfulGroup)
def env() -> None:
    """List the environments and their task sets; play by hand; compare with recordings of the original.

    Example: rlem env list
    """


@env.command(name="list")
@click.option("--data", type=click.Path(path_type=Path), help="The shop's data: a folder or a store.")
def list_(data: Path | None) -> None:
    """Environments with their task sets.

    Example: rlem env list
    """
    from rlem.environments.registry import make, names, option_names

    console = Console()
    for name in names():
        options = {"data": str(data)} if data and "data" in option_names(name) else {}
        environment = make(name, **options)
        console.print(Text(name, style="bold"))
        console.print(
            f"  {environment.max_steps} steps an episode; return {environment.reward_range[0]:g} to "
            f"{environment.reward_range[1]:g}; options: {', '.join(option_names(name))}",
            highlight=False,
        )
        for task_set, text in environment.task_sets().items():
            console.print(Text(f"  {task_set:<12} {text}"))
        environment.close()


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
