"""Issuers come, become active, retire and lose their keys, each change in one transaction with its audit entry."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from tests.support.databases.memory_store import MemoryStore
from tests.support.databases.stores import insert, sample_certificate
from tests.support.registration.authority import caller_with

from thingmint.core.errors import InvalidRequest, ResourceNotFound, UpdateConflict
from thingmint.core.issuer import IssuerRecord, IssuerStatus, KeyPlace
from thingmint.core.paging import PageRequest
from thingmint.records import audit as audit_table
from thingmint.records import issuers as issuer_table
from thingmint.registration.certificates.standing import record_deletion
from thingmint.registration.issuers.issuers import (
    NODES_FOLLOW_WITHIN,
    activate,
    add,
    add_active,
    complete,
    destroy_key,
    list_issuers,
    named,
    retire,
)

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
LATER = NOW + NODES_FOLLOW_WITHIN
CALLER = caller_with()
PENDING, READY, ACTIVE, RETIRED = IssuerStatus


def record(number: int, status: IssuerStatus = READY, *, place: KeyPlace = KeyPlace.DATABASE) -> IssuerRecord:
    return IssuerRecord(
        reference=f"{number:032x}",
        issuer_id=None if status is PENDING else f"{number + 0xA00000:064x}",
        status=status,
        key_type="ecdsa-p256",
        key_place=place,
        sealed_key=b"sealed",
        token_uri=None,
        public_key="PEM",
        chain_pem="" if status is PENDING else "PEM",
        profile='{"validity_days": 30}',
        created_at=NOW,
        activated_at=NOW if status is ACTIVE else None,
    )


async def stored_with(*records: IssuerRecord) -> MemoryStore:
    store = MemoryStore()
    await add(store, CALLER, NOW, "CreateIssuer", records)
    return store


async def actions(store: MemoryStore) -> list[str]:
    page = await store.read(lambda: audit_table.audit_page(CALLER.scope, PageRequest(100, None, ascending=True)))
    return [listed.item.action for listed in page]


async def test_what_is_stored_is_read_again_and_stored_once() -> None:
    records = (record(1, ACTIVE), record(2), record(3, PENDING))
    store = await stored_with(*records)
    await add(store, CALLER, NOW, "CreateIssuer", records)
    assert tuple(await list_issuers(store)) == records
    assert await actions(store) == ["CreateIssuer"] * 3
    assert "sealed" not in repr(records[0]).replace("sealed_key", "")
    assert [each.name for each in records] == [records[0].issuer_id, records[1].issuer_id, records[2].reference]


async def test_a_second_active_issuer_is_never_stored() -> None:
    store = await stored_with(record(1, ACTIVE), record(2, ACTIVE))
    assert [each.status for each in await list_issuers(store)] == [ACTIVE]


async def test_an_issuer_is_found_by_the_beginning_of_its_id_or_reference() -> None:
    records = [record(1), record(2, PENDING), replace(record(0x11), issuer_id="b" * 64)]
    assert named(records, "bbbb") is records[2]
    assert named(records, records[0].issuer_id or "") is records[0]
    assert named(records, records[1].reference) is records[1]
    for unknown in ("bbb", "cccc", ""):
        with pytest.raises(ResourceNotFound, match="no issuer whose id begins"):
            named(records, unknown)
    with pytest.raises(InvalidRequest, match="3 issuers"):
        named(records, "0000")


async def test_a_ready_issuer_takes_the_place_of_the_active_one() -> None:
    old, new = record(1, ACTIVE), record(2)
    store = await stored_with(old, new)
    await activate(store, CALLER, LATER, new, old)
    first, second = await list_issuers(store)
    assert (first.status, first.retired_at, second.status, second.activated_at) == (RETIRED, LATER, ACTIVE, LATER)
    assert await actions(store) == ["CreateIssuer", "CreateIssuer", "RetireIssuer", "ActivateIssuer"]
    for status in (second, first):
        with pytest.raises(InvalidRequest, match="only one that is READY"):
            await activate(store, CALLER, LATER, status, second)


async def test_of_two_rotations_at_once_the_second_changes_nothing() -> None:
    old, new, late = record(1, ACTIVE), record(2), record(3)
    store = await stored_with(old, new)
    await add_active(store, CALLER, NOW, record(4), old)
    with pytest.raises(UpdateConflict, match="changed by another command"):
        await activate(store, CALLER, NOW, new, old)
    with pytest.raises(UpdateConflict):
        await add_active(store, CALLER, NOW, late, old)
    found = await list_issuers(store)
    assert [each.status for each in found] == [RETIRED, READY, ACTIVE]
    # It was not ready any more, or was there already: the one that was active stays so.
    active = found[2]
    with pytest.raises(UpdateConflict):
        await activate(store, CALLER, NOW, replace(new, key_place=KeyPlace.TOKEN), active)
    with pytest.raises(UpdateConflict, match="exists already"):
        await add_active(store, CALLER, NOW, new, active)
    with pytest.raises(UpdateConflict):
        await add_active(store, CALLER, NOW, late, replace(active, status=RETIRED))
    assert await list_issuers(store) == found
    assert (await actions(store)).count("ActivateIssuer") == 1


async def test_a_pending_issuer_gets_its_key_and_its_certificate_once() -> None:
    pending = replace(record(1, PENDING), public_key=None)
    store = await stored_with(pending)
    with_key = replace(pending, public_key="PEM")
    await complete(store, CALLER, NOW, pending, with_key)
    ready = replace(with_key, status=READY, issuer_id="a" * 64, chain_pem="PEM")
    await complete(store, CALLER, NOW, with_key, ready)
    assert tuple(await list_issuers(store)) == (ready,)
    with pytest.raises(UpdateConflict):
        await complete(store, CALLER, NOW, with_key, ready)
    assert await actions(store) == ["CreateIssuer", "RequestIssuer", "ImportIssuer"]


async def test_the_active_issuer_cannot_be_retired_and_a_pending_one_is_forgotten() -> None:
    active, ready, pending = record(1, ACTIVE), record(2), record(3, PENDING)
    store = await stored_with(active, ready, pending)
    with pytest.raises(InvalidRequest, match="it retires when another one is activated"):
        await retire(store, CALLER, NOW, active)
    await retire(store, CALLER, NOW, ready)
    await retire(store, CALLER, NOW, pending)
    found = await list_issuers(store)
    assert [(each.status, each.retired_at) for each in found] == [(ACTIVE, None), (RETIRED, NOW)]
    await retire(store, CALLER, NOW, found[1])
    with pytest.raises(UpdateConflict):
        await retire(store, CALLER, NOW, pending)
    assert await actions(store) == [*["CreateIssuer"] * 3, "RetireIssuer", "DeleteIssuer"]


async def test_a_key_is_destroyed_after_the_last_certificate_has_expired() -> None:
    old = record(1, ACTIVE)
    store = await stored_with(old)
    certificate = replace(sample_certificate(1), issuer_id=old.issuer_id, not_after=LATER + timedelta(days=1))
    await insert(store, certificate)
    await add_active(store, CALLER, NOW, record(2), old)
    retired, active = await list_issuers(store)
    with pytest.raises(InvalidRequest, match="only the key of a RETIRED one"):
        await destroy_key(store, CALLER, LATER, active)
    with pytest.raises(InvalidRequest, match="ten minutes"):
        await destroy_key(store, CALLER, NOW, retired)
    with pytest.raises(InvalidRequest, match="has issued a certificate that ends at"):
        await destroy_key(store, CALLER, LATER, retired)
    assert (await list_issuers(store))[0].sealed_key == b"sealed"
    ended = LATER + timedelta(days=2)
    await destroy_key(store, CALLER, ended, retired)
    (destroyed, _) = await list_issuers(store)
    assert (destroyed.key_place, destroyed.sealed_key) == (KeyPlace.DESTROYED, None)
    await destroy_key(store, CALLER, ended, destroyed)
    with pytest.raises(UpdateConflict):
        await destroy_key(store, CALLER, ended, retired)
    assert (await actions(store)).count("DestroyIssuerKey") == 1


async def test_the_key_is_kept_for_certificates_that_were_deleted_and_have_not_expired() -> None:
    old = record(1, ACTIVE)
    store = await stored_with(old)
    certificate = replace(sample_certificate(1), issuer_id=old.issuer_id, not_after=LATER + timedelta(days=1))
    # All that the registry keeps of it.
    await store.write(lambda: record_deletion(certificate, NOW))
    await add_active(store, CALLER, NOW, record(2), old)
    retired, _ = await list_issuers(store)
    with pytest.raises(InvalidRequest, match="has issued a certificate that ends at"):
        await destroy_key(store, CALLER, LATER, retired)
    await destroy_key(store, CALLER, LATER + timedelta(days=2), retired)


async def test_the_key_of_an_issuer_that_never_issued_is_destroyed_at_once() -> None:
    ready = record(1)
    store = await stored_with(ready)
    await retire(store, CALLER, NOW, ready)
    (retired,) = await list_issuers(store)
    await destroy_key(store, CALLER, NOW, retired)
    assert (await list_issuers(store))[0].key_place is KeyPlace.DESTROYED


async def test_states_change_with_whatever_a_node_must_follow() -> None:
    old, new = record(1, ACTIVE), record(2)
    store = await stored_with(old, new)
    seen = [await store.read(lambda: issuer_table.issuer_states())]
    await activate(store, CALLER, NOW, new, old)
    seen.append(await store.read(lambda: issuer_table.issuer_states()))
    await destroy_key(store, CALLER, LATER, (await list_issuers(store))[0])
    seen.append(await store.read(lambda: issuer_table.issuer_states()))
    assert len({tuple(each) for each in seen}) == 3
