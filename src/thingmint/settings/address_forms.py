"""Owns the forms of settings that are addresses: hosts and ports, URLs, paths and server names."""

import ipaddress
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias
from urllib.parse import parse_qsl

from thingmint.core.error_text import in_words
from thingmint.core.host_names import is_server_name
from thingmint.settings.forms import ConfigError

Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network
_PORT = re.compile(r"[0-9]{1,5}")


@dataclass(frozen=True, slots=True)
class Address:
    """A host and a port."""

    host: str
    port: int

    def __str__(self) -> str:
        """Return ``host:port``, with brackets around an IPv6 address."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_address(text: str, setting: str) -> Address:
    """Return host and port of ``host:port`` or ``[v6]:port``; raise ConfigError otherwise."""
    host, colon, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not colon or not host or not _PORT.fullmatch(port) or int(port) > 0xFFFF:
        raise ConfigError(f"{setting} must be host:port with a port from 0 to 65535, not {text!r}")
    return Address(host, int(port))


@dataclass(frozen=True, slots=True)
class HostAndPort:
    """The address that a port listens on."""

    metavar: str = "HOST:PORT"
    toml: object = str

    def parse(self, name: str, value: object) -> Address:
        """Return host and port."""
        return parse_address(str(value), name)

    def shown(self, value: object) -> object:
        """Return ``host:port``."""
        return str(value)


@dataclass(frozen=True, slots=True)
class Networks:
    """IP networks: a repeated flag, a list in the file, separated by commas in the variable."""

    metavar: str = "NETWORK"
    toml: object = list[str]

    def parse(self, name: str, value: object) -> tuple[Network, ...]:
        """Return the networks in their order; an address without a prefix is a network of one address."""
        texts = value.split(",") if isinstance(value, str) else map(str, value)  # type: ignore[call-overload]  # a list
        return tuple([_network(name, text) for text in texts])

    def shown(self, value: object) -> object:
        """Return the networks."""
        return list(map(str, value))  # type: ignore[call-overload]  # the networks that `parse` returned


def _network(name: str, text: str) -> Network:
    try:
        return ipaddress.ip_network(text)
    except ValueError as error:
        raise ConfigError(
            f"{name} must be an IP network such as 10.0.0.0/24, not {text!r}: {in_words(error)}"
        ) from error


@dataclass(frozen=True, slots=True)
class URLWithPassword:
    """A URL that may hold a password."""

    schemes: tuple[str, ...]
    metavar: str = "URL"
    toml: object = str

    def parse(self, name: str, value: object) -> str:
        """Return the URL; the message of ConfigError does not contain it."""
        url = str(value)
        if not url.startswith(self.schemes):
            raise ConfigError(f"{name} must start with {self.schemes[0]}")
        return url

    def shown(self, value: object) -> object:
        """Return the URL without its password and without its query, which may also hold a password."""
        scheme, _, rest = str(value).partition("://")
        user, at, place = rest.rpartition("@")
        place, mark, _ = place.partition("?")
        name, colon, _ = user.partition(":")
        hidden = f"{name}:***" if colon else name
        return f"{scheme}://{hidden}{at}{place}{mark and '?…'}"


def has_password(url: str) -> bool:
    """Return whether the URL holds a password, which process lists show if the URL is a flag."""
    authority, _, query = url.partition("://")[2].partition("?")
    return ":" in authority.partition("/")[0].rpartition("@")[0] or "password" in dict(parse_qsl(query))


@dataclass(frozen=True, slots=True)
class FilePath:
    """The path of a file or directory, relative to the current directory of the command."""

    metavar: str = "PATH"
    toml: object = str

    def parse(self, name: str, value: object) -> Path:
        """Return the path."""
        if not str(value):
            raise ConfigError(f"{name} must be a path, and is empty")
        return Path(str(value))

    def shown(self, value: object) -> object:
        """Return the given path."""
        return str(value)


@dataclass(frozen=True, slots=True)
class ServerNames:
    """DNS names and IP addresses: a repeated flag, a list in the file, separated by commas in the variable."""

    metavar: str = "NAME"
    toml: object = list[str]

    def parse(self, name: str, value: object) -> tuple[str, ...]:
        """Return the names in their order."""
        names = value.split(",") if isinstance(value, str) else map(str, value)  # type: ignore[call-overload]  # a list
        found = tuple(names)
        for each in found:
            if not is_server_name(each):
                raise ConfigError(f"{name} must be a DNS name or an IP address, not {each!r}")
        return found

    def shown(self, value: object) -> object:
        """Return the names."""
        return list(value)  # type: ignore[call-overload]  # the names that `parse` returned
