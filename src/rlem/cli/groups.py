"""Groups of commands: in the order they were written, and helpful about a mistyped name."""

from __future__ import annotations

import difflib

import click


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
