"""Owns the messages and operations of users' own CA certificates. Their rules are in `registration`."""

from typing import Annotated, TypeAlias

from msgspec import field

from thingmint.api.wire.listing import Listing
from thingmint.api.wire.messages import (
    CertificateIdText,
    CertificateText,
    Marker,
    Message,
    PageSize,
    Tag,
    Timestamp,
    tags_of,
)
from thingmint.api.wire.reading.binding import BODY, PATH, QUERY
from thingmint.api.wire.reading.codec import epoch_seconds
from thingmint.api.wire.reading.constraints import Constraint
from thingmint.core.caller import Caller
from thingmint.core.certificates.ca_certificate import (
    AutoRegistrationStatus,
    CACertificate,
    CACertificateStatus,
    CACertificateSummary,
    CACertificateUpdate,
    RegistrationConfig,
)
from thingmint.core.certificates.certificate import CertificateMode
from thingmint.core.identifiers import parse_certificate_id
from thingmint.core.provisioning.registration_config import registration_config
from thingmint.issuance.encoding.pem import sent_pem
from thingmint.registration.certificates import ca_certificates
from thingmint.registration.certificates.ca_certificates import CARegistration
from thingmint.registration.kernel.authority import RegistrationAuthority

TemplateNameText: TypeAlias = Annotated[str, Constraint(min_length=1, max_length=36, pattern="^[0-9A-Za-z_-]+$")]


class RegistrationConfigMessage(Message, frozen=True, kw_only=True):
    template_body: Annotated[str | None, Constraint(min_length=0, max_length=10240, pattern=r"[\s\S]*")] = None
    role_arn: Annotated[str | None, Constraint(min_length=20, max_length=2048)] = None
    template_name: TemplateNameText | None = None


class RegisterCACertificateRequest(Message, frozen=True, kw_only=True):
    ca_certificate: Annotated[CertificateText, BODY]
    verification_certificate: Annotated[CertificateText | None, BODY] = None
    set_as_active: Annotated[bool | None, QUERY] = None
    allow_auto_registration: Annotated[bool | None, QUERY] = None
    registration_config: Annotated[RegistrationConfigMessage | None, BODY] = None
    tags: Annotated[list[Tag] | None, BODY] = None
    certificate_mode: Annotated[CertificateMode | None, BODY] = None


class RegisterCACertificateResponse(Message, frozen=True, kw_only=True):
    certificate_arn: str
    certificate_id: str


async def register_ca_certificate(
    authority: RegistrationAuthority, caller: Caller, request: RegisterCACertificateRequest
) -> RegisterCACertificateResponse:
    """Register a CA certificate and answer with its identifiers.

    In DEFAULT mode, a verification certificate is needed, and one account of a region can have the CA. In SNI_ONLY
    mode, none is needed, and many accounts can. At most ten CAs with one subject.
    """
    brought = CARegistration(
        ca_certificate_pem=request.ca_certificate,
        verification_pem=request.verification_certificate,
        mode=request.certificate_mode or CertificateMode.DEFAULT,
        active=bool(request.set_as_active),
        auto_registration=bool(request.allow_auto_registration),
        registration_config=_config(request.registration_config),
        tags=tags_of(request.tags),
    )
    registered = await ca_certificates.register(authority, caller, brought)
    return RegisterCACertificateResponse(certificate_arn=registered.arn, certificate_id=registered.certificate_id)


class DescribeCACertificateRequest(Message, frozen=True, kw_only=True):
    certificate_id: Annotated[CertificateIdText, PATH] = field(name="caCertificateId")


class CAValidity(Message, frozen=True, kw_only=True):
    not_before: Timestamp
    not_after: Timestamp


class CACertificateDescription(Message, frozen=True, kw_only=True):
    certificate_arn: str
    certificate_id: str
    status: CACertificateStatus
    certificate_pem: str
    owned_by: str
    creation_date: Timestamp
    auto_registration_status: AutoRegistrationStatus
    last_modified_date: Timestamp
    customer_version: int
    generation_id: str
    validity: CAValidity
    certificate_mode: CertificateMode


class DescribeCACertificateResponse(Message, frozen=True, kw_only=True):
    certificate_description: CACertificateDescription
    registration_config: RegistrationConfigMessage | None = None


async def describe_ca_certificate(
    authority: RegistrationAuthority, caller: Caller, request: DescribeCACertificateRequest
) -> DescribeCACertificateResponse:
    """Answer with everything that is known of a CA certificate."""
    certificate_id = parse_certificate_id(request.certificate_id)
    ca_certificate = await ca_certificates.describe(authority, caller, certificate_id)
    return DescribeCACertificateResponse(
        certificate_description=_description(ca_certificate),
        registration_config=_config_message(ca_certificate.registration_config),
    )


