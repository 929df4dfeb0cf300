"""Owns the event configurations: which registry events an account has enabled. Does not publish events."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum


class EventType(StrEnum):
    """The types of AWS IoT's service model. Jobs do not exist here, but the settings of their events are stored."""

    THING = "THING"
    THING_GROUP = "THING_GROUP"
    THING_TYPE = "THING_TYPE"
    THING_GROUP_MEMBERSHIP = "THING_GROUP_MEMBERSHIP"
    THING_GROUP_HIERARCHY = "THING_GROUP_HIERARCHY"
    THING_TYPE_ASSOCIATION = "THING_TYPE_ASSOCIATION"
    JOB = "JOB"
    JOB_EXECUTION = "JOB_EXECUTION"
    POLICY = "POLICY"
    CERTIFICATE = "CERTIFICATE"
    CA_CERTIFICATE = "CA_CERTIFICATE"


@dataclass(frozen=True, slots=True)
class EventConfigurations:
    """The enabled event types. The times are None until the account first changes one."""

    switched: Mapping[EventType, bool] = field(default_factory=dict)
    created_at: datetime | None = None
    modified_at: datetime | None = None

    def is_enabled(self, event_type: EventType) -> bool:
        """Return whether events of this type are enabled. As at AWS, none is enabled by default."""
        return self.switched.get(event_type, False)
