"""Memories of other versions on a PostgreSQL server, foreign tables, and damage."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.support.postgres import (
    Cluster,
    debian_cluster,
    opened,
    server,
    sql,
)

from rlem.core.errors import (
    MemoryCorruptError,
    MemoryVersionError,
)
from rlem.memory.memory import ExperienceMemory
from rlem.testing.memory_cases import VIEWS, taught, walks

if TYPE_CHECKING:
    pass

__all__ = ["debian_cluster", "server"]  # fixtures


def test_versions_and_foreign_schemas_are_refused(server: Cluster) -> None:
    """A newer schema, somebody else's tables, an empty place to be read only: each with a way out."""
    url = server.url()
    with pytest.raises(MemoryVersionError, match="there is no memory in"):
        opened(url, read_only=True)
    memory = ExperienceMemory(opened(url))
    memory.record(walks(1)[0])
    sql(url, "UPDATE rlem_memory SET schema_version = 99")
    for read_only in (False, True):
        with pytest.raises(MemoryVersionError, match=r"newer rlem .*upgrade rlem"):
            opened(url, read_only=read_only)
    with pytest.raises(MemoryVersionError, match="another version of rlem"):  # changed while it was open
        memory.record(walks(2)[1])
    sql(url, "UPDATE rlem_memory SET schema_version = 2")
    assert memory.hash() == taught(None, walks(1)).hash()
    memory.close()
    foreign = server.url("foreign")
    sql(foreign, 'CREATE SCHEMA "foreign"', "CREATE TABLE t (x int)")
    with pytest.raises(MemoryVersionError, match=r"something else .*schema=NAME"):
        opened(foreign)


SHAPE = """
SELECT 'column', table_name::text, column_name::text, data_type || is_nullable || coalesce(column_default, '')
    FROM information_schema.columns WHERE table_schema = current_schema()
UNION ALL SELECT 'index', tablename, indexname, replace(indexdef, current_schema() || '.', '')
    FROM pg_indexes WHERE schemaname = current_schema()
UNION ALL SELECT 'constraint', conrelid::regclass::text, contype::text, pg_get_constraintdef(oid)
    FROM pg_constraint WHERE connamespace = current_schema()::regnamespace
UNION ALL SELECT 'statistics', attrelid::regclass::text, attname::text, attstattarget::text
    FROM pg_attribute JOIN pg_class c ON c.oid = attrelid
    WHERE c.relnamespace = current_schema()::regnamespace AND relkind = 'r' AND attnum > 0
    AND NOT attisdropped
ORDER BY 1, 2, 3, 4
"""


def older(url: str, memory: str) -> None:
    """Makes a memory of schema 1, as the rlem of then made it, with the content of another one of today."""
    new, old = memory.rpartition("=")[2], url.rpartition("=")[2]
    made = Path(__file__).parents[1] / "support" / "postgres_schema_1.sql"
    columns = (
        "id, sequence, recorded_s, task, task_id, source, split, model, trust, status, cause, start, final"
    )
    sql(
        url,
        f"CREATE SCHEMA {old}",
        made.read_text("utf-8"),
        f"INSERT INTO rlem_memory SELECT true, 1, 7, settings, 'f', 7, 7 FROM {new}.views",
        *(
            f"INSERT INTO {table} SELECT * FROM {new}.{table}"
            for table in ("texts", "situations", "features")
        ),
        f"INSERT INTO episodes (number, {columns}) OVERRIDING SYSTEM VALUE SELECT number, {columns}"
        f" FROM {new}.episodes",
        "SELECT setval(pg_get_serial_sequence('episodes', 'number'), max(number)) FROM episodes",
        f"INSERT INTO transitions SELECT * FROM {new}.transitions",
        f"INSERT INTO experiences SELECT situation, state FROM {new}.experiences",
    )