class ListCACertificatesRequest(Message, frozen=True, kw_only=True):
    page_size: Annotated[PageSize | None, QUERY] = None
    marker: Annotated[Marker | None, QUERY] = None
    ascending_order: Annotated[bool | None, QUERY] = field(default=None, name="isAscendingOrder")
    template_name: Annotated[TemplateNameText | None, QUERY] = None


class CACertificateEntry(Message, frozen=True, kw_only=True):
    certificate_arn: str
    certificate_id: str
    status: CACertificateStatus
    creation_date: Timestamp


class ListCACertificatesResponse(Message, frozen=True, kw_only=True):
    certificates: list[CACertificateEntry]
    next_marker: str | None = None


async def list_ca_certificates(
    authority: RegistrationAuthority, caller: Caller, request: ListCACertificatesRequest
) -> ListCACertificatesResponse:
    """Answer with a page of the account's CA certificates, newest first unless asked otherwise.

    With ``templateName``, only those that provision with this template.
    """
    template_name = request.template_name
    filters = () if template_name is None else (template_name,)
    listing = Listing("ListCACertificates", caller.scope, ascending=bool(request.ascending_order), filters=filters)
    page_request = listing.page_request(request.page_size, request.marker)
    page = await ca_certificates.list_ca_certificates(authority, caller, template_name, page_request)
    return ListCACertificatesResponse(
        certificates=[_entry(summary) for summary in page.items], next_marker=listing.marker(page.next)
    )


class UpdateCACertificateRequest(Message, frozen=True, kw_only=True):
    certificate_id: Annotated[CertificateIdText, PATH] = field(name="caCertificateId")
    new_status: Annotated[CACertificateStatus | None, QUERY] = None
    new_auto_registration_status: Annotated[AutoRegistrationStatus | None, QUERY] = None
    registration_config: Annotated[RegistrationConfigMessage | None, BODY] = None
    remove_auto_registration: Annotated[bool | None, BODY] = None


async def update_ca_certificate(
    authority: RegistrationAuthority, caller: Caller, request: UpdateCACertificateRequest
) -> None:
    """Give a CA certificate another status, or change how its devices are registered."""
    update = CACertificateUpdate(
        status=request.new_status,
        auto_registration=request.new_auto_registration_status,
        registration_config=_config(request.registration_config),
        remove_auto_registration=bool(request.remove_auto_registration),
    )
    await ca_certificates.update(authority, caller, parse_certificate_id(request.certificate_id), update)


class DeleteCACertificateRequest(Message, frozen=True, kw_only=True):
    certificate_id: Annotated[CertificateIdText, PATH] = field(name="caCertificateId")


async def delete_ca_certificate(
    authority: RegistrationAuthority, caller: Caller, request: DeleteCACertificateRequest
) -> None:
    """Delete a CA certificate that is INACTIVE; certificates that were registered with it keep working."""
    await ca_certificates.delete(authority, caller, parse_certificate_id(request.certificate_id))


def _config(message: RegistrationConfigMessage | None) -> RegistrationConfig | None:
    if message is None:
        return None
    return registration_config(message.template_body, message.template_name, message.role_arn)


def _config_message(config: RegistrationConfig | None) -> RegistrationConfigMessage | None:
    if config is None:
        return None
    return RegistrationConfigMessage(
        template_body=config.template_body, role_arn=config.role_arn, template_name=config.template_name
    )


def _description(ca_certificate: CACertificate) -> CACertificateDescription:
    return CACertificateDescription(
        certificate_arn=ca_certificate.arn,
        certificate_id=ca_certificate.certificate_id,
        status=ca_certificate.status,
        certificate_pem=sent_pem(ca_certificate),
        owned_by=ca_certificate.scope.account,
        creation_date=epoch_seconds(ca_certificate.created_at),
        auto_registration_status=ca_certificate.auto_registration,
        last_modified_date=epoch_seconds(ca_certificate.modified_at),
        customer_version=ca_certificate.customer_version,
        generation_id=ca_certificate.generation_id,
        validity=CAValidity(
            not_before=epoch_seconds(ca_certificate.not_before), not_after=epoch_seconds(ca_certificate.not_after)
        ),
        certificate_mode=ca_certificate.mode,
    )


def _entry(summary: CACertificateSummary) -> CACertificateEntry:
    return CACertificateEntry(
        certificate_arn=summary.arn,
        certificate_id=summary.certificate_id,
        status=summary.status,
        creation_date=epoch_seconds(summary.created_at),
    )
