"""What ownership tokens say, and how long they are good."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from thingmint.core.identifiers import AccountId, CertificateId, Region, Scope
from thingmint.core.provisioning.ownership import new_ownership, ownership_of, token_content, token_name

SCOPE = Scope(AccountId("123456789012"), Region("eu-west-1"))
NOW = datetime(2026, 3, 4, 5, 6, 7, 890123, tzinfo=UTC)


def test_a_token_is_good_for_an_hour() -> None:
    ownership = new_ownership(SCOPE, CertificateId("ab" * 32), NOW)
    end = NOW.replace(microsecond=0) + timedelta(hours=1)
    assert ownership.expires_at == end
    assert ownership.is_valid_at(end - timedelta(microseconds=1))
    assert not ownership.is_valid_at(end)


@given(st.binary(min_size=32, max_size=32), st.datetimes(datetime(1970, 1, 2), datetime(9000, 1, 1)))  # noqa: DTZ001  zones below
def test_what_a_token_says_is_read_as_it_was_written(digest: bytes, at: datetime) -> None:
    ownership = new_ownership(SCOPE, CertificateId(digest.hex()), at.replace(tzinfo=UTC))
    assert ownership_of(SCOPE, token_content(ownership)) == ownership


def test_tokens_of_two_scopes_are_bound_to_two_names() -> None:
    scopes = [SCOPE, Scope(AccountId("000000000000"), SCOPE.region), Scope(SCOPE.account, Region("us-east-1"))]
    assert len({token_name(scope) for scope in scopes}) == 3
