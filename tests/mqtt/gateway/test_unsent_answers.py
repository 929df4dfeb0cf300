"""Answers and events of the service that a client may not receive, or cannot take, are not sent, and are counted."""

from pathlib import Path

from tests.support.brokers.broker import SCOPE, Losses
from tests.support.devices.device_gateway import CREATE, live_gateway, policy
from tests.support.devices.mqtt_peer import V5, connected_peer

from thingmint.mqtt.codec.packets import Unsubscribe
from thingmint.mqtt.codec.properties import ConnectProperties
from thingmint.mqtt.counters import Counters, Loss

EVENTS = "$aws/events/presence/connected/+"


def test_answers_and_events_without_iot_receive_are_counted(tmp_path: Path) -> None:
    losses = Losses()
    deaf = policy(("iot:Connect", "*"), ("iot:Publish", "*"), ("iot:Subscribe", "*"))
    with live_gateway(tmp_path, counters=Counters(losses)) as live:
        with connected_peer(live, live.register(allowed=deaf), V5) as device:
            device.subscribe(EVENTS)
            device.publish(CREATE, b"{}")
            live.thread.call(lambda: live.gateway.publish_event(SCOPE, EVENTS.replace("+", "lamp"), b"{}"))
            live.wait_until(lambda: losses.of(Loss.NOT_ALLOWED) == 2)
            assert device.is_served()
        assert losses.counts.total() == 2


def test_an_answer_that_is_larger_than_the_client_takes_is_counted(tmp_path: Path) -> None:
    losses = Losses()
    small = ConnectProperties(maximum_packet_size=50)
    with (
        live_gateway(tmp_path, counters=Counters(losses)) as live,
        connected_peer(live, live.register(), V5, properties=small) as device,
    ):
        device.send(Unsubscribe(1, tuple(f"a/{number}" for number in range(100))))
        assert device.is_served()
        assert losses.counts == {Loss.ANSWER_TOO_LARGE.value: 1}
