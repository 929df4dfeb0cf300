"""Owns what a certificate provider is, what it is asked and what its answer means; signs nothing and calls nobody."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum

from thingmint.core.errors import InvalidRequest
from thingmint.core.hooks import HookFailed, is_function_arn
from thingmint.core.identifiers import CertificateProviderName, Scope, certificate_provider_arn


class ProvidedOperation(StrEnum):
    """The operation whose certificates a provider may sign, in the fleet provisioning API over MQTT."""

    CREATE_CERTIFICATE_FROM_CSR = "CreateCertificateFromCsr"


@dataclass(frozen=True, slots=True)
class CertificateProvider:
    """Who signs the account's certificates instead of the issuing CA, named by the ARN of a Lambda function."""

    scope: Scope
    name: CertificateProviderName
    function_arn: str
    operation: ProvidedOperation
    client_token: str | None
    created_at: datetime
    modified_at: datetime

    def __post_init__(self) -> None:
        """Raise InvalidRequest unless the function is named by the ARN of one."""
        if not is_function_arn(self.function_arn):
            raise InvalidRequest("lambdaFunctionArn is not the ARN of a Lambda function")

    @property
    def arn(self) -> str:
        """The provider's name in policies."""
        return certificate_provider_arn(self.scope, self.name)

    def is_retry_of(self, present: "CertificateProvider") -> bool:
        """Return whether this one asks for what the present one was made by: the same token, in the same words."""
        same = replace(self, created_at=present.created_at, modified_at=present.modified_at)
        return self.client_token is not None and same == present


@dataclass(frozen=True, slots=True)
class CertificateProviderEntry:
    """What a list shows; ``position`` orders the list and never repeats."""

    name: CertificateProviderName
    position: int


@dataclass(frozen=True, slots=True)
class SigningQuestion:
    """A signing request that a provider is asked to answer; the JSON is AWS's."""

    provider_arn: str
    csr_pem: str
    principal_id: str
    client_id: str
    verify: Callable[[str], object] = field(repr=False, compare=False)

    @property
    def asked_for(self) -> str:
        """The ARN of what the question is about."""
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
    """Return the provider with what is given, the same one if that changes nothing; raise InvalidRequest."""
    after = replace(before, function_arn=function_arn or before.function_arn, operation=operation or before.operation)
    return before if after == before else replace(after, modified_at=now)
