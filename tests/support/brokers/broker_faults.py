"""Owns what two devices notice when a node of the broker behind the relay is killed while messages flow."""

import contextlib
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.support.brokers.broker_engines import BrokerNode
from tests.support.devices.device_gateway import LiveGateway
from tests.support.devices.device_identities import Identity
from tests.support.devices.mqtt_peer import V5, Peer, peer
from tests.support.machine.loop_thread import GENEROUS

from thingmint.mqtt.codec.packets import Connack, Connect, Puback, Publish, QoS
from thingmint.mqtt.codec.properties import ConnectProperties
from thingmint.mqtt.codec.reason_codes import ReasonCode

_RATE, _DEVICES = 100, 2
_LASTING = {"clean_start": False, "properties": ConnectProperties(session_expiry_interval=600)}
_AGAIN_SECONDS = 0.25
_GONE = (OSError, AssertionError)


@dataclass
class NodeLoss:
    """What was acknowledged, what was heard, and how long after the kill each device was served again."""

    acknowledged: set[int] = field(default_factory=set)
    heard: set[int] = field(default_factory=set)
    back_after: dict[str, float] = field(default_factory=dict)

    @property
    def all_are_back(self) -> bool:
        """Whether both devices were served again."""
        return len(self.back_after) == _DEVICES

    @property
    def lost(self) -> set[int]:
        """Messages that were acknowledged and are nowhere."""
        return self.acknowledged - self.heard


@dataclass
class _Run:
    live: LiveGateway
    identity: Identity
    topic: str
    found: NodeLoss = field(default_factory=NodeLoss)
    publishing_ends: threading.Event = field(default_factory=threading.Event)
    listening_ends: threading.Event = field(default_factory=threading.Event)
    listens: threading.Event = field(default_factory=threading.Event)
    killed_at: float | None = None

    def served(self, name: str) -> None:
        """Note that a device was served; the first time after the kill counts."""
        if self.killed_at is not None:
            self.found.back_after.setdefault(name, time.monotonic() - self.killed_at)

    def publish(self) -> None:
        number, name = 0, f"speaks-{self.topic[2:]}"
        while not self.publishing_ends.is_set():
            with contextlib.suppress(*_GONE), peer(self.live, self.identity, V5) as device:
                self._connect(device, name)
                while not self.publishing_ends.is_set():
                    packet_id = number % 60_000 + 1
                    device.send(Publish(self.topic, b"%d" % number, QoS.AT_LEAST_ONCE, packet_id=packet_id))
                    if device.expect(Puback).reason_code.is_failure:
                        break
                    self.found.acknowledged.add(number)
                    self.served(name)
                    number += 1
                    time.sleep(1 / _RATE)
            # What was not acknowledged is sent again, under a number of its own.
            number += 1
            time.sleep(_AGAIN_SECONDS)

    def listen(self) -> None:
        name = f"hears-{self.topic[2:]}"
        while not self.listening_ends.is_set():
            with contextlib.suppress(*_GONE), peer(self.live, self.identity, V5) as device:
                self._connect(device, name)
                assert device.subscribe(self.topic) == (ReasonCode.GRANTED_QOS_1,)
                self.listens.set()
                self.served(name)
                device.socket.settimeout(1.0)
                while not self.listening_ends.is_set():
                    with contextlib.suppress(TimeoutError):
                        message = device.expect(Publish)
                        device.send(Puback(message.packet_id))
                        self.found.heard.add(int(message.payload))
                        self.served(name)
            time.sleep(_AGAIN_SECONDS)

    def _connect(self, device: Peer, name: str) -> None:
        device.socket.settimeout(10.0)
        device.send(Connect(V5, name, **_LASTING))  # type: ignore[arg-type]  # the fields of a CONNECT
        assert device.expect(Connack).reason_code is ReasonCode.SUCCESS


def lose_node(
    live: LiveGateway, identity: Identity, victim: BrokerNode, seconds: float, then: Callable[[], None] = lambda: None
) -> NodeLoss:
    """Kill a node while a device publishes 100 messages a second to another one; return what the devices noticed.

    ``then`` is called a second after the kill, for instance to start the node again.
    """
    run = _Run(live, identity, f"t/{uuid.uuid4().hex[:8]}")
    threads = [threading.Thread(target=run.listen), threading.Thread(target=run.publish)]
    threads[0].start()
    try:
        assert run.listens.wait(GENEROUS)
        threads[1].start()
        time.sleep(seconds / 3)
        run.killed_at = time.monotonic()
        victim.kill()
        time.sleep(1.0)
        then()
        _until(lambda: run.found.all_are_back)
        time.sleep(seconds / 3)
        run.publishing_ends.set()
        threads[1].join(GENEROUS)
        _until(lambda: not run.found.lost)
    finally:
        run.publishing_ends.set()
        run.listening_ends.set()
        for thread in threads:
            if thread.is_alive():
                thread.join(GENEROUS)
    return run.found


def _until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + GENEROUS
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.05)
