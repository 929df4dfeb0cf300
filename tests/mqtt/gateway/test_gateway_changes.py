"""What reaches connections that are open or opening: revocation, policies, deletion, renewal, the service's end."""

import asyncio
import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.brokers.broker import SCOPE
from tests.support.devices.device_gateway import CREATE, FakeAuthorizer, FakeDevice, LiveGateway, live_gateway, policy
from tests.support.devices.device_identities import Identity, client_context, server_identity
from tests.support.devices.mqtt_peer import V3, V5, Peer, connected_peer, peer
from tests.support.devices.tls_echo import tls_context_of

from thingmint.core.errors import ServiceUnavailable
from thingmint.mqtt.broker.data_plane import LocalDataPlane
from thingmint.mqtt.codec.packets import Connack, Connect, Disconnect, ProtocolVersion, Publish, QoS, Will
from thingmint.mqtt.codec.properties import ConnectProperties
from thingmint.mqtt.codec.reason_codes import ReasonCode
from thingmint.mqtt.data_plane import DeviceConnection, Opened
from thingmint.mqtt.events import ClientConnected, ClientDisconnected, DisconnectReason
from thingmint.mqtt.rights.ports import ConnectionFacts, DeviceRefusal, DeviceRefused
from thingmint.registration.kernel import turns

NOTHING = policy(("iot:Connect", "client/nobody"))


@pytest.fixture
def live(tmp_path: Path) -> Iterator[LiveGateway]:
    with live_gateway(tmp_path) as running:
        yield running


@pytest.fixture
def device(live: LiveGateway) -> Identity:
    return live.register()


def revoke(live: LiveGateway, identity: Identity) -> None:
    live.thread.call(lambda: live.gateway.principal_ended(live.target(identity)))


def was_ended(connection: Peer, code: ReasonCode) -> bool:
    packet = connection.next_packet()
    if connection.version is V3:
        return packet is None
    return isinstance(packet, Disconnect) and packet.reason_code is code and connection.is_closed()


def last_reason(live: LiveGateway) -> DisconnectReason:
    live.wait_until(lambda: isinstance(live.events.all[-1], ClientDisconnected))
    event = live.events.all[-1]
    assert isinstance(event, ClientDisconnected)
    return event.reason


# Certificates


def test_revocation_ends_every_connection_of_the_certificate_and_no_other(
    live: LiveGateway, device: Identity, version: ProtocolVersion
) -> None:
    other = live.register()
    with (
        connected_peer(live, device, version, "one") as one,
        connected_peer(live, device, version, "two") as two,
        connected_peer(live, other, version, "three") as three,
    ):
        revoke(live, device)
        revoke(live, device)
        assert was_ended(one, ReasonCode.ADMINISTRATIVE_ACTION)
        assert was_ended(two, ReasonCode.ADMINISTRATIVE_ACTION)
        assert three.is_served()
        assert last_reason(live) is DisconnectReason.SERVER_INITIATED_DISCONNECT
        assert live.gateway.connected_devices == 1


def test_revocation_ends_many_connections_in_slices(
    live: LiveGateway, device: Identity, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turns, "SLICE_SECONDS", 0.0)
    with contextlib.ExitStack() as stack:
        peers = [stack.enter_context(connected_peer(live, device, V5, f"device-{number}")) for number in range(5)]
        other = stack.enter_context(connected_peer(live, live.register(), V5, "other"))
        revoke(live, device)
        assert all(was_ended(each, ReasonCode.ADMINISTRATIVE_ACTION) for each in peers)
        assert other.is_served()
        live.wait_until(lambda: live.gateway._ender is None)


def test_revocation_while_the_device_connects_is_not_missed(
    live: LiveGateway, device: Identity, version: ProtocolVersion
) -> None:
    live.device(device).while_reading = lambda: live.gateway.principal_ended(live.target(device))
    with peer(live, device, version) as connection:
        connection.send(Connect(version, "device"))
        packet = connection.next_packet()
        expected = ReasonCode.NOT_AUTHORIZED if version is V5 else None
        assert (packet.reason_code if isinstance(packet, Connack) else None) is expected
        assert packet is None or connection.is_closed()
    assert not any(isinstance(event, ClientConnected) for event in live.events.all)


