"""Owns the parsing of PostgreSQL URLs. No error quotes a part of the URL, because it may hold a password."""

import os
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

_SCHEMES = ("postgresql://", "postgres://")
_DEFAULT_PORT = "5432"
DEFAULT_STATEMENT_CACHE_SIZE = 100
_STATEMENT_CACHE_SIZE = "statement_cache_size"


class InvalidDatabaseURL(ValueError):
    """The database URL cannot be parsed; the message does not quote it."""


@dataclass(frozen=True, slots=True)
class DatabaseURL:
    """A PostgreSQL URL without Thingmint's own parameters, and these parameters.

    A cache of 0 statements, set by the setting or by ``statement_cache_size=0`` in the URL's query, makes the store
    safe behind pgbouncer in transaction mode, where a prepared statement ends with its transaction.
    """

    dsn: str = field(repr=False)
    statement_cache_size: int
    password: str | None = field(default=None, repr=False)
    """The password of the setting database_password_file; without it, that of the URL or PostgreSQL's own sources."""

    @property
    def servers(self) -> str:
        """The servers as host:port, without user and password."""
        base, _, query = self.dsn.partition("?")
        given = dict(parse_qsl(query))
        authority = base.partition("://")[2].partition("/")[0]
        hosts = authority.rpartition("@")[2] or given.get("host") or os.environ.get("PGHOST") or "localhost"
        port = given.get("port") or os.environ.get("PGPORT") or _DEFAULT_PORT
        return ", ".join(host if _names_port(host) else f"{host}:{port}" for host in unquote(hosts).split(","))

    @property
    def place(self) -> str:
        """The servers and the database's name, without user and password."""
        return f"{self.servers}/{urlsplit(self.dsn).path.strip('/')}"


def _names_port(host: str) -> bool:
    _, colon, port = host.rpartition(":")
    return bool(colon) and port.isdigit() and (host.startswith("[") is ("]" in host)) and not host.endswith("]")


def parse_database_url(
    url: str, password: str | None = None, statement_cache_size: int = DEFAULT_STATEMENT_CACHE_SIZE
) -> DatabaseURL:
    """Return the parts of the URL, with this password if it is given; raise InvalidDatabaseURL.

    The size of the statement cache applies unless the URL has one.
    """
    if not url.startswith(_SCHEMES):
        raise InvalidDatabaseURL("a database URL begins with postgresql://")
    base, _, query = url.partition("?")
    try:
        parameters = dict(parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query)))
        cache_size = int(parameters.pop(_STATEMENT_CACHE_SIZE, statement_cache_size))
    except ValueError:
        raise InvalidDatabaseURL("the query of the database URL cannot be read") from None
    if cache_size < 0:
        raise InvalidDatabaseURL(f"{_STATEMENT_CACHE_SIZE} in the database URL is negative")
    return DatabaseURL(f"{base}?{urlencode(parameters)}" if parameters else base, cache_size, password)
