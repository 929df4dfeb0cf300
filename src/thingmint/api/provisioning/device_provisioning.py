"""Owns the messages and handlers of devices' provisioning operations. Independent of MQTT and policies.

The messages are those of AWS's device provisioning MQTT API. Their rules are in
`registration.provisioning.device_provisioning`.
"""

from typing import Annotated, Final, TypeAlias

from msgspec import Struct

from thingmint.api.wire.device_operation import DeviceCall, DeviceOperation, Hearer, Members
from thingmint.api.wire.reading.binding import compile_object_binder
from thingmint.api.wire.reading.constraints import Constraint
from thingmint.core.errors import InvalidRequest
from thingmint.core.identifiers import parse_template_name
from thingmint.core.topics.patterns import (
    CREATE_CERTIFICATE_FROM_CSR,
    CREATE_KEYS_AND_CERTIFICATE,
    REGISTER_THING,
    TEMPLATE_NAME,
)
from thingmint.issuance.encoding.pem import sent_pem
from thingmint.registration.kernel.authority import RegistrationAuthority
from thingmint.registration.provisioning import device_provisioning
from thingmint.registration.provisioning.device_provisioning import IssuedIdentity

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
        """Return a text without the token, because with it anyone could finish the device's registration."""
        return "RegisterThingPayload(...)"


_bind_csr = compile_object_binder(CreateFromCsrPayload)
_bind_registration = compile_object_binder(RegisterThingPayload)


async def create_keys_and_certificate(authority: RegistrationAuthority, call: DeviceCall) -> Members:
    """Issue a certificate for a new key, and return both."""
    issued, key_pair = await device_provisioning.create_keys(authority, call.device)
    return {**_identity(issued), "privateKey": key_pair.private_key_pem.decode("ascii")}


async def create_certificate_from_csr(authority: RegistrationAuthority, call: DeviceCall) -> Members:
    """Issue a certificate for the key of a signing request; raise SigningRequestRefused if it is not accepted."""
    csr_pem = _bind_csr(call.members).certificate_signing_request
    try:
        return _identity(await device_provisioning.create_from_csr(authority, call.device, csr_pem, call.client_id))
    except InvalidRequest as error:
        raise SigningRequestRefused(error.message) from error


async def register_thing(authority: RegistrationAuthority, call: DeviceCall) -> Members:
    """Provision the device by the template that the topic names, and return its configuration."""
    request = _bind_registration(call.members)
    provisioned = await device_provisioning.register_thing(
        authority,
        call.device,
        parse_template_name(call.names[TEMPLATE_NAME]),
        request.certificate_ownership_token,
        request.parameters or {},
        call.client_id,
    )
    members: Members = {"deviceConfiguration": dict(provisioned.device_configuration)}
    if provisioned.thing_name is not None:
        members["thingName"] = provisioned.thing_name
    return members


def _identity(issued: IssuedIdentity) -> Members:
    return {
        "certificateId": issued.certificate.certificate_id,
        "certificatePem": sent_pem(issued.certificate),
        "certificateOwnershipToken": issued.ownership_token,
    }


PROVISIONING: Final = (
    DeviceOperation(
        "CreateKeysAndCertificate",
        CREATE_KEYS_AND_CERTIFICATE,
        Hearer.REQUESTER,
        create_keys_and_certificate,
        # Documented as empty. Some SDKs send an empty object, others an empty string.
        reads_payload=False,
        generates_key=True,
    ),
    DeviceOperation(
        "CreateCertificateFromCsr", CREATE_CERTIFICATE_FROM_CSR, Hearer.REQUESTER, create_certificate_from_csr
    ),
    DeviceOperation("RegisterThing", REGISTER_THING, Hearer.REQUESTER, register_thing),
)
