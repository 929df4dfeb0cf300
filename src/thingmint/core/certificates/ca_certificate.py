"""Owns the CA certificates that users register, and their changes of status. Does not handle X.509."""

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from thingmint.core.certificates.certificate import CertificateMode
from thingmint.core.errors import CertificateStateRefused, InvalidRequest
from thingmint.core.identifiers import CertificateId, Scope, ca_certificate_arn

# From RegisterCACertificate's documentation in the service model.
MAX_CAS_WITH_ONE_SUBJECT = 10


class CACertificateStatus(StrEnum):
    """Whether new device certificates can be registered with this CA. Registered ones work in both statuses."""

    ACTIVE = "ACTIVE"
    INACTIVE = "INACTIVE"


class AutoRegistrationStatus(StrEnum):
    """Whether a device certificate of this CA is registered when it first connects."""

    ENABLE = "ENABLE"
    DISABLE = "DISABLE"


@dataclass(frozen=True, slots=True)
class RegistrationConfig:
    """What happens to a device whose certificate was registered at its first connection.

    The caller gives the template as a text or by its name. ``role_arn`` is stored unchanged.
    """

    template_body: str | None = None
    template_name: str | None = None
    role_arn: str | None = None

    @property
    def has_template(self) -> bool:
        """Whether devices are provisioned (JITP); without a template they are registered only (JITR)."""
        return self.template_body is not None or self.template_name is not None


@dataclass(frozen=True, slots=True)
class CACertificate:
    """A registered CA certificate. Times are aware UTC; ``subject_digest`` is the SHA-256 of its subject in hex.

    ``pem`` is the text that the caller sent, None if it equals the form that the service writes.
    """

    scope: Scope
    certificate_id: CertificateId
    der: bytes
    subject_digest: str
    status: CACertificateStatus
    mode: CertificateMode
    auto_registration: AutoRegistrationStatus
    registration_config: RegistrationConfig | None
    not_before: datetime
    not_after: datetime
    created_at: datetime
    modified_at: datetime
    customer_version: int
    generation_id: str
    pem: str | None = None

    @property
    def arn(self) -> str:
        """The CA certificate's ARN."""
        return ca_certificate_arn(self.scope, self.certificate_id)


@dataclass(frozen=True, slots=True)
class CACertificateSummary:
    """A CA certificate in a list. ``position`` orders the list by creation and is unique."""

    scope: Scope
    certificate_id: CertificateId
    status: CACertificateStatus
    created_at: datetime
    position: int

    @property
    def arn(self) -> str:
        """The CA certificate's ARN."""
        return ca_certificate_arn(self.scope, self.certificate_id)


@dataclass(frozen=True, slots=True)
class CACertificateUpdate:
    """The changes that UpdateCACertificate requests. None changes nothing."""

    status: CACertificateStatus | None = None
    auto_registration: AutoRegistrationStatus | None = None
    registration_config: RegistrationConfig | None = None
    remove_auto_registration: bool = False


def updated(before: CACertificate, update: CACertificateUpdate, at: datetime) -> CACertificate:
    """Return the CA certificate after the update; the same object if nothing changes.

    Raises InvalidRequest for an update that contradicts itself.
    """
    auto_registration, config = update.auto_registration, update.registration_config
    if update.remove_auto_registration:
        if auto_registration is AutoRegistrationStatus.ENABLE or config is not None:
            raise InvalidRequest("removeAutoRegistration contradicts enabling or configuring it in the same request")
        auto_registration = AutoRegistrationStatus.DISABLE
    elif config is None:
        config = before.registration_config
    after = replace(
        before,
        status=update.status or before.status,
        auto_registration=auto_registration or before.auto_registration,
        registration_config=config,
    )
    if after == before:
        return before
    return replace(after, modified_at=at, customer_version=before.customer_version + 1)


def ensure_ca_deletable(ca_certificate: CACertificate) -> None:
    """Raise CertificateStateRefused unless the CA certificate is inactive."""
    if ca_certificate.status is not CACertificateStatus.INACTIVE:
        raise CertificateStateRefused(
            f"CA certificate must be deactivated (not ACTIVE) before deletion. Id: {ca_certificate.certificate_id}"
        )
