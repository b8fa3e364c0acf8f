"""Several processes over one imported shop: what each costs in memory, how quick their searches are.

Part of bench/webshop.py; each process is a bench/_webshop_fresh.py.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench._common import p50, quantile

SCRIPT = Path(__file__).resolve().parent / "_webshop_fresh.py"
AT_ONCE = (1, 2, 8)
NOT_MEASURED = "not measured"


@dataclass(frozen=True)
class Work:
    """What one process found: times of its searches, its memory in MiB where the system tells it."""

    times_ms: list[float]
    memory: dict[str, float] | None


def measure_processes(
    store: Path,
    asked: Sequence[str],
    *,
    counts: Sequence[int] = AT_ONCE,
    seconds: float = 10.0,
    episodes: int = 50,
) -> None:
    """Opens the store in so many fresh processes, which play, then all search for so many seconds.

    A process alone has the pages of the store to itself, so they count as private; what it has written is
    its own in any company.
    """
    print(
        f"\nProcesses: {store.name}, {store.stat().st_size / 1e6:,.1f} MB, on {cores()} cores; each process "
        f"opens it and plays {episodes} episodes,\nthen all search at once for {seconds:g} s "
        f"({len(asked):,} queries of 1 to 12 words); MiB of memory afterwards, while all live"
    )
    print(
        f"{'at once':>7} {'searches/s':>10} {'p50 ms':>8} {'p99 ms':>8}  {'private each':>14}  "
        f"{'written of it':>14}  {'share (PSS) each':>16}  {'sum of shares':>13}  {'of one':>12}"
    )
    alone = float("nan")
    found: list[Work] = []
    for count in counts:
        found = at_work(store, asked, count, seconds, episodes)
        memory = [work.memory for work in found if work.memory]
        cells = "  ".join(f"{NOT_MEASURED:>{width}}" for width in (14, 14, 16, 13, 12))
        if len(memory) == count:
            whole = sum(each["pss"] for each in memory)
            alone = whole if count == 1 else alone
            cells = (
                f"{_range(memory, 'private'):>14}  {_range(memory, 'written'):>14}  "
                f"{_range(memory, 'pss'):>16}  {whole:13,.0f}  {whole / alone:11.2f}x"
            )
        times = [time for work in found for time in work.times_ms]
        pace = f"{len(times) / seconds:10,.0f} {p50(times):8.3f} {quantile(times, 0.99):8.3f}"
        print(f"{count:7} {pace}  {cells}", flush=True)
    _print_each(found)


def _print_each(found: Sequence[Work]) -> None:
    """A row for each process of the greatest number at once."""
    memory = f"{'private':>8} {'written':>8} {'PSS':>8} {'RSS':>8}  MiB"
    print(f"{'process':>7} {'searches':>10} {'p50 ms':>8} {'p99 ms':>8}  {memory}")
    for number, work in enumerate(found, 1):
        memory = f"{NOT_MEASURED:>35}"
        if work.memory:
            memory = " ".join(f"{work.memory[name]:8.1f}" for name in ("private", "written", "pss", "rss"))
        times = work.times_ms
        print(
            f"{number:7} {len(times):10,} {p50(times):8.3f} {quantile(times, 0.99):8.3f}  {memory}",
            flush=True,
        )


def at_work(store: Path, asked: Sequence[str], count: int, seconds: float, episodes: int) -> list[Work]:
    """What so many processes found that worked at once."""
    with ExitStack() as stack:
        running = [
            stack.enter_context(_process(store, asked, seed=number, episodes=episodes))
            for number in range(count)
        ]
        for process in running:
            _answer(process)  # ready
        times = _ask_all(running, str(seconds))
        memory = _ask_all(running, "memory")
    return [Work(*each) for each in zip(times, memory, strict=True)]


def cores() -> int:
    """Processor cores that this process may use."""
    ours = getattr(os, "sched_getaffinity", None)  # not on every system
    return len(ours(0)) if ours else os.cpu_count() or 1


def _range(memory: Sequence[dict[str, float]], name: str) -> str:
    values = [each[name] for each in memory]
    return f"{min(values):.1f} to {max(values):.1f}" if len(values) > 1 else f"{values[0]:.1f}"


@contextmanager
def _process(
    store: Path, asked: Sequence[str], *, seed: int, episodes: int
) -> Iterator[subprocess.Popen[str]]:
    """A process that opens the store and plays at once; gone at the end."""
    command = [sys.executable, str(SCRIPT), "together", str(store), str(episodes), str(seed)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            _tell(process, json.dumps(asked))
            yield process
        finally:
            process.kill()


def _ask_all(running: Sequence[subprocess.Popen[str]], question: str) -> list[Any]:
    """Asks all at once; their answers."""
    for process in running:
        _tell(process, question)
    return [_answer(process) for process in running]


def _tell(process: subprocess.Popen[str], line: str) -> None:
    assert process.stdin is not None
    process.stdin.write(line + "\n")
    process.stdin.flush()


def _answer(process: subprocess.Popen[str]) -> Any:
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:  # its traceback stands on stderr
        raise SystemExit(f"a process of the measurement ended with status {process.wait()}")
    return json.loads(line)
