"""Owns the storms: all devices of a run do the same at once, while a bystander measures latencies."""

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from enum import StrEnum
from time import perf_counter
from typing import Any, Final, TypeAlias

from msgspec import Struct

from thingmint.cli.simulation.bystander import BystanderOrders, bystander
from thingmint.cli.simulation.clients.client import BrokerRefused, ConnectionLost
from thingmint.cli.simulation.clients.device import SimulatedDevice
from thingmint.cli.simulation.measures import Measures, Step
from thingmint.cli.simulation.preparation import SharedPolicy, storm_topic
from thingmint.mqtt.codec.packets import Publish

FEWEST_DEVICES: Final = 2
"""One device publishes and one subscribes."""

PATIENCE_SECONDS = 60.0
"""How long a storm may last; messages and devices that are missing after that have failed."""

# How long the bystander measures before and after the storm, and how long the storm waits after a policy change.
_QUIET_SECONDS = 0.5
_LONGEST_PAUSE_SECONDS = 1.5
_SHORTEST_PAUSE_SECONDS = 0.5
_BROADCASTS = 5
_BROADCAST_SECONDS = 0.1
_BROADCAST_BYTES = 1024


Strike: TypeAlias = Callable[[], Awaitable[None]]
"""A prepared storm; it returns when the storm is over."""


class StormKind(StrEnum):
    """The events that happen at once."""

    RECONNECT = "reconnect"
    """All connections end, and all devices reconnect, each with as many attempts as it needs."""
    FAN_OUT = "fan-out"
    """One device sends five messages of 1 KiB to all, at QoS 1."""
    FAN_IN = "fan-in"
    """Every other device sends one message to one device, at QoS 1."""
    WILLS = "wills"
    """The connections of all other devices end, and one device hears their wills."""
    POLICY_CHANGE = "policy-change"
    """The policy of all devices changes without effect; then iot:Connect is taken away from them."""


class Storm(Struct, frozen=True):
    """A storm over the devices of a run, which share a policy."""

    kind: StormKind
    orders: BystanderOrders
    policy: SharedPolicy
    measures: Measures

    @property
    def topic(self) -> str:
        """Below which the devices speak to each other."""
        return storm_topic(self.policy.run)

    async def run(self, devices: Sequence[SimulatedDevice]) -> None:
        """Run the storm with connected devices; raise LookupError if they are too few, or there is no bystander.

        Raises ServiceRefused and ServiceUnreachable if a call of the API fails.
        """
        if len(devices) < FEWEST_DEVICES:
            raise LookupError(f"a storm needs {FEWEST_DEVICES} devices that were provisioned, not {len(devices)}")
        async with bystander(self.orders) as measured:
            strike = await _STORMS[self.kind](self, devices)
            await asyncio.sleep(_QUIET_SECONDS)
            measured.storm_begins()
            await strike()
            await asyncio.sleep(_QUIET_SECONDS)
            self.measures.add(await measured.measures())


def will_topic_of_storms(run: str) -> str:
    """Return the topic of the wills of a run's devices, with a placeholder for the device's name."""
    return f"{storm_topic(run)}/wills/{{device}}"


async def _reconnect(storm: Storm, devices: Sequence[SimulatedDevice]) -> Strike:
    async def strike() -> None:
        await _all(device.abort() for device in devices)
        began = perf_counter()
        await _all(_come_back(device, storm.measures, began) for device in devices)

    return strike


async def _come_back(device: SimulatedDevice, measures: Measures, began: float) -> None:
    while perf_counter() - began < PATIENCE_SECONDS:
        measures.attempts += 1
        try:
            await device.connect_again()
        except (BrokerRefused, ConnectionLost, OSError):
            await device.abort()
            pause = random.uniform(_SHORTEST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS)  # noqa: S311  no secret
            await asyncio.sleep(pause)
        else:
            measures.record(Step.BACK, perf_counter() - began)
            return
    device.fail(Step.BACK, "it could not come back in time")


