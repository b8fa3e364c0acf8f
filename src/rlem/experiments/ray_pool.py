"""Cells across machines: Ray starts each where there is room, and anew where a worker or a machine died."""

from __future__ import annotations

import os
import platform
import uuid
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from socket import create_connection
from typing import Any

from rlem.core.errors import MissingExtraError, RunError, UsageError
from rlem.experiments.cells import code_version

LOCAL = "local"
"""Address of a cluster on this machine alone, started for the command and ended with it."""
KEYS = ("OPENAI_API_KEY", "PGPASSWORD")
"""What workers are given of this process's environment: sent with each cell, written nowhere."""
_RETRIES = 3
_STORE_BYTES = 80 * 2**20  # the least that Ray takes: cells hand nothing over but their names


@dataclass(frozen=True, slots=True, kw_only=True)
class Here:
    """What a machine must share with this one: the working folder, a file in the experiment's, the code."""

    working: str
    token: Path
    version: str
    keys: Mapping[str, str] = field(repr=False)


class RayPool:
    """An executor whose workers may be on other machines. ``address``: "local", "auto", HOST:PORT or ray://...

    All machines must see the working folder and ``folder`` under the same paths, and have the same rlem:
    checked at the start on each, and before each cell on those that join later. A task whose worker dies is
    started again, up to three times.

    Errors: MissingExtraError without Ray; UsageError where no cluster answers; RunError names a machine that
    does not fit.
    """

    def __init__(self, address: str, folder: Path, *, workers: int) -> None:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        try:
            self._ray: Any = import_module("ray")
        except ImportError:
            raise MissingExtraError("playing across machines", "ray") from None
        more = {"num_cpus": workers, "include_dashboard": False, "object_store_memory": _STORE_BYTES}
        try:
            _answers(address)
            self._ray.init(
                address, log_to_driver=False, logging_level="ERROR", **(more if address == LOCAL else {})
            )
        except (ConnectionError, ImportError, OSError, RuntimeError, ValueError) as error:
            reason = str(error).partition("\n")[0]
            raise UsageError(
                f"no Ray cluster at {address!r} ({reason}): start one with `ray start --head` and give its "
                "HOST:PORT, or give 'local'"
            ) from error
        folder.mkdir(parents=True, exist_ok=True)
        self._here = Here(
            working=str(Path.cwd()),
            token=folder.resolve() / f".seen-{uuid.uuid4().hex}",
            version=code_version(),
            keys={name: os.environ[name] for name in KEYS if name in os.environ},
        )
        self._task = self._ray.remote(num_cpus=1, max_retries=_RETRIES)(there)

    def __enter__(self) -> RayPool:
        self._here.token.touch()
        try:
            self._check_machines()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._here.token.unlink(missing_ok=True)
        self._ray.shutdown()  # ends what is running, too: its folder is as after a kill

    def submit(self, function: Callable[..., None], *args: Any) -> Future[None]:
        """Calls a function on some machine; a future as of concurrent.futures."""
        return self._told(self._task.remote(self._here, function, *args))

    def _check_machines(self) -> None:
        strategies = import_module("ray.util.scheduling_strategies")
        for node in self._ray.nodes():
            if node["Alive"] and node["Resources"].get("CPU"):
                there = strategies.NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
                task = self._task.options(num_cpus=0, scheduling_strategy=there)
                self._told(task.remote(self._here, _nothing)).result()

    def _told(self, reference: Any) -> Future[None]:
        """The future of a task, with the error that happened in it rather than Ray's account of it."""
        told: Future[None] = Future()

        def settle(ended: Future[None]) -> None:
            if not told.set_running_or_notify_cancel():
                return
            error = ended.exception()
            if error is None:
                told.set_result(None)
                return
            cause = getattr(error, "cause", None)
            told.set_exception(cause if isinstance(cause, Exception) else _lost(error))

        reference.future().add_done_callback(settle)
        return told


def _answers(address: str) -> None:
    """Ray tries an address for minutes. Errors: OSError where nothing listens, ValueError for no address."""
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if colon:
        create_connection((host, int(port)), timeout=10).close()
    elif address not in (LOCAL, "auto"):
        raise ValueError("it is no HOST:PORT")


def _lost(error: BaseException) -> RunError:
    first = str(error).partition("\n")[0]
    return RunError(
        f"the cluster could not play a run ({type(error).__name__}: {first:.200}): run the same command "
        "again; all finished episodes are safe"
    )


def there(here: Here, function: Callable[..., None], *args: Any) -> None:
    """On a worker: calls a function in the working folder, if the machine shares what it must."""
    name = platform.node()
    try:
        os.chdir(here.working)
        seen = here.token.is_file()
    except OSError:
        seen = False
    if not seen:
        raise RunError(
            f"machine {name} does not see {here.working} and {here.token.parent}: run the command in a "
            "folder that all machines share under the same path, with --out in such a one"
        )
    if code_version() != here.version:
        raise RunError(f"machine {name} has another rlem: install the same on all machines")
    os.environ.update(here.keys)
    function(*args)


def _nothing() -> None:
    """What is called on a machine only to see whether it fits."""
