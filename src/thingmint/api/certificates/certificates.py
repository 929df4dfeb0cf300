"""Owns the messages and operations of device certificates, with rules in `registration.certificates.certificates`."""

from datetime import datetime
from typing import Annotated, TypeAlias

from msgspec import Struct, field

from thingmint.api.wire.listing import Listing
from thingmint.api.wire.messages import CertificateIdText, Marker, Message, PageSize, Timestamp
from thingmint.api.wire.reading.binding import BODY, PATH, QUERY
from thingmint.api.wire.reading.codec import epoch_seconds
from thingmint.api.wire.reading.constraints import Constraint
from thingmint.core.caller import Caller
from thingmint.core.certificates.certificate import (
    Certificate,
    CertificateMode,
    CertificateStatus,
    CertificateSummary,
    Transfer,
)
from thingmint.core.identifiers import Scope, certificate_arn, parse_certificate_id
from thingmint.issuance.encoding.pem import certificate_pem, sent_pem
from thingmint.issuance.keys.key_pairs import public_key_pem
from thingmint.registration.certificates import certificates
from thingmint.registration.kernel.authority import RegistrationAuthority

CSRText: TypeAlias = Annotated[str, Constraint(min_length=1, max_length=4096, pattern=r"[\s\S]*")]


class CreateKeysAndCertificateRequest(Message, frozen=True, kw_only=True):
    set_as_active: Annotated[bool | None, QUERY] = None


class KeyPairMessage(Struct, frozen=True, kw_only=True, rename="pascal"):
    public_key: str
    private_key: str

    def __repr__(self) -> str:
        """Return a text without the private key, because reprs may be logged."""
        return "KeyPairMessage(...)"


class CreateKeysAndCertificateResponse(Message, frozen=True, kw_only=True):
    certificate_arn: str
    certificate_id: str
    certificate_pem: str
    key_pair: KeyPairMessage


async def create_keys_and_certificate(
    authority: RegistrationAuthority, caller: Caller, request: CreateKeysAndCertificateRequest
) -> CreateKeysAndCertificateResponse:
    """Answer with a new certificate and the key pair made for it.

    The private key is in the answer and nowhere else.
    """
    issued = await certificates.issue_with_new_key(authority, caller, active=bool(request.set_as_active))
    return CreateKeysAndCertificateResponse(
        certificate_arn=issued.certificate.arn,
        certificate_id=issued.certificate.certificate_id,
        certificate_pem=certificate_pem(issued.certificate.der),
        key_pair=KeyPairMessage(
            public_key=public_key_pem(issued.key_pair.public_key_der),
            private_key=issued.key_pair.private_key_pem.decode("ascii"),
        ),
    )


class CreateCertificateFromCsrRequest(Message, frozen=True, kw_only=True):
    certificate_signing_request: Annotated[CSRText, BODY]
    set_as_active: Annotated[bool | None, QUERY] = None


class CreateCertificateFromCsrResponse(Message, frozen=True, kw_only=True):
    certificate_arn: str
    certificate_id: str
    certificate_pem: str


async def create_certificate_from_csr(
    authority: RegistrationAuthority, caller: Caller, request: CreateCertificateFromCsrRequest
) -> CreateCertificateFromCsrResponse:
    """Answer with a new certificate for the key of the signing request.

    RSA 2048–4096, P-256, P-384 and P-521; its signature is checked, and known weak keys are refused.
    """
    certificate = await certificates.issue_from_csr(
        authority, caller, request.certificate_signing_request, active=bool(request.set_as_active)
    )
    return CreateCertificateFromCsrResponse(
        certificate_arn=certificate.arn,
        certificate_id=certificate.certificate_id,
        certificate_pem=certificate_pem(certificate.der),
    )


class DescribeCertificateRequest(Message, frozen=True, kw_only=True):
    certificate_id: Annotated[CertificateIdText, PATH]


class TransferData(Message, frozen=True, kw_only=True):
    transfer_message: str | None = None
    reject_reason: str | None = None
    transfer_date: Timestamp | None = None
    accept_date: Timestamp | None = None
    reject_date: Timestamp | None = None


class CertificateValidity(Message, frozen=True, kw_only=True):
    not_before: Timestamp
    not_after: Timestamp


class CertificateDescription(Message, frozen=True, kw_only=True):
    certificate_arn: str
    certificate_id: str
    ca_certificate_id: str | None = None
    status: CertificateStatus
    certificate_pem: str
    owned_by: str
    previous_owned_by: str | None = None
    creation_date: Timestamp
    last_modified_date: Timestamp
    customer_version: int
    transfer_data: TransferData
    generation_id: str
    validity: CertificateValidity
    certificate_mode: CertificateMode


class DescribeCertificateResponse(Message, frozen=True, kw_only=True):
    certificate_description: CertificateDescription


