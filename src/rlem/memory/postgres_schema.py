"""The tables of a memory on a PostgreSQL server: made, recognised and brought up to date."""

from __future__ import annotations

from importlib import resources

from rlem.core.errors import MemoryVersionError
from rlem.memory.postgres_session import Session
from rlem.memory.store import SCHEMA_VERSION
from rlem.similarity.fields import digest


def _text(name: str) -> str:
    return resources.files("rlem.memory").joinpath(name).read_text("utf-8")


UPGRADES = {1: "postgres_upgrade_1.sql"}
"""Files of SQL that bring a memory of the given schema version to the next one."""


def prepare(session: Session, *, read_only: bool) -> None:
    """Makes sure that the memory is there, in the version that this rlem knows."""
    version = _found_version(session)
    if version > SCHEMA_VERSION:
        raise MemoryVersionError(
            f"{session.location} was written by a newer rlem (schema {version}; this one knows up to "
            f"{SCHEMA_VERSION}): upgrade rlem, the memory was left as it is"
        )
    if version == SCHEMA_VERSION:
        return
    if read_only and version == 0:
        raise MemoryVersionError(f"there is no memory in {session.location}: its schema is empty")
    if read_only:
        raise MemoryVersionError(
            f"{session.location} was written by an older rlem (schema {version}): open it once without "
            f"read_only, or bring it up to date with rlem memory rebuild {session.location}"
        )
    try:
        _migrate(session)
    except BaseException:
        session.sql("ROLLBACK")
        raise


def _found_version(session: Session) -> int:
    """Schema version of the memory; 0 where there is none yet. Refuses a schema of somebody else's."""
    name = session.address.schema
    found = session.sql(
        "SELECT count(*), count(*) FILTER (WHERE relname = 'rlem_memory') FROM pg_class c"
        " JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = %s",
        (name,),
    ).fetchone()
    tables, own = found or (0, 0)
    if own:
        row = session.sql("SELECT schema_version FROM rlem_memory").fetchone()
        return int(row[0]) if row else 0
    if tables:
        raise MemoryVersionError(
            f"the schema {name!r} of {session.location} holds something else than a memory of rlem's: name "
            "another one (?schema=NAME)"
        )
    return 0


def _migrate(session: Session) -> None:
    """Makes the tables of a new memory, or brings an older one up to date, in one transaction."""
    run, name = session.sql, session.address.schema
    lock = int.from_bytes(digest(f"rlem {name}", 8), "big", signed=True)
    run("BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE")
    run("SELECT pg_advisory_xact_lock(%s)", (lock,))
    version = _found_version(session)
    if version == 0:
        if not run("SELECT 1 FROM pg_namespace WHERE nspname = %s", (name,)).fetchone():
            quoted = name.replace('"', '""')
            run(f'CREATE SCHEMA "{quoted}"')
        run(_text("postgres_schema.sql"))
        run("INSERT INTO rlem_memory (schema_version, revision) VALUES (%s, 0)", (SCHEMA_VERSION,))
        version = SCHEMA_VERSION
    elif version < SCHEMA_VERSION:  # the row's lock keeps writers of the older version out
        run("UPDATE rlem_memory SET schema_version = %s", (SCHEMA_VERSION,))
    while version < SCHEMA_VERSION:
        if version not in UPGRADES:
            raise MemoryVersionError(f"{session.location}: no way is known to upgrade schema {version}")
        run(_text(UPGRADES[version]))
        version += 1
    run("COMMIT")
