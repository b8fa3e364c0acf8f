"""``rlem env serve``: the shop in a browser."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from rlem.cli.options import NearChoice

_LOCAL = ("127.0.0.1", "localhost", "::1")


@click.command()
@click.argument("environment", type=NearChoice(["webshop"]))
@click.option(
    "--data", type=click.Path(path_type=Path), help="Folder with the original's data, or a shop.db."
)
@click.option("--goals", type=NearChoice(["synthetic", "human"]), help="Goals of --data.")
@click.option("--price-seed", type=int, help="Of prices and price limits (0).")
@click.option("--products", "n_products", type=int, help="Products of the bundled shop (1000).")
@click.option("--task", "task_set", default="test", show_default=True, help="Task set or range A:B.")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=8000, show_default=True, help="0 takes any free one."
)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen at.")
@click.option("--open", "open_browser", is_flag=True, help="Open the browser there.")
def serve(environment: str, task_set: str, port: int, host: str, open_browser: bool, **options: Any) -> None:
    """Serve a shop as a web site, to shop by hand and see the reward.

    For people at their own machine: the server is Werkzeug's threaded one, without accounts or
    encryption. It stops with Ctrl-C, and forgets all visits.

    Example: rlem env serve webshop --task S0 --open
    """
    from rlem.core.errors import UsageError
    from rlem.environments.registry import make
    from rlem.environments.webshop.env import WebShop
    from rlem.environments.webshop.site import create_app, open_server

    given = {name: value for name, value in options.items() if value is not None}
    if "data" in given:
        given["data"] = str(given["data"])
    world = make(environment, **given)
    if not isinstance(world, WebShop):
        raise UsageError(f"environment {environment!r} has no web site; allowed: webshop")
    tasks = world.tasks(task_set)
    server = open_server(create_app(world, tasks), host, port)
    try:
        address = f"http://{f'[{host}]' if ':' in host else host}:{server.port}/"
        click.echo(f"{address}  {len(tasks)} tasks of {task_set}. Ctrl-C stops the server.")
        if host not in _LOCAL:
            click.echo(f"rlem: whoever can reach {host} can shop here, too", err=True)
        if open_browser:
            click.launch(address)
        server.serve_forever()
    except KeyboardInterrupt:  # before the server itself looks out for it
        pass
    finally:
        server.server_close()
        world.close()
    click.echo("stopped")
