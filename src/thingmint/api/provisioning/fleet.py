"""Owns the provisioning operations of devices: their messages, answers and refusals; knows neither MQTT nor policies.

The messages are those of AWS's device provisioning MQTT API. Rules: `registration.provisioning.fleet`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, TypeAlias

from msgspec import Struct

from thingmint.api.wire.binding import compile_object_binder
from thingmint.api.wire.constraints import Constraint
from thingmint.api.wire.errors import INTERNAL_FAILURE, ErrorMap
from thingmint.api.wire.payloads import PayloadInvalid, decode_payload, encode_payload
from thingmint.api.wire.topics import FleetOperation, FleetTopic, accepted, parse_topic, rejected
from thingmint.core.errors import (
    AccessDenied,
    InvalidParameters,
    InvalidRequest,
    ThingmintError,
    Throttled,
    UpdateConflict,
)
from thingmint.core.identifiers import parse_template_name
from thingmint.core.provisioning.ownership import OwnershipTokenInvalid
from thingmint.issuance.pem import sent_pem
from thingmint.registration.kernel.authority import RegistrationAuthority
from thingmint.registration.provisioning import fleet
from thingmint.registration.provisioning.fleet import Device, IssuedIdentity

Members: TypeAlias = dict[str, object]

# The limits of RegisterThing over HTTP; the MQTT API documents none.
ParameterName: TypeAlias = Annotated[str, Constraint(max_length=2048)]
ParameterValue: TypeAlias = Annotated[str, Constraint(max_length=4096)]


class SigningRequestRefused(InvalidRequest):
    """The certificate signing request is not accepted."""


class CreateFromCsrPayload(Struct, frozen=True, kw_only=True, rename="camel"):
    certificate_signing_request: Annotated[str, Constraint(min_length=1, max_length=4096)]


class RegisterThingPayload(Struct, frozen=True, kw_only=True, rename="camel"):
    certificate_ownership_token: str = ""
    parameters: dict[ParameterName, ParameterValue] | None = None

    def __repr__(self) -> str:
        """Return no token: whoever has it can finish the device's registration."""
        return "RegisterThingPayload(...)"


# AWS's words and numbers on MQTT, where they are not those of HTTP without "Exception". Those of tokens, parameters and
# denials were seen; the others are ours (docs/divergences.md).
_REFUSALS: tuple[tuple[type[ThingmintError], str, int], ...] = (
    (OwnershipTokenInvalid, "InvalidCertificateOwnershipToken", 400),
    (InvalidParameters, "InvalidParameters", 400),
    (PayloadInvalid, "InvalidPayload", 400),
    (SigningRequestRefused, "InvalidCertificateSigningRequest", 400),
    (AccessDenied, "AccessDenied", 403),
    (UpdateConflict, "ResourceConflict", 409),
    (Throttled, "Throttled", 429),
)

_bind_csr = compile_object_binder(CreateFromCsrPayload)
_bind_registration = compile_object_binder(RegisterThingPayload)


@dataclass(frozen=True, slots=True)
class Reply:
    """What goes back to the connection that asked, and to no other: the payload may hold a private key."""

    topic: str
    payload: bytes = field(repr=False)
    refusal: tuple[str, str] | None = None
    """The name of the error and its message, if the request was refused."""


class Fleet:
    """Answers what devices publish to the provisioning topics."""

    def __init__(self, authority: RegistrationAuthority) -> None:
        self._authority = authority
        self._errors = ErrorMap()

    async def answer(self, device: Device, client_id: str, topic: str, payload: bytes) -> Reply:
        """Carry out a request and return what came of it; a refusal is an answer, too.

        Raises what is neither: the failures of the service, and InvalidRequest for a topic without an operation.
        """
        request = parse_topic(topic)
        try:
            members = await self._members(device, client_id, request, payload)
        except ThingmintError as error:
            return self.rejection(topic, error)
        return Reply(accepted(topic), encode_payload(members, request.format))

    def rejection(self, topic: str, error: ThingmintError) -> Reply:
        """Return the refusal of a request in the format of its topic."""
        name, status = self._name(error)
        members = {"statusCode": status, "errorCode": name, "errorMessage": error.message}
        return Reply(rejected(topic), encode_payload(members, parse_topic(topic).format), (name, error.message))

    async def _members(self, device: Device, client_id: str, request: FleetTopic, payload: bytes) -> Members:
        if request.operation is FleetOperation.CREATE_KEYS_AND_CERTIFICATE:
            # Documented as empty; SDKs send an empty object, others an empty string. Nothing in it could matter.
            return await self._create_keys(device)
        decoded = decode_payload(payload, request.format)
        if request.operation is FleetOperation.CREATE_CERTIFICATE_FROM_CSR:
            return await self._create_from_csr(device, client_id, decoded)
        return await self._register_thing(device, client_id, request.template, decoded)

    async def _create_keys(self, device: Device) -> Members:
        issued, key_pair = await fleet.create_keys(self._authority, device)
        return {**_identity(issued), "privateKey": key_pair.private_key_pem.decode("ascii")}

    async def _create_from_csr(self, device: Device, client_id: str, decoded: Mapping[str, object]) -> Members:
        csr_pem = _bind_csr(decoded).certificate_signing_request
        try:
            return _identity(await fleet.create_from_csr(self._authority, device, csr_pem, client_id))
        except InvalidRequest as error:
            raise SigningRequestRefused(error.message) from error

    async def _register_thing(
        self, device: Device, client_id: str, template: str, decoded: Mapping[str, object]
    ) -> Members:
        request = _bind_registration(decoded)
        provisioned = await fleet.register_thing(
            self._authority,
            device,
            parse_template_name(template),
            request.certificate_ownership_token,
            request.parameters or {},
            client_id,
        )
        members: Members = {"deviceConfiguration": dict(provisioned.device_configuration)}
        if provisioned.thing_name is not None:
            members["thingName"] = provisioned.thing_name
        return members

    def _name(self, error: ThingmintError) -> tuple[str, int]:
        for kind, name, status in _REFUSALS:
            if isinstance(error, kind):
                return name, status
        answer = self._errors.answer(error)
        name = "InternalError" if answer.name == INTERNAL_FAILURE else answer.name.removesuffix("Exception")
        return name, answer.status


def _identity(issued: IssuedIdentity) -> Members:
    return {
        "certificateId": issued.certificate.certificate_id,
        "certificatePem": sent_pem(issued.certificate),
        "certificateOwnershipToken": issued.ownership_token,
    }
