"""Addresses of memories on PostgreSQL servers: what libpq reads, ``?schema=NAME``, and no password shown."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from rlem.core.errors import MissingExtraError, UnknownNameError, UsageError

try:
    from psycopg import ProgrammingError, pq
    from psycopg.conninfo import conninfo_to_dict
except ImportError:
    raise MissingExtraError("a memory on a PostgreSQL server", "postgres") from None

DEFAULT_SCHEMA = "rlem"
SECRETS = ("password", "sslpassword", "oauth_client_secret", "scram_client_key", "scram_server_key")
# A server that vanished without a word is noticed after half a minute, not after hours.
DEFAULTS: dict[str, Any] = {
    "application_name": "rlem",
    "connect_timeout": 10,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 4,
    "tcp_user_timeout": 30_000,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where a memory is: ``location`` may be shown, ``parameters`` hold the password."""

    location: str
    schema: str
    parameters: dict[str, Any] = field(repr=False)


def parse_address(url: str) -> Address:
    """The address that a ``postgresql://`` URL names.

    >>> parse_address("postgresql://ann:secret@db.example/shop?schema=kettles").location
    'postgresql://ann@db.example/shop?schema=kettles'
    """
    address, _, query = url.partition("?")
    scheme, _, rest = address.partition("://")
    host, slash, database = rest.partition("/")
    options = [option.partition("=") for option in query.split("&") if option]
    try:
        odd = "#" in url or "@" in database + query or host.count("@") > 1
        if odd or scheme not in ("postgresql", "postgres"):
            raise ValueError
        known = [option.keyword.decode() for option in pq.Conninfo.get_defaults()]
        for name, _, _ in options:
            if name not in (*known, "schema"):
                raise UnknownNameError("option of a PostgreSQL URL", name, [*known, "schema"])
        parameters = conninfo_to_dict(f"{address}{_query(options, 'schema')}")
    except (ValueError, ProgrammingError):  # whose messages may hold parts of the password
        raise UsageError(
            "a PostgreSQL URL cannot be understood (not shown: it may hold a password); the form is "
            "postgresql://USER:PASSWORD@HOST:PORT/DATABASE?schema=NAME, with special characters of user and "
            "password as %XX"
        ) from None
    user, at, place = host.rpartition("@")
    shown = f"{scheme}://{user.partition(':')[0]}{at}{place}{slash}{database}{_query(options, *SECRETS)}"
    schema = _schema([unquote(value) for name, _, value in options if name == "schema"])
    return Address(location=shown, schema=schema, parameters={**DEFAULTS, **parameters})


def _query(options: list[tuple[str, str, str]], *without: str) -> str:
    rest = "&".join("".join(option) for option in options if option[0] not in without)
    return f"?{rest}" if rest else ""


def _schema(given: list[str]) -> str:
    name = given[-1] if given else DEFAULT_SCHEMA
    sound = name.isprintable() and 0 < len(name.encode()) < 64
    if not sound or name.startswith("pg_") or name == "information_schema":
        raise UsageError(
            f"schema {name!r} is not possible: a name has 1 to 63 bytes and does not start with pg_"
        )
    return name
