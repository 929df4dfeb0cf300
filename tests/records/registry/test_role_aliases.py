"""Role aliases, certificate providers and event configurations on both engines, at the same time included."""

import asyncio
from collections import Counter

from tests.support.registration.authority import caller_with
from tests.support.registration.provisioning import HOOK_ARN, ROLE_ARN
from tests.support.registration.registry import registry_on

from thingmint.core.certificates.certificate_provider import ProvidedOperation
from thingmint.core.identifiers import CertificateProviderName, RoleAliasName
from thingmint.core.paging import PageRequest
from thingmint.core.registry.event_configuration import EventType
from thingmint.records.certificates import certificate_providers as certificate_provider_table
from thingmint.registration.certificates import certificate_providers
from thingmint.registration.kernel.ports import Store
from thingmint.registration.registry import event_configurations, role_aliases

CALLER = caller_with()
ALL = PageRequest(1000, None, ascending=False)


async def test_of_those_that_fill_the_last_place_one_succeeds(store: Store) -> None:
    authority = registry_on(store).authority
    for number in range(99):
        await role_aliases.create(authority, CALLER, RoleAliasName(f"a{number}"), ROLE_ARN, None, {})

    outcomes = await asyncio.gather(
        *(role_aliases.create(authority, CALLER, RoleAliasName(f"b{n}"), ROLE_ARN, None, {}) for n in range(4)),
        return_exceptions=True,
    )

    assert Counter(type(outcome).__name__ for outcome in outcomes) == {"RoleAlias": 1, "LimitExceeded": 3}
    assert len((await role_aliases.list_role_aliases(authority, CALLER, ALL)).items) == 100


async def test_aliases_are_stored_changed_and_deleted(store: Store) -> None:
    authority, name = registry_on(store).authority, RoleAliasName("devices")
    first = await role_aliases.create(authority, CALLER, name, ROLE_ARN, 900, {"a": "b"})
    assert await role_aliases.describe(authority, CALLER, name) == first
    changed = await role_aliases.update(authority, CALLER, name, None, 1800)
    assert await role_aliases.describe(authority, CALLER, name) == changed
    await role_aliases.delete(authority, CALLER, name)
    assert not (await role_aliases.list_role_aliases(authority, CALLER, ALL)).items


async def test_an_operation_gets_one_provider_whoever_asks_at_the_same_time(store: Store) -> None:
    authority = registry_on(store).authority
    names = [CertificateProviderName(f"p{number}") for number in range(4)]
    operation = ProvidedOperation.CREATE_CERTIFICATE_FROM_CSR

    outcomes = await asyncio.gather(
        *(certificate_providers.create(authority, CALLER, name, HOOK_ARN, operation, None, {}) for name in names),
        return_exceptions=True,
    )

    assert Counter(type(outcome).__name__ for outcome in outcomes) == {"CertificateProvider": 1, "LimitExceeded": 3}
    (entry,) = (await certificate_providers.list_providers(authority, CALLER, ALL)).items
    changed = await certificate_providers.update(authority, CALLER, entry.name, HOOK_ARN + "2", None)
    found = await store.read(lambda: certificate_provider_table.certificate_provider_of(CALLER.scope, operation))
    assert found == changed
    await certificate_providers.delete(authority, CALLER, entry.name)
    assert not (await certificate_providers.list_providers(authority, CALLER, ALL)).items


async def test_events_switched_at_the_same_time_are_all_switched(store: Store) -> None:
    authority = registry_on(store).authority
    await asyncio.gather(
        *(
            event_configurations.update(authority, CALLER, dict.fromkeys(types, True))
            for types in (list(EventType), list(reversed(EventType)), [EventType.THING])
        )
    )
    found = await event_configurations.configurations(store, CALLER.scope)
    assert all(found.is_enabled(event_type) for event_type in EventType)
    assert found.created_at is not None
