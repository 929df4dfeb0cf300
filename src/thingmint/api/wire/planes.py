"""Owns the two halves of AWS IoT's API: which operations are the data plane's, and what each is signed for."""

from collections.abc import Mapping
from enum import Enum


class Plane(Enum):
    """Half of the API; the value is the names of services that requests to it are signed for."""

    # Control-plane calls are signed for `iot`; the mobile SDKs of 2017 sign them for `execute-api`.
    CONTROL = frozenset({"iot", "execute-api"})
    # SDKs sign for `iotdata`; AWS's documentation of DeleteConnection says `iotdevicegateway`.
    DATA = frozenset({"iotdata", "iotdevicegateway"})

    @property
    def signed_for(self) -> frozenset[str]:
        """The names of services that a signature may be scoped to."""
        return self.value


NOT_SERVED = frozenset(
    {
        "greengrass",
        "iot-jobs-data",
        "iotdeviceadvisor",
        "iotfleetwise",
        "iotmanagedintegrations",
        "IoTSecuredTunneling",
        "iotsitewise",
        "iotthingsgraph",
        "iottwinmaker",
        "iotwireless",
    }
)
"""Names that requests to AWS IoT's other services are signed for: none of them is here, whatever the path is."""

DATA_ROUTES: Mapping[str, str] = {
    "DeleteConnection": "DELETE /connections/{clientId}",
    "DeleteThingShadow": "DELETE /things/{thingName}/shadow",
    "GetConnection": "GET /connections/{clientId}",
    "GetRetainedMessage": "GET /retainedMessage/{topic}",
    "GetThingShadow": "GET /things/{thingName}/shadow",
    "ListNamedShadowsForThing": "GET /api/things/shadow/ListNamedShadowsForThing/{thingName}",
    "ListRetainedMessages": "GET /retainedMessage",
    "ListSubscriptions": "GET /connections/{clientId}/subscriptions",
    "Publish": "POST /topics/{topic}",
    "SendDirectMessage": "POST /connections/{clientId}/messages",
    "UpdateThingShadow": "POST /things/{thingName}/shadow",
}
