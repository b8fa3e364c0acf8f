"""The memory contract over PostgreSQL: the machine's own server, and the one of the PyPI package pgserver."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support.postgres import Cluster, debian_cluster, opened, pgserver_cluster

from rlem.memory.store import Store
from rlem.testing.memory_contract import MemoryContract

__all__ = ["debian_cluster", "pgserver_cluster"]  # fixtures


class PostgresContract(MemoryContract):
    """A schema of a real server for each test."""

    server: Cluster

    def make_store(self, tmp_path: Path) -> Store:
        """A new schema."""
        return opened(self.server.url())

    def reopen(self, store: Store) -> Store:
        """Another connection to it."""
        return opened(store.location)


class TestPostgres(PostgresContract):
    """The server of the machine (Debian's postgresql)."""

    @pytest.fixture(autouse=True)
    def _server(self, debian_cluster: Cluster) -> None:
        self.server = debian_cluster


class TestPgserver(PostgresContract):
    """The server of the PyPI package pgserver, which has pgvector."""

    @pytest.fixture(autouse=True)
    def _server(self, pgserver_cluster: Cluster) -> None:
        self.server = pgserver_cluster
