"""Certificates on their way to another account: what is recorded, and what keeps them where they are."""

from collections.abc import Callable, Coroutine
from dataclasses import replace

import pytest
from tests.support.certificates.user_ca import new_ca
from tests.support.databases.memory_store import MemoryStore
from tests.support.databases.stores import sample_access_key
from tests.support.registration.authority import NOW, REGION, caller_with, new_authority

from thingmint.core.caller import Caller
from thingmint.core.certificates.certificate import Certificate, CertificateStatus
from thingmint.core.errors import (
    CertificateStateRefused,
    InvalidRequest,
    ResourceNotFound,
    ServiceUnavailable,
    TransferCompleted,
    TransferRefused,
)
from thingmint.core.identifiers import AccountId, CertificateId, Region, Scope, certificate_arn
from thingmint.core.paging import PageRequest
from thingmint.records.access import access_keys as access_key_table
from thingmint.records.certificates import certificates as certificate_table
from thingmint.records.steps import Steps
from thingmint.registration.certificates import certificates, transfers
from thingmint.registration.certificates.registered_certificates import register_without_ca
from thingmint.registration.kernel.authority import RegistrationAuthority

SOURCE, TARGET, THIRD = (caller_with(account=AccountId(digit * 12)) for digit in "123")
ALL = PageRequest(50, None, ascending=True)


@pytest.fixture
async def authority(store: MemoryStore) -> RegistrationAuthority:
    for number, caller in enumerate((SOURCE, TARGET, THIRD)):
        key = sample_access_key(number, account=caller.account)
        await store.write(lambda key=key: access_key_table.insert_access_key(key))  # type: ignore[misc]  # mypy cannot infer a lambda with a default
    return new_authority(store)


async def issued(authority: RegistrationAuthority, caller: Caller = SOURCE, *, active: bool = False) -> Certificate:
    return (await certificates.issue_with_new_key(authority, caller, active=active)).certificate


async def offered(authority: RegistrationAuthority) -> CertificateId:
    certificate = await issued(authority)
    await transfers.begin(authority, SOURCE, certificate.certificate_id, TARGET.account, "yours")
    return certificate.certificate_id


async def listed(authority: RegistrationAuthority, caller: Caller) -> list[tuple[str, CertificateStatus]]:
    page = await certificates.list_certificates(authority, caller, ALL)
    return [(summary.arn, summary.status) for summary in page.items]


async def test_an_offered_certificate_is_seen_by_both_accounts_and_no_other(authority: RegistrationAuthority) -> None:
    certificate_id = await offered(authority)
    pending = await certificates.describe(authority, SOURCE, certificate_id)
    assert pending.status is CertificateStatus.PENDING_TRANSFER
    assert await certificates.describe(authority, TARGET, certificate_id) == pending
    for caller in (SOURCE, TARGET):
        arn = certificate_arn(caller.scope, certificate_id)
        assert await listed(authority, caller) == [(arn, CertificateStatus.PENDING_TRANSFER)]
    assert await listed(authority, THIRD) == []
    with pytest.raises(ResourceNotFound):
        await certificates.describe(authority, THIRD, certificate_id)
    elsewhere = replace(TARGET, region=Region("us-east-1"))
    with pytest.raises(ResourceNotFound):
        await transfers.accept(authority, elsewhere, certificate_id, active=False)


async def test_the_outgoing_list_holds_what_is_pending(authority: RegistrationAuthority) -> None:
    first, second = await offered(authority), await offered(authority)
    await issued(authority)
    page = await transfers.list_outgoing(authority, SOURCE, ALL)
    assert [outgoing.certificate_id for outgoing in page.items] == [first, second]
    assert page.items[0].target_arn == certificate_arn(TARGET.scope, first)
    newest = await transfers.list_outgoing(authority, SOURCE, PageRequest(1, None, ascending=False))
    assert [outgoing.certificate_id for outgoing in newest.items] == [second]
    assert newest.next is not None
    older = await transfers.list_outgoing(authority, SOURCE, PageRequest(1, newest.next, ascending=False))
    assert [outgoing.certificate_id for outgoing in older.items] == [first]
    await transfers.accept(authority, TARGET, first, active=False)
    await transfers.cancel(authority, SOURCE, second)
    for caller in (SOURCE, TARGET):
        assert (await transfers.list_outgoing(authority, caller, ALL)).items == ()


