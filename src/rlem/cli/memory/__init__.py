"""``rlem memory``: look into a memory, in a file or on a server, and manage it."""

from __future__ import annotations

import click

from rlem.cli.groups import HelpfulGroup
from rlem.cli.memory import care, change, effect, history, influence, look, measure, move, settings
from rlem.cli.memory.common import open_file

__all__ = ["memory", "open_file"]


@click.group(cls=HelpfulGroup)
def memory() -> None:
    """Look into a memory: what was learned, where it came from; forget, branch, merge.

    FILE is a memory file or a postgresql:// URL.

    Example: rlem memory show shop.rlem
    """


for _command in (
    look.show,
    look.explain,
    history.log,
    history.diff,
    history.branch,
    history.merge,
    change.forget,
    change.correct,
    settings.rebuild,
    settings.views,
    care.doctor,
    measure.measure,
    effect.effect,
    influence.influence,
    move.export_,
    move.import_,
    move.copy_,
):
    memory.add_command(_command)
