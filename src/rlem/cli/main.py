"""The top of the command line: groups, help, and what a user sees when something fails."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Sequence
from typing import Any

import click

import rlem
from rlem.cli.data import data
from rlem.cli.distill import distill
from rlem.cli.environments import env
from rlem.cli.groups import HelpfulGroup
from rlem.cli.memory import memory
from rlem.cli.reproduce import reproduce
from rlem.cli.runs import evaluate, report, train
from rlem.core.errors import RlemError

INTERRUPTED = 130
"""Exit status after Ctrl-C."""
_RUN = " A run goes on where it stopped: give the same command again."
_WHOLE = " Nothing half-done is kept: give the same command again."
_STOPPED = {
    "train": _RUN,
    "eval": _RUN,
    "reproduce": _RUN,
    "distill train": " Histories and trained seeds are kept: give the same command again.",
    "distill count": _WHOLE,
    "memory": _WHOLE,
    "data webshop": _WHOLE,
}
"""What is said of a command that was stopped by Ctrl-C, where there is something to say."""

# A command without arguments prints its help; click before 8.2 does so without an error.
_NO_ARGUMENTS: type[click.ClickException] | tuple[()] = getattr(click.exceptions, "NoArgsIsHelpError", ())


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


for _command in (train, evaluate, reproduce, distill, report, memory, env, data):
    cli.add_command(_command)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit status. One line on stderr says what went wrong."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in given
    if debug:  # understood anywhere, for who needs it puts it behind the command that failed
        given = ["--debug", *(word for word in given if word != "--debug")]
    try:
        result: Any = cli.main(args=given, prog_name="rlem", standalone_mode=False)
        sys.stdout.flush()
    except click.exceptions.Exit as done:
        return done.exit_code
    except click.ClickException as error:
        if isinstance(error, _NO_ARGUMENTS):
            error.show()
            return error.exit_code
        click.echo(f"rlem: {_one_line(error.format_message())} See: {_place(given)} --help", err=True)
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        place = f"{_place(given)} "
        said = next((text for start, text in _STOPPED.items() if place.startswith(f"rlem {start} ")), "")
        click.echo(f"rlem: stopped.{said}", err=True)
        return INTERRUPTED
    except SystemExit:  # rich's answer to a reader of our output that has gone
        return 0
    except BrokenPipeError:
        # The reader of our output has gone (as in "| head"); nothing is wrong on this side.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except RlemError as error:
        if debug:
            traceback.print_exc()
        click.echo(f"rlem: {_one_line(str(error))}", err=True)
        return error.exit_status
    except OSError as error:  # what no floor below has named: a full disk under stdout, a vanished folder
        if debug:
            traceback.print_exc()
        click.echo(f"rlem: {error} (--debug shows where)", err=True)
        return RlemError.exit_status
    return result if isinstance(result, int) else 0


def _place(given: Sequence[str]) -> str:
    """The command that was given: click does not name it where an option lacks its argument."""
    command: click.Command = cli
    path = "rlem"
    for word in given:
        if isinstance(command, click.Group) and not word.startswith("-"):
            if word not in command.commands:
                break
            command = command.commands[word]
            path += f" {word}"
    return path


def _one_line(text: str) -> str:
    return " ".join(line.strip() for line in text.splitlines())
