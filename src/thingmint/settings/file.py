"""Owns `thingmint.toml` as it is written: its names, the types of their values, and how it is read; judges no value."""

import tomllib
from pathlib import Path

import msgspec

from thingmint.host.words import misfit, reason_of


class ConfigError(Exception):
    """A setting cannot be used; the message names it and says why."""


class FileSettings(msgspec.Struct, forbid_unknown_fields=True):
    """``thingmint.toml`` as it is written: settings by name, and the tables that have no flag."""

    api: str | None = None
    mqtt: str | None = None
    mqtt_alpn: str | None = None
    mqtt_data_plane: str | None = None
    mqtt_queued_messages: int | None = None
    mqtt_queued_bytes: int | None = None
    mqtt_queued_bytes_in_all: int | None = None
    mqtt_stuck_seconds: int | None = None
    mqtt_retained_messages: int | None = None
    mqtt_retained_bytes_in_all: int | None = None
    mqtt_offline_sessions: int | None = None
    database_url: str | None = None
    database_password_file: str | None = None
    account: str | None = None
    region: str | None = None
    server_name: list[str] | None = None
    insecure_http: bool | None = None
    ca_passphrase_file: str | None = None
    ca_key_type: str | None = None
    key_reserve: int | None = None
    key_workers: int | None = None
    key_engine: str | None = None
    max_waiting_for_keys: int | None = None
    max_requests: int | None = None
    max_connections: int | None = None
    max_device_connections: int | None = None
    max_device_handshakes: int | None = None
    max_waiting_devices: int | None = None
    thing_type_deletable_after: int | None = None
    auto_register_any_usage: bool | None = None
    registration_dir: str | None = None
    hook_secret_file: str | None = None
    quota: str | dict[str, float] | None = None
    access_denied_as: str | None = None
    log_format: str | None = None
    log_level: str | None = None
    profile: dict[str, object] | None = None
    hooks: dict[str, str] | None = None
    roles: dict[str, str] | None = None


def read_file(path: Path) -> FileSettings:
    """Return the settings of a file, none where it does not exist; raise ConfigError if it cannot be read."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return FileSettings()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {reason_of(error)}") from error
    try:
        return msgspec.convert(tomllib.loads(text), FileSettings)
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise ConfigError(f"{path}: {misfit(error)}") from error
