"""Conflicting changes of the registry at the same time, on both engines: one wins, and nothing is half done."""

import asyncio
from collections.abc import Awaitable, Sequence
from datetime import timedelta

import pytest
from msgspec.structs import replace
from tests.support.registration.authority import StandingClock
from tests.support.registration.registry import Registry, registry_on

from thingmint.core.errors import (
    DeletionRefused,
    InvalidRequest,
    ResourceExists,
    ResourceNotFound,
    ThingmintError,
    VersionMismatch,
)
from thingmint.core.registry.thing import ThingPrincipalType
from thingmint.registration.certificates import certificates
from thingmint.registration.kernel.ports import Store

EXCLUSIVE = ThingPrincipalType.EXCLUSIVE_THING
ROUNDS = 12


@pytest.fixture
def registry(store: Store) -> Registry:
    """A registry whose thing types need not wait for their deletion."""
    fresh = registry_on(store)
    return Registry(replace(fresh.authority, thing_type_deletable_after=timedelta(0), clock=StandingClock()))


async def outcomes(*calls: Awaitable[object]) -> list[type[BaseException] | None]:
    """Run the calls at the same time; return what each was refused with. Only the domain's refusals may come."""
    results = await asyncio.gather(*calls, return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException) and not isinstance(result, ThingmintError):
            raise result
    return [type(result) if isinstance(result, BaseException) else None for result in results]


def counted(found: Sequence[object], one: object) -> int:
    return sum(each == one for each in found)


async def test_one_name_is_given_once(registry: Registry) -> None:
    found = await outcomes(*(registry.create_thing("lamp", colour=str(number)) for number in range(20)))

    assert (counted(found, None), counted(found, ResourceExists)) == (1, 19)


async def test_the_same_words_at_the_same_time_make_one_thing(registry: Registry) -> None:
    things = await asyncio.gather(*(registry.create_thing("lamp", colour="red") for _ in range(20)))

    assert len({thing.created_at for thing in things}) == 1
    assert (await registry.thing("lamp")).version == 1


async def test_updates_that_expect_one_version_succeed_once(registry: Registry) -> None:
    await registry.create_thing("lamp")

    found = await outcomes(*(registry.update_thing("lamp", expected=1, a=str(number)) for number in range(20)))

    assert (counted(found, None), counted(found, VersionMismatch)) == (1, 19)
    assert (await registry.thing("lamp")).version == 2


async def test_updates_that_expect_nothing_all_count(registry: Registry) -> None:
    await registry.create_thing("lamp")

    await asyncio.gather(*(registry.update_thing("lamp", attributes={f"a{number % 3}": "1"}) for number in range(20)))

    stored = await registry.thing("lamp")
    assert (stored.version, len(stored.attributes)) == (21, 3)


async def test_an_exclusive_certificate_is_won_by_one_thing(registry: Registry) -> None:
    for number in range(8):
        await registry.create_thing(f"lamp-{number}")
    for _ in range(ROUNDS):
        certificate = await registry.certificate()

        found = await outcomes(*(registry.attach(f"lamp-{number}", certificate.arn, EXCLUSIVE) for number in range(8)))

        assert (counted(found, None), counted(found, InvalidRequest)) == (1, 7)
        assert len(await registry.things_of(certificate.arn)) == 1


async def test_exclusive_and_shared_attachments_never_mix(registry: Registry) -> None:
    for number in range(6):
        await registry.create_thing(f"lamp-{number}")
    for _ in range(ROUNDS):
        certificate = await registry.certificate()

        await outcomes(
            *(
                registry.attach(f"lamp-{number}", certificate.arn, EXCLUSIVE if number % 2 else None)
                for number in range(6)
            )
        )

        exclusive = await registry.things_of(certificate.arn, EXCLUSIVE)
        everything = await registry.things_of(certificate.arn)
        assert exclusive == [] or (exclusive == everything and len(exclusive) == 1)
        assert everything


async def test_a_thing_is_deleted_or_attached_to(registry: Registry) -> None:
    for number in range(ROUNDS):
        name = f"lamp-{number}"
        await registry.create_thing(name)
        certificate = await registry.certificate()

        attached, deleted = await outcomes(registry.attach(name, certificate.arn), registry.delete_thing(name))

        assert (attached, deleted) in ((None, InvalidRequest), (ResourceNotFound, None))
        assert await registry.things_of(certificate.arn) == ([name] if attached is None else [])


async def test_a_certificate_is_deleted_or_attached(registry: Registry) -> None:
    await registry.create_thing("lamp")
    for _ in range(ROUNDS):
        certificate = await registry.certificate()
        before = await registry.principals("lamp")

        attached, deleted = await outcomes(
            registry.attach("lamp", certificate.arn),
            certificates.delete(registry.authority, registry.caller, certificate.certificate_id),
        )

        assert (attached, deleted) in ((None, DeletionRefused), (ResourceNotFound, None))
        assert await registry.principals("lamp") == before + ([certificate.arn] if attached is None else [])


