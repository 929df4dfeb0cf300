"""Owns the time at which a connection's next request is handled: in this turn of the event loop, or in a later one."""

from collections.abc import Callable
from typing import Final

from thingmint.core.identifiers import Scope
from thingmint.mqtt.gateway.link.device_protocol import DeviceProtocol, Request
from thingmint.mqtt.gateway.services import Services
from thingmint.mqtt.pacing.turns import Turns

# There are no more of them than messages were sent, and these have a time of their own.
_ACKNOWLEDGEMENTS_AT_ONCE: Final = 8


def take_acknowledgements(protocol: DeviceProtocol, acknowledged: Callable[[int], None]) -> bool:
    """Handle some of the next acknowledgements, and return whether there were any."""
    for count in range(_ACKNOWLEDGEMENTS_AT_ONCE):
        packet_id = protocol.next_acknowledgement()
        if not packet_id:
            return count > 0
        acknowledged(packet_id)
    return True


def turns_of_next(protocol: DeviceProtocol, services: Services) -> Turns:
    """Return the turns of the next request: what begins or changes a session does not take the time of messages."""
    return services.slow_turns if protocol.next_changes_session else services.turns


def next_now(protocol: DeviceProtocol, services: Services) -> Request | None:
    """Return the next request if there is time for it in this turn; otherwise None, also if there is none."""
    if not protocol.buffered or turns_of_next(protocol, services).is_over:
        return None
    return protocol.next_request()


async def next_in_turn(
    protocol: DeviceProtocol, services: Services, account: Scope | None, may_go_on: Callable[[], bool]
) -> Request | None:
    """Return the next request when there is time for it; None if there is none, or ``may_go_on`` returns False."""
    if not protocol.buffered:
        return None
    turns = turns_of_next(protocol, services)
    if turns.is_over:
        await turns.later(account)
    return protocol.next_request() if may_go_on() else None
