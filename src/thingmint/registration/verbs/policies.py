"""Owns what a transaction does with policies and their versions; knows no SQL."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from thingmint.core.identifiers import PolicyName, Scope
from thingmint.core.policies.stored_policy import DevicePolicy, PolicySummary, PolicyVersion, PolicyVersionSummary
from thingmint.records.paging import PageRequest
from thingmint.records.steps import Steps


@dataclass(frozen=True, slots=True)
class VersionKey:
    """What tells a version of a policy from every other, of namesakes that are created or restored later, too."""

    scope: Scope
    name: PolicyName
    generation_id: str
    version: int
    created_at: datetime


class PolicyVerbs(Protocol):
    """Reads see the transaction's own writes."""

    def policy_document(self, key: VersionKey) -> Steps[str | None]:
        """Return the document of the version, None if it does not exist any more."""
        ...

    def policy_with_version(
        self, scope: Scope, name: PolicyName, version: int | None
    ) -> Steps[tuple[DevicePolicy, PolicyVersion | None] | None]:
        """Return the policy and this version of it, or its default version; None where there is none."""
        ...

    def policy_for_update(self, scope: Scope, name: PolicyName) -> Steps[DevicePolicy | None]:
        """Return the policy and keep others from changing it until this transaction ends."""
        ...

    def policy_kept(self, scope: Scope, name: PolicyName) -> Steps[bool]:
        """Say whether the policy exists, and keep it from being deleted until this transaction ends."""
        ...

    def policy_summaries(self, scope: Scope, page: PageRequest) -> Steps[Sequence[PolicySummary]]:
        """Return up to ``page.size`` policies in the order of their creation, newest first unless ascending."""
        ...

    def policy_versions(self, scope: Scope, name: PolicyName) -> Steps[Sequence[PolicyVersionSummary]]:
        """Return the policy's versions, newest first; none if there is no such policy."""
        ...

    def insert_policy(self, policy: DevicePolicy) -> Steps[bool]:
        """Store a new policy without its version; say whether its name was free."""
        ...

    def update_policy(self, policy: DevicePolicy) -> Steps[None]:
        """Store the policy's default version, last version and time of change."""
        ...

    def delete_policy(self, policy: DevicePolicy) -> Steps[None]:
        """Delete the policy and all of its versions."""
        ...

    def insert_policy_version(self, policy: DevicePolicy, version: PolicyVersion) -> Steps[None]:
        """Store a new version of the policy."""
        ...

    def touch_policy_version(self, policy: DevicePolicy, version: int, at: datetime) -> Steps[None]:
        """Store when the version came into force or went out of it."""
        ...

    def delete_policy_version(self, policy: DevicePolicy, version: int) -> Steps[bool]:
        """Delete the version; say whether it existed."""
        ...
