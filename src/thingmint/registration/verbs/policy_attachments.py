"""Owns what a transaction does with the attachments of policies, and what follows from them; knows no SQL.

Targets are named as `core.policies.target` names them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from thingmint.core.identifiers import PolicyName, Scope, ThingGroupName, ThingName, policy_arn
from thingmint.core.policies.stored_policy import PolicySummary
from thingmint.records.paging import PageRequest
from thingmint.records.steps import Steps
from thingmint.registration.verbs.policies import VersionKey


@dataclass(frozen=True, slots=True)
class AttachedTarget:
    """A target that a policy is attached to; ``position`` orders the list and never repeats."""

    name: str
    position: int


@dataclass(frozen=True, slots=True)
class EffectivePolicy:
    """A policy's default version, and the targets through which it is in force; its document where it was read."""

    key: VersionKey
    targets: tuple[str, ...]
    document: str = ""

    @property
    def version(self) -> int:
        """The number of the version."""
        return self.key.version

    @property
    def name(self) -> PolicyName:
        """The policy's name."""
        return self.key.name

    @property
    def arn(self) -> str:
        """The policy's ARN."""
        return policy_arn(self.key.scope, self.key.name)


@dataclass(frozen=True, slots=True)
class Beginning:
    """From where policies are looked for: a principal, a thing, a thing group, or several of them.

    A principal leads to its things, things to their groups, and groups to the groups above them.
    """

    principal: str = ""
    thing_name: ThingName | str = ""
    group_name: ThingGroupName | str = ""


@dataclass(frozen=True, slots=True)
class EffectivePolicies:
    """The policies in force, and the ARNs of everything that decided so: policies, principal, things and groups."""

    policies: tuple[EffectivePolicy, ...]
    depends_on: frozenset[str]


class PolicyAttachmentVerbs(Protocol):
    """Reads see the transaction's own writes."""

    def attach_policy(self, scope: Scope, name: PolicyName, target: str) -> Steps[bool]:
        """Attach the policy; say whether it was not attached yet."""
        ...

    def detach_policy(self, scope: Scope, name: PolicyName, target: str) -> Steps[bool]:
        """Detach the policy; say whether it was attached."""
        ...

    def count_policies(self, scope: Scope, target: str) -> Steps[int]:
        """Return how many policies are attached to the target."""
        ...

    def is_policy_attached(self, scope: Scope, name: PolicyName) -> Steps[bool]:
        """Say whether the policy is attached to anything."""
        ...

    def attached_policies(self, scope: Scope, target: str, page: PageRequest) -> Steps[Sequence[PolicySummary]]:
        """Return up to ``page.size`` policies of the target as they were attached, latest first unless ascending."""
        ...

    def inherited_policies(
        self, scope: Scope, beginning: Beginning, page: PageRequest
    ) -> Steps[Sequence[PolicySummary]]:
        """Return up to ``page.size`` policies in force from the beginning on, by their first attachment."""
        ...

    def policy_targets(self, scope: Scope, name: PolicyName, page: PageRequest) -> Steps[Sequence[AttachedTarget]]:
        """Return up to ``page.size`` targets of the policy as they were attached, latest first unless ascending."""
        ...

    def effective_policies(self, scope: Scope, beginning: Beginning) -> Steps[EffectivePolicies]:
        """Return the policies in force from the beginning on, in one statement, in the order of their attachment."""
        ...
