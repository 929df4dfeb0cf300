"""Accounts behind the built-in data plane: what one does is neither heard, found nor felt in another."""

from collections import deque
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.brokers.broker import AT_LEAST_ONCE, OTHER, SCOPE, Device, all_decided, scopes_of
from tests.support.machine.soak import examples

from thingmint.core.identifiers import AccountId, Region, Scope
from thingmint.mqtt.broker.data_plane import LocalDataPlane
from thingmint.mqtt.codec.packets import Connect, ProtocolVersion, Publish, QoS, Subscription, Will
from thingmint.mqtt.codec.properties import ConnectProperties, WillProperties
from thingmint.mqtt.codec.reason_codes import PacketRefused, ReasonCode
from thingmint.mqtt.data_plane import Delivery, Opened
from thingmint.mqtt.queues.limits import BrokerLimits

ANOTHER_REGION = Scope(SCOPE.account, Region("eu-west-1"))
OTHERS = pytest.mark.parametrize("other", [OTHER, ANOTHER_REGION], ids=["account", "region"])


class House:
    """A data plane, the time, and short names for what tests do with it."""

    def __init__(self, limits: BrokerLimits | None = None) -> None:
        self.now = 1000.0
        self.plane = LocalDataPlane(limits or BrokerLimits(), lambda: self.now)

    async def open(
        self, device: Device, *, clean: bool = True, expiry: int | None = None, will: Will | None = None
    ) -> Opened:
        properties = ConnectProperties(session_expiry_interval=expiry)
        opened = await self.plane.open(
            device, Connect(device.version, device.client_id, clean, will=will, properties=properties)
        )
        self.plane.resume(device)
        return opened

    async def connect(self, scope: Scope, client_id: str, *topic_filters: str, **fields: Any) -> Device:
        """Return a connection that has subscribed to the filters."""
        device = Device(client_id, scope=scope)
        await self.open(device, **fields)
        for topic_filter in topic_filters:
            await self.subscribe(device, topic_filter)
        return device

    async def subscribe(self, device: Device, topic_filter: str, qos: QoS = AT_LEAST_ONCE) -> None:
        await self.plane.subscribe(device, [Subscription(topic_filter, qos)])
        self.plane.resume(device)

    async def publish(self, device: Device, topic: str, payload: bytes = b"m", *, retain: bool = False) -> ReasonCode:
        return await self.plane.publish(device, Publish(topic, payload, AT_LEAST_ONCE, retain, packet_id=1))

    async def leave(self, device: Device, *, clean: bool = True) -> None:
        await self.plane.close(device, clean=clean)
        await self.settle()

    async def settle(self) -> None:
        """Let the wills that are due be decided."""
        await all_decided(self.plane._wills)

    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.plane.advance()


@pytest.fixture
def house() -> House:
    return House()


@OTHERS
async def test_a_client_id_is_free_in_every_account(house: House, other: Scope) -> None:
    own, foreign = await house.connect(SCOPE, "lamp"), await house.connect(other, "lamp")
    assert (own.ended_with, foreign.ended_with) == (None, None)

    again = await house.connect(other, "lamp")

    assert (own.ended_with, foreign.ended_with) == (None, ReasonCode.SESSION_TAKEN_OVER)
    assert again.ended_with is None


@OTHERS
async def test_messages_stay_in_their_account(house: House, other: Scope) -> None:
    own, foreign = await house.connect(SCOPE, "lamp", "#"), await house.connect(other, "lamp", "#", "a", "$share/g/+")

    await house.publish(own, "a", b"own")
    await house.plane.publish_own(SCOPE, Publish("a", b"of an operator"))
    assert foreign.payloads == []
    assert own.payloads == [b"own", b"of an operator"]

    await house.plane.publish_own(other, Publish("a", b"foreign"))
    assert set(foreign.payloads) == {b"foreign"}
    assert own.payloads == [b"own", b"of an operator"]


@OTHERS
async def test_retained_messages_stay_in_their_account(house: House, other: Scope) -> None:
    own = await house.connect(SCOPE, "lamp")
    await house.publish(own, "a", b"own", retain=True)

    foreign = await house.connect(other, "lamp", "a")
    assert foreign.payloads == []
    assert await house.plane.retained(other, "a") is None
    assert list(house.plane.retained_after(other, "", 9)) == []

    await house.publish(foreign, "a", b"", retain=True)
    await house.publish(foreign, "b", b"foreign", retain=True)
    assert [each.message.payload for each in house.plane.retained_after(SCOPE, "", 9)] == [b"own"]
    assert [each.message.payload for each in house.plane.retained_after(other, "", 9)] == [b"foreign"]


