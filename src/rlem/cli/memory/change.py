"""``rlem memory forget`` and ``correct``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import click

from rlem.cli.memory.common import FILE, count, open_file
from rlem.cli.options import Number
from rlem.core.errors import UsageError


@click.command()
@FILE
@click.option("--episode", help="The episode of this id.")
@click.option("--task", help="All episodes of this task (its text or id).")
@click.option("--source", help="All episodes of this source.")
@click.option("--before", metavar="TIME", help="All recorded before: 2026-11-23 or 2026-11-23T12:00+01:00.")
@click.option("--everywhere", is_flag=True, help="Out of all copies that FILE knows of, too.")
def forget(
    file: Path | str,
    episode: str | None,
    task: str | None,
    source: str | None,
    before: str | None,
    everywhere: bool,
) -> None:
    """Take episodes out as if they had never been; their bytes go, too.

    Names the branches, exports and run folders that may still hold them.

    Example: rlem memory forget shop.rlem --task webshop:512 --everywhere
    """
    from rlem.api.stores import open_store
    from rlem.memory.everywhere import all_copies, forget_everywhere, raise_problems

    if sum(value is not None for value in (episode, task, source, before)) != 1:
        raise UsageError("say what to forget by one of --episode, --task, --source and --before")
    before_s = None if before is None else _seconds(before)
    with open_file(file, write=True) as opened, _as_given(before_s, before):
        if everywhere:
            outcomes = forget_everywhere(
                opened, open_store, episode=episode, task=task, source=source, before_s=before_s
            )
            for outcome in outcomes[:-1]:
                if not outcome.problem:
                    what = f"{count(outcome.episodes, 'episode')} forgotten"
                    if outcome.copy.kind == "run":
                        what = f"{count(outcome.episodes, 'record')} taken out or changed"
                    click.echo(f"{outcome.copy.place} ({outcome.copy.kind}): {what}")
            gone = outcomes[-1].episodes
        else:
            gone = opened.forget(episode=episode, task=task, source=source, before_s=before_s)
        remain = "remains" if len(opened) == 1 else "remain"
        click.echo(
            f"{opened.location}: {count(gone, 'episode')} forgotten; "
            f"{count(len(opened), 'experience')} {remain}"
        )
        if everywhere:
            raise_problems(outcomes)
        elif copies := all_copies(opened.store, open_store):
            click.echo(
                "copies that may still hold what was forgotten (the same command with --everywhere takes it "
                "out there, too):"
            )
            for copy in copies:
                click.echo(f"  {copy.place} ({copy.kind} of {copy.of})")


@contextmanager
def _as_given(before_s: float | None, before: str | None) -> Iterator[None]:
    """In errors, a time as it was given."""
    try:
        yield
    except UsageError as error:
        raise UsageError(str(error).replace(repr(before_s), repr(before))) from error


def _seconds(text: str) -> float:
    """A time as seconds since the epoch; in the local zone where it names none."""
    try:
        return datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError, OSError) as error:
        raise UsageError(
            f"--before {text!r} is no time ({error}): give a date, or date and time as 2026-11-23T12:00:00"
        ) from error


@click.command()
@FILE
@click.argument("episode")
@click.option("--step", "steps", type=click.IntRange(0), multiple=True, required=True, help="From 0.")
@click.option(
    "--reward", "rewards", type=Number(), multiple=True, required=True, help="Of the step before it."
)
@click.option("--reason", default="", help="Kept with the correction.")
def correct(
    file: Path | str, episode: str, steps: tuple[int, ...], rewards: tuple[float, ...], reason: str
) -> None:
    """Put rewards of an episode right; all values that follow are learned anew.

    Give --step and --reward as often as there are rewards to correct. Prints the values that moved.

    Example: rlem memory correct shop.rlem 3fa9c210 --step 3 --reward 0.5 --reason 'wrong colour'
    """
    from rlem.cli.memory.history import print_difference
    from rlem.memory.history import at, diff

    if len(steps) != len(rewards) or len(set(steps)) != len(steps):
        raise UsageError("give one --reward for each --step, and each step once")
    with open_file(file, write=True) as opened:
        before = at(opened, opened.revision())
        corrected = opened.correct(episode, dict(zip(steps, rewards, strict=True)), reason)
        for item in corrected.corrections[-len(steps) :]:
            click.echo(
                f"{opened.location}: episode {episode}, step {item.step}: {item.was:g} -> {item.now:g}"
            )
        print_difference(diff(before, opened), limit=20)
