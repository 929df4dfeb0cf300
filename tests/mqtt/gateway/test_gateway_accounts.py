"""Devices of several accounts on one gateway: side by side, and without a trace of each other."""

import asyncio
from collections.abc import Coroutine, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.support.brokers.broker import OTHER, SCOPE, Device
from tests.support.brokers.mosquitto import mosquitto
from tests.support.devices.device_gateway import LiveGateway, SystemClock, live_gateway
from tests.support.devices.device_identities import Identity
from tests.support.devices.mqtt_peer import V5, Peer, connected_peer, peer

from thingmint.api.devices.data_plane import DeviceMessage
from thingmint.core.errors import InvalidRequest, ResourceNotFound
from thingmint.core.identifiers import Scope
from thingmint.core.policies.target import CertificateTarget
from thingmint.mqtt.broker.data_plane import LocalDataPlane
from thingmint.mqtt.codec.packets import Connack, Connect, Disconnect, ProtocolVersion, Publish, Will
from thingmint.mqtt.codec.reason_codes import PacketRefused, ReasonCode
from thingmint.mqtt.data_plane import DataPlane, DeviceConnection, Opened
from thingmint.mqtt.edges.operator_edge import OperatorEdge, OperatorEdges
from thingmint.mqtt.events import ClientConnected, ConnectRefused
from thingmint.mqtt.queues.limits import BrokerLimits
from thingmint.mqtt.relay.brokers.spec import one_broker
from thingmint.mqtt.relay.relay import RelayDataPlane

PRESENCE = "$aws/events/presence/connected/lamp"


class Accounts:
    """A gateway with a device of each of two accounts, and their operators."""

    def __init__(self, live: LiveGateway, data_plane: DataPlane) -> None:
        self.live = live
        self.edges = OperatorEdges(lambda: live.gateway, data_plane, SystemClock())
        self.own, self.foreign = live.register(), live.register(scope=OTHER)

    def run(self, work: Coroutine[Any, Any, None]) -> None:
        self.live.thread.run(work)

    def operator(self, scope: Scope) -> OperatorEdge:
        return self.edges.edge_of(scope)

    def connected(self, scope: Scope) -> bool:
        return self.live.thread.run(self.operator(scope).connection("lamp")) is not None


@pytest.fixture
def accounts(tmp_path: Path) -> Iterator[Accounts]:
    plane = LocalDataPlane(BrokerLimits(), lambda: asyncio.get_running_loop().time())
    with live_gateway(tmp_path, data_plane=plane) as live:
        yield Accounts(live, plane)


def payload_of(device: Peer) -> bytes:
    return device.expect(Publish).payload


def test_equal_client_ids_of_two_accounts_stay_connected_and_hear_their_own(
    accounts: Accounts, version: ProtocolVersion
) -> None:
    live = accounts.live
    with (
        connected_peer(live, accounts.own, version, "lamp") as own,
        connected_peer(live, accounts.foreign, version, "lamp") as foreign,
    ):
        own.subscribe("#")
        foreign.subscribe("#")
        own.publish("a", b"own")
        accounts.run(accounts.operator(SCOPE).publish(DeviceMessage("a", b"of the operator")))
        foreign.publish("a", b"foreign")

        assert payload_of(foreign) == b"foreign"
        assert [payload_of(own), payload_of(own)] == [b"own", b"of the operator"]
        with connected_peer(live, accounts.foreign, version, "lamp"):
            if version is V5:
                assert foreign.expect(Disconnect).reason_code is ReasonCode.SESSION_TAKEN_OVER
            assert foreign.is_closed()
            assert own.is_served()


def test_what_operators_do_reaches_the_connection_of_their_own_account(accounts: Accounts) -> None:
    live, away = accounts.live, {"clean_session": False, "prevent_will": False}
    with connected_peer(live, accounts.own, V5, "lamp") as own:
        assert (accounts.connected(SCOPE), accounts.connected(OTHER)) == (True, False)
        with pytest.raises(ResourceNotFound):
            accounts.run(accounts.operator(OTHER).send("lamp", DeviceMessage("a", b"foreign"), None))
        assert not live.thread.run(accounts.operator(OTHER).disconnect("lamp", **away))
        with connected_peer(live, accounts.foreign, V5, "lamp") as foreign:
            accounts.run(accounts.operator(OTHER).send("lamp", DeviceMessage("a", b"foreign"), None))
            accounts.run(accounts.operator(SCOPE).send("lamp", DeviceMessage("a", b"own"), None))
            assert (payload_of(own), payload_of(foreign)) == (b"own", b"foreign")
            assert live.thread.run(accounts.operator(OTHER).disconnect("lamp", **away))
            assert foreign.expect(Disconnect).reason_code is ReasonCode.ADMINISTRATIVE_ACTION
        assert own.is_served()
        assert (accounts.connected(SCOPE), accounts.connected(OTHER)) == (True, False)


def test_events_are_told_to_the_devices_of_their_account(accounts: Accounts) -> None:
    live = accounts.live
    with (
        connected_peer(live, accounts.own, V5, "watcher") as own,
        connected_peer(live, accounts.foreign, V5, "watcher") as foreign,
    ):
        own.subscribe("$aws/events/#")
        foreign.subscribe("$aws/events/#")
        live.thread.call(lambda: live.gateway.publish_event(SCOPE, PRESENCE, b"own"))
        live.thread.call(lambda: live.gateway.publish_event(OTHER, PRESENCE, b"foreign"))
        assert (payload_of(own), payload_of(foreign)) == (b"own", b"foreign")
        assert own.is_served()
    connected = [event for event in live.events.all if isinstance(event, ClientConnected)]
    assert [event.link.scope for event in connected] == [SCOPE, OTHER]


