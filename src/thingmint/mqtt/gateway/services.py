"""Owns the frozen record of what every connection of a gateway works with; no verbs."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from thingmint.mqtt.counters import Counters
from thingmint.mqtt.data_plane import DataPlane
from thingmint.mqtt.gateway.event_listeners import EventListeners
from thingmint.mqtt.gateway.last_endings import LastEndings
from thingmint.mqtt.gateway.provisioning import ProvisioningDesk
from thingmint.mqtt.pacing.deadlines import Deadlines
from thingmint.mqtt.pacing.turns import Turns
from thingmint.mqtt.rights.ports import Clock, DeviceRegistry, GatewayEventSink
from thingmint.mqtt.transport.limits import GatewayLimits
from thingmint.mqtt.transport.tls_transport import TLSTransport


@dataclass(frozen=True, slots=True)
class Services:
    """The gateway's collaborators. ``admit`` counts a transport as a device's instead of a stranger's."""

    registry: DeviceRegistry
    data_plane: DataPlane
    provisioning: ProvisioningDesk
    events: GatewayEventSink
    listeners: EventListeners
    deadlines: Deadlines
    last_endings: LastEndings
    clock: Clock
    limits: GatewayLimits
    admit: Callable[[TLSTransport], None]
    loop: asyncio.AbstractEventLoop
    turns: Turns
    """The time for messages and acknowledgements."""
    slow_turns: Turns
    """The time for what begins, changes or ends a session, so that messages do not wait for thousands of those."""
    counters: Counters
    work: set[asyncio.Task[None]] = field(default_factory=set)
    """What connections are doing; the loop itself holds tasks weakly."""
