"""A PostgreSQL server of one's own for tests: made in a temporary folder, stopped and removed at the end."""

from __future__ import annotations

import atexit
import importlib.util
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from rlem.memory.postgres import PostgresStore

PASSWORD = "sesame-7"
"""Of the role "ann", who must give it when she comes over TCP."""


def debian_programs() -> Path | None:
    """Folder of the server's programs, as Debian's postgresql package or the search path has them."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda p: float(p.parts[-3]))
    programs = [found[-1].parent] if found else []
    if initdb := shutil.which("initdb"):
        programs.append(Path(initdb).resolve().parent)
    return next((path for path in programs if (path / "postgres").exists()), None)


def pgserver_programs() -> Path | None:
    """The same of the PyPI package pgserver, whose server brings pgvector."""
    found = importlib.util.find_spec("pgserver")
    folder = Path(found.origin).parent / "pginstall" / "bin" if found and found.origin else None
    return folder if folder and (folder / "postgres").exists() else None


def missing(what: str) -> None:
    """Skips the test; fails it where RLEM_REQUIRE_POSTGRES=1 says that the server must be there."""
    message = f"{what} is not installed (Debian: postgresql; PyPI: psycopg[binary])"
    if os.environ.get("RLEM_REQUIRE_POSTGRES") == "1":
        pytest.fail(message + ", and RLEM_REQUIRE_POSTGRES=1 asks for it", pytrace=False)
    pytest.skip(message)


@dataclass(frozen=True)
class Cluster:
    """A server: started, stopped, pulled the plug on."""

    folder: Path
    programs: Path
    port: int
    run: Callable[..., subprocess.CompletedProcess[str]]

    @property
    def data(self) -> Path:
        """The server's files."""
        return self.folder / "data"

    def start(self) -> None:
        """Starts it and waits until it answers."""
        options = f"-k {self.folder} -p {self.port} -h 127.0.0.1"
        log = str(self.folder / "log")
        self.run("pg_ctl", "start", "-w", "-D", str(self.data), "-l", log, "-o", options)

    def stop(self, mode: str = "fast") -> None:
        """Stops it; "immediate" is what a power cut leaves: no checkpoint, connections cut."""
        self.run("pg_ctl", "stop", "-w", "-m", mode, "-D", str(self.data))

    def remove(self) -> None:
        """Stops it and takes its files away. May be called twice."""
        if (self.data / "postmaster.pid").exists():
            self.stop("immediate")
        shutil.rmtree(self.folder, ignore_errors=True)

    def url(self, schema: str | None = None, *, user: str = "postgres", tcp: bool = False) -> str:
        """Address of a memory; each call without a name gives another one."""
        schema = schema or f"t{uuid.uuid4().hex[:12]}"
        if tcp:
            return f"postgresql://{user}@127.0.0.1:{self.port}/postgres?schema={schema}"
        return f"postgresql://{user}@/postgres?host={self.folder}&port={self.port}&schema={schema}"