@OTHERS
async def test_wills_stay_in_their_account(house: House, other: Scope) -> None:
    heir, stranger = await house.connect(SCOPE, "heir", "#"), await house.connect(other, "heir", "#")
    for delay in (0, 5):
        will = Will("will", b"gone", properties=WillProperties(will_delay_interval=delay))
        await house.leave(await house.connect(SCOPE, f"mortal-{delay}", expiry=60, will=will), clean=False)
    house.wait(5)
    await house.settle()

    assert (heir.payloads, stranger.payloads) == ([b"gone", b"gone"], [])


@OTHERS
async def test_sessions_and_what_waits_in_them_stay_in_their_account(house: House, other: Scope) -> None:
    for scope in (SCOPE, other):
        await house.leave(await house.connect(scope, "sleeper", "a", clean=False, expiry=60))
    await house.publish(await house.connect(SCOPE, "says"), "a", b"own")

    own, foreign = Device("sleeper", scope=SCOPE), Device("sleeper", scope=other)
    for device in (own, foreign):
        assert (await house.open(device, clean=False, expiry=60)).session_present
    house.wait(1)

    assert (own.payloads, foreign.payloads) == ([b"own"], [])


async def test_acknowledgements_and_unsubscriptions_stay_in_their_account(house: House) -> None:
    own, foreign = await house.connect(SCOPE, "lamp", "a"), await house.connect(OTHER, "lamp", "a")
    own.receive_window = foreign.receive_window = 1
    for device in (own, foreign):
        await house.publish(device, "a", b"first")
        await house.publish(device, "a", b"second")

    (first,) = foreign.delivered
    house.plane.acknowledge(foreign, first.packet_id)
    await house.plane.unsubscribe(foreign, ["a"])
    await house.publish(own, "a", b"third")

    assert (own.payloads, foreign.payloads) == ([b"first"], [b"first", b"second"])
    house.plane.acknowledge(own, own.delivered[-1].packet_id)
    house.plane.acknowledge(own, own.delivered[-1].packet_id)
    assert own.payloads == [b"first", b"second", b"third"]


async def test_accounts_without_anything_have_no_broker(house: House) -> None:
    assert house.plane.serves(OTHER)
    device = await house.connect(SCOPE, "lamp", expiry=60)
    await house.publish(device, "a", b"kept", retain=True)
    await house.plane.retained(OTHER, "a")
    with pytest.raises(PacketRefused):
        await house.connect(ANOTHER_REGION, "lamp", will=Will("$aws/x", b""))
    house.wait(1)
    assert scopes_of(house.plane) == {SCOPE}

    await house.leave(device)
    house.wait(60)
    assert scopes_of(house.plane) == {SCOPE}, "something is retained"
    await house.plane.publish_own(SCOPE, Publish("a", b"", retain=True))
    house.wait(1)
    assert scopes_of(house.plane) == set()
    # What comes late from a connection that is gone finds nothing, and leaves nothing.
    house.plane.acknowledge(device, 1)
    house.plane.resume(device)
    await house.leave(device)
    house.wait(1)
    assert scopes_of(house.plane) == set()


# What accounts share


def queueing(deaf: Device) -> Device:
    deaf.outcome = Delivery.FULL
    return deaf


async def test_the_account_that_has_most_in_its_outboxes_gives_up_its_oldest_messages() -> None:
    house = House(BrokerLimits(queued_bytes_in_all=20_000))
    greedy = queueing(await house.connect(OTHER, "deaf", "a"))
    modest = queueing(await house.connect(SCOPE, "deaf", "a"))
    while (await house.plane.publish_own(OTHER, Publish("a", b"x" * 500, AT_LEAST_ONCE))) is ReasonCode.SUCCESS:
        pass
    kept = house.plane._brokers[OTHER]._flow.memory.messages
    for _ in range(5):
        code = await house.plane.publish_own(SCOPE, Publish("a", b"x" * 500, AT_LEAST_ONCE))
        assert code is ReasonCode.SUCCESS

    assert (modest.ended_with, greedy.ended_with) == (None, None)
    for device in (greedy, modest):
        device.outcome = Delivery.WRITTEN
        house.plane.resume(device)
    assert len(modest.delivered) == 5
    # Room for five messages, no more, was taken from the other account, which still has the rest.
    assert kept - 6 <= len(greedy.delivered) <= kept - 4


