"""Provisioning at the first connection: the subject's names are the template's parameters, and all of it or nothing."""

import json
from collections.abc import Mapping
from dataclasses import replace

import pytest
from tests.support.certificates.user_ca import der_of, new_ca
from tests.support.databases.memory_store import MemoryStore
from tests.support.databases.stores import sample_certificate
from tests.support.registration.authority import Listener, caller_with, new_authority
from tests.support.registration.fleet import DOCUMENT, FLEET, create_template

from thingmint.core.certificates.ca_certificate import RegistrationConfig
from thingmint.core.certificates.certificate import Certificate, CertificateStatus
from thingmint.core.errors import InvalidParameters, InvalidRequest, ResourceNotFound, ThingmintError, UpdateConflict
from thingmint.core.identifiers import certificate_id_of
from thingmint.core.provisioning.stored_template import TemplateType, TemplateUpdate
from thingmint.core.registry.event_configuration import EventType
from thingmint.core.registry.registry_event import EventOperation, ThingEvent
from thingmint.records.certificates import certificates as certificate_table
from thingmint.registration.kernel.authority import RegistrationAuthority
from thingmint.registration.provisioning import provisioning_templates
from thingmint.registration.provisioning.just_in_time import provision_at_first_connection
from thingmint.registration.registry import event_configurations

CALLER = caller_with()
BY_NAME = RegistrationConfig(template_name=FLEET)


def body(name: str = "AWS::IoT::Certificate::CommonName", overrides: Mapping[str, str] | None = None) -> str:
    return json.dumps(
        {
            "Parameters": {name: {"Type": "String"}, "AWS::IoT::Certificate::Id": {"Type": "String"}},
            "Resources": {
                "thing": {
                    "Type": "AWS::IoT::Thing",
                    "Properties": {"ThingName": {"Ref": name}},
                    "OverrideSettings": overrides or {},
                },
                "certificate": {
                    "Type": "AWS::IoT::Certificate",
                    "Properties": {"CertificateId": {"Ref": "AWS::IoT::Certificate::Id"}, "Status": "ACTIVE"},
                },
                "policy": {"Type": "AWS::IoT::Policy", "Properties": {"PolicyDocument": DOCUMENT}},
            },
        }
    )


async def waiting(
    authority: RegistrationAuthority, status: CertificateStatus = CertificateStatus.PENDING_ACTIVATION
) -> Certificate:
    """Return a registered certificate of a user's CA, whose common name is lamp-7."""
    der = der_of(new_ca().issue("lamp-7"))
    sample = sample_certificate(1, scope=CALLER.scope)
    certificate = replace(sample, der=der, certificate_id=certificate_id_of(der), issuer_id=None, status=status)
    await authority.store.write(lambda: certificate_table.insert_certificate(certificate))
    return certificate


async def test_a_device_gets_the_thing_of_its_common_name(authority: RegistrationAuthority, store: MemoryStore) -> None:
    certificate = await waiting(authority)
    config = RegistrationConfig(template_body=body())
    done = await provision_at_first_connection(authority, CALLER, certificate, config)
    assert done.thing_name == "lamp-7"
    assert store.tables.certificates == [done.certificate]
    assert store.tables.certificates[0].status is CertificateStatus.ACTIVE
    assert len(store.tables.rows("policy_attachment")) == 1
    assert "template" not in store.tables.audit[-1].detail


async def test_the_thing_of_a_first_connection_is_told_to_who_wants_it(authority: RegistrationAuthority) -> None:
    certificate = await waiting(authority)
    await event_configurations.update(authority, CALLER, {EventType.THING: True})
    await provision_at_first_connection(authority, CALLER, certificate, RegistrationConfig(template_body=body()))
    assert isinstance(authority.events, Listener)
    (event,) = authority.events.events
    assert isinstance(event, ThingEvent)
    assert (event.thing.name, event.operation) == ("lamp-7", EventOperation.CREATED)


