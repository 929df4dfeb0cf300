"""Role aliases: which roles they may name, and what an update does."""

from datetime import UTC, datetime, timedelta

import pytest

from thingmint.core.errors import InvalidRequest
from thingmint.core.identifiers import AccountId, Region, RoleAliasName, Scope
from thingmint.core.registry.role_alias import RoleAlias, updated_role_alias

SCOPE = Scope(AccountId("123456789012"), Region("eu-west-1"))
ROLE = "arn:aws:iam::123456789012:role/path/Device"
NOW = datetime(2026, 1, 2, tzinfo=UTC)
LATER = NOW + timedelta(seconds=1)


def alias(role_arn: str = ROLE) -> RoleAlias:
    return RoleAlias(SCOPE, RoleAliasName("a=b"), role_arn, 3600, NOW, NOW)


def test_an_alias_has_an_arn() -> None:
    assert alias().arn == "arn:aws:iot:eu-west-1:123456789012:rolealias/a=b"


@pytest.mark.parametrize("role", ["x" * 20, "arn:aws:iam::123456789012:user/someone", ROLE + "\0", ROLE + " x"])
def test_only_roles_are_named(role: str) -> None:
    with pytest.raises(InvalidRequest, match="not the ARN of an IAM role"):
        alias(role)
    with pytest.raises(InvalidRequest):
        updated_role_alias(alias(), role, None, LATER)


def test_an_update_changes_what_it_names_and_the_time_only_then() -> None:
    before = alias()
    other = updated_role_alias(before, ROLE + "2", None, LATER)
    assert (other.role_arn, other.credential_seconds, other.modified_at) == (ROLE + "2", 3600, LATER)
    longer = updated_role_alias(before, None, 900, LATER)
    assert (longer.role_arn, longer.credential_seconds, longer.created_at) == (ROLE, 900, NOW)
    assert updated_role_alias(before, ROLE, 3600, LATER) is before
    assert updated_role_alias(before, None, None, LATER) is before
