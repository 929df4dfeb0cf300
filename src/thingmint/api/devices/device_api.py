"""Owns the table of all device operations, and the answers to them. Independent of MQTT and policies."""

from dataclasses import dataclass, field
from typing import Final

from thingmint.api.devices.reserved_topics import NOT_SERVED, RESERVED
from thingmint.api.provisioning.device_provisioning import PROVISIONING, SigningRequestRefused
from thingmint.api.wire.device_operation import DeviceCall, DeviceOperations, DeviceRequest
from thingmint.api.wire.errors import INTERNAL_FAILURE, ErrorMap
from thingmint.api.wire.reading.payloads import PayloadInvalid, decode_payload, encode_payload
from thingmint.core.errors import AccessDenied, InvalidParameters, ThingmintError, Throttled, UpdateConflict
from thingmint.core.provisioning.ownership import OwnershipTokenInvalid
from thingmint.core.topics.patterns import AnswerOutcome, answer_topic
from thingmint.registration.kernel.authority import RegistrationAuthority
from thingmint.registration.provisioning.device_provisioning import FleetDevice

DEVICE_OPERATIONS: Final = DeviceOperations((*PROVISIONING, *RESERVED, *NOT_SERVED))

# AWS's error names and codes on MQTT, where they differ from those of HTTP without "Exception". Those of tokens,
# parameters and denials were observed; the others are Thingmint's (docs/divergences.md).
_REFUSALS: tuple[tuple[type[ThingmintError], str, int], ...] = (
    (OwnershipTokenInvalid, "InvalidCertificateOwnershipToken", 400),
    (InvalidParameters, "InvalidParameters", 400),
    (PayloadInvalid, "InvalidPayload", 400),
    (SigningRequestRefused, "InvalidCertificateSigningRequest", 400),
    (AccessDenied, "AccessDenied", 403),
    (UpdateConflict, "ResourceConflict", 409),
    (Throttled, "Throttled", 429),
)


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer to the connection that sent the request. No other connection may get it: it may hold a private key."""

    topic: str
    payload: bytes = field(repr=False)
    refusal: tuple[str, str] | None = None
    """The name of the error and its message, if the request was refused."""


class DeviceApi:
    """Answers the operations of `DEVICE_OPERATIONS` that have a handler."""

    def __init__(self, authority: RegistrationAuthority) -> None:
        self._authority = authority
        self._errors = ErrorMap()

    async def answer(self, device: FleetDevice, client_id: str, request: DeviceRequest, payload: bytes) -> Reply:
        """Carry out a request and return the answer, which may be a refusal.

        Raises only failures of the service.
        """
        operation = request.operation
        assert operation.handler is not None, "the gateway asks only for what is answered"
        try:
            members = decode_payload(payload, request.format) if operation.reads_payload else {}
            found = await operation.handler(self._authority, DeviceCall(device, client_id, request.names, members))
        except ThingmintError as error:
            return self.rejection(request, error)
        return Reply(answer_topic(request.topic, AnswerOutcome.ACCEPTED), encode_payload(found, request.format))

    def rejection(self, request: DeviceRequest, error: ThingmintError) -> Reply:
        """Return the refusal of a request, in the format of its topic."""
        name, status = self._name(error)
        members = {"statusCode": status, "errorCode": name, "errorMessage": error.message}
        topic = answer_topic(request.topic, AnswerOutcome.REJECTED)
        return Reply(topic, encode_payload(members, request.format), (name, error.message))

    def _name(self, error: ThingmintError) -> tuple[str, int]:
        for kind, name, status in _REFUSALS:
            if isinstance(error, kind):
                return name, status
        answer = self._errors.answer(error)
        name = "InternalError" if answer.name == INTERNAL_FAILURE else answer.name.removesuffix("Exception")
        return name, answer.status
