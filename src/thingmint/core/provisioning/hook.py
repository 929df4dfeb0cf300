"""Owns what a pre-provisioning hook is asked and what its answer means; knows no way to reach one.

The JSON of both is AWS's ("Pre-provisioning hooks" in the developer guide), so that a Lambda function's code serves.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from thingmint.core.hooks import HookFailed
from thingmint.core.identifiers import CertificateId


@dataclass(frozen=True, slots=True)
class HookQuestion:
    """Who wants to be provisioned with which template and parameters.

    ``claim_certificate_id`` is the certificate that the device asks with. It is empty where the caller has an access
    key, and so is ``client_id`` where there is no MQTT connection.
    """

    claim_certificate_id: str
    certificate_id: CertificateId
    certificate_pem: str
    template_arn: str
    client_id: str
    parameters: Mapping[str, str]

    @property
    def asked_for(self) -> str:
        """The ARN of what the question is about."""
        return self.template_arn

    def as_json(self) -> dict[str, object]:
        """Return the question as the hook reads it."""
        return {
            "claimCertificateId": self.claim_certificate_id,
            "certificateId": self.certificate_id,
            "certificatePem": self.certificate_pem,
            "templateArn": self.template_arn,
            "clientId": self.client_id,
            "parameters": dict(self.parameters),
        }

    def check(self, answer: object) -> None:
        """Raise HookFailed unless the answer has the form of AWS's hooks."""
        hook_answer(answer)


@dataclass(frozen=True, slots=True)
class HookAnswer:
    """Whether the device may be provisioned, and which parameters count instead of the device's own."""

    allow_provisioning: bool
    parameter_overrides: Mapping[str, str]


def hook_answer(answer: object) -> HookAnswer:
    """Return what a hook's answer means; raise HookFailed unless it has the form of AWS's hooks.

    Nothing but ``true`` allows: what is merely truthy may be a mistake. Overrides may be absent.
    """
    if not isinstance(answer, Mapping):
        raise HookFailed("the answer is not an object")
    allowed = answer.get("allowProvisioning")
    if not isinstance(allowed, bool):
        raise HookFailed("allowProvisioning is neither true nor false")
    overrides = answer.get("parameterOverrides")
    if overrides is None:
        return HookAnswer(allowed, {})
    if not isinstance(overrides, Mapping) or not all(
        isinstance(name, str) and isinstance(value, str) for name, value in overrides.items()
    ):
        raise HookFailed("parameterOverrides is not an object whose values are strings")
    return HookAnswer(allowed, dict(overrides))
