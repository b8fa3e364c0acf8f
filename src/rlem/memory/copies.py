"""Where else a memory's episodes are: what its history says of copies, and the run whose folder it lies in.

Each copy is noted in the history of the memory that it was made of, before it is made, so that no kill hides
it; and in its own history, where it has one, as the place that its episodes came from.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from rlem.core.clock import Clock, system_clock
from rlem.core.errors import MemoryReadOnlyError
from rlem.memory.store import Change, Store


@dataclass(frozen=True, slots=True, kw_only=True)
class Copy:
    """A place that holds episodes of a memory, or did: a memory, an export (JSON lines) or a run's folder.

    ``kind``: "branch", "copy", "export", "merge", "rebuilt" (under other settings), as its history says;
    "origin": where its episodes came from; "run": the run that it is of; "seed": the memory of another seed
    of that run, whose episodes have the same ids and are others. ``of``: the memory.
    """

    kind: str
    place: str
    of: str

    @property
    def is_memory(self) -> bool:
        """Whether it is a memory: a server's, or a file by its first bytes."""
        with suppress(OSError), Path(self.place).open("rb") as stream:
            return stream.read(16) == b"SQLite format 3\0"
        return "://" in self.place


def place_of(location: str | Path) -> str:
    """A location as it is noted: a URL as it is, a path from the root."""
    text = str(location)
    return text if "://" in text or text == ":memory:" else str(Path(text).resolve())


def note_copy(store: Store, kind: str, location: str | Path, clock: Clock = system_clock) -> None:
    """Notes in a memory's history that a copy of it is being made; not where nothing can be written."""
    place = place_of(location)
    if store.read_only or place == ":memory:":
        return
    with suppress(MemoryReadOnlyError), store.write():
        store.note(kind, clock(), {"to": place})


def copies_of(store: Store) -> list[Copy]:
    """The copies of a memory that its history names and that are there; of servers, all that it names."""
    own = place_of(store.location)
    kinds: dict[str, str] = {}
    for change, place in _places(store):
        if kinds.get(place, "origin") == "origin":  # a branch that was merged back is a branch
            kinds[place] = change.kind if "to" in change.detail else "origin"
    found = [Copy(kind=kind, place=place, of=own) for place, kind in kinds.items()]
    return [copy for copy in found if copy.place != own and _is_there(copy.place)] + _run(own)


def _is_there(place: str) -> bool:
    """Whether there is something, as far as one may look."""
    try:
        return "://" in place or Path(place).exists() or Path(f"{place}.part").exists()
    except OSError:  # a folder that one may not look into
        return True


def _places(store: Store) -> Iterator[tuple[Change, str]]:
    for change in store.history():
        for name in ("to", "from"):
            given = change.detail.get(name)
            for place in given if isinstance(given, list) else [given]:
                if isinstance(place, str) and place != ":memory:":
                    yield change, place


def seed_of(location: str) -> int | None:
    """The seed of a run's memory, by the name of its file; None for another memory."""
    path = Path(location)
    found = re.fullmatch(r"memory-(\d+)\.rlem", path.name)
    whole = all((path.parent / name).is_file() for name in ("config.json", "episodes.jsonl"))
    return int(found[1]) if found and whole else None


def _run(location: str) -> list[Copy]:
    if seed_of(location) is None:
        return []
    folder = Path(location).parent
    others = (str(path) for path in sorted(folder.glob("memory-*.rlem")) if str(path) != location)
    seeds = (Copy(kind="seed", place=place, of=location) for place in others if seed_of(place) is not None)
    return [Copy(kind="run", place=str(folder), of=location), *seeds]
