"""Owns DescribeEndpoint, which returns one address for every endpoint type that is served."""

from typing import Annotated

from msgspec import Struct

from thingmint.api.devices.backend import Devices
from thingmint.api.wire.reading.binding import QUERY
from thingmint.api.wire.reading.constraints import Constraint
from thingmint.core.caller import Caller
from thingmint.core.errors import InvalidRequest

# The endpoint types in the service model's documentation of DescribeEndpoint.
_SERVED = frozenset({"iot:Data", "iot:Data-ATS", "iot:Data-Beta"})
_NOT_SERVED = frozenset({"iot:CredentialProvider", "iot:Jobs"})


class DescribeEndpointRequest(Struct, frozen=True, kw_only=True, rename="camel"):
    endpoint_type: Annotated[str, QUERY, Constraint(max_length=128, pattern=r"[\s\S]*")] = "iot:Data"


class DescribeEndpointResponse(Struct, frozen=True, kw_only=True, rename="camel"):
    endpoint_address: str


async def describe_endpoint(
    devices: Devices, caller: Caller, request: DescribeEndpointRequest
) -> DescribeEndpointResponse:
    """Answer with the address for devices; raise InvalidRequest for a type that is unknown or not served.

    It is the first of ``server_names`` that has the account's number, or else the first without a number.
    """
    if request.endpoint_type in _NOT_SERVED:
        raise InvalidRequest(f"Endpoint type {request.endpoint_type!r} is not served by Thingmint")
    if request.endpoint_type not in _SERVED:
        raise InvalidRequest(f"Endpoint type {request.endpoint_type!r} is not one of {', '.join(sorted(_SERVED))}")
    return DescribeEndpointResponse(endpoint_address=devices.endpoint_of(caller.account))
