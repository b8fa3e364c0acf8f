"""The top of the command line: groups, help, and what a user sees when something fails."""

from __future__ import annotations

import difflib
import os
import sys
import traceback
from collections.abc import Sequence
from typing import Any

import click

import rlem
from rlem.core.errors import RlemError

INTERRUPTED = 130
"""Exit status after Ctrl-C."""


class HelpfulGroup(click.Group):
    """A group that proposes the nearest command for an unknown one and lists commands as declared."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            near = difflib.get_close_matches(args[0], list(self.commands), n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            known = ", ".join(self.commands)
            raise click.UsageError(
                f"No such command {args[0]!r}.{hint} Commands: {known}.", ctx=error.ctx
            ) from error


@click.group(cls=HelpfulGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(rlem.__version__, prog_name="rlem")
@click.option("--debug", is_flag=True, help="On an error, print the whole traceback.")
@click.pass_context
def cli(ctx: click.Context, debug: bool) -> None:
    """LLM agents that learn from their own past, at the cost of a memory instead of a training run.

    \b
    rlem train webshop            train on the bundled shop and report what memory changed
    rlem memory show FILE         look into what an agent has learned
    """
    ctx.obj = {"debug": debug}


def _register() -> None:
    from rlem.cli.environments import env
    from rlem.cli.memory import memory
    from rlem.cli.runs import evaluate, report, train

    for command in (train, evaluate, report, memory, env):
        cli.add_command(command)


_register()


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit status. One line on stderr says what went wrong."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        result: Any = cli.main(args=given, prog_name="rlem", standalone_mode=False)
        sys.stdout.flush()
    except click.exceptions.Exit as done:
        return done.exit_code
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("rlem: stopped. Run the same command again to go on where it stopped.", err=True)
        return INTERRUPTED
    except BrokenPipeError:
        # The reader of our output has gone (as in "| head"); nothing is wrong on this side.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except RlemError as error:
        if "--debug" in given:
            traceback.print_exc()
        click.echo(f"rlem: {error}", err=True)
        return error.exit_status
    return result if isinstance(result, int) else 0


def run() -> None:
    """Entry point of the installed command."""
    raise SystemExit(main())


if __name__ == "__main__":
    run()
