"""Owns the messages and operations of certificate transfers, with rules in `registration.certificates.transfers`."""

from typing import Annotated, TypeAlias

from msgspec import field

from thingmint.api.wire.listing import Listing
from thingmint.api.wire.messages import CertificateIdText, Marker, Message, PageSize, Timestamp
from thingmint.api.wire.reading.binding import BODY, PATH, QUERY
from thingmint.api.wire.reading.codec import epoch_seconds
from thingmint.api.wire.reading.constraints import Constraint
from thingmint.core.caller import Caller
from thingmint.core.certificates.transfer import OutgoingCertificate
from thingmint.core.identifiers import parse_account_id, parse_certificate_id
from thingmint.registration.certificates import transfers
from thingmint.registration.kernel.authority import RegistrationAuthority

AccountIdText: TypeAlias = Annotated[str, Constraint(min_length=12, max_length=12, pattern="[0-9]+")]
Words: TypeAlias = Annotated[str, Constraint(max_length=128, pattern=r"[\s\S]*")]


class TransferCertificateRequest(Message, frozen=True, kw_only=True):
    certificate_id: Annotated[CertificateIdText, PATH]
    target_aws_account: Annotated[AccountIdText, QUERY]
    transfer_message: Annotated[Words | None, BODY] = None


class TransferCertificateResponse(Message, frozen=True, kw_only=True):
    transferred_certificate_arn: str


async def transfer_certificate(
    authority: RegistrationAuthority, caller: Caller, request: TransferCertificateRequest
) -> TransferCertificateResponse:
    """Answer with the ARN that the certificate will have in the other account.

    Refused while it is ACTIVE or REVOKED, or has attachments; the other account must have an access key.
    """
    certificate_id = parse_certificate_id(request.certificate_id)
    target = parse_account_id(request.target_aws_account)
    arn = await transfers.begin(authority, caller, certificate_id, target, request.transfer_message)
    return TransferCertificateResponse(transferred_certificate_arn=arn)


class AcceptCertificateTransferRequest(Message, frozen=True, kw_only=True):
    certificate_id: Annotated[CertificateIdText, PATH]
    set_as_active: Annotated[bool | None, QUERY] = None


async def accept_certificate_transfer(
    authority: RegistrationAuthority, caller: Caller, request: AcceptCertificateTransferRequest
) -> None:
    """Accept a certificate that was offered to the caller's account."""
    certificate_id = parse_certificate_id(request.certificate_id)
    await transfers.accept(authority, caller, certificate_id, active=bool(request.set_as_active))


class RejectCertificateTransferRequest(Message, frozen=True, kw_only=True):
    certificate_id: Annotated[CertificateIdText, PATH]
    reject_reason: Annotated[Words | None, BODY] = None


async def reject_certificate_transfer(
    authority: RegistrationAuthority, caller: Caller, request: RejectCertificateTransferRequest
) -> None:
    """Reject a certificate that was offered to the caller's account."""
    certificate_id = parse_certificate_id(request.certificate_id)
    await transfers.reject(authority, caller, certificate_id, request.reject_reason)


class CancelCertificateTransferRequest(Message, frozen=True, kw_only=True):
    certificate_id: Annotated[CertificateIdText, PATH]


async def cancel_certificate_transfer(
    authority: RegistrationAuthority, caller: Caller, request: CancelCertificateTransferRequest
) -> None:
    """Cancel the transfer of a certificate that the caller's account has offered."""
    await transfers.cancel(authority, caller, parse_certificate_id(request.certificate_id))


class ListOutgoingCertificatesRequest(Message, frozen=True, kw_only=True):
    page_size: Annotated[PageSize | None, QUERY] = None
    marker: Annotated[Marker | None, QUERY] = None
    ascending_order: Annotated[bool | None, QUERY] = field(default=None, name="isAscendingOrder")


class OutgoingCertificateEntry(Message, frozen=True, kw_only=True):
    certificate_arn: str
    certificate_id: str
    transferred_to: str
    transfer_date: Timestamp
    transfer_message: str | None = None
    creation_date: Timestamp


class ListOutgoingCertificatesResponse(Message, frozen=True, kw_only=True):
    outgoing_certificates: list[OutgoingCertificateEntry]
    next_marker: str | None = None


async def list_outgoing_certificates(
    authority: RegistrationAuthority, caller: Caller, request: ListOutgoingCertificatesRequest
) -> ListOutgoingCertificatesResponse:
    """Answer with a page of certificates offered to other accounts, newest first unless asked otherwise."""
    listing = Listing("ListOutgoingCertificates", caller.scope, ascending=bool(request.ascending_order))
    page_request = listing.page_request(request.page_size, request.marker)
    page = await transfers.list_outgoing(authority, caller, page_request)
    return ListOutgoingCertificatesResponse(
        outgoing_certificates=[_entry(outgoing) for outgoing in page.items], next_marker=listing.marker(page.next)
    )


def _entry(outgoing: OutgoingCertificate) -> OutgoingCertificateEntry:
    return OutgoingCertificateEntry(
        certificate_arn=outgoing.target_arn,
        certificate_id=outgoing.certificate_id,
        transferred_to=outgoing.transfer.target,
        transfer_date=epoch_seconds(outgoing.transfer.started_at),
        transfer_message=outgoing.transfer.message,
        creation_date=epoch_seconds(outgoing.created_at),
    )
