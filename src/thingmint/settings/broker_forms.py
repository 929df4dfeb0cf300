"""Owns the forms of the brokers behind the relay: addresses, or tables of the file by account."""

import re
from collections.abc import Mapping
from typing import Final

import msgspec

from thingmint.settings.address_forms import parse_address
from thingmint.settings.forms import ConfigError

LOCAL: Final = "local"
BY_TABLE: Final = "brokers"
DEFAULT: Final = "default"
_ACCOUNT: Final = re.compile(r"[0-9]{12}")
_PLACEHOLDER: Final = re.compile(r"\{[a-z_]*\}")
_PLACEHOLDERS: Final = ("{certificate_id}", "{client_id}", "{account}")
_VERSIONS: Final = ("auto", "5", "3.1.1")


class BrokerTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One table of ``[mqtt_brokers]``; its password is a template, because other users may be able to read the file."""

    addresses: list[str]
    version: str = "auto"
    username: str | None = None
    username_file: str | None = None
    password: str | None = None
    password_file: str | None = None
    ca_file: str | None = None
    server_name: str | None = None
    certificate_file: str | None = None
    key_file: str | None = None


class BrokerPlace:
    """The built-in broker, addresses of another broker separated by commas, or the word for tables in the file."""

    metavar: str = "local|brokers|ADDRESS,…"
    toml: object = str

    def parse(self, name: str, value: object) -> str:
        """Return the text."""
        text = str(value)
        if text not in (LOCAL, BY_TABLE):
            for each in text.split(","):
                _check_address(name, each.strip())
        return text

    def shown(self, value: object) -> object:
        """Return the text."""
        return value


class BrokersOfAccounts:
    """A table of brokers by account; ``default`` is for accounts without one."""

    metavar: str = ""
    toml: object = dict[str, BrokerTable]

    def parse(self, name: str, value: object) -> Mapping[str, BrokerTable]:
        """Return the tables; raise ConfigError for the first table with contradictions."""
        tables: dict[str, BrokerTable] = dict(value)  # type: ignore[call-overload]  # its types were compared with `toml`
        for account, table in tables.items():
            if account != DEFAULT and not _ACCOUNT.fullmatch(account):
                raise ConfigError(f"{name}.{account} must be named after an account, twelve digits, or default")
            _check_table(f"{name}.{account}", table)
        return tables

    def shown(self, value: object) -> object:
        """Return the tables, which hold no passwords: these are templates, or in files."""
        return msgspec.to_builtins(value)


def _check_table(name: str, table: BrokerTable) -> None:
    if not table.addresses:
        raise ConfigError(f"{name}.addresses must name at least one address")
    for each in table.addresses:
        _check_address(f"{name}.addresses", each)
    if table.version not in _VERSIONS:
        raise ConfigError(f"{name}.version must be one of {', '.join(_VERSIONS)}, not {table.version!r}")
    for one, other in (("username", "username_file"), ("password", "password_file")):
        if getattr(table, one) is not None and getattr(table, other) is not None:
            raise ConfigError(f"{name}: give {one} or {other}, not both")
    for each in ("username", "password"):
        _check_template(f"{name}.{each}", getattr(table, each))
    if table.password is not None and not _PLACEHOLDER.search(table.password):
        raise ConfigError(f"{name}.password is a template with {' or '.join(_PLACEHOLDERS)}: use password_file")
    if (table.certificate_file is None) != (table.key_file is None):
        raise ConfigError(f"{name}: certificate_file and key_file must be given together")
    has_tls = any(each.startswith("tls:") for each in table.addresses)
    if not has_tls and (table.ca_file or table.server_name or table.certificate_file):
        raise ConfigError(f"{name}: ca_file, server_name and certificate_file are for addresses that begin with tls:")


def _check_template(name: str, template: str | None) -> None:
    for found in _PLACEHOLDER.findall(template or ""):
        if found not in _PLACEHOLDERS:
            raise ConfigError(f"{name} can hold {', '.join(_PLACEHOLDERS)}, and not {found}")


def _check_address(name: str, address: str) -> None:
    kind, colon, rest = address.partition(":")
    if kind in ("tcp", "tls") and colon:
        parse_address(rest, name)
    elif not (kind == "unix" and rest.startswith("/")):
        raise ConfigError(f"{name} must hold unix:/path, tcp:host:port or tls:host:port, not {address!r}")
