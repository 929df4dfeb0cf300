"""Owns the calls of devices' operations from the gateway, with registered devices as their callers."""

from thingmint.api.devices.device_api import DeviceApi, Reply
from thingmint.api.wire.device_operation import DeviceRequest
from thingmint.core.errors import ThingmintError
from thingmint.mqtt.edges.access_key_devices import AccessKeyDevice
from thingmint.mqtt.edges.registered_devices import RegisteredDevice
from thingmint.mqtt.events import Refused
from thingmint.mqtt.rights.ports import DeviceAnswer, Requester


class DeviceCalls:
    """Implements `ports.Responder` for devices of `RegisteredDevices`."""

    def __init__(self, api: DeviceApi) -> None:
        self._api = api

    async def answer(self, requester: Requester, request: DeviceRequest, payload: bytes) -> DeviceAnswer:
        """Execute a published request, and return its result."""
        device = requester.device
        assert isinstance(device, RegisteredDevice | AccessKeyDevice), "the gateway and the API share one registry"
        caller = device.fleet_device(requester.source_address)
        return _answer(request, await self._api.answer(caller, requester.client_id, request, payload))

    def rejection(self, request: DeviceRequest, error: ThingmintError) -> DeviceAnswer:
        """Return the answer to a request that is refused before it is executed."""
        return _answer(request, self._api.rejection(request, error))


def _answer(request: DeviceRequest, reply: Reply) -> DeviceAnswer:
    qos = request.operation.most_qos
    if reply.refusal is None:
        return DeviceAnswer(reply.topic, reply.payload, most_qos=qos)
    reason, detail = reply.refusal
    refused = Refused(request.operation.name, reason, f"topic/{request.topic}", detail=detail)
    return DeviceAnswer(reply.topic, reply.payload, refused, qos)
