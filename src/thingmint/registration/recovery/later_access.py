"""Owns the repetition of deletions of access keys after a backup. Needs audit entries, because leaves name no keys."""

import json
from dataclasses import replace
from datetime import datetime

from thingmint.core.audit_entry import audit_entry
from thingmint.core.caller import Caller
from thingmint.core.identifiers import AccountId, Region, Scope
from thingmint.core.transparency.leaf import LoggedEntry
from thingmint.records import audit as audit_table
from thingmint.records.access import access_keys as access_key_table
from thingmint.records.steps import Steps

DELETE = "DeleteAccessKey"


def deleted_key(entry: LoggedEntry) -> str | None:
    """Return the id of the access key that the entry's action has deleted, or None."""
    if entry.action != DELETE:
        return None
    try:
        access_key_id = json.loads(entry.detail)["access_key_id"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return access_key_id if isinstance(access_key_id, str) else None


def replay_key_deletion(caller: Caller, now: datetime, entry: LoggedEntry, access_key_id: str) -> Steps[bool]:
    """Delete the access key again if it is there and of the entry's account; return whether it was."""
    present = yield from access_key_table.access_key(access_key_id)
    if present is None or present.account != entry.account:
        return False
    yield from access_key_table.delete_access_key(access_key_id)
    repeated = audit_entry(caller, now, DELETE, entry.resource, access_key_id=access_key_id, restored="true")
    scope = Scope(AccountId(entry.account), Region(entry.region))
    yield from audit_table.append_audit(replace(repeated, scope=scope))
    return True
