"""Owns the record of the objects that all connections of a gateway share. Has no methods."""

import asyncio
from collections.abc import Callable
from typing import Protocol

from msgspec import Struct, field

from thingmint.core.clock import Clock
from thingmint.core.identifiers import Scope
from thingmint.mqtt.counters import Counters
from thingmint.mqtt.data_plane import DataPlane
from thingmint.mqtt.gateway.event_listeners import EventListeners
from thingmint.mqtt.gateway.last_endings import LastEndings
from thingmint.mqtt.gateway.provisioning_queue import ProvisioningQueue
from thingmint.mqtt.pacing.deadlines import Deadlines
from thingmint.mqtt.pacing.turns import Turns
from thingmint.mqtt.rights.ports import DeviceRegistry, GatewayEventSink
from thingmint.mqtt.transport.device_transport import DeviceTransport
from thingmint.mqtt.transport.flushes import Flushes
from thingmint.mqtt.transport.limits import GatewayLimits


class HandlesConnect(Protocol):
    """Records whether the service has to go on with a transport, or the client."""

    def __call__(self, transport: DeviceTransport, *, begins: bool) -> None:
        """The service begins to handle CONNECT, or waits for the rest of it."""
        ...


class Services(Struct, frozen=True):
    """The shared objects. ``admit`` counts a transport as a device's, and no longer as unauthenticated.

    ``handles_connect`` says whose turn it is on a transport that is not admitted: the service's or the client's.
    """

    registry: DeviceRegistry
    data_plane: DataPlane
    provisioning: ProvisioningQueue
    events: GatewayEventSink
    listeners: EventListeners
    deadlines: Deadlines
    last_endings: LastEndings
    clock: Clock
    limits: GatewayLimits
    admit: Callable[[DeviceTransport, Scope], None]
    handles_connect: HandlesConnect
    loop: asyncio.AbstractEventLoop
    turns: Turns
    """The time for messages and acknowledgements."""
    slow_turns: Turns
    """The time for requests that begin, change or end a session, so that messages do not wait for thousands of them."""
    counters: Counters
    flushes: Flushes
    observe_kept: Callable[[], None]
    """Called when a connection keeps new objects: subscriptions or other policies."""
    work: set[asyncio.Task[None]] = field(default_factory=set)
    """The tasks of connections; the event loop holds only weak references to tasks."""
