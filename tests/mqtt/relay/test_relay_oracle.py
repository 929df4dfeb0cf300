"""One scenario, played through the built-in broker and through the relay to Mosquitto: who sees what, and where not the
same. Every difference is listed here, with its row in docs/divergences.md."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeAlias

import pytest
from tests.support.brokers.broker import SCOPE
from tests.support.brokers.mosquitto import mosquitto
from tests.support.devices.device_gateway import LiveGateway, live_gateway
from tests.support.devices.device_identities import Identity
from tests.support.devices.mqtt_peer import V3, V5, Peer, connected_peer, peer

from thingmint.mqtt.codec.packets import (
    Disconnect,
    ProtocolVersion,
    Puback,
    Publish,
    QoS,
    RetainHandling,
    ServerPacket,
    Suback,
    Subscribe,
    Subscription,
    Unsuback,
    Unsubscribe,
    Will,
)
from thingmint.mqtt.codec.properties import ConnectProperties
from thingmint.mqtt.data_plane import DataPlane
from thingmint.mqtt.relay.brokers.spec import one_broker
from thingmint.mqtt.relay.relay import RelayDataPlane

Seen: TypeAlias = list[tuple[str, bytes, int, bool]]
LASTING = ConnectProperties(session_expiry_interval=600)


class Stage:
    """A gateway and a device of each name, all with one certificate that may do everything."""

    def __init__(self, live: LiveGateway, identity: Identity, version: ProtocolVersion) -> None:
        self.live, self.identity, self.version = live, identity, version

    def device(self, client_id: str, **fields: object) -> contextlib.AbstractContextManager[Peer]:
        return connected_peer(self.live, self.identity, self.version, client_id, **fields)


def seen(device: Peer) -> Seen:
    """Return what the device has been sent, up to a message that it sends itself."""
    marker = Publish("marker/own", b"", QoS.AT_LEAST_ONCE, packet_id=device.new_id())
    device.send(Subscribe(device.new_id(), (Subscription(marker.topic, QoS.AT_LEAST_ONCE),)), marker)
    messages: Seen = []
    ends: set[type[ServerPacket]] = set()
    while ends != {Publish, Puback}:
        packet = device.next_packet()
        assert packet is not None
        if isinstance(packet, Publish) and packet.qos:
            device.send(Puback(packet.packet_id))
        if isinstance(packet, Publish) and packet.topic != marker.topic:
            messages.append((packet.topic, packet.payload, int(packet.qos), packet.retain))
        elif not isinstance(packet, Suback):
            ends.add(type(packet))
    return messages


def unsubscribe(device: Peer, *topic_filters: str) -> tuple[object, ...]:
    device.send(Unsubscribe(device.new_id(), topic_filters))
    return device.expect(Unsuback).reason_codes


def qos_is_the_lower_of_both(stage: Stage) -> object:
    with stage.device("hears") as hears, stage.device("speaks") as speaks:
        hears.subscribe("qos/zero", qos=QoS.AT_MOST_ONCE)
        hears.subscribe("qos/one", qos=QoS.AT_LEAST_ONCE)
        for topic in ("qos/zero", "qos/one"):
            speaks.send(Publish(topic, b"0"))
            speaks.publish(topic, b"1")
        return seen(hears)


def filters_match(stage: Stage) -> object:
    observed = {}
    topics = ("m/a", "m/a/b", "m/a/b/c", "m//b", "m/a/", "other")
    for number, topic_filter in enumerate(("m/a", "m/+", "m/+/b", "m/#", "#", "+/+", "m/a/+", "/m")):
        with stage.device(f"hears-{number}") as hears, stage.device("speaks") as speaks:
            hears.subscribe(topic_filter)
            for topic in topics:
                speaks.publish(topic)
            observed[topic_filter] = [topic for topic, *_ in seen(hears)]
    return observed


def parent_of_a_wildcard(stage: Stage) -> object:
    with stage.device("hears") as hears, stage.device("speaks") as speaks:
        hears.subscribe("parent/#")
        speaks.publish("parent")
        return seen(hears)


def codes_of_filters(stage: Stage) -> object:
    with stage.device("asks") as asks:
        return asks.subscribe("a", "b/+", "c/#", "d#", "$share/g/e", "$SYS/#", "f/+g")


def codes_of_unsubscribe(stage: Stage) -> object:
    with stage.device("asks") as asks, stage.device("speaks") as speaks:
        asks.subscribe("gone/soon")
        codes = unsubscribe(asks, "gone/soon", "never/was")
        speaks.publish("gone/soon")
        return codes, seen(asks)


def retained_messages(stage: Stage) -> object:
    observed = []
    with stage.device("speaks") as speaks, stage.device("hears") as hears:
        hears.subscribe("retained/one")
        speaks.publish("retained/one", b"first", retain=True)
        speaks.publish("retained/one", b"second", retain=True)
        observed.append(seen(hears))
        with stage.device("late") as late:
            late.subscribe("retained/one", qos=QoS.AT_MOST_ONCE)
            observed.append(seen(late))
        speaks.publish("retained/one", b"", retain=True)
        with stage.device("later") as later:
            later.subscribe("retained/one")
            observed.append(seen(later))
    return observed


def retained_messages_and_wildcards(stage: Stage) -> object:
    with stage.device("speaks") as speaks, stage.device("late") as late:
        speaks.publish("kept/one", b"kept", retain=True)
        late.subscribe("kept/+")
        observed = seen(late)
        speaks.publish("kept/one", b"", retain=True)
        return observed


def overlapping_filters(stage: Stage) -> object:
    with stage.device("hears") as hears, stage.device("speaks") as speaks:
        hears.subscribe("over/lap", qos=QoS.AT_MOST_ONCE)
        hears.subscribe("over/+", qos=QoS.AT_LEAST_ONCE)
        speaks.publish("over/lap", b"1")
        return seen(hears)


def options_of_subscriptions(stage: Stage) -> object:
    if stage.version is V3:
        return None
    with stage.device("speaks") as speaks:
        speaks.publish("option/kept", b"old", retain=True)
        options = (
            Subscription("option/local", QoS.AT_LEAST_ONCE, no_local=True),
            Subscription(
                "option/kept", QoS.AT_LEAST_ONCE, retain_handling=RetainHandling.NEVER, retain_as_published=True
            ),
        )
        speaks.send(Subscribe(speaks.new_id(), options))
        codes = speaks.expect(Suback).reason_codes
        speaks.publish("option/local", b"own")
        speaks.publish("option/kept", b"", retain=True)
        return codes, seen(speaks)


def shared_subscription(stage: Stage) -> object:
    with stage.device("one") as one, stage.device("two") as two, stage.device("speaks") as speaks:
        for device in (one, two):
            device.subscribe("$share/group/job")
        for number in range(10):
            speaks.publish("job", b"%d" % number)
        return sorted(payload for device in (one, two) for _, payload, *_ in seen(device))


def lasting_session(stage: Stage) -> object:
    fields = {"clean_start": False, "properties": LASTING if stage.version is V5 else ConnectProperties()}
    observed: list[object] = []
    with stage.device("sleeper", **fields) as sleeper:
        sleeper.subscribe("sleep/#")
        sleeper.send(Disconnect())
        assert sleeper.is_closed()
    with stage.device("speaks") as speaks:
        for number in range(5):
            speaks.publish("sleep/on", b"%d" % number)
        speaks.send(Publish("sleep/on", b"at most once"))
        seen(speaks)
    with peer(stage.live, stage.identity, stage.version) as sleeper:
        observed.append(sleeper.connect("sleeper", **fields).session_present)
        observed.append([payload for _, payload, qos, _ in seen(sleeper) if qos])
        sleeper.send(Disconnect())
        assert sleeper.is_closed()
    with peer(stage.live, stage.identity, stage.version) as sleeper:
        observed.append(sleeper.connect("sleeper").session_present)
        observed.append(seen(sleeper))
    return observed


def wills(stage: Stage) -> object:
    with stage.device("heir") as heir:
        heir.subscribe("will/#")
        with stage.device("lost", will=Will("will/lost", b"lost", QoS.AT_LEAST_ONCE)):
            pass
        first = heir.expect(Publish)
        heir.send(Puback(first.packet_id))
        with stage.device("leaves", will=Will("will/leaves", b"leaves")) as leaves:
            leaves.send(Disconnect())
            assert leaves.is_closed()
        stage.live.wait_until(lambda: stage.live.gateway.connected_devices == 1)
        return (first.topic, first.payload, first.qos, first.retain), seen(heir)


def take_over(stage: Stage) -> object:
    with stage.device("twice") as earlier, stage.device("twice") as later:
        told = earlier.next_packet()
        return told.reason_code if isinstance(told, Disconnect) else told, seen(later)


def large_and_empty_payloads(stage: Stage) -> object:
    with stage.device("hears") as hears, stage.device("speaks") as speaks:
        hears.subscribe("size/of")
        for size in (0, 1, 100_000, 128 * 1024):
            speaks.publish("size/of", bytes(size))
        return [len(payload) for _, payload, *_ in seen(hears)]


SCENES: tuple[Callable[[Stage], object], ...] = (
    qos_is_the_lower_of_both,
    filters_match,
    parent_of_a_wildcard,
    codes_of_filters,
    codes_of_unsubscribe,
    retained_messages,
    retained_messages_and_wildcards,
    overlapping_filters,
    options_of_subscriptions,
    shared_subscription,
    lasting_session,
    wills,
    take_over,
    large_and_empty_payloads,
)
# What each data plane shows where they differ: the built-in broker follows AWS, Mosquitto the specification.
DIFFERENT: dict[str, Callable[[ProtocolVersion], tuple[object, object]]] = {
    "parent_of_a_wildcard": lambda version: ([], [("parent", b"", 1, False)]),
    "retained_messages_and_wildcards": lambda version: ([], [("kept/one", b"kept", 1, True)]),
    "overlapping_filters": lambda version: (
        [("over/lap", b"1", 1, False)],
        [("over/lap", b"1", 0, False), ("over/lap", b"1", 1, False)],
    ),
}


@contextlib.contextmanager
def stage_on(directory: Path, data_plane: DataPlane | None, version: ProtocolVersion) -> Iterator[Stage]:
    directory.mkdir()
    with live_gateway(directory, data_plane=data_plane) as live:
        yield Stage(live, live.register(), version)


@pytest.fixture(scope="module", params=[V3, V5], ids=["3.1.1", "5"])
def stages(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Stage, Stage]]:
    directory = tmp_path_factory.mktemp("oracle")
    with (
        mosquitto() as broker,
        stage_on(directory / "local", None, request.param) as local,
        stage_on(directory / "relay", RelayDataPlane(one_broker(broker.address, SCOPE)), request.param) as relayed,
    ):
        yield local, relayed


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.__name__)
def test_both_data_planes_show_the_same_but_for_what_is_listed(
    stages: tuple[Stage, Stage], scene: Callable[[Stage], object]
) -> None:
    local, relayed = (scene(stage) for stage in stages)
    if scene.__name__ in DIFFERENT:
        assert (local, relayed) == DIFFERENT[scene.__name__](stages[0].version)
    else:
        assert relayed == local
