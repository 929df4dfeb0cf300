"""A broker behind mutual TLS and a password: who is let in, and what is verified."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace
from tests.support.brokers.broker_engines import free_ports
from tests.support.brokers.broker_scenario import data_plane
from tests.support.brokers.mosquitto import Mosquitto, mosquitto
from tests.support.devices.device_gateway import live_gateway
from tests.support.devices.device_identities import new_identity, server_identity
from tests.support.devices.mqtt_peer import V5, connected_peer, peer

from thingmint.mqtt.codec.packets import Publish, Will
from thingmint.mqtt.codec.reason_codes import ReasonCode
from thingmint.mqtt.relay.brokers.address import parse_broker_address
from thingmint.mqtt.relay.brokers.spec import BrokerSpec
from thingmint.mqtt.relay.credentials import BrokerCredentials
from thingmint.mqtt.relay.limits import RelayLimits

SECRET = "of-the-fleet"  # of a broker that lives as long as a test


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the broker and the gateway have as files."""
    directory = tmp_path_factory.mktemp("tls")
    server, client = server_identity(), new_identity()
    for name, identity in (("server", server), ("client", client)):
        (directory / f"{name}.pem").write_bytes(identity.chain_pem)
        (directory / f"{name}.key").write_bytes(identity.key_pem)
    (directory / "password").write_text(f"{SECRET}\n")
    return directory


@pytest.fixture(scope="module")
def broker(folder: Path) -> Iterator[Mosquitto]:
    """Mosquitto with a second listener, for TLS."""
    (port,) = free_ports(1)
    with mosquitto(
        f"listener {port} 127.0.0.1",
        f"cafile {folder / 'client.pem'}",
        f"certfile {folder / 'server.pem'}",
        f"keyfile {folder / 'server.key'}",
        "require_certificate true",
    ) as running:
        running.tls_port = port
        yield running


def spec_of(broker: Mosquitto, folder: Path) -> BrokerSpec:
    return BrokerSpec(
        (parse_broker_address(f"tls:127.0.0.1:{broker.tls_port}"),),
        credentials=BrokerCredentials("fleet", password_file=folder / "password"),
        ca_file=folder / "server.pem",
        server_name="localhost",
        certificate_file=folder / "client.pem",
        key_file=folder / "client.key",
    )


def test_devices_are_served_over_mutual_tls_and_wills_are_published(
    tmp_path: Path, broker: Mosquitto, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with (
        live_gateway(tmp_path, data_plane=data_plane(spec_of(broker, folder))) as live,
        broker.peer("heir") as heir,
    ):
        thing = live.register()
        heir.subscribe("to/heir", "last/will")
        with connected_peer(live, thing, V5, "device", will=Will("last/will", b"gone")) as device:
            assert device.publish("to/heir", bytes(100_000)) is ReasonCode.SUCCESS
            assert len(heir.expect(Publish).payload) == 100_000
        # TLS has no half of a connection to end; the broker is told by the end of it.
        assert heir.expect(Publish).payload == b"gone"
    assert "u'fleet'" in broker.log
    assert SECRET not in caplog.text


@pytest.mark.parametrize("wrong", ["another name", "another authority", "no certificate"])
def test_a_broker_that_is_not_the_right_one_gets_no_device_and_no_password(
    tmp_path: Path, broker: Mosquitto, folder: Path, wrong: str
) -> None:
    spec = spec_of(broker, folder)
    spec = {
        "another name": replace(spec, server_name="broker.example.com"),
        "another authority": replace(spec, ca_file=folder / "client.pem"),
        "no certificate": replace(spec, certificate_file=None, key_file=None),
    }[wrong]
    already = len(broker.log)
    plane = data_plane(spec, RelayLimits(open_seconds=2.0))
    with live_gateway(tmp_path, data_plane=plane) as live, peer(live, live.register(), V5) as device:
        assert device.connect("device").reason_code is ReasonCode.SERVER_UNAVAILABLE
    assert "as device" not in broker.log[already:]
