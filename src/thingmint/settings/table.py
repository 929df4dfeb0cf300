"""Owns the names of the settings, their defaults and meaning; reads none, and does not know what makes one valid."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting: its name in ``thingmint.toml``, what it means, and how it may be given."""

    name: str
    meaning: str
    default: object = None
    repeatable: bool = False
    switch: bool = False
    secret: bool = False
    """A secret has no flag (process lists show flags); the variable may be suffixed ``_FILE`` to name a file."""

    @property
    def flag(self) -> str:
        """The command-line flag."""
        return "--" + self.name.replace("_", "-")

    @property
    def variable(self) -> str:
        """The environment variable."""
        return "THINGMINT_" + self.name.upper()


SETTINGS: tuple[Setting, ...] = (
    Setting("data_dir", "Directory of keys, certificates and the embedded database.", "./thingmint-data"),
    Setting("api", "Address and port of the HTTPS API; port 0 lets the system choose.", "127.0.0.1:8443"),
    Setting(
        "mqtt", "Address and port for devices (MQTT, mutual TLS); port 0 lets the system choose.", "127.0.0.1:8883"
    ),
    Setting(
        "mqtt_alpn",
        "A second address and port for devices whose SDK says MQTT by ALPN, such as 0.0.0.0:443; none where absent.",
    ),
    Setting(
        "mqtt_data_plane",
        "What carries messages between devices: local, or an MQTT broker at unix:/path or tcp:host:port.",
        "local",
    ),
    Setting(
        "mqtt_queued_messages",
        "Messages that may wait for one client, connected or away, before more are dropped for it.",
        10_000,
    ),
    Setting(
        "mqtt_queued_bytes",
        "Bytes of messages that may wait for one client before more are dropped for it.",
        16_777_216,
    ),
    Setting(
        "mqtt_queued_bytes_in_all",
        "Bytes of messages and wills that may wait in all, each counted once; beyond, publishers are refused.",
        268_435_456,
    ),
    Setting(
        "mqtt_stuck_seconds",
        "Seconds after which a client is disconnected that has read nothing while its queue is full.",
        30,
    ),
    Setting(
        "mqtt_retained_messages",
        "Retained messages of one account.",
        10_000,
    ),
    Setting(
        "mqtt_retained_bytes_in_all",
        "Bytes of retained messages in all.",
        67_108_864,
    ),
    Setting(
        "mqtt_offline_sessions",
        "Sessions of clients that are away, in all, before those away longest are ended.",
        10_000,
    ),
    Setting("database_url", "postgresql://… for PostgreSQL; SQLite in the data directory where absent."),
    Setting(
        "database_password_file",
        "File with the password for PostgreSQL, so that it need not be in database_url.",
    ),
    Setting("account", "The AWS account id that this service speaks for, twelve digits.", "000000000000"),
    Setting("region", "The AWS region that this service speaks for.", "us-east-1"),
    Setting(
        "server_name",
        "A DNS name or IP address in the server's certificate; the first is the device endpoint.",
        ("localhost", "127.0.0.1"),
        repeatable=True,
    ),
    Setting("insecure_http", "Serve plain HTTP; allowed on loopback addresses only.", False, switch=True),
    Setting("root_access_key_id", "Presets the administrator's access key id.", secret=True),
    Setting("root_secret_access_key", "Presets the administrator's secret access key.", secret=True),
    Setting("ca_passphrase_file", "File with the passphrase that seals the keys in the data directory."),
    Setting(
        "ca_key_type",
        "Key of the certificate authorities made at first start: ecdsa-p256, ecdsa-p384, rsa-2048, rsa-3072, rsa-4096.",
        "ecdsa-p256",
    ),
    Setting("key_reserve", "Generated key pairs kept ready in memory; 0 turns the reserve off.", 64),
    Setting("key_workers", "Processes that generate keys; 0 means one for each core.", 0),
    Setting(
        "key_engine",
        "What makes keys: openssl, ifma (the package thingmint-ifma), or auto for ifma where it can be used.",
        "openssl",
    ),
    Setting("max_waiting_for_keys", "Callers that may wait for a key before others are throttled.", 128),
    Setting("max_requests", "Requests in flight before others are throttled.", 512),
    Setting("max_connections", "Open connections before idle ones are closed in favour of new ones.", 2048),
    Setting("max_device_connections", "Open connections of devices before others have to wait or are refused.", 10_000),
    Setting("max_device_handshakes", "Connections of devices before CONNECT that are served at the same time.", 1024),
    Setting("max_waiting_devices", "Connections of devices that wait for one of these places.", 4096),
    Setting(
        "thing_type_deletable_after",
        "Seconds from the deprecation of a thing type until it can be deleted; at AWS, five minutes.",
        300,
    ),
    Setting(
        "auto_register_any_usage",
        "At first connections, register certificates that are not for TLS clients, too (CA:TRUE, other key usages).",
        False,
        switch=True,
    ),
    Setting(
        "registration_dir",
        "Directory of bulk registrations: ACCOUNT/BUCKET is a bucket of an account; it gets their reports, too.",
    ),
    Setting("hook_secret_file", "File with a secret of 32 bytes or more, by which webhooks know who asks."),
    Setting("quota", "Requests per second: none, or aws for the quotas that AWS documents.", "none"),
    Setting(
        "access_denied_as",
        "How a refusal by policy is named: AccessDeniedException (403) or UnauthorizedException (401).",
        "AccessDeniedException",
    ),
    Setting("log_format", "console or json; auto is console on a terminal.", "auto"),
    Setting("log_level", "debug, info, warning or error.", "info"),
)

BY_NAME: Mapping[str, Setting] = {setting.name: setting for setting in SETTINGS}