async def test_the_target_gets_the_arn_that_was_told_to_the_source(authority: RegistrationAuthority) -> None:
    certificate = await issued(authority)
    told = await transfers.begin(authority, SOURCE, certificate.certificate_id, TARGET.account, None)
    await transfers.accept(authority, TARGET, certificate.certificate_id, active=True)
    accepted = await certificates.describe(authority, TARGET, certificate.certificate_id)
    assert accepted.arn == told == certificate_arn(TARGET.scope, certificate.certificate_id)
    assert (accepted.status, accepted.previous_account) == (CertificateStatus.ACTIVE, SOURCE.account)
    assert accepted.der == certificate.der
    assert accepted.created_at == certificate.created_at
    with pytest.raises(ResourceNotFound):
        await certificates.describe(authority, SOURCE, certificate.certificate_id)
    assert await listed(authority, SOURCE) == []
    assert await listed(authority, TARGET) == [(told, CertificateStatus.ACTIVE)]


async def test_a_rejected_certificate_is_back_with_the_reason(authority: RegistrationAuthority) -> None:
    certificate_id = await offered(authority)
    await transfers.reject(authority, TARGET, certificate_id, "not ours")
    back = await certificates.describe(authority, SOURCE, certificate_id)
    assert back.status is CertificateStatus.INACTIVE
    assert back.transfer is not None
    assert (back.transfer.reject_reason, back.transfer.rejected_at) == ("not ours", NOW)
    assert await listed(authority, TARGET) == []


async def test_every_step_is_audited_for_both_accounts(authority: RegistrationAuthority, store: MemoryStore) -> None:
    certificate_id = await offered(authority)
    await transfers.reject(authority, TARGET, certificate_id, None)
    await transfers.begin(authority, SOURCE, certificate_id, TARGET.account, None)
    await transfers.cancel(authority, SOURCE, certificate_id)
    await transfers.begin(authority, SOURCE, certificate_id, TARGET.account, None)
    await transfers.accept(authority, TARGET, certificate_id, active=True)
    steps = [
        ("TransferCertificate", SOURCE, "PENDING_TRANSFER"),
        ("RejectCertificateTransfer", TARGET, "INACTIVE"),
        ("TransferCertificate", SOURCE, "PENDING_TRANSFER"),
        ("CancelCertificateTransfer", SOURCE, "INACTIVE"),
        ("TransferCertificate", SOURCE, "PENDING_TRANSFER"),
        ("AcceptCertificateTransfer", TARGET, "ACTIVE"),
    ]
    for caller in (SOURCE, TARGET):
        entries = [entry for entry in store.tables.audit if entry.scope == caller.scope and "Transfer" in entry.action]
        assert [(entry.action, entry.principal_arn, entry.detail["status"]) for entry in entries] == [
            (action, actor.principal.arn, status) for action, actor, status in steps
        ]
        assert {entry.resource for entry in entries} == {certificate_arn(caller.scope, certificate_id)}
        assert all(
            (entry.detail["source_account"], entry.detail["target_account"]) == (SOURCE.account, TARGET.account)
            for entry in entries
        )


async def test_nobody_changes_a_certificate_on_its_way(authority: RegistrationAuthority, store: MemoryStore) -> None:
    certificate_id = await offered(authority)
    before = store.tables.dump()
    for caller in (SOURCE, TARGET):
        for status in (CertificateStatus.ACTIVE, CertificateStatus.INACTIVE, CertificateStatus.REVOKED):
            with pytest.raises(CertificateStateRefused):
                await certificates.update_status(authority, caller, certificate_id, status)
        with pytest.raises(CertificateStateRefused):
            await certificates.delete(authority, caller, certificate_id)
    with pytest.raises(CertificateStateRefused):
        await transfers.begin(authority, SOURCE, certificate_id, THIRD.account, None)
    with pytest.raises(ResourceNotFound):
        await certificates.delete(authority, THIRD, certificate_id)
    assert store.tables.dump() == before


async def test_an_active_certificate_is_not_offered(authority: RegistrationAuthority) -> None:
    certificate = await issued(authority, active=True)
    with pytest.raises(CertificateStateRefused):
        await transfers.begin(authority, SOURCE, certificate.certificate_id, TARGET.account, None)


async def test_only_its_account_offers_a_certificate(authority: RegistrationAuthority) -> None:
    certificate = await issued(authority)
    with pytest.raises(ResourceNotFound):
        await transfers.begin(authority, THIRD, certificate.certificate_id, TARGET.account, None)


async def test_an_account_that_nobody_can_call_for_is_no_target(authority: RegistrationAuthority) -> None:
    certificate = await issued(authority)
    with pytest.raises(InvalidRequest, match="444444444444 has no access key"):
        await transfers.begin(authority, SOURCE, certificate.certificate_id, AccountId("4" * 12), None)


