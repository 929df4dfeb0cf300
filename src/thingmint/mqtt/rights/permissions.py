"""Owns which AWS IoT actions on which resources a packet needs; refuses to know policies."""

from typing import Final, NamedTuple

from thingmint.core.policies.device_context import ConnectAttribute
from thingmint.mqtt.codec.packets import Connect, ProtocolVersion, Publish, Will
from thingmint.mqtt.events import Refused
from thingmint.mqtt.rights.ports import DeviceAuthorizer

_CONNECT: Final = "iot:Connect"
_PUBLISH: Final = "iot:Publish"
_RETAIN_PUBLISH: Final = "iot:RetainPublish"
_SUBSCRIBE: Final = "iot:Subscribe"
_RECEIVE: Final = "iot:Receive"
# By whether the session is to outlive the connection, and whether there is a will; connections share them.
_ATTRIBUTES: Final = {
    (False, False): frozenset[ConnectAttribute](),
    (False, True): frozenset({ConnectAttribute.LAST_WILL}),
    (True, False): frozenset({ConnectAttribute.PERSISTENT_CONNECT}),
    (True, True): frozenset({ConnectAttribute.PERSISTENT_CONNECT, ConnectAttribute.LAST_WILL}),
}


class NeededPermission(NamedTuple):
    """An action on the last part of an ARN."""

    action: str
    resource: str

    def is_given_by(self, authorizer: DeviceAuthorizer) -> bool:
        """Ask the policies."""
        return authorizer.allows(self.action, self.resource)

    def refused_by(self, authorizer: DeviceAuthorizer) -> Refused:
        """Return why the policies do not give it; asked after ``is_given_by``."""
        denial = authorizer.denial(self.action, self.resource)
        return Refused(self.action, denial.reason, self.resource, denial.policy)

    def refused_for(self, reason: str) -> Refused:
        """Return that it was refused for another reason than policies."""
        return Refused(self.action, reason, self.resource)


def to_connect(client_id: str) -> NeededPermission:
    """Return what it takes to connect as this client."""
    return NeededPermission(_CONNECT, f"client/{client_id}")


def to_publish(message: Publish | Will) -> tuple[NeededPermission, ...]:
    """Return what it takes to publish the message, at once or as a will."""
    resource = f"topic/{message.topic}"
    needed = NeededPermission(_PUBLISH, resource)
    return (needed, NeededPermission(_RETAIN_PUBLISH, resource)) if message.retain else (needed,)


def to_subscribe(topic_filter: str) -> NeededPermission:
    """Return what it takes to subscribe to the whole filter, ``$share/GROUP/`` included."""
    return NeededPermission(_SUBSCRIBE, f"topicfilter/{topic_filter}")


def to_receive(topic: str) -> NeededPermission:
    """Return what it takes to be given a message of the topic; ``$share/GROUP/TOPIC`` names a shared subscription's."""
    return NeededPermission(_RECEIVE, f"topic/{topic}")


def of_connect(connect: Connect, client_id: str) -> tuple[NeededPermission, ...]:
    """Return all that a CONNECT needs: a will is a message that will be published."""
    return (to_connect(client_id), *(to_publish(connect.will) if connect.will else ()))


def attributes_of(connect: Connect) -> frozenset[ConnectAttribute]:
    """Return what the CONNECT asks for beyond a connection."""
    if connect.version is ProtocolVersion.MQTT_5:
        # In MQTT 5 a session outlives its connection if its expiry says so.
        persistent = bool(connect.properties.session_expiry_interval)
    else:
        persistent = not connect.clean_start
    return _ATTRIBUTES[persistent, connect.will is not None]