def test_a_will_is_heard_in_its_account(accounts: Accounts, version: ProtocolVersion) -> None:
    live = accounts.live
    with (
        connected_peer(live, accounts.own, version, "heir") as heir,
        connected_peer(live, accounts.foreign, version, "heir") as stranger,
    ):
        heir.subscribe("#")
        stranger.subscribe("#")
        with connected_peer(live, accounts.own, version, "mortal", will=Will("will", b"gone")):
            pass
        assert payload_of(heir) == b"gone"
        stranger.publish("a", b"marker")
        assert payload_of(stranger) == b"marker"


# One certificate that two accounts have registered: the host name says whose device it is


def hand_over(live: LiveGateway, identity: Identity) -> None:
    """Have the registry say from now on that the certificate is the other account's."""
    live.registry.devices[identity.certificate_id] = replace(live.device(identity), scope=OTHER, facts=[])


def test_a_revocation_in_one_account_ends_no_connection_of_another(
    accounts: Accounts, version: ProtocolVersion
) -> None:
    live, identity = accounts.live, accounts.own
    with connected_peer(live, identity, version, "lamp") as own:
        hand_over(live, identity)
        with connected_peer(live, identity, version, "lamp") as foreign:
            old, new = (CertificateTarget(scope, identity.certificate_id) for scope in (SCOPE, OTHER))
            assert live.thread.call(lambda: live.gateway.has_connection_of(old))
            live.thread.call(lambda: live.gateway.principal_ended(new))
            if version is V5:
                assert foreign.expect(Disconnect).reason_code is ReasonCode.ADMINISTRATIVE_ACTION
            assert foreign.is_closed()
            assert own.is_served()
            assert not live.thread.call(lambda: live.gateway.has_connection_of(new))
            live.thread.call(lambda: live.gateway.principal_ended(old))
            if version is V5:
                assert own.expect(Disconnect).reason_code is ReasonCode.ADMINISTRATIVE_ACTION
            assert own.is_closed()


def test_policies_of_one_account_are_read_again_for_its_own_connections(accounts: Accounts) -> None:
    live, identity = accounts.live, accounts.own
    device = live.device(identity)
    with connected_peer(live, identity, V5, "lamp") as own:
        hand_over(live, identity)
        with connected_peer(live, identity, V5, "lamp") as foreign:
            live.thread.call(lambda: live.gateway.policies_changed([CertificateTarget(OTHER, identity.certificate_id)]))
            live.wait_until(lambda: len(live.device(identity).facts) == 2)
            assert len(device.facts) == 1
            assert own.is_served()
            assert foreign.is_served()


def test_a_certificate_that_changes_hands_while_it_connects_has_no_place_in_either_account(
    accounts: Accounts, monkeypatch: pytest.MonkeyPatch, version: ProtocolVersion
) -> None:
    live, identity = accounts.live, accounts.own
    really_open = LocalDataPlane.open

    async def open_slowly(self: LocalDataPlane, connection: DeviceConnection, connect: Connect) -> Opened:
        opened = await really_open(self, connection, connect)
        hand_over(live, identity)
        live.gateway.policies_changed([CertificateTarget(SCOPE, identity.certificate_id)])
        return opened

    monkeypatch.setattr(LocalDataPlane, "open", open_slowly)
    with peer(live, identity, version) as moved:
        moved.send(Connect(version, "lamp", will=Will("will", b"never"), clean_start=False))
        # MQTT 3.1.1 has a code for this, too: come again.
        assert moved.expect(Connack).reason_code is ReasonCode.SERVER_UNAVAILABLE
        assert moved.is_closed()
    monkeypatch.setattr(LocalDataPlane, "open", really_open)
    with connected_peer(live, identity, version, "lamp"):
        assert (accounts.connected(SCOPE), accounts.connected(OTHER)) == (False, True)


# Behind the relay


@pytest.fixture
def relayed(tmp_path: Path) -> Iterator[Accounts]:
    with mosquitto() as broker:
        relay = RelayDataPlane(one_broker(broker.address, SCOPE))
        with live_gateway(tmp_path, data_plane=relay) as live:
            yield Accounts(live, relay)


def test_devices_of_other_accounts_have_no_place_behind_the_relay(relayed: Accounts, version: ProtocolVersion) -> None:
    live = relayed.live
    with connected_peer(live, relayed.own, version, "lamp") as own:
        with peer(live, relayed.foreign, version) as foreign:
            foreign.send(Connect(version, "lamp"))
            if version is V5:
                assert foreign.expect(Connack).reason_code is ReasonCode.NOT_AUTHORIZED
            assert foreign.is_closed()
        assert own.is_served()
    (refused,) = [event for event in live.events.all if isinstance(event, ConnectRefused)]
    assert refused.why == "the broker behind this service does not serve account 222222222222"


async def test_operators_of_other_accounts_are_told_that_they_have_no_devices_behind_the_relay(
    relayed: Accounts,
) -> None:
    assert await relayed.operator(SCOPE).connection("lamp") is None
    with pytest.raises(InvalidRequest, match="serves another account than 222222222222"):
        relayed.operator(OTHER)


async def test_the_relay_passes_nothing_of_another_account_on_even_if_nobody_has_asked_before() -> None:
    relay = RelayDataPlane(one_broker("unix:/nonexistent/broker", SCOPE))

    with pytest.raises(PacketRefused, match="has no broker"):
        await relay.open(Device("lamp", scope=OTHER), Connect(V5, "lamp"))
    with pytest.raises(PacketRefused, match="has no broker"):
        await relay.publish_own(OTHER, Publish("a", b"x"))
