"""Owns a device's connection that writes into a list, and a broker with a clock that tests turn by hand."""

import asyncio
from collections import Counter
from collections.abc import Callable

from thingmint.core.identifiers import AccountId, CertificateId, Region, Scope
from thingmint.mqtt.broker.broker import LocalBroker
from thingmint.mqtt.broker.data_plane import LocalDataPlane
from thingmint.mqtt.broker.due_wills import DueWills
from thingmint.mqtt.broker.router import TopicRouter
from thingmint.mqtt.codec.codec import encode
from thingmint.mqtt.codec.packets import Connect, ProtocolVersion, Publish, QoS, Subscription, Will
from thingmint.mqtt.codec.properties import ConnectProperties
from thingmint.mqtt.codec.reason_codes import ReasonCode
from thingmint.mqtt.codec.shared_publish import SharedPublish
from thingmint.mqtt.counters import Counters, Loss, NoObserver
from thingmint.mqtt.data_plane import Delivery, Opened
from thingmint.mqtt.queues.kept_message import ENTRY_BYTES
from thingmint.mqtt.queues.limits import BrokerLimits

AT_LEAST_ONCE = QoS.AT_LEAST_ONCE
SCOPE = Scope(AccountId("000000000000"), Region("us-east-1"))
OTHER = Scope(AccountId("222222222222"), Region("us-east-1"))


class AnyWill:
    """The right to publish every will."""

    async def allows(self, message: Publish) -> bool:
        """Allow it."""
        del message
        return True


class Device:
    """A connection: what was delivered, what is answered to the next delivery, and how it was ended."""

    def __init__(
        self, client_id: str, version: ProtocolVersion = ProtocolVersion.MQTT_5, *, scope: Scope = SCOPE
    ) -> None:
        self.client_id = client_id
        self.scope = scope
        self.principal_id = CertificateId("ab" * 32)
        self.is_over = False
        self.version = version
        self.receive_window = 100
        self.own_filters = 0
        self.delivered: list[Publish] = []
        self.outcome = Delivery.WRITTEN
        self.ended_with: ReasonCode | None = None
        self.will_right = AnyWill()
        self.may_receive: Callable[[str], bool] = lambda topic: True

    def deliver(self, message: Publish) -> Delivery:
        """Take the message if the test lets it."""
        if self.outcome is Delivery.WRITTEN:
            self.delivered.append(message)
        return self.outcome

    def deliver_shared(self, message: SharedPublish, packet_id: int) -> Delivery:
        """Take the message likewise; its bytes must be what its encoding is."""
        whole = message.message(packet_id)
        for version in ProtocolVersion:
            assert message.bytes_for(packet_id, is_5=version is ProtocolVersion.MQTT_5) == encode(whole, version)
        return self.deliver(whole)

    def disconnect(self, reason_code: ReasonCode) -> None:
        """Note how the connection ended."""
        assert self.ended_with is None
        self.ended_with = reason_code

    @property
    def payloads(self) -> list[bytes]:
        """What was delivered, in short."""
        return [message.payload for message in self.delivered]

    def take(self) -> list[Publish]:
        """Return what was delivered since the last time."""
        taken, self.delivered = self.delivered, []
        return taken


