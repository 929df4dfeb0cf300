"""Owns the log line of every committed change, and the passing of events to listeners."""

from msgspec import Struct, field

from thingmint.core.audit_entry import NEVER_PRESENT, AuditEntry
from thingmint.core.operational_log import OperationalLog
from thingmint.core.registry.registry_event import RegistryEvent
from thingmint.host.service_log import service_log
from thingmint.registration.kernel.ports import EventSink


class LoggedEvents(Struct, frozen=True):
    """Writes a log line for every committed mutation, and passes every event on to the listeners."""

    listeners: list[EventSink] = field(default_factory=list)
    log: OperationalLog = field(default=service_log)

    def recorded(self, entry: AuditEntry) -> None:
        """Log a committed mutation and pass it to the listeners."""
        line = {
            "action": entry.action,
            "resource": entry.resource,
            "principal": entry.principal_arn,
            "request_id": entry.request_id,
        }
        # A detail may have any name. The change is committed, so a name that the log cannot take must not fail the
        # request.
        taken = {"event", *line}
        detail = {f"detail_{name}" if name in taken else name: value for name, value in entry.detail.items()}
        write = self.log.warning if NEVER_PRESENT in entry.detail else self.log.info
        write("recorded", **line, **detail)
        for listener in self.listeners:
            listener.recorded(entry)

    def happened(self, event: RegistryEvent) -> None:
        """Pass an event of a committed change to the listeners."""
        for listener in self.listeners:
            listener.happened(event)

    def touched(self) -> None:
        """Tell the listeners that the feed of changes has new resources."""
        for listener in self.listeners:
            listener.touched()
