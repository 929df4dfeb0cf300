"""Owns role aliases, their maximum number and their updates. Does not assume roles."""

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
    """A name with which devices request credentials of a role, and the lifetime of these credentials."""

    scope: Scope
    name: RoleAliasName
    role_arn: str
    credential_seconds: int
    created_at: datetime
    modified_at: datetime

    def __post_init__(self) -> None:
        """Raise InvalidRequest unless ``role_arn`` is the ARN of a role."""
        if not _ROLE_ARN.fullmatch(self.role_arn):
            raise InvalidRequest("roleArn is not the ARN of an IAM role")

    @property
    def arn(self) -> str:
        """The role alias's ARN."""
        return role_alias_arn(self.scope, self.name)


@dataclass(frozen=True, slots=True)
class RoleAliasEntry:
    """A role alias in a list. ``position`` orders the list and is unique."""

    name: RoleAliasName
    position: int


def updated_role_alias(
    before: RoleAlias, role_arn: str | None, credential_seconds: int | None, now: datetime
) -> RoleAlias:
    """Return the updated alias; the same object if nothing changes. Raise InvalidRequest if ``role_arn`` is not one."""
    after = replace(
        before,
        role_arn=before.role_arn if role_arn is None else role_arn,
        credential_seconds=before.credential_seconds if credential_seconds is None else credential_seconds,
    )
    return before if after == before else replace(after, modified_at=now)
