"""Owns what the settings are found to be: where they may be given, and what makes them valid.

A setting is given by a flag, an environment variable or ``thingmint.toml`` in the data directory, in this order of
precedence. Reads no file but the named ones.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from thingmint.host.host_names import is_concrete, is_loopback, is_server_name
from thingmint.host.words import in_words
from thingmint.settings.file import ConfigError, FileSettings, read_file
from thingmint.settings.table import BY_NAME


class StartRefused(Exception):
    """The service cannot start; the message says why and what to change."""


CA_KEY_TYPES = ("ecdsa-p256", "ecdsa-p384", "rsa-2048", "rsa-3072", "rsa-4096")
_CHOICES: Mapping[str, tuple[str, ...]] = {
    "ca_key_type": CA_KEY_TYPES,
    "key_engine": ("openssl", "ifma", "auto"),
    "access_denied_as": ("AccessDeniedException", "UnauthorizedException"),
    "log_format": ("auto", "console", "json"),
    "log_level": ("debug", "info", "warning", "error"),
    "quota": ("none", "aws"),
}
_BOUNDS: Mapping[str, tuple[int, int]] = {
    "key_reserve": (0, 100_000),
    "key_workers": (0, 1024),
    "max_waiting_for_keys": (1, 100_000),
    "max_requests": (1, 100_000),
    "max_connections": (8, 1_000_000),
    "max_device_connections": (8, 1_000_000),
    "max_device_handshakes": (8, 1_000_000),
    "max_waiting_devices": (1, 1_000_000),
    "thing_type_deletable_after": (0, 86_400),
}
# What the built-in MQTT broker keeps at most: the settings without "mqtt_" are the names of its limits.
_BROKER_BOUNDS: Mapping[str, tuple[int, int]] = {
    "mqtt_queued_messages": (1, 1000000),
    "mqtt_queued_bytes": (1_024, 1 << 40),
    "mqtt_queued_bytes_in_all": (1_024, 1 << 44),
    "mqtt_stuck_seconds": (1, 86400),
    "mqtt_retained_messages": (0, 10000000),
    "mqtt_retained_bytes_in_all": (0, 1 << 44),
    "mqtt_offline_sessions": (1, 10000000),
}
_ACCOUNT = re.compile(r"[0-9]{12}")
_REGION = re.compile(r"[a-z]{2}(-[a-z]+)+-[0-9]{1,2}")
_ACCESS_KEY_ID = re.compile(r"[A-Za-z0-9_]{3,128}")
_TRUE, _FALSE = ("1", "true", "yes", "on"), ("0", "false", "no", "off", "")


@dataclass(frozen=True, slots=True)
class Config:
    """Valid settings. Secrets do not show in its repr."""

    data_dir: Path
    api_host: str
    api_port: int
    mqtt_host: str
    mqtt_port: int
    mqtt_is_default: bool
    mqtt_alpn: tuple[str, int] | None
    mqtt_data_plane: str
    broker_limits: Mapping[str, int]
    database_url: str | None = field(repr=False)
    database_password_file: Path | None
    account: str
    region: str
    server_names: tuple[str, ...]
    insecure_http: bool
    root_access_key_id: str | None
    root_secret_access_key: str | None = field(repr=False)
    ca_passphrase_file: Path | None
    ca_key_type: str
    key_reserve: int
    key_workers: int
    key_engine: str
    max_waiting_for_keys: int
    max_requests: int
    max_connections: int
    max_device_connections: int
    max_device_handshakes: int
    max_waiting_devices: int
    thing_type_deletable_after: int
    auto_register_any_usage: bool
    registration_dir: Path | None
    hook_secret_file: Path | None
    quota: Mapping[str, float] | str
    access_denied_as: str
    log_format: str
    log_level: str
    profile: Mapping[str, object]
    hooks: Mapping[str, str] = field(repr=False)
    roles: Mapping[str, str] = field(repr=False)


def load_config(flags: Mapping[str, object], environment: Mapping[str, str]) -> Config:
    """Return the valid configuration; raise ConfigError naming the first setting that cannot be used."""
    data_dir = Path(str(_first(flags.get("data_dir"), environment.get("THINGMINT_DATA_DIR"), "./thingmint-data")))
    return _Reader(flags, environment, read_file(data_dir / "thingmint.toml")).config(data_dir)


def parse_address(text: str, setting: str) -> tuple[str, int]:
    """Return host and port of ``host:port`` or ``[v6]:port``; raise ConfigError otherwise."""
    host, colon, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not colon or not host or not port.isascii() or not port.isdigit() or int(port) > 0xFFFF:
        raise ConfigError(f"{setting} must be host:port, not {text!r}")
    return host, int(port)


class _Reader:
    def __init__(self, flags: Mapping[str, object], environment: Mapping[str, str], file: FileSettings) -> None:
        self._flags = flags
        self._environment = environment
        self._file = file

    def config(self, data_dir: Path) -> Config:
        host, port = parse_address(self._text("api"), "api")
        mqtt_host, mqtt_port = parse_address(self._text("mqtt"), "mqtt")
        mqtt_is_default = not self._is_given("mqtt")
        insecure_http = self._switch("insecure_http")
        if insecure_http and not is_loopback(host):
            raise ConfigError(f"insecure_http is allowed on loopback addresses only, and api is {host}")
        access_key_id, secret = self._root_access_key()
        passphrase_file = self._optional("ca_passphrase_file")
        registration_dir = self._optional("registration_dir")
        hook_secret_file = self._optional("hook_secret_file")
        database_url = self._database_url()
        mqtt_alpn = self._mqtt_alpn((mqtt_host, mqtt_port))
        hosts = {"mqtt": mqtt_host} if insecure_http else {"mqtt": mqtt_host, "api": host}
        if mqtt_alpn is not None:
            hosts["mqtt_alpn"] = mqtt_alpn[0]
        return Config(
            data_dir=data_dir,
            api_host=host,
            api_port=port,
            mqtt_host=mqtt_host,
            # Where the system chooses one port, there is more than one service on the machine.
            mqtt_port=0 if mqtt_is_default and port == 0 else mqtt_port,
            mqtt_is_default=mqtt_is_default,
            mqtt_alpn=mqtt_alpn,
            mqtt_data_plane=self._data_plane(),
            broker_limits={name.removeprefix("mqtt_"): self._number(name) for name in _BROKER_BOUNDS},
            database_url=database_url,
            database_password_file=self._password_file(database_url),
            account=self._matching("account", _ACCOUNT, "twelve digits"),
            region=self._matching("region", _REGION, "formed like us-east-1"),
            server_names=self._server_names(hosts),
            insecure_http=insecure_http,
            root_access_key_id=access_key_id,
            root_secret_access_key=secret,
            ca_passphrase_file=Path(passphrase_file) if passphrase_file else None,
            ca_key_type=self._choice("ca_key_type"),
            key_reserve=self._number("key_reserve"),
            key_workers=self._number("key_workers"),
            key_engine=self._choice("key_engine"),
            max_waiting_for_keys=self._number("max_waiting_for_keys"),
            max_requests=self._number("max_requests"),
            max_connections=self._number("max_connections"),
            max_device_connections=self._number("max_device_connections"),
            max_device_handshakes=self._number("max_device_handshakes"),
            max_waiting_devices=self._number("max_waiting_devices"),
            thing_type_deletable_after=self._number("thing_type_deletable_after"),
            auto_register_any_usage=self._switch("auto_register_any_usage"),
            registration_dir=Path(registration_dir) if registration_dir else None,
            hook_secret_file=Path(hook_secret_file) if hook_secret_file else None,
            quota=self._quota(),
            access_denied_as=self._choice("access_denied_as"),
            log_format=self._choice("log_format"),
            log_level=self._choice("log_level"),
            profile=self._file.profile or {},
            hooks=self._file.hooks or {},
            roles=self._file.roles or {},
        )

    def _is_given(self, name: str) -> bool:
        setting = BY_NAME[name]
        return any((self._flags.get(name), self._environment.get(setting.variable), getattr(self._file, name, None)))

    def _given(self, name: str) -> object:
        setting = BY_NAME[name]
        flag = self._flags.get(name)
        if flag == () or (setting.switch and flag is False):
            flag = None
        return _first(flag, self._environment.get(setting.variable), getattr(self._file, name, None), setting.default)

    def _text(self, name: str) -> str:
        return str(self._given(name))

    def _optional(self, name: str) -> str | None:
        value = self._given(name)
        return None if value is None or value == "" else str(value)

    def _matching(self, name: str, pattern: re.Pattern[str], form: str) -> str:
        text = self._text(name)
        if not pattern.fullmatch(text):
            raise ConfigError(f"{name} must be {form}, not {text!r}")
        return text

    def _choice(self, name: str) -> str:
        text = self._text(name)
        if text not in _CHOICES[name]:
            raise ConfigError(f"{name} must be one of {', '.join(_CHOICES[name])}, not {text!r}")
        return text

    def _number(self, name: str) -> int:
        text = self._text(name)
        least, most = _BOUNDS.get(name) or _BROKER_BOUNDS[name]
        if not text.isascii() or not text.isdigit() or not least <= int(text) <= most:
            raise ConfigError(f"{name} must be a whole number from {least} to {most}, not {text!r}")
        return int(text)

    def _switch(self, name: str) -> bool:
        text = self._text(name).lower()
        if text not in _TRUE + _FALSE:
            raise ConfigError(f"{name} must be true or false, not {text!r}")
        return text in _TRUE

    def _mqtt_alpn(self, mqtt: tuple[str, int]) -> tuple[str, int] | None:
        text = self._optional("mqtt_alpn")
        if text is None:
            return None
        address = parse_address(text, "mqtt_alpn")
        if address == mqtt and address[1]:
            raise ConfigError(f"mqtt_alpn must be another address than mqtt, not {text!r}")
        return address

    def _data_plane(self) -> str:
        address = self._text("mqtt_data_plane")
        kind, colon, rest = address.partition(":")
        if kind == "tcp" and colon:
            parse_address(rest, "mqtt_data_plane")
        elif address != "local" and not (kind == "unix" and rest.startswith("/")):
            raise ConfigError(f"mqtt_data_plane must be local, unix:/path or tcp:host:port, not {address!r}")
        return address

    def _database_url(self) -> str | None:
        url = self._optional("database_url")
        if url is not None and not url.startswith(("postgresql://", "postgres://")):
            # The text is not echoed: it may hold a password.
            raise ConfigError("database_url must start with postgresql://")
        return url

    def _password_file(self, database_url: str | None) -> Path | None:
        path = self._optional("database_password_file")
        if path is not None and database_url is None:
            raise ConfigError("database_password_file is of no use without database_url")
        return None if path is None else Path(path)

    def _server_names(self, hosts: Mapping[str, str]) -> tuple[str, ...]:
        """Return the names for the server's certificate: those of the setting, and the addresses that were given.

        ``hosts`` are the addresses that are listened on, by their settings. Clients are told an address only if the
        certificate holds it.
        """
        given = self._given("server_name")
        names = given.split(",") if isinstance(given, str) else [str(name) for name in _sequence(given)]
        for name in names:
            if not is_server_name(name):
                raise ConfigError(f"server_name must be a DNS name or an IP address, not {name!r}")
        bound = {name: host for name, host in hosts.items() if self._is_given(name) and is_concrete(host)}
        first = bound.get("mqtt")
        if first not in (None, *names) and not self._is_given("server_name"):
            # The first name is what devices are told.
            names.insert(0, str(first))
        return tuple(dict.fromkeys((*names, *bound.values())))

    def _quota(self) -> Mapping[str, float] | str:
        if isinstance(self._file.quota, dict) and not any(
            (self._flags.get("quota"), self._environment.get("THINGMINT_QUOTA"))
        ):
            for operation, rate in self._file.quota.items():
                if not 0 < rate < float("inf"):
                    raise ConfigError(f"quota.{operation} must be a positive number, not {rate}")
            return self._file.quota
        return self._choice("quota")

    def _root_access_key(self) -> tuple[str | None, str | None]:
        access_key_id, secret = self._secret("root_access_key_id"), self._secret("root_secret_access_key")
        if (access_key_id is None) != (secret is None):
            raise ConfigError("root_access_key_id and root_secret_access_key must be given together")
        if access_key_id is not None and not _ACCESS_KEY_ID.fullmatch(access_key_id):
            raise ConfigError("root_access_key_id must be 3 to 128 letters and digits")
        if secret is not None and (not 4 <= len(secret) <= 256 or not secret.isascii() or not secret.isprintable()):
            raise ConfigError("root_secret_access_key must be 4 to 256 printable ASCII characters")
        return access_key_id, secret

    def _secret(self, name: str) -> str | None:
        variable = BY_NAME[name].variable
        if (value := self._environment.get(variable)) is not None:
            return value
        if (path := self._environment.get(f"{variable}_FILE")) is None:
            return None
        try:
            return Path(path).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"{variable}_FILE cannot be read: {in_words(error)}") from error


def _sequence(value: object) -> tuple[object, ...]:
    return tuple(value) if isinstance(value, (list, tuple)) else ()


def _first(*values: object) -> object:
    return next((value for value in values if value is not None), None)
