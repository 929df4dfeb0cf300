"""Owns the whole API: the tables of all families, and one router to every operation of AWS IoT."""

from collections.abc import Callable, Sequence
from typing import Final, TypeAlias

from thingmint.api.accounts import operations as accounts
from thingmint.api.accounts.accounts import Administration
from thingmint.api.certificates import operations as certificates
from thingmint.api.devices import operations as devices
from thingmint.api.devices.backend import Devices
from thingmint.api.devices.data_plane import OperatorDataPlane
from thingmint.api.policies import operations as policies
from thingmint.api.provisioning import operations as provisioning
from thingmint.api.registry import operations as registry
from thingmint.api.test_mode import operations as test_mode
from thingmint.api.test_mode.controls import ClockOfTests, Controls
from thingmint.api.test_mode.seeding import Seeding
from thingmint.api.wire.operation import Operation, Served, unimplemented
from thingmint.api.wire.planes import DATA_ROUTES
from thingmint.api.wire.routes import ROUTES
from thingmint.core.identifiers import AccountId
from thingmint.registration.kernel.authority import RegistrationAuthority

_REGISTERED: Final = (
    *certificates.OPERATIONS,
    *policies.OPERATIONS,
    *provisioning.OPERATIONS,
    *registry.OPERATIONS,
)
OPERATIONS: Final[tuple[Operation, ...]] = (*_REGISTERED, *devices.OPERATIONS)
"""The implemented operations of both planes."""

_ROUTES: Final = {**ROUTES, **DATA_ROUTES}
UNIMPLEMENTED: Final = frozenset(_ROUTES) - {operation.name for operation in OPERATIONS}
"""The names of AWS IoT's operations that are not implemented."""

Endpoint: TypeAlias = str | Callable[[AccountId], str]
"""One address for all accounts, or a function that returns the address of each."""


def served_operations(
    authority: RegistrationAuthority, endpoint: Endpoint, data_plane: OperatorDataPlane
) -> tuple[Served, ...]:
    """Return every operation of AWS IoT, with its function; DescribeEndpoint answers with ``endpoint``."""
    connected = Devices(authority, data_plane, endpoint if callable(endpoint) else lambda account: endpoint)
    return (
        *(each.served_by(authority) for each in _REGISTERED),
        *(each.served_by(connected) for each in devices.OPERATIONS),
        *(unimplemented(name, _ROUTES[name]) for name in sorted(UNIMPLEMENTED)),
    )


def own_operations(administration: Administration) -> tuple[Served, ...]:
    """Return the service's own operations, which AWS IoT does not have."""
    return tuple(each.served_by(administration) for each in accounts.OPERATIONS)


def operations_of_test_mode(
    administration: Administration, clock: ClockOfTests, served: Sequence[Served]
) -> tuple[Served, ...]:
    """Return the operations of the test mode; a seed may call the implemented operations of ``served``."""
    seedable = {each.operation.name: each for each in served if each.operation.request is not None}
    controls = Controls(administration, clock, Seeding(seedable))
    return tuple(each.served_by(controls) for each in test_mode.OPERATIONS)


def is_operation(name: str) -> bool:
    """Return whether an operation of AWS IoT has this name, implemented or not."""
    return name in _ROUTES
