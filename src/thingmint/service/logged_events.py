"""Owns the log line of every committed change, and who else hears of it; decides nothing about either."""

from dataclasses import dataclass, field
from typing import Protocol

import structlog

from thingmint.core.audit_entry import NEVER_PRESENT, AuditEntry
from thingmint.core.registry.registry_event import RegistryEvent
from thingmint.registration.kernel.ports import EventSink

_log = structlog.get_logger("thingmint")


class Log(Protocol):
    """Where lines are written."""

    def info(self, event: str, **facts: object) -> object:
        """Write a line."""
        ...

    def warning(self, event: str, **facts: object) -> object:
        """Write a line about what somebody should look at."""
        ...


@dataclass(frozen=True, slots=True)
class LoggedEvents:
    """Writes a log line for every committed mutation, and passes every event on to the listeners."""

    listeners: list[EventSink] = field(default_factory=list)
    # Bound once: the lazy one would be made anew for every line.
    log: Log = field(default_factory=_log.bind)

    def recorded(self, entry: AuditEntry) -> None:
        """Receive a committed mutation."""
        line = {
            "action": entry.action,
            "resource": entry.resource,
            "principal": entry.principal_arn,
            "request_id": entry.request_id,
        }
        # A detail may have any name. The change is committed: a line that cannot be written must not spoil the answer.
        taken = {"event", *line}
        detail = {f"detail_{name}" if name in taken else name: value for name, value in entry.detail.items()}
        write = self.log.warning if NEVER_PRESENT in entry.detail else self.log.info
        write("recorded", **line, **detail)
        for listener in self.listeners:
            listener.recorded(entry)

    def happened(self, event: RegistryEvent) -> None:
        """Tell the account of a committed change that it wants to be told of."""
        for listener in self.listeners:
            listener.happened(event)
