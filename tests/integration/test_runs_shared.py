"""Run folders that two processes want, and runs whose memory is on a server."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from tests.support.command import TINY, complaint, rlem, well
from tests.support.postgres import Cluster, debian_cluster, server  # noqa: F401

from rlem.api.stores import open_store
from rlem.core.errors import RunError
from rlem.experiments.cells import cells_of
from rlem.experiments.schema import parse
from rlem.experiments.work import DONE, is_done, place_of, play_cells
from rlem.runner.folder import RunFolder

HOLD = """
import sys
from pathlib import Path
from rlem.runner.folder import RunFolder
with RunFolder(Path(sys.argv[1])).alone():
    print("held", flush=True)
    sys.stdin.readline()
    (Path(sys.argv[1]) / "done.json").write_text("{}")
"""
EXPERIMENT = """
name = "one"
environment = "corridor"
baseline = "alone"
[size]
test = "10:12"
seeds = 1
[[rows]]
name = "alone"
agent = "llm-only"
"""


@pytest.fixture
def holder() -> Iterator[subprocess.Popen[str]]:
    """A process that will hold the folder of its standard input's first line; see ``hold``."""
    process = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import sys; place = sys.stdin.readline().strip(); sys.argv = ['', place]\n" + HOLD,
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    yield process
    process.kill()
    process.communicate()


def hold(process: subprocess.Popen[str], folder: Path) -> None:
    """Lets the other process take a folder."""
    assert process.stdin is not None
    assert process.stdout is not None
    print(folder, file=process.stdin, flush=True)
    assert process.stdout.readline() == "held\n"


def test_a_folder_is_played_by_one_process(tmp_path: Path, holder: subprocess.Popen[str]) -> None:
    """While one plays, another is refused and told who; what a killed one held is free."""
    hold(holder, tmp_path / "run")
    with (
        pytest.raises(RunError, match=f"another process \\({holder.pid} on "),
        RunFolder(tmp_path / "run").alone(),
    ):
        pass
    done = rlem("train", "corridor", *TINY, "--out", "run", cwd=tmp_path)
    assert f"({holder.pid} on " in complaint(done, 1)
    holder.kill()
    holder.wait()
    with RunFolder(tmp_path / "run").alone():
        pass


def test_a_cell_that_another_process_plays_is_waited_for(
    tmp_path: Path, holder: subprocess.Popen[str]
) -> None:
    """What the other one has finished meanwhile is not played again."""
    experiment = parse(EXPERIMENT, "x")
    (cell,) = cells_of(experiment, experiment.size)
    place = place_of(tmp_path, cell)
    hold(holder, place)
    assert not is_done(tmp_path, cell)
    assert holder.stdin is not None
    holder.stdin.write("\n")
    holder.stdin.flush()
    play_cells([cell], tmp_path)
    assert (place / DONE).read_text() == "{}"
    assert not (place / "episodes.jsonl").exists()


def test_a_training_run_learns_on_a_server(tmp_path: Path, server: Cluster) -> None:  # noqa: F811
    """Its memory is where --memory says; two runs with settings of their own learn there side by side; the
    same run in a second folder is refused, for the memory has learned from it already."""
    url = server.url("runs")
    well("train", "corridor", *TINY, "--memory", url, "--out", "a", cwd=tmp_path)
    well("train", "corridor", *TINY, "--memory", url, "-k", "1", "--out", "b", cwd=tmp_path)
    assert not list(tmp_path.glob("*/memory-*"))
    with closing(open_store(url, read_only=True)) as store:
        ids = [episode.id for episode in store.episodes()]
    assert len(ids) == len(set(ids)) == 4
    assert len({name.split("-")[0] for name in ids}) == 2
    well("train", "corridor", *TINY, "--memory", url, "--out", "a", cwd=tmp_path)
    shutil.rmtree(tmp_path / "a")
    again = rlem("train", "corridor", *TINY, "--memory", url, "--out", "c", cwd=tmp_path)
    assert "go on in that one" in complaint(again, 1)


def test_each_seed_has_a_memory_of_its_own(tmp_path: Path, server: Cluster) -> None:  # noqa: F811
    """{seed} in the address makes one for each; without it, several seeds are refused."""
    several = ("train", "corridor", *TINY, "--seeds", "2", "--memory")
    url = server.url("of_{seed}")
    well(*several, url, "--out", "a", cwd=tmp_path)
    for seed in ("0", "1"):
        with closing(open_store(url.replace("{seed}", seed), read_only=True)) as store:
            assert len(list(store.episodes())) == 2
    assert "put {seed} into the address" in complaint(rlem(*several, server.url("x"), cwd=tmp_path), 2)


def test_an_address_is_kept_without_a_password(tmp_path: Path, server: Cluster) -> None:  # noqa: F811
    """One with a password is refused before it is written anywhere; so is what is no address of a server."""
    train = ("train", "corridor", *TINY, "--memory")
    told = complaint(rlem(*train, "postgresql://ann:sesame@h/d", cwd=tmp_path), 2)
    assert "PGPASSWORD" in told
    assert "sesame" not in told
    assert "PostgreSQL URL" in complaint(rlem(*train, "shop.rlem", cwd=tmp_path), 2)
    reproduce = ("reproduce", "wikihow", "--dry-run", "--memory-url", "postgresql://ann:sesame@h/d")
    assert "PGPASSWORD" in complaint(rlem(*reproduce, cwd=tmp_path), 2)
    assert not list(tmp_path.glob("**/config.json"))