def test_a_memory_of_schema_1_is_upgraded(server: Cluster) -> None:
    """Log, settings and features are as before, what is derived is made anew; all is said to have arrived at
    the revision of then; the tables are those of a new memory. Reading only does not upgrade."""
    newest, url = server.url(), server.url()
    made = ExperienceMemory(opened(newest), VIEWS["n=1"])
    made.record_many(walks(8))
    older(url, newest)
    features = sql(url, "SELECT fingerprint, digest, data FROM features ORDER BY 1, 2")
    with pytest.raises(MemoryVersionError, match="without read_only"):
        opened(url, read_only=True)
    store = opened(url)
    assert (store.revision(), store.rewritten(), store.mark("main"), store.history()) == (7, 7, None, [])
    assert [(a.revision, a.episodes) for a in store.arrivals()] == [(7, 8)]
    assert list(store.derived("main")) == []
    memory = ExperienceMemory(store)
    assert memory.config == VIEWS["n=1"]
    assert list(memory.episodes()) == list(made.episodes())
    for number in range(8, 10):
        memory.record(walks(10)[number])
        made.record(walks(10)[number])
    memory.forget(episode="walk-002")
    made.forget(episode="walk-002")
    assert memory.hash() == made.hash()
    assert {row[:2] for row in sql(url, "SELECT fingerprint, digest FROM features")} >= {
        row[:2] for row in sql(newest, "SELECT fingerprint, digest FROM features")
    }
    assert len(features) > 0
    assert sql(url, SHAPE) == sql(newest, SHAPE)
    memory.close()
    made.close()


def test_an_upgrade_is_whole_or_not_at_all(server: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """If a later step fails, the memory is as it was, and can be upgraded later."""
    newest, url = server.url(), server.url()
    made = ExperienceMemory(opened(newest))
    made.record_many(walks(3))
    older(url, newest)
    with monkeypatch.context() as patch:
        patch.setattr("rlem.memory.postgres_schema.SCHEMA_VERSION", 3)
        with pytest.raises(MemoryVersionError, match="no way is known to upgrade schema 2"):
            opened(url)
    assert sql(url, "SELECT schema_version, settings IS NULL FROM rlem_memory") == [(1, False)]
    memory = ExperienceMemory(opened(url))
    assert memory.hash() == made.hash()
    memory.close()
    made.close()


@pytest.mark.parametrize(
    "damage",
    [
        "DELETE FROM texts",
        "DELETE FROM situations",
        "UPDATE episodes SET start = 'x'",
        "UPDATE episodes SET start = '[1]'",
        "UPDATE episodes SET task = '\\x00'",
        "UPDATE texts SET text = '\\xff'",
        "DROP TABLE transitions",
        "DELETE FROM rlem_memory",
    ],
)
def test_damage_to_the_log_is_reported(server: Cluster, damage: str) -> None:
    """The log is never guessed at: reading it is an error that names the memory."""
    store = opened(server.url())
    memory = ExperienceMemory(store)
    memory.record_many(walks(8))
    sql(store.location, damage)
    with pytest.raises(MemoryCorruptError, match="damaged") as caught:
        list(memory.episodes())
    assert store.location in str(caught.value)
    memory.close()


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE experiences SET state = 'no json'",
        "UPDATE experiences SET state = '[]'",
        "UPDATE experiences SET situation = '\\x00' WHERE ctid = (SELECT min(ctid) FROM experiences)",
        "UPDATE views SET mark = replace(mark, 'learner', 'x')",
        "UPDATE views SET mark = '[1]'",
        "UPDATE views SET mark = NULL",
        "DELETE FROM features",
    ],
)
def test_damage_to_what_is_derived_is_mended_silently(server: Cluster, damage: str) -> None:
    """Experiences and features are made anew from the log, and stored again by the next write."""
    url = server.url()
    memory = ExperienceMemory(opened(url))
    memory.record_many(walks(8))
    memory.close()
    sql(url, damage)
    memory = ExperienceMemory(opened(url))
    assert memory.hash() == taught(None, walks(8)).hash()
    memory.record(walks(9)[8])
    memory.close()
    memory = ExperienceMemory(opened(url))
    assert memory.hash() == taught(None, walks(9)).hash()
    memory.close()
