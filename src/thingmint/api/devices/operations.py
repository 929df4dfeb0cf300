"""Owns the table of operations on connected devices, their messages and the endpoint that they connect to."""

from thingmint.api.devices import device_connections, device_messages, endpoint, thing_connectivity
from thingmint.api.devices.backend import Devices
from thingmint.api.devices.device_connections import socket_context, topic_context
from thingmint.api.devices.device_messages import retain_permission
from thingmint.api.wire.operation import Implemented, operation
from thingmint.api.wire.resources import in_path

_CLIENT = in_path("client", "clientId")
_THING = in_path("thing", "thingName")
_TOPIC = in_path("topic", "topic")

OPERATIONS: tuple[Implemented[Devices], ...] = (
    operation(endpoint.describe_endpoint),
    operation(device_connections.delete_connection, _CLIENT),
    operation(device_connections.get_connection, _CLIENT, context=socket_context),
    operation(device_connections.send_direct_message, _CLIENT, context=topic_context),
    operation(thing_connectivity.get_thing_connectivity_data, _THING, context=thing_connectivity.sockets_asked_for),
    operation(device_messages.publish, _TOPIC, further=retain_permission),
    operation(device_messages.get_retained_message, _TOPIC),
    operation(device_messages.list_retained_messages),
)
