"""The memory contract over every store."""

from __future__ import annotations

from pathlib import Path

from rlem.memory.sqlite import SQLiteStore
from rlem.memory.store import Store
from rlem.memory.volatile import InMemoryStore
from rlem.testing.memory_contract import MemoryContract


class TestSQLite(MemoryContract):
    """One SQLite file."""

    def make_store(self, tmp_path: Path) -> Store:
        """A new file."""
        return SQLiteStore(tmp_path / "memory.rlem")

    def reopen(self, store: Store) -> Store:
        """Another connection to it."""
        return SQLiteStore(store.location)


class TestInMemory(MemoryContract):
    """The memory of this process."""

    def make_store(self, tmp_path: Path) -> Store:
        """A new store."""
        return InMemoryStore()

    def reopen(self, store: Store) -> Store:
        """It is its own other handle."""
        return store
