"""Owns the policies of roles, which an operator sets by ARN in the settings. Does not assume roles."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from thingmint.core.policies.language import Policy

ANY_ROLE = "*"


@dataclass(frozen=True, slots=True)
class RolePolicies:
    """The policies of roles by ARN. The policy of ``*`` applies to every role that is not listed."""

    by_arn: Mapping[str, Policy] = field(default_factory=dict)

    def policy_of(self, role_arn: str) -> Policy | None:
        """Return the role's policy; None if the role has no limits."""
        return self.by_arn.get(role_arn) or self.by_arn.get(ANY_ROLE)
