"""Owns the backend of the operations on devices: the registry, and the connected devices."""

from collections.abc import Callable

from msgspec import Struct

from thingmint.api.devices.data_plane import AccountDevices, OperatorDataPlane
from thingmint.core.identifiers import AccountId, Scope
from thingmint.registration.kernel.authority import RegistrationAuthority


class Devices(Struct, frozen=True):
    """The registered and connected devices of all accounts; ``endpoint_of`` returns the address that they use."""

    authority: RegistrationAuthority
    data_plane: OperatorDataPlane
    endpoint_of: Callable[[AccountId], str]

    def edge_of(self, scope: Scope) -> AccountDevices:
        """Return the edge to the account's devices; raise InvalidRequest if this service has no broker for them."""
        return self.data_plane.edge_of(scope)
