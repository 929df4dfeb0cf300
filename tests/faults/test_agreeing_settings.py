"""Settings that must agree are compared at the start: addresses and names, validity and issuer, storage."""

import json
import os
import shlex
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from tests.support.clients.aws import Live
from tests.support.services.forked import run_thingmint
from tests.support.services.service import ended_start, running_service

PASSWORD = "open-sesame"
EVERYTHING = '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}'


def run(*arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    own = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "THINGMINT_"))}
    return run_thingmint(*arguments, environment=own | environment, timeout=60)


# Addresses


def test_the_addresses_that_are_given_are_those_that_are_told_and_proven(tmp_path: Path) -> None:
    with running_service(tmp_path / "data", "--api", "127.0.0.2:0", "--mqtt", "127.0.0.3:0", key_reserve=0) as service:
        api, mqtt = service.endpoints.api, service.endpoints.mqtt
        assert api == f"https://127.0.0.2:{service.endpoints.api_port}"
        assert mqtt == f"127.0.0.3:{service.endpoints.mqtt_port}"
        printed = run("env", "--data-dir", str(service.data_dir)).stdout
        assert f"export AWS_ENDPOINT_URL_IOT={shlex.quote(api)}" in printed
        iot = Live(service, None).client()
        service.closers.append(iot.close)
        # What devices are told leads to their port, under a name that the certificate holds.
        told = iot.describe_endpoint(endpointType="iot:Data-ATS")["endpointAddress"]
        host, _, port = told.partition(":")
        context = ssl.create_default_context(cafile=str(service.data_dir / "ca.pem"))
        with socket.create_connection((host, int(port))) as plain, context.wrap_socket(plain, server_hostname=host):
            assert host == "127.0.0.3"
        assert any(api in line for line in service.greeting)
        assert any(mqtt in line for line in service.greeting)


def test_an_address_is_proven_beside_names_that_are_given(tmp_path: Path) -> None:
    options = ("--api", "127.0.0.2:0", "--server-name", "devices.example", "--server-name", "10.0.0.9")
    with running_service(tmp_path / "data", *options, key_reserve=0) as service:
        iot = Live(service, None).client()
        service.closers.append(iot.close)
        # Names that an operator gives are what devices are told.
        assert iot.describe_endpoint(endpointType="iot:Data-ATS")["endpointAddress"].startswith("devices.example:")


# Validity


@pytest.mark.parametrize(
    ("profile", "words"),
    [
        ("validity_days = 9000", "outlive its issuer's end"),
        ('not_after = "2020-01-01T00:00:00Z"', "ended at 2020-01-01"),
    ],
)
def test_a_profile_that_cannot_be_used_does_not_start(tmp_path: Path, profile: str, words: str) -> None:
    data_dir = tmp_path / "data"
    data_dir.mkdir()
    (data_dir / "thingmint.toml").write_text(f"[profile]\n{profile}\n")
    said = ended_start(data_dir)
    assert "[profile]" in said
    assert words in said
    assert "validity_days may be" in said
    offline = run("issue", "--offline", "--data-dir", str(data_dir), "--out", str(tmp_path / "out"))
    assert offline.returncode == 1
    assert words in offline.stderr


# Storage


def test_commands_and_later_starts_know_that_the_registry_is_in_postgresql(
    tmp_path: Path,
    postgresql_url: str,
) -> None:
    data_dir = tmp_path / "data"
    with running_service(data_dir, "--database-url", postgresql_url, key_reserve=0):
        pass
    told = json.loads((data_dir / "storage.json").read_text())
    assert told["engine"] == "postgresql"
    policy = tmp_path / "policy.json"
    policy.write_text(EVERYTHING)
    for command in (
        ("doctor",),
        ("audit",),
        ("access-key", "list"),
        ("access-key", "create", "--policy", str(policy)),
        ("issue", "--offline", "--out", str(tmp_path / "out")),
        ("serve", "--api", "127.0.0.1:0", "--key-reserve", "0"),
    ):
        refused = run(*command, "--data-dir", str(data_dir))
        assert refused.returncode == 1, command
        said = refused.stdout + refused.stderr
        assert f"is in PostgreSQL at {told['place']}: give --database-url" in said, command
        assert "backup" not in said
        assert not (data_dir / "thingmint.sqlite").exists()
    assert run("doctor", "--data-dir", str(data_dir), "--database-url", postgresql_url).returncode == 0
    assert run("audit", "--data-dir", str(data_dir), THINGMINT_DATABASE_URL=postgresql_url).returncode == 0


def test_commands_look_into_no_other_database_than_the_services(
    tmp_path: Path,
    postgresql_url: str,
) -> None:
    with running_service(tmp_path / "data", key_reserve=0) as service:
        for command in ("doctor", "audit"):
            refused = run(command, "--data-dir", str(service.data_dir), "--database-url", postgresql_url)
            assert refused.returncode == 1
            assert "keeps its registry in thingmint.sqlite" in refused.stdout + refused.stderr


def test_a_directory_that_tells_nothing_names_both_possibilities(tmp_path: Path) -> None:
    with running_service(tmp_path / "data", key_reserve=0):
        pass
    (tmp_path / "data" / "thingmint.sqlite").unlink()
    (tmp_path / "data" / "storage.json").unlink()
    said = run("doctor", "--data-dir", str(tmp_path / "data")).stdout
    assert "restore it from a backup or, if the service runs on PostgreSQL, give --database-url" in said


# The password of the database


@dataclass
class Asking:
    """A server that asks for the password of PostgreSQL's protocol in clear text, remembers it, and refuses it."""

    port: int
    given: list[bytes] = field(default_factory=list)


