"""Where a memory lies: a file, a server, or this process."""

from __future__ import annotations

from pathlib import Path

from rlem.core.errors import UsageError
from rlem.memory.sqlite import SQLiteStore
from rlem.memory.store import Store
from rlem.memory.volatile import InMemoryStore


def open_store(location: str | Path, *, read_only: bool = False) -> Store:
    """The store of a file path, a ``postgresql://`` URL or ":memory:". UsageError for any other URL."""
    if not isinstance(location, str | Path) or not str(location):
        raise UsageError(f"a memory is at a path, a postgresql:// URL or ':memory:', not at {location!r}")
    text = str(location)
    if text == ":memory:":
        return InMemoryStore()
    scheme, mark, _ = text.partition(":/")
    if scheme in ("postgresql", "postgres") and mark:
        if isinstance(location, Path):  # which has lost one of the two slashes
            raise UsageError(f"a {scheme}:// URL must be given as a text, not as a Path")
        from rlem.memory.postgres import PostgresStore  # whose driver not everybody has

        return PostgresStore(text, read_only=read_only)
    if "://" in text:
        raise UsageError(
            f"no memory can be kept at a {scheme}:// address: give a path, a postgresql:// URL or ':memory:'"
        )
    return SQLiteStore(text, read_only=read_only)
