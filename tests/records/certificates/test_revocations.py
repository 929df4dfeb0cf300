"""The tables of revocations and of lists, on both engines: what stays, what is told of changes, who writes."""

from datetime import UTC, datetime, timedelta

import pytest
from tests.support.databases.stores import insert, sample_certificate

from thingmint.core.certificates.revocation import Revocation, RevocationReason
from thingmint.core.certificates.revocation_list import ListName, ListState
from thingmint.core.identifiers import SerialNumber
from thingmint.records.certificates import revocation_lists as list_table
from thingmint.records.certificates import revocations as revocation_table
from thingmint.records.certificates.revocation_lists import StoredList
from thingmint.records.certificates.revocations import PARTS, ChangedRevocation, part_of
from thingmint.registration.kernel.ports import Store

NOW = datetime(2026, 3, 4, 5, 6, 7, 890123, tzinfo=UTC)
ISSUER, OTHER = "ab" * 32, "cd" * 32
COMPLETE = ListName(ISSUER)
HOLD, GONE = RevocationReason.CERTIFICATE_HOLD, RevocationReason.REMOVE_FROM_CRL


def revocation(
    number: int,
    reason: RevocationReason = RevocationReason.UNSPECIFIED,
    *,
    issuer_id: str = ISSUER,
    at: datetime = NOW,
    days: int = 100,
) -> Revocation:
    return Revocation(issuer_id, SerialNumber(number), reason, at, NOW + timedelta(days=days))


async def note(store: Store, *revocations: Revocation) -> None:
    for each in revocations:
        await store.write(lambda each=each: revocation_table.record_revocation(each))  # type: ignore[misc]  # mypy infers no lambda with defaults


async def stored(store: Store, number: int) -> Revocation | None:
    return (await store.read(lambda: revocation_table.standing(ISSUER, SerialNumber(number))))[1]


async def changed(store: Store, stamp: int, limit: int = 100) -> tuple[int, list[ChangedRevocation]]:
    following, found, _ = await store.read(lambda: revocation_table.changed_from(stamp, limit))
    return following, list(found)


async def test_a_revocation_is_stored_whole(store: Store) -> None:
    await note(store, revocation((1 << 158) + 5, RevocationReason.KEY_COMPROMISE))

    assert await stored(store, (1 << 158) + 5) == revocation((1 << 158) + 5, RevocationReason.KEY_COMPROMISE)
    assert await stored(store, 5) is None


@pytest.mark.parametrize("first", [RevocationReason.UNSPECIFIED, RevocationReason.KEY_COMPROMISE])
async def test_what_is_revoked_stays_as_it_was_revoked(store: Store, first: RevocationReason) -> None:
    await note(store, revocation(5, first), revocation(5, HOLD, at=NOW + timedelta(days=1)))
    await note(store, revocation(5, RevocationReason.CESSATION_OF_OPERATION, at=NOW + timedelta(days=1)))
    await store.write(lambda: revocation_table.end_hold(ISSUER, SerialNumber(5)))

    assert await stored(store, 5) == revocation(5, first)


async def test_a_hold_ends_begins_again_and_becomes_a_revocation(store: Store) -> None:
    later = NOW + timedelta(days=1)
    await note(store, revocation(5, HOLD))
    await store.write(lambda: revocation_table.end_hold(ISSUER, SerialNumber(5)))
    assert await stored(store, 5) == revocation(5, GONE)
    await note(store, revocation(5, HOLD, at=later))
    assert await stored(store, 5) == revocation(5, HOLD, at=later)
    await note(store, revocation(5, RevocationReason.SUPERSEDED, at=later))

    assert await stored(store, 5) == revocation(5, RevocationReason.SUPERSEDED, at=later)


async def test_only_a_revoked_certificate_gets_another_reason(store: Store) -> None:
    await note(store, revocation(5), revocation(6, HOLD))

    async def give(number: int) -> bool:
        reason = RevocationReason.KEY_COMPROMISE
        return await store.write(lambda: revocation_table.set_reason(ISSUER, SerialNumber(number), reason))

    assert [await give(5), await give(5), await give(6), await give(7)] == [True, False, False, False]
    assert await stored(store, 5) == revocation(5, RevocationReason.KEY_COMPROMISE)
    assert await stored(store, 6) == revocation(6, HOLD)


