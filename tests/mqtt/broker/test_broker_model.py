"""The built-in broker does what a naive model does: lists, looked through from end to end for every message."""

from dataclasses import dataclass, field

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from tests.support.brokers.broker import Bench, Device, charged_bytes, reachable_bytes
from tests.support.machine.soak import examples

from thingmint.core.topics.names import matches
from thingmint.mqtt.codec.packets import ProtocolVersion, Publish, QoS, Subscription, Will
from thingmint.mqtt.codec.properties import WillProperties
from thingmint.mqtt.queues.limits import BrokerLimits

CLIENTS = ("ada", "bob")
CLIENT_IDS = st.sampled_from(CLIENTS)
TOPICS = st.sampled_from(["a", "a/b"])
FILTERS = st.sampled_from(["a", "a/b", "a/+", "a/#", "#", "+/b", "+"])
QOS = st.sampled_from([QoS.AT_MOST_ONCE, QoS.AT_LEAST_ONCE])
EXPIRIES = st.sampled_from([20, 5, 0])
DELAYS = st.sampled_from([0, 4, 10])
Seen = tuple[bytes, QoS, bool, bool]


@dataclass
class ModelSession:
    """What the model knows of a client; ``unacknowledged`` is what it must get (again) on its next connection."""

    expiry: int
    subscriptions: dict[str, Subscription] = field(default_factory=dict)
    connected: bool = True
    will: tuple[str, bytes, int] | None = None
    left_at: float = 0
    unacknowledged: list[tuple[Seen, bool]] = field(default_factory=list)
    seen: list[Seen] = field(default_factory=list)

    def give(self, payload: bytes, qos: QoS, retain: bool) -> None:
        message = (payload, qos, retain, False)
        if self.connected:
            self.seen.append(message)
        if qos:
            self.unacknowledged.append((message, self.connected))

    def come_back(self) -> None:
        self.connected, self.seen = True, []
        self.seen = [(payload, qos, retain, sent) for (payload, qos, retain, _), sent in self.unacknowledged]
        self.unacknowledged = [(message, True) for message, _ in self.unacknowledged]


class Model:
    """Sessions in the order in which their clients left last, and retained messages."""

    def __init__(self) -> None:
        self.sessions: dict[str, ModelSession] = {}
        self.retained: dict[str, tuple[bytes, QoS]] = {}

    def connect(
        self, client_id: str, clean: bool, expiry: int, will: tuple[str, bytes, int] | None, now: float
    ) -> bool:
        if client_id in self.sessions and self.sessions[client_id].connected:
            self.leave(client_id, False, now)
        if clean and client_id in self.sessions:
            self.end(client_id)
        present = client_id in self.sessions
        session = self.sessions.setdefault(client_id, ModelSession(expiry))
        session.expiry, session.will = expiry, will
        session.come_back()
        return present

    def leave(self, client_id: str, clean: bool, now: float) -> None:
        session = self.sessions.pop(client_id)
        self.sessions[client_id] = session
        session.connected, session.left_at = False, now
        if clean:
            session.will = None
        self.pass_time(now)

    def end(self, client_id: str) -> None:
        will = self.sessions.pop(client_id).will
        if will is not None:
            self.publish(client_id, will[0], will[1], QoS.AT_LEAST_ONCE, False)

    def pass_time(self, now: float) -> None:
        while due := [
            (self.due_at(session), number, client_id)
            for number, (client_id, session) in enumerate(self.sessions.items())
            if not session.connected and self.due_at(session) <= now
        ]:
            _, _, client_id = min(due)
            session = self.sessions[client_id]
            if now >= session.left_at + session.expiry:
                self.end(client_id)
            elif session.will is not None:
                (topic, payload, _), session.will = session.will, None
                self.publish(client_id, topic, payload, QoS.AT_LEAST_ONCE, False)

    @staticmethod
    def due_at(session: ModelSession) -> float:
        wait = session.expiry if session.will is None else min(session.will[2], session.expiry)
        return session.left_at + wait

    def subscribe(self, client_id: str, subscription: Subscription) -> None:
        session = self.sessions[client_id]
        session.subscriptions[subscription.topic_filter] = subscription
        if subscription.topic_filter in self.retained:
            payload, qos = self.retained[subscription.topic_filter]
            session.give(payload, min(qos, subscription.qos), True)

    def publish(self, client_id: str, topic: str, payload: bytes, qos: QoS, retain: bool) -> None:
        if retain and payload:
            self.retained[topic] = payload, qos
        elif retain:
            self.retained.pop(topic, None)
        for receiver, session in self.sessions.items():
            found = [
                subscription
                for pattern, subscription in session.subscriptions.items()
                if matches(pattern, topic) and not (subscription.no_local and receiver == client_id)
            ]
            if found:
                granted = max(subscription.qos for subscription in found)
                as_published = any(subscription.retain_as_published for subscription in found)
                session.give(payload, min(qos, granted), retain and as_published)