async def _fan_out(storm: Storm, devices: Sequence[SimulatedDevice]) -> Strike:
    topic, awaited = f"{storm.topic}/all", _ExpectedMessages(storm.measures)
    await _all(device.hear(topic, awaited.by(device)) for device in devices)

    async def strike() -> None:
        async with asyncio.TaskGroup() as group:
            for number in range(_BROADCASTS):
                payload = str(number).encode().ljust(_BROADCAST_BYTES)
                awaited.expect((device, payload) for device in devices)
                group.create_task(devices[0].say(topic, payload))
                await asyncio.sleep(_BROADCAST_SECONDS)
        await awaited.all_arrived()

    return strike


async def _fan_in(storm: Storm, devices: Sequence[SimulatedDevice]) -> Strike:
    awaited, (reader, *others) = _ExpectedMessages(storm.measures), devices
    await reader.hear(f"{storm.topic}/in/#", awaited.by(reader))

    async def strike() -> None:
        awaited.expect((reader, device.tag) for device in others)
        await _all(device.say(f"{storm.topic}/in/{device.name}", device.tag) for device in others)
        await awaited.all_arrived()

    return strike


async def _wills(storm: Storm, devices: Sequence[SimulatedDevice]) -> Strike:
    awaited, (reader, *others) = _ExpectedMessages(storm.measures), devices
    await reader.hear(f"{storm.topic}/wills/#", awaited.by(reader))

    async def strike() -> None:
        awaited.expect((reader, device.tag) for device in others)
        await _all(device.abort() for device in others)
        await awaited.all_arrived()

    return strike


async def _policy_change(storm: Storm, devices: Sequence[SimulatedDevice]) -> Strike:
    policy, measures = storm.policy, storm.measures

    async def change(act: Callable[[], None]) -> None:
        with measures.timing(Step.POLICY_CHANGE):
            await asyncio.to_thread(act)

    async def strike() -> None:
        await change(policy.change_harmlessly)
        # The service applies the policy to connections after its answer.
        await asyncio.sleep(_QUIET_SECONDS)
        ends = asyncio.gather(*(_cut_off(device, measures, perf_counter()) for device in devices))
        try:
            await change(policy.forbid_connections)
            await ends
        finally:
            ends.cancel()
            await asyncio.to_thread(policy.restore)

    return strike


async def _cut_off(device: SimulatedDevice, measures: Measures, began: float) -> None:
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            await device.ended()
    except TimeoutError:
        device.fail(Step.CUT_OFF, "its connection goes on")
    else:
        measures.record(Step.CUT_OFF, perf_counter() - began)


class _ExpectedMessages:
    """The expected messages, by device and payload, and when each of them was sent."""

    def __init__(self, measures: Measures) -> None:
        self._measures = measures
        self._sent_at: dict[tuple[SimulatedDevice, bytes], float] = {}
        self._is_done = asyncio.Event()

    def by(self, device: SimulatedDevice) -> Callable[[Publish], None]:
        """Return the function that receives the messages of this device."""

        def arrived(message: Publish) -> None:
            # A second copy of a message is ignored.
            sent_at = self._sent_at.pop((device, message.payload), None)
            if sent_at is not None:
                self._measures.record(Step.DELIVERY, perf_counter() - sent_at)
            if not self._sent_at:
                self._is_done.set()

        return arrived

    def expect(self, messages: Iterable[tuple[SimulatedDevice, bytes]]) -> None:
        """Add messages that are sent now."""
        self._is_done.clear()
        now = perf_counter()
        self._sent_at.update((message, now) for message in messages)

    async def all_arrived(self) -> None:
        """Wait for all expected messages; a device that does not get one in time has failed."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE_SECONDS):
                await self._is_done.wait()
        for device, _ in self._sent_at:
            device.fail(Step.DELIVERY, "a message did not arrive")


async def _all(acts: Iterable[Coroutine[Any, Any, None]]) -> None:
    async with asyncio.TaskGroup() as group:
        for act in acts:
            group.create_task(act)


_STORMS: Final[Mapping[StormKind, Callable[[Storm, Sequence[SimulatedDevice]], Awaitable[Strike]]]] = {
    StormKind.RECONNECT: _reconnect,
    StormKind.FAN_OUT: _fan_out,
    StormKind.FAN_IN: _fan_in,
    StormKind.WILLS: _wills,
    StormKind.POLICY_CHANGE: _policy_change,
}
