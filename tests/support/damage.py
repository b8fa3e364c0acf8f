"""A memory's files after a power cut, on a full disk, in the hands of another user, from an older rlem."""

from __future__ import annotations

import encodings.ascii  # noqa: F401  the other user may not reach Python's own files to load it
import itertools
import os
import random
import resource
import shutil
import signal
import sqlite3
import subprocess
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.support.faults import Child, Say, Trial, big, opened, outcome, unsound

from rlem.memory.transfer import export_episodes
from rlem.testing.memory_cases import taught, walks

# -- power cut ---------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Crash:
    """What a killed writer left: its files, the WAL as it was before it began anew at its start, and for each
    acknowledged episode how long the WAL was then. ``hashes[n]`` is that of a memory of n episodes."""

    main: bytes
    wal: bytes
    old_wal: bytes
    sizes: tuple[int, ...]
    hashes: tuple[str, ...]
    before: int

    @property
    def page(self) -> int:
        """Bytes of a page."""
        return int.from_bytes(self.wal[8:12], "big")

    @property
    def frames(self) -> list[int]:
        """Where the frames of the last writer begin, and where the last one ends."""
        return list(range(32, self.sizes[-1] + 1, 24 + self.page))

    def held(self, kept: int) -> int:
        """Episodes whose commits lie in the first so many bytes of the WAL."""
        return self.before + sum(size <= kept for size in self.sizes)


def crash(path: Path, count: int = 12, *, checkpointed: int = 3, rewound: bool = False) -> Crash:
    """A writer that made a file, recorded so many episodes and was killed. ``checkpointed``: so many more
    are in the main file, not in the WAL; 0: everything is in the WAL. ``rewound``: the WAL began anew."""
    episodes = walks(checkpointed + 2 * count)
    wal = Path(f"{path}-wal")
    if checkpointed:
        with closing(opened(path)) as memory:
            memory.record_many(episodes[:checkpointed])
    before = checkpointed + (count if rewound else 0)
    old = path.with_name("old-wal")

    def work(say: Say) -> None:
        memory = opened(path)
        if rewound:
            for episode in episodes[checkpointed:before]:
                memory.record(episode)
            shutil.copyfile(wal, old)
            with closing(sqlite3.connect(path)) as other:
                other.execute("PRAGMA wal_checkpoint(FULL)")
        ends = []
        for episode in episodes[before : before + count]:
            memory.record(episode)
            # The rest of a WAL that began anew is as it was: where the new part ends, its salt ends.
            ends.append(_end(wal.read_bytes()))
        say(" ".join(map(str, ends)))
        os.kill(os.getpid(), signal.SIGKILL)

    (line,) = Child(work).end()
    sizes = tuple(map(int, line.split()))
    assert list(sizes) == sorted(set(sizes)), sizes
    hashes = []
    with closing(taught(None, [])) as memory:
        hashes.append(memory.hash())
        for episode in episodes[: before + count]:
            memory.record(episode)
            hashes.append(memory.hash())
    return Crash(
        main=path.read_bytes(),
        wal=wal.read_bytes(),
        old_wal=old.read_bytes() if rewound else b"",
        sizes=sizes,
        hashes=tuple(hashes),
        before=before,
    )


def _end(wal: bytes) -> int:
    """Where the frames end that carry the salt of the WAL's head."""
    step = 24 + int.from_bytes(wal[8:12], "big")
    places = itertools.takewhile(lambda at: wal[at + 8 : at + 16] == wal[16:24], range(32, len(wal), step))
    return max(places, default=32 - step) + step


