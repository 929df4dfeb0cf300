"""Owns the AWS IoT policy of the registry: its versions, their limits, and deletion. Does not handle attachments.

Versions of a policy are numbered from one, and a number is never reused. The default version is the one in force.
"""

import re
from dataclasses import dataclass, replace
from datetime import datetime

from thingmint.core.errors import (
    DeletionRefused,
    LimitExceeded,
    MalformedPolicy,
    ResourceNotFound,
    VersionsLimitExceeded,
)
from thingmint.core.identifiers import PolicyName, Scope, policy_arn
from thingmint.core.policies.iot_policy import parse_new_iot_policy
from thingmint.core.policies.language import Policy

# AWS IoT's quotas.
MAX_VERSIONS = 5
MAX_POLICIES_OF_A_TARGET = 10

FIRST_VERSION = 1
# The largest integer of every store. No policy will have so many versions.
_MAX_VERSION = 2**63 - 1
_VERSION_ID = re.compile(r"[1-9][0-9]{0,18}")


@dataclass(frozen=True, slots=True)
class DevicePolicy:
    """A policy of devices and its default version. A deleted policy of the same name has another generation id."""

    scope: Scope
    name: PolicyName
    default_version: int
    last_version: int
    generation_id: str
    created_at: datetime
    modified_at: datetime

    @property
    def arn(self) -> str:
        """The policy's ARN."""
        return policy_arn(self.scope, self.name)


@dataclass(frozen=True, slots=True)
class PolicyVersion:
    """One version of a policy. Its document is the author's text with its white space."""

    version: int
    document: str
    created_at: datetime
    modified_at: datetime


@dataclass(frozen=True, slots=True)
class PolicyVersionSummary:
    """A version in a list."""

    version: int
    created_at: datetime
    is_default: bool


@dataclass(frozen=True, slots=True)
class PolicySummary:
    """A policy in a list. ``position`` orders the list and is unique."""

    scope: Scope
    name: PolicyName
    position: int

    @property
    def arn(self) -> str:
        """The policy's ARN."""
        return policy_arn(self.scope, self.name)


def parse_document(text: str) -> Policy:
    """Return the policy of a new document; raise MalformedPolicy with position and reason if it is not valid."""
    try:
        return parse_new_iot_policy(text)
    except MalformedPolicy as refusal:
        raise MalformedPolicy(f"Policy document is Malformed: {refusal.message}") from refusal


def parse_version_id(name: PolicyName, text: str) -> int:
    """Return the number of a version id; raise ResourceNotFound if no version has this id."""
    number = int(text) if _VERSION_ID.fullmatch(text) else 0
    if not FIRST_VERSION <= number <= _MAX_VERSION:
        raise version_not_found(name, text)
    return number


def with_next_version(policy: DevicePolicy, versions: int, at: datetime, *, as_default: bool) -> DevicePolicy:
    """Return the policy with one more version; raise VersionsLimitExceeded if it has the maximum already."""
    if versions >= MAX_VERSIONS:
        raise VersionsLimitExceeded(
            f"The policy {policy.name} already has the maximum number of versions ({MAX_VERSIONS})"
        )
    number = policy.last_version + 1
    default = number if as_default else policy.default_version
    return replace(policy, last_version=number, default_version=default, modified_at=at)


def with_default_version(policy: DevicePolicy, version: int, at: datetime) -> DevicePolicy:
    """Return the policy with this version as the default; the same object if it is the default already."""
    return policy if version == policy.default_version else replace(policy, default_version=version, modified_at=at)


def ensure_version_deletable(policy: DevicePolicy, version: int) -> None:
    """Raise DeletionRefused if the version is in force."""
    if version == policy.default_version:
        raise DeletionRefused(f"Cannot delete the default version of a policy (name={policy.name})")


def ensure_policy_deletable(policy: DevicePolicy, versions: int, *, is_attached: bool) -> None:
    """Raise DeletionRefused if the policy is attached to something or has versions besides the default."""
    if is_attached:
        raise DeletionRefused(
            f"The policy cannot be deleted as the policy is attached to one or more principals (name={policy.name})"
        )
    if versions > 1:
        # AWS's message has the word "than" twice.
        raise DeletionRefused(
            f"The policy cannot be deleted as versions other than than default version exist (name={policy.name})"
        )


def ensure_room_for_policy(target: str, policies: int) -> None:
    """Raise LimitExceeded if the target has the maximum number of policies."""
    if policies >= MAX_POLICIES_OF_A_TARGET:
        raise LimitExceeded(
            f"The maximum number of policies ({MAX_POLICIES_OF_A_TARGET}) is attached to the target already: {target}"
        )


def policy_not_found(name: PolicyName) -> ResourceNotFound:
    """Return the error for a policy that does not exist."""
    return ResourceNotFound(f"The policy given in the request does not exist (name={name})")


def version_not_found(name: PolicyName, version: int | str) -> ResourceNotFound:
    """Return the error for a version that does not exist."""
    return ResourceNotFound(f"The policy version given in the request does not exist (name={name}, version={version})")