async def test_a_type_is_deleted_or_given(registry: Registry) -> None:
    for number in range(ROUNDS):
        name = f"type-{number}"
        await registry.create_type(name)

        await outcomes(
            registry.deprecate_type(name), registry.delete_type(name), registry.create_thing(f"lamp-{number}", name)
        )

        found = await outcomes(registry.thing(f"lamp-{number}"), registry.delete_type(name))
        # A thing that has the type keeps it from being deleted; without one, only its deprecation may be missing.
        assert found in ([None, InvalidRequest], [ResourceNotFound, None], [ResourceNotFound, ResourceNotFound])


async def test_a_group_is_deleted_or_gets_a_child(registry: Registry) -> None:
    for number in range(ROUNDS):
        house, attic = f"house-{number}", f"attic-{number}"
        await registry.create_group(house)

        child, deleted = await outcomes(registry.create_group(attic, house), registry.delete_group(house))

        assert (child, deleted) in ((None, InvalidRequest), (ResourceNotFound, None))
        assert await registry.groups(prefix=f"house-{number}") == ([house] if child is None else [])


async def test_a_group_that_is_deleted_while_things_join_holds_none(registry: Registry) -> None:
    for number in range(6):
        await registry.create_thing(f"lamp-{number}")
    for _ in range(ROUNDS):
        await registry.create_group("lamps")

        found = await outcomes(
            *(registry.join("lamps", f"lamp-{number}") for number in range(6)), registry.delete_group("lamps")
        )

        assert set(found[:-1]) <= {None, ResourceNotFound}
        assert found[-1] is None
        assert [await registry.groups_of(f"lamp-{number}") for number in range(6)] == [[]] * 6


async def test_a_group_gets_no_child_too_many(registry: Registry) -> None:
    await registry.create_group("house")
    for number in range(95):
        await registry.create_group(f"room-{number}", "house")

    found = await outcomes(*(registry.create_group(f"more-{number}", "house") for number in range(10)))

    assert (counted(found, None), counted(found, InvalidRequest)) == (5, 5)
    assert len(await registry.groups("house")) == 100


async def test_a_thing_joins_no_group_too_many(registry: Registry) -> None:
    await registry.create_thing("lamp")
    for number in range(14):
        await registry.create_group(f"g{number}")

    found = await outcomes(*(registry.join(f"g{number}", "lamp") for number in range(14)))

    assert (counted(found, None), counted(found, InvalidRequest)) == (10, 4)
    assert len(await registry.groups_of("lamp")) == 10


async def test_a_thing_joins_one_group_of_a_hierarchy(registry: Registry) -> None:
    await registry.create_group("house")
    for number in range(8):
        await registry.create_group(f"room-{number}", "house")
    for number in range(ROUNDS // 2):
        await registry.create_thing(f"lamp-{number}")

        found = await outcomes(*(registry.join(f"room-{room}", f"lamp-{number}") for room in range(8)))

        assert (counted(found, None), counted(found, InvalidRequest)) == (1, 7)
        assert len(await registry.groups_of(f"lamp-{number}")) == 1


async def test_a_deleted_thing_is_in_no_group(registry: Registry) -> None:
    await registry.create_group("lamps")
    for number in range(ROUNDS):
        name = f"lamp-{number}"
        await registry.create_thing(name)

        found = await outcomes(registry.join("lamps", name), registry.delete_thing(name))

        assert found[1] is None
        assert await registry.members("lamps") == []


async def test_a_billing_group_is_deleted_or_joined(registry: Registry) -> None:
    for number in range(ROUNDS):
        ward, lamp = f"ward-{number}", f"lamp-{number}"
        await registry.create_billing_group(ward)
        await registry.create_thing(lamp)

        joined, deleted = await outcomes(registry.bill(ward, lamp), registry.delete_billing_group(ward))

        assert (joined, deleted) in ((None, InvalidRequest), (ResourceNotFound, None))
        stored = await registry.thing(lamp)
        assert stored.billing_group_name == (ward if joined is None else None)


async def test_a_name_is_free_again_while_its_thing_is_being_deleted(registry: Registry) -> None:
    for _ in range(ROUNDS):
        await registry.create_thing("lamp", colour="red")

        found = await outcomes(registry.delete_thing("lamp"), registry.create_thing("lamp", colour="blue"))

        assert found[0] is None
        assert found[1] in (None, ResourceExists)
        await registry.delete_thing("lamp")
        with pytest.raises(ResourceNotFound):
            await registry.thing("lamp")


async def test_moves_between_groups_in_opposite_directions_all_end(registry: Registry) -> None:
    for group in ("a", "b"):
        await registry.create_group(group)
    names = [f"lamp-{number}" for number in range(10)]
    for number, name in enumerate(names):
        await registry.create_thing(name)
        await registry.join("ab"[number % 2], name)

    found = await outcomes(
        *(registry.move(name, add=["ba"[n % 2]], remove=["ab"[n % 2]]) for n, name in enumerate(names)),
        *(registry.create_group(f"child-{n}", "ab"[n % 2]) for n in range(4)),
    )

    assert set(found) == {None}
    assert sorted(await registry.members("a")) == sorted(names[1::2])
