"""Owns the topics on which devices ask for certificates and provisioning; knows neither payloads nor connections."""

from dataclasses import dataclass
from enum import StrEnum

from thingmint.core.errors import InvalidRequest


class FleetOperation(StrEnum):
    """The operations of AWS IoT's provisioning API for devices."""

    CREATE_KEYS_AND_CERTIFICATE = "CreateKeysAndCertificate"
    CREATE_CERTIFICATE_FROM_CSR = "CreateCertificateFromCsr"
    REGISTER_THING = "RegisterThing"


class PayloadFormat(StrEnum):
    """How payloads are written; the topic says it, for the request and for its answer."""

    JSON = "json"
    CBOR = "cbor"


@dataclass(frozen=True, slots=True)
class FleetTopic:
    """A topic taken apart; ``template`` is text that nobody has checked yet, and empty but for RegisterThing."""

    operation: FleetOperation
    format: PayloadFormat
    template: str = ""


_CREATIONS = {
    "create": FleetOperation.CREATE_KEYS_AND_CERTIFICATE,
    "create-from-csr": FleetOperation.CREATE_CERTIFICATE_FROM_CSR,
}
_FORMATS = {format_.value: format_ for format_ in PayloadFormat}


def parse_topic(topic: str) -> FleetTopic:
    """Return what a request on the topic asks for; raise InvalidRequest for any other topic."""
    match topic.split("/"):
        case ["$aws", "certificates", creation, format_] if creation in _CREATIONS and format_ in _FORMATS:
            return FleetTopic(_CREATIONS[creation], _FORMATS[format_])
        case ["$aws", "provisioning-templates", template, "provision", format_] if format_ in _FORMATS:
            return FleetTopic(FleetOperation.REGISTER_THING, _FORMATS[format_], template)
        case _:
            raise InvalidRequest("No provisioning operation answers on this topic")


def accepted(topic: str) -> str:
    """Return the topic of the answer to a request that was carried out."""
    return f"{topic}/accepted"


def rejected(topic: str) -> str:
    """Return the topic of the answer to a request that was not."""
    return f"{topic}/rejected"
