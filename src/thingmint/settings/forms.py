"""Owns the forms of settings: how a value is read from a flag, a variable or the file, and how it is shown.

A form knows no setting: it is told the name for its messages. Flags and variables give text, the file gives the types
of TOML.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from thingmint.host.host_names import is_server_name

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
HIDDEN = "(hidden)"
_TRUE, _FALSE = ("1", "true", "yes", "on"), ("0", "false", "no", "off", "")
_NUMBER = re.compile(r"[0-9]+(\.[0-9]+)?")


class ConfigError(Exception):
    """A setting cannot be used; the message names it and says why."""


class Form(Protocol[T_co]):
    """How the values of a setting are written."""

    @property
    def toml(self) -> object:
        """The type of the value in ``thingmint.toml``."""
        ...

    @property
    def metavar(self) -> str:
        """What stands for the value in the help of a command."""
        ...

    def parse(self, name: str, value: object) -> T_co:
        """Return the value; raise ConfigError, which names the setting, if it cannot be used."""
        ...

    def shown(self, value: object) -> object:
        """Return a parsed value as JSON can hold it, without secrets."""
        ...


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
    if not colon or not host or not port.isascii() or not port.isdigit() or int(port) > 0xFFFF:
        raise ConfigError(f"{setting} must be host:port, not {text!r}")
    return Address(host, int(port))


@dataclass(frozen=True, slots=True)
class Text:
    """Text that matches a pattern."""

    pattern: re.Pattern[str]
    words: str
    metavar: str = "TEXT"
    toml: object = str

    def parse(self, name: str, value: object) -> str:
        """Return the text."""
        text = str(value)
        if not self.pattern.fullmatch(text):
            raise ConfigError(f"{name} must be {self.words}, not {text!r}")
        return text

    def shown(self, value: object) -> object:
        """Return the text."""
        return value


@dataclass(frozen=True, slots=True)
class Hidden:
    """Text that matches a pattern and is not shown, neither by commands nor in messages."""

    pattern: re.Pattern[str]
    words: str
    metavar: str = "TEXT"
    toml: object = str

    def parse(self, name: str, value: object) -> str:
        """Return the text; the message of a refusal does not hold it."""
        text = str(value)
        if not self.pattern.fullmatch(text):
            raise ConfigError(f"{name} must be {self.words}")
        return text

    def shown(self, value: object) -> object:
        """Return that there is a value."""
        del value
        return HIDDEN


@dataclass(frozen=True, slots=True)
class URLWithPassword:
    """A URL that may hold a password."""

    schemes: tuple[str, ...]
    metavar: str = "URL"
    toml: object = str

    def parse(self, name: str, value: object) -> str:
        """Return the URL; the message of a refusal does not hold it."""
        url = str(value)
        if not url.startswith(self.schemes):
            raise ConfigError(f"{name} must start with {self.schemes[0]}")
        return url

    def shown(self, value: object) -> object:
        """Return the URL without password and without its query, which may hold one, too."""
        scheme, _, rest = str(value).partition("://")
        user, at, place = rest.rpartition("@")
        place, mark, _ = place.partition("?")
        name, colon, _ = user.partition(":")
        hidden = f"{name}:***" if colon else name
        return f"{scheme}://{hidden}{at}{place}{mark and '?…'}"


@dataclass(frozen=True, slots=True)
class Choice:
    """One of a few words."""

    choices: tuple[str, ...]
    toml: object = str

    @property
    def metavar(self) -> str:
        """The words."""
        return "|".join(self.choices)

    def parse(self, name: str, value: object) -> str:
        """Return the word."""
        text = str(value)
        if text not in self.choices:
            raise ConfigError(f"{name} must be one of {', '.join(self.choices)}, not {text!r}")
        return text

    def shown(self, value: object) -> object:
        """Return the word."""
        return value


@dataclass(frozen=True, slots=True)
class WholeNumber:
    """A whole number within bounds, both included."""

    least: int
    most: int
    toml: object = int

    @property
    def metavar(self) -> str:
        """The bounds."""
        return f"{self.least}..{self.most}"

    def parse(self, name: str, value: object) -> int:
        """Return the number."""
        text = str(value)
        if not text.isascii() or not text.isdigit() or not self.least <= int(text) <= self.most:
            raise ConfigError(f"{name} must be a whole number from {self.least} to {self.most}, not {text!r}")
        return int(text)

    def shown(self, value: object) -> object:
        """Return the number."""
        return value


@dataclass(frozen=True, slots=True)
class Number:
    """A decimal number within bounds, both included; without exponent, sign, infinity or NaN."""

    least: float
    most: float
    toml: object = float

    @property
    def metavar(self) -> str:
        """The bounds."""
        return f"{self.least:g}..{self.most:g}"

    def parse(self, name: str, value: object) -> float:
        """Return the number."""
        text = str(value)
        if not _NUMBER.fullmatch(text) or not self.least <= float(text) <= self.most:
            raise ConfigError(f"{name} must be a number from {self.least:g} to {self.most:g}, not {text!r}")
        return float(text)

    def shown(self, value: object) -> object:
        """Return the number."""
        return value


@dataclass(frozen=True, slots=True)
class Switch:
    """On or off; its flag takes no value and turns it on."""

    metavar: str = ""
    toml: object = bool

    def parse(self, name: str, value: object) -> bool:
        """Return whether it is on."""
        text = str(value).lower()
        if text not in _TRUE + _FALSE:
            raise ConfigError(f"{name} must be true or false, not {text!r}")
        return text in _TRUE

    def shown(self, value: object) -> object:
        """Return whether it is on."""
        return value


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
class BrokerAddress:
    """The built-in broker, or the address of another one: ``local``, ``unix:/path`` or ``tcp:host:port``."""

    metavar: str = "local|unix:PATH|tcp:HOST:PORT"
    toml: object = str

    def parse(self, name: str, value: object) -> str:
        """Return the address as it is written."""
        address = str(value)
        kind, colon, rest = address.partition(":")
        if kind == "tcp" and colon:
            parse_address(rest, name)
        elif address != "local" and not (kind == "unix" and rest.startswith("/")):
            raise ConfigError(f"{name} must be local, unix:/path or tcp:host:port, not {address!r}")
        return address

    def shown(self, value: object) -> object:
        """Return the address."""
        return value


@dataclass(frozen=True, slots=True)
class FilePath:
    """The path of a file or directory, relative to the directory that the command is started in."""

    metavar: str = "PATH"
    toml: object = str

    def parse(self, name: str, value: object) -> Path:
        """Return the path."""
        if not str(value):
            raise ConfigError(f"{name} must be a path, and is empty")
        return Path(str(value))

    def shown(self, value: object) -> object:
        """Return the path as it was given."""
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


@dataclass(frozen=True, slots=True)
class Quota:
    """One of a few words, or in the file a table of requests per second by operation."""

    choices: tuple[str, ...]
    toml: object = str | dict[str, float]

    @property
    def metavar(self) -> str:
        """The words."""
        return "|".join(self.choices)

    def parse(self, name: str, value: object) -> Mapping[str, float] | str:
        """Return the word, or the table."""
        if not isinstance(value, dict):
            return Choice(self.choices).parse(name, value)
        for operation, rate in value.items():
            if not 0 < rate < float("inf"):
                raise ConfigError(f"{name}.{operation} must be a positive number, not {rate}")
        return value

    def shown(self, value: object) -> object:
        """Return the word, or the table."""
        return value


@dataclass(frozen=True, slots=True)
class Table(Generic[T]):
    """A table of the file; ``hides`` says that its values may hold secrets or are long."""

    of: type[T]
    hides: bool = False
    metavar: str = ""

    @property
    def toml(self) -> object:
        """A table of these values."""
        return dict[str, self.of]  # type: ignore[name-defined]  # a type that is made when the program runs

    def parse(self, name: str, value: object) -> Mapping[str, T]:
        """Return the table."""
        del name
        return dict(value)  # type: ignore[call-overload, no-any-return]  # its types were compared with `toml`

    def shown(self, value: object) -> object:
        """Return the table, or its names if the values are hidden."""
        table = dict(value)  # type: ignore[call-overload]  # the table that `parse` returned
        return dict.fromkeys(table, HIDDEN) if self.hides else table


@dataclass(frozen=True, slots=True)
class Maybe(Generic[T]):
    """A form whose value may be absent; empty text is absent, too, unless ``refuses_empty``."""

    form: Form[T]
    refuses_empty: bool = False

    @property
    def metavar(self) -> str:
        """What stands for the value that is there."""
        return self.form.metavar

    @property
    def toml(self) -> object:
        """The type of the value that is there."""
        return self.form.toml

    def parse(self, name: str, value: object) -> T | None:
        """Return the value, or None."""
        is_absent = value is None or (value == "" and not self.refuses_empty)
        return None if is_absent else self.form.parse(name, value)

    def shown(self, value: object) -> object:
        """Return the value, or None."""
        return None if value is None else self.form.shown(value)
