"""Requests of devices, as the gateway finds them by their topics."""

from thingmint.api.devices.device_api import DEVICE_OPERATIONS
from thingmint.api.wire.device_operation import DeviceRequest


def asked(topic: str) -> DeviceRequest:
    """Return what a message to the topic asks for."""
    found = DEVICE_OPERATIONS.find(topic)
    assert found is not None, topic
    return found