class BrokerAgainstModel(RuleBasedStateMachine):
    """Runs both side by side; every delivery of every device is compared, in order."""

    def __init__(self) -> None:
        super().__init__()
        self.bench = Bench(BrokerLimits(replayed_per_second=10_000, in_flight=10_000))
        self.model = Model()
        self.devices: dict[str, Device] = {}
        self.published = 0

    @initialize(qos=st.tuples(QOS, QOS), no_local=st.booleans())
    def everyone_is_there(self, qos: tuple[QoS, QoS], no_local: bool) -> None:
        for client_id, granted in zip(CLIENTS, qos, strict=True):
            self.connect(client_id, True, 20, ("a", 4))
            self.subscribe_one(client_id, Subscription("#", granted, no_local))

    @rule(
        client_id=CLIENT_IDS,
        clean=st.booleans(),
        expiry=EXPIRIES,
        will=st.none() | st.tuples(TOPICS, DELAYS),
    )
    def connect(self, client_id: str, clean: bool, expiry: int, will: tuple[str, int] | None) -> None:
        device = Device(client_id, ProtocolVersion.MQTT_5)
        device.receive_window = 10_000
        before = self.devices.get(client_id)
        self.devices[client_id] = device
        drawn = None if will is None else (will[0], self.payload(), will[1])
        present = self.model.connect(client_id, clean, expiry, drawn, self.bench.now)
        sent = drawn and Will(
            drawn[0], drawn[1], QoS.AT_LEAST_ONCE, properties=WillProperties(will_delay_interval=drawn[2])
        )
        opened = self.bench.open(device, clean=clean, expiry=expiry, will=sent)
        assert (opened.session_present, opened.session_expiry_interval) == (present, expiry)
        if before is not None:
            self.bench.leave(before, clean=False)
        self.bench.resume(device)

    @precondition(lambda self: self.devices)
    @rule(data=st.data(), clean=st.booleans())
    def leave(self, data: st.DataObject, clean: bool) -> None:
        client_id = self.connected(data)
        self.model.leave(client_id, clean, self.bench.now)
        # At this moment wills of others may be due as well: the broker looks after them when time is told to it.
        self.bench.leave(self.devices.pop(client_id), clean=clean)
        self.bench.wait(0)

    @precondition(lambda self: self.devices)
    @rule(data=st.data(), topic_filter=FILTERS, qos=QOS, no_local=st.booleans(), as_published=st.booleans())
    def subscribe(self, data: st.DataObject, topic_filter: str, qos: QoS, no_local: bool, as_published: bool) -> None:
        self.subscribe_one(self.connected(data), Subscription(topic_filter, qos, no_local, as_published))

    def subscribe_one(self, client_id: str, subscription: Subscription) -> None:
        self.model.subscribe(client_id, subscription)
        code = self.bench.subscribe_as(self.devices[client_id], subscription)
        assert code.value == subscription.qos.value

    @precondition(lambda self: self.devices)
    @rule(data=st.data(), topic_filter=FILTERS)
    def unsubscribe(self, data: st.DataObject, topic_filter: str) -> None:
        client_id = self.connected(data)
        self.model.sessions[client_id].subscriptions.pop(topic_filter, None)
        self.bench.broker.unsubscribe(self.devices[client_id], [topic_filter])

    @precondition(lambda self: self.devices)
    @rule(data=st.data(), topic=TOPICS, qos=QOS, retain=st.booleans(), empty=st.booleans())
    def publish(self, data: st.DataObject, topic: str, qos: QoS, retain: bool, empty: bool) -> None:
        client_id = self.connected(data)
        payload = b"" if empty and retain else self.payload()
        self.model.publish(client_id, topic, payload, qos, retain)
        assert not self.bench.send(self.devices[client_id], Publish(topic, payload, qos, retain)).is_failure

    @precondition(lambda self: self.devices)
    @rule(data=st.data(), count=st.integers(1, 3))
    def acknowledge(self, data: st.DataObject, count: int) -> None:
        client_id = self.connected(data)
        session, device = self.model.sessions[client_id], self.devices[client_id]
        under_way = [message for message in device.delivered if message.qos][-len(session.unacknowledged) :]
        for message in under_way[:count] if session.unacknowledged else []:
            session.unacknowledged.pop(0)
            self.bench.broker.acknowledge(device, message.packet_id, self.bench.now)

    @rule(seconds=st.sampled_from([1, 4, 10]))
    def wait(self, seconds: int) -> None:
        self.bench.wait(seconds)
        self.model.pass_time(self.bench.now)

    @invariant()
    def devices_have_seen_what_the_model_says(self) -> None:
        for client_id, device in self.devices.items():
            seen = [(message.payload, message.qos, message.retain, message.dup) for message in device.delivered]
            assert seen == self.model.sessions[client_id].seen

    @invariant()
    def memory_is_charged_for_what_is_there(self) -> None:
        assert charged_bytes(self.bench.broker) == reachable_bytes(self.bench.broker)

    @invariant()
    def sessions_are_those_of_the_model(self) -> None:
        assert set(self.bench.broker._sessions) == set(self.model.sessions)

    def connected(self, data: st.DataObject) -> str:
        return data.draw(st.sampled_from(sorted(self.devices)))

    def payload(self) -> bytes:
        self.published += 1
        return b"%d" % self.published


TestBrokerAgainstModel = BrokerAgainstModel.TestCase
TestBrokerAgainstModel.settings = settings(max_examples=examples(15, 100), stateful_step_count=30)
