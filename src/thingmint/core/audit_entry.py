"""Owns the audit entry. Every mutation has one, committed in the same transaction as the change that it describes."""

from dataclasses import dataclass
from datetime import datetime

from thingmint.core.caller import Caller
from thingmint.core.identifiers import Scope

NEVER_PRESENT = "keys_never_present"
"""The detail that lists the condition keys of a new policy that no request ever has; they are logged as a warning."""

_SERVICE = "thingmint"


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """Who changed what, when, from where, in which request; ``detail`` is flat and has no secrets."""

    at: datetime
    scope: Scope
    principal_arn: str
    source_address: str
    request_id: str
    action: str
    resource: str
    detail: dict[str, str]


def audit_entry(caller: Caller, at: datetime, action: str, resource: str, **detail: str) -> AuditEntry:
    """Return the entry for an action of this caller."""
    return AuditEntry(
        at=at,
        scope=caller.scope,
        principal_arn=caller.principal.arn,
        source_address=caller.source_address,
        request_id=caller.request_id,
        action=action,
        resource=resource,
        detail=detail,
    )


def service_entry(scope: Scope, at: datetime, action: str, resource: str, **detail: str) -> AuditEntry:
    """Return the entry for an action that the service does by itself, without a caller."""
    return AuditEntry(
        at=at,
        scope=scope,
        principal_arn=_SERVICE,
        source_address="",
        request_id="",
        action=action,
        resource=resource,
        detail=detail,
    )
