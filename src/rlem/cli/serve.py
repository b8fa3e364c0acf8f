"""``rlem env serve``: an environment in a browser."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import click

from rlem.cli.options import NearChoice, environment_config, environment_options

_SITES = {"webshop": "rlem.environments.webshop.site", "wikihow": "rlem.environments.wikihow.site_web"}
_LOCAL = ("127.0.0.1", "localhost", "::1")
_NOT_HERE = ("observation_mode", "max_steps")
"""Options of an environment that a person with a browser has no use for."""


@click.command()
@click.argument("environment", type=NearChoice(list(_SITES)))
@environment_options
@click.option("--task", "task_set", default="test", show_default=True, help="Task set or range A:B.")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=8000, show_default=True, help="0 takes any free one."
)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen at.")
@click.option("--open", "open_browser", is_flag=True, help="Open the browser there.")
def serve(environment: str, task_set: str, port: int, host: str, open_browser: bool, **options: Any) -> None:
    """Serve a shop or a phone as a web site, to play by hand and see the reward.

    For people at their own machine: the server is Werkzeug's threaded one, without accounts or
    encryption. It stops with Ctrl-C, and forgets all visits.

    Example: rlem env serve webshop --task S0 --open
    """
    from rlem.environments.registry import make

    site = import_module(_SITES[environment])
    world = make(environment, **environment_config(options | dict.fromkeys(_NOT_HERE), environment))
    tasks = world.tasks(task_set)
    server = site.open_server(site.create_app(world, tasks, host=host), host, port)
    try:
        address = f"http://{f'[{host}]' if ':' in host else host}:{server.port}/"
        count = "1 task" if len(tasks) == 1 else f"{len(tasks)} tasks"
        click.echo(f"{address}  {count} of {task_set}. Ctrl-C stops the server.")
        if host not in _LOCAL:
            click.echo(f"rlem: whoever can reach {host} can play here, too", err=True)
        if open_browser:
            click.launch(address)
        server.serve_forever()
    except KeyboardInterrupt:  # before the server itself looks out for it
        pass
    finally:
        server.server_close()
        world.close()
    click.echo("stopped")


serve.params = [option for option in serve.params if option.name not in _NOT_HERE]