async def test_an_account_that_has_most_makes_way_for_itself() -> None:
    house = House(BrokerLimits(queued_bytes_in_all=10_000))
    modest = queueing(await house.connect(OTHER, "deaf", "a"))
    await house.plane.publish_own(OTHER, Publish("a", b"x" * 1_000, AT_LEAST_ONCE))
    larger, smaller = [queueing(await house.connect(SCOPE, name, name)) for name in ("larger", "smaller")]
    for topic, size in (("larger", 3_000), ("larger", 1_000), ("smaller", 500), ("smaller", 2_000)):
        code = await house.plane.publish_own(SCOPE, Publish(topic, b"x" * size, AT_LEAST_ONCE))
        assert code is ReasonCode.SUCCESS

    for device in (modest, larger, smaller):
        assert device.ended_with is None
        device.outcome = Delivery.WRITTEN
        house.plane.resume(device)
    assert [[len(each.payload) for each in device.delivered] for device in (modest, larger, smaller)] == [
        [1_000],
        [1_000],
        [500, 2_000],
    ]


async def test_the_account_that_has_most_sessions_of_absent_clients_gives_one_up() -> None:
    house = House(BrokerLimits(offline_sessions=3))
    for scope, client_id in ((OTHER, "1"), (OTHER, "2"), (OTHER, "3"), (SCOPE, "own"), (SCOPE, "new")):
        await house.leave(await house.connect(scope, client_id, clean=False, expiry=60))

    async def is_kept(scope: Scope, client_id: str) -> bool:
        return (await house.open(Device(client_id, scope=scope), clean=False, expiry=60)).session_present

    # As the last came, the other account had no more than this one, which then gave up what was its own.
    assert [await is_kept(SCOPE, client_id) for client_id in ("own", "new")] == [False, True]
    assert [await is_kept(OTHER, client_id) for client_id in "123"] == [False, True, True]


async def test_no_account_retains_what_would_leave_another_less_than_its_share() -> None:
    house = House(BrokerLimits(retained_bytes_in_all=10_000))
    own, foreign = await house.connect(SCOPE, "lamp"), await house.connect(OTHER, "lamp")

    assert await house.publish(foreign, "a", b"x" * 4_000, retain=True) is ReasonCode.SUCCESS
    assert await house.publish(foreign, "b", b"x" * 4_000, retain=True) is ReasonCode.QUOTA_EXCEEDED
    assert await house.publish(own, "a", b"x" * 4_000, retain=True) is ReasonCode.SUCCESS
    # What takes no more room than before is always taken.
    assert await house.publish(foreign, "a", b"y" * 4_000, retain=True) is ReasonCode.SUCCESS


async def test_what_has_expired_does_not_take_the_room_of_others() -> None:
    house = House(BrokerLimits(retained_bytes_in_all=10_000))
    foreign = await house.connect(OTHER, "lamp")
    house.wait(1)
    will = Will("a", b"x" * 9_000, retain=True, properties=WillProperties(message_expiry_interval=10))
    await house.leave(await house.connect(OTHER, "mortal", will=will), clean=False)
    own = await house.connect(SCOPE, "lamp")
    assert await house.publish(own, "a", b"x" * 3_000, retain=True) is ReasonCode.QUOTA_EXCEEDED

    house.wait(60)

    assert await house.publish(own, "a", b"x" * 3_000, retain=True) is ReasonCode.SUCCESS
    assert foreign.ended_with is None


async def test_limits_of_a_client_and_of_an_account_are_each_ones_own() -> None:
    house = House(BrokerLimits(retained_messages=1, subscriptions=1))
    for scope in (SCOPE, OTHER):
        device = await house.connect(scope, "lamp", "a")
        assert await house.publish(device, "a", retain=True) is ReasonCode.SUCCESS
        assert await house.publish(device, "b", retain=True) is ReasonCode.QUOTA_EXCEEDED
        assert await house.plane.subscribe(device, [Subscription("b", AT_LEAST_ONCE)]) == (ReasonCode.QUOTA_EXCEEDED,)


# Whatever happens