def test_revocation_while_the_session_is_opened_leaves_no_session_and_no_will(
    live: LiveGateway, device: Identity, version: ProtocolVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    observing = live.register()
    really_open = LocalDataPlane.open

    async def open_slowly(self: LocalDataPlane, connection: DeviceConnection, connect: Connect) -> Opened:
        opened = await really_open(self, connection, connect)
        if connection.client_id == "slow":
            live.gateway.principal_ended(live.target(device))
            await asyncio.sleep(0)
        return opened

    monkeypatch.setattr(LocalDataPlane, "open", open_slowly)
    with connected_peer(live, observing, V3, "observer") as observer, peer(live, device, version) as connection:
        observer.subscribe("gone")
        connection.send(Connect(version, "slow", will=Will("gone", b"")))
        packet = connection.next_packet()
        assert packet is None or (isinstance(packet, Connack) and packet.reason_code is ReasonCode.NOT_AUTHORIZED)
        live.wait_until(lambda: not live.gateway._services.work)
        assert observer.is_served()
        assert live.gateway.connected_devices == 1


def test_revocation_ends_what_has_not_even_sent_connect(live: LiveGateway, device: Identity) -> None:
    with peer(live, device) as connection:
        live.wait_until(lambda: len(live.gateway._index.of_principal(device.certificate_id)) == 1)
        revoke(live, device)
        assert connection.is_closed()


def test_revoked_device_does_not_get_what_it_had_not_read(live: LiveGateway, device: Identity) -> None:
    sender = live.register()
    with connected_peer(live, device, V3, "deaf") as deaf, connected_peer(live, sender, V3, "sender") as says:
        deaf.subscribe("a", qos=QoS.AT_MOST_ONCE)
        for _ in range(400):
            says.send(Publish("a", bytes(100_000)))
        assert says.is_served()
        revoke(live, device)
        received = 0
        while deaf.next_packet() is not None:
            received += 1
        assert received < 200


def test_revocation_of_a_certificate_that_nobody_uses_changes_nothing(live: LiveGateway, device: Identity) -> None:
    with connected_peer(live, device) as connection:
        live.thread.call(lambda: live.gateway.principal_ended(live.target(live.register())))
        assert connection.is_served()


# Policies


def test_new_policy_binds_open_connections(live: LiveGateway, device: Identity) -> None:
    with connected_peer(live, device, V5) as connection:
        assert connection.publish("a", b"") is ReasonCode.SUCCESS
        live.device(device).policy = policy(("iot:Connect", "*"), ("iot:Publish", "topic/b"))
        live.thread.call(live.gateway.policies_changed)
        live.wait_until(lambda: live.gateway._policy_refresh.task is None)

        assert connection.publish("a", b"") is ReasonCode.NOT_AUTHORIZED
        assert connection.publish("b", b"") is ReasonCode.SUCCESS
        assert live.device(device).facts[0] == live.device(device).facts[1]


def test_new_policy_binds_deliveries(live: LiveGateway, device: Identity) -> None:
    sender = live.register()
    with connected_peer(live, device, V5) as hears, connected_peer(live, sender, V5, "sender") as says:
        hears.subscribe("a", "b")
        live.device(device).policy = policy(("iot:Connect", "*"), ("iot:Receive", "topic/b"))
        live.thread.call(lambda: live.gateway.policies_changed([live.target(device)]))
        live.wait_until(lambda: live.gateway._policy_refresh.task is None)
        says.publish("a", b"")
        says.publish("b", b"")
        assert hears.expect(Publish).topic == "b"


def test_connection_that_would_no_longer_be_accepted_ends(
    live: LiveGateway, device: Identity, version: ProtocolVersion
) -> None:
    with connected_peer(live, device, version) as connection:
        live.device(device).policy = NOTHING
        live.thread.call(live.gateway.policies_changed)
        assert was_ended(connection, ReasonCode.NOT_AUTHORIZED)
        assert last_reason(live) is DisconnectReason.AUTH_ERROR


def test_only_the_connections_of_the_named_certificates_are_asked_again(live: LiveGateway, device: Identity) -> None:
    other = live.register()
    with connected_peer(live, device), connected_peer(live, other, V3, "other"):
        live.thread.call(lambda: live.gateway.policies_changed([live.target(device)]))
        live.wait_until(lambda: len(live.device(device).facts) == 2)
        live.wait_until(lambda: live.gateway._policy_refresh.task is None)
        assert len(live.device(other).facts) == 1


def test_policy_that_changes_while_the_device_connects_is_not_missed(
    live: LiveGateway, device: Identity, version: ProtocolVersion
) -> None:
    fake = live.device(device)

    def change() -> None:
        fake.while_reading = lambda: None
        fake.policy = NOTHING
        live.gateway.policies_changed()

    fake.while_reading = change
    with peer(live, device, version) as connection:
        connection.send(Connect(version, "device"))
        packet = connection.next_packet()
        expected = ReasonCode.NOT_AUTHORIZED if version is V5 else None
        assert (packet.reason_code if isinstance(packet, Connack) else None) is expected
    assert len(fake.facts) == 2


class AnswersAtOnce(FakeDevice):
    """A device whose policies are read as from SQLite: the reader never waits."""

    async def authorizer(self, facts: ConnectionFacts) -> FakeAuthorizer:
        self.facts.append(facts)
        return FakeAuthorizer(self.policy, facts)


def test_new_policies_bind_many_connections_while_other_work_goes_on(
    live: LiveGateway, device: Identity, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turns, "SLICE_SECONDS", 0.0)
    others_turns: list[int] = []
    known = device.certificate_id
    live.registry.devices[known] = AnswersAtOnce(known)

    async def change_and_watch() -> None:
        read_before = len(live.device(device).facts)
        live.gateway.policies_changed()
        while live.gateway._policy_refresh.task is not None:  # the turns are what is counted
            others_turns.append(len(live.device(device).facts) - read_before)
            await asyncio.sleep(0)

    with contextlib.ExitStack() as stack:
        for number in range(6):
            stack.enter_context(connected_peer(live, device, V5, f"device-{number}"))
        live.thread.run(change_and_watch())
    # Never are the policies of two connections read without a turn for others in between.
    assert set(range(6)) <= set(others_turns)


def test_store_that_does_not_answer_delays_new_policies_only(live: LiveGateway, device: Identity) -> None:
    with connected_peer(live, device, V5) as connection:
        live.device(device).failures.append(ServiceUnavailable())
        live.device(device).policy = policy(("iot:Connect", "*"))
        live.thread.call(live.gateway.policies_changed)
        live.wait_until(lambda: len(live.device(device).facts) == 3 and live.gateway._policy_refresh.task is None)
        assert connection.publish("a", b"") is ReasonCode.NOT_AUTHORIZED


def test_certificate_that_has_gone_when_its_policies_are_read_again_ends_its_connection(
    live: LiveGateway, device: Identity, version: ProtocolVersion, caplog: pytest.LogCaptureFixture
) -> None:
    with connected_peer(live, device, version) as connection:
        live.device(device).failures.append(DeviceRefused(DeviceRefusal.NOT_REGISTERED))
        live.thread.call(live.gateway.policies_changed)
        assert was_ended(connection, ReasonCode.NOT_AUTHORIZED)
    assert caplog.text == ""


def test_policies_that_cannot_be_compiled_end_the_connection(
    live: LiveGateway, device: Identity, caplog: pytest.LogCaptureFixture
) -> None:
    other = live.register()
    with connected_peer(live, device, V5) as broken, connected_peer(live, other, V5, "other") as fine:
        live.device(device).failures.append(ArithmeticError("on purpose"))
        live.thread.call(live.gateway.policies_changed)
        assert was_ended(broken, ReasonCode.UNSPECIFIED_ERROR)
        assert fine.is_served()
    assert "could not be read again" in caplog.text


# Deletion


def test_connection_can_be_deleted_by_client_id(live: LiveGateway, device: Identity, version: ProtocolVersion) -> None:
    with connected_peer(live, device, version) as connection:
        assert live.thread.call(lambda: live.gateway.delete_connection(SCOPE, "device"))
        assert was_ended(connection, ReasonCode.ADMINISTRATIVE_ACTION)
        assert not live.thread.call(lambda: live.gateway.delete_connection(SCOPE, "device"))


@pytest.mark.parametrize("prevented", [False, True])
def test_deletion_may_keep_the_will_back(live: LiveGateway, device: Identity, prevented: bool) -> None:
    with connected_peer(live, device, V5, "observer") as observer:
        observer.subscribe("gone", "after")
        with connected_peer(live, device, V5, will=Will("gone", b"")) as connection:
            live.thread.call(lambda: live.gateway.delete_connection(SCOPE, "device", prevent_will_message=prevented))
            assert was_ended(connection, ReasonCode.ADMINISTRATIVE_ACTION)
        live.wait_until(lambda: live.gateway.connected_devices == 1)
        observer.publish("after", b"")
        assert observer.expect(Publish).topic == ("after" if prevented else "gone")


@pytest.mark.parametrize("cleaned", [False, True])
def test_deletion_may_end_the_session(live: LiveGateway, device: Identity, cleaned: bool) -> None:
    lasting: dict[str, Any] = {"clean_start": False, "properties": ConnectProperties(session_expiry_interval=3600)}
    with connected_peer(live, device, V5, **lasting) as connection:
        live.thread.call(lambda: live.gateway.delete_connection(SCOPE, "device", clean_session=cleaned))
        assert was_ended(connection, ReasonCode.ADMINISTRATIVE_ACTION)
    live.wait_until(lambda: live.gateway.connected_devices == 0 and not live.gateway._services.work)
    with peer(live, device, V5) as again:
        assert again.connect(**lasting).session_present is not cleaned


# The data plane


def test_fault_at_the_end_of_a_connection_stays_with_it(
    live: LiveGateway, device: Identity, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail(*_arguments: object, **_named: object) -> None:
        raise ArithmeticError("on purpose")

    monkeypatch.setattr(LocalDataPlane, "close", fail)
    with connected_peer(live, device) as connection:
        connection.send(Disconnect())
        assert connection.is_closed()
    live.wait_until(lambda: isinstance(live.events.all[-1], ClientDisconnected))
    assert "the data plane could not close a connection" in caplog.text


# The service itself


def test_renewed_server_certificate_leaves_open_connections_alone(
    live: LiveGateway, device: Identity, tmp_path: Path
) -> None:
    renewed = server_identity("renewed")
    with connected_peer(live, device) as old:
        live.thread.call(lambda: live.gateway.use_tls_context(tls_context_of(renewed)))
        live.context = lambda *_, **__: client_context(tmp_path, device, server=renewed)  # type: ignore[method-assign]  # the new anchor
        with connected_peer(live, device, V3, "new") as new:
            assert new.is_served()
        assert old.is_served()


def test_stop_says_goodbye(tmp_path: Path, version: ProtocolVersion) -> None:
    with live_gateway(tmp_path) as live:
        device = live.register()
        with connected_peer(live, device, version) as connection, peer(live, device) as stranger:
            stopping = asyncio.run_coroutine_threadsafe(live.gateway.stop(1.0), live.thread.loop)
            assert was_ended(connection, ReasonCode.SERVER_SHUTTING_DOWN)
            assert stranger.is_closed()
            stopping.result()
        assert last_reason(live) is DisconnectReason.SERVER_INITIATED_DISCONNECT


def test_stop_waits_for_answers_in_flight(tmp_path: Path) -> None:
    with live_gateway(tmp_path) as live:
        device = live.register()
        live.fleet.gate = live.thread.call(asyncio.Event)
        with connected_peer(live, device) as connection:
            connection.publish(CREATE, b"{}")
            stopping = asyncio.run_coroutine_threadsafe(live.gateway.stop(30.0), live.thread.loop)
            live.wait_until(lambda: live.gateway._provisioning._is_closing)
            connection.send(Publish(CREATE, b"{}"))
            assert connection.expect(Publish).topic == f"{CREATE}/rejected"
            live.thread.call(live.fleet.gate.set)
            assert connection.expect(Publish).topic == f"{CREATE}/accepted"
            assert connection.is_closed()
            stopping.result()


def test_stop_abandons_what_takes_too_long(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with live_gateway(tmp_path) as live:
        device = live.register()
        live.fleet.gate = live.thread.call(asyncio.Event)
        with connected_peer(live, device) as connection:
            connection.publish(CREATE, b"{}")
            live.thread.run(live.gateway.stop(0.05))
            assert connection.is_closed()
    assert "1 provisioning requests were abandoned" in caplog.text


def test_stop_cancels_connections_that_wait_for_the_registry(tmp_path: Path) -> None:
    with live_gateway(tmp_path) as live:
        device = live.register()
        live.registry.gate = live.thread.call(asyncio.Event)
        with peer(live, device) as connection:
            connection.send(Connect(V3, "device"))
            live.wait_until(lambda: len(live.registry.identified) == 1)
            live.thread.run(live.gateway.stop(0.05))
            assert connection.is_closed()
            live.wait_until(lambda: not live.gateway._services.work)


def test_port_that_is_taken_is_said_at_once(live: LiveGateway, tmp_path: Path) -> None:
    with pytest.raises(OSError, match="in use"), live_gateway(tmp_path, port=live.port):
        pass
