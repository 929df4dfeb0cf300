"""Owns the schedule of the devices: how many at a time, how long, and that all of them are disconnected at the end."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from msgspec import Struct

from thingmint.cli.simulation.clients.client import BrokerRefused, ConnectionLost
from thingmint.cli.simulation.clients.device import SimulatedDevice
from thingmint.cli.simulation.clients.est import EstBusy, EstTarget
from thingmint.cli.simulation.storm import Storm

ROTATION_SECONDS = 600.0
"""How long devices wait for another issuer."""

_LOOK_SECONDS = 0.5


class Schedule(Struct, frozen=True):
    """How many devices run at a time, how long they stay connected, how often they publish, whether they reconnect.

    With ``renew``, they renew their certificates at this EST server before they reconnect; with ``after_rotation``, as
    soon as the service has another issuer. With ``storm``, the storm runs before the renewal.
    """

    concurrency: int
    duration: float = 0.0
    publish_per_second: float = 0.0
    reconnect: bool = False
    renew: EstTarget | None = None
    after_rotation: bool = False
    storm: Storm | None = None

    @property
    def stays(self) -> bool:
        """Whether devices stay connected when they have been provisioned."""
        return self.duration > 0 or self.comes_back or self.storm is not None

    @property
    def comes_back(self) -> bool:
        """Whether devices disconnect and connect again."""
        return self.reconnect or self.renew is not None


async def run(devices: Sequence[SimulatedDevice], schedule: Schedule, advance: Callable[[str], None]) -> None:
    """Run the devices; call ``advance`` for each one that ends a phase. Disconnect all at the end, also on errors."""
    known = None
    if schedule.renew is not None and schedule.after_rotation:
        known = await asyncio.to_thread(schedule.renew.authorities)
    try:
        await _in_turns(devices, schedule, lambda device: _begin(device, schedule), lambda: advance("begin"))
        if schedule.duration:
            await _hold(_well(devices), schedule, lambda: advance("hold"))
        if schedule.storm is not None:
            await schedule.storm.run(_well(devices))
        if schedule.renew is not None:
            if known is not None:
                await _rotation(schedule.renew, known)
            await _renew(_well(devices), schedule, schedule.renew, lambda: advance("renew"))
        if schedule.comes_back:
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
        # All workers share one iterator, so a free worker takes the next device.
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
        # Spread over the interval, because real devices do not publish at the same moment.
        first_at = now + (interval or 0.0) * place / len(devices)
        await device.hold(now + schedule.duration, interval, first_at)
        done()

    async with asyncio.TaskGroup() as group:
        for place, device in enumerate(devices):
            group.create_task(hold(device, place))


async def _rotation(est: EstTarget, known: frozenset[str]) -> None:
    """Return when the service has another issuer; raise LookupError if that takes too long."""
    try:
        async with asyncio.timeout(ROTATION_SECONDS):
            while await _authorities(est) in (None, known):  # noqa: ASYNC110  another process changes it
                await asyncio.sleep(_LOOK_SECONDS)
    except TimeoutError as error:
        raise LookupError(f"the service has had no other issuer for {ROTATION_SECONDS:.0f} seconds") from error


async def _authorities(est: EstTarget) -> frozenset[str] | None:
    try:
        return await asyncio.to_thread(est.authorities)
    except (BrokerRefused, ConnectionLost, EstBusy, OSError):
        # The service may be restarting: ask again.
        return None


async def _renew(
    devices: Sequence[SimulatedDevice], schedule: Schedule, est: EstTarget, done: Callable[[], None]
) -> None:
    await _in_turns(devices, schedule, lambda device: device.renew(est), done)


def _well(devices: Sequence[SimulatedDevice]) -> list[SimulatedDevice]:
    return [device for device in devices if not device.has_failed]