@pytest.fixture
def asking() -> Iterator[Asking]:
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        found = Asking(listener.getsockname()[1])

        def serve() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    connection.recv(4096)
                    # AuthenticationCleartextPassword.
                    connection.sendall(b"R\0\0\0\x08\0\0\0\x03")
                    found.given.append(connection.recv(4096)[5:].rstrip(b"\0"))
                    refusal = b"SFATAL\0C28P01\0Mpassword authentication failed\0\0"
                    connection.sendall(b"E" + (len(refusal) + 4).to_bytes(4, "big") + refusal)

        thread = threading.Thread(target=serve)
        thread.start()
        yield found
        listener.shutdown(socket.SHUT_RDWR)
    thread.join()


def test_the_password_may_be_in_a_file_and_is_told_by_nothing(tmp_path: Path, asking: Asking) -> None:
    file = tmp_path / "password"
    file.write_text(f"{PASSWORD}\n")
    url = f"postgresql://thingmint@127.0.0.1:{asking.port}/registry?sslmode=disable"
    options = ("--data-dir", str(tmp_path / "data"), "--api", "127.0.0.1:0", "--key-reserve", "0")
    refused = run("serve", *options, "--database-url", url, "--database-password-file", str(file))
    assert asking.given == [PASSWORD.encode()]
    assert refused.returncode == 1
    assert f"127.0.0.1:{asking.port} cannot be reached: password authentication failed" in refused.stderr
    assert PASSWORD not in refused.stderr + refused.stdout
    assert "warning" not in refused.stderr
    for ways in ({"THINGMINT_DATABASE_PASSWORD_FILE": str(file)}, {"PGPASSWORD": PASSWORD}):
        run("serve", *options, "--database-url", url, **ways)
        assert asking.given.pop() == PASSWORD.encode()
    passwords = tmp_path / "pgpass"
    passwords.write_text(f"127.0.0.1:{asking.port}:registry:thingmint:{PASSWORD}\n")
    passwords.chmod(0o600)
    run("serve", *options, "--database-url", url, PGPASSFILE=str(passwords))
    assert asking.given.pop() == PASSWORD.encode()
    (tmp_path / "data" / "thingmint.toml").write_text(f'database_url = "{url}"\ndatabase_password_file = "{file}"\n')
    run("serve", *options)
    assert asking.given.pop() == PASSWORD.encode()


def test_a_password_on_the_command_line_is_warned_of(tmp_path: Path, asking: Asking) -> None:
    for url in (
        f"postgresql://thingmint:{PASSWORD}@127.0.0.1:{asking.port}/registry?sslmode=disable",
        f"postgresql://127.0.0.1:{asking.port}/registry?sslmode=disable&user=thingmint&password={PASSWORD}",
    ):
        refused = run("serve", "--data-dir", str(tmp_path / "data"), "--api", "127.0.0.1:0", "--database-url", url)
        assert "warning: process lists show the password in --database-url" in refused.stderr
        assert PASSWORD not in refused.stderr
        assert asking.given.pop() == PASSWORD.encode()
        quiet = run("serve", "--data-dir", str(tmp_path / "data"), "--api", "127.0.0.1:0", THINGMINT_DATABASE_URL=url)
        assert "warning" not in quiet.stderr


@pytest.mark.parametrize("content", [None, "", "\n"])
def test_a_password_file_that_cannot_be_used_does_not_start(tmp_path: Path, content: str | None) -> None:
    file = tmp_path / "password"
    if content is not None:
        file.write_text(content)
    url = "postgresql://thingmint@127.0.0.1:1/registry"
    said = ended_start(tmp_path / "data", "--database-url", url, "--database-password-file", str(file))
    assert "database_password_file" in said
    assert str(file) in said


def test_a_password_file_without_a_database_is_refused(tmp_path: Path) -> None:
    assert "database_password_file is of no use" in ended_start(tmp_path, "--database-password-file", "x")


def test_a_database_that_cannot_be_reached_is_named_without_its_password(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        url = f"postgresql://thingmint:{PASSWORD}@127.0.0.1:{port}/registry"
        said = run("serve", "--data-dir", str(tmp_path / "data"), "--api", "127.0.0.1:0", THINGMINT_DATABASE_URL=url)
    assert f"The database at 127.0.0.1:{port} cannot be reached: " in said.stderr
    assert "refused" in said.stderr
    assert PASSWORD not in said.stderr


def test_a_url_that_cannot_be_read_is_told_in_words(tmp_path: Path) -> None:
    url = f"postgresql://thingmint:{PASSWORD}@127.0.0.1:port/registry"
    said = run("serve", "--data-dir", str(tmp_path / "data"), "--api", "127.0.0.1:0", THINGMINT_DATABASE_URL=url)
    assert said.returncode == 1
    assert said.stderr == "thingmint: a port in the database URL is missing or not a number\n"


# The passphrase


def test_commands_that_lack_the_passphrase_say_how_to_give_it(tmp_path: Path) -> None:
    file = tmp_path / "passphrase"
    file.write_text("a long passphrase\n")
    with running_service(tmp_path / "data", "--ca-passphrase-file", str(file), key_reserve=0):
        for command in (("doctor",), ("access-key", "list")):
            lacking = run(*command, "--data-dir", str(tmp_path / "data"))
            assert lacking.returncode == 1
            assert "no passphrase was given: name its file with --ca-passphrase-file" in lacking.stdout + lacking.stderr
            (tmp_path / "data" / "thingmint.toml").write_text(f'ca_passphrase_file = "{file}"\n')
            assert run(*command, "--data-dir", str(tmp_path / "data")).returncode == 0
            (tmp_path / "data" / "thingmint.toml").unlink()
