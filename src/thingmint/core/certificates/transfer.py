"""Owns the transfer of a certificate to another account, and which account may do which step. Independent of storage.

The certificate belongs to its first account until the transfer is accepted. While the transfer is pending, only the
operations that end the transfer can change the certificate.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from thingmint.core.certificates.certificate import Certificate, CertificateStatus, Transfer
from thingmint.core.errors import CertificateStateRefused, InvalidRequest, ResourceNotFound, TransferCompleted
from thingmint.core.identifiers import AccountId, CertificateId, Scope, certificate_arn

# A revoked certificate stays revoked. A transfer that is rejected or cancelled leaves the certificate INACTIVE.
TRANSFERABLE = frozenset(
    {CertificateStatus.INACTIVE, CertificateStatus.PENDING_ACTIVATION, CertificateStatus.REGISTER_INACTIVE}
)


@dataclass(frozen=True, slots=True)
class OutgoingCertificate:
    """A certificate in the list of outgoing certificates. ``position`` orders the list and is unique."""

    scope: Scope
    certificate_id: CertificateId
    transfer: Transfer
    created_at: datetime
    position: int

    @property
    def target_arn(self) -> str:
        """The ARN that the certificate will have once the transfer is accepted."""
        return certificate_arn(replace(self.scope, account=self.transfer.target), self.certificate_id)


def target_scope(certificate: Certificate) -> Scope:
    """Return the account and region that the certificate is offered to. The region never changes."""
    assert certificate.transfer is not None, "a certificate goes nowhere without a transfer"
    return replace(certificate.scope, account=certificate.transfer.target)


def with_transfer_begun(certificate: Certificate, target: AccountId, message: str | None, at: datetime) -> Certificate:
    """Return the certificate with its transfer to the account pending.

    Raises InvalidRequest if the certificate belongs to that account already, CertificateStateRefused if its status does
    not allow a transfer.
    """
    if target == certificate.scope.account:
        raise InvalidRequest(f"The certificate belongs to the account {target} already")
    if certificate.status not in TRANSFERABLE:
        raise CertificateStateRefused(
            f"Certificate cannot be transferred while it is {certificate.status}. Id: {certificate.certificate_id}"
        )
    transfer = Transfer(target=target, message=message, started_at=at)
    return _changed(certificate, CertificateStatus.PENDING_TRANSFER, transfer, at)


def with_transfer_accepted(pending: Certificate, at: datetime, *, active: bool) -> Certificate:
    """Return the certificate in its new account."""
    assert pending.transfer is not None, "what is accepted was offered"
    status = CertificateStatus.ACTIVE if active else CertificateStatus.INACTIVE
    accepted = _changed(pending, status, replace(pending.transfer, accepted_at=at), at)
    return replace(accepted, scope=target_scope(pending), previous_account=pending.scope.account)


def with_transfer_rejected(pending: Certificate, reason: str | None, at: datetime) -> Certificate:
    """Return the certificate back in its account."""
    assert pending.transfer is not None, "what is rejected was offered"
    transfer = replace(pending.transfer, rejected_at=at, reject_reason=reason)
    return _changed(pending, CertificateStatus.INACTIVE, transfer, at)


def with_transfer_cancelled(pending: Certificate, at: datetime) -> Certificate:
    """Return the certificate back in its account."""
    assert pending.transfer is not None, "what is cancelled was offered"
    return _changed(pending, CertificateStatus.INACTIVE, pending.transfer, at)


def offered_to(account: AccountId, candidates: Sequence[Certificate], certificate_id: CertificateId) -> Certificate:
    """Return the certificate whose pending transfer the account can accept or reject.

    The candidates are all certificates with the id in the region: several accounts may have registered the same one.
    Raises TransferCompleted if the transfer to the account has ended, InvalidRequest if the account may not do this
    step, ResourceNotFound if the account has no part in a transfer of the certificate.
    """
    for certificate in candidates:
        if certificate.transfer_to == account:
            return certificate
    if any(_was_offered_to(account, certificate) for certificate in candidates):
        raise _completed(certificate_id)
    raise _not_pending(account, candidates, certificate_id)


def offered_by(account: AccountId, candidates: Sequence[Certificate], certificate_id: CertificateId) -> Certificate:
    """Return the certificate of the account whose transfer another account has not answered yet.

    Raises as `offered_to` does.
    """
    for certificate in candidates:
        if certificate.transfer_to is not None and certificate.scope.account == account:
            return certificate
    if any(_was_offered_by(account, certificate) for certificate in candidates):
        raise _completed(certificate_id)
    raise _not_pending(account, candidates, certificate_id)


def _was_offered_to(account: AccountId, certificate: Certificate) -> bool:
    # A transfer between two other accounts is not this account's.
    return certificate.transfer is not None and certificate.transfer.target == account


def _was_offered_by(account: AccountId, certificate: Certificate) -> bool:
    if certificate.transfer is None:
        return False
    is_back = certificate.scope.account == account and certificate.transfer.accepted_at is None
    return is_back or certificate.previous_account == account


def _completed(certificate_id: CertificateId) -> TransferCompleted:
    return TransferCompleted(f"The certificate transfer is already complete. Id: {certificate_id}")


def _not_pending(
    account: AccountId, candidates: Sequence[Certificate], certificate_id: CertificateId
) -> InvalidRequest | ResourceNotFound:
    if any(account in (certificate.scope.account, certificate.transfer_to) for certificate in candidates):
        return InvalidRequest(f"The account {account} has no such transfer to end. Id: {certificate_id}")
    return ResourceNotFound(f"The certificate given in the request does not exist. Id: {certificate_id}")


def _changed(certificate: Certificate, status: CertificateStatus, transfer: Transfer, at: datetime) -> Certificate:
    version = certificate.customer_version + 1
    return replace(certificate, status=status, transfer=transfer, modified_at=at, customer_version=version)
