"""What operators do with devices' messages and connections, on the built-in broker and through a real Mosquitto."""

import asyncio
import concurrent.futures
import os
import signal
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.support.brokers.broker import SCOPE
from tests.support.brokers.mosquitto import Mosquitto, mosquitto
from tests.support.clients.signing import AT, SettableClock
from tests.support.devices.device_gateway import CREATE, LiveGateway, SystemClock, live_gateway, policy
from tests.support.devices.device_identities import Identity
from tests.support.devices.mqtt_peer import V5, Peer, connected_peer

from thingmint.api.devices.data_plane import DeviceMessage
from thingmint.core.errors import (
    AccessDenied,
    DeliveryUnconfirmed,
    InvalidRequest,
    ResourceNotFound,
    ServiceUnavailable,
    ThingmintError,
    Throttled,
)
from thingmint.mqtt.broker.data_plane import LocalDataPlane
from thingmint.mqtt.codec.packets import ProtocolVersion, Puback, Publish, QoS
from thingmint.mqtt.codec.properties import ConnectProperties, PublishProperties
from thingmint.mqtt.codec.reason_codes import ReasonCode
from thingmint.mqtt.data_plane import DataPlane, Retained
from thingmint.mqtt.edges.operator_edge import OperatorEdges, StoringTimes
from thingmint.mqtt.events import ClientDisconnected, DisconnectReason
from thingmint.mqtt.queues.limits import BrokerLimits
from thingmint.mqtt.relay.brokers.spec import one_broker
from thingmint.mqtt.relay.credentials import SERVICE
from thingmint.mqtt.relay.limits import RelayLimits
from thingmint.mqtt.relay.relay import RelayDataPlane

IMPATIENT = RelayLimits(
    answer_seconds=1.0, open_seconds=1.0, leave_seconds=0.2, first_retry_seconds=0.001, last_retry_seconds=0.001
)
FULL = DeviceMessage(
    "to/all",
    b"payload",
    1,
    is_text=True,
    content_type="text/plain",
    response_topic="answer/here",
    correlation_data=b"17",
    user_properties=(("a", "1"), ("a", "2")),
)


class Bench:
    """A gateway, its data plane and an operator's edge."""

    def __init__(self, live: LiveGateway, data_plane: DataPlane) -> None:
        self.live = live
        self.edge = OperatorEdges(lambda: live.gateway, data_plane, SystemClock()).edge_of(SCOPE)
        self.identity = live.register()

    def run(self, work: Coroutine[Any, Any, None]) -> None:
        self.live.thread.run(work)

    def begin(self, work: Coroutine[Any, Any, None]) -> "concurrent.futures.Future[None]":
        return asyncio.run_coroutine_threadsafe(work, self.live.thread.loop)

    def publish(self, message: DeviceMessage) -> None:
        self.run(self.edge.publish(message))


@contextmanager
def bench_on(directory: Path, data_plane: DataPlane) -> Iterator[Bench]:
    with live_gateway(directory, data_plane=data_plane) as live:
        yield Bench(live, data_plane)


@pytest.fixture
def local(tmp_path: Path) -> Iterator[Bench]:
    limits = BrokerLimits(retained_messages=2)
    with bench_on(tmp_path, LocalDataPlane(limits, lambda: asyncio.get_running_loop().time())) as bench:
        yield bench


@pytest.fixture
def broker() -> Iterator[Mosquitto]:
    with mosquitto() as running:
        yield running


@pytest.fixture
def relayed(tmp_path: Path, broker: Mosquitto) -> Iterator[Bench]:
    with bench_on(tmp_path, RelayDataPlane(one_broker(broker.address, SCOPE), IMPATIENT)) as bench:
        yield bench


@pytest.fixture(params=["local", "relayed"])
def bench(request: pytest.FixtureRequest) -> Bench:
    chosen: Bench = request.getfixturevalue(request.param)
    return chosen


# Publish


@pytest.mark.parametrize("qos", [0, 1])
def test_message_reaches_who_has_subscribed(bench: Bench, version: ProtocolVersion, qos: int) -> None:
    with connected_peer(bench.live, bench.identity, version) as device:
        device.subscribe("to/+")
        bench.publish(DeviceMessage("to/all", b"hello", qos))

        heard = device.expect(Publish)
        assert (heard.topic, heard.payload, heard.qos, heard.retain) == ("to/all", b"hello", qos, False)


