"""Signed requests have authors, as long as the store has their access keys."""

import os
from dataclasses import replace
from datetime import timedelta

import pytest
from tests.support.clients.signing import AT, REGION, SettableClock, by_botocore, unsigned, with_header
from tests.support.databases.memory_store import MemoryStore
from tests.support.registration.policies import document, statement

from thingmint.core.caller import Caller, Principal
from thingmint.core.errors import (
    AccessDenied,
    AuthenticationMissing,
    CredentialsExpired,
    CredentialsUnknown,
    ServiceUnavailable,
    SignatureIncomplete,
    SignatureRefused,
)
from thingmint.core.identifiers import AccountId, Region
from thingmint.core.policies.language import parse_policy
from thingmint.data_directory.sealing import Sealer
from thingmint.registration.access.access_keys import AccessKeyRequest, create_access_key, delete_access_key
from thingmint.rest.identity import SigV4Authenticator
from thingmint.rest.sigv4.signature import Credentials, HttpRequest

POLICY = document(statement(Action="iot:Describe*"))
OPERATOR = Caller(
    AccountId("000000000000"), Region(REGION), Principal("arn:aws:iam::000000000000:root", ()), "start", "local"
)
INVALID = "The security token included in the request is invalid."


class House:
    """An authenticator with its store, sealer and clock."""

    def __init__(self) -> None:
        self.store = MemoryStore()
        self.sealer = Sealer(bytes(32), os.urandom)
        self.clock = SettableClock()
        self.authenticator = SigV4Authenticator(self.store, self.sealer, self.clock, Region(REGION))

    async def credentials(self, lifetime: timedelta | None = None, policy: str = POLICY) -> Credentials:
        request = AccessKeyRequest("ada", policy, lifetime)
        new = await create_access_key(self.store, self.sealer, self.clock, os.urandom, OPERATOR, request)
        return Credentials(new.access_key.access_key_id, new.secret, new.session_token)

    async def author(self, request: HttpRequest) -> Caller:
        return await self.authenticator.authenticate(request, "request-1", "10.1.2.3", {"iot"})


@pytest.fixture
def house() -> House:
    return House()


async def test_author_is_the_user_of_the_access_key(house: House) -> None:
    credentials = await house.credentials()
    caller = await house.author(by_botocore(unsigned(), credentials))
    assert caller == Caller(
        AccountId("000000000000"),
        Region(REGION),
        Principal("arn:aws:iam::000000000000:user/ada", (parse_policy(POLICY),)),
        "request-1",
        "10.1.2.3",
    )


async def test_presigned_request_has_an_author(house: House) -> None:
    credentials = await house.credentials(timedelta(hours=1))
    caller = await house.author(by_botocore(unsigned(), credentials, expires=60))
    assert caller.principal.arn.endswith("user/ada")


async def test_temporary_credentials_tell_when_they_were_made(house: House) -> None:
    temporary, lasting = await house.credentials(timedelta(hours=1)), await house.credentials()
    authors = [await house.author(by_botocore(unsigned(), each)) for each in (temporary, lasting)]
    made_at = house.store.tables.access_keys[temporary.access_key_id].created_at
    assert [author.principal.token_issued_at for author in authors] == [made_at, None]


async def test_request_without_a_signature_has_none(house: House) -> None:
    with pytest.raises(AuthenticationMissing):
        await house.author(unsigned())


async def test_unknown_key_is_refused(house: House) -> None:
    with pytest.raises(CredentialsUnknown) as refusal:
        await house.author(by_botocore(unsigned()))
    assert refusal.value.message == INVALID


async def test_deleted_key_is_unknown_at_once(house: House) -> None:
    credentials = await house.credentials()
    request = by_botocore(unsigned(), credentials)
    await house.author(request)
    await delete_access_key(house.store, house.clock, OPERATOR, credentials.access_key_id)
    with pytest.raises(CredentialsUnknown):
        await house.author(request)


async def test_replaced_secret_counts_at_once(house: House) -> None:
    credentials = await house.credentials()
    await house.author(by_botocore(unsigned(), credentials))
    newer = await house.credentials()
    sealed = house.sealer.seal(newer.secret.encode(), f"access-key/{credentials.access_key_id}")
    update = "UPDATE access_key SET sealed_secret = $1 WHERE access_key_id = $2"
    house.store.execute(update, sealed, credentials.access_key_id)
    await house.author(by_botocore(unsigned(), replace(credentials, secret=newer.secret)))
    with pytest.raises(SignatureRefused):
        await house.author(by_botocore(unsigned(), credentials))