def attach(store: MemoryStore, scope: Scope, certificate_id: CertificateId, kind: str) -> None:
    arn = certificate_arn(scope, certificate_id)
    if kind == "thing":
        insert = (
            "INSERT INTO thing_principal (account, region, thing_name, principal, principal_type) "
            "VALUES ($1, $2, 'pump', $3, 'NON_EXCLUSIVE_THING')"
        )
    else:
        insert = "INSERT INTO policy_attachment (account, region, policy_name, target) VALUES ($1, $2, 'read', $3)"
    store.execute(insert, scope.account, scope.region, arn)


@pytest.mark.parametrize(("kind", "words"), [("thing", "Things must"), ("policy", "Certificate policies must")])
async def test_attachments_keep_a_certificate_in_its_account(
    authority: RegistrationAuthority, store: MemoryStore, kind: str, words: str
) -> None:
    certificate, pending = await issued(authority), await offered(authority)
    for certificate_id in (certificate.certificate_id, pending):
        attach(store, SOURCE.scope, certificate_id, kind)
    with pytest.raises(TransferRefused, match=words):
        await transfers.begin(authority, SOURCE, certificate.certificate_id, TARGET.account, None)
    # Nothing attaches to what is pending; should it ever happen, no account is left with a dangling attachment.
    with pytest.raises(TransferRefused, match=words):
        await transfers.accept(authority, TARGET, pending, active=True)


@pytest.mark.parametrize("end", ["accept", "reject", "cancel"])
async def test_a_transfer_ends_once(authority: RegistrationAuthority, store: MemoryStore, end: str) -> None:
    certificate_id = await offered(authority)
    ends: dict[str, Callable[[], Coroutine[None, None, None]]] = {
        "accept": lambda: transfers.accept(authority, TARGET, certificate_id, active=True),
        "reject": lambda: transfers.reject(authority, TARGET, certificate_id, None),
        "cancel": lambda: transfers.cancel(authority, SOURCE, certificate_id),
    }
    await ends[end]()
    before = store.tables.dump()
    for again in ends.values():
        with pytest.raises(TransferCompleted):
            await again()
    assert store.tables.dump() == before


async def test_an_account_that_has_the_certificate_cannot_accept_it_again(
    authority: RegistrationAuthority, store: MemoryStore
) -> None:
    pem = new_ca().issue_pem()
    for caller in (SOURCE, TARGET):
        certificate = await register_without_ca(authority, caller, pem, CertificateStatus.INACTIVE)
    certificate_id = certificate.certificate_id
    await transfers.begin(authority, SOURCE, certificate_id, TARGET.account, None)
    before = store.tables.dump()
    with pytest.raises(InvalidRequest, match="has this certificate already"):
        await transfers.accept(authority, TARGET, certificate_id, active=True)
    assert store.tables.dump() == before
    await transfers.reject(authority, TARGET, certificate_id, None)
    assert (await certificates.describe(authority, TARGET, certificate_id)).status is CertificateStatus.INACTIVE


async def test_a_lost_commit_leaves_the_certificate_where_it_was(
    authority: RegistrationAuthority, store: MemoryStore
) -> None:
    certificate_id = await offered(authority)
    before = store.tables.dump()
    store.lose_commit_with = ServiceUnavailable()
    with pytest.raises(ServiceUnavailable):
        await transfers.accept(authority, TARGET, certificate_id, active=True)
    assert store.tables.dump() == before


@pytest.mark.parametrize("verb", ["delete_certificate", "update_certificate"])
async def test_a_step_that_another_request_overtook_is_refused(
    authority: RegistrationAuthority, monkeypatch: pytest.MonkeyPatch, verb: str
) -> None:
    certificate_id = await offered(authority)

    def overtaken(*arguments: object) -> Steps[bool]:
        yield from ()
        return False

    monkeypatch.setattr(certificate_table, verb, overtaken)
    end = (
        transfers.accept(authority, TARGET, certificate_id, active=True)
        if verb == "delete_certificate"
        else transfers.reject(authority, TARGET, certificate_id, None)
    )
    with pytest.raises(TransferCompleted, match="at the same time"):
        await end


async def test_a_certificate_may_travel_on_and_back(authority: RegistrationAuthority) -> None:
    certificate_id = await offered(authority)
    await transfers.accept(authority, TARGET, certificate_id, active=False)
    await transfers.begin(authority, TARGET, certificate_id, SOURCE.account, "back")
    await transfers.accept(authority, SOURCE, certificate_id, active=False)
    home = await certificates.describe(authority, SOURCE, certificate_id)
    assert home.scope == Scope(SOURCE.account, REGION)
    assert home.previous_account == TARGET.account
