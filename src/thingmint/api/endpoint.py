"""Owns DescribeEndpoint: one address for every kind of endpoint that AWS IoT has."""

from typing import Annotated

from msgspec import Struct

from thingmint.api.binding import QUERY
from thingmint.api.constraints import Constraint
from thingmint.api.operation import Operation, implemented
from thingmint.core.caller import Caller
from thingmint.core.errors import InvalidRequest

# The types that the service model's documentation of DescribeEndpoint names.
_TYPES = frozenset({"iot:Data", "iot:Data-ATS", "iot:Data-Beta", "iot:CredentialProvider", "iot:Jobs"})


class DescribeEndpointRequest(Struct, frozen=True, kw_only=True, rename="camel"):
    endpoint_type: Annotated[str, QUERY, Constraint(max_length=128, pattern=r"[\s\S]*")] = "iot:Data"


class DescribeEndpointResponse(Struct, frozen=True, kw_only=True, rename="camel"):
    endpoint_address: str


def endpoint_operations(address: str) -> tuple[Operation, ...]:
    """Return the operation, answering with the address."""

    async def describe_endpoint(caller: Caller, request: DescribeEndpointRequest) -> DescribeEndpointResponse:
        """Answer with the address; raise InvalidRequest for a type that AWS IoT does not have."""
        del caller
        if request.endpoint_type not in _TYPES:
            raise InvalidRequest(f"Endpoint type {request.endpoint_type!r} is not one of {', '.join(sorted(_TYPES))}")
        return DescribeEndpointResponse(endpoint_address=address)

    return (implemented("DescribeEndpoint", describe_endpoint, DescribeEndpointRequest, DescribeEndpointResponse),)
