"""Which events of the registry an account wants."""

from datetime import timedelta

from msgspec.structs import replace
from tests.support.clients.signing import SettableClock
from tests.support.databases.memory_store import MemoryStore
from tests.support.registration.authority import NOW, caller_with, new_authority

from thingmint.core.identifiers import AccountId
from thingmint.core.registry.event_configuration import EventConfigurations, EventType
from thingmint.registration.registry import event_configurations

CALLER = caller_with()


async def test_types_are_switched_one_by_one_and_remembered() -> None:
    store, clock = MemoryStore(), SettableClock(NOW)
    authority = replace(new_authority(store), clock=clock)
    await event_configurations.update(authority, CALLER, {EventType.THING: True, EventType.JOB: False})
    clock.at = NOW + timedelta(minutes=1)
    await event_configurations.update(authority, CALLER, {EventType.JOB: True})
    await event_configurations.update(authority, CALLER, {})

    assert await event_configurations.configurations(store, CALLER.scope) == EventConfigurations(
        {EventType.THING: True, EventType.JOB: True}, NOW, clock.at
    )
    assert [(entry.action, entry.detail) for entry in store.tables.audit] == [
        ("UpdateEventConfigurations", {"THING": "on", "JOB": "off"}),
        ("UpdateEventConfigurations", {"JOB": "on"}),
    ]


async def test_accounts_do_not_see_each_others() -> None:
    store = MemoryStore()
    await event_configurations.update(new_authority(store), CALLER, {EventType.THING: True})
    other = caller_with(account=AccountId("210987654321"))
    assert await event_configurations.configurations(store, other.scope) == EventConfigurations()
