"""The versions of MQTT, each of which a test with this fixture runs with."""

import pytest
from tests.support.devices.mqtt_peer import V3, V5

from thingmint.mqtt.codec.packets import ProtocolVersion


@pytest.fixture(params=[V3, V5], ids=["3.1.1", "5"])
def version(request: pytest.FixtureRequest) -> ProtocolVersion:
    assert isinstance(request.param, ProtocolVersion)
    return request.param