async def test_a_template_is_found_by_its_name(authority: RegistrationAuthority, store: MemoryStore) -> None:
    await create_template(authority, body(), kind=TemplateType.JITP)
    done = await provision_at_first_connection(authority, CALLER, await waiting(authority), BY_NAME)
    assert done.thing_name == "lamp-7"
    assert store.tables.audit[-1].detail["template"] == FLEET


async def refused(
    authority: RegistrationAuthority,
    store: MemoryStore,
    config: RegistrationConfig,
    error: type[ThingmintError],
    match: str,
    status: CertificateStatus = CertificateStatus.PENDING_ACTIVATION,
) -> None:
    certificate = await waiting(authority, status)
    before = store.tables.dump()
    with pytest.raises(error, match=match):
        await provision_at_first_connection(authority, CALLER, certificate, config)
    assert store.tables.dump() == before


async def test_a_name_that_is_declared_and_not_used_must_be_in_the_subject_or_have_a_default(
    authority: RegistrationAuthority, store: MemoryStore
) -> None:
    document = json.loads(body())
    document["Parameters"]["AWS::IoT::Certificate::Country"] = {"Type": "String"}
    lacking = RegistrationConfig(template_body=json.dumps(document))
    reason = "Cannot resolve reference value: AWS::IoT::Certificate::Country"
    await refused(authority, store, lacking, InvalidParameters, reason)
    document["Parameters"]["AWS::IoT::Certificate::Country"]["Default"] = "CH"
    (certificate,) = store.tables.certificates
    given = RegistrationConfig(template_body=json.dumps(document))
    assert (await provision_at_first_connection(authority, CALLER, certificate, given)).thing_name == "lamp-7"


async def test_a_name_that_the_subject_lacks_leaves_the_device_waiting(
    authority: RegistrationAuthority, store: MemoryStore
) -> None:
    config = RegistrationConfig(template_body=body("AWS::IoT::Certificate::Country"))
    await refused(authority, store, config, InvalidParameters, "Cannot resolve reference value")


@pytest.mark.parametrize("status", [CertificateStatus.ACTIVE, CertificateStatus.INACTIVE, CertificateStatus.REVOKED])
async def test_a_certificate_that_somebody_has_judged_is_left_alone(
    authority: RegistrationAuthority, store: MemoryStore, status: CertificateStatus
) -> None:
    config = RegistrationConfig(template_body=body())
    await refused(authority, store, config, InvalidRequest, f"is {status} already", status)


async def test_a_configuration_without_a_template_provisions_nothing(
    authority: RegistrationAuthority, store: MemoryStore
) -> None:
    await refused(authority, store, RegistrationConfig(), InvalidRequest, "has no template")


async def test_the_named_template_must_exist_be_enabled_and_be_for_first_connections(
    authority: RegistrationAuthority, store: MemoryStore
) -> None:
    await refused(authority, store, BY_NAME, ResourceNotFound, "does not exist")
    store = MemoryStore()
    authority = new_authority(store)
    await create_template(authority, body(), kind=TemplateType.JITP, enabled=False)
    await refused(authority, store, BY_NAME, InvalidRequest, "not enabled")
    await provisioning_templates.update(authority, CALLER, FLEET, TemplateUpdate(enabled=True))
    (certificate,) = store.tables.certificates
    assert (await provision_at_first_connection(authority, CALLER, certificate, BY_NAME)).thing_name == "lamp-7"
    store = MemoryStore()
    authority = new_authority(store)
    await create_template(authority)
    await refused(authority, store, BY_NAME, InvalidRequest, "is of type FLEET_PROVISIONING")


async def test_a_second_device_of_one_common_name_is_refused_where_the_template_says_fail(
    authority: RegistrationAuthority, store: MemoryStore
) -> None:
    config = RegistrationConfig(template_body=body(overrides={"AttributePayload": "FAIL"}))
    await provision_at_first_connection(authority, CALLER, await waiting(authority), config)
    await refused(authority, store, config, UpdateConflict, "The thing lamp-7 exists already")
