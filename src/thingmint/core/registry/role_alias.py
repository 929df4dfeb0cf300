"""Owns what a role alias is, how many there are at most, and what an update does; assumes no role."""

import re
from dataclasses import dataclass, replace
from datetime import datetime

from thingmint.core.errors import InvalidRequest
from thingmint.core.identifiers import RoleAliasName, Scope, role_alias_arn

# AWS IoT's quota, and the default that the service model documents.
MAX_ROLE_ALIASES = 100
DEFAULT_CREDENTIAL_SECONDS = 3600
_ROLE_ARN = re.compile(r"arn:aws[a-z-]*:iam::[0-9]{12}:role/[\x21-\x7e]+")


@dataclass(frozen=True, slots=True)
class RoleAlias:
    """A name by which devices ask for credentials of a role, and for how long those hold."""

    scope: Scope
    name: RoleAliasName
    role_arn: str
    credential_seconds: int
    created_at: datetime
    modified_at: datetime

    def __post_init__(self) -> None:
        """Raise InvalidRequest unless the role is named by the ARN of one."""
        if not _ROLE_ARN.fullmatch(self.role_arn):
            raise InvalidRequest("roleArn is not the ARN of an IAM role")

    @property
    def arn(self) -> str:
        """The role alias's name in policies."""
        return role_alias_arn(self.scope, self.name)


@dataclass(frozen=True, slots=True)
class RoleAliasEntry:
    """What a list shows; ``position`` orders the list and never repeats."""

    name: RoleAliasName
    position: int


def updated_role_alias(
    before: RoleAlias, role_arn: str | None, credential_seconds: int | None, now: datetime
) -> RoleAlias:
    """Return the alias with what is given, the same one if that changes nothing; raise InvalidRequest for no role."""
    after = replace(
        before,
        role_arn=before.role_arn if role_arn is None else role_arn,
        credential_seconds=before.credential_seconds if credential_seconds is None else credential_seconds,
    )
    return before if after == before else replace(after, modified_at=now)