async def describe_certificate(
    authority: RegistrationAuthority, caller: Caller, request: DescribeCertificateRequest
) -> DescribeCertificateResponse:
    """Answer with everything that is known of a certificate."""
    certificate_id = parse_certificate_id(request.certificate_id)
    certificate = await certificates.describe(authority, caller, certificate_id)
    return DescribeCertificateResponse(certificate_description=_description(certificate, caller.scope))


def _description(certificate: Certificate, scope: Scope) -> CertificateDescription:
    """Return the description with the ARN of this account, also for a certificate that it has not accepted yet."""
    return CertificateDescription(
        certificate_arn=certificate_arn(scope, certificate.certificate_id),
        certificate_id=certificate.certificate_id,
        ca_certificate_id=certificate.ca_certificate_id,
        status=certificate.status,
        certificate_pem=sent_pem(certificate),
        owned_by=certificate.scope.account,
        previous_owned_by=certificate.previous_account,
        creation_date=epoch_seconds(certificate.created_at),
        last_modified_date=epoch_seconds(certificate.modified_at),
        customer_version=certificate.customer_version,
        transfer_data=_transfer_data(certificate.transfer),
        generation_id=certificate.generation_id,
        validity=CertificateValidity(
            not_before=epoch_seconds(certificate.not_before), not_after=epoch_seconds(certificate.not_after)
        ),
        certificate_mode=certificate.mode,
    )


def _transfer_data(transfer: Transfer | None) -> TransferData:
    if transfer is None:
        return TransferData()
    return TransferData(
        transfer_message=transfer.message,
        reject_reason=transfer.reject_reason,
        transfer_date=epoch_seconds(transfer.started_at),
        accept_date=_optional_seconds(transfer.accepted_at),
        reject_date=_optional_seconds(transfer.rejected_at),
    )


def _optional_seconds(at: datetime | None) -> Timestamp | None:
    return None if at is None else epoch_seconds(at)


class ListCertificatesRequest(Message, frozen=True, kw_only=True):
    page_size: Annotated[PageSize | None, QUERY] = None
    marker: Annotated[Marker | None, QUERY] = None
    ascending_order: Annotated[bool | None, QUERY] = field(default=None, name="isAscendingOrder")


class CertificateEntry(Message, frozen=True, kw_only=True):
    certificate_arn: str
    certificate_id: str
    status: CertificateStatus
    certificate_mode: CertificateMode
    creation_date: Timestamp


class ListCertificatesResponse(Message, frozen=True, kw_only=True):
    certificates: list[CertificateEntry]
    next_marker: str | None = None


async def list_certificates(
    authority: RegistrationAuthority, caller: Caller, request: ListCertificatesRequest
) -> ListCertificatesResponse:
    """Answer with a page of the account's certificates, newest first unless asked otherwise.

    ``pageSize`` is 1–250, by default 25.
    """
    listing = Listing("ListCertificates", caller.scope, ascending=bool(request.ascending_order))
    page_request = listing.page_request(request.page_size, request.marker)
    page = await certificates.list_certificates(authority, caller, page_request)
    return ListCertificatesResponse(
        certificates=[certificate_entry(summary) for summary in page.items], next_marker=listing.marker(page.next)
    )


def certificate_entry(summary: CertificateSummary) -> CertificateEntry:
    """Return the certificate's entry in a list."""
    return CertificateEntry(
        certificate_arn=summary.arn,
        certificate_id=summary.certificate_id,
        status=summary.status,
        certificate_mode=summary.mode,
        creation_date=epoch_seconds(summary.created_at),
    )


class UpdateCertificateRequest(Message, frozen=True, kw_only=True):
    certificate_id: Annotated[CertificateIdText, PATH]
    new_status: Annotated[CertificateStatus, QUERY]


async def update_certificate(
    authority: RegistrationAuthority, caller: Caller, request: UpdateCertificateRequest
) -> None:
    """Give a certificate the status ACTIVE, INACTIVE or REVOKED; REVOKED is final."""
    certificate_id = parse_certificate_id(request.certificate_id)
    await certificates.update_status(authority, caller, certificate_id, request.new_status)


class DeleteCertificateRequest(Message, frozen=True, kw_only=True):
    certificate_id: Annotated[CertificateIdText, PATH]
    force_delete: Annotated[bool | None, QUERY] = None


async def delete_certificate(
    authority: RegistrationAuthority, caller: Caller, request: DeleteCertificateRequest
) -> None:
    """Delete a certificate; ``forceDelete`` detaches its policies, but neither things nor an ACTIVE status."""
    certificate_id = parse_certificate_id(request.certificate_id)
    await certificates.delete(authority, caller, certificate_id, detach_policies=bool(request.force_delete))
