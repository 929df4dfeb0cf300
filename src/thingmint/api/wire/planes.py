"""Owns the planes of the API, AWS IoT's two and the service's own, and the service names in their signatures."""

from collections.abc import Mapping
from enum import Enum


class Plane(Enum):
    """A part of the API; the value is the set of service names that its requests may be signed for."""

    # Control-plane calls are signed for `iot`; the mobile SDKs of 2017 sign them for `execute-api`.
    CONTROL = frozenset({"iot", "execute-api"})
    # SDKs sign for `iotdata`; AWS's documentation of DeleteConnection says `iotdevicegateway`.
    DATA = frozenset({"iotdata", "iotdevicegateway"})
    # Operations that AWS IoT does not have: accounts, and the controls of the test mode.
    OWN = frozenset({"thingmint"})

    @property
    def signed_for(self) -> frozenset[str]:
        """The service names in the scope of valid signatures."""
        return self.value

    @property
    def action_prefix(self) -> str:
        """The prefix of its operations' actions in policies."""
        return "thingmint" if self is Plane.OWN else "iot"


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
"""Service names in the signatures of requests to AWS IoT's other services, which Thingmint does not have."""

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

OWN_ROUTES: Mapping[str, str] = {
    "CreateAccount": "POST /thingmint/accounts",
    "CreateAccountAccessKey": "POST /thingmint/accounts/{account}/access-keys",
    "DeleteAccount": "DELETE /thingmint/accounts/{account}",
    "ListAccounts": "GET /thingmint/accounts",
    "MoveClock": "POST /thingmint/test/clock",
    "Reset": "POST /thingmint/test/reset",
    "Seed": "POST /thingmint/test/seed",
}
"""The service's own operations."""
