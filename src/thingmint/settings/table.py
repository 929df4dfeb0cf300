"""Owns the table of settings, one row each: name, form, bounds, default, meaning and group. Reads no values.

Flags of commands, environment variables, keys of ``thingmint.toml``, `thingmint settings` and the documents are derived
from it. Rules between several settings are in `config`.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path

from thingmint.core.identifiers import REGION_FORM, REGION_PATTERN
from thingmint.settings.address_forms import (
    Address,
    FilePath,
    HostAndPort,
    Network,
    Networks,
    ServerNames,
    URLWithPassword,
)
from thingmint.settings.broker_forms import BrokerPlace, BrokersOfAccounts, BrokerTable
from thingmint.settings.forms import Choice, Hidden, Maybe, Number, Switch, Text, WholeNumber
from thingmint.settings.setting import FILE_ONLY, NOT_IN_THE_FILE, SECRET, Group, Setting, row, setting_of
from thingmint.settings.table_forms import Quota, Table

CA_KEY_TYPES = ("ecdsa-p256", "ecdsa-p384", "rsa-2048", "rsa-3072", "rsa-4096")
_ACCOUNT = Text(re.compile(r"[0-9]{12}"), "twelve digits")
_REGION = Text(REGION_PATTERN, REGION_FORM)
_ACCESS_KEY_ID = Hidden(re.compile(r"[A-Za-z0-9_]{3,128}"), "3 to 128 letters and digits")
_SECRET_ACCESS_KEY = Hidden(re.compile(r"[ -~]{4,256}"), "4 to 256 printable ASCII characters")
# Paths are appended to it, and it is copied into certificates unchanged.
_PUBLIC_URL = Text(
    re.compile(r"https?://[A-Za-z0-9.:\[\]_-]+(/[A-Za-z0-9._~-]+)*"), "formed like http://pki.example.com", "URL"
)
_SWITCH, _ADDRESS, _PATH = Switch(), HostAndPort(), FilePath()
_CONNECTIONS, _SECONDS = WholeNumber(8, 1_000_000), Number(0.1, 3600)
_BYTES_IN_ALL = 1 << 44


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The table. An instance holds the values in force; each one is valid by itself."""

    data_dir: Path = row(
        _PATH,
        "./thingmint-data",
        "Directory of keys, certificates and the embedded database.",
        Group.SERVICE,
        NOT_IN_THE_FILE,
    )
    account: str = row(
        _ACCOUNT, "000000000000", "The AWS account id that this service speaks for, twelve digits.", Group.SERVICE
    )
    region: str = row(_REGION, "us-east-1", "The AWS region that this service speaks for.", Group.SERVICE)
    server_name: tuple[str, ...] = row(
        ServerNames(),
        ("localhost", "127.0.0.1"),
        "A DNS name or IP address in the server's certificate; the first is the device endpoint.",
        Group.SERVICE,
    )
    workers: int = row(
        WholeNumber(1, 256),
        1,
        "Processes that serve API and devices on the same ports, each a node of its own; more than 1 needs PostgreSQL.",
        Group.SERVICE,
    )
    proxy_protocol: tuple[Network, ...] = row(
        Networks(),
        (),
        "A network of balancers, whose connections must begin with a PROXY protocol header; from others none is read.",
        Group.SERVICE,
    )
    test_mode: bool = row(
        _SWITCH,
        False,
        "For tests, on loopback addresses only: accounts without secrets, a clock that can be moved, reset and seed.",
        Group.SERVICE,
    )

    database_url: str | None = row(
        Maybe(URLWithPassword(("postgresql://", "postgres://"))),
        None,
        "postgresql://… for PostgreSQL; SQLite in the data directory where absent.",
        Group.STORAGE,
    )
    database_password_file: Path | None = row(
        Maybe(_PATH),
        None,
        "File with the password for PostgreSQL, so that it need not be in database_url.",
        Group.STORAGE,
    )
    database_pool: int = row(
        WholeNumber(2, 1000),
        10,
        "Connections to PostgreSQL for requests; a node has two more, for heartbeats and for changes of other nodes.",
        Group.STORAGE,
    )
    database_statement_cache: int = row(
        WholeNumber(0, 10_000),
        100,
        "Prepared statements kept on each connection to PostgreSQL; 0 behind a pooler by transaction.",
        Group.STORAGE,
    )

    root_access_key_id: str | None = row(
        Maybe(_ACCESS_KEY_ID, refuses_empty=True),
        None,
        "Presets the administrator's access key id.",
        Group.ADMINISTRATOR,
        SECRET,
    )
    root_secret_access_key: str | None = row(
        Maybe(_SECRET_ACCESS_KEY, refuses_empty=True),
        None,
        "Presets the administrator's secret access key.",
        Group.ADMINISTRATOR,
        SECRET,
    )

    ca_passphrase_file: Path | None = row(
        Maybe(_PATH), None, "File with the passphrase that seals the keys in the data directory.", Group.KEYS
    )
    ca_key_type: str = row(
        Choice(CA_KEY_TYPES),
        "ecdsa-p256",
        f"Key of the certificate authorities made at first start: {', '.join(CA_KEY_TYPES)}.",
        Group.KEYS,
    )
    key_reserve: int = row(
        WholeNumber(0, 100_000),
        64,
        "Generated key pairs kept ready in memory; 0 turns the reserve off.",
        Group.KEYS,
    )
    key_workers: int = row(
        WholeNumber(0, 1024), 0, "Processes that generate keys; 0 means one for each core.", Group.KEYS
    )
    key_engine: str = row(
        Choice(("openssl", "ifma", "auto")),
        "openssl",
        "What makes keys: openssl, ifma (the package thingmint-ifma), or auto for ifma where it can be used.",
        Group.KEYS,
    )
    max_waiting_for_keys: int = row(
        WholeNumber(1, 100_000), 128, "Callers that may wait for a key before others are throttled.", Group.KEYS
    )
    at_issuer_end: str = row(
        Choice(("refuse", "shorten")),
        "refuse",
        "What to do with a certificate that would outlive its issuer: refuse it, or shorten it to the issuer's end.",
        Group.KEYS,
    )
    pkcs11_module: Path | None = row(
        Maybe(_PATH), None, "Module of the token (HSM) that holds keys of issuers, a shared library.", Group.KEYS
    )
    pkcs11_pin_file: Path | None = row(Maybe(_PATH), None, "File with the PIN of that token.", Group.KEYS)
    profile: Mapping[str, object] = row(
        Table(object), {}, "The certificate profile of the certificates that are issued.", Group.KEYS, FILE_ONLY
    )

    api: Address = row(
        _ADDRESS, "127.0.0.1:8443", "Address and port of the HTTPS API; port 0 lets the system choose.", Group.API
    )
    insecure_http: bool = row(_SWITCH, False, "Serve plain HTTP; allowed on loopback addresses only.", Group.API)
    console: bool = row(_SWITCH, True, "Serve the web console at /console, beside the API.", Group.API)
    max_requests: int = row(WholeNumber(1, 100_000), 512, "Requests in flight before others are throttled.", Group.API)
    max_connections: int = row(
        _CONNECTIONS, 2048, "Open connections before idle ones are closed in favour of new ones.", Group.API
    )
    quota: Mapping[str, float] | str = row(
        Quota(("none", "aws")),
        "none",
        "Requests per second: none, aws for the quotas that AWS documents, or a table in the file.",
        Group.API,
    )
    access_denied_as: str = row(
        Choice(("AccessDeniedException", "UnauthorizedException")),
        "AccessDeniedException",
        "How a refusal by policy is named: AccessDeniedException (403) or UnauthorizedException (401).",
        Group.API,
    )

    public: Address | None = row(
        Maybe(_ADDRESS),
        None,
        "A second address and port, of plain HTTP, for revocation lists, OCSP and issuers' certificates.",
        Group.PUBLIC,
    )
    public_url: str | None = row(
        Maybe(_PUBLIC_URL),
        None,
        "URL of these for others, such as http://pki.example.com; certificates name issuer, list and OCSP below it.",
        Group.PUBLIC,
    )
    crl_valid_hours: int = row(
        WholeNumber(1, 720),
        24,
        "Hours from a list's beginning to its end; half of it later it is renewed.",
        Group.PUBLIC,
    )
    crl_shard_entries: int = row(
        WholeNumber(1, 10_000_000),
        50_000,
        "Entries from which an issuer's list is split for certificates that name one.",
        Group.PUBLIC,
    )
    crl_without_holds: bool = row(
        _SWITCH, False, "Do not show INACTIVE certificates as certificateHold, in lists and by OCSP.", Group.PUBLIC
    )
    ocsp_valid_minutes: int = row(
        WholeNumber(1, 10_080), 60, "Minutes for which clients may keep an OCSP response.", Group.PUBLIC
    )

    est: Address | None = row(
        Maybe(_ADDRESS),
        None,
        "Address and port of EST (RFC 7030), by which devices get and renew certificates; off where absent.",
        Group.EST,
    )
    renewal_overlap_days: int = row(
        WholeNumber(0, 3650),
        7,
        "Days for which a certificate stays ACTIVE after its device has renewed it; then it becomes INACTIVE.",
        Group.EST,
    )

    mqtt: Address = row(
        _ADDRESS,
        "127.0.0.1:8883",
        "Address and port for devices (MQTT, mutual TLS); port 0 lets the system choose.",
        Group.DEVICES,
    )
    mqtt_alpn: Address | None = row(
        Maybe(_ADDRESS),
        None,
        "A second address and port for devices whose SDK says MQTT by ALPN, such as 0.0.0.0:443; none where absent.",
        Group.DEVICES,
    )
    mqtt_data_plane: str = row(
        BrokerPlace(),
        "local",
        "What carries messages between devices: local, addresses (unix:/path, tcp:host:port, tls:host:port) of the "
        "nodes of an MQTT broker separated by commas, or brokers for those of the table mqtt_brokers.",
        Group.DEVICES,
    )
    mqtt_brokers: Mapping[str, BrokerTable] = row(
        BrokersOfAccounts(),
        {},
        "The MQTT broker of each account, by its id or default: see how-to/brokers.md.",
        Group.DEVICES,
        FILE_ONLY,
    )
    max_device_connections: int = row(
        _CONNECTIONS,
        10_000,
        "Open connections of devices before others have to wait or are refused.",
        Group.DEVICES,
    )
    max_device_handshakes: int = row(
        _CONNECTIONS,
        1024,
        "Connections of devices before CONNECT that are served at the same time.",
        Group.DEVICES,
    )
    max_waiting_devices: int = row(
        WholeNumber(1, 1_000_000), 4096, "Connections of devices that wait for one of these places.", Group.DEVICES
    )

    mqtt_handshake_seconds: float = row(
        _SECONDS, 10, "Seconds that a device has for its TLS handshake.", Group.DEVICE_TIMES
    )
    mqtt_connect_seconds: float = row(
        _SECONDS,
        10,
        "Seconds that a device has for its CONNECT, from the end of the handshake until it is accepted.",
        Group.DEVICE_TIMES,
    )
    mqtt_silent_seconds: float = row(
        _SECONDS,
        3,
        "Seconds of silence after which a connection before CONNECT loses its place if others wait for one.",
        Group.DEVICE_TIMES,
    )
    mqtt_keep_alive_grace: float = row(
        Number(1, 10),
        1.5,
        "How many times its keep-alive a device may be silent before it is disconnected; MQTT says 1.5.",
        Group.DEVICE_TIMES,
    )
    mqtt_drain_seconds: float = row(
        _SECONDS,
        30,
        "Seconds for which the service still serves what a device sent before it closed its connection.",
        Group.DEVICE_TIMES,
    )
    mqtt_write_stall_seconds: float = row(
        _SECONDS,
        30,
        "Seconds after which a connection is ended whose device reads nothing of what was written to it.",
        Group.DEVICE_TIMES,
    )
    mqtt_close_seconds: float = row(
        _SECONDS,
        2,
        "Seconds that a device has to answer the end of its connection before it is cut.",
        Group.DEVICE_TIMES,
    )
    mqtt_broker_open_seconds: float = row(
        _SECONDS,
        5,
        "Seconds that the broker of mqtt_data_plane has to accept a device; less than mqtt_connect_seconds.",
        Group.DEVICE_TIMES,
    )
    mqtt_broker_answer_seconds: float = row(
        _SECONDS,
        30,
        "Seconds that the broker of mqtt_data_plane has for an answer before its device is disconnected.",
        Group.DEVICE_TIMES,
    )

    mqtt_queued_messages: int = row(
        WholeNumber(1, 1_000_000),
        10_000,
        "Messages that may wait for one client, connected or away, before more are dropped for it.",
        Group.BROKER,
    )
    mqtt_queued_bytes: int = row(
        WholeNumber(1_024, 1 << 40),
        16_777_216,
        "Bytes of messages that may wait for one client before more are dropped for it.",
        Group.BROKER,
    )
    mqtt_queued_bytes_in_all: int = row(
        WholeNumber(1_024, _BYTES_IN_ALL),
        268_435_456,
        "Bytes of messages and wills that may wait in all, each counted once; beyond, publishers are refused.",
        Group.BROKER,
    )
    mqtt_stuck_seconds: float = row(
        Number(1, 86_400),
        30,
        "Seconds after which a client is disconnected that has read nothing while its queue is full.",
        Group.BROKER,
    )
    mqtt_live_wait_seconds: float = row(
        _SECONDS,
        10,
        "Seconds that new messages wait behind stored ones, which a returning client gets at AWS's pace.",
        Group.BROKER,
    )
    mqtt_retained_messages: int = row(
        WholeNumber(0, 10_000_000), 10_000, "Retained messages of one account.", Group.BROKER
    )
    mqtt_retained_bytes_in_all: int = row(
        WholeNumber(0, _BYTES_IN_ALL), 67_108_864, "Bytes of retained messages in all.", Group.BROKER
    )
    mqtt_offline_sessions: int = row(
        WholeNumber(1, 10_000_000),
        10_000,
        "Sessions of clients that are away, in all, before those away longest are ended.",
        Group.BROKER,
    )

    registration_dir: Path | None = row(
        Maybe(_PATH),
        None,
        "Directory of bulk registrations: ACCOUNT/BUCKET is a bucket of an account; it gets their reports, too.",
        Group.PROVISIONING,
    )
    hook_secret_file: Path | None = row(
        Maybe(_PATH),
        None,
        "File with a secret of 32 bytes or more, by which webhooks know who asks.",
        Group.PROVISIONING,
    )
    auto_register_any_usage: bool = row(
        _SWITCH,
        False,
        "At first connections, register certificates that are not for TLS clients, too (CA:TRUE, other key usages).",
        Group.PROVISIONING,
    )
    thing_type_deletable_after: int = row(
        WholeNumber(0, 86_400),
        300,
        "Seconds from the deprecation of a thing type until it can be deleted; at AWS, five minutes.",
        Group.PROVISIONING,
    )
    hooks: Mapping[str, str] = row(
        Table(str, hides=True),
        {},
        "Webhooks and Python callables that stand in for AWS Lambda, by ARN.",
        Group.PROVISIONING,
        FILE_ONLY,
    )
    roles: Mapping[str, str] = row(
        Table(str, hides=True),
        {},
        "IAM policies of the roles that templates name, by ARN.",
        Group.PROVISIONING,
        FILE_ONLY,
    )

    public_log: bool = row(
        _SWITCH,
        False,
        "Let everybody read the verifiable log at /log/ of the API; otherwise callers with thingmint:ReadLog may.",
        Group.TRANSPARENCY,
    )
    log_origin: str | None = row(
        Maybe(Text(re.compile(r"[!-*,-~]{1,200}"), "1 to 200 characters of ASCII without spaces and plus signs")),
        None,
        "Name of the verifiable log, given to it once when it is begun; by default the first server_name and /log.",
        Group.TRANSPARENCY,
    )

    log_format: str = row(
        Choice(("auto", "console", "json")), "auto", "console or json; auto is console on a terminal.", Group.LOG
    )
    log_level: str = row(
        Choice(("debug", "info", "warning", "error")), "info", "debug, info, warning or error.", Group.LOG
    )


SETTINGS: tuple[Setting, ...] = tuple(map(setting_of, fields(Settings)))
BY_NAME: Mapping[str, Setting] = {setting.name: setting for setting in SETTINGS}
