"""Owns the one map from the domain's refusals to AWS's error names and HTTP statuses; every edge uses it."""

import math
from dataclasses import dataclass, field
from enum import StrEnum

import msgspec

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
    """The body of the request is longer than any operation needs."""


class RequestTooSlow(ThingmintError):
    """The body of the request did not arrive in time."""


class AccessDeniedName(StrEnum):
    """How a refusal by policy is named: as AWS IoT answers it (403), or as its model documents it (401)."""

    ACCESS_DENIED = "AccessDeniedException"
    UNAUTHORIZED = "UnauthorizedException"


# Statuses are the service model's where it knows the name; the front end's names and statuses are those that AWS's
# clients have seen. IncompleteSignature is 400 in AWS's list of common errors.
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
    # Not 5xx: SDKs would repeat the request, which cannot succeed before an operator changes a setting.
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
# Where the model of the data plane, and what AWS answers there, differ from the rest of the API.
DATA_PLANE_ERRORS: dict[type, tuple[str, int]] = {
    AccessDenied: ("ForbiddenException", 403),
    Throttled: ("ThrottlingException", 429),
}

INTERNAL_FAILURE = "InternalFailureException"


@dataclass(frozen=True, slots=True)
class ErrorAnswer:
    """A refusal as AWS's clients read it; ``members`` are those that the model gives the error besides its message."""

    name: str
    status: int
    message: str
    members: dict[str, str] = field(default_factory=dict)
    retry_after: int | None = None

    @property
    def body(self) -> bytes:
        """The JSON body. The name travels in a header and, for clients behind proxies that drop it, here as well."""
        return msgspec.json.encode({"__type": self.name, "message": self.message, **self.members})


class ErrorMap:
    """Answers errors of the domain, and every other exception with a message that says nothing about it."""

    def __init__(self, access_denied: AccessDeniedName = AccessDeniedName.ACCESS_DENIED) -> None:
        errors = ERRORS | {AccessDenied: (str(access_denied), _DENIED[access_denied])}
        self._errors = {Plane.CONTROL: errors, Plane.DATA: errors | DATA_PLANE_ERRORS, Plane.OWN: errors}

    def answer(self, error: BaseException, plane: Plane = Plane.CONTROL) -> ErrorAnswer:
        """Return the answer to the error; the most specific class that the plane's map knows decides."""
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
    # RFC 9110, 10.2.3: whole seconds; zero would invite the client back at once.
    return max(1, math.ceil(error.retry_after)) if isinstance(error, Throttled) else None