@contextmanager
def cluster(programs: Path) -> Iterator[Cluster]:
    """A running server over new files. Root becomes another user for it, as the server demands."""
    _sweep()
    folder = Path(tempfile.mkdtemp(prefix=f"rlem-pg-{os.getpid()}-"))
    account = pwd.getpwnam("nobody") if os.geteuid() == 0 else None
    if account:
        os.chown(folder, account.pw_uid, account.pw_gid)

    def run(program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        # A file, not a pipe: the server inherits it and would keep a pipe open.
        with (folder / "out").open("w") as out:
            done = subprocess.run(
                [str(programs / program), *arguments],
                stdout=out,
                stderr=subprocess.STDOUT,
                cwd=folder,
                env={**os.environ, "LC_ALL": "C", "TZ": "UTC"},
                user=account.pw_uid if account else None,
                group=account.pw_gid if account else None,
                extra_groups=[] if account else None,
                check=False,
                text=True,
            )
        assert done.returncode == 0, (folder / "out").read_text() + (
            (folder / "log").read_text()[-2000:] if (folder / "log").exists() else ""
        )
        return done

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = Cluster(folder, programs, port, run)
    atexit.register(server.remove)  # if pytest is broken off
    try:
        run("initdb", "-D", str(server.data), "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-locale")
        hba = "local all all trust\nhost all all 127.0.0.1/32 scram-sha-256\n"
        (server.data / "pg_hba.conf").write_text(hba)
        server.start()
        yield server
    finally:
        server.remove()


WRITER = """
import sys
from rlem.core.types import Episode, Situation, Transition
from rlem.memory.memory import ExperienceMemory
from rlem.memory.postgres import PostgresStore

url, name, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
print("ready", flush=True)
sys.stdin.readline()  # the word to go
memory = ExperienceMemory(PostgresStore(url))
pages = [Situation(task="walk", observation=page, actions=("go",)) for page in ("the town", "the sea")]
for i in range(count):
    steps = tuple(Transition(situation=page, action="go", reward=i % 3 - 1.0) for page in pages)
    memory.record(Episode(id=f"{name}-{i}", task="walk", transitions=steps))
    print(f"{name}-{i}", len(memory.recall(pages[0], 1)), flush=True)
"""
"""Records episodes of two steps, and prints the id of each when it is stored."""


@pytest.fixture
def ended() -> Iterator[list[subprocess.Popen[str]]]:
    """Processes to end at the end."""
    processes: list[subprocess.Popen[str]] = []
    yield processes
    for process in processes:
        process.kill()
        process.communicate()


def _sweep() -> None:
    """Ends the servers of test runs that were killed."""
    for folder in Path(tempfile.gettempdir()).glob("rlem-pg-*-*"):
        if not _alive(int(folder.name.split("-")[2])):
            with suppress(OSError, ValueError):
                os.kill(int((folder / "data" / "postmaster.pid").read_text().split()[0]), signal.SIGQUIT)
            shutil.rmtree(folder, ignore_errors=True)


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def needs_psycopg() -> None:
    """Skips (or fails) where the driver is absent."""
    if importlib.util.find_spec("psycopg") is None:
        missing("psycopg")


@pytest.fixture(scope="session")
def debian_cluster() -> Iterator[Cluster]:
    """One server for all tests of the session, from the machine's own programs."""
    needs_psycopg()
    if sys.platform == "win32":
        pytest.skip("the throw-away server needs a POSIX system")
    programs = debian_programs()
    if programs is None:
        missing("a PostgreSQL server")
    assert programs is not None
    with cluster(programs) as server:
        yield server


@pytest.fixture(scope="session")
def pgserver_cluster() -> Iterator[Cluster]:
    """One server for all tests of the session, from the PyPI package pgserver."""
    needs_psycopg()
    programs = pgserver_programs()
    if programs is None:
        pytest.skip("the PyPI package pgserver is not installed")
    if os.geteuid() == 0 and not _reachable(programs):
        pytest.skip("other users cannot reach this machine's Python packages")
    with cluster(programs) as server:
        yield server


@pytest.fixture
def server(debian_cluster: Cluster) -> Cluster:
    """The session's server."""
    return debian_cluster


@pytest.fixture
def frail(debian_cluster: Cluster) -> Iterator[Cluster]:
    """The session's server, running again at the end."""
    yield debian_cluster
    if not (debian_cluster.data / "postmaster.pid").exists():
        debian_cluster.start()


def opened(url: str, **options: Any) -> PostgresStore:
    """A store; the driver is imported late, for it may be absent."""
    from rlem.memory.postgres import PostgresStore

    return PostgresStore(url, **options)


def sql(url: str, *statements: str) -> list[tuple[Any, ...]]:
    """Runs statements on the memory behind rlem's back; returns what the last one finds."""
    import psycopg

    address, _, schema = url.partition("&schema=")
    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute(f'SET search_path = "{schema}"'.encode())
        for statement in statements:
            cursor = connection.execute(statement.encode())
        return cursor.fetchall() if cursor.description else []


def _reachable(path: Path) -> bool:
    return all(folder.stat().st_mode & 0o005 == 0o005 for folder in (path, *path.parents))
