"""Requests of one account's fleet do not keep another account's device waiting: accounts take turns, one by one."""

import contextlib
from pathlib import Path

import pytest
from tests.support.brokers.broker import OTHER
from tests.support.devices.device_gateway import live_gateway
from tests.support.devices.mqtt_peer import V3, Peer, connected_peer
from tests.support.devices.recording_plane import RecordingDataPlane
from tests.support.machine.loop_thread import LOOPS, held

from thingmint.mqtt.codec.packets import Publish, QoS

DEVICES, REQUESTS = 20, 50


@pytest.fixture(params=sorted(LOOPS))
def loop_name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.mark.parametrize("qos", [QoS.AT_MOST_ONCE, QoS.AT_LEAST_ONCE], ids=lambda qos: f"QoS {int(qos)}")
def test_a_message_of_another_account_is_passed_on_in_the_next_turns(tmp_path: Path, loop_name: str, qos: QoS) -> None:
    plane = RecordingDataPlane()
    with live_gateway(tmp_path, data_plane=plane, loop_name=loop_name) as live, contextlib.ExitStack() as stack:
        identity, other = live.register(), live.register(scope=OTHER)
        fleet = [stack.enter_context(connected_peer(live, identity, V3, f"device-{n}")) for n in range(DEVICES)]
        bystander = stack.enter_context(connected_peer(live, other, V3, "bystander"))
        # Each turn of the loop has time for one request of each connection that it wakes, and it wakes two.
        live.gateway._services.turns._seconds = 0.0
        with held(live.thread):
            for device in fleet:
                publish(device, b"fleet", qos)
            publish(bystander, b"bystander", qos, 1)
        live.wait_until(lambda: len(plane.recorded.payloads) == DEVICES * REQUESTS + 1)
    # Without turns of accounts, all requests of the fleet's connections would come first.
    assert plane.recorded.payloads.index(b"bystander") <= 2 * DEVICES


def publish(device: Peer, payload: bytes, qos: QoS, count: int = REQUESTS) -> None:
    device.send(*(Publish(f"topic/{n}", payload, qos, packet_id=n + 1 if qos else 0) for n in range(count)))
