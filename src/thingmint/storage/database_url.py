"""Owns the parsing of PostgreSQL URLs. No error quotes a part of the URL, because it may hold a password."""

import os
from dataclasses import dataclass, field
from typing import NamedTuple
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

_SCHEMES = ("postgresql://", "postgres://")
_DEFAULT_PORT = "5432"
DEFAULT_STATEMENT_CACHE_SIZE = 100
_STATEMENT_CACHE_SIZE = "statement_cache_size"
_WANTED = "target_session_attrs"


class InvalidDatabaseURL(ValueError):
    """The database URL cannot be parsed; the message does not quote it."""


class DatabaseServer(NamedTuple):
    """The host name, address or socket directory of a server, and its port."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


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
    def each_server(self) -> tuple[DatabaseServer, ...]:
        """The servers in the order of the URL; raises InvalidDatabaseURL if a port is not a number."""
        base, _, query = self.dsn.partition("?")
        given = dict(parse_qsl(query))
        authority = base.partition("://")[2].partition("/")[0]
        hosts = authority.rpartition("@")[2] or given.get("host") or os.environ.get("PGHOST") or "localhost"
        ports = (given.get("port") or os.environ.get("PGPORT") or _DEFAULT_PORT).split(",")
        named = [_host_and_port(host) for host in unquote(hosts).split(",")]
        if len(ports) == 1:
            ports *= len(named)
        try:
            return tuple(
                DatabaseServer(host, int(port or default)) for (host, port), default in zip(named, ports, strict=True)
            )
        except ValueError:
            raise InvalidDatabaseURL("a port in the database URL is missing or not a number") from None

    @property
    def servers(self) -> str:
        """The servers as host:port, without user and password."""
        return ", ".join(map(str, self.each_server))

    @property
    def wanted(self) -> str | None:
        """The attribute of the server to use: the primary if the URL names several servers; None if the URL says it."""
        is_given = _WANTED in dict(parse_qsl(self.dsn.partition("?")[2])) or "PGTARGETSESSIONATTRS" in os.environ
        return None if is_given or len(self.each_server) < 2 else "primary"

    @property
    def place(self) -> str:
        """The servers and the database's name, without user and password."""
        return f"{self.servers}/{urlsplit(self.dsn).path.strip('/')}"


def _host_and_port(text: str) -> tuple[str, str]:
    """Return a host without brackets, and its port; the port is empty if the text has none."""
    if text.startswith("["):
        host, _, port = text[1:].partition("]")
        return host, port.removeprefix(":")
    host, colon, port = text.rpartition(":")
    return (host, port) if colon and not text.startswith("/") else (text, "")


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
    parsed = DatabaseURL(f"{base}?{urlencode(parameters)}" if parameters else base, cache_size, password)
    # Reads the servers, so that an unreadable list is refused at the start.
    _ = parsed.each_server
    return parsed