ACCOUNTS = (SCOPE, OTHER, Scope(AccountId("333333333333"), SCOPE.region))
CLIENTS = st.sampled_from(["ada", "bob"])
TOPICS = st.sampled_from(["a", "a/b"])
FILTERS = st.sampled_from(["a", "a/+", "#", "$share/group/#"])
QOS = st.sampled_from([QoS.AT_MOST_ONCE, QoS.AT_LEAST_ONCE])
STEPS = st.one_of(
    st.tuples(
        st.just("connect"), CLIENTS, st.booleans(), st.sampled_from([0, 5, 60]), st.none() | st.tuples(TOPICS, QOS)
    ),
    st.tuples(st.just("leave"), CLIENTS, st.booleans()),
    st.tuples(st.just("subscribe"), CLIENTS, FILTERS, QOS),
    st.tuples(st.just("unsubscribe"), CLIENTS, FILTERS),
    st.tuples(st.just("publish"), CLIENTS, TOPICS, QOS, st.booleans(), st.booleans()),
    st.tuples(st.just("operate"), TOPICS, QOS, st.booleans()),
    st.tuples(st.just("acknowledge"), CLIENTS),
)
WAIT = st.tuples(st.none(), st.tuples(st.just("wait"), st.sampled_from([1, 5, 60])))


class Account:
    """One account's devices on a data plane, and everything that ever became of them."""

    def __init__(self, house: House, scope: Scope) -> None:
        self.house, self.scope = house, scope
        self.devices: dict[str, Device] = {}
        self.seen: list[object] = []
        self.numbers = 0

    async def step(self, name: str, *arguments: Any) -> None:
        client_id = arguments[0]
        if name in ("leave", "subscribe", "unsubscribe", "publish", "acknowledge") and client_id not in self.devices:
            return
        await getattr(self, name)(*arguments)
        self.look()

    def look(self) -> None:
        for client_id, device in self.devices.items():
            self.seen.append((client_id, tuple(device.take()), device.ended_with))
        retained = self.house.plane.retained_after(self.scope, "", 9)
        self.seen.append([(each.message.topic, each.message.payload, each.age) for each in retained])

    async def connect(self, client_id: str, clean: bool, expiry: int, will: tuple[str, QoS] | None) -> None:
        device = Device(client_id, ProtocolVersion.MQTT_5, scope=self.scope)
        left = None if will is None else Will(will[0], self.payload(), will[1])
        self.seen.append(await self.house.open(device, clean=clean, expiry=expiry, will=left))
        if client_id in self.devices:
            self.look()
            await self.house.leave(self.devices[client_id], clean=False)
        self.devices[client_id] = device

    async def leave(self, client_id: str, clean: bool) -> None:
        await self.house.leave(self.devices.pop(client_id), clean=clean)

    async def subscribe(self, client_id: str, topic_filter: str, qos: QoS) -> None:
        await self.house.subscribe(self.devices[client_id], topic_filter, qos)

    async def unsubscribe(self, client_id: str, topic_filter: str) -> None:
        await self.house.plane.unsubscribe(self.devices[client_id], [topic_filter])

    async def publish(self, client_id: str, topic: str, qos: QoS, retain: bool, empty: bool) -> None:
        message = Publish(topic, b"" if empty else self.payload(), qos, retain, packet_id=int(qos > 0))
        self.seen.append(await self.house.plane.publish(self.devices[client_id], message))

    async def operate(self, topic: str, qos: QoS, retain: bool) -> None:
        self.seen.append(await self.house.plane.publish_own(self.scope, Publish(topic, self.payload(), qos, retain)))

    async def acknowledge(self, client_id: str) -> None:
        # Packet ids of this session only: the first ones, as they were given.
        for packet_id in range(1, 4):
            self.house.plane.acknowledge(self.devices[client_id], packet_id)

    def payload(self) -> bytes:
        self.numbers += 1
        return b"%d" % self.numbers


async def history_of(scopes: tuple[Scope, ...], steps: list[Any], told: Callable[[Scope], bool]) -> dict[Scope, Any]:
    """Return what each account saw where only some accounts' steps were made, each at its time."""
    house = House()
    accounts = {scope: Account(house, scope) for scope in scopes}
    for number, step in deque(steps):
        if number is None:
            house.wait(step[1])
            for account in accounts.values():
                account.look()
        elif told(scopes[number]):
            await accounts[scopes[number]].step(*step)
    return {scope: account.seen for scope, account in accounts.items()}


@settings(max_examples=examples(20, 150))
@given(st.lists(st.tuples(st.integers(0, len(ACCOUNTS) - 1), STEPS) | WAIT, max_size=60))
async def test_an_account_sees_what_it_would_see_if_there_were_no_other(steps: list[Any]) -> None:
    together = await history_of(ACCOUNTS, steps, lambda scope: True)

    for scope in ACCOUNTS:
        alone = await history_of(ACCOUNTS, steps, lambda other, scope=scope: other == scope)  # type: ignore[misc]  # mypy cannot infer a lambda with a default
        assert together[scope] == alone[scope]
