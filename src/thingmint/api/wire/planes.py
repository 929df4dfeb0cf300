"""Owns the planes of the API: AWS IoT's two halves and the service's own operations, and what each is signed for."""

from collections.abc import Mapping
from enum import Enum


class Plane(Enum):
    """A part of the API; the value is the names of services that requests to it are signed for."""

    # Control-plane calls are signed for `iot`; the mobile SDKs of 2017 sign them for `execute-api`.
    CONTROL = frozenset({"iot", "execute-api"})
    # SDKs sign for `iotdata`; AWS's documentation of DeleteConnection says `iotdevicegateway`.
    DATA = frozenset({"iotdata", "iotdevicegateway"})
    # What AWS IoT has not: accounts, and the controls of the test mode.
    OWN = frozenset({"thingmint"})

    @property
    def signed_for(self) -> frozenset[str]:
        """The names of services that a signature may be scoped to."""
        return self.value

    @property
    def action_prefix(self) -> str:
        """What the actions of its operations begin with in policies."""
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
"""Service names in the signatures of requests to AWS IoT's other services. None of them is here, for any path."""

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