def test_properties_of_mqtt_5_arrive(bench: Bench) -> None:
    with connected_peer(bench.live, bench.identity, V5) as device:
        device.subscribe("to/all")
        bench.publish(FULL)

        assert device.expect(Publish).properties == PublishProperties(
            payload_format_indicator=True,
            content_type="text/plain",
            response_topic="answer/here",
            correlation_data=b"17",
            user_properties=(("a", "1"), ("a", "2")),
        )


def test_retained_message_waits_for_who_subscribes_later(bench: Bench) -> None:
    bench.publish(DeviceMessage("kept", b"first", 1, retain=True))
    bench.publish(DeviceMessage("kept", b"second", 1, retain=True))
    with connected_peer(bench.live, bench.identity, V5) as device:
        device.subscribe("kept")

        heard = device.expect(Publish)
        assert (heard.payload, heard.retain) == (b"second", True)


@pytest.mark.parametrize(
    "topic", ["$aws/certificates/create/json/accepted", CREATE, "$SYS/x", "a/+", "", "a\x7f", "x" * 257]
)
def test_no_operator_publishes_on_reserved_or_invalid_topics(bench: Bench, topic: str) -> None:
    with pytest.raises(InvalidRequest):
        bench.publish(DeviceMessage(topic, b"forged"))


@pytest.mark.parametrize(
    "message",
    [
        replace(FULL, response_topic="a/#"),
        replace(FULL, content_type="a\0"),
        replace(FULL, content_type="a\x1f"),
        replace(FULL, user_properties=(("name", "\uffff"),)),
        replace(FULL, content_type="x" * 65536),
        replace(FULL, user_properties=(("x" * 60_000, "y" * 60_000), ("x" * 60_000, ""))),
    ],
    ids=["wildcard", "NUL", "control character", "noncharacter", "long text", "long packet"],
)
def test_properties_that_mqtt_cannot_say_are_refused(bench: Bench, message: DeviceMessage) -> None:
    with pytest.raises(InvalidRequest):
        bench.publish(message)


def test_message_that_there_is_no_room_to_retain_may_be_sent_again_later(local: Bench) -> None:
    for topic in "ab":
        local.publish(DeviceMessage(topic, b"x", retain=True))

    with pytest.raises(Throttled):
        local.publish(DeviceMessage("c", b"x", retain=True))


# What is retained


def test_retained_messages_are_read(local: Bench) -> None:
    before = datetime.now(UTC)
    for topic in ("b", "a"):
        local.publish(replace(FULL, topic=topic, retain=True))

    async def read() -> None:
        one, page = await local.edge.retained("a"), local.edge.retained_after("", 9)
        assert one is not None
        assert (one.topic, one.payload, one.qos) == ("a", b"payload", 1)
        assert one.user_properties == FULL.user_properties
        assert one.stored_at is not None
        assert before - timedelta(seconds=1) <= one.stored_at <= datetime.now(UTC)
        assert [each.topic for each in page] == ["a", "b"]
        assert await local.edge.retained("c") is None

    local.run(read())
    local.publish(DeviceMessage("a", b"", retain=True))

    async def read_again() -> None:
        assert await local.edge.retained("a") is None

    local.run(read_again())


def test_a_retained_message_of_a_broker_behind_the_relay_is_read_and_there_is_no_list(relayed: Bench) -> None:
    relayed.publish(DeviceMessage("kept/here", b"payload", 1, retain=True))

    async def read() -> None:
        found = await relayed.edge.retained("kept/here")
        assert found is not None
        assert (found.topic, found.payload, found.stored_at) == ("kept/here", b"payload", None)
        assert await relayed.edge.retained("nothing/here") is None
        assert await relayed.edge.retained("$SYS/broker/version") is None

    relayed.run(read())
    with pytest.raises(InvalidRequest, match="kept by the broker behind this service"):
        relayed.edge.retained_after("", 1)


# The service's own connection to a broker


