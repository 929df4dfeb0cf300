"""Owns the operations that register certificates of other CAs. Their rules are in `registration`."""

from typing import Annotated

from msgspec import field

from thingmint.api.certificates.certificates import CertificateEntry, certificate_entry
from thingmint.api.wire.listing import Listing
from thingmint.api.wire.messages import CertificateIdText, CertificateText, Marker, Message, PageSize
from thingmint.api.wire.reading.binding import BODY, PATH, QUERY
from thingmint.core.caller import Caller
from thingmint.core.certificates.certificate import CertificateStatus
from thingmint.core.errors import InvalidRequest
from thingmint.core.identifiers import parse_certificate_id
from thingmint.registration.certificates import ca_certificates, registered_certificates
from thingmint.registration.kernel.authority import RegistrationAuthority


class RegisterCertificateRequest(Message, frozen=True, kw_only=True):
    certificate_pem: Annotated[CertificateText, BODY]
    ca_certificate_pem: Annotated[CertificateText | None, BODY] = None
    set_as_active: Annotated[bool | None, QUERY] = None
    status: Annotated[CertificateStatus | None, BODY] = None


class RegisterCertificateResponse(Message, frozen=True, kw_only=True):
    certificate_arn: str
    certificate_id: str


async def register_certificate(
    authority: RegistrationAuthority, caller: Caller, request: RegisterCertificateRequest
) -> RegisterCertificateResponse:
    """Register a certificate with its CA and answer with its identifiers.

    The CA that signed it must be registered and ACTIVE; the status is ACTIVE, INACTIVE or REVOKED.
    """
    registered = await registered_certificates.register(
        authority, caller, request.certificate_pem, request.ca_certificate_pem, _status(request)
    )
    return RegisterCertificateResponse(certificate_arn=registered.arn, certificate_id=registered.certificate_id)


def _status(request: RegisterCertificateRequest) -> CertificateStatus:
    active = bool(request.set_as_active)
    if request.status is None:
        return CertificateStatus.ACTIVE if active else CertificateStatus.INACTIVE
    # If the two members contradict each other, the request is refused: the status must not be guessed.
    if active and request.status is not CertificateStatus.ACTIVE:
        raise InvalidRequest(f"setAsActive contradicts the status {request.status}")
    return request.status


class RegisterCertificateWithoutCARequest(Message, frozen=True, kw_only=True):
    certificate_pem: Annotated[CertificateText, BODY]
    status: Annotated[CertificateStatus | None, BODY] = None


async def register_certificate_without_ca(
    authority: RegistrationAuthority, caller: Caller, request: RegisterCertificateWithoutCARequest
) -> RegisterCertificateResponse:
    """Register a certificate of any issuer in SNI_ONLY mode and answer with its identifiers."""
    registered = await registered_certificates.register_without_ca(
        authority, caller, request.certificate_pem, request.status or CertificateStatus.INACTIVE
    )
    return RegisterCertificateResponse(certificate_arn=registered.arn, certificate_id=registered.certificate_id)


class ListCertificatesByCARequest(Message, frozen=True, kw_only=True):
    ca_certificate_id: Annotated[CertificateIdText, PATH]
    page_size: Annotated[PageSize | None, QUERY] = None
    marker: Annotated[Marker | None, QUERY] = None
    ascending_order: Annotated[bool | None, QUERY] = field(default=None, name="isAscendingOrder")


class ListCertificatesByCAResponse(Message, frozen=True, kw_only=True):
    certificates: list[CertificateEntry]
    next_marker: str | None = None


async def list_certificates_by_ca(
    authority: RegistrationAuthority, caller: Caller, request: ListCertificatesByCARequest
) -> ListCertificatesByCAResponse:
    """Answer with a page of the certificates that were registered with the CA, newest first unless asked otherwise.

    Certificates of a deleted CA certificate are listed, too.
    """
    ca_certificate_id = parse_certificate_id(request.ca_certificate_id)
    ascending = bool(request.ascending_order)
    listing = Listing("ListCertificatesByCA", caller.scope, ascending=ascending, filters=(ca_certificate_id,))
    page_request = listing.page_request(request.page_size, request.marker)
    page = await ca_certificates.list_certificates_by_ca(authority, caller, ca_certificate_id, page_request)
    return ListCertificatesByCAResponse(
        certificates=[certificate_entry(summary) for summary in page.items], next_marker=listing.marker(page.next)
    )