async def test_temporary_credentials_have_an_author_until_they_expire(house: House) -> None:
    credentials = await house.credentials(timedelta(minutes=10))
    for seconds in (0, 599):
        house.clock.at = AT + timedelta(seconds=seconds)
        await house.author(by_botocore(unsigned(), credentials, at=house.clock.at))
    house.clock.at = AT + timedelta(minutes=10)
    with pytest.raises(CredentialsExpired) as refusal:
        await house.author(by_botocore(unsigned(), credentials, at=house.clock.at))
    assert refusal.value.message == "The security token included in the request is expired"


@pytest.mark.parametrize("token", [None, "another"])
async def test_temporary_credentials_need_their_token(house: House, token: str | None) -> None:
    credentials = await house.credentials(timedelta(hours=1))
    with pytest.raises(CredentialsUnknown) as refusal:
        await house.author(by_botocore(unsigned(), replace(credentials, session_token=token)))
    assert refusal.value.message == INVALID


async def test_permanent_credentials_have_no_token(house: House) -> None:
    credentials = await house.credentials()
    with pytest.raises(CredentialsUnknown):
        await house.author(by_botocore(unsigned(), replace(credentials, session_token="any")))


async def test_token_must_be_signed(house: House) -> None:
    credentials = await house.credentials(timedelta(hours=1))
    request = by_botocore(unsigned(), replace(credentials, session_token=None))
    with pytest.raises(SignatureRefused, match="'x-amz-security-token' must be a 'SignedHeader'"):
        await house.author(with_header(request, b"x-amz-security-token", str(credentials.session_token).encode()))


async def test_faults_are_named_in_the_order_of_aws(house: House) -> None:
    """An unknown key comes before the time, the time before the signature, the signature before the expiry."""
    credentials = await house.credentials(timedelta(minutes=1))
    wrong = replace(credentials, secret="wrong")
    unknown = replace(wrong, access_key_id="AKIANOBODY")
    house.clock.at = AT + timedelta(hours=1)

    with pytest.raises(SignatureIncomplete):
        await house.author(with_header(by_botocore(unsigned(), unknown), b"x-amz-date", b"never"))
    with pytest.raises(CredentialsUnknown):
        await house.author(by_botocore(unsigned(), unknown))
    with pytest.raises(SignatureRefused, match="Signature expired"):
        await house.author(by_botocore(unsigned(), wrong))
    with pytest.raises(SignatureRefused, match="valid region"):
        await house.author(by_botocore(unsigned(), wrong, at=house.clock.at, region="eu-west-1"))
    with pytest.raises(SignatureRefused, match="does not match"):
        await house.author(by_botocore(unsigned(), wrong, at=house.clock.at))
    with pytest.raises(CredentialsExpired):
        await house.author(by_botocore(unsigned(), credentials, at=house.clock.at))


async def test_other_services_are_refused(house: House) -> None:
    credentials = await house.credentials()
    with pytest.raises(SignatureRefused, match="correct service: 'iot'"):
        await house.author(by_botocore(unsigned(), credentials, service="iotdata"))


async def test_policy_that_can_no_longer_be_read_allows_nothing(house: House) -> None:
    credentials = await house.credentials()
    house.store.execute("UPDATE access_key SET policy_text = '{}'")
    with pytest.raises(AccessDenied, match=r"policy of arn:aws:iam::000000000000:user/ada cannot be read"):
        await house.author(by_botocore(unsigned(), credentials))


async def test_secret_sealed_by_another_key_is_a_failure_of_the_service(house: House) -> None:
    credentials = await house.credentials()
    stranger = Sealer(bytes(range(32)), os.urandom)
    authenticator = SigV4Authenticator(house.store, stranger, house.clock, Region(REGION))
    with pytest.raises(ServiceUnavailable, match="cannot be unsealed"):
        await authenticator.authenticate(by_botocore(unsigned(), credentials), "request-1", "10.1.2.3", {"iot"})


async def test_store_that_does_not_answer_is_a_failure_of_the_service(house: House) -> None:
    credentials = await house.credentials()
    house.store.refuse_with = ServiceUnavailable()
    with pytest.raises(ServiceUnavailable):
        await house.author(by_botocore(unsigned(), credentials))


async def test_secret_is_unsealed_once_a_day(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    credentials = await house.credentials()
    unsealed: list[str] = []
    unseal = house.sealer.unseal

    def noted(sealed: bytes, bound_to: str) -> bytes:
        unsealed.append(bound_to)
        return unseal(sealed, bound_to)

    monkeypatch.setattr(house.sealer, "unseal", noted)
    for day in (0, 0, 1, 1):
        house.clock.at = AT + timedelta(days=day)
        await house.author(by_botocore(unsigned(), credentials, at=house.clock.at))
    assert unsealed == [f"access-key/{credentials.access_key_id}"] * 2
