"""What brokers do to many connections at once keeps the event loop for a short time: messages, due work, their ends."""

import asyncio
import itertools

import pytest
from tests.support.brokers.broker import SCOPE, Device
from tests.support.brokers.scripted_broker import ScriptedBroker, scripted_broker, until
from tests.support.machine.turn_watch import TurnSelector, begin, reference_seconds, run_watched

from thingmint.mqtt.codec.codec import encode
from thingmint.mqtt.codec.packets import Connack, Connect, Disconnect, Pingreq, ProtocolVersion, Publish, QoS
from thingmint.mqtt.codec.properties import ConnackProperties
from thingmint.mqtt.codec.reason_codes import ReasonCode
from thingmint.mqtt.codec.shared_publish import SharedPublish
from thingmint.mqtt.data_plane import Delivery
from thingmint.mqtt.relay.brokers.spec import one_broker
from thingmint.mqtt.relay.limits import RelayLimits
from thingmint.mqtt.relay.relay import RelayDataPlane
from thingmint.registration.kernel import turns

V5 = ProtocolVersion.MQTT_5
DEVICES, MESSAGES = 40, 2_000


class Reader(Device):
    """A device that takes everything, without the checks of other tests, which cost time."""

    def deliver_shared(self, message: SharedPublish, packet_id: int) -> Delivery:
        return self.deliver(message.message(packet_id))


async def connected(relay: RelayDataPlane, name: str) -> Reader:
    device = Reader(name)
    await relay.open(device, Connect(V5, name))
    relay.resume(device)
    return device


def burst(of: QoS) -> bytes:
    return b"".join(
        encode(Publish("a/b", b"%d" % number, of, packet_id=number + 1 if of else 0), V5) for number in range(MESSAGES)
    )


def test_messages_for_many_devices_at_once_make_no_long_turn() -> None:
    async def work(selector: TurnSelector) -> None:
        async with scripted_broker() as broker:
            relay = RelayDataPlane(one_broker(f"unix:{broker.path}", SCOPE, V5))
            devices = [await connected(relay, f"device-{number}") for number in range(DEVICES)]
            sent = burst(QoS.AT_MOST_ONCE)
            await begin(selector)
            for writer in broker.writers:
                writer.write(sent)
            await until(lambda: all(len(device.delivered) == MESSAGES for device in devices))
            assert all(device.payloads == [b"%d" % number for number in range(MESSAGES)] for device in devices[:2])
            for device in devices:
                await relay.close(device, clean=True)

    run_watched(work)


async def test_what_the_broker_sends_before_it_ends_a_connection_arrives_although_it_waits_for_a_turn() -> None:
    async def last_words(broker: ScriptedBroker) -> None:
        for writer in broker.writers:
            writer.write(burst(QoS.AT_MOST_ONCE) + encode(Disconnect(ReasonCode.SESSION_TAKEN_OVER), V5))
            writer.close()

    async with scripted_broker() as broker:
        relay = RelayDataPlane(one_broker(f"unix:{broker.path}", SCOPE, V5))
        devices = [await connected(relay, f"device-{number}") for number in range(DEVICES)]
        await last_words(broker)
        await until(lambda: all(device.ended_with is not None for device in devices))
        assert {device.ended_with for device in devices} == {ReasonCode.SESSION_TAKEN_OVER}
        assert {len(device.delivered) for device in devices} == {MESSAGES}
        await asyncio.gather(*(relay.close(device, clean=True) for device in devices))


class HeldUp(Device):
    """A device whose disconnection takes some milliseconds, to stand for many devices."""

    def disconnect(self, reason_code: ReasonCode) -> None:
        super().disconnect(reason_code)
        reference_seconds()


@pytest.mark.parametrize("explain_seconds", [0.0, 0.1])
def test_the_end_of_a_brokers_node_makes_no_long_turn(explain_seconds: float) -> None:
    async def work(selector: TurnSelector) -> None:
        async with scripted_broker() as broker:
            limits = RelayLimits(explain_seconds=explain_seconds)
            relay = RelayDataPlane(one_broker(f"unix:{broker.path}", SCOPE, V5), limits)
            devices = [HeldUp(f"device-{number}") for number in range(60)]
            for device in devices:
                await relay.open(device, Connect(V5, device.client_id))
            await begin(selector)
            for writer in broker.writers:
                writer.transport.abort()
            await until(lambda: all(device.ended_with is not None for device in devices))
            assert {device.ended_with for device in devices} == {ReasonCode.SERVER_UNAVAILABLE}
            await asyncio.gather(*(relay.close(device, clean=False) for device in devices))

    run_watched(work)


async def test_devices_of_a_brokers_node_that_ended_are_disconnected_in_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "SLICE_SECONDS", 0.0)
    async with scripted_broker() as broker:
        relay = RelayDataPlane(one_broker(f"unix:{broker.path}", SCOPE, V5))
        devices = [await connected(relay, f"device-{number}") for number in range(5)]

        def ended() -> int:
            return sum(device.ended_with is not None for device in devices)

        for writer in broker.writers:
            writer.transport.abort()
        counts = [ended()]
        while counts[-1] < len(devices):
            await asyncio.sleep(0)
            counts.append(ended())
        assert {later - earlier for earlier, later in itertools.pairwise(counts)} <= {0, 1}
        await asyncio.gather(*(relay.close(device, clean=False) for device in devices))


async def test_the_due_work_of_connections_is_done_in_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "SLICE_SECONDS", 0.0)
    async with scripted_broker() as broker:
        broker.connack = Connack(False, ReasonCode.SUCCESS, ConnackProperties(server_keep_alive=1))
        relay = RelayDataPlane(one_broker(f"unix:{broker.path}", SCOPE, V5))
        devices = [await connected(relay, f"device-{number}") for number in range(5)]

        def pings() -> int:
            return sum(isinstance(packet, Pingreq) for packet in broker.heard)

        relay.advance()
        await asyncio.sleep(1.1)
        # The second call does not begin anew what the first one has begun.
        relay.advance()
        relay.advance()
        await until(lambda: pings() == 5)
        for device in devices:
            await relay.close(device, clean=True)
