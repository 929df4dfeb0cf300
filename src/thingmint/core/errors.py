"""Owns the errors of the domain. Independent of AWS's error names and HTTP statuses.

Every message is for the caller. It names what the caller sent, and never a secret or a cause inside the service.
"""

from thingmint.core.error_text import in_words


class ThingmintError(Exception):
    """The request failed, and nothing has changed."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message or in_words(self)


class InvalidRequest(ThingmintError):
    """The request breaks a rule of its operation."""


class InvalidParameters(InvalidRequest):
    """A provisioning template cannot be applied with the parameters of the request."""


class MalformedPolicy(ThingmintError):
    """A policy document does not follow the grammar of policies; the message names the position and the reason."""


class ResourceNotFound(ThingmintError):
    """The account has no such resource in this region."""


class CertificateStateRefused(ThingmintError):
    """The certificate's status does not allow the change."""


class UpdateConflict(ThingmintError):
    """A resource exists already, and the provisioning template forbids that."""


class VersionMismatch(ThingmintError):
    """The resource has another version than the caller expected."""


class DeletionRefused(ThingmintError):
    """The resource cannot be deleted because something is still attached to it."""


class OperationUnknown(ThingmintError):
    """No operation has this method and path, or AWS has the operation and this service does not.

    It is a separate class because AWS's SDKs and Terraform's provider retry other errors, some of them for minutes.
    """


def not_implemented(what: str) -> OperationUnknown:
    """Return the error for a feature that AWS has and this service does not."""
    return OperationUnknown(f"{what} is not implemented by Thingmint")


class Throttled(ThingmintError):
    """The service or the caller's quota has no capacity for the request now; the same request can succeed later."""

    def __init__(self, message: str = "Rate exceeded", *, retry_after: float = 1.0) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class ServiceUnavailable(ThingmintError):
    """A part that the service depends on does not answer: the database, the disk or the key workers."""

    def __init__(self, message: str = "The service is temporarily unable to handle the request.") -> None:
        super().__init__(message)


class IssuanceImpossible(ThingmintError):
    """No certificate can be issued until an operator changes the settings; the same request fails until then."""


class DeliveryUnconfirmed(ThingmintError):
    """A device did not acknowledge a message within the time that the sender gave."""


class DuplicateCertificate(ThingmintError):
    """A certificate with this issuer and serial number, or with this id, exists already."""


class ResourceExists(ThingmintError):
    """A resource with this name or this content exists already. The error gives its identifiers, if it has them."""

    def __init__(self, message: str, *, resource_id: str | None = None, resource_arn: str | None = None) -> None:
        super().__init__(message)
        self.resource_id = resource_id
        self.resource_arn = resource_arn


class LimitExceeded(ThingmintError):
    """The maximum number of these exists already."""


class VersionsLimitExceeded(ThingmintError):
    """The resource has the maximum number of versions already."""


class TransferRefused(ThingmintError):
    """The certificate cannot be transferred because something is attached to it."""


class TransferCompleted(ThingmintError):
    """The transfer was accepted, rejected or cancelled already."""


class CertificateInvalid(ThingmintError):
    """A certificate cannot be registered because of its chain, its key, its validity or its form."""


class CertificateConflict(ThingmintError):
    """Several CA certificates may have issued the certificate, and the service cannot decide which one did."""


class RegistrationCodeInvalid(ThingmintError):
    """The verification certificate does not carry the account's registration code."""


class RegistrationFailed(ThingmintError):
    """A thing could not be registered from its template and parameters."""


class TaskExists(ThingmintError):
    """A registration task of the account is in progress already."""


class AccessDenied(ThingmintError):
    """The caller is authenticated, but its policies do not allow the action."""


class AuthenticationFailure(ThingmintError):
    """The caller could not be authenticated."""


class AuthenticationMissing(AuthenticationFailure):
    """The request carries no signature."""


class SignatureIncomplete(AuthenticationFailure):
    """The signature lacks a part, or a part cannot be read."""


class CredentialsUnknown(AuthenticationFailure):
    """The access key does not exist, or the session token does not belong to it."""


class CredentialsExpired(AuthenticationFailure):
    """The temporary credentials are past their expiry."""


class SignatureRefused(AuthenticationFailure):
    """The signature does not match the request, its time or its scope."""
