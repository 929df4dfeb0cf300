"""Certificates on things: attached, exclusively or not, and detached."""

from dataclasses import replace

import pytest
from tests.support.registration.registry import Registry

from thingmint.core.certificates.certificate import CertificateStatus
from thingmint.core.errors import InvalidRequest, ResourceNotFound
from thingmint.core.identifiers import AccountId
from thingmint.core.registry.thing import ThingPrincipalType

EXCLUSIVE, SHARED = ThingPrincipalType.EXCLUSIVE_THING, ThingPrincipalType.NON_EXCLUSIVE_THING
COGNITO = "eu-west-1:01234567-89ab-cdef-0123-456789abcdef"


@pytest.fixture
async def things(registry: Registry) -> Registry:
    """Two things."""
    await registry.create_thing("lamp")
    await registry.create_thing("fan")
    return registry


def actions(registry: Registry) -> list[tuple[str, str, dict[str, str]]]:
    return [(entry.action, entry.resource, entry.detail) for entry in registry.tables.audit[2:]]


async def test_an_attached_certificate_is_found_from_both_ends(things: Registry) -> None:
    certificate = await things.certificate()

    await things.attach("lamp", certificate.arn)
    await things.attach("fan", certificate.arn)

    assert await things.principals("lamp") == [certificate.arn]
    assert await things.things_of(certificate.arn) == ["lamp", "fan"]


async def test_attaching_and_detaching_twice_changes_nothing(things: Registry) -> None:
    certificate = await things.certificate()
    lamp = await things.thing("lamp")

    await things.attach("lamp", certificate.arn, SHARED)
    await things.attach("lamp", certificate.arn, SHARED)
    await things.attach("lamp", certificate.arn)
    await things.detach("lamp", certificate.arn)
    await things.detach("lamp", certificate.arn)

    assert await things.principals("lamp") == []
    assert actions(things) == [
        ("AttachThingPrincipal", lamp.arn, {"certificate": certificate.arn, "type": "NON_EXCLUSIVE_THING"}),
        ("DetachThingPrincipal", lamp.arn, {"certificate": certificate.arn}),
    ]


async def test_a_certificate_is_named_in_any_case(things: Registry) -> None:
    certificate = await things.certificate()
    prefix, certificate_id = certificate.arn.rsplit("/", 1)

    await things.attach("lamp", f"{prefix}/{certificate_id.upper()}")

    assert await things.principals("lamp") == [certificate.arn]


async def test_an_exclusive_certificate_belongs_to_no_other_thing(things: Registry) -> None:
    certificate = await things.certificate()
    await things.attach("lamp", certificate.arn, EXCLUSIVE)
    await things.attach("lamp", certificate.arn)
    before = things.tables.dump()

    for type_ in (None, SHARED, EXCLUSIVE):
        with pytest.raises(InvalidRequest, match=r"^The principal is attached exclusively to thing lamp$"):
            await things.attach("fan", certificate.arn, type_)

    assert things.tables.dump() == before
    await things.detach("lamp", certificate.arn)
    await things.attach("fan", certificate.arn, EXCLUSIVE)


async def test_a_certificate_of_another_thing_does_not_become_exclusive(things: Registry) -> None:
    certificate = await things.certificate()
    await things.attach("lamp", certificate.arn)

    with pytest.raises(InvalidRequest, match="attached to thing lamp and cannot be attached exclusively to another"):
        await things.attach("fan", certificate.arn, EXCLUSIVE)

    assert await things.things_of(certificate.arn) == ["lamp"]


@pytest.mark.parametrize(("present", "asked"), [(EXCLUSIVE, SHARED), (SHARED, EXCLUSIVE)])
async def test_an_attachment_does_not_change_its_type(
    things: Registry, present: ThingPrincipalType, asked: ThingPrincipalType
) -> None:
    certificate = await things.certificate()
    await things.attach("lamp", certificate.arn, present)

    with pytest.raises(InvalidRequest, match=f"attached to thing lamp as {present}. Detach it first"):
        await things.attach("lamp", certificate.arn, asked)


async def test_attachments_are_listed_by_type(things: Registry) -> None:
    exclusive, shared = await things.certificate(), await things.certificate()
    await things.attach("lamp", exclusive.arn, EXCLUSIVE)
    await things.attach("lamp", shared.arn)

    assert await things.principals("lamp", EXCLUSIVE) == [exclusive.arn]
    assert await things.principals("lamp", SHARED) == [shared.arn]
    assert await things.things_of(exclusive.arn, EXCLUSIVE) == ["lamp"]
    assert await things.things_of(exclusive.arn, SHARED) == []


async def test_thing_and_certificate_must_exist(things: Registry) -> None:
    certificate = await things.certificate()
    missing = certificate.arn[:-2] + "00"

    for refused in (
        things.attach("lamp", missing),
        things.detach("lamp", missing),
        things.things_of(missing),
    ):
        with pytest.raises(ResourceNotFound, match="The certificate given in the principal does not exist"):
            await refused
    for refused in (
        things.attach("heater", certificate.arn),
        things.detach("heater", certificate.arn),
    ):
        with pytest.raises(ResourceNotFound, match=r"^Thing heater not found$"):
            await refused
    with pytest.raises(ResourceNotFound, match=r"^Thing heater not found$"):
        await things.principals("heater")


async def test_a_certificate_of_another_account_is_not_found(things: Registry) -> None:
    stranger = Registry(things.authority, replace(things.caller, account=AccountId("999999999999")))
    certificate = await stranger.certificate()

    with pytest.raises(ResourceNotFound):
        await things.attach("lamp", certificate.arn)


@pytest.mark.parametrize("principal", ["", "certificate", "arn:aws:iot:eu-west-1:123456789012:thinggroup/g", COGNITO])
async def test_what_is_no_certificate_is_not_attached(things: Registry, principal: str) -> None:
    for refused in (things.attach("lamp", principal), things.detach("lamp", principal), things.things_of(principal)):
        with pytest.raises(InvalidRequest):
            await refused


async def test_a_certificate_that_is_being_transferred_is_not_attached(things: Registry) -> None:
    certificate = await things.certificate(status=CertificateStatus.PENDING_TRANSFER)

    with pytest.raises(InvalidRequest, match="being transferred to another account"):
        await things.attach("lamp", certificate.arn)