class Losses(NoObserver):
    """What was counted as lost, by the value of `Loss`, and the messages, by the value of `Traffic`."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.messages: Counter[str] = Counter()

    def mqtt_lost(self, family: str, reason: str, count: int) -> None:
        """Add to the count."""
        self.counts[f"{family}:{reason}"] += count

    def mqtt_messages(self, direction: str, count: int) -> None:
        """Add to the messages."""
        self.messages[direction] += count

    def of(self, loss: Loss) -> int:
        """Return how many of these there were."""
        return self.counts[loss.value]


def scopes_of(plane: LocalDataPlane) -> frozenset[Scope]:
    """Return the accounts that have a broker now."""
    return frozenset(plane._brokers)


def charged_bytes(broker: LocalBroker) -> tuple[int, int]:
    """Return what the broker is charged for messages that wait, and for those that are retained."""
    memory = broker._flow.memory
    return memory.queued.taken, memory.retained.taken


def reachable_bytes(broker: LocalBroker) -> tuple[int, int]:
    """Return the same as it is found by looking at everything: each message once, each place where it waits."""
    retained = list(broker._flow.retained._messages.values())
    held = []
    for session in broker._sessions.values():
        outbox = session.outbox
        queued = [*(outbox._unsent or ()), *(outbox._waiting or ()), *outbox._in_flight.values()]
        assert outbox.size == sum(outgoing.size for outgoing in queued)
        held += [outgoing.message for outgoing in queued]
        held += [] if session.will is None else [session.will]
    waiting = {id(message): message.size for message in held if not any(message is each for each in retained)}
    return ENTRY_BYTES * len(held) + sum(waiting.values()), sum(message.size for message in retained)


class Bench:
    """A broker, the time, and short names for what tests do with it."""

    def __init__(self, limits: BrokerLimits | None = None) -> None:
        self.losses = Losses()
        self.broker = LocalBroker(limits or BrokerLimits(), counters=Counters(self.losses))
        self.now = 1000.0

    def open(
        self,
        device: Device,
        *,
        clean: bool = True,
        expiry: int | None = None,
        will: Will | None = None,
    ) -> Opened:
        """Open a connection without sending what waits."""
        properties = ConnectProperties(session_expiry_interval=expiry)
        connect = Connect(device.version, device.client_id, clean, will=will, properties=properties)
        return self.broker.open(device, connect, self.now)

    def connect(
        self,
        client_id: str,
        *,
        version: ProtocolVersion = ProtocolVersion.MQTT_5,
        clean: bool = True,
        expiry: int | None = None,
        will: Will | None = None,
    ) -> Device:
        """Return a new connection that is ready to receive."""
        device = Device(client_id, version)
        self.open(device, clean=clean, expiry=expiry, will=will)
        self.resume(device)
        return device

    def resume(self, device: Device) -> None:
        """Send what waits."""
        self.broker.resume(device, self.now)

    def subscribe(self, device: Device, topic_filter: str, qos: QoS = AT_LEAST_ONCE) -> ReasonCode:
        """Subscribe to one filter and receive what waits then."""
        return self.subscribe_as(device, Subscription(topic_filter, qos))

    def subscribe_as(self, device: Device, subscription: Subscription) -> ReasonCode:
        """Subscribe with options and receive what waits then."""
        (code,) = self.broker.subscribe(device, [subscription], self.now)
        self.resume(device)
        return code

    def publish(
        self, device: Device, topic: str, payload: bytes = b"m", qos: QoS = AT_LEAST_ONCE, *, retain: bool = False
    ) -> ReasonCode:
        """Publish a message."""
        return self.send(device, Publish(topic, payload, qos, retain, packet_id=int(qos > 0)))

    def send(self, device: Device, message: Publish) -> ReasonCode:
        """Publish a message made elsewhere."""
        return self.broker.publish(device, message, self.now)

    def acknowledge(self, device: Device) -> None:
        """Acknowledge all that was delivered; it stays in ``delivered``."""
        for message in list(device.delivered):
            if message.qos:
                self.broker.acknowledge(device, message.packet_id, self.now)

    def leave(self, device: Device, *, clean: bool = True) -> None:
        """Close the connection."""
        self.broker.close(device, self.now, clean=clean)

    def wait(self, seconds: float) -> None:
        """Let time pass, and the broker do what is due."""
        self.now += seconds
        self.broker.advance(self.now)


def has_no_subscriptions(router: TopicRouter) -> bool:
    """Return whether the router keeps nothing."""
    return router._tree.is_empty and router._shared.is_empty and not router._groups


async def all_decided(wills: DueWills) -> None:
    """Wait until every due will has been decided."""
    while wills._worker is not None:
        await asyncio.wait({wills._worker})
