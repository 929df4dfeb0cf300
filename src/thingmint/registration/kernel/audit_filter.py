"""Owns the filter of audit entries. Does not read them."""

from datetime import datetime
from fnmatch import fnmatchcase

from msgspec import Struct

from thingmint.core.audit_entry import AuditEntry
from thingmint.records.log.terms import term_of_action, term_of_principal, term_of_resource


class AuditFilter(Struct, frozen=True):
    """The conditions for an entry to be shown. A condition that is None or empty does not apply."""

    since: datetime | None = None
    until: datetime | None = None
    principal: str | None = None
    resource: str | None = None
    action: str | None = None

    @property
    def term(self) -> str | None:
        """The index term that finds the entries, or None if all entries must be read."""
        if self.resource is not None and _is_whole(self.resource):
            return term_of_resource(self.resource)
        if self.principal is not None and _is_whole(self.principal):
            return term_of_principal(self.principal)
        if self.action is not None and {"*", "?", "["}.isdisjoint(self.action):
            return term_of_action(self.action)
        return None

    def matches(self, entry: AuditEntry) -> bool:
        """Return whether the entry matches. ``since`` is included, ``until`` is not."""
        return (
            (self.since is None or self.since <= entry.at)
            and (self.until is None or entry.at < self.until)
            and _holds(self.principal, entry.principal_arn)
            and _holds(self.resource, entry.resource)
            and (self.action is None or fnmatchcase(entry.action.lower(), self.action.lower()))
        )


def _holds(pattern: str | None, text: str) -> bool:
    """Return whether the text contains the pattern. A pattern with ``*`` or ``?``, or an ARN, must match all of it."""
    if pattern is None:
        return True
    if _has_wildcard(pattern):
        return fnmatchcase(text, pattern)
    return pattern == text if _is_whole(pattern) else pattern in text


def _is_whole(pattern: str) -> bool:
    return pattern.startswith("arn:") and not _has_wildcard(pattern)


def _has_wildcard(pattern: str) -> bool:
    return not {"*", "?"}.isdisjoint(pattern)
