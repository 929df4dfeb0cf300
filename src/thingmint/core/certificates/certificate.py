"""Owns the registered certificate and its changes of status. Independent of X.509 and storage."""

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
    """How a device must present the certificate. Certificates that the service issues have DEFAULT."""

    DEFAULT = "DEFAULT"
    SNI_ONLY = "SNI_ONLY"


# From UpdateCertificate's documentation in the service model; REGISTER_INACTIVE is deprecated there.
SET_BY_CALLER = frozenset({CertificateStatus.ACTIVE, CertificateStatus.INACTIVE, CertificateStatus.REVOKED})

# The statuses that UpdateCertificate can set, by the present status. A revoked certificate stays revoked (AWS's
# developer guide, "Revoke a client certificate"). Only the transfer operations end a pending transfer.
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
    """The latest transfer of a certificate to another account. It is pending while the status is PENDING_TRANSFER."""

    target: AccountId
    message: str | None
    started_at: datetime
    accepted_at: datetime | None = None
    rejected_at: datetime | None = None
    reject_reason: str | None = None


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate in the registry. Times are aware UTC.

    ``issuer_id`` is the hexadecimal SHA-256 of the DER of the service's own issuer. It is None for a certificate of
    another CA, whose serial numbers the service cannot rely on. ``ca_certificate_id`` names the registered CA
    certificate that the certificate was registered with.

    ``signed_digest`` is the hexadecimal SHA-256 of the bytes that the issuer signed. It identifies a certificate of
    another CA also if its signature is encoded differently. If a second CA signed the same bytes, a colon and the
    digest of this CA's key follow. Certificates of the service have None: issuer and serial number identify them.
    ``other_encoding_of`` is set if an earlier version registered the same certificate twice.
    ``pem`` is the text that the caller sent, None if it equals the form that the service writes.
    ``common_name`` is the subject's common name, cut to the length that a search needs; None if there is none.
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
    """A certificate in a list. ``scope`` is the scope of the list; ``position`` orders the list and is unique."""

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
    """Return the certificate with the requested status; the same object if it has that status already.

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
