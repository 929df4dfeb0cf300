"""Ownership tokens: what passes, what does not, and the end of certificates that nobody used."""

import base64
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from tests.support.clients.signing import SettableClock
from tests.support.databases.memory_store import MemoryStore
from tests.support.machine.soak import examples
from tests.support.registration.authority import NOW, Listener, caller_with, new_authority
from tests.support.registration.fleet import DEVICE, OPERATOR, waiting_certificate

from thingmint.core.certificates.certificate import CertificateStatus
from thingmint.core.identifiers import AccountId, CertificateId, Region
from thingmint.core.provisioning.ownership import OwnershipTokenInvalid, new_ownership
from thingmint.data_directory.sealing import Sealer
from thingmint.registration.certificates import certificates
from thingmint.registration.kernel.authority import RegistrationAuthority
from thingmint.registration.provisioning.ownership import ownership_token, redeemed_token, sweep_unused_certificates

HOUR = timedelta(hours=1)
AUTHORITY = new_authority()
OWNERSHIP = new_ownership(OPERATOR.scope, CertificateId("ab" * 32), NOW)
TOKEN = ownership_token(AUTHORITY, OWNERSHIP)


@pytest.fixture
def clock() -> SettableClock:
    return SettableClock(NOW)


@pytest.fixture
def authority(store: MemoryStore, clock: SettableClock) -> RegistrationAuthority:
    return replace(new_authority(store), clock=clock)


def test_a_token_proves_its_certificate_and_is_short_enough_for_small_devices() -> None:
    assert redeemed_token(AUTHORITY, OPERATOR, TOKEN) == OWNERSHIP
    assert len(TOKEN) <= 500
    assert OWNERSHIP.certificate_id not in base64.b64decode(TOKEN).hex()


def test_a_token_passes_until_its_hour_is_over(authority: RegistrationAuthority, clock: SettableClock) -> None:
    token = ownership_token(authority, OWNERSHIP)
    clock.at = OWNERSHIP.expires_at - timedelta(microseconds=1)
    assert redeemed_token(authority, OPERATOR, token) == redeemed_token(authority, OPERATOR, token)
    clock.at = OWNERSHIP.expires_at
    with pytest.raises(OwnershipTokenInvalid, match="expired"):
        redeemed_token(authority, OPERATOR, token)


GARBAGE = {
    "a letter": "x",
    "three bytes": "AAAA",
    "not ASCII": "é" * 92,
    "too long": "A" * 10_000,
    "a token and a line end": TOKEN + "\n",
    "a token without its end": TOKEN[:-1],
    "a token twice": TOKEN * 2,
    "a token behind a space": " " + TOKEN,
}


@pytest.mark.parametrize("token", GARBAGE.values(), ids=GARBAGE.keys())
def test_garbage_is_refused(token: str) -> None:
    with pytest.raises(OwnershipTokenInvalid, match="not valid"):
        redeemed_token(AUTHORITY, OPERATOR, token)


def test_an_empty_token_is_refused_in_awss_words() -> None:
    with pytest.raises(OwnershipTokenInvalid, match=r"^Certificate ownership token cannot be empty\.$"):
        redeemed_token(AUTHORITY, OPERATOR, "")


@pytest.mark.parametrize(
    "foreign",
    [
        caller_with(account=AccountId("210987654321")),
        caller_with(region=Region("us-east-1")),
    ],
)
def test_a_token_of_another_account_or_region_is_refused(foreign: object) -> None:
    assert isinstance(foreign, type(OPERATOR))
    with pytest.raises(OwnershipTokenInvalid):
        redeemed_token(AUTHORITY, foreign, TOKEN)


def test_a_token_of_another_service_is_refused() -> None:
    other = replace(AUTHORITY, sealer=Sealer(b"x" * 32, bytes))
    with pytest.raises(OwnershipTokenInvalid):
        redeemed_token(AUTHORITY, OPERATOR, ownership_token(other, OWNERSHIP))


