"""Owns the messages and operations of event configurations. Does not publish events."""

from typing import Annotated

from msgspec import field

from thingmint.api.wire.messages import Message, Timestamp
from thingmint.api.wire.reading.binding import BODY
from thingmint.api.wire.reading.codec import epoch_seconds
from thingmint.core.caller import Caller
from thingmint.core.registry.event_configuration import EventType
from thingmint.registration.kernel.authority import RegistrationAuthority
from thingmint.registration.registry import event_configurations


class Configuration(Message, frozen=True, kw_only=True):
    enabled: bool | None = field(default=None, name="Enabled")


class DescribeEventConfigurationsRequest(Message, frozen=True, kw_only=True):
    pass


class DescribeEventConfigurationsResponse(Message, frozen=True, kw_only=True):
    event_configurations: dict[EventType, Configuration]
    creation_date: Timestamp | None = None
    last_modified_date: Timestamp | None = None


async def describe_event_configurations(
    authority: RegistrationAuthority, caller: Caller, request: DescribeEventConfigurationsRequest
) -> DescribeEventConfigurationsResponse:
    """Answer with every type of event and whether it is enabled for the account; by default, none is."""
    del request
    found = await event_configurations.configurations(authority.store, caller.scope)
    return DescribeEventConfigurationsResponse(
        event_configurations={each: Configuration(enabled=found.is_enabled(each)) for each in EventType},
        creation_date=None if found.created_at is None else epoch_seconds(found.created_at),
        last_modified_date=None if found.modified_at is None else epoch_seconds(found.modified_at),
    )


class UpdateEventConfigurationsRequest(Message, frozen=True, kw_only=True):
    event_configurations: Annotated[dict[EventType, Configuration] | None, BODY] = None


async def update_event_configurations(
    authority: RegistrationAuthority, caller: Caller, request: UpdateEventConfigurationsRequest
) -> None:
    """Enable and disable types of events; types that the request does not contain keep their settings."""
    wanted = request.event_configurations or {}
    # AWS's SDK for Go, and so Terraform, omits a member whose value is false.
    switched = {each: bool(setting.enabled) for each, setting in wanted.items()}
    await event_configurations.update(authority, caller, switched)
