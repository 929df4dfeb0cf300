"""Registrations at once, on both engines: one thing, one policy, no half state, whoever comes first."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta

import pytest
from msgspec.structs import replace
from tests.support.clients.signing import SettableClock
from tests.support.registration.authority import NOW, new_authority
from tests.support.registration.fleet import (
    DEVICE,
    DOCUMENT,
    FLEET,
    OPERATOR,
    create_template,
    template_body,
    waiting_certificate,
)

from thingmint.core.certificates.certificate import CertificateStatus
from thingmint.core.errors import ResourceNotFound, ThingmintError
from thingmint.core.identifiers import ThingGroupName
from thingmint.core.paging import PageRequest
from thingmint.core.provisioning.ownership import OwnershipTokenInvalid
from thingmint.core.registry.attributes import Attributes
from thingmint.records import audit as audit_table
from thingmint.records.registry import attachments as attachment_table
from thingmint.records.registry.attachments import Attachments
from thingmint.registration.certificates import certificates
from thingmint.registration.kernel.authority import RegistrationAuthority
from thingmint.registration.kernel.ports import Store
from thingmint.registration.provisioning import device_provisioning, provisioning_templates
from thingmint.registration.provisioning.ownership import sweep_unused_certificates
from thingmint.registration.provisioning.provisioning import Provisioned
from thingmint.registration.registry import thing_groups
from thingmint.registration.registry.thing_group_members import list_things

FIRST = PageRequest(100, None, ascending=True)
GROUP = ThingGroupName("meters")
BODY = template_body(
    thing={"ThingGroups": ["meters"], "AttributePayload": {"serial": {"Ref": "SerialNumber"}}},
    policies={"policy": {"PolicyDocument": DOCUMENT}, "other": {"PolicyDocument": DOCUMENT | {"Id": "other"}}},
)


@pytest.fixture
async def authority(store: Store) -> RegistrationAuthority:
    authority = replace(new_authority(), store=store)
    await thing_groups.create(authority, OPERATOR, GROUP, attributes=Attributes(), tags={})
    await create_template(authority, BODY)
    return authority


async def register(authority: RegistrationAuthority, token: str, serial: str) -> Provisioned:
    return await device_provisioning.register_thing(authority, DEVICE, FLEET, token, {"SerialNumber": serial}, "client")


async def tokens(authority: RegistrationAuthority, count: int) -> Sequence[str]:
    return [(await waiting_certificate(authority)).ownership_token for _ in range(count)]


async def audited(store: Store, action: str) -> int:
    page = await store.read(lambda: audit_table.audit_page(OPERATOR.scope, PageRequest(1000, None, ascending=False)))
    return sum(listed.item.action == action for listed in page)


async def attachments_of(store: Store, arn: str) -> Attachments:
    return await store.read(lambda: attachment_table.principal_attachments(OPERATOR.scope, arn))


async def test_many_devices_at_once_share_policies_and_groups(authority: RegistrationAuthority, store: Store) -> None:
    serials = [str(number) for number in range(12)]
    done = await asyncio.gather(
        *(
            register(authority, token, serial)
            for token, serial in zip(await tokens(authority, len(serials)), serials, strict=True)
        )
    )
    assert {each.thing_name for each in done} == {f"sensor-{serial}" for serial in serials}
    assert len({each.resource_arns["policy"] for each in done}) == 1
    page = await list_things(authority, OPERATOR, GROUP, FIRST, recursive=False)
    assert len(page.items) == len(serials)
    for each in done:
        assert each.certificate is not None
        certificate = await certificates.describe(authority, OPERATOR, each.certificate.certificate_id)
        assert certificate.status is CertificateStatus.ACTIVE
        assert await attachments_of(store, certificate.arn) == Attachments(things=True, policies=True)


async def test_one_device_that_asks_many_times_at_once_is_registered_once(
    authority: RegistrationAuthority, store: Store
) -> None:
    (token,) = await tokens(authority, 1)
    done = await asyncio.gather(*(register(authority, token, "1") for _ in range(8)))
    assert len({repr(each) for each in done}) == 1
    assert await audited(store, "RegisterThing") == 1


async def test_one_token_shown_on_two_nodes_at_once_with_other_parameters_registers_one_thing(
    authority: RegistrationAuthority, store: Store
) -> None:
    for round_ in range(4):
        (token,) = await tokens(authority, 1)
        serials = [f"{round_}-{number}" for number in range(6)]
        done = await asyncio.gather(*(register(authority, token, serial) for serial in serials), return_exceptions=True)
        won = [each for each in done if isinstance(each, Provisioned)]
        assert len(won) == 1, done
        assert all(isinstance(each, Provisioned | OwnershipTokenInvalid) for each in done), done
        assert await register(authority, token, serials[done.index(won[0])]) == won[0]
    assert await audited(store, "RegisterThing") == 4


async def test_many_certificates_for_one_thing_at_once_are_all_attached(authority: RegistrationAuthority) -> None:
    done = await asyncio.gather(*(register(authority, token, "1") for token in await tokens(authority, 6)))
    assert {each.thing_name for each in done} == {"sensor-1"}
    assert len({each.certificate.certificate_id for each in done if each.certificate is not None}) == 6


async def test_registration_and_deletion_of_the_certificate_at_once_leave_no_half_state(
    authority: RegistrationAuthority, store: Store
) -> None:
    for number in range(6):
        identity = await waiting_certificate(authority)
        certificate_id = identity.certificate.certificate_id
        registered, deleted = await asyncio.gather(
            register(authority, identity.ownership_token, str(number)),
            certificates.delete(authority, OPERATOR, certificate_id),
            return_exceptions=True,
        )
        assert isinstance(registered, ThingmintError) is not isinstance(deleted, ThingmintError)
        is_there = deleted is not None
        expected = Attachments(things=is_there, policies=is_there)
        assert await attachments_of(store, identity.certificate.arn) == expected
        if deleted is None:
            with pytest.raises(ResourceNotFound):
                await certificates.describe(authority, OPERATOR, certificate_id)


async def test_sweeps_at_once_delete_each_certificate_once(authority: RegistrationAuthority, store: Store) -> None:
    identities = [await waiting_certificate(authority) for _ in range(6)]

    later = replace(authority, clock=SettableClock(NOW + timedelta(hours=2)))
    await asyncio.gather(*(sweep_unused_certificates(later, 4) for _ in range(4)))
    while await sweep_unused_certificates(later, 4):
        continue
    assert await audited(store, "DeleteCertificate") == len(identities)
    page = await certificates.list_certificates(authority, OPERATOR, FIRST)
    assert page.items == ()


async def test_a_template_that_is_deleted_while_devices_register_leaves_them_whole(
    authority: RegistrationAuthority,
) -> None:
    given = await tokens(authority, 6)
    *done, deleted = await asyncio.gather(
        *(register(authority, token, str(number)) for number, token in enumerate(given)),
        provisioning_templates.delete(authority, OPERATOR, FLEET),
        return_exceptions=True,
    )
    assert deleted is None
    for each in done:
        assert isinstance(each, Provisioned | ResourceNotFound)
        if isinstance(each, Provisioned):
            assert each.certificate is not None
            assert each.certificate.status is CertificateStatus.ACTIVE
