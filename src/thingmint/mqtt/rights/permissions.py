"""Owns the AWS IoT actions and resources that a packet needs. Independent of policies."""

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
# By whether the session lasts longer than the connection, and whether there is a will. Connections share the sets.
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
        """Return whether the policies allow it."""
        return authorizer.allows(self.action, self.resource)

    def refused_by(self, authorizer: DeviceAuthorizer) -> Refused:
        """Return why the policies do not allow it; call this after ``is_given_by`` has returned False."""
        denial = authorizer.denial(self.action, self.resource)
        return Refused(self.action, denial.reason, self.resource, denial.policy)

    def refused_for(self, reason: str) -> Refused:
        """Return a refusal for another reason than policies."""
        return Refused(self.action, reason, self.resource)


def to_connect(client_id: str) -> NeededPermission:
    """Return the permission to connect with this client id."""
    return NeededPermission(_CONNECT, f"client/{client_id}")


def to_publish(message: Publish | Will) -> tuple[NeededPermission, ...]:
    """Return the permissions to publish the message, at once or as a will."""
    resource = f"topic/{message.topic}"
    needed = NeededPermission(_PUBLISH, resource)
    return (needed, NeededPermission(_RETAIN_PUBLISH, resource)) if message.retain else (needed,)


def to_subscribe(topic_filter: str) -> NeededPermission:
    """Return the permission to subscribe to the filter, including ``$share/GROUP/``."""
    return NeededPermission(_SUBSCRIBE, f"topicfilter/{topic_filter}")


def to_receive(topic: str) -> NeededPermission:
    """Return the permission to receive a message on the topic; ``$share/GROUP/TOPIC`` for a shared subscription."""
    return NeededPermission(_RECEIVE, f"topic/{topic}")


def of_connect(connect: Connect, client_id: str) -> tuple[NeededPermission, ...]:
    """Return all permissions that a CONNECT needs, including those to publish its will."""
    return (to_connect(client_id), *(to_publish(connect.will) if connect.will else ()))


def attributes_of(connect: Connect) -> frozenset[ConnectAttribute]:
    """Return the attributes of a CONNECT that conditions in policies may test."""
    if connect.version is ProtocolVersion.MQTT_5:
        # In MQTT 5 a session with an expiry interval lasts longer than its connection.
        persistent = bool(connect.properties.session_expiry_interval)
    else:
        persistent = not connect.clean_start
    return _ATTRIBUTES[persistent, connect.will is not None]
