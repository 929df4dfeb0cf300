"""Where simulated devices may be sent, and what a device proves itself with."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.devices.device_identities import new_identity, rsa_key, server_identity

from thingmint.cli.simulation import target as target_module
from thingmint.cli.simulation.clients.identity import Identity, new_signing_request
from thingmint.cli.simulation.target import Target, TargetRefused, find_target, require_loopback_url


@pytest.fixture
def ca_file(tmp_path: Path) -> str:
    path = tmp_path / "ca.pem"
    path.write_bytes(server_identity().chain_pem)
    return str(path)


@pytest.fixture
def port() -> Iterator[int]:
    """A port of the loopback that answers in IPv4 only."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def names(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> None:
    """Let every name have these addresses."""
    # Not the system's own look-up: to connect looks an address up, too.
    monkeypatch.setattr(target_module, "_addresses", lambda host, port: list(addresses))


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_service_of_this_machine_is_found_at_the_address_that_answers(host: str, ca_file: str, port: int) -> None:
    assert find_target(f"{host}:{port}", ca_file, allow_remote=False) == Target("127.0.0.1", port, host, ca_file)


def test_next_address_is_tried_where_one_does_not_answer(
    monkeypatch: pytest.MonkeyPatch, ca_file: str, port: int
) -> None:
    names(monkeypatch, "127.0.0.2", "127.0.0.1")
    assert find_target(f"gateway:{port}", ca_file, allow_remote=False).address == "127.0.0.1"


def test_another_machine_is_refused_unless_it_is_allowed(
    monkeypatch: pytest.MonkeyPatch, ca_file: str, port: int
) -> None:
    names(monkeypatch, "127.0.0.1", "192.0.2.1")
    with pytest.raises(TargetRefused, match=r"192\.0\.2\.1.*--allow-remote"):
        find_target(f"gateway:{port}", ca_file, allow_remote=False)
    with pytest.raises(TargetRefused, match="--allow-remote"):
        require_loopback_url("https://gateway:8443")
    assert find_target(f"gateway:{port}", ca_file, allow_remote=True).server_name == "gateway"


def test_loopback_url_is_accepted() -> None:
    require_loopback_url("https://127.0.0.1:8443")
    require_loopback_url("https://[::1]:8443")


def test_url_without_a_host_is_refused() -> None:
    with pytest.raises(TargetRefused, match="must be an http or https URL"):
        require_loopback_url("localhost:8443")


@pytest.mark.parametrize("authority", ["", ":8883", "host:", "host:port", "host:99999", "user@host:1", "host/path"])
def test_what_is_no_address_is_refused(authority: str, ca_file: str) -> None:
    with pytest.raises(TargetRefused, match="HOST or HOST:PORT"):
        find_target(authority, ca_file, allow_remote=True)


def test_port_is_that_of_mqtt_unless_it_is_named(monkeypatch: pytest.MonkeyPatch, ca_file: str) -> None:
    asked: list[tuple[str, int]] = []

    def refuse(address: tuple[str, int], timeout: float) -> socket.socket:
        asked.append(address)
        raise ConnectionRefusedError("nobody is there")

    monkeypatch.setattr(socket, "create_connection", refuse)
    with pytest.raises(TargetRefused, match=r"nobody answers on 127\.0\.0\.1:8883: nobody is there"):
        find_target("127.0.0.1", ca_file, allow_remote=False)
    assert asked == [("127.0.0.1", 8883)]


def test_name_without_an_address_is_refused(monkeypatch: pytest.MonkeyPatch, ca_file: str) -> None:
    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(TargetRefused, match="gateway has no address: Name or service not known"):
        find_target("gateway", ca_file, allow_remote=False)


@pytest.mark.parametrize("content", [None, "no certificate"])
def test_ca_file_that_cannot_be_used_is_named(content: str | None, tmp_path: Path) -> None:
    path = tmp_path / "broken.pem"
    if content is not None:
        path.write_text(content)
    with pytest.raises(TargetRefused, match=r"broken\.pem cannot be used"):
        find_target("localhost", str(path), allow_remote=False)


def test_identity_is_used_from_memory_and_not_shown(ca_file: str, tmp_path: Path) -> None:
    before = sorted(tmp_path.iterdir())
    one = new_identity(key=rsa_key())
    identity = Identity(one.chain_pem.decode(), one.key_pem.decode())
    identity.tls_context(Target("127.0.0.1", 1, "localhost", ca_file))
    assert sorted(tmp_path.iterdir()) == before
    assert "PRIVATE KEY" not in repr(identity)


def test_key_of_another_certificate_is_refused(ca_file: str) -> None:
    identity = Identity(new_identity().chain_pem.decode(), new_identity().key_pem.decode())
    with pytest.raises(OSError, match="KEY_VALUES_MISMATCH"):
        identity.tls_context(Target("127.0.0.1", 1, "localhost", ca_file))


def test_signing_requests_are_all_for_new_keys_which_are_not_shown() -> None:
    first, second = new_signing_request("device"), new_signing_request("device")
    assert first.csr_pem != second.csr_pem
    assert "PRIVATE KEY" not in repr(first)