def cuts(crash: Crash, inside: int, rng: random.Random) -> Iterator[tuple[bytes, int, int]]:
    """WALs as a power cut may leave them, and the least and the most episodes that may be found: cut at
    every boundary of a frame and at ``inside`` places in each; the rest is gone, or what was there before."""
    step = 24 + crash.page
    for at in [0, *range(1, 32, 10), *crash.frames]:
        places = [at]
        if at in crash.frames[:-1]:
            places += [at + 1, at + 23, at + 24][: inside // 2]
            places += [at + rng.randrange(1, step) for _ in range(inside - inside // 2)]
        for place in places:
            held = crash.held(place)
            yield crash.wal[:place], held, min(held + 1, len(crash.hashes) - 1)
            if crash.old_wal:
                yield crash.wal[:place] + crash.old_wal[place:], held, min(held + 1, len(crash.hashes) - 1)


def scars(crash: Crash, rng: random.Random) -> Iterator[tuple[bytes, int, int]]:
    """WALs of which one frame did not reach the disk as it was written, though later ones did: a bit
    flipped, or nothing but zeros; and the least and the most episodes that may be found."""
    step = 24 + crash.page
    for at in crash.frames[:-1]:
        flipped, empty = bytearray(crash.wal), bytearray(crash.wal)
        flipped[at + rng.randrange(step)] ^= 1 << rng.randrange(8)
        empty[at : at + step] = bytes(step)
        for wal in (flipped, empty):
            yield bytes(wal), crash.held(at), min(crash.held(at) + 1, len(crash.hashes) - 1)


def power_cut(trial: Trial, path: Path, crash: Crash, wals: Iterator[tuple[bytes, int, int]]) -> None:
    """Opens the file with each WAL: the state is that after some commit, none that is durable missing."""
    for number, (wal, least, most) in enumerate(wals):
        lay(path, crash.main, wal)
        lost: list[str] = []
        found = -1

        def look() -> None:
            nonlocal found
            with closing(opened(path)) as memory:
                digest = memory.hash()
                found = crash.hashes.index(digest) if digest in crash.hashes else -1
                memory.record(big("one more", 2000))  # the file goes on

        seen = outcome(look)
        if not least <= found <= most:
            lost = [f"WAL {number} of {len(wal)} bytes: {found} episodes, not {least} to {most} ({seen})"]
        trial.add(lost, seen)


def lay(path: Path, main: bytes, wal: bytes | None) -> None:
    """Puts files of those contents there; nothing else of the memory stays."""
    Path(f"{path}-shm").unlink(missing_ok=True)
    Path(f"{path}-wal").unlink(missing_ok=True)
    path.write_bytes(main)
    if wal is not None:
        Path(f"{path}-wal").write_bytes(wal)


def page_cuts(main: bytes) -> list[int]:
    """Lengths to which a file is cut: nearly nothing, each page, the midst of each."""
    page = int.from_bytes(main[16:18], "big")
    return [2, 50, 99, 100, 1000, *range(page // 2, len(main) - page + 1, page // 2)]


def tail_cuts(main: bytes) -> list[int]:
    """Lengths that cut only the last page."""
    return list(range(len(main) - int.from_bytes(main[16:18], "big") + 256, len(main), 256))


def truncate(
    trial: Trial, path: Path, main: bytes, wal: bytes | None, expected: str, lengths: Iterable[int | None]
) -> None:
    """Cuts the main file to each length (None: it is gone): either all is there, by the hash, or one clear
    error of ours. Without a WAL no byte changes where it is refused."""
    page = int.from_bytes(main[16:18], "big")
    for length in lengths:
        left = main[:length] if length is not None else b""
        lay(path, left, wal)
        if length is None:
            path.unlink()
        found: list[str] = []

        def look() -> None:
            with closing(opened(path)) as memory:
                found.append(memory.hash())  # noqa: B023

        seen = outcome(look)
        kind = seen.partition(":")[0]
        short = (wal is None or len(left) > 1) and len(left) < page  # too little to be known as a memory
        allowed = ("MemoryCorruptError", "MemoryVersionError") if short else ("MemoryCorruptError",)
        lost = []
        if found and found != [expected]:
            lost.append(f"main file of {length} bytes: opened, with other content")
        elif not found and (kind not in allowed or str(path) not in seen):
            lost.append(f"main file of {length} bytes: {seen}")
        if not found and wal is None and path.read_bytes() != left:
            lost.append(f"main file of {length} bytes: changed, though refused")
        trial.add(lost, "nothing, all is there" if found == [expected] else kind)


# -- full disk ---------------------------------------------------------------------------------------


@contextmanager
def small_disk(size: str = "1m") -> Iterator[Path | None]:
    """A disk of that size; None where this machine lets none be mounted."""
    mount = shutil.which("mount")
    with TemporaryDirectory(prefix="rlem-disk-") as name:
        if mount is None or os.geteuid() != 0:
            yield None
            return
        done = subprocess.run(
            [mount, "-t", "tmpfs", "-o", f"size={size}", "tmpfs", name], capture_output=True, check=False
        )
        if done.returncode:
            yield None
            return
        try:
            yield Path(name)
        finally:
            subprocess.run(["umount", name], check=True)


def fill(
    trial: Trial, path: Path, rng: random.Random, squeeze: Callable[[], object], free: Callable[[], None]
) -> None:
    """Records episodes until there is no room, looks at what is there, frees room and goes on."""
    memory = opened(path)
    memory.record_many(walks(4))
    stored = list(memory.episodes())
    squeeze()
    seen = "nothing"
    for number in range(2000):
        episode = big(f"page{number:04}", rng.choice((100, 2000, 9000, 60_000)))
        seen = outcome(lambda: memory.record(episode))  # noqa: B023
        if seen != "nothing":
            break
        stored.append(episode)
    kind = seen.partition(":")[0]
    lost = [] if kind == "MemoryReadOnlyError" and str(path) in seen else [f"a full disk: {seen}"]
    with closing(taught(None, stored)) as twin:
        expected = twin.hash()
        if memory.hash() != expected:
            lost.append("full: another state than before the write that failed")
        if rng.random() < 0.5:  # as it is, or opened anew while there is still no room
            memory.close()
            again = outcome(lambda: opened(path).close())
            if again.partition(":")[0] not in ("nothing", "MemoryReadOnlyError"):
                lost.append(f"full: opening says {again}")
            free()
            memory = opened(path)
        else:
            free()
        if memory.hash() != expected:
            lost.append("free again: another state than before")
        memory.record(big("more", 3000))
        twin.record(big("more", 3000))
        if memory.hash() != twin.hash():
            lost.append("going on: another state than it should be")
    memory.close()
    trial.add(lost + unsound(path), kind)


def full_disk(trial: Trial, disk: Path, count: int, seed: int) -> None:
    """Fills a real disk, with more or less room on it, so that it ends at different moments."""
    rng = random.Random(seed)
    ballast = disk / "ballast"
    for _ in range(count):
        content = bytes(rng.randrange(300_000, 750_000))
        with TemporaryDirectory(dir=disk) as name:
            path = Path(name) / "memory.rlem"
            fill(trial, path, rng, partial(ballast.write_bytes, content), ballast.unlink)


def full_quota(trial: Trial, folder: Path, count: int, seed: int) -> None:
    """The same by a limit on the size of a file, in a process of its own; this needs no rights."""

    def work(say: Say) -> None:
        rng = random.Random(seed)
        plain = resource.getrlimit(resource.RLIMIT_FSIZE)
        for number in range(count):
            limit = rng.randrange(150_000, 900_000)
            fill(
                trial,
                folder / f"memory{number}.rlem",
                rng,
                lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, plain[1])),  # noqa: B023
                lambda: resource.setrlimit(resource.RLIMIT_FSIZE, plain),
            )
        for what, times in trial.seen.items():
            for _ in range(times):
                say(f"seen {what}")
        for problem in trial.lost:
            say(f"lost {problem}")

    for line in Child(work).end():
        word, _, rest = line.partition(" ")
        if word == "seen":
            trial.add(seen=rest)
        else:
            trial.lost.append(line)


# -- another user ------------------------------------------------------------------------------------


def as_nobody(work: Callable[[Say], object]) -> list[str]:
    """Does it in a process without root's rights (as it is, if this one has none); what it said."""

    def without_rights(say: Say) -> None:
        if os.geteuid() == 0:
            os.setgroups([])
            os.setgid(65534)
            os.setuid(65534)
        work(say)

    return Child(without_rights).end()


@contextmanager
def shared_folder() -> Iterator[Path]:
    """A folder that other users can reach."""
    with TemporaryDirectory(prefix="rlem-shared-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        try:
            yield folder
        finally:
            folder.chmod(0o755)


def read_only(trial: Trial) -> None:
    """A file that may not be written, in a folder that may or may not, with and without a WAL that a killed
    writer left: reading works, writing is an error that names the way out, no byte changes."""
    for folder_mode, killed in itertools.product((0o555, 0o777), (False, True)):
        with shared_folder() as folder:
            path = folder / "memory.rlem"
            if killed:
                expected = crash(path, 5).hashes[-1]
            else:
                with closing(opened(path)) as memory:
                    memory.record_many(walks(8))
                    expected = memory.hash()
            for file in folder.iterdir():
                file.chmod(0o444)
            folder.chmod(folder_mode)
            before = {file: file.read_bytes() for file in (path, Path(f"{path}-wal")) if file.exists()}
            said = as_nobody(lambda say: _try_to_write(path, say))  # noqa: B023
            after = {file: file.read_bytes() for file in before}
            export = "nothing" if folder_mode == 0o777 else "MemoryReadOnlyError"
            wanted = ["PermissionError", "MemoryReadOnlyError", expected, "MemoryReadOnlyError", export]
            lost = [
                f"{line!r} instead of {word}"
                for line, word in zip(said, wanted, strict=True)
                if not line.startswith(word)
            ]
            if "read_only=True" not in said[1] or "was opened read-only" not in said[3]:
                lost.append(f"no way out is named: {said}")
            if after != before:
                lost.append("the files were changed")
            trial.add(lost, "MemoryReadOnlyError")


def _try_to_write(path: Path, say: Say) -> None:
    say(outcome(lambda: path.open("r+b")))  # proof that this process has no right to
    say(outcome(lambda: opened(path).record(big("page", 2000))))
    with closing(opened(path, read_only=True)) as memory:
        memory.recall(walks(1)[0].transitions[0].situation)
        say(memory.hash())
        say(outcome(lambda: memory.record(big("page", 2000))))
        say(outcome(lambda: export_episodes(memory, path.with_name("out"))))
