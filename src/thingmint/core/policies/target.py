"""Owns the targets of policies: certificates, thing groups and Amazon Cognito identities.

The parsers turn every spelling that callers use into one, so that two different strings never mean the same target.
"""

import re
from dataclasses import dataclass
from typing import TypeAlias

from thingmint.core.errors import InvalidRequest, ResourceNotFound
from thingmint.core.identifiers import (
    CertificateId,
    Scope,
    ThingGroupName,
    certificate_arn,
    parse_certificate_id,
    parse_thing_group_name,
    partition_of,
    thing_group_arn,
)

# Amazon Cognito's identity ids: its region and a UUID (API reference of Cognito's GetId).
_IDENTITY_ID = re.compile(r"[a-z]{2}(-[a-z]+)+-[0-9]{1,2}:[0-9a-f-]{1,55}")
_ARN = re.compile(r"arn:(aws[a-z-]*):iot:([a-z0-9-]+):([0-9]{12}):(cert|thinggroup)/(.+)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class CertificateTarget:
    """A device certificate."""

    scope: Scope
    certificate_id: CertificateId

    @property
    def principal_id(self) -> CertificateId:
        """The id of the principal: the certificate's."""
        return self.certificate_id

    @property
    def name(self) -> str:
        """The certificate's ARN."""
        return certificate_arn(self.scope, self.certificate_id)


@dataclass(frozen=True, slots=True)
class ThingGroupTarget:
    """A thing group. Its policies apply to the principals of the things in it and in the groups below it."""

    scope: Scope
    group_name: ThingGroupName

    @property
    def name(self) -> str:
        """The group's ARN."""
        return thing_group_arn(self.scope, self.group_name)


@dataclass(frozen=True, slots=True)
class CognitoTarget:
    """An Amazon Cognito identity. The registry has only its id."""

    identity_id: str

    @property
    def name(self) -> str:
        """The identity's id."""
        return self.identity_id


PolicyTarget: TypeAlias = CertificateTarget | ThingGroupTarget | CognitoTarget


def parse_policy_target(scope: Scope, text: str) -> PolicyTarget:
    """Return the target that the text names.

    Raises InvalidRequest if a policy cannot be attached to such a target, ResourceNotFound for a target of another
    account or region.
    """
    if _IDENTITY_ID.fullmatch(text.lower()):
        return CognitoTarget(text.lower())
    match = _ARN.fullmatch(text)
    if match is None:
        raise InvalidRequest(
            f"A target is the ARN of a certificate or of a thing group, or an Amazon Cognito identity id, not {text!r}"
        )
    partition, region, account, kind, name = match.groups()
    if (partition, region, account) != (partition_of(scope.region), scope.region, scope.account):
        raise target_not_found(text)
    if kind == "cert":
        return CertificateTarget(scope, parse_certificate_id(name))
    return ThingGroupTarget(scope, parse_thing_group_name(name))


def parse_principal(scope: Scope, text: str) -> CertificateTarget | CognitoTarget:
    """Return a target that can connect, which a thing group cannot; raise as `parse_policy_target` does."""
    target = parse_policy_target(scope, text)
    if isinstance(target, ThingGroupTarget):
        raise InvalidRequest(
            f"A principal is the ARN of a certificate or an Amazon Cognito identity id, not {target.name}"
        )
    return target


def target_not_found(name: str) -> ResourceNotFound:
    """Return the error for a target that does not exist."""
    return ResourceNotFound(f"The target given in the request does not exist: {name}")
