"""Owns the audit entry: one for every mutation, committed in the same transaction as the change it tells of."""

from dataclasses import dataclass
from datetime import datetime

from thingmint.core.caller import Caller
from thingmint.core.identifiers import Scope

NEVER_PRESENT = "keys_never_present"
"""The detail of a policy's creation that names the condition keys which no request has; it is logged as a warning."""


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """Who changed what, when, from where, in which request; ``detail`` is flat and holds nothing secret."""

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
