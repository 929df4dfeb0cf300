"""Owns what is tried with each engine behind the relay: two gateways, one on each of two nodes of its cluster.

A check returns whether devices get what AWS IoT gives them. What a page says of an engine decides only how long a check
waits: long for what is there, shortly for what is not.
"""

import contextlib
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.support.brokers.broker import SCOPE
from tests.support.brokers.broker_engines import BrokerCluster
from tests.support.devices.device_gateway import LiveGateway, live_gateway
from tests.support.devices.device_identities import Identity, new_identity
from tests.support.devices.mqtt_peer import V5, Peer, connected_peer, peer
from tests.support.machine.loop_thread import GENEROUS

from thingmint.mqtt.codec.packets import Disconnect, Puback, Publish, QoS, Subscribe, Subscription, Will
from thingmint.mqtt.codec.properties import ConnectProperties, PublishProperties
from thingmint.mqtt.codec.reason_codes import ReasonCode
from thingmint.mqtt.relay.brokers.spec import Brokers, BrokerSpec
from thingmint.mqtt.relay.limits import RelayLimits
from thingmint.mqtt.relay.relay import RelayDataPlane

SHORT, _UNDECIDED = 1.5, 10.0
_ROUND = 0.3
_LASTING = {"clean_start": False, "properties": ConnectProperties(session_expiry_interval=600)}
_MESSAGES = 20


def data_plane(spec: BrokerSpec, limits: RelayLimits | None = None) -> RelayDataPlane:
    """Return the relay to a broker of the tests' account."""
    return RelayDataPlane(Brokers(SCOPE, spec), limits)


@dataclass
class Stage:
    """Two gateways before one cluster, and how long a check may wait."""

    gateways: tuple[LiveGateway, LiveGateway]
    planes: tuple[RelayDataPlane, RelayDataPlane]
    identity: Identity
    patience: float = GENEROUS

    @property
    def version(self) -> str:
        """The version of MQTT that the engine speaks."""
        abilities = self.planes[0].brokers[0].abilities
        assert abilities is not None
        return abilities.version_in_words

    @contextlib.contextmanager
    def device(self, gateway: int, client_id: str, **fields: object) -> Iterator[Peer]:
        """Connect a device through one of the gateways."""
        with connected_peer(self.gateways[gateway], self.identity, V5, client_id, **fields) as device:
            device.socket.settimeout(self.patience)
            yield device

    def heard(self, device: Peer, send: Callable[[], object], wanted: Callable[[Publish], bool]) -> bool:
        """Send again and again until the device hears a message that is wanted; acknowledge what it hears.

        A cluster may learn of a subscription at one node later than the device that made it.
        """
        deadline = time.monotonic() + self.patience
        while time.monotonic() < deadline:
            send()
            device.socket.settimeout(_ROUND)
            with contextlib.suppress(TimeoutError):
                while isinstance(message := device.next_packet(), Publish):
                    if message.qos:
                        device.send(Puback(message.packet_id))
                    if wanted(message):
                        return True
        return False


class _Payloads(list[bytes]):
    """What a device has heard."""

    def keep(self, message: Publish) -> bool:
        """Keep the payload and return True."""
        self.append(message.payload)
        return True


def _topic() -> str:
    return f"t/{uuid.uuid4().hex[:8]}"


def _live(stage: Stage) -> bool:
    topic = _topic()
    with stage.device(0, "hears") as hears, stage.device(1, "speaks") as speaks:
        hears.subscribe(f"{topic}/+")
        return stage.heard(
            hears,
            lambda: speaks.publish(f"{topic}/there", b"payload"),
            lambda message: (message.payload, message.qos, message.retain) == (b"payload", QoS.AT_LEAST_ONCE, False),
        )


def _in_order(stage: Stage) -> bool:
    topic, sent = _topic(), [b"%d" % number for number in range(_MESSAGES)]
    with stage.device(0, "hears") as hears, stage.device(1, "speaks") as speaks:
        hears.subscribe(topic)
        assert stage.heard(hears, lambda: speaks.publish(topic, b"begin"), lambda message: True)
        for each in sent:
            speaks.publish(topic, each)
        heard: list[bytes] = []
        hears.socket.settimeout(stage.patience)
        while len(heard) < _MESSAGES:
            message = hears.expect(Publish)
            hears.send(Puback(message.packet_id))
            if message.payload != b"begin":
                heard.append(message.payload)
        return heard == sent


def _large(stage: Stage) -> bool:
    topic, payload = _topic(), bytes(range(256)) * 480
    with stage.device(0, "hears") as hears, stage.device(1, "speaks") as speaks:
        hears.subscribe(topic)
        return stage.heard(hears, lambda: speaks.publish(topic, payload), lambda message: message.payload == payload)