def test_service_has_one_connection_of_its_own_and_leaves_politely(tmp_path: Path, broker: Mosquitto) -> None:
    with bench_on(tmp_path, RelayDataPlane(one_broker(broker.address, SCOPE))) as bench:
        already = broker.log.count(f"u'{SERVICE}'")
        for _ in range(3):
            bench.publish(DeviceMessage("a", b"x", 1))
        assert broker.log.count(f"u'{SERVICE}'") == already + 1
    assert "Client $thingmint-" in broker.log
    assert "Received DISCONNECT from $thingmint-" in broker.log


def test_broker_that_is_away_is_said_and_found_again(relayed: Bench, broker: Mosquitto) -> None:
    relayed.publish(DeviceMessage("a", b"x", 1))
    broker.stop()
    with pytest.raises(ServiceUnavailable):
        relayed.publish(DeviceMessage("a", b"x", 1))
    broker.start()
    relayed.publish(DeviceMessage("a", b"x", 1))


def test_broker_that_does_not_answer_is_given_up(relayed: Bench, broker: Mosquitto) -> None:
    relayed.publish(DeviceMessage("a", b"x", 1))
    assert broker.popen is not None
    os.kill(broker.popen.pid, signal.SIGSTOP)
    try:
        with pytest.raises(ServiceUnavailable):
            relayed.publish(DeviceMessage("a", b"x", 1))
        with pytest.raises(ServiceUnavailable):
            relayed.publish(DeviceMessage("a", b"x", 1))
    finally:
        os.kill(broker.popen.pid, signal.SIGCONT)
    relayed.publish(DeviceMessage("a", b"x", 1))


@contextmanager
def stuck(broker: Mosquitto) -> Iterator[None]:
    """Let the broker neither read nor answer for a while."""
    assert broker.popen is not None
    os.kill(broker.popen.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(broker.popen.pid, signal.SIGCONT)


def test_messages_that_wait_for_a_stuck_broker_are_bounded(tmp_path: Path, broker: Mosquitto) -> None:
    # Each of them occupies a request: any number would leave no room for those that need no broker.
    message = DeviceMessage("a", b"x", 1)
    with bench_on(tmp_path, RelayDataPlane(one_broker(broker.address, SCOPE), RelayLimits(own_messages=3))) as bench:
        bench.publish(message)
        with stuck(broker):
            waiting = [bench.begin(bench.edge.publish(message)) for _ in range(3)]
            with pytest.raises(Throttled):
                bench.publish(message)
            assert not any(each.done() for each in waiting)
        for each in waiting:
            each.result(60)
        bench.publish(message)


def test_message_does_not_wait_long_behind_one_that_is_not_answered(tmp_path: Path, broker: Mosquitto) -> None:
    message = DeviceMessage("a", b"x", 1)
    limits = RelayLimits(open_seconds=0.5, answer_seconds=600.0)
    with bench_on(tmp_path, RelayDataPlane(one_broker(broker.address, SCOPE), limits)) as bench:
        bench.publish(message)
        with stuck(broker):
            first = bench.begin(bench.edge.publish(message))
            with pytest.raises(ServiceUnavailable):
                bench.publish(message)
            assert not first.done()
        first.result(60)


def test_stop_does_not_wait_for_a_broker_that_does_not_answer(tmp_path: Path, broker: Mosquitto) -> None:
    assert broker.popen is not None
    with bench_on(tmp_path, RelayDataPlane(one_broker(broker.address, SCOPE))) as bench:
        bench.publish(DeviceMessage("a", b"x", 1))
        os.kill(broker.popen.pid, signal.SIGSTOP)
        waiting = bench.begin(bench.edge.publish(DeviceMessage("a", b"x", 1)))
        bench.live.thread.call(lambda: None)
    os.kill(broker.popen.pid, signal.SIGCONT)
    with pytest.raises((ServiceUnavailable, concurrent.futures.CancelledError)):
        waiting.result(0)


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (ReasonCode.NOT_AUTHORIZED, AccessDenied),
        (ReasonCode.PACKET_TOO_LARGE, InvalidRequest),
        (ReasonCode.QUOTA_EXCEEDED, Throttled),
        (ReasonCode.UNSPECIFIED_ERROR, ServiceUnavailable),
    ],
)
def test_refusal_of_the_broker_is_told_in_the_words_of_the_api(
    local: Bench, monkeypatch: pytest.MonkeyPatch, code: ReasonCode, kind: type[ThingmintError]
) -> None:
    async def refuse(*_arguments: object) -> ReasonCode:
        return code

    monkeypatch.setattr(LocalDataPlane, "publish_own", refuse)
    with pytest.raises(kind):
        local.publish(DeviceMessage("a", b"x"))


