"""``rlem env``: what can be played, and playing it by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from rlem.cli.check import check
from rlem.cli.groups import HelpfulGroup
from rlem.cli.options import environment_config, environment_flags, environment_options
from rlem.cli.serve import serve

if TYPE_CHECKING:
    from rlem.environments.base import Environment


@click.group(cls=HelpfulGroup)
def env() -> None:
    """List the environments and their task sets; play by hand; compare with recordings of the original.

    Example: rlem env list
    """


@env.command(name="list")
@click.argument("environment", required=False)
@environment_options
def list_(environment: str | None, **given: Any) -> None:
    """Environments with their task sets; with options, those that take them.

    Example: rlem env list webshop --data DIR --goals human
    """
    from rlem.core.errors import MissingExtraError, RlemError
    from rlem.environments.registry import make, names, option_names

    options = environment_config(given, environment)
    errors: list[RlemError] = []
    listed = 0
    for name in [environment] if environment else names():
        if not environment and not set(options) <= set(option_names(name)):
            continue
        try:
            world = make(name, **options)
        except RlemError as error:  # data of another environment, or an extra that is not installed
            errors.append(error)
            continue
        _print_environment(name, world)
        listed += 1
    if errors and not listed:
        raise next((error for error in errors if not isinstance(error, MissingExtraError)), errors[0])


list_.params = [option for option in list_.params if option.name != "max_steps"]


def _print_environment(name: str, world: Environment) -> None:
    console = Console()
    low, high = world.reward_range
    console.print(Text(name, style="bold"))
    _print_line(console, "steps", f"{world.max_steps} an episode")
    _print_line(console, "return", f"{low:g} to {high:g}")
    _print_line(console, "options", ", ".join(environment_flags(name)))
    for task_set, text in world.task_sets().items():
        _print_line(console, task_set, text)
    _print_line(console, "A:B", "tasks A up to, not including, B")
    world.close()


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

    On a phone (wikihow), type the number of what to click; a number and words to type there; u or d to
    scroll, b to go back.

    Example: rlem env play webshop --task 7:8
    """
    from rlem.environments.registry import make
    from rlem.runner.play import Job
    from rlem.runner.play import play as play_job
    from rlem.runner.setup import person

    limit = options.pop("max_steps")
    world = make(environment, **environment_config(options, environment))
    limit = limit or world.max_steps
    task = world.tasks(task_set)[0]
    job = Job(phase="eval", epoch=0, arm="no-memory", seed=seed, task=task, index=0)
    record = play_job(world, person(world, limit), job, max_steps=limit).record
    world.close()
    end = {"terminated": "the task is over", "truncated": "the step limit is reached"}
    # Not the record's own: that of an episode which was left is 0.
    reward = sum(step.reward for step in record.steps)
    click.echo(f"\n{end.get(record.status, 'stopped')}: reward {reward:g}, success: {record.success}")


env.add_command(serve)
env.add_command(check)
