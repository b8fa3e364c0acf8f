"""An experiment on a real Ray cluster of this machine, PostgreSQL for what cells share; kills included."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest
from tests.support.command import rlem, start, well
from tests.support.heavy import needs
from tests.support.postgres import Cluster, debian_cluster, server  # noqa: F401

from rlem.api.stores import open_store
from rlem.core.errors import DataError, MissingExtraError, RunError, UsageError
from rlem.experiments.calls import Calls
from rlem.experiments.cells import cells_of
from rlem.experiments.ray_pool import RayPool
from rlem.experiments.schema import parse
from rlem.experiments.work import DONE, play_cells

TEXT = """
name = "tiny"
environment = "corridor"
environment_options = { rooms = 4 }
baseline = "alone"
train = ["0:10"]

[size]
test = "10:20"
seeds = 2
epochs = 6

[[rows]]
name = "alone"
agent = "llm-only"

[[rows]]
name = "with memory"
curve = true
"""
SHARED = '\n[[rows]]\nname = "together"\nshared = true\n'
CLUSTER = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": uuid.uuid4().hex}
"""Environment of clusters and of those that join: without a token, Ray would leave one in the home folder."""

needs_ray = needs("ray", "ray")


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with the experiment's file."""
    (tmp_path / "tiny.toml").write_text(TEXT)
    (tmp_path / "shared.toml").write_text(TEXT + SHARED)
    return tmp_path


def episodes(folder: Path) -> dict[str, bytes]:
    """What each cell's run has written."""
    return {path.parent.name: path.read_bytes() for path in folder.glob("cells/*/episodes.jsonl")}


def await_listening(address: str) -> None:
    """Waits until somebody answers at HOST:PORT."""
    host, _, port = address.partition(":")
    end = time.monotonic() + 60
    while time.monotonic() < end:
        with suppress(OSError):
            return socket.create_connection((host, int(port)), timeout=1).close()
        time.sleep(0.05)
    raise AssertionError(f"nothing listens at {address}")


def kill_a_player(folder: Path, cells: str = "*") -> None:
    """Kills a process in the midst of a cell that has learned something, without a warning."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        for written in folder.glob(f"cells/{cells}/episodes.jsonl"):
            lock = written.with_name("lock").read_text()
            if lock and b'"phase":"train"' in written.read_bytes() and not (written.parent / DONE).exists():
                with suppress(ProcessLookupError):
                    return os.kill(int(lock.split()[0]), signal.SIGKILL)
        time.sleep(0.002)
    raise AssertionError("no cell was seen being played")


@pytest.fixture(scope="module", autouse=True)
def nothing_is_left() -> Iterator[None]:
    """Ends what outlives a killed command: Ray's agents would notice after a minute."""
    yield
    for environ in Path("/proc").glob("[0-9]*/environ"):
        with suppress(OSError):
            if (
                int(environ.parent.name) != os.getpid()
                and CLUSTER["RAY_AUTH_TOKEN"].encode() in environ.read_bytes()
            ):
                os.kill(int(environ.parent.name), signal.SIGKILL)


