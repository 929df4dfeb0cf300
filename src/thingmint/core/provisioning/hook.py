"""Owns the requests to pre-provisioning hooks and the meaning of their answers. Does no I/O.

The JSON of both is AWS's ("Pre-provisioning hooks" in the developer guide), so a Lambda function's code can be used.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from thingmint.core.hooks import HookFailed
from thingmint.core.identifiers import CertificateId


@dataclass(frozen=True, slots=True)
class HookQuestion:
    """The request of a device to be provisioned: the template and the parameters.

    ``claim_certificate_id`` is the certificate that authenticates the device. It is empty if the caller has an access
    key. ``client_id`` is empty if there is no MQTT connection.
    """

    claim_certificate_id: str
    certificate_id: CertificateId
    certificate_pem: str
    template_arn: str
    client_id: str
    parameters: Mapping[str, str]

    @property
    def asked_for(self) -> str:
        """The ARN of the template."""
        return self.template_arn

    def as_json(self) -> dict[str, object]:
        """Return the question as the JSON object that the hook reads."""
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
    """Whether the device may be provisioned, and the parameters that replace the device's own."""

    allow_provisioning: bool
    parameter_overrides: Mapping[str, str]


def hook_answer(answer: object) -> HookAnswer:
    """Return the parsed answer of a hook; raise HookFailed unless it has the form of AWS's hooks.

    Only ``true`` allows, because another truthy value may be a mistake. Overrides may be absent.
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
