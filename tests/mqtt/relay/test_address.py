"""Where the relay finds brokers, which of their nodes it uses, and as whom it logs in."""

import ssl
from dataclasses import replace
from pathlib import Path

import pytest
from msgspec import structs
from tests.support.brokers.broker import OTHER, SCOPE

from thingmint.core.identifiers import Region
from thingmint.mqtt.relay.brokers.address import InvalidBrokerAddress, UnixAddress, parse_broker_address
from thingmint.mqtt.relay.brokers.health import AddressHealth
from thingmint.mqtt.relay.brokers.spec import Brokers, BrokerSpec, one_broker
from thingmint.mqtt.relay.credentials import BrokerCredentials, LoginUnusable
from thingmint.mqtt.relay.limits import RelayLimits

NODES = tuple(UnixAddress(f"/{number}") for number in range(3))


@pytest.mark.parametrize(
    ("text", "is_exposed"),
    [
        ("unix:/run/mosquitto.sock", False),
        ("tcp:127.0.0.1:1883", False),
        ("tcp:[::1]:65535", False),
        ("tcp:localhost:1883", False),
        ("tcp:10.0.0.1:1883", True),
        ("tcp:[2001:db8::1]:1883", True),
        ("tcp:broker.example.com:1883", True),
        ("tls:broker.example.com:8883", False),
    ],
)
def test_address_is_written_as_it_was_and_says_whether_others_can_read(text: str, is_exposed: bool) -> None:
    address = parse_broker_address(text)

    assert (str(address), address.is_exposed) == (text, is_exposed)


@pytest.mark.parametrize(
    "text",
    [
        *("", "local", "unix:", "unix:relative/path", "unix:/nul\0", "tcp:", "tcp:127.0.0.1", "tcp:127.0.0.1:0"),
        *("tcp:127.0.0.1:65536", "tcp:two words:1", "tls::1", "tcp:[::g]:1", "mqtt://127.0.0.1:1883", "unix:/a,"),
    ],
)
def test_every_other_address_is_refused(text: str) -> None:
    with pytest.raises(InvalidBrokerAddress):
        one_broker(text, SCOPE)


def test_limits_are_positive() -> None:
    with pytest.raises(ValueError, match="open_seconds must be positive"):
        RelayLimits(open_seconds=0)


# Which node


def test_devices_are_spread_over_the_nodes_that_answer() -> None:
    health = AddressHealth(NODES, RelayLimits())
    assert {health.candidates(0.0)[0] for _ in range(3)} == set(NODES)
    assert health.failed_at(NODES[1], 10.0)
    assert not health.failed_at(NODES[1], 10.0)

    assert {each for _ in range(3) for each in health.candidates(0.0)} == {NODES[0], NODES[2]}
    assert health.failed == (NODES[1],)
    assert health.answered(NODES[1])
    assert not health.answered(NODES[1])
    assert len(health.candidates(0.0)) == 3


def test_a_node_that_fails_again_is_tried_after_longer_pauses_up_to_a_bound() -> None:
    limits = RelayLimits(first_retry_seconds=1.0, last_retry_seconds=3.0)
    health = AddressHealth(NODES[:1], limits)
    for longest in (1.0, 2.0, 3.0, 3.0):
        health.failed_at(NODES[0], 100.0)
        assert health.due(100.0 + longest / 2 - 0.01) == ()
        assert health.due(100.0 + longest) == NODES[:1]
    assert health.candidates(100.0) == ()
    # One connection tries it; the others are refused at once until that has an answer.
    assert health.candidates(103.0) == NODES[:1]
    assert health.candidates(103.0) == ()


# As whom


def test_placeholders_are_filled_once() -> None:
    credentials = BrokerCredentials("{account}:{client_id}", password="{certificate_id}-{client_id}")
    login = credentials.login("ab12", "{account}", SCOPE.account)

    assert (login.username, login.password) == ("000000000000:{account}", b"ab12-{account}")
    assert "ab12" not in repr(login)
    assert "certificate_id" not in repr(credentials)


@pytest.mark.parametrize("client_id", ["host:guest", "line\nfeed", "a\x9bb"])
def test_a_client_id_cannot_choose_a_virtual_host(client_id: str) -> None:
    with pytest.raises(LoginUnusable):
        BrokerCredentials("{client_id}").login("ab12", client_id, SCOPE.account)


def test_files_are_read_for_each_login_and_not_shown(tmp_path: Path) -> None:
    user, password = tmp_path / "user", tmp_path / "password"
    credentials = BrokerCredentials(None, user, None, password)
    with pytest.raises(LoginUnusable):
        credentials.login("ab12", "device", SCOPE.account)
    user.write_text("fleet\n")
    for secret in ("first", "second"):
        password.write_text(f"{secret}\n")
        login = credentials.login("ab12", "device", SCOPE.account)
        assert (login.username, login.password) == ("fleet", secret.encode())
        assert secret not in repr(login) + repr(credentials)
    password.write_bytes(b"\xff")
    with pytest.raises(LoginUnusable, match="not text"):
        credentials.login("ab12", "device", SCOPE.account)


# Whose


def test_accounts_share_no_broker_unless_it_knows_them_apart() -> None:
    shared = BrokerSpec(NODES)
    apart = structs.replace(shared, credentials=BrokerCredentials("{account}"))

    assert Brokers(SCOPE, shared).of(SCOPE) is shared
    assert Brokers(SCOPE, shared).of(OTHER) is None
    assert Brokers(SCOPE, apart).of(OTHER) is apart
    assert Brokers(SCOPE, None, {OTHER.account: shared}).of(SCOPE) is None
    assert Brokers(SCOPE, apart, {OTHER.account: shared}).of(OTHER) is shared
    assert Brokers(SCOPE, apart).of(replace(SCOPE, region=Region("eu-west-1"))) is None
    assert Brokers(SCOPE, shared, {OTHER.account: shared}).named == (SCOPE, OTHER)


def test_files_of_tls_must_be_there(tmp_path: Path) -> None:
    spec = BrokerSpec((parse_broker_address("tls:localhost:1"),), ca_file=tmp_path / "absent")
    with pytest.raises(OSError, match="No such file"):
        spec.tls_context()
    assert structs.replace(spec, ca_file=None).tls_context().verify_mode is ssl.CERT_REQUIRED
