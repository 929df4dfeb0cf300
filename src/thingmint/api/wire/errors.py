"""Owns the map from the project's errors to AWS's error names and HTTP statuses, which every edge uses."""

import math
from enum import StrEnum

import msgspec
from msgspec import Struct, field

from thingmint.api.wire.planes import Plane
from thingmint.core.errors import (
    AccessDenied,
    AuthenticationFailure,
    AuthenticationMissing,
    CertificateConflict,
    CertificateInvalid,
    CertificateStateRefused,
    CredentialsExpired,
    CredentialsUnknown,
    DeletionRefused,
    DeliveryUnconfirmed,
    DuplicateCertificate,
    InvalidRequest,
    IssuanceImpossible,
    LimitExceeded,
    MalformedPolicy,
    OperationUnknown,
    RegistrationCodeInvalid,
    RegistrationFailed,
    ResourceExists,
    ResourceNotFound,
    ServiceUnavailable,
    SignatureIncomplete,
    SignatureRefused,
    TaskExists,
    ThingmintError,
    Throttled,
    TransferCompleted,
    TransferRefused,
    UpdateConflict,
    VersionMismatch,
    VersionsLimitExceeded,
)


class RequestTooLarge(ThingmintError):
    """The body of the request is larger than the limit of all operations."""


class RequestTooSlow(ThingmintError):
    """The body of the request did not arrive in time."""


class AccessDeniedName(StrEnum):
    """The name of a refusal by policy: that of AWS IoT's answers (403), or that of its model (401)."""

    ACCESS_DENIED = "AccessDeniedException"
    UNAUTHORIZED = "UnauthorizedException"


# Statuses are those of the service model if it has the name. The front end's names and statuses were observed by AWS's
# clients. IncompleteSignature is 400 in AWS's list of common errors.
ERRORS: dict[type, tuple[str, int]] = {
    InvalidRequest: ("InvalidRequestException", 400),
    MalformedPolicy: ("MalformedPolicyException", 400),
    Throttled: ("ThrottlingException", 400),
    ResourceNotFound: ("ResourceNotFoundException", 404),
    CertificateStateRefused: ("CertificateStateException", 406),
    UpdateConflict: ("ConflictingResourceUpdateException", 409),
    VersionMismatch: ("VersionConflictException", 409),
    DeletionRefused: ("DeleteConflictException", 409),
    DuplicateCertificate: ("ResourceAlreadyExistsException", 409),
    ResourceExists: ("ResourceAlreadyExistsException", 409),
    LimitExceeded: ("LimitExceededException", 410),
    VersionsLimitExceeded: ("VersionsLimitExceededException", 409),
    TransferRefused: ("TransferConflictException", 409),
    TransferCompleted: ("TransferAlreadyCompletedException", 410),
    CertificateInvalid: ("CertificateValidationException", 400),
    CertificateConflict: ("CertificateConflictException", 409),
    RegistrationCodeInvalid: ("RegistrationCodeValidationException", 400),
    RegistrationFailed: ("ResourceRegistrationFailureException", 400),
    TaskExists: ("TaskAlreadyExistsException", 400),
    ServiceUnavailable: ("ServiceUnavailableException", 503),
    # Not 5xx, because SDKs would retry the request, which cannot succeed before an operator changes a setting.
    IssuanceImpossible: ("InvalidRequestException", 400),
    DeliveryUnconfirmed: ("GatewayTimeoutException", 504),
    OperationUnknown: ("UnknownOperationException", 400),
    AuthenticationMissing: ("MissingAuthenticationTokenException", 403),
    SignatureIncomplete: ("IncompleteSignatureException", 400),
    CredentialsUnknown: ("UnrecognizedClientException", 403),
    CredentialsExpired: ("ExpiredTokenException", 403),
    SignatureRefused: ("InvalidSignatureException", 403),
    AuthenticationFailure: ("UnrecognizedClientException", 403),
    RequestTooLarge: ("RequestEntityTooLargeException", 413),
    # botocore retries this name as a transient error.
    RequestTooSlow: ("RequestTimeoutException", 408),
}
_DENIED = {AccessDeniedName.ACCESS_DENIED: 403, AccessDeniedName.UNAUTHORIZED: 401}
# The errors that differ on the data plane, in AWS's model or in AWS's answers.
DATA_PLANE_ERRORS: dict[type, tuple[str, int]] = {
    AccessDenied: ("ForbiddenException", 403),
    Throttled: ("ThrottlingException", 429),
}

INTERNAL_FAILURE = "InternalFailureException"


class ErrorAnswer(Struct, frozen=True):
    """A refusal in AWS's format; ``members`` are the error's members in the model besides its message."""

    name: str
    status: int
    message: str
    members: dict[str, str] = field(default_factory=dict)
    retry_after: int | None = None

    @property
    def body(self) -> bytes:
        """The JSON body. The error's name is in a header and, for clients behind proxies that drop it, also here."""
        return msgspec.json.encode({"__type": self.name, "message": self.message, **self.members})


class ErrorMap:
    """Returns the answers to errors; for an unexpected exception, a message without details."""

    def __init__(self, access_denied: AccessDeniedName = AccessDeniedName.ACCESS_DENIED) -> None:
        errors = ERRORS | {AccessDenied: (str(access_denied), _DENIED[access_denied])}
        self._errors = {Plane.CONTROL: errors, Plane.DATA: errors | DATA_PLANE_ERRORS, Plane.OWN: errors}

    def answer(self, error: BaseException, plane: Plane = Plane.CONTROL) -> ErrorAnswer:
        """Return the answer for the most specific class of the error in the plane's map."""
        errors = self._errors[plane]
        entry = next((errors[kind] for kind in type(error).__mro__ if kind in errors), None)
        if entry is None or not isinstance(error, ThingmintError):
            return ErrorAnswer(INTERNAL_FAILURE, 500, "An internal failure occurred")
        name, status = entry
        return ErrorAnswer(name, status, error.message, _members(error), _retry_after(error))


def _members(error: ThingmintError) -> dict[str, str]:
    if not isinstance(error, ResourceExists):
        return {}
    members = {"resourceId": error.resource_id, "resourceArn": error.resource_arn}
    return {name: value for name, value in members.items() if value is not None}


def _retry_after(error: ThingmintError) -> int | None:
    # RFC 9110, 10.2.3: whole seconds. With zero, the client would retry at once.
    return max(1, math.ceil(error.retry_after)) if isinstance(error, Throttled) else None
