"""Owns certificate providers: their requests, and the meaning of their answers. Does no I/O and no signing."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum

from thingmint.core.errors import InvalidRequest
from thingmint.core.hooks import HookFailed, is_function_arn
from thingmint.core.identifiers import CertificateProviderName, Scope, certificate_provider_arn


class ProvidedOperation(StrEnum):
    """The operation of the fleet provisioning API over MQTT whose certificates a provider can sign."""

    CREATE_CERTIFICATE_FROM_CSR = "CreateCertificateFromCsr"


@dataclass(frozen=True, slots=True)
class CertificateProvider:
    """The Lambda function, named by its ARN, that signs an account's certificates instead of the issuing CA."""

    scope: Scope
    name: CertificateProviderName
    function_arn: str
    operation: ProvidedOperation
    client_token: str | None
    created_at: datetime
    modified_at: datetime

    def __post_init__(self) -> None:
        """Raise InvalidRequest unless ``function_arn`` is the ARN of a Lambda function."""
        if not is_function_arn(self.function_arn):
            raise InvalidRequest("lambdaFunctionArn is not the ARN of a Lambda function")

    @property
    def arn(self) -> str:
        """The provider's name in policies."""
        return certificate_provider_arn(self.scope, self.name)

    def is_retry_of(self, present: "CertificateProvider") -> bool:
        """Return whether this request repeats the one that created the present provider: same token, same values."""
        same = replace(self, created_at=present.created_at, modified_at=present.modified_at)
        return self.client_token is not None and same == present


@dataclass(frozen=True, slots=True)
class CertificateProviderEntry:
    """A provider in a list. ``position`` orders the list and is unique."""

    name: CertificateProviderName
    position: int


@dataclass(frozen=True, slots=True)
class SigningQuestion:
    """A signing request that the service sends to a provider, in the JSON that AWS defines."""

    provider_arn: str
    csr_pem: str
    principal_id: str
    client_id: str
    verify: Callable[[str], object] = field(repr=False, compare=False)

    @property
    def asked_for(self) -> str:
        """The ARN of the resource that the question is about."""
        return self.provider_arn

    def as_json(self) -> dict[str, object]:
        """Return the question as the provider's function reads it."""
        return {
            "certificateSigningRequest": self.csr_pem,
            "principalId": self.principal_id,
            "clientId": self.client_id,
        }

    def check(self, answer: object) -> None:
        """Raise HookFailed unless the answer is a certificate for the request: ``verify`` raises it if it is not."""
        self.verify(provided_pem(answer))


def provided_pem(answer: object) -> str:
    """Return the certificate of a provider's answer; raise HookFailed unless the answer has the form of AWS's."""
    pem = answer.get("certificatePem") if isinstance(answer, Mapping) else None
    if not isinstance(pem, str):
        raise HookFailed("the answer has no certificatePem")
    return pem


def updated_provider(
    before: CertificateProvider, function_arn: str | None, operation: ProvidedOperation | None, now: datetime
) -> CertificateProvider:
    """Return the updated provider; the same object if nothing changes. Raise InvalidRequest for a bad ARN."""
    after = replace(before, function_arn=function_arn or before.function_arn, operation=operation or before.operation)
    return before if after == before else replace(after, modified_at=now)
