"""The contracts of stores and memories over PostgreSQL: the machine's own server, and that of pgserver."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support.postgres import Cluster, debian_cluster, opened, pgserver_cluster

from rlem.memory.store import Store
from rlem.testing.memory_contract import MemoryContract
from rlem.testing.store_contract import StoreContract

__all__ = ["debian_cluster", "pgserver_cluster"]  # fixtures


class OnServer:
    """A schema of a real server for each test."""

    server: Cluster

    def make_store(self, tmp_path: Path) -> Store:
        """A new schema."""
        return opened(self.server.url())

    def reopen(self, store: Store) -> Store:
        """Other connections to it."""
        return opened(store.location)


class OnDebian(OnServer):
    """The server of the machine (Debian's postgresql)."""

    @pytest.fixture(autouse=True)
    def _server(self, debian_cluster: Cluster) -> None:
        self.server = debian_cluster


class OnPgserver(OnServer):
    """The server of the PyPI package pgserver, which has pgvector."""

    @pytest.fixture(autouse=True)
    def _server(self, pgserver_cluster: Cluster) -> None:
        self.server = pgserver_cluster


class TestStoreOnDebian(OnDebian, StoreContract):
    """What every store must do."""


class TestStoreOnPgserver(OnPgserver, StoreContract):
    """What every store must do."""


class TestMemoryOnDebian(OnDebian, MemoryContract):
    """What every memory must do."""


class TestMemoryOnPgserver(OnPgserver, MemoryContract):
    """What every memory must do."""
