"""With budgets that are too small, memory is charged for what is there, and each loss is counted."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from tests.support.brokers.broker import Device, Losses, charged_bytes, has_no_subscriptions, reachable_bytes
from tests.support.machine.soak import examples

from thingmint.mqtt.broker.broker import LocalBroker
from thingmint.mqtt.codec.packets import Connect, ProtocolVersion, Publish, QoS, Subscription, Will
from thingmint.mqtt.codec.properties import ConnectProperties
from thingmint.mqtt.codec.reason_codes import PacketRefused, ReasonCode
from thingmint.mqtt.counters import Counters, Loss
from thingmint.mqtt.data_plane import Delivery
from thingmint.mqtt.queues.budgets import budgets_of
from thingmint.mqtt.queues.limits import BrokerLimits

LIMITS = BrokerLimits(
    queued_messages=6,
    queued_bytes=12_000,
    unsent_qos_0_bytes=4_000,
    retained_messages=3,
    queued_bytes_in_all=20_000,
    retained_bytes_in_all=8_000,
    offline_sessions=3,
    stuck_seconds=5,
    live_wait_seconds=3,
)
ACCOUNTS = st.integers(0, 1)
NAMES = st.sampled_from(["ada", "bob", "eve"])
TOPICS = st.sampled_from(["a", "b"])
FILTERS = st.sampled_from(["a", "b", "+", "$share/g/a", "$share/g/+"])
SIZES = st.sampled_from([0, 100, 3_000, 9_000])
LOST = frozenset(loss for loss in Loss if loss.family in ("dropped", "sessions_ended"))


class SmallRooms(RuleBasedStateMachine):
    """Two accounts with three clients each, in budgets for a few messages."""

    def __init__(self) -> None:
        super().__init__()
        self.losses = Losses()
        budgets = budgets_of(LIMITS)
        self.budgets = budgets
        self.brokers = [LocalBroker(LIMITS, budgets, Counters(self.losses)) for _ in range(2)]
        self.now = 0.0
        self.devices: dict[tuple[int, str], Device] = {}
        self.number = 0

    @rule(account=ACCOUNTS, name=NAMES, clean=st.booleans(), will=st.none() | SIZES, deaf=st.booleans())
    def connect(self, account: int, name: str, clean: bool, will: int | None, deaf: bool) -> None:
        key = account, name
        device = Device(name)
        device.outcome = Delivery.FULL if deaf else Delivery.WRITTEN
        sent = None if will is None else Will("a", self.payload(will), QoS.AT_LEAST_ONCE, bool(will % 200))
        connect = Connect(
            ProtocolVersion.MQTT_5, name, clean, will=sent, properties=ConnectProperties(session_expiry_interval=20)
        )
        self.collect()
        refusals = self.losses.of(Loss.WILL_REFUSED)
        try:
            self.brokers[account].open(device, connect, self.now)
        except PacketRefused:
            assert self.losses.of(Loss.WILL_REFUSED) == refusals + 1
            return
        self.devices[key] = device
        self.brokers[account].resume(device, self.now)

    @precondition(lambda self: self.devices)
    @rule(data=st.data(), clean=st.booleans())
    def leave(self, data: st.DataObject, clean: bool) -> None:
        key = self.connected(data)
        self.collect()
        self.brokers[key[0]].close(self.devices.pop(key), self.now, clean=clean)

    @precondition(lambda self: self.devices)
    @rule(data=st.data(), topic_filter=FILTERS, qos=st.sampled_from(list(QoS)[:2]))
    def subscribe(self, data: st.DataObject, topic_filter: str, qos: QoS) -> None:
        key = self.connected(data)
        device = self.devices[key]
        self.brokers[key[0]].subscribe(device, [Subscription(topic_filter, qos)], self.now)
        self.brokers[key[0]].resume(device, self.now)

    @precondition(lambda self: self.devices)
    @rule(data=st.data(), topic_filter=FILTERS)
    def unsubscribe(self, data: st.DataObject, topic_filter: str) -> None:
        key = self.connected(data)
        self.brokers[key[0]].unsubscribe(self.devices[key], [topic_filter])

    @rule(account=ACCOUNTS, topic=TOPICS, size=SIZES, qos=st.sampled_from(list(QoS)[:2]), retain=st.booleans())
    def publish(self, account: int, topic: str, size: int, qos: QoS, retain: bool) -> None:
        broker = self.brokers[account]
        before = self.losses.counts.copy()
        waiting = self.held(broker)
        code = broker.publish(None, Publish(topic, self.payload(size), qos, retain), self.now)
        new = self.losses.counts - before
        if code is ReasonCode.QUOTA_EXCEEDED:
            refused = (Loss.PUBLISH_WITHOUT_ROOM, Loss.RETAINED_WITHOUT_ROOM, Loss.PUBLISH_QUEUES_FULL)
            assert sum(new[loss.value] for loss in refused) == 1
            return
        assert code is ReasonCode.SUCCESS
        # Nothing that waited has gone without being counted, neither here nor in the other account.
        gone = sum(1 for each in waiting if each not in self.held(broker))
        assert gone <= sum(new[loss.value] for loss in LOST)

    @precondition(lambda self: self.devices)
    @rule(data=st.data(), count=st.integers(1, 5))
    def acknowledge(self, data: st.DataObject, count: int) -> None:
        key = self.connected(data)
        device = self.devices[key]
        in_flight = list(self.brokers[key[0]]._sessions[key[1]].outbox._in_flight)
        for packet_id in in_flight[:count]:
            self.brokers[key[0]].acknowledge(device, packet_id, self.now)

    @precondition(lambda self: self.devices)
    @rule(data=st.data())
    def read(self, data: st.DataObject) -> None:
        key = self.connected(data)
        self.devices[key].outcome = Delivery.WRITTEN
        self.brokers[key[0]].resume(self.devices[key], self.now)

    @rule(seconds=st.sampled_from([1, 4, 10]))
    def wait(self, seconds: int) -> None:
        self.now += seconds
        for broker in self.brokers:
            assert broker.advance(self.now)
        self.collect()

    @invariant()
    def memory_is_charged_for_what_is_there(self) -> None:
        charged = [charged_bytes(broker) for broker in self.brokers]
        assert charged == [reachable_bytes(broker) for broker in self.brokers]
        for room, which in ((self.budgets.queued_bytes, 0), (self.budgets.retained_bytes, 1)):
            assert room.total - room.left == sum(each[which] for each in charged)
            assert all(each[which] >= 0 for each in charged)
            assert room.left >= 0
        assert self.budgets.offline_sessions.left >= 0

    @invariant()
    def no_client_exceeds_its_own_bounds(self) -> None:
        for broker in self.brokers:
            for session in broker._sessions.values():
                assert len(session.outbox._waiting or ()) <= LIMITS.queued_messages + LIMITS.in_flight
                assert session.outbox.size <= LIMITS.queued_bytes + 9_000 + 1_000

    @invariant()
    def counts_are_those_of_what_is_there(self) -> None:
        for broker in self.brokers:
            sessions = broker._sessions.values()
            assert broker._flow.memory.messages == sum(len(session.outbox) for session in sessions)
            assert broker._subscribing.count == sum(len(session.subscriptions) for session in sessions)

    def teardown(self) -> None:
        for (account, _), device in self.devices.items():
            self.brokers[account].close(device, self.now, clean=True)
        for broker in self.brokers:
            for topic in ("a", "b"):
                broker.publish(None, Publish(topic, b"", retain=True), self.now)
            broker.advance(self.now + 100)
            broker.advance(self.now + 100)
            for topic in ("a", "b"):
                broker.publish(None, Publish(topic, b"", retain=True), self.now)
            assert charged_bytes(broker) == (0, 0)
            assert has_no_subscriptions(broker._flow.router)
            assert broker.is_empty
            assert not len(broker._flow._by_size)
            broker.leave_budgets()

    def collect(self) -> None:
        """Forget connections that the broker has ended."""
        for key, device in list(self.devices.items()):
            if device.ended_with is not None:
                self.brokers[key[0]].close(device, self.now, clean=False)
                del self.devices[key]

    def held(self, broker: LocalBroker) -> list[int]:
        return [
            id(outgoing)
            for session in broker._sessions.values()
            for outgoing in (
                *(session.outbox._unsent or ()),
                *(session.outbox._waiting or ()),
                *session.outbox._in_flight.values(),
            )
        ]

    def connected(self, data: st.DataObject) -> tuple[int, str]:
        return data.draw(st.sampled_from(sorted(self.devices)))

    def payload(self, size: int) -> bytes:
        self.number += 1
        return b"%d" % self.number + b"x" * size if size else b""


TestSmallRooms = SmallRooms.TestCase
TestSmallRooms.settings = settings(max_examples=examples(15, 100), stateful_step_count=40)