@pytest.fixture(scope="module")
def wanted(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What the cells write when processes play them."""
    folder = tmp_path_factory.mktemp("processes")
    (folder / "tiny.toml").write_text(TEXT)
    well("reproduce", "tiny.toml", "--workers", "2", "--out", "out", cwd=folder)
    found = episodes(folder / "out")
    assert len(found) == 4
    return found


@pytest.fixture
def ray_address() -> Iterator[str]:
    """A Ray cluster as an administrator starts one: a machine that others can join."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = f"start --head --block --node-ip-address 127.0.0.1 --port {port} --num-cpus 2"
    ray = Path(sys.executable).with_name("ray")
    cluster = subprocess.Popen(
        [ray, *command.split(), "--include-dashboard=false", "--object-store-memory=80000000"],
        env={**os.environ, **CLUSTER},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield f"127.0.0.1:{port}"
    finally:
        cluster.terminate()
        cluster.wait(60)


@needs_ray
def test_a_killed_worker_is_replaced(place: Path, wanted: dict[str, bytes]) -> None:
    """A worker is killed in the midst of a cell: the command goes on, every cell has the bytes that it has
    when played by processes, and the next start plays nothing."""
    command = ("reproduce", "tiny.toml", "--ray", "local", "--workers", "2", "--out", "by-ray")
    begun = start(*command, cwd=place, env=CLUSTER)
    try:
        kill_a_player(place / "by-ray")
        out, err = begun.communicate(timeout=120)
    finally:
        begun.kill()
        begun.wait()
    assert begun.returncode == 0, err
    assert "with memory" in out
    assert episodes(place / "by-ray") == wanted
    assert not list((place / "by-ray").glob(".seen-*"))
    again = rlem(*command, cwd=place, env=CLUSTER)
    assert "0 of them to play" in again.stderr
    assert again.returncode == 0, again.stderr


@needs_ray
def test_a_killed_command_goes_on(place: Path, wanted: dict[str, bytes]) -> None:
    """The command itself is killed; its workers end; the same command makes up for what was open."""
    command = ("reproduce", "tiny.toml", "--ray", "local", "--workers", "2", "--out", "by-ray")
    begun = start(*command, cwd=place, env=CLUSTER)
    end = time.monotonic() + 60
    while not any(map(len, episodes(place / "by-ray").values())) and time.monotonic() < end:
        time.sleep(0.005)
    begun.kill()
    begun.communicate()
    assert not list((place / "by-ray").glob("results.json"))
    well(*command, cwd=place, env=CLUSTER)
    assert episodes(place / "by-ray") == wanted


@needs_ray
def test_seeds_learn_together_on_a_server(
    place: Path,
    server: Cluster,  # noqa: F811
    ray_address: str,
    wanted: dict[str, bytes],
) -> None:
    """The one memory of a shared row holds the training episodes of both seeds once each, though a worker was
    killed; other rows are as without it; the report says that timing matters."""
    url = server.url("x").partition("&schema=")[0]
    experiment = parse(TEXT + SHARED, "x")
    cells = [c for c in cells_of(experiment, experiment.size, memory_url=url) if c.row == "together"]
    (memory,) = {cell.config.memory_url for cell in cells}
    await_listening(ray_address)
    command = ("reproduce", "shared.toml", "--ray", ray_address, "--memory-url", url, "--out", "out")
    begun = start(*command, cwd=place, env=CLUSTER)
    try:
        kill_a_player(place / "out", cells[0].key)
        _, err = begun.communicate(timeout=120)
    finally:
        begun.kill()
        begun.wait()
    assert begun.returncode == 0, err
    assert "depends on timing" in (place / "out" / "report.md").read_text()
    assert wanted.items() <= episodes(place / "out").items()
    learned = sum(episodes(place / "out")[cell.key].count(b'"phase":"train"') for cell in cells)
    assert not [path for cell in cells for path in (place / "out" / "cells" / cell.key).glob("memory-*")]
    with closing(open_store(memory, read_only=True)) as store:
        ids = [episode.id for episode in store.episodes()]
    assert len(ids) == len(set(ids)) == learned
    assert {name.split("-")[1] for name in ids} == {"0", "1"}


@needs_ray
@pytest.mark.parametrize("address", ["127.0.0.1:9", "ray://127.0.0.1:9", "here"])
def test_no_cluster_is_said(tmp_path: Path, address: str) -> None:
    """An address where nothing answers is refused at once, with what to do."""
    with pytest.raises(UsageError, match=f"no Ray cluster at '{address}'.*ray start --head"):
        RayPool(address, tmp_path, workers=1)


def test_without_ray_the_command_that_installs_it_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where Ray is absent, the error names the extra."""
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingExtraError, match=r"rlem\[ray\]"):
        RayPool("local", tmp_path, workers=1)


def test_a_machine_must_see_the_folder_and_have_the_same_code(tmp_path: Path) -> None:
    """A worker refuses to play where the token is not to be seen, or under another version."""
    from rlem.experiments.cells import code_version
    from rlem.experiments.ray_pool import Here, there

    token = tmp_path / "token"
    told: list[str] = []
    here = Here(working=str(Path.cwd()), token=token, version=code_version(), keys={})
    with pytest.raises(RunError, match="does not see"):
        there(here, told.append, "played")
    token.touch()
    there(here, told.append, "played")
    assert told == ["played"]
    with pytest.raises(RunError, match="another rlem"):
        there(Here(working=here.working, token=token, version="old", keys={}), told.append, "again")
    with pytest.raises(RunError, match="does not see"):
        there(Here(working="/nowhere", token=token, version=here.version, keys={}), told.append, "again")
    assert told == ["played"]


def test_limits_are_not_given_to_a_cluster(tmp_path: Path) -> None:
    """Money is counted in one process: an endpoint's limits on a cluster are refused before a call."""
    experiment = parse(TEXT, "x")
    cells = cells_of(experiment, experiment.size, model="openai:small")
    with pytest.raises(UsageError, match="without --ray"):
        play_cells(cells, tmp_path, ray="local", calls=Calls(max_cost_usd=1.0))
    assert not list(tmp_path.iterdir())


def test_shared_rows_need_a_server() -> None:
    """Without one they are left out; with one their cells have one memory of their own; the number of seeds
    stands in its name."""
    experiment = parse(TEXT + SHARED, "x")
    assert "together" not in {cell.row for cell in cells_of(experiment, experiment.size)}
    cells = cells_of(experiment, experiment.size, memory_url="postgresql://h/d")
    places = {cell.row: {c.config.memory_url for c in cells if c.row == cell.row} for cell in cells}
    assert places["with memory"] == {""}
    (one,) = places["together"]
    assert one.startswith("postgresql://h/d?schema=rlem_")
    more = cells_of(
        experiment, experiment.size.model_copy(update={"seeds": 3}), memory_url="postgresql://h/d"
    )
    assert not {c.config.memory_url for c in more if c.row == "together"} & {one}
    plain = {cell.key for cell in cells_of(experiment, experiment.size)}
    assert plain == {cell.key for cell in cells if cell.row != "together"}
    with pytest.raises(UsageError, match="schema="):
        cells_of(experiment, experiment.size, memory_url="postgresql://h/d?schema=mine")
    with pytest.raises(DataError, match="'llm-only' has no memory"):
        parse(TEXT + SHARED + 'agent = "llm-only"\n', "x")
