"""Operators watch topics of their own account; what they may not see, and what is too much, is left out."""

import asyncio
import time

import pytest
from tests.support.brokers.broker import scopes_of

from thingmint.core.errors import InvalidRequest, ServiceUnavailable, Throttled
from thingmint.core.identifiers import AccountId, Region, Scope
from thingmint.mqtt.broker.data_plane import LocalDataPlane
from thingmint.mqtt.codec.packets import Connect, Publish, QoS
from thingmint.mqtt.codec.reason_codes import PacketRefused, ReasonCode
from thingmint.mqtt.data_plane import DeviceConnection, Opened
from thingmint.mqtt.edges.topic_watch import MOST_QUEUED, MOST_WATCHES, TopicWatches
from thingmint.mqtt.queues.limits import BrokerLimits

SCOPE = Scope(AccountId("123456789012"), Region("eu-central-1"))
OTHER = Scope(AccountId("210987654321"), Region("eu-central-1"))


def watches(data_plane: LocalDataPlane) -> TopicWatches:
    numbers = iter(range(1000))
    return TopicWatches(data_plane, lambda: str(next(numbers)))


@pytest.fixture
def data_plane() -> LocalDataPlane:
    return LocalDataPlane(BrokerLimits(), time.monotonic)


def anything(topic: str) -> bool:
    del topic
    return True


async def test_messages_of_the_filter_and_the_account_are_seen(data_plane: LocalDataPlane) -> None:
    async with watches(data_plane).open(SCOPE, "a/+", anything) as watch:
        await data_plane.publish_own(SCOPE, Publish("b/1", b"no"))
        await data_plane.publish_own(OTHER, Publish("a/1", b"no"))
        await data_plane.publish_own(SCOPE, Publish("a/1", b"yes", QoS.AT_LEAST_ONCE))
        seen = await watch.next()
    assert (seen.topic, seen.payload, seen.qos, seen.retain) == ("a/1", b"yes", 0, False)
    assert "yes" not in repr(seen)


async def test_each_topic_is_asked_for(data_plane: LocalDataPlane) -> None:
    async with watches(data_plane).open(SCOPE, "a/#", lambda topic: topic == "a/open") as watch:
        await data_plane.publish_own(SCOPE, Publish("a/secret", b"no"))
        await data_plane.publish_own(SCOPE, Publish("a/open", b"yes"))
        assert (await watch.next()).payload == b"yes"


async def test_what_is_not_read_in_time_is_dropped_and_counted(data_plane: LocalDataPlane) -> None:
    async with watches(data_plane).open(SCOPE, "a", anything) as watch:
        for _ in range(MOST_QUEUED + 3):
            await data_plane.publish_own(SCOPE, Publish("a", b""))
        assert watch.dropped == 3


@pytest.mark.parametrize("topic_filter", ["", "a/#/b", "$aws/#", "$SYS/#", "a+", "a\0"])
async def test_a_filter_that_no_device_may_have_is_refused(data_plane: LocalDataPlane, topic_filter: str) -> None:
    with pytest.raises(InvalidRequest):
        async with watches(data_plane).open(SCOPE, topic_filter, anything):
            pass
    assert scopes_of(data_plane) == frozenset()


async def test_a_bounded_number_watches(data_plane: LocalDataPlane) -> None:
    opener, release = watches(data_plane), asyncio.Event()

    async def look() -> None:
        async with opener.open(SCOPE, "a", anything):
            await release.wait()

    tasks = [asyncio.create_task(look()) for _ in range(MOST_WATCHES)]
    await asyncio.sleep(0)
    with pytest.raises(Throttled):
        async with opener.open(SCOPE, "a", anything):
            pass
    release.set()
    await asyncio.gather(*tasks)
    async with opener.open(SCOPE, "a", anything):
        pass


async def test_nothing_is_left_of_a_watch(data_plane: LocalDataPlane) -> None:
    async with watches(data_plane).open(SCOPE, "a", anything) as watch:
        assert scopes_of(data_plane) == {SCOPE}
    assert watch.is_over
    data_plane.advance()
    assert scopes_of(data_plane) == frozenset()


class _Silent(LocalDataPlane):
    """A data plane whose broker does not answer."""

    async def open(self, connection: DeviceConnection, connect: Connect) -> Opened:
        raise PacketRefused(ReasonCode.SERVER_UNAVAILABLE, "The broker is not available")


async def test_a_broker_that_does_not_answer_is_told_of() -> None:
    with pytest.raises(ServiceUnavailable):
        async with watches(_Silent(BrokerLimits(), time.monotonic)).open(SCOPE, "a", anything):
            pass
