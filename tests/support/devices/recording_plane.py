"""Owns a data plane that keeps what the gateway gives it, in order, and takes its time if a test wants it to."""

import asyncio
import time
from dataclasses import dataclass, field

from thingmint.mqtt.broker.data_plane import LocalDataPlane
from thingmint.mqtt.codec.packets import Connect, Publish
from thingmint.mqtt.codec.reason_codes import ReasonCode
from thingmint.mqtt.data_plane import DeviceConnection, Opened
from thingmint.mqtt.queues.limits import BrokerLimits


@dataclass(frozen=True)
class Closing:
    """What the data plane was told of the end of a connection."""

    clean: bool
    session_expiry_interval: int | None


@dataclass
class Recorded:
    """What reached the data plane."""

    payloads: list[bytes] = field(default_factory=list)
    closings: list[Closing] = field(default_factory=list)
    turns: int = 0
    """How many turns of the loop each message takes."""
    publishing: asyncio.Event | None = None
    """What each message waits for."""
    opening: asyncio.Event | None = None
    """What CONNECT waits for."""


class RecordingDataPlane(LocalDataPlane):
    """The built-in brokers, and a list of what they were given."""

    def __init__(self) -> None:
        super().__init__(BrokerLimits(), time.monotonic)
        self.recorded = Recorded()

    async def open(self, connection: DeviceConnection, connect: Connect) -> Opened:
        if self.recorded.opening is not None:
            await self.recorded.opening.wait()
        return await super().open(connection, connect)

    async def publish(self, connection: DeviceConnection, message: Publish) -> ReasonCode:
        if self.recorded.publishing is not None:
            await self.recorded.publishing.wait()
        for _ in range(self.recorded.turns):
            await asyncio.sleep(0)
        self.recorded.payloads.append(message.payload)
        return await super().publish(connection, message)

    async def close(
        self, connection: DeviceConnection, *, clean: bool, session_expiry_interval: int | None = None
    ) -> None:
        self.recorded.closings.append(Closing(clean, session_expiry_interval))
        await super().close(connection, clean=clean, session_expiry_interval=session_expiry_interval)
