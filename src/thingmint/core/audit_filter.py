"""Owns which entries of the audit trail an operator asks for; reads none."""

from dataclasses import dataclass
from datetime import datetime
from fnmatch import fnmatchcase

from thingmint.core.audit_entry import AuditEntry


@dataclass(frozen=True, slots=True)
class AuditFilter:
    """What an entry must be to be shown; what is None or empty is not asked for."""

    since: datetime | None = None
    until: datetime | None = None
    principal: str | None = None
    resource: str | None = None
    action: str | None = None

    def matches(self, entry: AuditEntry) -> bool:
        """Return whether the entry is asked for. ``since`` is included, ``until`` is not."""
        return (
            (self.since is None or self.since <= entry.at)
            and (self.until is None or entry.at < self.until)
            and _holds(self.principal, entry.principal_arn)
            and _holds(self.resource, entry.resource)
            and (self.action is None or fnmatchcase(entry.action.lower(), self.action.lower()))
        )


def _holds(pattern: str | None, text: str) -> bool:
    """Return whether the text holds the pattern; one with ``*`` or ``?`` must match all of the text."""
    if pattern is None:
        return True
    return fnmatchcase(text, pattern) if set("*?") & set(pattern) else pattern in text
