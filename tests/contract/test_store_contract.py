"""The store contract over the stores that need no server."""

from __future__ import annotations

from pathlib import Path

import pytest

from rlem.memory import sqlite, sqlite_log
from rlem.memory.sqlite import SQLiteStore
from rlem.memory.store import Store
from rlem.memory.volatile import InMemoryStore
from rlem.testing.store_contract import StoreContract


class TestSQLite(StoreContract):
    """One SQLite file."""

    def make_store(self, tmp_path: Path) -> Store:
        """A new file."""
        return SQLiteStore(tmp_path / "memory.rlem")

    def reopen(self, store: Store) -> Store:
        """Other connections to it."""
        return SQLiteStore(store.location)


class TestSQLiteInSmallPieces(TestSQLite):
    """The same where a few rows are too many for one statement, one portion, one chunk or the cache."""

    @pytest.fixture(autouse=True)
    def _small(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for module in (sqlite, sqlite_log):
            monkeypatch.setattr(module, "BATCH", 3)
        monkeypatch.setattr(sqlite_log, "EPISODES_AT_ONCE", 2)
        monkeypatch.setattr(sqlite_log, "REMEMBERED", 4)
        monkeypatch.setattr(sqlite, "CHUNK_BYTES", 1000)


class TestInMemory(StoreContract):
    """The memory of this process."""

    def make_store(self, tmp_path: Path) -> Store:
        """A new store."""
        return InMemoryStore()

    def reopen(self, store: Store) -> Store:
        """It is its own other handle."""
        return store
