"""One gateway on two ports: sessions, take-over, revocation and limits know no difference between them."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.devices.device_gateway import LiveGateway, live_gateway
from tests.support.devices.device_identities import Identity
from tests.support.devices.mqtt_peer import V5, Peer, connected_peer, peer

from thingmint.mqtt.codec.packets import Disconnect, Publish
from thingmint.mqtt.codec.properties import ConnectProperties
from thingmint.mqtt.codec.reason_codes import ReasonCode

ALPN = "x-amzn-mqtt-ca"


@pytest.fixture
def live(tmp_path: Path) -> Iterator[LiveGateway]:
    with live_gateway(tmp_path, also=[("127.0.0.1", 0)]) as running:
        yield running


@pytest.fixture
def thing(live: LiveGateway) -> Identity:
    return live.register()


def second(live: LiveGateway) -> int:
    first, other = live.gateway.ports
    assert first == live.port != other
    return other


def ended_with(device: Peer) -> ReasonCode:
    return device.expect(Disconnect).reason_code


@pytest.mark.parametrize("alpn", [(), (ALPN,), ("mqtt", "h2"), ("h2", ALPN)], ids=str)
def test_device_is_served_whatever_alpn_it_offers(live: LiveGateway, thing: Identity, alpn: tuple[str, ...]) -> None:
    with peer(live, thing, V5, port=second(live), alpn=alpn) as device:
        assert device.connect().reason_code is ReasonCode.SUCCESS
        assert device.is_served()


def test_message_goes_from_one_door_to_the_other(live: LiveGateway, thing: Identity) -> None:
    with connected_peer(live, thing, V5, "hears") as hears, peer(live, thing, V5, port=second(live)) as speaks:
        speaks.connect("speaks")
        hears.subscribe("a")
        speaks.publish("a", b"hello")
        assert hears.expect(Publish).payload == b"hello"


def test_client_that_comes_by_the_other_door_takes_over_with_its_session(live: LiveGateway, thing: Identity) -> None:
    lasting = ConnectProperties(session_expiry_interval=600)
    with connected_peer(live, thing, V5, "lamp", clean_start=False, properties=lasting) as first:
        first.subscribe("a")
        with peer(live, thing, V5, port=second(live)) as other:
            assert other.connect("lamp", clean_start=False, properties=lasting).session_present
            assert ended_with(first) is ReasonCode.SESSION_TAKEN_OVER


def test_revocation_reaches_both_doors(live: LiveGateway, thing: Identity) -> None:
    with connected_peer(live, thing, V5, "one") as one, peer(live, thing, V5, port=second(live)) as two:
        two.connect("two")
        live.thread.call(lambda: live.gateway.principal_ended(live.target(thing)))
        assert ended_with(one) is ended_with(two) is ReasonCode.ADMINISTRATIVE_ACTION


def test_door_that_is_taken_is_said_and_leaves_the_first_one_free(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, socket.create_server(("127.0.0.1", 0)) as probe:
        free, port = probe.getsockname()[1], taken.getsockname()[1]
        probe.close()
        with (
            pytest.raises(OSError, match=f"127.0.0.1:{port}: Address already in use"),
            live_gateway(tmp_path, port=free, also=[("127.0.0.1", port)]),
        ):
            pass
        socket.create_server(("127.0.0.1", free)).close()
