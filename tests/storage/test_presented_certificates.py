"""Which registered certificate a device means, on both engines."""

from dataclasses import replace

from msgspec import structs
from tests.support.databases.stores import OTHER_SCOPE, SCOPE, insert, sample_certificate
from tests.support.registration.authority import new_authority

from thingmint.core.certificates.certificate import Certificate, CertificateMode
from thingmint.core.identifiers import AccountId, Scope
from thingmint.records.certificates import certificates as certificate_table
from thingmint.registration.certificates.presented_certificates import presented_certificate
from thingmint.registration.kernel.ports import Store

SHARED = replace(sample_certificate(1), issuer_id=None, mode=CertificateMode.SNI_ONLY)
ONE, OTHER = (AccountId(digit * 12) for digit in "12")


def of(account: AccountId, mode: CertificateMode = CertificateMode.SNI_ONLY) -> Certificate:
    return replace(SHARED, scope=Scope(account, SCOPE.region), mode=mode)


async def presented(store: Store, account: AccountId | None) -> Certificate | None:
    authority = structs.replace(new_authority(), store=store)
    return await presented_certificate(authority, SCOPE.region, account, SHARED.certificate_id)


async def test_a_certificate_in_default_mode_is_meant_whoever_is_named(store: Store) -> None:
    certificate = of(ONE, CertificateMode.DEFAULT)
    await insert(store, certificate)
    for account in (None, ONE, OTHER):
        assert await presented(store, account) == certificate


async def test_a_certificate_in_the_other_mode_is_meant_by_its_accounts_name_alone(store: Store) -> None:
    await insert(store, of(ONE), of(OTHER))
    assert await presented(store, ONE) == of(ONE)
    assert await presented(store, OTHER) == of(OTHER)
    assert await presented(store, None) is None
    assert await presented(store, AccountId("3" * 12)) is None


async def test_the_named_account_comes_before_the_one_in_default_mode(store: Store) -> None:
    await insert(store, of(ONE, CertificateMode.DEFAULT), of(OTHER))
    assert await presented(store, OTHER) == of(OTHER)
    assert await presented(store, None) == of(ONE, CertificateMode.DEFAULT)


async def test_other_regions_and_unknown_certificates_are_none(store: Store) -> None:
    await insert(store, replace(SHARED, scope=OTHER_SCOPE, mode=CertificateMode.DEFAULT))
    for account in (None, OTHER_SCOPE.account):
        assert await presented(store, account) is None


async def accounts(store: Store) -> list[AccountId]:
    found = await store.read(lambda: certificate_table.accounts_of_certificate(SCOPE.region, SHARED.certificate_id))
    return list(found)


async def test_the_accounts_of_a_certificate_are_found_without_their_names(store: Store) -> None:
    assert await accounts(store) == []
    await insert(store, of(OTHER), replace(of(ONE), scope=Scope(ONE, OTHER_SCOPE.region)))
    assert await accounts(store) == [OTHER]
    await insert(store, of(ONE), of(AccountId("3" * 12)))
    assert await accounts(store) == [ONE, OTHER]
