"""Owns what roles may do: the policies that an operator gives them in the settings, by ARN; assumes no role."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from thingmint.core.policies.language import Policy

ANY_ROLE = "*"


@dataclass(frozen=True, slots=True)
class RolePolicies:
    """The policies of roles by ARN; that of ``*`` is for every role that is not named."""

    by_arn: Mapping[str, Policy] = field(default_factory=dict)

    def policy_of(self, role_arn: str) -> Policy | None:
        """Return the role's policy; None if nothing limits it."""
        return self.by_arn.get(role_arn) or self.by_arn.get(ANY_ROLE)
