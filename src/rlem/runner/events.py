"""What a run does as plain events: told to whoever listens, and written as a file of JSON lines.

Each event is one JSON object with ``event`` (its kind) and ``time_s`` (seconds since the epoch):

    run-started     config: the run's RunConfig
    phase-started   phase, epoch, arm, seed; episodes: how many there are to play
    episode         phase, epoch, arm, seed, task_id, kind, status, success, reward, steps,
                    prompt_tokens, completion_tokens, cost_usd (null: price unknown), memory_size
    phase-finished  phase, epoch, arm, seed, episodes; success, reward: means over them (null: none);
                    tokens: sum over them; memory_size: experiences when its last episode began
    run-finished    nothing more
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

from rlem.core.clock import Clock, system_clock
from rlem.core.errors import RunError, UsageError
from rlem.runner.records import Arm, EpisodeRecord, Phase, RunConfig
from rlem.runner.training import Observer

Event = dict[str, Any]


class Sink(Protocol):
    """Takes events, in their order. A resumed run tells all of them again, from its start."""

    def __call__(self, event: Event) -> None:
        """One event, without its time."""
        ...

    def close(self) -> None:
        """No more will come, whether the run is finished or not."""
        ...


class Observers:
    """Several observers as one."""

    def __init__(self, observers: Sequence[Observer]) -> None:
        self._observers = observers

    def phase(self, phase: Phase, epoch: int, arm: Arm, seed: int, total: int) -> None:
        """Told to all."""
        for observer in self._observers:
            observer.phase(phase, epoch, arm, seed, total)

    def episode(self, record: EpisodeRecord, *, replayed: bool) -> None:
        """Told to all."""
        for observer in self._observers:
            observer.episode(record, replayed=replayed)


class EventObserver:
    """Makes events of what a run does. As a context: from the run's start to its end, or its failure."""

    def __init__(self, config: RunConfig, sinks: Sequence[Sink]) -> None:
        self._config, self._sinks = config, sinks
        self._place: Event = {}
        self._total = 0
        self._played: list[EpisodeRecord] = []

    def __enter__(self) -> EventObserver:
        self._tell("run-started", config=self._config.model_dump(mode="json"))
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: BaseException | TracebackType | None) -> None:
        if kind is None:
            self._tell("run-finished")
        for sink in self._sinks:
            sink.close()

    def phase(self, phase: Phase, epoch: int, arm: Arm, seed: int, total: int) -> None:
        """A phase begins."""
        self._place = {"phase": phase, "epoch": epoch, "arm": arm, "seed": seed}
        self._total, self._played = total, []
        self._tell("phase-started", **self._place, episodes=total)
        self._finish()

    def episode(self, record: EpisodeRecord, *, replayed: bool) -> None:
        """An episode is done; after the last one, its phase is."""
        usage = record.usage
        self._tell(
            "episode",
            **(self._place | {"arm": record.arm}),  # a control may withhold memory in an episode of training
            task_id=record.task_id,
            kind=record.kind,
            status=record.status,
            success=record.success,
            reward=record.reward,
            steps=len(record.steps),
            prompt_tokens=usage.prompt_tokens,
            completion_tokens=usage.completion_tokens,
            cost_usd=usage.cost_usd,
            memory_size=record.memory_size,
        )
        self._played.append(record.model_copy(update={"steps": []}))
        self._finish()

    def _finish(self) -> None:
        played = self._played
        if len(played) < self._total:
            return
        self._tell(
            "phase-finished",
            **self._place,
            episodes=len(played),
            success=sum(r.success for r in played) / len(played) if played else None,
            reward=sum(r.reward for r in played) / len(played) if played else None,
            tokens=sum(r.usage.prompt_tokens + r.usage.completion_tokens for r in played),
            memory_size=max(r.memory_size for r in played) if played else None,
        )

    def _tell(self, event: str, /, **facts: Any) -> None:
        for sink in self._sinks:
            sink({"event": event, **facts})


class EventFile:
    """Events as JSON lines, each flushed. An event that the file has already is not written again.

    A line that a kill tore is cut off. Errors: UsageError for a file of another run or of something else,
    RunError where it cannot be written.
    """

    def __init__(self, path: Path, config: RunConfig, *, clock: Clock = system_clock) -> None:
        self.path, self._clock = path, clock
        self._known: set[bytes] = set()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            data = path.read_bytes() if path.exists() else b""
            self._read(data[: data.rfind(b"\n") + 1], config)
            self._stream = path.open("ab")
            self._stream.truncate(data.rfind(b"\n") + 1)
        except OSError as error:
            raise RunError(f"the event file {path} cannot be used: {error.strerror or error}") from error

    def _read(self, whole: bytes, config: RunConfig) -> None:
        for number, line in enumerate(whole.splitlines(), 1):
            try:
                event = dict(json.loads(line))
                event.pop("time_s", None)
            except (ValueError, TypeError) as error:
                raise UsageError(f"{self.path}, line {number} is no event: give another file") from error
            if number == 1 and event != {"event": "run-started", "config": config.model_dump(mode="json")}:
                raise UsageError(f"{self.path} holds events of another run, or none: give another file")
            self._known.add(_digest(event))

    def __call__(self, event: Event) -> None:
        digest = _digest(event)
        if digest in self._known:
            return
        self._known.add(digest)
        timed = {"event": event["event"], "time_s": round(self._clock(), 3), **event}
        try:
            self._stream.write(json.dumps(timed).encode("ascii") + b"\n")
            self._stream.flush()
        except OSError as error:
            raise RunError(
                f"the event file {self.path} cannot be written ({error.strerror or error}): make room, then "
                "run the same command again"
            ) from error

    def close(self) -> None:
        """Closes the file."""
        self._stream.close()


def _digest(event: Event) -> bytes:
    return hashlib.sha256(json.dumps(event, sort_keys=True).encode("ascii")).digest()
