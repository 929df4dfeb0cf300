"""What is decided at CONNECT is asked again while the connection is open, and when its will is due."""

import asyncio
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.support.brokers.broker import SCOPE
from tests.support.brokers.mosquitto import Mosquitto, mosquitto
from tests.support.devices.device_gateway import CREATE, EVERYTHING, LiveGateway, live_gateway, policy
from tests.support.devices.device_identities import Identity
from tests.support.devices.mqtt_peer import V5, Peer, connected_peer

from thingmint.core.errors import ServiceUnavailable
from thingmint.mqtt.codec.packets import Disconnect, ProtocolVersion, Publish, Subscribe, Subscription, Will
from thingmint.mqtt.codec.properties import ConnectProperties, WillProperties
from thingmint.mqtt.codec.reason_codes import ReasonCode
from thingmint.mqtt.events import ClientDisconnected, DisconnectReason
from thingmint.mqtt.relay.brokers.spec import one_broker
from thingmint.mqtt.relay.relay import RelayDataPlane
from thingmint.mqtt.rights.ports import DeviceRefusal

LASTING = ConnectProperties(session_expiry_interval=600)
MAY_CONNECT = policy(("iot:Connect", "*"))
MAY_PUBLISH = policy(("iot:Connect", "*"), ("iot:Publish", "*"))


@pytest.fixture(scope="module")
def broker() -> Iterator[Mosquitto]:
    with mosquitto() as running:
        yield running


@pytest.fixture(params=["local", "relay"])
def live(request: pytest.FixtureRequest, tmp_path: Path, broker: Mosquitto) -> Iterator[LiveGateway]:
    plane = None if request.param == "local" else RelayDataPlane(one_broker(broker.address, SCOPE))
    with live_gateway(tmp_path, data_plane=plane) as running:
        yield running


@pytest.fixture
def local(tmp_path: Path) -> Iterator[LiveGateway]:
    with live_gateway(tmp_path) as running:
        yield running


def last_end(live: LiveGateway, client_id: str) -> ClientDisconnected:
    def ends() -> list[ClientDisconnected]:
        found = [each for each in live.events.all if isinstance(each, ClientDisconnected)]
        return [each for each in found if each.link.client_id == client_id]

    live.wait_until(lambda: bool(ends()))
    return ends()[-1]


# Certificates and claims that end


@pytest.mark.parametrize("request_of", ["nothing", "publish", "provisioning", "subscribe"])
def test_connection_ends_with_the_validity_of_its_certificate(
    local: LiveGateway, version: ProtocolVersion, request_of: str
) -> None:
    device = local.register()
    local.device(device).valid_until = datetime.now(UTC) + timedelta(days=1)
    with connected_peer(local, device, version) as connection:
        local.clock.ahead = timedelta(days=2)
        if request_of == "publish":
            connection.send(Publish("a", b""))
        elif request_of == "provisioning":
            connection.send(Publish(CREATE, b"{}"))
        elif request_of == "subscribe":
            connection.send(Subscribe(1, (Subscription("a"),)))
        if version is V5:
            assert connection.expect(Disconnect).reason_code is ReasonCode.NOT_AUTHORIZED
        assert connection.is_closed()
    assert last_end(local, "device").reason is DisconnectReason.AUTH_ERROR
    assert local.fleet.requests == []


def test_connection_lasts_until_its_certificate_ends(local: LiveGateway, version: ProtocolVersion) -> None:
    device = local.register()
    local.device(device).valid_until = datetime.now(UTC) + timedelta(days=1)
    with connected_peer(local, device, version) as connection:
        assert connection.is_served()
        local.clock.ahead = timedelta(days=2)
        assert isinstance(connection.next_packet(), Disconnect | None)


# Wills


def revoke(live: LiveGateway, device: Identity) -> None:
    live.device(device).refusal = DeviceRefusal.REVOKED
    live.thread.call(lambda: live.gateway.principal_ended(live.target(device)))


def take_publish_away(live: LiveGateway, device: Identity) -> None:
    live.device(device).policy = MAY_CONNECT
    live.thread.call(lambda: live.gateway.policies_changed([live.target(device)]))


def take_retain_away(live: LiveGateway, device: Identity) -> None:
    live.device(device).policy = MAY_PUBLISH
    live.thread.call(lambda: live.gateway.policies_changed([live.target(device)]))


CHANGES = {"revoked": revoke, "no iot:Publish": take_publish_away, "no iot:RetainPublish": take_retain_away}


@pytest.fixture(params=sorted(CHANGES))
def change(request: pytest.FixtureRequest) -> Callable[[LiveGateway, Identity], None]:
    return CHANGES[str(request.param)]


def hears_only_the_marker(live: LiveGateway, heir: Peer) -> bool:
    live.wait_until(lambda: not live.gateway._services.work)
    live.thread.run(asyncio.sleep(0.1))
    heir.publish("marker", b"")
    return heir.expect(Publish).topic == "marker"


def test_will_that_may_no_longer_be_published_is_dropped(
    live: LiveGateway, version: ProtocolVersion, change: Callable[[LiveGateway, Identity], None]
) -> None:
    device, other = live.register(), live.register()
    will = Will("will/now", b"gone", retain=True)
    with connected_peer(live, other, V5, "heir") as heir:
        heir.subscribe("will/now", "marker")
        with connected_peer(live, device, version, "leaver", will=will):
            change(live, device)
        last_end(live, "leaver")
        assert hears_only_the_marker(live, heir)


def test_will_that_may_be_published_is(live: LiveGateway, version: ProtocolVersion) -> None:
    device, other = live.register(), live.register()
    with connected_peer(live, other, V5, "heir") as heir:
        heir.subscribe("will/allowed")
        with connected_peer(live, device, version, "leaver", will=Will("will/allowed", b"gone")):
            pass
        assert heir.expect(Publish).payload == b"gone"


def test_delayed_will_is_decided_when_it_is_due(
    local: LiveGateway, change: Callable[[LiveGateway, Identity], None]
) -> None:
    device, other = local.register(), local.register()
    will = Will("will/later", b"gone", retain=True, properties=WillProperties(will_delay_interval=1))
    with connected_peer(local, other, V5, "heir") as heir:
        heir.subscribe("will/later", "marker")
        with connected_peer(local, device, V5, "leaver", will=will, properties=LASTING):
            pass
        last_end(local, "leaver")
        change(local, device)
        local.thread.run(asyncio.sleep(2.5))
        assert hears_only_the_marker(local, heir)


def test_will_of_a_connection_that_is_taken_over_is_decided_then(local: LiveGateway) -> None:
    device, other = local.register(), local.register()
    with connected_peer(local, other, V5, "heir") as heir:
        heir.subscribe("will/taken", "marker")
        with connected_peer(local, device, V5, "leaver", will=Will("will/taken", b"gone")):
            local.device(device).policy = MAY_CONNECT
            with connected_peer(local, device, V5, "leaver"):
                assert hears_only_the_marker(local, heir)


def test_will_waits_while_the_registry_does_not_answer(local: LiveGateway) -> None:
    device, other = local.register(), local.register(allowed=EVERYTHING)
    with connected_peer(local, other, V5, "heir") as heir:
        heir.subscribe("will/waits")
        with connected_peer(local, device, V5, "leaver", will=Will("will/waits", b"gone")):
            local.device(device).failures.append(ServiceUnavailable())
        assert heir.expect(Publish).payload == b"gone"
