"""Owns the way from the gateway to the provisioning operations: devices of the registry as their callers."""

from thingmint.api.fleet import Fleet, Reply
from thingmint.core.errors import ThingmintError
from thingmint.mqtt.ports import FleetAnswer, FleetRequester
from thingmint.mqtt.registered_devices import RegisteredDevice


class FleetEdge:
    """Implements `ports.FleetApi` for devices of `RegisteredDevices`."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet

    async def answer(self, requester: FleetRequester, topic: str, payload: bytes) -> FleetAnswer:
        """Carry out the request that was published to the topic, and return what came of it."""
        device = requester.device
        assert isinstance(device, RegisteredDevice), "the gateway and its fleet share one registry"
        reply = await self._fleet.answer(
            device.fleet_device(requester.source_address), requester.client_id, topic, payload
        )
        return _answer(reply)

    def rejection(self, topic: str, error: ThingmintError) -> FleetAnswer:
        """Return the answer to a request that is not carried out."""
        return _answer(self._fleet.rejection(topic, error))


def _answer(reply: Reply) -> FleetAnswer:
    return FleetAnswer(reply.topic, reply.payload)