# Connections


def test_connection_is_described(bench: Bench, version: ProtocolVersion) -> None:
    before = datetime.now(UTC)
    lasting = ConnectProperties(session_expiry_interval=600) if version is V5 else ConnectProperties()
    with connected_peer(
        bench.live, bench.identity, version, "lamp", clean_start=False, keep_alive=60, properties=lasting
    ):
        found = bench.live.thread.run(bench.edge.connection("lamp"))
    assert found is not None
    assert (found.client_id, found.is_clean, found.keep_alive) == ("lamp", False, 60)
    assert found.session_expiry == (600 if version is V5 else 3600)
    assert before <= found.connected_at <= datetime.now(UTC)
    assert (found.source[0], found.target) == ("127.0.0.1", ("127.0.0.1", bench.live.port))
    assert bench.live.thread.run(bench.edge.connection("nobody")) is None


def test_operators_disconnect_and_events_say_so(bench: Bench) -> None:
    with connected_peer(bench.live, bench.identity, V5, "lamp") as device:
        assert bench.live.thread.run(bench.edge.disconnect("lamp", clean_session=False, prevent_will=False))
        device.next_packet()
        assert device.is_closed()
    bench.live.wait_until(lambda: isinstance(bench.live.events.all[-1], ClientDisconnected))
    event = bench.live.events.all[-1]
    assert isinstance(event, ClientDisconnected)
    assert event.reason is DisconnectReason.API_INITIATED_DISCONNECT
    ended = bench.live.thread.run(bench.edge.last_connection("lamp"))
    assert ended is not None
    assert (ended.ended_at, ended.reason, ended.client_id) == (event.at, "API_INITIATED_DISCONNECT", "lamp")
    assert bench.live.thread.run(bench.edge.last_connection("nobody")) is None
    assert not bench.live.thread.run(bench.edge.disconnect("lamp", clean_session=False, prevent_will=False))


# Messages to one client


def test_message_reaches_one_client_that_has_not_subscribed(bench: Bench, version: ProtocolVersion) -> None:
    with (
        connected_peer(bench.live, bench.identity, version, "lamp") as lamp,
        connected_peer(bench.live, bench.identity, version, "other") as other,
    ):
        other.subscribe("#")
        bench.run(bench.edge.send("lamp", DeviceMessage("to/lamp", b"hello"), None))
        heard = lamp.expect(Publish)
        assert (heard.topic, heard.payload, heard.qos) == ("to/lamp", b"hello", 0)
        bench.publish(DeviceMessage("marker", b""))
        assert other.expect(Publish).topic == "marker"


def test_acknowledgement_is_waited_for(bench: Bench, version: ProtocolVersion) -> None:
    with connected_peer(bench.live, bench.identity, version, "lamp") as lamp:
        for _ in range(2):
            sent = bench.begin(bench.edge.send("lamp", DeviceMessage("to/lamp", b"hello"), 60))
            heard = lamp.expect(Publish)
            assert heard.qos is QoS.AT_LEAST_ONCE
            assert not sent.done()
            lamp.send(Puback(heard.packet_id))
            sent.result(60)
        assert lamp.is_served()


def test_acknowledgement_that_does_not_come_is_missed(bench: Bench) -> None:
    with connected_peer(bench.live, bench.identity, V5, "lamp") as lamp:
        with pytest.raises(DeliveryUnconfirmed):
            bench.run(bench.edge.send("lamp", DeviceMessage("to/lamp", b"hello"), 0.05))
        # It comes too late, and changes nothing.
        lamp.send(Puback(lamp.expect(Publish).packet_id))
        assert lamp.is_served()


