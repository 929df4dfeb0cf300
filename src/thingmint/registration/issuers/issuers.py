"""Owns the creation, activation and retirement of issuers and the destruction of their keys. Does not handle files.

Each function is one transaction. The statements check the expected state, so if two nodes change an issuer at once, one
of them is refused and changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from thingmint.core.audit_entry import AuditEntry, audit_entry
from thingmint.core.caller import Caller
from thingmint.core.errors import InvalidRequest, ResourceNotFound, UpdateConflict
from thingmint.core.identifiers import iot_arn
from thingmint.core.issuer import IssuerRecord, IssuerStatus, KeyPlace
from thingmint.records import authority_copies as copy_table
from thingmint.records import issuers as issuer_table
from thingmint.records.steps import Steps
from thingmint.registration.kernel.mutation import UNHEARD, Change, change_of_callers
from thingmint.registration.kernel.ports import Store

NODES_FOLLOW_WITHIN = timedelta(minutes=10)
"""Far longer than a node needs to learn of a change. During this time a node can still issue with a retired issuer."""
_FEWEST_LETTERS = 4


async def list_issuers(store: Store) -> Sequence[IssuerRecord]:
    """Return all issuers, the oldest first."""
    return await store.read(lambda: issuer_table.issuers())


def named(records: Sequence[IssuerRecord], name: str) -> IssuerRecord:
    """Return the only issuer whose id or reference begins with ``name``; raise ResourceNotFound or InvalidRequest.

    The name must have at least four letters.
    """
    found = [
        each
        for each in records
        if len(name) >= _FEWEST_LETTERS and (each.reference.startswith(name) or (each.issuer_id or "").startswith(name))
    ]
    if not found:
        raise ResourceNotFound(f"There is no issuer whose id begins with {name!r}")
    if len(found) > 1:
        raise InvalidRequest(f"The ids of {len(found)} issuers begin with {name!r}: give more of it")
    return found[0]


async def add(store: Store, caller: Caller, at: datetime, action: str | None, records: Sequence[IssuerRecord]) -> None:
    """Store new issuers. Existing ones do not change.

    ``action`` is the action in the audit trail; None if only the place of the issuers' records changes.
    """

    def program() -> Steps[Change[None]]:
        entries: tuple[AuditEntry, ...] = ()
        for record in records:
            if (yield from issuer_table.insert_issuer(record)) and action is not None:
                entries = (*entries, _entry(caller, at, action, record))
        return Change(None, entries)

    await change_of_callers(store, UNHEARD, program)


async def add_active(
    store: Store, caller: Caller, at: datetime, record: IssuerRecord, before: IssuerRecord
) -> IssuerRecord:
    """Store a new issuer that replaces the active one, and return it.

    Raises UpdateConflict if the issuer before it is no longer active.
    """
    active = replace(record, status=IssuerStatus.ACTIVE, activated_at=at)

    def program() -> Steps[Change[IssuerRecord]]:
        retired = yield from _retire(caller, at, before)
        if not (yield from issuer_table.insert_issuer(active)):
            raise UpdateConflict("The issuer exists already")
        created, activated = (_entry(caller, at, action, active) for action in ("CreateIssuer", "ActivateIssuer"))
        return Change(active, (created, retired, activated))

    return await change_of_callers(store, UNHEARD, program)


async def complete(store: Store, caller: Caller, at: datetime, before: IssuerRecord, after: IssuerRecord) -> None:
    """Store the public key of a pending issuer, or its certificate, which makes it ready.

    Raises UpdateConflict if it is no longer pending.
    """
    action = "ImportIssuer" if after.status is IssuerStatus.READY else "RequestIssuer"
    await _update(store, before, after, _entry(caller, at, action, after))


async def activate(store: Store, caller: Caller, at: datetime, ready: IssuerRecord, before: IssuerRecord) -> None:
    """Activate a ready issuer, which replaces the active one.

    Raises InvalidRequest if it is not ready, UpdateConflict if either was changed meanwhile.
    """
    if ready.status is not IssuerStatus.READY:
        raise InvalidRequest(f"Issuer {ready.name} is {ready.status}: only one that is READY can be activated")

    def program() -> Steps[Change[None]]:
        retired = yield from _retire(caller, at, before)
        after = replace(ready, status=IssuerStatus.ACTIVE, activated_at=at)
        if not (yield from issuer_table.update_issuer(ready, after)):
            raise _changed(ready)
        return Change(None, (retired, _entry(caller, at, "ActivateIssuer", after)))

    await change_of_callers(store, UNHEARD, program)


async def retire(store: Store, caller: Caller, at: datetime, record: IssuerRecord) -> None:
    """Retire a ready issuer, or delete a pending one; raise InvalidRequest for the active one."""
    if record.status is IssuerStatus.ACTIVE:
        raise InvalidRequest(f"Issuer {record.name} is ACTIVE: it retires when another one is activated")
    if record.status is IssuerStatus.RETIRED:
        return
    if record.status is IssuerStatus.READY:
        after = replace(record, status=IssuerStatus.RETIRED, retired_at=at)
        await _update(store, record, after, _entry(caller, at, "RetireIssuer", after))
        return

    def program() -> Steps[Change[None]]:
        if not (yield from issuer_table.delete_issuer(record)):
            raise _changed(record)
        return Change(None, (_entry(caller, at, "DeleteIssuer", record),))

    await change_of_callers(store, UNHEARD, program)


async def destroy_key(store: Store, caller: Caller, at: datetime, record: IssuerRecord) -> None:
    """Delete the key of a retired issuer from the database, and record that its other copies must not be used.

    Raises InvalidRequest if the issuer is not retired, was retired a moment ago, or has issued a certificate that has
    not expired, whose revocation could no longer be signed.
    """
    if record.status is not IssuerStatus.RETIRED or record.issuer_id is None:
        raise InvalidRequest(f"Issuer {record.name} is {record.status}: only the key of a RETIRED one can be destroyed")
    if record.key_place is KeyPlace.DESTROYED:
        return
    if record.activated_at is not None and record.retired_at is not None:
        _require_followed(at, record, record.retired_at)
    issuer_id = record.issuer_id
    after = replace(record, key_place=KeyPlace.DESTROYED, sealed_key=None)

    def program() -> Steps[Change[None]]:
        end = yield from issuer_table.last_end(issuer_id)
        if end is not None and end >= at:
            raise InvalidRequest(f"Issuer {issuer_id} has issued a certificate that ends at {end:%Y-%m-%dT%H:%M:%SZ}")
        if not (yield from issuer_table.update_issuer(record, after)):
            raise _changed(record)
        yield from copy_table.take_out_issuer(issuer_id)
        return Change(None, (_entry(caller, at, "DestroyIssuerKey", after),))

    await change_of_callers(store, UNHEARD, program)


def _require_followed(at: datetime, record: IssuerRecord, retired_at: datetime) -> None:
    if at < retired_at + NODES_FOLLOW_WITHIN:
        raise InvalidRequest(
            f"Issuer {record.name} retired at {retired_at:%Y-%m-%dT%H:%M:%SZ}: its key can be destroyed ten minutes "
            "later, when no node issues with it any more"
        )


async def _update(store: Store, before: IssuerRecord, after: IssuerRecord, entry: AuditEntry) -> None:
    def program() -> Steps[Change[None]]:
        if not (yield from issuer_table.update_issuer(before, after)):
            raise _changed(before)
        return Change(None, (entry,))

    await change_of_callers(store, UNHEARD, program)


def _retire(caller: Caller, at: datetime, before: IssuerRecord) -> Steps[AuditEntry]:
    after = replace(before, status=IssuerStatus.RETIRED, retired_at=at)
    if before.status is not IssuerStatus.ACTIVE or not (yield from issuer_table.update_issuer(before, after)):
        raise _changed(before)
    return _entry(caller, at, "RetireIssuer", after)


def _changed(record: IssuerRecord) -> UpdateConflict:
    return UpdateConflict(f"Issuer {record.name} was changed by another command at the same time: look at them again")


def _entry(caller: Caller, at: datetime, action: str, record: IssuerRecord) -> AuditEntry:
    return audit_entry(
        caller,
        at,
        action,
        iot_arn(caller.scope, f"issuer/{record.name}"),
        status=record.status,
        key_type=record.key_type,
        key_place=record.key_place,
    )