@settings(max_examples=examples(30, 300))
@given(st.data())
def test_no_change_of_a_token_passes(data: st.DataObject) -> None:
    """Whatever is changed in the text or in the bytes, the token proves nothing any more."""
    raw = bytearray(base64.b64decode(TOKEN))
    if data.draw(st.booleans()):
        place = data.draw(st.integers(0, len(TOKEN) - 1))
        text = TOKEN[:place] + data.draw(st.characters()) + TOKEN[place + 1 :]
    else:
        place = data.draw(st.integers(0, len(raw) - 1))
        raw[place] ^= data.draw(st.integers(1, 255))
        text = base64.b64encode(raw).decode()
    if text == TOKEN:
        return
    with pytest.raises(OwnershipTokenInvalid):
        redeemed_token(AUTHORITY, OPERATOR, text)


@given(st.text(max_size=200))
def test_no_text_but_a_token_passes(text: str) -> None:
    with pytest.raises(OwnershipTokenInvalid):
        redeemed_token(AUTHORITY, OPERATOR, text)


async def test_certificates_that_nobody_used_go_after_their_hour(
    authority: RegistrationAuthority, clock: SettableClock, store: MemoryStore
) -> None:
    unused = (await waiting_certificate(authority)).certificate
    clock.at = NOW + HOUR
    assert await sweep_unused_certificates(authority, 10) == 1
    assert not store.tables.certificates
    assert not store.tables.rows("certificate_ownership")
    entry = store.tables.audit[-1]
    assert (entry.action, entry.resource, entry.principal_arn) == ("DeleteCertificate", unused.arn, "thingmint")
    assert entry.detail["reason"] == "ownership token ended"
    assert isinstance(authority.events, Listener)
    assert authority.events.entries[-1] == entry


async def test_nothing_goes_before_its_hour(
    authority: RegistrationAuthority, clock: SettableClock, store: MemoryStore
) -> None:
    await waiting_certificate(authority)
    clock.at = NOW.replace(microsecond=0) + HOUR
    assert await sweep_unused_certificates(authority, 10) == 0
    assert len(store.tables.certificates) == 1


@pytest.mark.parametrize("status", [CertificateStatus.ACTIVE, CertificateStatus.INACTIVE, CertificateStatus.REVOKED])
async def test_certificates_that_were_activated_or_judged_stay(
    authority: RegistrationAuthority, clock: SettableClock, store: MemoryStore, status: CertificateStatus
) -> None:
    used = (await waiting_certificate(authority)).certificate
    await certificates.update_status(authority, OPERATOR, used.certificate_id, status)
    clock.at = NOW + HOUR
    assert await sweep_unused_certificates(authority, 10) == 1
    assert [each.status for each in store.tables.certificates] == [status]
    assert await sweep_unused_certificates(authority, 10) == 0


@pytest.mark.parametrize(
    "attach",
    [
        "INSERT INTO policy_attachment (account, region, policy_name, target) VALUES ($1, $2, 'p', $3)",
        (
            "INSERT INTO thing_principal (account, region, thing_name, principal, principal_type) "
            "VALUES ($1, $2, 't', $3, 'NON_EXCLUSIVE_THING')"
        ),
    ],
)
async def test_certificates_with_a_policy_or_a_thing_stay(
    authority: RegistrationAuthority, clock: SettableClock, store: MemoryStore, attach: str
) -> None:
    used = (await waiting_certificate(authority)).certificate
    store.execute(attach, used.scope.account, used.scope.region, used.arn)
    clock.at = NOW + HOUR
    assert await sweep_unused_certificates(authority, 10) == 1
    assert [each.certificate_id for each in store.tables.certificates] == [used.certificate_id]


async def test_the_sweep_goes_in_batches_and_past_what_is_gone(
    authority: RegistrationAuthority, clock: SettableClock, store: MemoryStore
) -> None:
    gone = (await waiting_certificate(authority)).certificate
    for _ in range(2):
        await waiting_certificate(authority)
    await certificates.delete(authority, OPERATOR, gone.certificate_id)
    clock.at = NOW + HOUR
    fresh = (await waiting_certificate(authority, DEVICE)).certificate
    assert [await sweep_unused_certificates(authority, 2) for _ in range(3)] == [2, 1, 0]
    assert [each.certificate_id for each in store.tables.certificates] == [fresh.certificate_id]
