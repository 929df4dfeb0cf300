"""Owns when devices do what they do: how many at a time, how long, and that all of them are gone at the end."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from thingmint.cli.simulation.device import SimulatedDevice


@dataclass(frozen=True, slots=True)
class Schedule:
    """How many devices are busy at a time, how long they stay, how often each publishes, whether they come back."""

    concurrency: int
    duration: float = 0.0
    publish_per_second: float = 0.0
    reconnect: bool = False

    @property
    def stays(self) -> bool:
        """Whether devices stay connected when they have been provisioned."""
        return self.duration > 0 or self.reconnect


async def run(devices: Sequence[SimulatedDevice], schedule: Schedule, advance: Callable[[str], None]) -> None:
    """Let the devices live; tell of each that has ended a phase. However this ends, none is connected afterwards."""
    try:
        await _in_turns(devices, schedule, lambda device: _begin(device, schedule), lambda: advance("begin"))
        if schedule.duration:
            await _hold(_well(devices), schedule, lambda: advance("hold"))
        if schedule.reconnect:
            await _in_turns(_well(devices), schedule, SimulatedDevice.come_back, lambda: advance("come back"))
        await _in_turns(devices, schedule, SimulatedDevice.leave, lambda: None)
    finally:
        for device in devices:
            await device.abort()


async def _begin(device: SimulatedDevice, schedule: Schedule) -> None:
    await device.begin()
    if device.has_failed or not schedule.stays:
        await device.leave()


async def _in_turns(
    devices: Sequence[SimulatedDevice],
    schedule: Schedule,
    act: Callable[[SimulatedDevice], Awaitable[None]],
    done: Callable[[], None],
) -> None:
    waiting = iter(devices)

    async def work() -> None:
        # All workers take from one iterator: a free worker takes the next device.
        for device in waiting:
            await act(device)
            done()

    async with asyncio.TaskGroup() as group:
        for _ in range(min(schedule.concurrency, len(devices))):
            group.create_task(work())


async def _hold(devices: Sequence[SimulatedDevice], schedule: Schedule, done: Callable[[], None]) -> None:
    now = asyncio.get_running_loop().time()
    interval = 1 / schedule.publish_per_second if schedule.publish_per_second else None

    async def hold(device: SimulatedDevice, place: int) -> None:
        # Spread over the interval: devices do not publish all at once unless their clocks make them.
        first_at = now + (interval or 0.0) * place / len(devices)
        await device.hold(now + schedule.duration, interval, first_at)
        done()

    async with asyncio.TaskGroup() as group:
        for place, device in enumerate(devices):
            group.create_task(hold(device, place))


def _well(devices: Sequence[SimulatedDevice]) -> list[SimulatedDevice]:
    return [device for device in devices if not device.has_failed]
