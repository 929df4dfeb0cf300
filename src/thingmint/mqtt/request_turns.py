"""Owns when the next request of a connection is worked on: in this turn of the event loop, or in a later one."""

from collections.abc import Callable, Iterator
from typing import Final

from thingmint.core.identifiers import Scope
from thingmint.mqtt.device_protocol import DeviceProtocol, Request
from thingmint.mqtt.packets import Connect, Puback, Subscribe, Unsubscribe
from thingmint.mqtt.services import Services
from thingmint.mqtt.turns import Turns

# What begins or changes a session takes the time of those, not that of messages.
_SLOW: Final = (Connect, Subscribe, Unsubscribe)


def acknowledgements(protocol: DeviceProtocol, turns: Turns) -> Iterator[Puback]:
    """Yield the acknowledgements that come next, as long as there is time; raise PacketRefused if one is not valid."""
    while protocol.acknowledgement_is_next and not turns.is_over:
        acknowledgement = protocol.next_request()
        if not isinstance(acknowledgement, Puback):
            # The rest of it is still to come.
            return
        yield acknowledgement


async def next_in_turn(
    protocol: DeviceProtocol, services: Services, account: Scope | None, may_go_on: Callable[[], bool]
) -> Request | None:
    """Return the next request when there is time for it; None if there is none, or if the connection may not go on."""
    if services.turns.is_over:
        await services.turns.later(account)
    request = protocol.next_request() if may_go_on() else None
    if isinstance(request, _SLOW) and services.slow_turns.is_over:
        await services.slow_turns.later(account)
    return request