def _properties(stage: Stage) -> bool:
    said = PublishProperties(
        response_topic="answer/here", correlation_data=b"17", user_properties=(("a", "1"),), content_type="text/plain"
    )
    topic = _topic()
    with stage.device(0, "hears") as hears, stage.device(1, "speaks") as speaks:
        hears.subscribe(topic)
        return stage.heard(
            hears, lambda: speaks.publish(topic, b"x", properties=said), lambda message: message.properties == said
        )


def _unusual_topic(stage: Stage) -> bool:
    topic = f"{_topic()}/full.stop and space"
    with stage.device(0, "hears") as hears, stage.device(1, "speaks") as speaks:
        (code,) = hears.subscribe(topic)
        if code.is_failure:
            assert code is ReasonCode.TOPIC_FILTER_INVALID
            assert speaks.publish(topic, b"x") is ReasonCode.TOPIC_NAME_INVALID
            return False
        return stage.heard(hears, lambda: speaks.publish(topic, b"x"), lambda message: message.topic == topic)


def _session(stage: Stage) -> bool:
    topic, client_id = _topic(), f"sleeper-{uuid.uuid4().hex[:8]}"
    with stage.device(0, client_id, **_LASTING) as device:
        device.subscribe(topic)
        with stage.device(1, "speaks") as speaks:
            assert stage.heard(device, lambda: speaks.publish(topic, b"begin"), lambda message: True)
        device.send(Disconnect())
        assert device.is_closed()
    with stage.device(1, "speaks") as speaks:
        assert not speaks.publish(topic, b"meanwhile").is_failure
    return _is_resumed(stage, client_id, b"meanwhile")


def _is_resumed(stage: Stage, client_id: str, payload: bytes) -> bool:
    """Return whether a client finds its session on the other node, with the message in it; end the session."""
    with reconnected(stage, client_id) as (connack, device):
        if not connack:
            return False
        found = stage.heard(device, lambda: None, lambda message: message.payload == payload)
        device.send(Disconnect())
    with stage.device(1, client_id):
        return found


@contextlib.contextmanager
def reconnected(stage: Stage, client_id: str) -> Iterator[tuple[bool, Peer]]:
    """Connect through the second gateway; yield whether a session was there, and the device."""
    with peer(stage.gateways[1], stage.identity, V5) as device:
        connack = device.connect(client_id, **_LASTING)
        yield connack.session_present, device


def _begun_anew(stage: Stage) -> bool:
    """A session that begins anew and outlives its connection has none of the earlier one's subscriptions."""
    earlier, topic, client_id = _topic(), _topic(), f"anew-{uuid.uuid4().hex[:8]}"
    anew = {"clean_start": True, "properties": ConnectProperties(session_expiry_interval=600)}
    with stage.device(0, client_id, **_LASTING) as device:
        device.subscribe(earlier)
    with stage.device(0, client_id, **anew) as device, stage.device(1, "speaks") as speaks:
        device.subscribe(topic)
        payloads = _Payloads()

        def send() -> None:
            speaks.publish(earlier, b"earlier")
            speaks.publish(topic, b"now")

        heard = stage.heard(device, send, lambda message: payloads.keep(message) and message.topic == topic)
        device.send(Disconnect())
    with reconnected(stage, client_id) as (is_present, device):
        device.send(Disconnect())
    with stage.device(1, client_id):
        return heard and is_present and b"earlier" not in payloads


def _take_over(stage: Stage) -> bool:
    client_id = f"one-{uuid.uuid4().hex[:8]}"
    with stage.device(0, client_id) as earlier:
        # Engines that compare clocks of nodes keep the older one of two connections at the same moment.
        time.sleep(_ROUND)
        with stage.device(1, client_id) as later:
            packet = earlier.next_packet()
            assert packet is None or isinstance(packet, Disconnect), packet
            return later.is_served()


def _take_over_said(stage: Stage) -> bool:
    client_id = f"one-{uuid.uuid4().hex[:8]}"
    with stage.device(0, client_id) as earlier:
        time.sleep(_ROUND)
        with stage.device(1, client_id):
            packet = earlier.next_packet()
            return isinstance(packet, Disconnect) and packet.reason_code is ReasonCode.SESSION_TAKEN_OVER


def _retained(stage: Stage) -> bool:
    topic = _topic()
    with stage.device(0, "speaks") as speaks, stage.device(1, "hears") as hears:
        assert not speaks.publish(topic, b"on", retain=True).is_failure

        def subscribe() -> None:
            hears.send(_subscribe_packet(hears, topic))

        found = _hears_retained(stage, hears, subscribe)
        speaks.publish(topic, b"", retain=True)
        return found


def _hears_retained(stage: Stage, hears: Peer, subscribe: Callable[[], None]) -> bool:
    deadline = time.monotonic() + stage.patience
    while time.monotonic() < deadline:
        subscribe()
        hears.socket.settimeout(_ROUND)
        with contextlib.suppress(TimeoutError):
            while (packet := hears.next_packet()) is not None:
                if isinstance(packet, Publish) and packet.retain and packet.payload == b"on":
                    hears.send(Puback(packet.packet_id))
                    return True
    return False


