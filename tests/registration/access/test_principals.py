"""The principal of an access key follows the key's row, however often the key is used."""

from dataclasses import replace
from datetime import UTC, datetime

from thingmint.core.access_key import AccessKey, AccessKeyOrigin
from thingmint.core.identifiers import AccountId, Region
from thingmint.registration.access import principals
from thingmint.registration.access.principals import Principals

ALLOW = '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}'
KEY = AccessKey(
    access_key_id="AKIAIOSFODNN7EXAMPLE",
    account=AccountId("111122223333"),
    user_name="ada",
    policy_text=ALLOW,
    sealed_secret=b"sealed",
    session_token_sha256=None,
    created_at=datetime(2026, 1, 1, tzinfo=UTC),
    expires_at=None,
    origin=AccessKeyOrigin.OPERATOR,
)


def test_a_key_that_was_replaced_has_another_principal() -> None:
    known = Principals(Region("us-east-1"))
    assert known.principal_of(KEY) is known.principal_of(KEY)
    denied = known.principal_of(replace(KEY, policy_text=ALLOW.replace("Allow", "Deny"), user_name="eve"))
    assert denied.arn.endswith(":user/eve")
    assert denied.policies != known.principal_of(KEY).policies


def test_only_some_principals_are_kept() -> None:
    known = Principals(Region("us-east-1"))
    first = known.principal_of(KEY)
    for number in range(principals.REMEMBERED_KEYS):
        known.principal_of(replace(KEY, access_key_id=f"AKIA{number}"))
    assert known.principal_of(KEY) == first
    assert known.principal_of(KEY) is not first
