"""Owns the files that the service writes for its users: the credentials, the endpoints, and the storage in use."""

import configparser
import io
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from thingmint.data_directory.files import write_durably

CREDENTIALS = "credentials"
ENDPOINTS = "endpoints.json"
STORAGE = "storage.json"
SQLITE, POSTGRESQL = "sqlite", "postgresql"


@dataclass(frozen=True, slots=True)
class OperatorCredentials:
    """The administrator's access key."""

    access_key_id: str
    secret_access_key: str = field(repr=False)


class Endpoints(msgspec.Struct, frozen=True):
    """The addresses of the running service, and its account and region."""

    api: str
    api_port: int
    mqtt: str
    mqtt_port: int
    ca_file: str | None
    account: str
    region: str
    pid: int
    mqtt_alpn: str | None = None
    mqtt_alpn_port: int | None = None
    public: str | None = None
    public_port: int | None = None
    est: str | None = None
    est_port: int | None = None


class UsedStorage(msgspec.Struct, frozen=True):
    """Where the service keeps its registry; ``place`` is host, port and name of a PostgreSQL database."""

    engine: str
    place: str | None = None


def read_storage(data_dir: Path) -> UsedStorage | None:
    """Return the storage that the last service used; None if no service has written it."""
    try:
        return msgspec.json.decode((data_dir / STORAGE).read_bytes(), type=UsedStorage)
    except (FileNotFoundError, msgspec.DecodeError):
        return None


def write_storage(data_dir: Path, used: UsedStorage) -> None:
    """Write which storage the service uses, for offline commands and later starts."""
    if read_storage(data_dir) != used:
        write_durably(data_dir / STORAGE, msgspec.json.format(msgspec.json.encode(used)) + b"\n", 0o644)


def read_credentials(data_dir: Path) -> OperatorCredentials | None:
    """Return the administrator's access key, None if there is no file; raise ValueError if it cannot be read."""
    parser = configparser.RawConfigParser()
    try:
        parser.read_string((data_dir / CREDENTIALS).read_text(encoding="utf-8"))
        section = parser["default"]
        return OperatorCredentials(section["aws_access_key_id"], section["aws_secret_access_key"])
    except FileNotFoundError:
        return None
    except (configparser.Error, KeyError, UnicodeDecodeError) as error:
        raise ValueError(f"{data_dir / CREDENTIALS} is not in the format of AWS's shared credentials file") from error


def write_credentials(data_dir: Path, credentials: OperatorCredentials) -> None:
    """Write the administrator's access key in AWS's shared-credentials format, mode 0600."""
    parser = configparser.RawConfigParser()
    parser["default"] = {
        "aws_access_key_id": credentials.access_key_id,
        "aws_secret_access_key": credentials.secret_access_key,
    }
    text = io.StringIO()
    parser.write(text)
    write_durably(data_dir / CREDENTIALS, text.getvalue().encode(), 0o600)


def read_endpoints(data_dir: Path) -> Endpoints | None:
    """Return the endpoints that the service wrote when it was ready; None if there are none."""
    try:
        return msgspec.json.decode((data_dir / ENDPOINTS).read_bytes(), type=Endpoints)
    except (FileNotFoundError, msgspec.DecodeError):
        return None


def write_endpoints(data_dir: Path, endpoints: Endpoints) -> None:
    """Write the endpoints file, which shows other processes that the service is ready."""
    write_durably(data_dir / ENDPOINTS, msgspec.json.format(msgspec.json.encode(endpoints)) + b"\n", 0o644)


def remove_endpoints(data_dir: Path) -> None:
    """Remove the endpoints file, which shows other processes that no service is ready."""
    (data_dir / ENDPOINTS).unlink(missing_ok=True)
