"""Owns the writing of registry events in the transaction of their change, for all nodes to publish."""

import uuid
from collections.abc import Callable, Sequence

import msgspec
from msgspec import Struct

from thingmint.core.clock import Clock
from thingmint.core.registry.registry_event import RegistryEvent
from thingmint.mqtt.edges.registry_events import registry_event
from thingmint.records.nodes.messages import NewMessage, add_messages
from thingmint.records.steps import Steps
from thingmint.service.nodes.orphans import FROM_REGISTRY
from thingmint.service.nodes.wire import ForwardedEvent


class NodeOutbox(Struct, frozen=True):
    """Implements `registration.kernel.ports.EventOutbox` on PostgreSQL."""

    clock: Clock
    new_event_id: Callable[[], str]

    def keep(self, events: Sequence[RegistryEvent]) -> Steps[bool]:
        """Write the events in the transaction of their change, and return True."""
        now = self.clock.now()
        messages = [
            NewMessage(
                None,
                "",
                FROM_REGISTRY,
                event.scope,
                str(uuid.uuid4()),
                msgspec.json.encode(ForwardedEvent(*registry_event(event, self.new_event_id(), now))),
            )
            for event in events
        ]
        yield from add_messages(messages)
        return True