def test_acknowledgements_that_are_waited_for_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Each of them occupies a request, for as long as a device says nothing.
    monkeypatch.setattr("thingmint.mqtt.edges.operator_edge.MOST_CONFIRMATIONS", 2)
    message = DeviceMessage("a", b"")
    data_plane = LocalDataPlane(BrokerLimits(), lambda: asyncio.get_running_loop().time())
    with bench_on(tmp_path, data_plane) as local, connected_peer(local.live, local.identity, V5, "lamp") as lamp:
        waiting = [local.begin(local.edge.send("lamp", message, 60)) for _ in range(2)]
        heard = [lamp.expect(Publish) for _ in waiting]
        with pytest.raises(Throttled):
            local.run(local.edge.send("lamp", message, 60))
        local.run(local.edge.send("lamp", message, None))
        lamp.expect(Publish)
        for each in heard:
            lamp.send(Puback(each.packet_id))
        for sent in waiting:
            sent.result(60)
        last = local.begin(local.edge.send("lamp", message, 60))
        lamp.send(Puback(lamp.expect(Publish).packet_id))
        last.result(60)


def test_client_that_takes_no_more_is_not_sent_what_must_be_acknowledged(bench: Bench) -> None:
    few = ConnectProperties(receive_maximum=1)
    with connected_peer(bench.live, bench.identity, V5, "lamp", properties=few) as lamp:
        first = bench.begin(bench.edge.send("lamp", DeviceMessage("a", b""), 60))
        heard = lamp.expect(Publish)
        with pytest.raises(Throttled):
            bench.run(bench.edge.send("lamp", DeviceMessage("b", b""), 60))
        lamp.send(Puback(heard.packet_id))
        first.result(60)


def test_message_larger_than_the_client_takes_is_refused(bench: Bench) -> None:
    small = ConnectProperties(maximum_packet_size=100)
    with connected_peer(bench.live, bench.identity, V5, "lamp", properties=small) as lamp:
        for confirmed_within in (None, 60):
            with pytest.raises(InvalidRequest, match="larger than the device takes"):
                bench.run(bench.edge.send("lamp", DeviceMessage("a", b"x" * 100), confirmed_within))
        assert lamp.is_served()


def test_client_must_be_there_and_be_allowed_to_receive(bench: Bench) -> None:
    deaf: Identity = bench.live.register(allowed=policy(("iot:Connect", "*"), ("iot:Receive", "topic/mine")))
    with pytest.raises(ResourceNotFound):
        bench.run(bench.edge.send("lamp", DeviceMessage("mine", b""), None))
    with connected_peer(bench.live, deaf, V5, "lamp") as lamp:
        with pytest.raises(AccessDenied, match="iot:Receive"):
            bench.run(bench.edge.send("lamp", DeviceMessage("yours", b""), None))
        bench.run(bench.edge.send("lamp", DeviceMessage("mine", b"x"), None))
        assert heard_topic(lamp) == "mine"


def test_nobody_forges_an_answer_of_the_service(bench: Bench) -> None:
    with connected_peer(bench.live, bench.identity, V5, "lamp"), pytest.raises(InvalidRequest, match="reserved"):
        bench.run(bench.edge.send("lamp", DeviceMessage(f"{CREATE}/accepted", b"{}"), None))


def heard_topic(device: Peer) -> str:
    return device.expect(Publish).topic


def test_a_storing_time_is_the_same_at_every_look_until_the_clock_is_set() -> None:
    clock = SettableClock()
    times = StoringTimes(clock)
    message = Publish("kept", b"payload", QoS.AT_LEAST_ONCE, True)
    first = times.of(Retained(message, 2.5, 10.0))
    assert first == AT - timedelta(seconds=2.5)
    # A second later by the data plane's clock, and a millisecond more by the wall clock.
    clock.at = AT + timedelta(seconds=1.001)
    assert times.of(Retained(message, 3.5, 10.0)) == first
    clock.at = AT + timedelta(hours=1)
    assert times.of(Retained(message, 3.5, 10.0)) == AT + timedelta(hours=1, seconds=-3.5)
