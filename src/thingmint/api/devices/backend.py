"""Owns what the operations on devices work with: the registry, and the devices that are connected."""

from collections.abc import Callable
from dataclasses import dataclass

from thingmint.api.devices.data_plane import AccountDevices, OperatorDataPlane
from thingmint.core.identifiers import AccountId, Scope
from thingmint.registration.kernel.authority import RegistrationAuthority


@dataclass(frozen=True, slots=True)
class Devices:
    """The devices of all accounts, as registered and as connected; ``endpoint_of`` is the address they connect to."""

    authority: RegistrationAuthority
    data_plane: OperatorDataPlane
    endpoint_of: Callable[[AccountId], str]

    def edge_of(self, scope: Scope) -> AccountDevices:
        """Return the edge to the account's devices; raise InvalidRequest if they have no place here."""
        return self.data_plane.edge_of(scope)