def _subscribe_packet(device: Peer, topic: str) -> Subscribe:
    return Subscribe(device.new_id(), (Subscription(topic, QoS.AT_LEAST_ONCE),))


def _read_retained(stage: Stage) -> bool:
    topic = _topic()
    with stage.device(0, "speaks") as speaks:
        assert not speaks.publish(topic, b"on", retain=True).is_failure
        deadline, found = time.monotonic() + stage.patience, None
        while found is None and time.monotonic() < deadline:
            found = stage.gateways[1].thread.run(stage.planes[1].retained(SCOPE, topic))
        speaks.publish(topic, b"", retain=True)
    return found is not None and found.message.payload == b"on"


def _will(stage: Stage) -> bool:
    topic = _topic()
    with stage.device(1, "heir") as heir:
        heir.subscribe(topic)

        def die() -> None:
            with stage.device(0, "mortal", will=Will(topic, b"gone", QoS.AT_LEAST_ONCE)):
                pass

        return stage.heard(heir, die, lambda message: message.payload == b"gone")


def _no_will(stage: Stage) -> bool:
    """A device that says goodbye leaves no will; the next one's is heard, so the first would have been."""
    topic = _topic()
    with stage.device(1, "heir") as heir:
        heir.subscribe(topic)
        payloads = _Payloads()

        def leave() -> None:
            with stage.device(0, "polite", will=Will(topic, b"never", QoS.AT_LEAST_ONCE)) as polite:
                polite.send(Disconnect())
                assert polite.is_closed()
            with stage.device(0, "mortal", will=Will(topic, b"gone", QoS.AT_LEAST_ONCE)):
                pass

        heard = stage.heard(heir, leave, lambda message: payloads.keep(message) and message.payload == b"gone")
        return heard and b"never" not in payloads


def _shared(stage: Stage) -> bool:
    topic = _topic()
    with (
        stage.device(0, "first") as first,
        stage.device(1, "second") as second,
        stage.device(1, "speaks") as speaks,
    ):
        for each in (first, second):
            (code,) = each.subscribe(f"$share/group/{topic}")
            if code.is_failure:
                assert code is ReasonCode.SHARED_SUBSCRIPTIONS_NOT_SUPPORTED
                return False
        for number in range(_MESSAGES):
            speaks.publish(topic, b"%d" % number)
        heard = [*_payloads(first), *_payloads(second)]
        return sorted(heard) == sorted(b"%d" % number for number in range(_MESSAGES))


def _payloads(device: Peer) -> Iterator[bytes]:
    device.socket.settimeout(_ROUND)
    with contextlib.suppress(TimeoutError):
        while isinstance(message := device.next_packet(), Publish):
            device.send(Puback(message.packet_id))
            yield message.payload


CHECKS: Mapping[str, Callable[[Stage], bool]] = {
    "live messages of QoS 1 between nodes": _live,
    "messages of one device stay in order": _in_order,
    "messages of 120 KB": _large,
    "properties of MQTT 5": _properties,
    "topics with full stops or spaces": _unusual_topic,
    "session with a stored message, resumed on another node": _session,
    "session begun anew that outlives its connection": _begun_anew,
    "take-over by a connection on another node": _take_over,
    "the engine says why (0x8E)": _take_over_said,
    "retained message for a later subscriber on another node": _retained,
    "GetRetainedMessage through another node": _read_retained,
    "will of a device that is lost, heard on another node": _will,
    "no will of a device that says goodbye": _no_will,
    "shared subscriptions across nodes": _shared,
}


@contextlib.contextmanager
def stage_of(cluster: BrokerCluster, directory: Path) -> Iterator[Stage]:
    """Run two gateways, each on another node of the cluster if there is one."""
    planes = (data_plane(cluster.spec_of(0)), data_plane(cluster.spec_of(len(cluster.addresses) - 1)))
    identity = new_identity()
    with contextlib.ExitStack() as stack:
        gateways = []
        for number, plane in enumerate(planes):
            (directory / f"gateway-{number}").mkdir()
            live = stack.enter_context(live_gateway(directory / f"gateway-{number}", data_plane=plane))
            live.register(identity)
            gateways.append(live)
        yield Stage((gateways[0], gateways[1]), planes, identity)


def tried(stage: Stage, said: Mapping[str, bool]) -> dict[str, bool]:
    """Return what each check has found, given what the page says."""
    found = {}
    for name, check in CHECKS.items():
        stage.patience = _UNDECIDED if name not in said else GENEROUS if said[name] else SHORT
        try:
            found[name] = check(stage)
        except TimeoutError:
            found[name] = False
    return found


def offered(stage: Stage) -> Sequence[bool | None]:
    """Return what CONNACK tells a device of MQTT 5: retained messages, shared subscriptions."""
    with peer(stage.gateways[0], stage.identity, V5) as device:
        properties = device.connect("asks").properties
    return properties.retain_available, properties.shared_subscription_available
