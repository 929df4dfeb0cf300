"""What is remembered of clients that are not connected, and that it is true of real connections."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from msgspec.structs import replace
from tests.support.brokers.broker import SCOPE
from tests.support.devices.device_gateway import LiveGateway, live_gateway
from tests.support.devices.mqtt_peer import V3, V5, connected_peer

from thingmint.core.identifiers import AccountId, Scope
from thingmint.mqtt.codec.packets import Disconnect, ProtocolVersion
from thingmint.mqtt.codec.properties import ConnectProperties
from thingmint.mqtt.events import ClientConnected, ClientDisconnected, DisconnectReason
from thingmint.mqtt.gateway.last_endings import Ending, LastEndings

OTHER = Scope(AccountId("222222222222"), SCOPE.region)
AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
LOST = Ending(AT, DisconnectReason.CONNECTION_LOST, 60, True, 0)


@pytest.fixture
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveGateway]:
    with live_gateway(tmp_path_factory.mktemp("gateway")) as running:
        yield running


def ending_of(live: LiveGateway, client_id: str) -> Ending | None:
    return live.thread.call(lambda: live.gateway.last_ending_of(SCOPE, client_id))


@pytest.mark.parametrize("version", [V3, V5], ids=["3.1.1", "5"])
def test_an_ending_is_remembered_until_the_client_comes_again(live: LiveGateway, version: ProtocolVersion) -> None:
    identity, before = live.register(), datetime.now(UTC)
    lasting = ConnectProperties(session_expiry_interval=600) if version is V5 else ConnectProperties()
    with connected_peer(live, identity, version, "lamp", clean_start=False, keep_alive=60, properties=lasting) as lamp:
        assert ending_of(live, "lamp") is None
        lamp.send(Disconnect())
        assert lamp.is_closed()
    live.wait_until(lambda: isinstance(live.events.all[-1], ClientDisconnected))
    ended = ending_of(live, "lamp")
    event = live.events.all[-1]
    assert ended is not None
    assert isinstance(event, ClientDisconnected)
    assert before <= ended.at <= datetime.now(UTC)
    assert (event.at, event.reason) == (ended.at, ended.reason)
    expiry = 600 if version is V5 else 3600
    assert ended == Ending(ended.at, DisconnectReason.CLIENT_INITIATED_DISCONNECT, 60, False, expiry)
    with connected_peer(live, identity, version, "lamp"):
        assert ending_of(live, "lamp") is None


def test_a_connection_that_is_cut_off_was_lost(live: LiveGateway) -> None:
    with connected_peer(live, live.register(), V5, "lamp"):
        pass
    live.wait_until(lambda: live.gateway.last_ending_of(SCOPE, "lamp") is not None)
    ended = ending_of(live, "lamp")
    assert ended is not None
    assert ended.reason is DisconnectReason.CONNECTION_LOST


def test_a_client_that_took_its_own_place_is_connected_and_its_earlier_end_comes_first(live: LiveGateway) -> None:
    identity = live.register()
    with connected_peer(live, identity, V5, "lamp") as first, connected_peer(live, identity, V5, "lamp") as second:
        assert first.next_packet() is not None
        live.wait_until(lambda: any(isinstance(event, ClientDisconnected) for event in live.events.all))
        assert second.is_served()
        assert ending_of(live, "lamp") is None
        (ended,) = [event for event in live.events.all if isinstance(event, ClientDisconnected)]
        connected = [event for event in live.events.all if isinstance(event, ClientConnected)]
        assert ended.reason is DisconnectReason.DUPLICATE_CLIENTID
        assert ended.at <= connected[-1].at
        second.send(Disconnect())
        assert second.is_closed()
    live.wait_until(lambda: live.gateway.last_ending_of(SCOPE, "lamp") is not None)
    last = ending_of(live, "lamp")
    assert last is not None
    assert last.reason is DisconnectReason.CLIENT_INITIATED_DISCONNECT


def test_accounts_have_memories_of_their_own_and_forget_who_is_gone_for_longest() -> None:
    endings = LastEndings(most=2)
    for name in ("a", "b", "a", "c"):
        endings.record(SCOPE, name, LOST)
    endings.record(OTHER, "b", replace(LOST, at=AT + timedelta(1)))

    known = {name: endings.of_client(SCOPE, name) for name in ("a", "b", "c")}
    assert known == {"a": LOST, "b": None, "c": LOST}
    assert endings.of_client(OTHER, "b") == replace(LOST, at=AT + timedelta(1))
    for name in ("a", "c", "never seen"):
        endings.forget(SCOPE, name)
    assert endings.of_client(SCOPE, "a") is None


def test_a_client_that_no_thing_can_be_called_as_is_not_remembered() -> None:
    endings = LastEndings()
    for client_id in ("", "a/b", "x" * 129):
        endings.record(SCOPE, client_id, LOST)
        assert endings.of_client(SCOPE, client_id) is None
