"""Owns the settings in force: the source of each, and the rules between several of them.

A setting is given by a flag, an environment variable or ``thingmint.toml`` in the data directory, in this order of
precedence. Reads only the files that are given.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from thingmint.core.error_text import in_words
from thingmint.core.host_names import is_concrete, is_loopback
from thingmint.settings.broker_forms import BY_TABLE, LOCAL
from thingmint.settings.file import FILE_NAME, read_file, read_text
from thingmint.settings.forms import ConfigError
from thingmint.settings.setting import Places, Setting
from thingmint.settings.table import BY_NAME, SETTINGS, Settings


class StartRefused(Exception):
    """The service cannot start; the message says why and what to change."""


class Source(StrEnum):
    """The kind of source of a setting's value."""

    FLAG = "flag"
    ENVIRONMENT = "environment"
    FILE = "file"
    DEFAULT = "default"


@dataclass(frozen=True, slots=True)
class Origin:
    """The origin of a value: the source, and the name of the flag, variable or file; a default has no name."""

    source: Source
    place: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Config(Settings):
    """Valid settings that fit together. Values are not in the repr, because some are secrets."""

    origins: Mapping[str, Origin]

    def is_given(self, name: str) -> bool:
        """Return whether an operator gave the setting."""
        return self.origins[name].source is not Source.DEFAULT

    @property
    def mqtt_port(self) -> int:
        """The port for devices; 0 by default if the API's port is 0, because several services may then run here."""
        return 0 if not self.is_given("mqtt") and self.api.port == 0 else self.mqtt.port

    @property
    def server_names(self) -> tuple[str, ...]:
        """The names for the server's certificate: those of the setting, and the configured addresses.

        The service announces an address to clients only if the certificate holds it.
        """
        listening = {"mqtt": self.mqtt}
        if not self.insecure_http:
            listening["api"] = self.api
        if self.mqtt_alpn is not None:
            listening["mqtt_alpn"] = self.mqtt_alpn
        if self.est is not None:
            listening["est"] = self.est
        bound = {
            name: address.host
            for name, address in listening.items()
            if self.is_given(name) and is_concrete(address.host)
        }
        names = list(self.server_name)
        first = bound.get("mqtt")
        if first is not None and first not in names and not self.is_given("server_name"):
            # The service announces the first name to devices.
            names.insert(0, first)
        return tuple(dict.fromkeys((*names, *bound.values())))


def load_config(flags: Mapping[str, object], environment: Mapping[str, str]) -> Config:
    """Return the valid configuration; raise ConfigError, which names the first invalid setting."""
    named = flags.get("data_dir") or environment.get(BY_NAME["data_dir"].variable) or BY_NAME["data_dir"].default
    path = Path(str(named)) / FILE_NAME
    in_file = read_file(path)
    values: dict[str, Any] = {}
    origins = {}
    for setting in SETTINGS:
        given, origins[setting.name] = _given(setting, flags, environment, in_file, path)
        values[setting.name] = setting.form.parse(setting.name, given)
    config = Config(**values, origins=origins)
    _require_agreement(config)
    return config


def _given(
    setting: Setting,
    flags: Mapping[str, object],
    environment: Mapping[str, str],
    in_file: Mapping[str, object],
    path: Path,
) -> tuple[object, Origin]:
    """Return the unparsed value, and its origin."""
    name, flag = setting.name, flags.get(setting.name)
    # For an absent flag, click returns (), if it is repeatable, or False, if it is a switch that a flag turns on.
    if flag is not None and flag != () and (flag is not False or setting.is_on_by_default):
        return flag, Origin(Source.FLAG, setting.flags[-1] if flag is False else setting.flag)
    if setting.variable in environment:
        if Places.VARIABLE not in setting.places:
            raise ConfigError(f"{setting.variable}: {name} cannot be set in the environment, only in {path}")
        return environment[setting.variable], Origin(Source.ENVIRONMENT, setting.variable)
    if setting.file_variable is not None and setting.file_variable in environment:
        secret = _read_secret(setting.file_variable, environment[setting.file_variable])
        return secret, Origin(Source.ENVIRONMENT, setting.file_variable)
    if name in in_file:
        return in_file[name], Origin(Source.FILE, str(path))
    return setting.default, Origin(Source.DEFAULT)


def _read_secret(variable: str, path: str) -> str:
    try:
        return read_text(Path(path)).strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{variable} cannot be read: {in_words(error)}") from error


def _require_utf_8(data_dir: Path) -> None:
    try:
        str(data_dir).encode()
    except UnicodeEncodeError:
        raise ConfigError(
            f"data_dir must have a name in UTF-8, because SQLite has no other names: {data_dir}"
        ) from None


def _require_agreement(config: Config) -> None:
    """Return if the settings fit together; raise ConfigError for the first two that contradict each other."""
    _require_utf_8(config.data_dir)
    if config.insecure_http and not is_loopback(config.api.host):
        raise ConfigError(f"insecure_http is allowed on loopback addresses only, and api is {config.api.host}")
    if config.test_mode:
        _require_fit_for_tests(config)
    if config.mqtt_alpn == config.mqtt and config.mqtt.port:
        raise ConfigError(f"mqtt_alpn must be another address than mqtt, not {str(config.mqtt_alpn)!r}")
    if (
        config.public is not None
        and config.public.port
        and config.public in (config.api, config.mqtt, config.mqtt_alpn)
    ):
        raise ConfigError(f"public must be another address than those of the API and of devices, not {config.public}")
    if config.workers > 1 and config.database_url is None:
        raise ConfigError(f"workers = {config.workers} needs database_url: on SQLite, one process serves the registry")
    taken = (config.api, config.mqtt, config.mqtt_alpn, config.public)
    if config.est is not None and config.est.port and config.est in taken:
        raise ConfigError(f"est must be another address than those of the API, of devices and of public: {config.est}")
    if config.database_password_file is not None and config.database_url is None:
        raise ConfigError("database_password_file is of no use without database_url")
    if (config.root_access_key_id is None) != (config.root_secret_access_key is None):
        raise ConfigError("root_access_key_id and root_secret_access_key must be given together")
    if (config.mqtt_data_plane == BY_TABLE) != bool(config.mqtt_brokers):
        raise ConfigError("mqtt_data_plane must be brokers if the file has the table mqtt_brokers, and only then")
    if config.mqtt_data_plane != LOCAL and config.mqtt_broker_open_seconds >= config.mqtt_connect_seconds:
        # Otherwise the device's time limit ends first, and the device does not get the reason: the broker is not
        # available.
        raise ConfigError(
            f"mqtt_broker_open_seconds ({config.mqtt_broker_open_seconds:g}) must be less than mqtt_connect_seconds "
            f"({config.mqtt_connect_seconds:g})"
        )


def _require_fit_for_tests(config: Config) -> None:
    """Return if only this machine can reach the service and no other node shares its clock; raise ConfigError."""
    addresses = {"api": config.api, "mqtt": config.mqtt, "mqtt_alpn": config.mqtt_alpn, "est": config.est}
    for name, address in addresses.items():
        if address is not None and not is_loopback(address.host):
            raise ConfigError(f"test_mode is allowed on loopback addresses only, and {name} is {address.host}")
    if config.database_url is not None:
        raise ConfigError("test_mode works on SQLite alone: other nodes on the database of database_url have its clock")
