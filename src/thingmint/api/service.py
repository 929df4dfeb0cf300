"""Owns the whole of the API: the tables of its families, and every operation that AWS IoT has, behind one router."""

from collections.abc import Callable
from typing import Final, TypeAlias

from thingmint.api.certificates import operations as certificates
from thingmint.api.devices import operations as devices
from thingmint.api.devices.backend import Devices
from thingmint.api.devices.data_plane import OperatorDataPlane
from thingmint.api.policies import operations as policies
from thingmint.api.provisioning import operations as provisioning
from thingmint.api.registry import operations as registry
from thingmint.api.wire.operation import Operation, unimplemented
from thingmint.api.wire.planes import DATA_ROUTES
from thingmint.api.wire.routes import ROUTES
from thingmint.api.wire.routing import Router
from thingmint.core.identifiers import AccountId
from thingmint.registration.kernel.authority import RegistrationAuthority

_REGISTERED: Final = (
    *certificates.OPERATIONS,
    *policies.OPERATIONS,
    *provisioning.OPERATIONS,
    *registry.OPERATIONS,
)
OPERATIONS: Final[tuple[Operation, ...]] = (*_REGISTERED, *devices.OPERATIONS)
"""The operations that do something, of both planes."""

_ROUTES: Final = {**ROUTES, **DATA_ROUTES}
UNIMPLEMENTED: Final = frozenset(_ROUTES) - {operation.name for operation in OPERATIONS}
"""The names of the operations that AWS IoT has and this service has not."""

Endpoint: TypeAlias = str | Callable[[AccountId], str]
"""One address for all accounts, or that of each."""


def build_router(authority: RegistrationAuthority, endpoint: Endpoint, data_plane: OperatorDataPlane) -> Router:
    """Return the router to every operation, compiled; the endpoint is what DescribeEndpoint answers.

    Both planes have one router: no two operations of theirs have the same method and path.
    """
    connected = Devices(authority, data_plane, endpoint if callable(endpoint) else lambda account: endpoint)
    return Router(
        (
            *(each.served_by(authority) for each in _REGISTERED),
            *(each.served_by(connected) for each in devices.OPERATIONS),
            *(unimplemented(name, _ROUTES[name]) for name in sorted(UNIMPLEMENTED)),
        )
    )


def is_operation(name: str) -> bool:
    """Return whether an operation of AWS IoT has this name, implemented or not."""
    return name in _ROUTES