async def test_a_part_has_what_is_revoked_or_on_hold_of_one_issuer(store: Store) -> None:
    await note(store, revocation(5 + PARTS), revocation(5, HOLD), revocation(6), revocation(5, issuer_id=OTHER))
    await note(store, revocation(5 + 2 * PARTS, HOLD), revocation(5 + 3 * PARTS, days=1))
    await store.write(lambda: revocation_table.end_hold(ISSUER, SerialNumber(5 + 2 * PARTS)))

    until = NOW + timedelta(days=2)
    found = await store.read(lambda: revocation_table.revocations_of_part(ISSUER, 5, until))

    assert sorted(found, key=lambda each: each.serial_number) == [revocation(5, HOLD), revocation(5 + PARTS)]
    assert part_of(SerialNumber(5 + PARTS)) == 5
    assert set(await store.read(revocation_table.all_parts)) == {(ISSUER, 5), (ISSUER, 6), (OTHER, 5)}


async def test_a_follower_is_told_of_every_change_and_of_each_only_until_it_has_followed(store: Store) -> None:
    following, nothing = await changed(store, 2**63 - 1)
    assert nothing == []
    await note(store, revocation(5, HOLD), revocation(6))

    after, told = await changed(store, following)
    assert sorted(told, key=lambda each: each.part) == [
        ChangedRevocation(ISSUER, SerialNumber(5), 5),
        ChangedRevocation(ISSUER, SerialNumber(6), 6),
    ]
    assert (await changed(store, after))[1] == []
    await store.write(lambda: revocation_table.end_hold(ISSUER, SerialNumber(5)))
    assert (await changed(store, after))[1] == [ChangedRevocation(ISSUER, SerialNumber(5), 5)]
    assert len((await changed(store, following, limit=1))[1]) == 1


async def test_ended_revocations_are_forgotten_and_changes_are_told_of_all_the_same(store: Store) -> None:
    await note(store, revocation(5, days=-3), revocation(6, days=-2), revocation(7, days=3), revocation(8, days=-1))
    following, _ = await changed(store, 2**63 - 1)

    async def forget(limit: int) -> int:
        return await store.write(lambda: revocation_table.delete_ended_revocations(NOW, limit))

    assert [await forget(1), await forget(10), await forget(10)] == [1, 1, 0]
    # The newest one stays, on whose stamp later ones rest.
    assert [number for number in range(5, 9) if await stored(store, number) is not None] == [7, 8]
    await note(store, revocation(9))
    assert ChangedRevocation(ISSUER, SerialNumber(9), 9) in (await changed(store, following))[1]


async def test_a_number_is_issued_if_the_registry_has_it(store: Store) -> None:
    certificate = sample_certificate(1)
    await insert(store, certificate)
    assert certificate.issuer_id is not None

    async def is_issued(number: int) -> bool:
        return (await store.read(lambda: revocation_table.standing(ISSUER, SerialNumber(number))))[0]

    assert [await is_issued(certificate.serial_number), await is_issued(5)] == [True, False]


# Lists


def list_of(number: int, name: ListName = COMPLETE, der: bytes = b"der") -> StoredList:
    return StoredList(ListState(name, number, 2, NOW, NOW + timedelta(days=1), "digest"), der)


async def replace(store: Store, before: ListState | None, after: StoredList) -> bool:
    return await store.write(lambda: list_table.replace_list(before, after))


async def test_the_first_list_of_a_name_is_stored_once(store: Store) -> None:
    first, part = list_of(10), list_of(3, ListName(ISSUER, 2, 1))

    assert [await replace(store, None, first), await replace(store, None, list_of(11))] == [True, False]
    assert await replace(store, None, part)

    assert await store.read(list_table.list_states) == (first.state, part.state)
    assert await store.read(lambda: list_table.list_der(first.state.name, 10)) == b"der"
    assert await store.read(lambda: list_table.list_der(first.state.name, 11)) is None


async def test_of_two_that_follow_one_list_one_is_stored(store: Store) -> None:
    first, second, other = list_of(10), list_of(11, der=b"second"), list_of(12, der=b"other")
    await replace(store, None, first)

    assert [await replace(store, first.state, second), await replace(store, first.state, other)] == [True, False]
    assert await store.read(list_table.list_states) == (second.state,)


async def test_one_node_writes_lists_until_its_time_has_ended(store: Store) -> None:
    async def take(owner: str, seconds: int) -> bool:
        now = NOW + timedelta(seconds=seconds)
        return await store.write(lambda: list_table.take_lease(owner, now, now + timedelta(seconds=10)))

    async def is_anothers(owner: str, seconds: int) -> bool:
        return await store.read(lambda: list_table.lease_of_another(owner, NOW + timedelta(seconds=seconds)))

    assert not await is_anothers("a", 0)
    assert [await take("a", 0), await take("b", 5), await take("a", 8), await take("b", 15)] == [
        True,
        False,
        True,
        False,
    ]
    assert [await is_anothers("a", 15), await is_anothers("b", 15), await is_anothers("b", 19)] == [False, True, False]
    assert [await take("b", 19), await take("a", 20)] == [True, False]
