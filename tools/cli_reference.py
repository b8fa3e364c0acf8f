"""Writes docs/cli.md, the reference of the command line, from the commands' own help.

Usage: python tools/cli_reference.py [--check] [--cli MODULE:NAME] [--output FILE]

``--check`` writes nothing and fails when the file is not what would be written.
"""

from __future__ import annotations

import difflib
import importlib
import sys
from collections.abc import Iterator
from pathlib import Path

import click

ROOT = Path(__file__).resolve().parent.parent
WIDTH = 90  # of the help texts, whatever the terminal's

HEAD = """\
# Command line reference

<!-- Made by `python3 dev.py docs` from the commands' own help. Do not edit. -->

Every command prints this itself with `--help`.
"""


def commands(
    command: click.Command, name: str, parent: click.Context | None = None
) -> Iterator[click.Context]:
    """The context of a command and of all below it that are not hidden, by name, parents first."""
    settings = dict(command.context_settings)
    settings |= {"terminal_width": WIDTH, "max_content_width": WIDTH, "color": False}
    context = click.Context(command, info_name=name, parent=parent, **settings)
    yield context
    if isinstance(command, click.Group):
        for below in command.list_commands(context):
            child = command.get_command(context, below)
            if child is not None and not child.hidden:
                yield from commands(child, below, context)


def anchor(title: str) -> str:
    """The link target that a Markdown heading gets."""
    return title.lower().replace(" ", "-")


def reference(cli: click.Command, name: str) -> str:
    """The whole page."""
    contexts = list(commands(cli, name))
    contents = [f"- [`{context.command_path}`](#{anchor(context.command_path)})" for context in contexts]
    sections = [
        f"## {context.command_path}\n\n```text\n{plain(context.command.get_help(context))}\n```\n"
        for context in contexts
    ]
    return "\n".join([HEAD, *contents, "", *sections])


def plain(text: str) -> str:
    """A help text without blanks at the ends of lines."""
    return "\n".join(line.rstrip() for line in text.rstrip().splitlines())


@click.command()
@click.option("--check", is_flag=True, help="Write nothing; fail when the file is out of date.")
@click.option("--cli", "source", default="rlem.cli.main:cli", show_default=True, help="The click command.")
@click.option("--output", type=click.Path(path_type=Path), default=ROOT / "docs" / "cli.md")
def main(check: bool, source: str, output: Path) -> None:
    """Writes the reference of the command line, or checks it."""
    module, _, attribute = source.partition(":")
    cli = getattr(importlib.import_module(module), attribute)
    wanted = reference(cli, "rlem")
    if not check:
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_text(wanted, encoding="utf-8")
        click.echo(f"wrote {output.name}")
        return
    found = output.read_text(encoding="utf-8") if output.exists() else ""
    if found != wanted:
        names = (f"{output.name} (stored)", f"{output.name} (from the help)")
        for line in difflib.unified_diff(found.splitlines(), wanted.splitlines(), *names, lineterm="", n=1):
            click.echo(line, err=True)
        click.echo(f"{output.name} is out of date: run `python3 dev.py docs`", err=True)
        sys.exit(1)
    click.echo(f"{output.name} is up to date")


if __name__ == "__main__":
    main()
