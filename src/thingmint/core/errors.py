"""Owns the refusals and failures of the domain, in its own words; knows neither AWS's error names nor HTTP statuses.

Every message is written for the caller: it names what the caller sent and never a secret or a cause inside the service.
"""

from thingmint.host.words import in_words


class ThingmintError(Exception):
    """What was asked for did not happen, and nothing has changed."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message or in_words(self)


class InvalidRequest(ThingmintError):
    """The request breaks a rule of its operation."""


class InvalidParameters(InvalidRequest):
    """A provisioning template cannot be carried out with the parameters that came with it."""


class MalformedPolicy(ThingmintError):
    """A policy document does not follow the grammar of policies; the message names the position and the reason."""


class ResourceNotFound(ThingmintError):
    """The account has no such resource in this region."""


class CertificateStateRefused(ThingmintError):
    """The certificate's status does not allow the change."""


class UpdateConflict(ThingmintError):
    """A provisioning template forbids that what it declares exists already."""


class VersionMismatch(ThingmintError):
    """What was to be changed has another version than the caller expected."""


class DeletionRefused(ThingmintError):
    """Something is still attached to what was to be deleted."""


class OperationUnknown(ThingmintError):
    """No operation answers to this method and path, or AWS has one that this service has not.

    A class of its own: AWS's SDKs and Terraform's provider repeat other refusals, for minutes in some cases.
    """


def not_implemented(what: str) -> OperationUnknown:
    """Return the refusal of something that AWS has and this service has not."""
    return OperationUnknown(f"{what} is not implemented by Thingmint")


class Throttled(ThingmintError):
    """The service or the caller's quota has no room for the request now; the same request may succeed later."""

    def __init__(self, message: str = "Rate exceeded", *, retry_after: float = 1.0) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class ServiceUnavailable(ThingmintError):
    """A part that the service stands on does not answer: its database, its disk or its key workers."""

    def __init__(self, message: str = "The service is temporarily unable to handle the request.") -> None:
        super().__init__(message)


class IssuanceImpossible(ThingmintError):
    """No certificate can be issued until an operator changes the settings; the same request fails until then."""


class DeliveryUnconfirmed(ThingmintError):
    """A device was sent a message and did not acknowledge it in the time that the sender gave it."""


class DuplicateCertificate(ThingmintError):
    """A certificate with this issuer and serial number, or with this id, exists already."""


class ResourceExists(ThingmintError):
    """A resource with this name, or with this content, exists already; both identifiers are told where it has them."""

    def __init__(self, message: str, *, resource_id: str | None = None, resource_arn: str | None = None) -> None:
        super().__init__(message)
        self.resource_id = resource_id
        self.resource_arn = resource_arn


class LimitExceeded(ThingmintError):
    """There are as many of these already as there may be."""


class VersionsLimitExceeded(ThingmintError):
    """The resource has as many versions already as it may have."""


class TransferRefused(ThingmintError):
    """What is attached to the certificate keeps it from being transferred."""


class TransferCompleted(ThingmintError):
    """The transfer was accepted, rejected or cancelled already."""


class CertificateInvalid(ThingmintError):
    """A certificate that was to be registered does not hold: its chain, its key, its validity or its form."""


class CertificateConflict(ThingmintError):
    """It cannot be told which of several CA certificates issued the certificate."""


class RegistrationCodeInvalid(ThingmintError):
    """The verification certificate does not carry the account's registration code."""


class RegistrationFailed(ThingmintError):
    """A thing could not be registered from its template and parameters."""


class TaskExists(ThingmintError):
    """A registration task of the account is in progress already."""


class AccessDenied(ThingmintError):
    """The caller is known, and its policies do not allow the action."""


class AuthenticationFailure(ThingmintError):
    """Who is calling could not be established."""


class AuthenticationMissing(AuthenticationFailure):
    """The request carries no signature."""


class SignatureIncomplete(AuthenticationFailure):
    """The signature lacks a part, or a part cannot be read."""


class CredentialsUnknown(AuthenticationFailure):
    """The access key does not exist, or the session token is not the one that belongs to it."""


class CredentialsExpired(AuthenticationFailure):
    """The temporary credentials are past their expiry."""


class SignatureRefused(AuthenticationFailure):
    """The signature does not match the request, its time or its scope."""
