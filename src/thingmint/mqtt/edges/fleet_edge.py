"""Owns the way from the gateway to the provisioning operations: devices of the registry as their callers."""

from thingmint.api.provisioning.fleet import Fleet, Reply
from thingmint.api.wire.topics import parse_topic
from thingmint.core.errors import ThingmintError
from thingmint.mqtt.edges.registered_devices import RegisteredDevice
from thingmint.mqtt.events import Refused
from thingmint.mqtt.rights.ports import FleetAnswer, FleetRequester


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
        return _answer(topic, reply)

    def rejection(self, topic: str, error: ThingmintError) -> FleetAnswer:
        """Return the answer to a request that is not carried out."""
        return _answer(topic, self._fleet.rejection(topic, error))


def _answer(topic: str, reply: Reply) -> FleetAnswer:
    if reply.refusal is None:
        return FleetAnswer(reply.topic, reply.payload)
    reason, detail = reply.refusal
    refused = Refused(parse_topic(topic).operation.value, reason, f"topic/{topic}", detail=detail)
    return FleetAnswer(reply.topic, reply.payload, refused)
