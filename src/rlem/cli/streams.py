"""``--events`` and ``--tensorboard``: what a run tells other programs while it plays."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from rlem.cli.options import Function, take
from rlem.runner.records import RunConfig
from rlem.runner.training import Observer


def stream_options(function: Function) -> Function:
    """Where a run's events go. See docs/events.md."""
    for option in reversed(
        [
            click.option(
                "--events", type=click.Path(path_type=Path), help="Write events to this file (JSON lines)."
            ),
            click.option(
                "--tensorboard",
                type=click.Path(path_type=Path),
                help="Write scalars for TensorBoard to this folder.",
            ),
        ]
    ):
        function = option(function)
    return function


def streams(options: dict[str, Any]) -> dict[str, Path]:
    """The streams that were asked for, taken out of the options."""
    return take(options, "events", "tensorboard")


@contextmanager
def told(config: RunConfig, wanted: dict[str, Path], observer: Observer) -> Iterator[Observer]:
    """An observer that tells ``observer`` and all wanted streams."""
    if not wanted:
        yield observer
        return
    from rlem.runner.events import EventFile, EventObserver, Observers, Sink
    from rlem.runner.tensorboard import TensorBoard

    sinks: list[Sink] = []
    if "tensorboard" in wanted:
        sinks.append(TensorBoard(wanted["tensorboard"]))
    if "events" in wanted:
        sinks.append(EventFile(wanted["events"], config))
    with EventObserver(config, sinks) as events:
        yield Observers([observer, events])
