"""Scalars for TensorBoard, by tensorboardX (extra ``tensorboard``).

One folder for each seed, ``DIR/seed-N``; the step of a scalar is its epoch. Told when a phase is finished:

    train/success, train/reward, train/tokens                     means over the episodes; sum of tokens
    eval/memory/success, .../reward, .../tokens                   evaluation with memory
    eval/no-memory/success, .../reward, .../tokens                evaluation of the control
    memory/experiences                                            held when it was evaluated
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

from rlem.core.errors import MissingExtraError, RunError, UsageError
from rlem.runner.events import Event


class TensorBoard:
    """Writes scalars of finished phases. One that the folder has already is not written again.

    Errors: MissingExtraError without tensorboardX, UsageError for a folder of another run, RunError where it
    cannot be used.
    """

    def __init__(self, folder: Path) -> None:
        self._library = _library()
        self._folder = folder
        self._writers: dict[int, Any] = {}
        self._known: dict[int, set[tuple[str, int]]] = {}

    def __call__(self, event: Event) -> None:
        if event["event"] == "run-started":
            self._claim(event["config"])
        if event["event"] != "phase-finished" or not event["episodes"]:
            return
        seed, epoch = event["seed"], event["epoch"]
        where = "train" if event["phase"] == "train" else f"eval/{event['arm']}"
        scalars = {f"{where}/{name}": event[name] for name in ("success", "reward", "tokens")}
        if where == "eval/memory":
            scalars["memory/experiences"] = event["memory_size"]
        try:
            writer = self._writer(seed)
            for tag, value in scalars.items():
                if (tag, epoch) not in self._known[seed]:
                    writer.add_scalar(tag, value, epoch)
            writer.flush()
        except OSError as error:
            raise self._error(error) from error

    def _claim(self, config: dict[str, Any]) -> None:
        """Notes whose scalars the folder holds: those of a second run would be taken for the first one's."""
        path, text = self._folder / "rlem-run.json", json.dumps(config, indent=2) + "\n"
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            if not path.exists():
                part = path.with_suffix(".part")
                part.write_text(text, encoding="ascii")
                part.replace(path)
            known = path.read_text("ascii", errors="replace")
        except OSError as error:
            raise self._error(error) from error
        if known != text:
            raise UsageError(f"{self._folder} holds scalars of another run: give another folder")

    def _error(self, error: OSError) -> RunError:
        return RunError(
            f"the TensorBoard folder {self._folder} cannot be used ({error.strerror or error}): mend that, "
            "then run the same command again"
        )

    def _writer(self, seed: int) -> Any:
        if seed not in self._writers:
            folder = self._folder / f"seed-{seed}"
            self._known[seed] = {(tag, step) for tag, step, _ in scalars_in(folder)}
            # Files are named after the second: a start within the same one must not overwrite the last.
            start = f".{len(list(folder.glob('events.*')))}"
            self._writers[seed] = self._library.SummaryWriter(str(folder), filename_suffix=start)
        return self._writers[seed]

    def close(self) -> None:
        """Closes all files."""
        for writer in self._writers.values():
            writer.close()


def scalars_in(folder: Path) -> Iterator[tuple[str, int, float]]:
    """The scalars of a folder's event files as (tag, step, value). A record that a kill tore ends its file.

    A record is a length (8 bytes, little-endian), its checksum (4), an Event message, and its checksum (4).
    """
    message_type = _library(".proto.event_pb2").Event
    for path in sorted(folder.glob("events.out.tfevents.*")):
        data, place = path.read_bytes(), 0
        while place + 12 <= len(data):
            (length,) = struct.unpack_from("<Q", data, place)
            end = place + 12 + length
            if end + 4 > len(data):
                break
            message = message_type.FromString(data[place + 12 : end])
            for value in message.summary.value:
                yield value.tag, message.step, value.simple_value
            place = end + 4


def _library(part: str = "") -> Any:
    try:
        return import_module(f"tensorboardX{part}")
    except ImportError as error:
        raise MissingExtraError("writing for TensorBoard", "tensorboard") from error
