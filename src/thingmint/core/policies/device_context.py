"""Owns the condition keys of a device's connection. Independent of sockets and storage."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from thingmint.core.identifiers import CertificateId, Scope, topic_arn
from thingmint.core.policies.certificate_variables import (
    CertificateNames,
    certificate_keys,
    unsubstitutable_certificate_keys,
)
from thingmint.core.policies.conditions import RequestContext
from thingmint.core.registry.thing import Thing, ThingPrincipalType

# A client with the ID + or # must not read the topics of other clients through topicfilter/${iot:ClientId}.
_MQTT_WILDCARDS = frozenset("+#")


class ConnectAttribute(StrEnum):
    """A feature that a CONNECT requests and that a policy must allow."""

    PERSISTENT_CONNECT = "PersistentConnect"
    LAST_WILL = "LastWill"


@dataclass(frozen=True, slots=True)
class ConnectionContext:
    """A device that connects; unknown values are None. ``thing`` is the thing that it connects as."""

    client_id: str | None = None
    source_address: str | None = None
    domain_name: str | None = None
    certificate_id: CertificateId | None = None
    certificate_names: CertificateNames = field(default_factory=dict)
    thing: Thing | None = None


def connected_thing(client_id: str, attachments: Iterable[tuple[Thing, ThingPrincipalType]]) -> Thing | None:
    """Return which of the certificate's things a client with this ID connects as.

    With an exclusive attachment it is that thing; otherwise it is the thing whose name is the client ID.
    """
    for thing, kind in attachments:
        if kind is ThingPrincipalType.EXCLUSIVE_THING or thing.name == client_id:
            return thing
    return None


def device_context(connection: ConnectionContext) -> RequestContext:
    """Return the condition keys that do not change during the connection."""
    names = certificate_keys(connection.certificate_names)
    own = {key: (value,) for key, value in _own_keys(connection) if value is not None}
    wild = {key.lower() for key, (value,) in own.items() if _has_wildcard(value)}
    return RequestContext({**names, **own}, unsubstitutable_certificate_keys(names) | wild)


def access_key_context(connection: ConnectionContext, conditions: Mapping[str, tuple[str, ...]]) -> RequestContext:
    """Return the condition keys of a connection by an access key: its own, and those of its user and its request.

    There are no keys of certificates and things, as at AWS IoT.
    """
    own = {key: (value,) for key, value in _client_keys(connection) if value is not None}
    together = {**conditions, **own}
    wild = {key.lower() for key, values in together.items() if any(map(_has_wildcard, values))}
    return RequestContext(together, frozenset(wild))


def connect_context(
    context: RequestContext, scope: Scope, attributes: Iterable[ConnectAttribute], last_will_topic: str | None
) -> RequestContext:
    """Return the condition keys of iot:Connect: those of the connection and those of the CONNECT."""
    asked = {"iot:ConnectAttributes": tuple(str(attribute) for attribute in attributes)}
    if last_will_topic is not None:
        asked["iot:LastWillTopic"] = (topic_arn(scope, last_will_topic),)
    return context.extended(asked)


def _has_wildcard(value: str) -> bool:
    return not _MQTT_WILDCARDS.isdisjoint(value)


def _own_keys(connection: ConnectionContext) -> list[tuple[str, str | None]]:
    return [
        *_client_keys(connection),
        ("iot:CertificateId", connection.certificate_id),
        *_thing_keys(connection.thing),
    ]


def _client_keys(connection: ConnectionContext) -> list[tuple[str, str | None]]:
    return [
        ("iot:ClientId", connection.client_id),
        ("aws:SourceIp", connection.source_address),
        ("iot:DomainName", connection.domain_name),
    ]


def _thing_keys(thing: Thing | None) -> list[tuple[str, str | None]]:
    prefix = "iot:Connection.Thing."
    if thing is None:
        return [(f"{prefix}IsAttached", "false")]
    return [
        (f"{prefix}IsAttached", "true"),
        (f"{prefix}ThingName", thing.name),
        (f"{prefix}ThingTypeName", thing.type_name),
        *((f"{prefix}Attributes[{name}]", value) for name, value in thing.attributes.pairs),
    ]
