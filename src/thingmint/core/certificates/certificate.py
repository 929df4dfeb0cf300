"""Owns what a registered certificate is and which changes of its status exist; refuses to know X.509 and storage."""

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from thingmint.core.errors import CertificateStateRefused, InvalidRequest
from thingmint.core.identifiers import AccountId, CertificateId, Scope, SerialNumber, certificate_arn


class CertificateStatus(StrEnum):
    """The statuses of AWS IoT's service model."""

    ACTIVE = "ACTIVE"
    INACTIVE = "INACTIVE"
    REVOKED = "REVOKED"
    PENDING_TRANSFER = "PENDING_TRANSFER"
    REGISTER_INACTIVE = "REGISTER_INACTIVE"
    PENDING_ACTIVATION = "PENDING_ACTIVATION"


class CertificateMode(StrEnum):
    """How a device must present the certificate; those that the service issues are DEFAULT."""

    DEFAULT = "DEFAULT"
    SNI_ONLY = "SNI_ONLY"


# From UpdateCertificate's documentation in the service model; REGISTER_INACTIVE is deprecated there.
SET_BY_CALLER = frozenset({CertificateStatus.ACTIVE, CertificateStatus.INACTIVE, CertificateStatus.REVOKED})

# Which statuses UpdateCertificate may leave, and for which. What is absent cannot be left that way: a revoked
# certificate stays revoked (AWS's developer guide, "Revoke a client certificate"), and a pending transfer is ended by
# the transfer operations only.
TRANSITIONS: dict[CertificateStatus, frozenset[CertificateStatus]] = {
    CertificateStatus.ACTIVE: SET_BY_CALLER,
    CertificateStatus.INACTIVE: SET_BY_CALLER,
    CertificateStatus.PENDING_ACTIVATION: SET_BY_CALLER,
    CertificateStatus.REGISTER_INACTIVE: SET_BY_CALLER,
    CertificateStatus.REVOKED: frozenset({CertificateStatus.REVOKED}),
    CertificateStatus.PENDING_TRANSFER: frozenset(),
}

DELETABLE = frozenset(
    {
        CertificateStatus.INACTIVE,
        CertificateStatus.REVOKED,
        CertificateStatus.PENDING_ACTIVATION,
        CertificateStatus.REGISTER_INACTIVE,
    }
)


@dataclass(frozen=True, slots=True)
class Transfer:
    """The latest transfer of a certificate to another account; it is pending while the status says so."""

    target: AccountId
    message: str | None
    started_at: datetime
    accepted_at: datetime | None = None
    rejected_at: datetime | None = None
    reject_reason: str | None = None


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate in the registry. Times are aware UTC.

    ``issuer_id`` is the SHA-256 of the DER of the service's own issuer in hex. A certificate that somebody else issued
    has none: nothing vouches for its serial number. ``ca_certificate_id`` names the registered CA certificate that it
    was registered with.

    ``signed_digest`` is the SHA-256 in hex of what the issuer signed, by which a foreign certificate is known however
    its signature is encoded. If another CA has signed the same, a colon and the digest of this CA's key follow.
    Certificates of the service's own have none: issuer and serial number name them.
    ``other_encoding_of`` is set on what an earlier version registered although it had the same certificate already.
    ``pem`` is the text in which the certificate was sent, None if that is the service's own form.
    ``common_name`` is that of the subject, cut to what a search needs; None if it has none.
    """

    scope: Scope
    certificate_id: CertificateId
    der: bytes
    issuer_id: str | None
    serial_number: SerialNumber
    status: CertificateStatus
    mode: CertificateMode
    not_before: datetime
    not_after: datetime
    created_at: datetime
    modified_at: datetime
    customer_version: int
    generation_id: str
    ca_certificate_id: CertificateId | None = None
    previous_account: AccountId | None = None
    transfer: Transfer | None = None
    signed_digest: str | None = None
    other_encoding_of: CertificateId | None = None
    pem: str | None = None
    common_name: str | None = None

    @property
    def arn(self) -> str:
        """The certificate's ARN."""
        return certificate_arn(self.scope, self.certificate_id)

    @property
    def transfer_to(self) -> AccountId | None:
        """The account that may accept the certificate, None while no transfer is pending."""
        if self.transfer is None or self.status is not CertificateStatus.PENDING_TRANSFER:
            return None
        return self.transfer.target


@dataclass(frozen=True, slots=True)
class CertificateSummary:
    """What a list shows of a certificate; ``scope`` is that of the list, ``position`` orders it and never repeats."""

    scope: Scope
    certificate_id: CertificateId
    status: CertificateStatus
    mode: CertificateMode
    created_at: datetime
    position: int

    @property
    def arn(self) -> str:
        """The certificate's ARN."""
        return certificate_arn(self.scope, self.certificate_id)


def with_status(certificate: Certificate, requested: CertificateStatus, at: datetime) -> Certificate:
    """Return the certificate in the requested status; the same certificate if it has that status already.

    Raises InvalidRequest if only the service may set the status, CertificateStateRefused if the certificate's own
    status does not allow the change.
    """
    if requested not in SET_BY_CALLER:
        raise InvalidRequest(f"The status {requested} cannot be set with UpdateCertificate")
    if requested not in TRANSITIONS[certificate.status]:
        raise CertificateStateRefused(
            f"Certificate status cannot change from {certificate.status} to {requested}. "
            f"Id: {certificate.certificate_id}"
        )
    if requested is certificate.status:
        return certificate
    return replace(certificate, status=requested, modified_at=at, customer_version=certificate.customer_version + 1)


def ensure_deletable(certificate: Certificate) -> None:
    """Raise CertificateStateRefused unless the certificate's status allows its deletion."""
    if certificate.status is CertificateStatus.ACTIVE:
        raise CertificateStateRefused(
            f"Certificate must be deactivated (not ACTIVE) before deletion. Id: {certificate.certificate_id}"
        )
    if certificate.status not in DELETABLE:
        raise CertificateStateRefused(
            f"Certificate cannot be deleted while it is {certificate.status}. Id: {certificate.certificate_id}"
        )
