"""Search for near vectors in a PostgreSQL server that has pgvector.

The vectors are the features themselves: for each fingerprint that has many there is an HNSW index over a
function of ``features.data``. So they are never stale, and go when the feature goes. Without pgvector, or
without the right to create it, there is no index, and ``nearest`` says so.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress

from rlem.core.errors import MissingExtraError
from rlem.memory.candidates import DENSE
from rlem.memory.postgres_session import Session
from rlem.memory.store import FeatureKey
from rlem.similarity.fields import digest

try:
    import psycopg
except ImportError:
    raise MissingExtraError("a memory on a PostgreSQL server", "postgres") from None

FROM = 10_000
"""An index is made for so many vectors; fewer are compared faster one by one on the client."""
WIDEST = 2000
"""Dimensions that pgvector's HNSW takes."""
SEARCHED = 4
"""So many times the wanted candidates are looked at."""
MOST_SEARCHED = 1000
"""pgvector's own limit."""

# Little-endian 16-bit whole numbers with sign. What it names is in pg_catalog or named with its schema, since
# the server maintains the index under a search_path of its own.
FUNCTION = """
CREATE OR REPLACE FUNCTION rlem_vector(data bytea) RETURNS {vector}
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE COST 10000 AS $$
    SELECT ARRAY(SELECT (((get_byte(data, i + 1) << 8) | get_byte(data, i)) # 32768) - 32768
        FROM generate_series(0, length(data) - 2, 2) i)::{vector}
$$
"""


class Indexes:
    """Makes the indexes of one memory when they are due: after a write, outside of the writers' lock."""

    def __init__(self) -> None:
        self._new: dict[str, int] = {}
        """Vectors stored since it was last looked whether an index is due."""

    def note(self, items: Iterable[FeatureKey]) -> None:
        """These features are being stored."""
        for fingerprint, _ in items:
            if fingerprint.startswith(DENSE):
                self._new[fingerprint] = self._new.get(fingerprint, FROM) + 1

    def keep_up(self, session: Session) -> None:
        """Makes the indexes that are due. Where that fails there is none: the write is done all the same."""
        for fingerprint in [name for name, number in self._new.items() if number > FROM // 20]:
            self._new[fingerprint] = 0
            with suppress(psycopg.Error):
                _make(session, fingerprint)

    def drop(self, session: Session) -> None:
        """Drops all of them, and has them made anew at the next ``keep_up``."""
        with suppress(psycopg.Error):  # whoever is not the owner
            names = session.sql(
                "SELECT relname FROM pg_class WHERE relnamespace = current_schema()::regnamespace"
                r" AND relkind = 'i' AND relname LIKE 'vectors\_%'"
            ).fetchall()
            for (name,) in names:
                session.sql(f"DROP INDEX {name}")
            if names:
                self._new.clear()
                self.note(
                    (fingerprint, b"")
                    for (fingerprint,) in session.sql("SELECT DISTINCT fingerprint FROM features")
                )


def nearest(session: Session, fingerprint: str, features: bytes, wanted: int) -> list[bytes] | None:
    """See ``rlem.memory.candidates.CandidateStore``."""
    where = _place(session)
    if where is None or not _is_valid(session, fingerprint):
        return None
    looked_at = max(min(SEARCHED * wanted, MOST_SEARCHED), 40)
    query = _query(where, fingerprint, features, min(wanted, MOST_SEARCHED))
    cursor = session.sql(f"SET hnsw.ef_search = {looked_at}; {query}")
    cursor.nextset()
    return [name for (name,) in cursor]


def _query(where: str, fingerprint: str, features: bytes, wanted: int) -> str:
    # Without parameters: the index holds for one fingerprint, and is taken only where that is a constant.
    return (
        f"SELECT digest FROM features WHERE fingerprint = {_quoted(fingerprint)}"
        f" ORDER BY {_expression(where, len(features))} OPERATOR({where}.<=>)"
        f" rlem_vector('\\x{features.hex()}') LIMIT {int(wanted)}"
    )


def _make(session: Session, fingerprint: str) -> None:
    """Makes the index of a fingerprint if it is due, nobody else is at it, and the server lets us."""
    rows = session.sql(
        "SELECT count(*), max(length(data)) FROM features WHERE fingerprint = %s", (fingerprint,)
    )
    ((count, size),) = rows
    if count < FROM or size > 2 * WIDEST or _is_valid(session, fingerprint):
        return
    if _place(session) is None:
        session.sql("CREATE EXTENSION IF NOT EXISTS vector SCHEMA public")
    where, name = _place(session), _name(fingerprint)
    lock = int.from_bytes(digest(f"{session.address.schema} {name}", 8), "big", signed=True)
    ((free,),) = session.sql("SELECT pg_try_advisory_lock(%s)", (lock,))
    if where is None or not free:
        return
    try:
        session.sql(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")  # what a break left
        session.sql(FUNCTION.format(vector=f"{where}.vector"))
        session.sql(
            f"CREATE INDEX CONCURRENTLY {name} ON features USING hnsw"
            f" (({_expression(where, size)}) {where}.vector_cosine_ops)"
            f" WHERE fingerprint = {_quoted(fingerprint)}"
        )
        session.sql(f"ALTER INDEX {name} ALTER COLUMN 1 SET STATISTICS 0")
        # A server that does not know how many there are would rather compare all of them.
        session.sql("ANALYZE features (fingerprint)")
    finally:
        session.sql("SELECT pg_advisory_unlock(%s)", (lock,))


def _place(session: Session) -> str | None:
    """Schema of the extension, as SQL names it; None where it is not installed in the database."""
    row = session.sql(
        "SELECT quote_ident(nspname) FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace"
        " WHERE extname = 'vector'"
    ).fetchone()
    return str(row[0]) if row else None


def _is_valid(session: Session, fingerprint: str) -> bool:
    """Whether the index of a fingerprint is there, and complete."""
    name = (_name(fingerprint),)
    row = session.sql("SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass(%s)", name).fetchone()
    return row is not None and bool(row[0])


def _expression(where: str, size: int) -> str:
    return f"rlem_vector(data)::{where}.vector({size // 2})"


def _name(fingerprint: str) -> str:
    return f"vectors_{digest(fingerprint, 8).hex()}"


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
