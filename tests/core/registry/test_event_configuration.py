"""Which events an account wants."""

from thingmint.core.registry.event_configuration import EventConfigurations, EventType


def test_no_event_is_wanted_until_it_was_asked_for() -> None:
    assert not any(EventConfigurations().is_enabled(event_type) for event_type in EventType)


def test_each_type_is_switched_by_itself() -> None:
    found = EventConfigurations({EventType.THING: True, EventType.POLICY: False})
    assert [each for each in EventType if found.is_enabled(each)] == [EventType.THING]
